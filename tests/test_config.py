"""The options of a session: each is checked when the session is made, and no value is shown."""

from __future__ import annotations

import enum
import functools
import gc
import inspect
import io
import math
import struct
import warnings
from datetime import timedelta, timezone, tzinfo
from typing import Any
from unittest.mock import AsyncMock, Mock
from zoneinfo import ZoneInfo

import httpx
import pytest

from omipay_async import (
    AsyncOmipay,
    ConfigurationError,
    Event,
    Language,
    MemoryBackend,
    Region,
    RetryPolicy,
    SystemClock,
)
from tests.support.masked import Masked

from .support.canned_gateway import CALLS, Gateway, open_session, success
from .support.frames import shown_by
from .support.set_up import ENVIRONMENT, KEY, made
from .support.untyped import untyped


def refused(**options: Any) -> str:
    """The message of the error when such a session is made."""
    with pytest.raises(ConfigurationError) as refusal:
        AsyncOmipay(**({"m_number": "000034", "secret_key": KEY} | options))
    assert KEY not in str(refusal.value)
    return str(refusal.value)


def zone_called(key: str) -> ZoneInfo:
    """A zone five hours west of Greenwich. Not every tz database still has all the old names."""
    counts = struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    return ZoneInfo.from_file(
        io.BytesIO(b"TZif".ljust(20, b"\0") + counts + struct.pack(">lbb", -18_000, 0, 0) + b"EST\0"), key
    )


class AsyncObject:
    """An object that is called like an async function."""

    async def __call__(self, *_: object) -> None: ...


ASYNC = (AsyncMock(), AsyncObject(), functools.partial(AsyncObject.__call__, AsyncObject()))
"""What nobody would await: an async function is expected nowhere in the options."""


def test_the_signature_is_the_contracts() -> None:
    """Every option with its place and its default, on which other programs rely."""
    parameters = list(inspect.signature(AsyncOmipay).parameters.values())
    assert [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD] == ["m_number", "secret_key"]
    assert {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY} == {
        "region": Region.AU,
        "base_url": None,
        "fallback": None,
        "language": None,
        "notify_url": None,
        "timezone": "Australia/Sydney",
        "timeout": 30.0,
        "max_in_flight": 20,
        "retry": RetryPolicy(),
        "nonces": None,
        "clock": None,
        "backend": None,
        "journal": None,
        "previous_secret_keys": (),
        "on_event": None,
        "transport": None,
        "proxy": None,
        "verify": True,
    }


def test_a_merchant_number_that_is_a_number_is_named_by_its_type() -> None:
    """An int has lost its leading zeros."""
    assert refused(m_number=34) == "m_number must be a string that is not empty, not int"


class NoOffset(tzinfo):
    """A time zone that does not know the offset of any time."""

    def utcoffset(self, _: object) -> None: ...

    dst = tzname = utcoffset


def issuing(issued: Any) -> Any:
    """A provider of nonces whose ``issued`` may be anything."""
    return type("Nonces", (), {"__call__": lambda _: "x" * 32, "issued": staticmethod(issued)})()


def leased(seconds: Any) -> MemoryBackend:
    backend = MemoryBackend()
    backend.lease = seconds
    return backend


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("m_number", value) for value in ("", 34, None)],
        *[("secret_key", value) for value in ("", None, b"k")],
        *[("region", value) for value in ("UK", "au", None, 1)],
        *[("language", value) for value in ("DE", "en", 1)],
        *[("notify_url", value) for value in ("baidu.com", "", 5)],
        *[("timeout", value) for value in (0, -1, math.nan, math.inf, "30", None, True)],
        *[("max_in_flight", value) for value in (0, -1, 1.5, "20", None, True, 100_001, 2**63)],
        *[("retry", value) for value in (3, None, {"attempts": 3})],
        *[("timezone", value) for value in (10, None, timedelta(hours=10), "EST", "est", zone_called("EST"))],
        *[("nonces", value) for value in ("abc", 5, *ASYNC, issuing(True), *map(issuing, ASYNC))],
        *[("on_event", value) for value in ("print", 5, *ASYNC)],
        *[("clock", value) for value in (5, object())],
        *[("backend", value) for value in (5, object(), *map(leased, (0, -1, math.nan, math.inf, "30", True)))],
        *[("previous_secret_keys", value) for value in (("",), (None,), [b"k"])],
        *[
            ("proxy", value)
            for value in ("", "not a url", 5, "http://[::1", "http://proxy.test:99999", "ftp://proxy.test")
        ],
        *[("verify", value) for value in (False, "", b"/certificates", 5, None)],
    ],
)
def test_an_option_that_cannot_work_is_rejected_by_name(name: str, value: Any) -> None:
    """With ConfigurationError when the session is made, not at the first payment."""
    assert refused(**{name: value}).startswith(name)


@pytest.mark.parametrize("value", [5, None])
def test_previous_keys_that_are_not_keys_are_rejected_by_name(value: Any) -> None:
    """Also a value that is not a sequence."""
    assert refused(previous_secret_keys=value).startswith("previous_secret_keys")


