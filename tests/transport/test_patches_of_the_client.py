"""Programs that patch ``httpx.AsyncClient``: tracers see no signature, and mocks keep requests off the real gateway."""

from __future__ import annotations

import asyncio
import logging
import socket
import zlib
from typing import TYPE_CHECKING, Any
from unittest import mock

import httpcore
import httpx
import pytest
import respx

from omipay_async import AsyncOmipay, NotSent, OutcomeUnknown, RetryPolicy, TransportError
from omipay_async.sandbox import Sandbox
from omipay_async.transport.attempt import TooLateError

from .behaviours import ACT_CLOSE, HEALTHY, REDIRECT, Behaviour, message
from .client import Transport, open_session, query, scan
from .proxy import Proxy
from .server import M_NUMBER, ROOT, SECRET_KEY, Gateway, always, in_turn, refusing_port, url_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Send = Callable[..., Awaitable[httpx.Response]]

NOWHERE = "https://gateway.test/omipay/api"
PAID = {"return_code": "SUCCESS", "result_code": "PAID", "order_no": "OM-1", "currency": "AUD", "amount": 100}
SALE = {"return_code": "SUCCESS", "order_no": "OM-A-1", "out_order_no": "A-1", "order_time": "20260102030405"}
METHODS = ("send", "_send_handling_auth", "_send_handling_redirects", "_send_single_request")


def wrap(monkeypatch: pytest.MonkeyPatch, wrapper: Callable[[Send, Any], Awaitable[httpx.Response]]) -> None:
    """Replace the client's method as tracers do: ``wrapper`` gets the old one, bound, and the request."""
    old = httpx.AsyncClient.send

    async def send(client: httpx.AsyncClient, request: httpx.Request, **options: Any) -> httpx.Response:
        async def go_on() -> httpx.Response:
            return await old(client, request, **options)

        return await wrapper(go_on, request)

    monkeypatch.setattr(httpx.AsyncClient, "send", send)


