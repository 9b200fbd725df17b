"""Programs that patch httpx or httpcore see the session's requests; what mocks the gateway keeps them off the real one.

``test_patches_of_the_client`` has those that patch ``httpx.AsyncClient``. Also what our own transport relies on in
httpx without its saying so: each of these fails when httpx changes.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock

import httpcore
import httpx
import pytest
import respx
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from omipay_async import NotSent, OutcomeUnknown
from omipay_async.transport.network import Network
from omipay_async.transport.patches import WatchedTransport, httpcore_is_patched, transport_is_patched
from omipay_async.transport.session_client import SessionClient
from tests.support.untyped import untyped
from tests.support.waiting import until

from .behaviours import Behaviour, message
from .client import open_session, query, scan
from .server import always, refusing_port, url_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_httpx import HTTPXMock

    from .server import Gateway

NOWHERE = "https://gateway.test/omipay/api"
PAID = {"return_code": "SUCCESS", "result_code": "PAID", "order_no": "OM-1", "currency": "AUD", "amount": 100}
SALE = {"return_code": "SUCCESS", "order_no": "OM-A-1", "out_order_no": "A-1", "order_time": "20260102030405"}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A connection to the network fails the test, except in tests that have a gateway."""
    if "gateway" in request.fixturenames:
        return

    async def connect(*_: object) -> object:
        pytest.fail("a real connection was opened")

    monkeypatch.setattr(Network, "connect", connect)


# -- respx ------------------------------------------------------------------------------------------------------------


@respx.mock
async def test_respx_sees_every_request() -> None:
    """In its default mode, without a server, with the whole query."""
    asked = respx.get(f"{NOWHERE}/v2/QueryOrder", params={"order_no": "OM-1"}).respond(json=PAID)
    bought = respx.post(f"{NOWHERE}/v2/MakeScanOrder").respond(json=SALE)
    async with open_session(NOWHERE) as omipay:
        assert (await omipay.query_order("OM-1")).is_paid
        await scan(omipay, "A-1")
        await query(omipay, "OM-1")
    assert (asked.call_count, bought.call_count) == (2, 1)
    assert bought.calls.last.request.url.params["out_order_no"] == "A-1"


@respx.mock
async def test_what_respx_raises_has_the_same_outcome_as_on_any_transport() -> None:
    """A refused connection was never sent; after a lost reply the outcome is unknown."""
    route = respx.post(f"{NOWHERE}/v2/MakeScanOrder")
    async with open_session(NOWHERE) as omipay:
        route.mock(side_effect=httpx.ReadError)
        with pytest.raises(OutcomeUnknown):
            await scan(omipay, "A-1")
        route.mock(side_effect=httpx.ConnectError)
        with pytest.raises(NotSent):
            await scan(omipay, "A-2")


async def test_respx_that_begins_and_ends_while_a_session_lives(gateway: Gateway) -> None:
    """While it is active it gets every request, before and after that the gateway does."""
    async with open_session(gateway) as omipay:
        await query(omipay, "OM-1")
        with respx.mock:
            respx.get(f"{gateway.base_url}/v2/QueryOrder").respond(json=PAID)
            await query(omipay, "OM-1")
        await query(omipay, "OM-2")
    assert gateway.numbers == ["OM-1", "OM-2"]


async def test_what_respx_lets_through_is_sent(gateway: Gateway) -> None:
    """Over httpcore's own connections, which are not kept."""
    with respx.mock(assert_all_called=False) as mock:
        mock.route().pass_through()
        async with open_session(gateway) as omipay:
            await query(omipay, "OM-1")
            await scan(omipay, "A-1")
    assert gateway.acts == {"OM-1": 1, "A-1": 1}
    assert gateway.connections == 2


@pytest.mark.parametrize(
    ("mock", "asked"),
    [
        ("respx.mock", "httpcore_is_patched"),
        ("patch('httpx.AsyncHTTPTransport', lambda **_: None)", "transport_is_replaced"),
    ],
)
def test_a_library_that_is_first_imported_while_a_mock_is_active_steps_aside_too(mock: str, asked: str) -> None:
    """What it finds in the place of a class of httpcore or httpx is not taken for their own."""
    code = (
        "import respx\n"
        "from unittest.mock import patch\n"
        f"with {mock}:\n"
        f"    from omipay_async.transport.patches import {asked}\n"
        f"    print({asked}())\n"
        f"print({asked}())\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["True", "False"]


class Wrapper:
    """What tracers put in the place of a method: it has all attributes of what it wraps."""

    def __init__(self, wrapped: Any) -> None:
        self._wrapped = wrapped

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)


