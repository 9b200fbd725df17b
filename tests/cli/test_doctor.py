"""``omipay doctor`` finds the step that fails, over real sockets of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING
from unittest import mock
from urllib.parse import urlsplit

import httpx
import pytest
import trustme

from omipay_async import AsyncOmipay
from omipay_async.cli import doctor, notify_check
from omipay_async.cli.exit_codes import Exit
from omipay_async.sandbox import TOY_SECRET_KEY, Fault, Sandbox
from omipay_async.testing import ManualClock
from tests.transport.client import resolves_to
from tests.transport.server import black_hole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from omipay_async import Order

    from .conftest import Cli


@pytest.fixture
def served() -> Iterator[tuple[Sandbox, str]]:
    """A sandbox on a socket, in its own thread, and its base URL."""
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
def cli_of_environment(cli: Cli, served: tuple[Sandbox, str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line with the session of the environment, for the served sandbox."""
    cli.sandbox = served[0]
    monkeypatch.setenv("OMIPAY_BASE_URL", served[1])
    monkeypatch.setattr(cli.sandbox, "session", AsyncOmipay.from_env)
    return cli


def test_each_step_of_a_good_set_up_is_ok(cli_of_environment: Cli) -> None:
    """Only one request is signed, for an exchange rate. A notify_url that is not set is reported, and is no failure."""
    ended = cli_of_environment("doctor")
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
    assert "notify_url     ?       not set" in ended.out
    assert [call.endpoint for call in cli_of_environment.sandbox.ledger.calls] == ["GetExchangeRate"]
    document = cli_of_environment("doctor", "--json").document
    assert document["ok"] is True
    assert [check["name"] for check in document["checks"]] == [name for name, _ in words]


