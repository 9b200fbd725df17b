"""``omipay doctor`` finds the step that fails, over real sockets of this machine."""

from __future__ import annotations

import asyncio
import ssl
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest
import trustme

from omipay_async import AsyncOmipay
from omipay_async.cli import doctor, notify_check
from omipay_async.cli.exit_codes import Exit
from omipay_async.sandbox import TOY_SECRET_KEY, Fault, Sandbox
from omipay_async.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from omipay_async import Order

    from .conftest import Cli


@pytest.fixture
def served() -> Iterator[tuple[Sandbox, str]]:
    """A sandbox on a socket, in a thread of its own, and its base URL."""
    sandbox, ready, urls = Sandbox(), threading.Event(), []
    loop = asyncio.new_event_loop()
    over = asyncio.Event()

    async def serve() -> None:
        async with sandbox, sandbox.serve() as base_url:
            urls.append(base_url)
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(10)
    yield sandbox, urls[0]
    loop.call_soon_threadsafe(over.set)
    thread.join()
    loop.close()


@pytest.fixture
def doctored(cli: Cli, served: tuple[Sandbox, str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line with the session of the environment, which leads to the served sandbox."""
    cli.sandbox = served[0]
    monkeypatch.setenv("OMIPAY_BASE_URL", served[1])
    monkeypatch.setattr(cli.sandbox, "session", AsyncOmipay.from_env)
    return cli


def test_a_way_without_trouble_is_ok_at_each_step(doctored: Cli) -> None:
    """And nothing but one exchange rate was asked for with a signature."""
    ended = doctored("doctor")
    assert (ended.code, ended.err) == (0, "")
    words = [line.split()[:2] for line in ended.out.splitlines()]
    assert words == [
        ["configuration", "ok"],
        ["notify_url", "?"],
        ["DNS", "ok"],
        ["TLS", "ok"],
        ["clock", "ok"],
        ["key", "ok"],
    ]
    assert [call.endpoint for call in doctored.sandbox.ledger.calls] == ["GetExchangeRate"]


def test_machines_read_each_step(doctored: Cli) -> None:
    """In one document."""
    document = doctored("doctor", "--json").document
    assert document["ok"] is True
    names = [check["name"] for check in document["checks"]]
    assert names == [
        "configuration",
        "notify_url",
        "DNS",
        "TLS",
        "clock",
        "key",
    ]


def test_a_notify_url_that_is_not_set_is_told(doctored: Cli) -> None:
    """It is no failure, and worth a word."""
    ended = doctored("doctor")
    assert ended.code == 0
    assert "notify_url     ?       not set" in ended.out


def test_a_test_notification_wants_an_address(doctored: Cli) -> None:
    """Without a notify_url there is nothing to post to: bad input."""
    ended = doctored("doctor", "--notify")
    assert (ended.code, "no notify_url to post to" in ended.complaint) == (2, True)


def test_nobody_at_the_notify_url(doctored: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that does not run is found."""
    monkeypatch.setenv("OMIPAY_NOTIFY_URL", "http://127.0.0.1:9/omipay/notify")
    ended = doctored("doctor", "--notify")
    assert (ended.code, "nobody answers" in ended.complaint) == (4, True)


async def test_the_test_notification_is_refused_by_a_right_program(omipay: AsyncOmipay) -> None:
    """It is rightly signed, and about an order that the gateway does not know: 409, which doctor calls good."""

    async def handler(order: Order) -> None:
        pytest.fail("the handler ran")

    now_ms = ManualClock().time_ms()  # where the fixture's clock starts
    body = notify_check.signed_body(omipay.m_number, TOY_SECRET_KEY, "nonce00001", now_ms)
    reply = await omipay.receive_notification(body, handler)
    assert reply.status == 409
    assert notify_check.verdict(reply.status, reply.body)[0] is True


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, b'{"return_code": "SUCCESS"}', "never happened"),
        (200, b"ok", "without SUCCESS"),
        (200, b"[]", "without SUCCESS"),
        (307, b"", "a redirect"),
        (400, b"", "could not read"),
        (404, b"", "not found"),
        (418, b"\x1b[2J", "\\x1b[2J"),
    ],
)
def test_answers_to_the_test_notification_are_explained(status: int, body: bytes, said: str) -> None:
    """Each bad answer with what it means and what to do."""
    ok, meaning, advice = notify_check.verdict(status, body)
    assert (ok, said in meaning, bool(advice)) == (False, True, True)


def test_the_test_notification_is_posted(
    doctored: Cli, monkeypatch: pytest.MonkeyPatch, served: tuple[Sandbox, str]
) -> None:
    """To the notify_url, and the answer is explained: the sandbox itself has no such page."""
    monkeypatch.setenv("OMIPAY_NOTIFY_URL", served[1].replace("/api", "/notify"))
    ended = doctored("doctor", "--notify")
    assert (ended.code, "HTTP 404: not found" in ended.complaint) == (1, True)