class Broken:
    """An object of the user's whose every answer is an exception."""

    def fail(self, *_: object) -> Any:
        raise RuntimeError("the application is not set up")

    __getattr__ = __iter__ = __fspath__ = __str__ = __bool__ = __eq__ = untyped(fail)
    __hash__ = untyped(None)


@pytest.mark.parametrize(
    "name", [name for name in inspect.signature(AsyncOmipay).parameters if name not in ("m_number", "secret_key")]
)
def test_what_an_object_raises_does_not_leave_the_constructor(name: str) -> None:
    """A ConfigurationError names the option all the same."""
    assert refused(**{name: Broken()}).startswith(name)


def test_a_path_that_is_none_is_rejected() -> None:
    """``os.fspath`` raises TypeError then."""
    assert refused(verify=type("Path", (), {"__fspath__": lambda _: 5})()).startswith("verify")


@pytest.mark.parametrize("name", ["m_number", "secret_key", "base_url", "notify_url", "proxy", "verify"])
def test_what_only_says_that_it_is_a_string_is_rejected(name: str) -> None:
    """A mock, or a lazy object of a web framework: it has no characters of its own."""
    assert refused(**{name: Mock(spec=str)}).startswith(name)


@pytest.mark.parametrize("name", ["timeout", "max_in_flight"])
def test_what_only_says_that_it_is_a_number_is_rejected(name: str) -> None:
    """As above."""
    assert refused(**{name: Mock(spec=int)}).startswith(name)


def test_a_missing_method_of_a_clock_is_named() -> None:
    """A clock needs ``time_ms``, ``monotonic`` and ``sleep``."""

    class Half:
        def time_ms(self) -> int:
            return 0

    assert refused(clock=Half()) == "clock has no method monotonic()"


@pytest.mark.parametrize("missing", ["claim", "renew", "finish", "release", "wake"])
def test_a_missing_method_of_a_backend_is_named(missing: str) -> None:
    """When the session is made: otherwise each notification would be answered 503, and no handler would run."""
    backend = Mock(spec=[name for name in dir(MemoryBackend) if name != missing])
    assert refused(backend=backend) == f"backend has no method {missing}()"


@pytest.mark.parametrize("name", ["base_url", "fallback"])
@pytest.mark.parametrize(
    "address",
    [
        "omipay.example/omipay/api",
        "http://omipay.example/omipay/api",
        "https://omipay.example/omipay/api?x=1",
        "https://omipay.example/omipay/api#x",
        "https://omipay.example/omipay/api?",
        "https://omipay.example/omipay/api/#",
        "https://user:hunter2@omipay.example/omipay/api",
        "ftp://omipay.example/omipay/api",
        "https://\N{SNOWMAN}.example/omipay/api",
        "https://xn--/omipay/api",
        "https://",
        "",
        5,
    ],
)
def test_an_address_is_https_and_nothing_but_an_address(name: str, address: Any) -> None:
    """A signature is never sent over plain http. A query, a fragment and a user are rejected."""
    message = refused(**{name: address})
    assert message.startswith(name)
    assert "hunter2" not in message


def test_est_is_rejected() -> None:
    """The error contains the zone that was meant, since EST is a zone of America."""
    assert "Australia/Sydney" in refused(timezone="EST")
    assert refused(timezone=NoOffset()) == "timezone must give every time a UTC offset"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "[::1]", "gateway.localhost"])
def test_loopback_may_be_plain_http(host: str) -> None:
    """For a sandbox on this machine, whose certificate need not be checked either."""
    made(base_url=f"http://{host}:8080/omipay/api", verify=False)


@pytest.mark.parametrize("host", ["localhost.example", "127.0.0.1.example", "10.0.0.1", "notlocalhost", "[::2]"])
def test_what_only_looks_like_loopback_may_not(host: str) -> None:
    """The end of the name counts."""
    assert refused(base_url=f"http://{host}/omipay/api").startswith("base_url")
    assert refused(base_url=f"https://{host}/omipay/api", verify=False).startswith("verify")


def test_with_a_transport_of_the_users_any_address_is_accepted() -> None:
    """The transport decides where the bytes go."""
    made(base_url="http://sandbox.test/omipay/api", transport=Gateway({}))


@pytest.mark.parametrize(
    "fallback",
    [
        *("AU", Region.AU, Region.AU.base_url, Region.AU.base_url + "/"),
        *("HTTPS://WWW.Omipay.com.au/omipay/api", "https://www.omipay.com.au:443/omipay/api"),
    ],
)
def test_the_fallback_is_another_node(fallback: str) -> None:
    """The same address twice is rejected."""
    assert refused(fallback=fallback).startswith("fallback must be another node")


async def test_two_nodes_on_one_host_have_different_names() -> None:
    """By their ports, in events and errors."""
    ports = {"base_url": "http://127.0.0.1:81/omipay/api", "fallback": "http://127.0.0.1:82/omipay/api"}
    events: list[Event] = []
    gateway = Gateway(httpx.ConnectError("refused"), success("QueryOrder"))
    async with open_session(gateway, **ports, on_event=events.append) as omipay:
        await omipay.query_order("TR1")
    assert {event.node for event in events} == {"127.0.0.1:81", "127.0.0.1:82"}


