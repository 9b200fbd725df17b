"""What a session reads from its environment: the OMIPAY_ variables, and those for certificates."""

from __future__ import annotations

import contextlib
import inspect
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest

from omipay_async import (
    AsyncOmipay,
    ConfigurationError,
    NotSent,
)
from omipay_async.config import SessionArguments
from omipay_async.sandbox import Sandbox

from .support.canned_gateway import CALLS, Gateway, success
from .support.frames import shown_by
from .support.raw_http import Handler
from .support.set_up import ENVIRONMENT, KEY, made

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


# -- certificates -----------------------------------------------------------------------------------------------------


async def read(omipay: AsyncOmipay) -> None:
    await omipay.query_order("TR1")


async def fetch(omipay: AsyncOmipay) -> None:
    await omipay.http.get("https://127.0.0.1:9")


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"])
@pytest.mark.parametrize("call", [read, CALLS["MakeScanOrder"], CALLS["Refund"], fetch])
async def test_a_stale_variable_for_certificates_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, call: Any
) -> None:
    """In a ConfigurationError at the first call, not an error of ssl. Nothing was sent."""
    clear_certificates(monkeypatch)
    monkeypatch.setenv(variable, str(tmp_path / "was here" / "once"))
    async with AsyncOmipay("000034", KEY, base_url="https://127.0.0.1:9/omipay/api") as omipay:
        with pytest.raises(ConfigurationError, match=f"^{variable}: ") as refusal:
            await call(omipay)
    assert KEY not in "".join(shown_by(refusal.value))


async def test_a_file_without_certificates_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Like a file that is missing."""
    clear_certificates(monkeypatch)
    (tmp_path / "empty.pem").write_bytes(b"")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "empty.pem"))
    async with AsyncOmipay("000034", KEY, base_url="https://127.0.0.1:9/omipay/api") as omipay:
        with pytest.raises(ConfigurationError, match=r"^SSL_CERT_FILE: "):
            await read(omipay)


@contextlib.contextmanager
def odd_file(kind: str, path: Path) -> Iterator[str]:
    """A path at which reading waits, or never ends."""
    if kind == "pipe":
        os.mkfifo(path)
        yield str(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
            yield str(path)
    elif kind == "link to a device":
        path.symlink_to("/dev/zero")
        yield str(path)
    elif kind == "huge file":
        with path.open("wb") as huge:
            huge.truncate(2**40)
        yield str(path)
    else:
        yield kind


ODD_FILES = ["pipe", "socket", "link to a device", "huge file", "/dev/urandom", "/dev/null"]


@pytest.mark.parametrize("kind", ODD_FILES)
@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "verify"])
async def test_certificates_from_what_is_not_a_file_are_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, kind: str
) -> None:
    """OpenSSL would wait for the writer of a pipe, and read a device without end."""
    clear_certificates(monkeypatch)
    with odd_file(kind, tmp_path / "ca.pem") as path:
        options: dict[str, Any] = {"verify": path} if name == "verify" else {}
        monkeypatch.setenv("SSL_CERT_FILE", path)
        async with AsyncOmipay("000034", KEY, base_url="https://127.0.0.1:9/omipay/api", **options) as omipay:
            with pytest.raises(ConfigurationError, match=rf"^{name}: (the path leads to a|the file is larger)"):
                await read(omipay)


@pytest.mark.parametrize("kind", ["pipe", "socket"])
async def test_a_key_log_that_nobody_reads_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    """Python would wait for a reader. A pipe with a reader may be used."""
    clear_certificates(monkeypatch)
    with odd_file(kind, tmp_path / "keys") as path:
        monkeypatch.setenv("SSLKEYLOGFILE", path)
        async with AsyncOmipay("000034", KEY, base_url="https://127.0.0.1:9/omipay/api") as omipay:
            with pytest.raises(ConfigurationError, match=r"^SSLKEYLOGFILE: the file cannot be written to"):
                await read(omipay)
            if kind == "pipe":
                reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
                with pytest.raises(NotSent):
                    await read(omipay)
                os.close(reader)


async def test_a_folder_of_pipes_contains_no_certificate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """OpenSSL would open them in the middle of a handshake."""
    clear_certificates(monkeypatch)
    os.mkfifo(tmp_path / "0a1b2c3d.0")
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    async with AsyncOmipay("000034", KEY, base_url="https://127.0.0.1:9/omipay/api") as omipay:
        with pytest.raises(ConfigurationError, match=r"^SSL_CERT_DIR: "):
            await read(omipay)


@pytest.mark.parametrize("folders", [".", ":", "::", "/", f"/{'x' * 5000}", "/nowhere:.", "~", "/etc/hosts", "\udc80"])
async def test_folders_without_certificates_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folders: str
) -> None:
    """OpenSSL would trust nobody, and every call would fail: empty, missing, no folder, a path that is too long."""
    clear_certificates(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SSL_CERT_DIR", folders)
    async with AsyncOmipay("000034", KEY, base_url="https://127.0.0.1:9/omipay/api") as omipay:
        with pytest.raises(ConfigurationError, match=r"^SSL_CERT_DIR: "):
            await read(omipay)


async def test_one_folder_with_certificates_is_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The others may be missing."""
    clear_certificates(monkeypatch)
    (tmp_path / "0a1b2c3d.0").write_bytes(b"")
    monkeypatch.setenv("SSL_CERT_DIR", f"/nowhere{os.pathsep}{tmp_path}")
    async with AsyncOmipay("000034", KEY, base_url="https://127.0.0.1:9/omipay/api") as omipay:
        with pytest.raises(NotSent):
            await read(omipay)