@pytest.mark.parametrize("method", METHODS)
async def test_a_mock_of_any_method_answers(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """Nothing is sent, also if the session was made before."""

    async def answer(_: httpx.AsyncClient, request: httpx.Request, **__: Any) -> httpx.Response:
        return httpx.Response(200, json=PAID if request.method == "GET" else SALE, request=request)

    async with open_session(NOWHERE) as omipay:
        with monkeypatch.context() as patched:
            patched.setattr(httpx.AsyncClient, method, answer)
            assert (await omipay.query_order("OM-1")).is_paid
            await scan(omipay, "A-1")
        with pytest.raises(NotSent):
            await scan(omipay, "A-2")


@pytest.mark.parametrize("methods", [("request",), ("get", "post")], ids="-".join)
async def test_a_mock_of_what_programs_call_answers(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, methods: tuple[str, ...]
) -> None:
    """It gets the address without parameters, and our headers."""
    answers = [httpx.Response(200, json=PAID), httpx.Response(200, json=SALE)]
    mocked = mock.AsyncMock(side_effect=answers)
    for method in methods:
        monkeypatch.setattr(httpx.AsyncClient, method, mocked)
    async with open_session(gateway) as omipay:
        await query(omipay, "OM-1")
        await scan(omipay, "A-1")
    assert gateway.numbers == []
    read, charge = (call.args[-1] for call in mocked.await_args_list)
    assert (read.path, charge.path) == ("/omipay/api/v2/QueryOrder", "/omipay/api/v2/MakeScanOrder")
    assert not read.query
    assert all("omipay" in call.kwargs["headers"]["User-Agent"] for call in mocked.await_args_list)


@pytest.mark.parametrize("methods", [("send",), ("request",), ("get", "post")], ids="-".join)
async def test_a_mock_of_one_sessions_client_answers(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, methods: tuple[str, ...]
) -> None:
    """For this session alone, and only as long as it is there."""
    mocked = mock.AsyncMock(side_effect=[httpx.Response(200, json=PAID), httpx.Response(200, json=SALE)])
    async with open_session(gateway) as omipay, open_session(gateway) as other:
        with monkeypatch.context() as patched:
            for method in methods:
                patched.setattr(omipay.http, method, mocked)
            await query(omipay, "OM-1")
            await scan(omipay, "A-1")
            await scan(other, "A-2")
        await scan(omipay, "A-3")
    assert gateway.numbers == ["A-2", "A-3"]


async def test_a_mock_of_one_sessions_transport_answers(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no public name, but test suites replace it; older versions of OpenTelemetry wrap it."""
    async with open_session(gateway) as omipay:
        own = vars(omipay.http)["_transport"]
        answers = iter([httpx.Response(200, json=PAID), httpx.Response(200, json=SALE)])
        with monkeypatch.context() as patched:
            patched.setattr(omipay.http, "_transport", httpx.MockTransport(lambda _: next(answers)))
            await query(omipay, "OM-1")
            await scan(omipay, "A-1")
            patched.setattr(omipay.http, "_transport", httpx.MockTransport(own.handle_async_request))
            await scan(omipay, "A-2")
        await scan(omipay, "A-3")
    assert gateway.numbers == ["A-2", "A-3"]


async def test_what_wraps_get_lets_the_request_through(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway's answer comes back, of a read and of a charge."""
    old, seen = httpx.AsyncClient.get, []

    async def get(client: httpx.AsyncClient, url: httpx.URL, **options: Any) -> httpx.Response:
        seen.append(url.path)
        return await old(client, url, **options)

    monkeypatch.setattr(httpx.AsyncClient, "get", get)
    async with open_session(gateway) as omipay:
        await query(omipay, "OM-1")
        await scan(omipay, "A-1")
    assert seen == ["/omipay/api/v2/QueryOrder"]
    assert gateway.numbers == ["OM-1", "A-1"]


async def test_respx_above_httpcore() -> None:
    """Its other mode replaces a method by which a client chooses its transport."""
    async with open_session(NOWHERE) as omipay:
        with respx.mock(using="httpx") as router:
            asked = router.get(f"{NOWHERE}/v2/QueryOrder").respond(json=PAID)
            assert (await omipay.query_order("OM-1")).is_paid
    assert asked.call_count == 1


class Offline(httpx.AsyncClient):
    """What a test suite may put in the place of the class."""

    def __init__(self, **_: Any) -> None:
        super().__init__()

    async def send(self, *_: Any, **__: Any) -> httpx.Response:
        raise RuntimeError("there is no network in tests")


@pytest.mark.parametrize("instead", [mock.MagicMock(), Offline])
async def test_a_whole_class_that_was_replaced(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, instead: object
) -> None:
    """What cannot send sends nothing: the gateway gets neither a read nor a charge."""
    async with open_session(gateway) as omipay:
        monkeypatch.setattr(httpx, "AsyncClient", instead)
        with pytest.raises(TransportError):
            await query(omipay, "OM-1")
        with pytest.raises(OutcomeUnknown):
            await scan(omipay, "A-1")
    assert gateway.numbers == []


@pytest.mark.parametrize("kind", list(Transport), ids=str)
async def test_a_tracer_sees_every_request_and_no_signature(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: Transport
) -> None:
    """Nor do the client's own log and the tracer's copy of the reply contain what the server repeats of it."""
    seen: list[str] = []

    async def trace(go_on: Send, request: httpx.Request) -> httpx.Response:
        response = await go_on()
        seen.extend(map(str, (request.method, request.url, request.headers, request.extensions, response.extensions)))
        return response

    def echo(reply: bytes) -> bytes:
        target = gateway.requests[-1].target
        return reply.replace(b"200 OK", f"200 {target}".encode(), 1)

    gateway.script = always(Behaviour("echoes", says=echo))
    wrap(monkeypatch, trace)
    caplog.set_level(logging.DEBUG, "httpx")
    async with open_session(gateway, kind) as omipay:
        await query(omipay, "OM-1")
        await scan(omipay, "A-1")
    assert [text for text in seen if text in ("GET", "POST")] == ["GET", "POST"]
    assert len(gateway.requests) == 2
    shown = "\n".join([*seen, caplog.text])
    assert "/v2/MakeScanOrder" in shown
    for request in gateway.requests:
        assert not any(request.query[name] in shown for name in ("sign", "nonce_str"))
    assert "134567890" not in shown


async def test_whoever_patches_httpcore_too_is_called_within_a_request_of_the_client(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elastic APM writes down the URL, which is signed there, of requests that no client has made."""
    within, signed = False, []

    async def leaf(go_on: Send, _: httpx.Request) -> httpx.Response:
        nonlocal within
        within = True
        try:
            return await go_on()
        finally:
            within = False

    old = httpcore.AsyncHTTPConnection.handle_async_request

    async def write_down(connection: Any, request: httpcore.Request) -> httpcore.Response:
        if not within:
            signed.append(request.url.target)
        return await old(connection, request)

    wrap(monkeypatch, leaf)
    monkeypatch.setattr(httpcore.AsyncHTTPConnection, "handle_async_request", write_down)
    async with open_session(gateway) as omipay:
        await query(omipay, "OM-1")
        await scan(omipay, "A-1")
    assert gateway.numbers == ["OM-1", "A-1"]
    assert signed == []


async def test_a_proxy_sees_no_signature(secure: Gateway, certified: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for a tunnel, as without a patch."""
    wrap(monkeypatch, lambda go_on, _: go_on())
    async with Proxy() as proxy, open_session(secure, proxy=proxy.url, verify=certified.client) as omipay:
        await scan(omipay, "A-1")
        await query(omipay, "OM-1")
        assert secure.numbers == ["A-1", "OM-1"]
        assert not any("sign" in head or SECRET_KEY in head for head in proxy.heads)


@pytest.mark.parametrize("kind", list(Transport), ids=str)
async def test_a_program_that_repeats_what_clients_send(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, kind: Transport
) -> None:
    """A charge is sent once. The second answer would be believed: a refusal, although the customer has paid."""
    gateway.script = in_turn(ACT_CLOSE, then=HEALTHY)

    async def repeat(go_on: Send, _: httpx.Request) -> httpx.Response:
        try:
            return await go_on()
        except httpx.TransportError:
            return await go_on()

    wrap(monkeypatch, repeat)
    async with open_session(gateway, kind) as omipay:
        with pytest.raises(OutcomeUnknown, match="SentAlreadyError"):
            await scan(omipay, "A-1")
    assert gateway.acts == {"A-1": 1}


@pytest.mark.parametrize("kind", list(Transport), ids=str)
async def test_what_fails_after_the_reply_does_not_mean_that_nothing_was_sent(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, kind: Transport
) -> None:
    """A tracer that cannot reach its own server, for example."""

    async def fail(go_on: Send, _: httpx.Request) -> httpx.Response:
        await go_on()
        raise httpx.ConnectError("the collector of traces cannot be reached")

    wrap(monkeypatch, fail)
    async with open_session(gateway, kind) as omipay:
        with pytest.raises(OutcomeUnknown):
            await scan(omipay, "A-1")
    assert gateway.acts == {"A-1": 1}


@pytest.mark.parametrize("kind", list(Transport), ids=str)
@pytest.mark.parametrize("waits", [True, False])
async def test_a_request_instead_of_one_that_failed_does_not_mean_that_nothing_was_sent(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, kind: Transport, *, waits: bool
) -> None:
    """Whatever a program then raises of its own, after the failure or before it has waited for that."""
    gateway.script = always(ACT_CLOSE)
    tasks: list[asyncio.Task[object]] = []

    async def fail(go_on: Send, _: httpx.Request) -> httpx.Response:
        tasks.append(asyncio.ensure_future(go_on()))
        while not (tasks[0].done() if waits else gateway.acts):
            await asyncio.sleep(0)
        raise httpx.ConnectError("another way cannot be connected either")

    wrap(monkeypatch, fail)
    async with open_session(gateway, kind) as omipay:
        with pytest.raises(OutcomeUnknown):
            await scan(omipay, "A-1")
        await asyncio.gather(*tasks, return_exceptions=True)
    assert gateway.acts == {"A-1": 1}


@pytest.mark.parametrize("shielded", [httpx.AsyncClient, httpx.AsyncHTTPTransport])
async def test_what_goes_on_after_its_attempt_does_not_send_it(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, shielded: Any
) -> None:
    """A program keeps a request from being cancelled: it was tried again meanwhile, or nobody waits for it any more."""
    name = "send" if shielded is httpx.AsyncClient else "handle_async_request"
    old = getattr(shielded, name)
    tasks: list[asyncio.Task[object]] = []

    async def go_on(*arguments: Any, **options: Any) -> object:
        tasks.append(asyncio.ensure_future(old(*arguments, **options)))
        return await asyncio.shield(tasks[-1])

    async def slow_once(*_: Any, **__: Any) -> Any:
        while len(tasks) < 2:
            await asyncio.sleep(0.001)
        return [(socket.AF_INET, None, None, None, ("127.0.0.1", httpx.URL(gateway.base_url).port))]

    monkeypatch.setattr(shielded, name, go_on)
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", slow_once)
    url = f"http://gateway.localhost{ROOT}"
    async with AsyncOmipay(M_NUMBER, SECRET_KEY, base_url=url, timeout=1.2, retry=RetryPolicy(base_delay=0)) as omipay:
        await scan(omipay, "A-1")
        await asyncio.wait(tasks)
    assert gateway.acts == {"A-1": 1}
    assert isinstance(tasks[0].exception(), TooLateError)


@pytest.mark.parametrize("kind", list(Transport), ids=str)
async def test_a_refused_connection_is_still_never_sent(monkeypatch: pytest.MonkeyPatch, kind: Transport) -> None:
    """As without a patch."""
    wrap(monkeypatch, lambda go_on, _: go_on())
    with refusing_port() as port:
        async with open_session(url_of(port.getsockname()[1]), kind) as omipay:
            with pytest.raises(NotSent):
                await scan(omipay, "A-1")


async def test_a_client_follows_no_redirect_and_reads_no_address(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page is an unusable reply, as without a patch, also if its address cannot be read."""
    moved = Behaviour("moved", says=lambda _: message(b"", "302 Found", "Location: https://[::"))
    wrap(monkeypatch, lambda go_on, _: go_on())
    for script in (always(REDIRECT), always(moved)):
        gateway.script = script
        async with open_session(gateway) as omipay:
            with pytest.raises(OutcomeUnknown, match="302"):
                await scan(omipay, "A-1")
    assert len(gateway.requests) == 2


async def test_a_client_does_not_unpack_a_reply(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its bytes are counts, as without a patch, and not what ``Content-Encoding`` says."""

    def mislabelled(reply: bytes) -> bytes:
        return reply.replace(b"\r\n", b"\r\nContent-Encoding: gzip\r\n", 1)

    def deflated(reply: bytes) -> bytes:
        return message(zlib.compress(reply.partition(b"\r\n\r\n")[2]), "200 OK", "Content-Encoding: deflate")

    old = httpx.AsyncClient.post

    async def post(client: httpx.AsyncClient, url: httpx.URL, **options: Any) -> httpx.Response:
        return await old(client, url, **options)

    monkeypatch.setattr(httpx.AsyncClient, "post", post)
    gateway.script = in_turn(Behaviour("mislabelled", says=mislabelled), Behaviour("deflated", says=deflated))
    async with open_session(gateway) as omipay:
        await scan(omipay, "A-1")
        await scan(omipay, "A-2")
    assert gateway.acts == {"A-1": 1, "A-2": 1}


async def test_a_gateway_in_memory_is_not_mocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that mocks another service keeps its sandbox."""
    wrap(monkeypatch, mock.AsyncMock(side_effect=AssertionError("mocked")))
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=PAID))
    async with Sandbox() as sandbox, sandbox.session() as omipay:
        await omipay.get_exchange_rate("AUD", "CNY")
    async with AsyncOmipay(M_NUMBER, SECRET_KEY, base_url=NOWHERE, transport=transport) as omipay:
        await query(omipay, "OM-1")