def test_every_option_accepts_what_the_contract_allows() -> None:
    """Members and strings, names and objects."""
    made(region="CN", language="CHS", fallback="AU")
    made(region=Region.CN, language=Language.EN, fallback="https://third.example/omipay/api")
    made(timezone=timezone(timedelta(hours=10)), timeout=5, max_in_flight=1, retry=RetryPolicy(attempts=1))
    made(max_in_flight=100_000)
    made(clock=SystemClock(), backend=MemoryBackend(), nonces=lambda: "x" * 10, on_event=print)
    made(previous_secret_keys=["old", "older"], proxy="http://127.0.0.1:3128")


def test_a_session_that_could_not_be_made_causes_no_warning() -> None:
    """There is only the error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert refused(timeout=0)
        assert refused(m_number="")
        gc.collect()


def test_a_session_that_is_not_closed_causes_a_warning() -> None:
    """A ResourceWarning with the session's repr."""

    def forget() -> None:
        open_session(Gateway({}))
        gc.collect()

    with pytest.warns(ResourceWarning, match=r"unclosed <AsyncOmipay m_number='123456'"):
        forget()


# -- what a string says -----------------------------------------------------------------------------------------------


class Word(str, enum.Enum):  # noqa: UP042 - the older kind, whose ``str()`` is the member's name
    """An enum of a user's own."""

    M_NUMBER = "000034"
    KEY = KEY
    REGION = "CN"
    LANGUAGE = "EN"
    NOTIFY_URL = "https://shop.example/n"
    TIMEZONE = "Australia/Sydney"
    FALLBACK = "AU"


@pytest.mark.parametrize("kind", [Masked, Word])
async def test_a_string_counts_by_its_content(kind: Any) -> None:
    """For each option, a subclass of ``str`` sends exactly the bytes of the plain string."""
    plain = {
        "m_number": "000034",
        "secret_key": KEY,
        "region": "CN",
        "language": "EN",
        "notify_url": "https://shop.example/n",
        "timezone": "Australia/Sydney",
        "fallback": "AU",
    }
    subclassed: dict[str, Any] = {name: kind(value) for name, value in plain.items()}
    urls = []
    for options in (plain, subclassed):
        gateway = Gateway(success("MakeQROrder"))
        async with open_session(gateway, **options) as omipay:
            await CALLS["MakeQROrder"](omipay)
            assert type(omipay.m_number) is str
            assert "node=CN" in repr(omipay)
        urls.append(str(gateway.requests[0].url))
    assert urls[0] == urls[1]


async def test_base_urls_count_by_their_content() -> None:
    """Previous keys too."""
    address = "https://third.example/omipay/api"
    gateway = Gateway(success("MakeQROrder"))
    async with open_session(gateway, base_url=Masked(address), previous_secret_keys=[Masked("old")]) as omipay:
        await CALLS["MakeQROrder"](omipay)
        assert omipay._executor.credentials.previous_secret_keys == ("old",)
    assert gateway.requests[0].url.host == "third.example"


# -- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0},
        {"m_number": ""},
        {"secret_key": f"{KEY}\n"},
        {"secret_key": KEY.encode()},
        {"secret_key": [KEY]},
        {"previous_secret_keys": [f"{KEY}\n"]},
        {"previous_secret_keys": KEY.encode()},
        {"region": "UK"},
        {"transport": 5},
    ],
    ids=lambda options: next(iter(options)),
)
@pytest.mark.parametrize("make", [AsyncOmipay, AsyncOmipay.from_env], ids=["session", "environment"])
def test_no_frame_of_a_configuration_error_shows_the_key(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], make: Any
) -> None:
    """For code that captures local variables (Sentry, pytest's --showlocals, rich)."""
    given: dict[str, Any] = {"m_number": "000034", "secret_key": KEY} | options
    with pytest.raises(ConfigurationError) as refusal:
        make(**given)
    frames = shown_by(refusal.value)
    assert any("__init__" in frame for frame in frames)
    assert KEY not in "".join(frames)


@pytest.mark.parametrize("variable", ["OMIPAY_SECRET_KEY", "OMIPAY_REGION", "OMIPAY_NOTIFY_URL"])
@pytest.mark.parametrize("wrong", ["hunter2\x01hunter2", "'hunter2hunter2'"])
def test_no_frame_shows_a_key_of_the_environment(monkeypatch: pytest.MonkeyPatch, variable: str, wrong: str) -> None:
    """Not even if another variable is wrong."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(variable, wrong)
    with pytest.raises(ConfigurationError) as refusal:
        AsyncOmipay.from_env()
    frames = "".join(shown_by(refusal.value))
    assert "from_env" in frames
    assert KEY not in frames
    assert variable != "OMIPAY_SECRET_KEY" or "hunter2" not in frames