@pytest.mark.parametrize("url", ["http://localhost:9000/omipay/notify", "http://127.0.0.1/notify"])
def test_a_notify_url_that_only_this_machine_reaches_is_bad_input(
    cli_of_environment: Cli, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """The real gateway is elsewhere. A sandbox on this machine reaches it."""
    monkeypatch.setenv("OMIPAY_NOTIFY_URL", url)
    assert cli_of_environment("doctor").code == 0
    monkeypatch.setenv("OMIPAY_BASE_URL", "https://gateway.invalid/omipay/api")
    ended = cli_of_environment("doctor")
    assert ended.code == 2
    assert f"notify_url     failed  {url} is this machine, which the gateway cannot reach; set OMIPAY" in ended.out


def test_a_test_notification_needs_an_address(cli_of_environment: Cli) -> None:
    """Without a notify_url it is bad input."""
    ended = cli_of_environment("doctor", "--notify")
    assert (ended.code, "no notify_url to post to" in ended.complaint) == (2, True)


def test_nothing_answers_at_the_notify_url(cli_of_environment: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program is not running."""
    monkeypatch.setenv("OMIPAY_NOTIFY_URL", "http://127.0.0.1:9/omipay/notify")
    ended = cli_of_environment("doctor", "--notify")
    assert (ended.code, "nobody answers: [Errno 111] Connect call failed" in ended.complaint) == (4, True)
    assert "9): Connection refused" in ended.complaint


def test_no_proxy_sees_a_test_notification_for_this_machine(
    cli_of_environment: Cli, served: tuple[Sandbox, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its signature is worth as much as any other. What answers here is the sandbox, and no proxy listens."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("OMIPAY_NOTIFY_URL", served[1].replace("/omipay/api", "/nothing-here"))
    ended = cli_of_environment("doctor", "--notify")
    assert "notification: HTTP 404" in ended.complaint


async def test_the_test_notification_is_rejected_by_a_correct_program(omipay: AsyncOmipay) -> None:
    """It has a valid signature, and an order that the gateway does not have: 409 is the right answer."""

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
    """Each bad answer, with its meaning and what to do."""
    ok, meaning, advice = notify_check.verdict(status, body)
    assert (ok, said in meaning, bool(advice)) == (False, True, True)


def test_the_test_notification_is_posted(
    cli_of_environment: Cli, monkeypatch: pytest.MonkeyPatch, served: tuple[Sandbox, str]
) -> None:
    """It goes to the notify_url, and the answer is explained: the sandbox does not have this path."""
    monkeypatch.setenv("OMIPAY_NOTIFY_URL", served[1].replace("/api", "/notify"))
    ended = cli_of_environment("doctor", "--notify")
    assert (ended.code, "HTTP 404: not found" in ended.complaint) == (1, True)


def test_a_wrong_key_is_named(cli_of_environment: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1 with advice, which does not show the key."""
    monkeypatch.setenv("OMIPAY_SECRET_KEY", "not the key")
    ended = cli_of_environment("doctor")
    assert ended.code == 1
    assert "OMIPAY_SECRET_KEY is not this merchant's key" in ended.out
    assert ended.complaint.startswith("omipay: key: GetExchangeRate: SIGN_ERROR")
    assert "not the key" not in ended.out + ended.err


def test_a_wrong_merchant_number_is_named(cli_of_environment: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing leading zeros are the usual mistake."""
    monkeypatch.setenv("OMIPAY_M_NUMBER", "00123456")
    ended = cli_of_environment("doctor")
    assert ended.code == 1
    assert "check its leading zeros" in ended.out


def test_a_key_that_is_accepted_without_a_rate_is_ok(cli_of_environment: Cli) -> None:
    """The rate itself does not matter."""
    cli_of_environment.sandbox.gateway.terms.rates = {}
    ended = cli_of_environment("doctor")
    assert ended.code == 0
    assert "although the gateway gave no rate: CURRENCY_ERROR" in ended.out


@pytest.mark.parametrize("fault", [Fault.SYSTEM_ERROR, Fault.BAD_GATEWAY])
def test_an_error_of_the_gateway_is_exit_code_4(cli_of_environment: Cli, fault: Fault) -> None:
    """The key and the address may be right."""
    cli_of_environment.sandbox.faults.add(fault)
    ended = cli_of_environment("doctor")
    assert ended.code == 4
    assert "no usable answer: try again later" in ended.out


def test_a_reply_that_is_not_the_gateways_leads_to_the_address(cli_of_environment: Cli) -> None:
    """An address without its path answers with a web page."""
    cli_of_environment.sandbox.faults.add(Fault.GARBAGE)
    ended = cli_of_environment("doctor")
    assert ended.code == 4
    assert "OMIPAY_BASE_URL must end in /omipay/api" in ended.out


def test_a_configuration_that_does_not_work_ends_it(cli_of_environment: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2, and nothing is sent."""
    monkeypatch.setenv("OMIPAY_BASE_URL", "http://gateway.example/omipay/api")
    ended = cli_of_environment("doctor", "--json")
    assert ended.code == 2
    assert ended.document["ok"] is False
    assert [check["ok"] for check in ended.document["checks"]] == [False]
    assert "OMIPAY_BASE_URL" in ended.complaint


def test_a_name_that_is_not_known_ends_it(cli_of_environment: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """No further step is tried."""
    monkeypatch.setenv("OMIPAY_BASE_URL", f"https://{'a' * 64}.invalid/omipay/api")
    ended = cli_of_environment("doctor")
    assert ended.code == 4
    assert ended.out.splitlines()[-1].startswith("DNS            failed")


def test_a_port_where_nobody_listens_ends_it(cli_of_environment: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """No further step is tried."""
    monkeypatch.setenv("OMIPAY_BASE_URL", "http://127.0.0.1:9/omipay/api")
    ended = cli_of_environment("doctor")
    assert ended.code == 4
    assert "nothing listens there" in ended.out.splitlines()[-1]


def test_names_and_connections_are_left_to_a_proxy(cli_of_environment: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """These steps are not made, and the others fail if the proxy does not answer."""
    monkeypatch.setenv("OMIPAY_BASE_URL", "https://gateway.test/omipay/api")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    ended = cli_of_environment("doctor")
    assert ended.code == 4
    assert [line.split()[0] for line in ended.out.splitlines()] == [
        "configuration",
        "notify_url",
        "DNS,",
        "clock",
        "key",
    ]
    assert "not known: the gateway did not answer" in ended.out


def test_behind_a_proxy_that_answers_the_other_steps_are_ok(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps that are left to it show a question mark and are not failures."""
    cli.sandbox = Sandbox()
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    ended = cli("doctor")
    assert (ended.code, ended.err) == (0, "")
    assert "DNS, TLS       ?       not checked: the environment sets a proxy" in ended.out


def test_a_clock_that_is_off_is_a_failure_although_the_session_corrects_it(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1 with advice. The session learns the offset, and the key is found to be right."""
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    ended = cli("doctor")
    assert ended.code == 1
    assert "let NTP set it" in ended.out
    assert "key            ok" in ended.out


# -- TLS and clock by themselves --------------------------------------------------------------------------------------


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_certificate_is_checked(trusted: bool) -> None:
    """It must be signed by an authority that this machine trusts."""
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


async def test_a_server_that_does_not_answer_is_told_from_one_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error of a time limit says nothing itself."""

    closed = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        closed.set()

    monkeypatch.setattr(doctor, "_TIMEOUT_S", 0.05)
    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        finding = await doctor.tls(urlsplit(f"https://127.0.0.1:{port}"), ssl.create_default_context())
        await closed.wait()
    assert finding.detail == f"127.0.0.1, port {port}, accepts connections, but no TLS: no answer within 0.05 s"
    assert "large packets are lost on the way" in finding.advice


async def test_a_server_that_hangs_up_during_the_tls_handshake_is_told() -> None:
    """Its error has no text, but a name."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        finding = await doctor.tls(urlsplit(f"https://127.0.0.1:{port}"), ssl.create_default_context())
    assert finding.detail == f"127.0.0.1, port {port}, accepts connections, but no TLS: ConnectionResetError"


async def test_an_address_that_is_silent_is_passed_over_as_in_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name may have an address, such as one of IPv6, that this machine cannot reach, beside one that it can."""
    with black_hole() as silent, socket.create_server(("127.0.0.1", 0)) as listener:
        resolves_to(monkeypatch, ("127.0.0.1", silent), listener.getsockname())
        finding = await doctor.tls(urlsplit("http://gateway.test"), ssl.create_default_context())
    assert finding.ok is True


async def test_what_the_system_says_of_a_time_limit_of_its_own_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A firewall that drops everything, on a system whose limit is shorter."""
    monkeypatch.setattr(doctor, "open_socket", mock.AsyncMock(side_effect=TimeoutError(110, "timed out there")))
    finding = await doctor.tls(urlsplit("http://127.0.0.1:9"), ssl.create_default_context())
    assert finding.detail == "no connection to 127.0.0.1, port 9: [Errno 110] timed out there"


@pytest.mark.parametrize(
    ("date", "ok", "said"),
    [
        ("Tue, 14 Nov 2023 22:13:20 GMT", True, "0 s behind"),
        ("Tue, 14 Nov 2023 22:12:30 GMT", True, "50 s ahead of"),
        ("Tue, 14 Nov 2023 22:18:20 GMT", False, "300 s behind"),
        ("Tue, 14 Nov 2023 22:08:20 GMT", False, "300 s ahead of"),
        ("Tue Nov 14 22:12:30 2023", True, "50 s ahead of"),
        ("yesterday", None, "no Date header"),
        (None, None, "no Date header"),
    ],
)
async def test_the_clock_is_compared_with_the_gateway_s(
    date: str | None, ok: bool | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the header of an unsigned request, in UTC whatever this machine's zone is. A minute off is a failure."""
    monkeypatch.setenv("TZ", "Australia/Sydney")
    time.tzset()

    def answer(request: httpx.Request) -> httpx.Response:
        assert not request.url.query
        return httpx.Response(405, headers={"Date": date} if date else {})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        finding = await doctor.clock(http, "https://gateway.example/omipay/api", ManualClock())
    monkeypatch.undo()
    time.tzset()
    assert finding.ok is ok
    assert said in finding.detail


@pytest.mark.parametrize(
    ("second", "ok"), [("Tue, 14 Nov 2023 22:13:20 GMT", True), ("Tue, 14 Nov 2023 22:13:21 GMT", None)]
)
async def test_a_date_that_comes_twice_counts_if_both_are_equal(second: str, ok: bool | None) -> None:
    """A server behind another one, each of which adds its own. Calls read such headers in the same way."""
    headers = [("Date", "Tue, 14 Nov 2023 22:13:20 GMT"), ("Date", second)]
    answer = httpx.MockTransport(lambda _: httpx.Response(405, headers=headers))
    async with httpx.AsyncClient(transport=answer) as http:
        assert (await doctor.clock(http, "https://gateway.example/omipay/api", ManualClock())).ok is ok