@pytest.mark.parametrize("method", ["handle_async_request", "__init__"])
@pytest.mark.parametrize("kind", [httpx.AsyncHTTPTransport, httpcore.AsyncConnectionPool, httpcore.AsyncHTTPConnection])
def test_whatever_replaces_a_method_is_noticed(monkeypatch: pytest.MonkeyPatch, kind: type[Any], method: str) -> None:
    """A function of another module, any other callable, or a wrapper."""
    assert not transport_is_patched()
    for instead in (lambda _: None, object(), Wrapper(getattr(kind, method))):
        with monkeypatch.context() as patched:
            patched.setattr(kind, method, instead)
            assert transport_is_patched() is (kind is httpx.AsyncHTTPTransport)
            assert httpcore_is_patched() is (kind is not httpx.AsyncHTTPTransport)
    assert not transport_is_patched()
    assert not httpcore_is_patched()


@pytest.mark.parametrize("kind", [httpx.AsyncHTTPTransport, httpcore.AsyncConnectionPool, httpcore.AsyncHTTPConnection])
async def test_a_mock_that_replaces_init_too_keeps_a_charge_off_the_gateway(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, kind: type[Any]
) -> None:
    """Such as one that makes no TLS context: both are functions of one module then, as they were before."""

    async def answered(_: object, request: Any) -> Any:
        response: type[Any] = sys.modules[kind.__module__].Response
        return response(200, headers=[(b"Content-Type", b"application/json")], content=json.dumps(SALE).encode())

    begin = kind.__init__

    def begin_here(*args: Any, **options: Any) -> None:
        begin(*args, **options)

    monkeypatch.setattr(kind, "__init__", begin_here)
    monkeypatch.setattr(kind, "handle_async_request", answered)
    async with open_session(gateway) as omipay:
        assert untyped(await scan(omipay, "A-1")).order_no == SALE["order_no"]
    assert gateway.numbers == []


def answer(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json=SALE)


@pytest.mark.parametrize(
    "mock", [httpx.MockTransport(answer), SimpleNamespace(handle_async_request=AsyncMock(side_effect=answer))]
)
async def test_a_mock_in_the_place_of_httpx_transport_keeps_a_charge_off_the_gateway(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, mock: object
) -> None:
    """It replaces the name only, as a test did under version 0.1, which used the class of this name.

    Nothing follows from it if the mock cannot be closed.
    """
    async with open_session(gateway) as omipay:
        with monkeypatch.context() as patched:
            patched.setattr(httpx, "AsyncHTTPTransport", lambda **_: mock)
            assert untyped(await scan(omipay, "A-1")).order_no == SALE["order_no"]
        await scan(omipay, "A-2")
    assert gateway.numbers == ["A-2"]


@pytest.mark.parametrize("loaded", [None, ModuleType("httpcore")], ids=["not imported", "being imported by a thread"])
async def test_a_session_that_nobody_watches_makes_no_objects_of_httpx(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, loaded: ModuleType | None
) -> None:
    """Its requests go out over its own connections, which is twice as fast and needs no httpcore."""
    monkeypatch.setitem(sys.modules, "httpcore", loaded)
    async with open_session(gateway) as omipay:
        await query(omipay, "OM-1")
        monkeypatch.setattr(httpx, "Request", None)
        monkeypatch.setattr(httpx, "Response", None)
        await query(omipay, "OM-2")
        await scan(omipay, "A-1")
    assert gateway.numbers == ["OM-1", "OM-2", "A-1"]


def test_nothing_is_patched_here() -> None:
    """httpx itself has every method that is looked at; if it renames one, each request would go through a client."""
    transport = httpx.AsyncHTTPTransport()
    assert not SessionClient(httpx.AsyncClient(transport=transport), transport).any_is_patched()