async def test_a_notification_is_answered_503_then(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """So that the gateway delivers it again when the machine is repaired."""
    clear_certificates(monkeypatch)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "gone.pem"))
    async with Sandbox(secret_key=KEY) as sandbox, sandbox.session() as customer:
        order = await customer.make_qr_order(
            order_name="Tea", amount=1, currency="AUD", out_order_no="A-1", platform="ALIPAY"
        )
        body = sandbox.notification(order.order_no)
    async with AsyncOmipay("123456", KEY, base_url="https://127.0.0.1:9/omipay/api") as omipay:
        reply = await omipay.receive_notification(body, Handler())
    assert (reply.status, type(reply.error)) == (503, ConfigurationError)


def clear_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)


# -- the environment --------------------------------------------------------------------------------------------------


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment with every variable."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("OMIPAY_BASE_URL", raising=False)
    return monkeypatch


async def test_a_session_is_set_up_by_its_environment(environment: pytest.MonkeyPatch) -> None:
    """The request shows all six variables."""
    gateway = Gateway(success("MakeQROrder"))
    async with AsyncOmipay.from_env(transport=gateway) as omipay:
        await CALLS["MakeQROrder"](omipay)
    url = gateway.requests[0].url
    assert url.host == "www.omipay.com.cn"
    assert {"m_number=000034", "language=EN", "notify_url=https%3A%2F%2Fshop.example%2Fn"} <= set(gateway.pairs)
    environment.setenv("OMIPAY_BASE_URL", "http://127.0.0.1:1/omipay/api")
    async with AsyncOmipay.from_env(transport=gateway) as omipay:
        await CALLS["MakeQROrder"](omipay)
    assert gateway.requests[1].url.host == "127.0.0.1"


def test_checkers_know_which_arguments_from_env_passes_on() -> None:
    """They are those of the class, with the same types. A misspelt one is not found only when the program runs."""
    known = {name: getattr(hint, "__forward_arg__", hint) for name, hint in SessionArguments.__annotations__.items()}
    assert known == {name: given.annotation for name, given in inspect.signature(AsyncOmipay).parameters.items()}
    for passes_on in (AsyncOmipay.from_env, Sandbox.session):
        assert "Unpack[SessionArguments]" in [p.annotation for p in inspect.signature(passes_on).parameters.values()]


async def test_arguments_count_before_the_environment(environment: pytest.MonkeyPatch) -> None:
    """They may also replace a variable that is not set."""
    environment.delenv("OMIPAY_M_NUMBER")
    gateway = Gateway(success("MakeQROrder"))
    async with AsyncOmipay.from_env(transport=gateway, m_number="7", region="AU", notify_url=None) as omipay:
        await CALLS["MakeQROrder"](omipay)
    assert gateway.requests[0].url.host == "www.omipay.com.au"
    assert "m_number=7" in gateway.pairs
    assert not any(pair.startswith("notify_url=") for pair in gateway.pairs)