def test_a_wrong_key_is_named(doctored: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1, with what to look at; the key itself is not shown."""
    monkeypatch.setenv("OMIPAY_SECRET_KEY", "not the key")
    ended = doctored("doctor")
    assert ended.code == 1
    assert "OMIPAY_SECRET_KEY is not this merchant's key" in ended.out
    assert ended.complaint.startswith("omipay: key: GetExchangeRate: SIGN_ERROR")
    assert "not the key" not in ended.out + ended.err


def test_a_wrong_merchant_number_is_named(doctored: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leading zeros are the usual slip."""
    monkeypatch.setenv("OMIPAY_M_NUMBER", "00123456")
    ended = doctored("doctor")
    assert ended.code == 1
    assert "check its leading zeros" in ended.out


def test_a_gateway_that_accepts_the_key_and_tells_no_rate_is_well(doctored: Cli) -> None:
    """The rate is not what was to be found out."""
    doctored.sandbox.gateway.terms.rates = {}
    ended = doctored("doctor")
    assert ended.code == 0
    assert "although the gateway gave no rate: CURRENCY_ERROR" in ended.out


def test_a_gateway_in_trouble_is_no_usable_answer(doctored: Cli) -> None:
    """Exit code 4: the key may be right."""
    doctored.sandbox.faults.add(Fault.SYSTEM_ERROR)
    ended = doctored("doctor")
    assert ended.code == 4
    assert "try again later" in ended.out


def test_a_configuration_that_does_not_work_ends_it(doctored: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2, and nobody is asked."""
    monkeypatch.setenv("OMIPAY_BASE_URL", "http://gateway.example/omipay/api")
    ended = doctored("doctor", "--json")
    assert ended.code == 2
    assert ended.document["ok"] is False
    assert [check["ok"] for check in ended.document["checks"]] == [False]
    assert "OMIPAY_BASE_URL" in ended.complaint


def test_a_name_that_is_not_known_ends_it(doctored: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """No further step is tried."""
    monkeypatch.setenv("OMIPAY_BASE_URL", f"https://{'a' * 64}.invalid/omipay/api")
    ended = doctored("doctor")
    assert ended.code == 4
    assert ended.out.splitlines()[-1].startswith("DNS            failed")


def test_a_port_where_nobody_listens_ends_it(doctored: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """No further step is tried."""
    monkeypatch.setenv("OMIPAY_BASE_URL", "http://127.0.0.1:9/omipay/api")
    ended = doctored("doctor")
    assert ended.code == 4
    assert "nothing listens there" in ended.out.splitlines()[-1]


def test_a_proxy_is_asked_for_names_and_for_connections(doctored: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that are the proxy's are left to it, and the rest fails where the proxy does not answer."""
    monkeypatch.setenv("OMIPAY_BASE_URL", "https://gateway.test/omipay/api")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    ended = doctored("doctor")
    assert ended.code == 4
    assert [line.split()[0] for line in ended.out.splitlines()] == [
        "configuration",
        "notify_url",
        "DNS,",
        "clock",
        "key",
    ]
    assert "not known: the gateway did not answer" in ended.out


def test_behind_a_proxy_that_answers_all_is_well(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """What only the proxy knows is a question mark, and no failure."""
    cli.sandbox = Sandbox()
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    ended = cli("doctor")
    assert (ended.code, ended.err) == (0, "")
    assert "DNS, TLS       ?       not checked: the environment sets a proxy" in ended.out


def test_a_clock_that_is_off_is_told_although_the_session_can_live_with_it(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1 and what to do; the session learns the offset from the refusal, and its key is found good."""
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    ended = cli("doctor")
    assert ended.code == 1
    assert "let NTP set it" in ended.out
    assert "key            ok" in ended.out


# -- TLS and clock by themselves --------------------------------------------------------------------------------------


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_certificate_is_looked_at(trusted: bool) -> None:
    """Who signed it is believed only if this machine believes it."""
    authority = trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server_side)
    client_side = ssl.create_default_context()
    if trusted:
        authority.configure_trust(client_side)

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "localhost", 0, ssl=server_side) as server:
        port = server.sockets[0].getsockname()[1]
        finding = await doctor.tls(urlsplit(f"https://localhost:{port}/omipay/api"), client_side)
    assert finding.ok is trusted
    if trusted:
        assert "certificate valid until" in finding.detail
    else:
        assert "unable to get local issuer certificate" in finding.detail
        assert finding.exit_code is Exit.NO_ANSWER


@pytest.mark.parametrize(
    ("date", "ok", "said"),
    [
        ("Tue, 14 Nov 2023 22:13:20 GMT", True, "0 s behind"),
        ("Tue, 14 Nov 2023 22:12:30 GMT", True, "50 s ahead of"),
        ("Tue, 14 Nov 2023 22:18:20 GMT", False, "300 s behind"),
        ("Tue, 14 Nov 2023 22:08:20 GMT", False, "300 s ahead of"),
        ("yesterday", None, "no Date header"),
        (None, None, "no Date header"),
    ],
)
async def test_the_clock_is_compared_with_the_gateway_s(date: str | None, ok: bool | None, said: str) -> None:
    """By the header of an unsigned request; a minute off is too much, five are refused."""

    def answer(request: httpx.Request) -> httpx.Response:
        assert not request.url.query
        return httpx.Response(405, headers={"Date": date} if date else {})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        finding = await doctor.clock(http, "https://gateway.example/omipay/api", ManualClock())
    assert finding.ok is ok
    assert said in finding.detail