async def test_calls_cancelled_at_any_step_leave_no_connection_where_httpcore_is_patched(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tracer patches it for the life of a process, in which httpcore's pool would lose one now and then."""
    old = httpcore.AsyncHTTPConnection.handle_async_request

    async def trace(connection: Any, request: httpcore.Request) -> httpcore.Response:
        return await old(connection, request)

    monkeypatch.setattr(httpcore.AsyncHTTPConnection, "handle_async_request", trace)
    async with open_session(gateway) as omipay:
        for steps in range(80):
            call = asyncio.ensure_future(query(omipay, "OM-1"))
            for _ in range(steps):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait([call])
        await until(lambda: gateway.open_connections == 0, "every connection to be closed")


# -- pytest-httpx -----------------------------------------------------------------------------------------------------


async def test_pytest_httpx_sees_every_request(httpx_mock: HTTPXMock) -> None:
    """By method and path. The URL that it sees does not contain the signed query."""
    httpx_mock.add_response(method="GET", url=f"{NOWHERE}/v2/QueryOrder", json=PAID)
    httpx_mock.add_response(method="POST", url=f"{NOWHERE}/v2/MakeScanOrder", json=SALE)
    async with open_session(NOWHERE) as omipay:
        assert (await omipay.query_order("OM-1")).is_paid
        await scan(omipay, "A-1")
    requests = httpx_mock.get_requests()
    assert [request.method for request in requests] == ["GET", "POST"]
    assert b"sign=" in requests[1].extensions["target"]


async def test_what_pytest_httpx_raises_has_the_same_outcome_as_on_any_transport(httpx_mock: HTTPXMock) -> None:
    """After a timeout the outcome is unknown."""
    httpx_mock.add_exception(httpx.ReadTimeout("slow"))
    async with open_session(NOWHERE) as omipay:
        with pytest.raises(OutcomeUnknown):
            await scan(omipay, "A-1")


# -- OpenTelemetry ----------------------------------------------------------------------------------------------------


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """The spans of httpx's instrumentation."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor: Any = HTTPXClientInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    yield exporter
    instrumentor.uninstrument()


def shown_by(spans: InMemorySpanExporter) -> str:
    """All text in the spans."""
    return "\n".join(span.to_json() for span in spans.get_finished_spans())


async def test_open_telemetry_sees_every_request(gateway: Gateway, spans: InMemorySpanExporter) -> None:
    """Each has a span without the signature, and the gateway gets the trace in a header."""
    async with open_session(gateway) as omipay:
        await query(omipay, "OM-1")
        await scan(omipay, "A-1")
    assert [span.name for span in spans.get_finished_spans()] == ["GET", "POST"]
    assert all(request.headers["traceparent"] for request in gateway.requests)
    assert "/v2/MakeScanOrder" in shown_by(spans)
    for request in gateway.requests:
        assert request.query["sign"] not in shown_by(spans)
        assert request.query["nonce_str"] not in shown_by(spans)


async def test_open_telemetry_sees_the_requests_of_one_session(gateway: Gateway) -> None:
    """Of the one whose client was given to it; without the signature."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with open_session(gateway) as omipay, open_session(gateway) as other:
        HTTPXClientInstrumentor.instrument_client(omipay.http, tracer_provider=provider)
        await query(omipay, "OM-1")
        await scan(omipay, "A-1")
        await query(other, "OM-2")
        HTTPXClientInstrumentor.uninstrument_client(omipay.http)
        await query(omipay, "OM-3")
    assert [span.name for span in exporter.get_finished_spans()] == ["GET", "POST"]
    assert gateway.numbers == ["OM-1", "A-1", "OM-2", "OM-3"]
    assert all(request.query["sign"] not in shown_by(exporter) for request in gateway.requests)


async def test_under_open_telemetry_replies_are_read_as_otherwise(
    gateway: Gateway, spans: InMemorySpanExporter
) -> None:
    """With the headers that they came with: here, text in declared GBK."""
    body = json.dumps(PAID | {"memo": "已付款"}, ensure_ascii=False).encode("gbk")
    says = message(body).replace(b"/json", b"/json; charset=gbk", 1)
    gateway.script = always(Behaviour("GBK", says=lambda _: says))
    async with open_session(gateway) as omipay:
        assert (await omipay.query_order("OM-1")).raw["memo"] == "已付款"
    assert spans.get_finished_spans()


async def test_open_telemetry_sees_what_failed(spans: InMemorySpanExporter, gateway: Gateway) -> None:
    """As an exception of httpx."""
    del gateway
    with refusing_port() as port:
        async with open_session(url_of(port.getsockname()[1])) as omipay:
            with pytest.raises(NotSent):
                await scan(omipay, "A-1")
    assert "ConnectError" in shown_by(spans)
    assert "sign=" not in shown_by(spans)


# -- what we rely on --------------------------------------------------------------------------------------------------


async def test_the_pool_of_httpx_is_where_we_replace_it() -> None:
    """``_pool`` is the one private name of httpx that we use: its transport makes it, calls it and closes it."""
    theirs = httpx.AsyncHTTPTransport(verify=False)
    assert isinstance(theirs._pool, httpcore.AsyncConnectionPool)
    ours = WatchedTransport(Network(verify=True))
    assert set(vars(ours)) == set(vars(theirs)) == {"_pool"}
    asked: list[str] = []

    class Pool:
        async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
            asked.append(request.url.target.decode())
            return httpcore.Response(204)

        async def aclose(self) -> None:
            asked.append("closed")

    untyped(theirs)._pool = Pool()
    request = httpx.Request("GET", "https://gateway.test/a", extensions={"target": b"/b?sign=1"})
    assert (await theirs.handle_async_request(request)).status_code == 204
    await theirs.aclose()
    assert asked == ["/b?sign=1", "closed"]


async def test_a_program_that_closes_the_transport_of_one_request_closes_no_connection(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other requests go over the session's connections at the same moment, a charge among them."""
    send = httpx.AsyncHTTPTransport.handle_async_request

    async def send_and_close(transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        try:
            return await send(transport, request)
        finally:
            await transport.aclose()

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", send_and_close)
    async with open_session(gateway) as omipay:
        await query(omipay, "OM-1")
        await query(omipay, "OM-2")
    assert gateway.connections == 1