@pytest.mark.parametrize("name", ["OMIPAY_M_NUMBER", "OMIPAY_SECRET_KEY"])
@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_variable_that_is_missing_is_named(environment: pytest.MonkeyPatch, name: str, value: str | None) -> None:
    """An empty one counts as missing."""
    if value is None:
        environment.delenv(name)
    else:
        environment.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"^{name} is not set$"):
        AsyncOmipay.from_env()


def test_all_variables_that_are_missing_are_named(environment: pytest.MonkeyPatch) -> None:
    """Nobody has to try twice."""
    environment.delenv("OMIPAY_M_NUMBER")
    environment.delenv("OMIPAY_SECRET_KEY")
    with pytest.raises(ConfigurationError, match=r"^OMIPAY_M_NUMBER and OMIPAY_SECRET_KEY are not set$"):
        AsyncOmipay.from_env()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OMIPAY_REGION", "UK"),
        ("OMIPAY_LANGUAGE", "german"),
        ("OMIPAY_NOTIFY_URL", "shop.example"),
        ("OMIPAY_BASE_URL", "http://omipay.example/omipay/api"),
        ("OMIPAY_SECRET_KEY", "hunter2\x01hunter2"),
        ("OMIPAY_M_NUMBER", "0\x01"),
    ],
)
def test_a_variable_that_is_wrong_is_named(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Not only the argument. Its value is not shown."""
    environment.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"^{name}: ") as refusal:
        AsyncOmipay.from_env()
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    "quotes", ['""', "''", "\u201c\u201d", "\u2018\u2019", "\u300c\u300d", "\u00ab\u00bb", "\u201e\u201c"]
)
@pytest.mark.parametrize("variable", [*ENVIRONMENT, "OMIPAY_BASE_URL"])
def test_a_variable_with_its_quotes_is_named(environment: pytest.MonkeyPatch, variable: str, quotes: str) -> None:
    """Some readers of settings files keep the quotes, and such a key would make every signature wrong."""
    environment.setenv(variable, quotes[0] + ENVIRONMENT.get(variable, "https://x.example/omipay/api") + quotes[1])
    with pytest.raises(ConfigurationError, match=rf"^{variable}: .*quotes"):
        AsyncOmipay.from_env()


def test_a_quotation_mark_within_a_key_is_a_part_of_it(environment: pytest.MonkeyPatch) -> None:
    """Only a pair around the whole value is rejected."""
    environment.setenv("OMIPAY_SECRET_KEY", 'hunter"2"')
    omipay = AsyncOmipay.from_env(transport=Gateway({}))
    omipay._life.closed = True  # never opened: nothing to close
    assert omipay._executor.credentials.secret_key == 'hunter"2"'


def test_a_broken_proxy_is_named_when_the_session_is_made(environment: pytest.MonkeyPatch) -> None:
    """Not at the first payment, and not if a transport or a proxy is given."""
    environment.setenv("HTTPS_PROXY", "http://[proxy")
    environment.delenv("https_proxy", raising=False)
    with pytest.raises(ConfigurationError, match=r"^HTTPS_PROXY "):
        AsyncOmipay.from_env()
    made(transport=Gateway({}))
    made(proxy="http://proxy.test:1")


def test_an_argument_that_is_wrong_is_not_blamed_on_the_environment(environment: pytest.MonkeyPatch) -> None:
    """The message names the argument."""
    for options in ({"timeout": 0}, {"region": "UK"}):
        with pytest.raises(ConfigurationError, match=f"^{next(iter(options))} "):
            AsyncOmipay.from_env(**options)


def test_empty_optional_variables_are_not_set(environment: pytest.MonkeyPatch) -> None:
    """``OMIPAY_REGION=`` in a settings file means the default."""
    environment.setenv("OMIPAY_REGION", " ")
    environment.setenv("OMIPAY_LANGUAGE", "")
    omipay = AsyncOmipay.from_env()
    omipay._life.closed = True  # never opened: nothing to close
    assert "node=AU" in repr(omipay)
