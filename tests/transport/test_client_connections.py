"""The session's own connections, over a network in memory: what is sent on which, and when they are closed."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import httpcore
import pytest

from omipay_async import (
    AsyncOmipay,
    InvalidReply,
    NotSent,
    Outcome,
    OutcomeUnknown,
    TransportError,
    __version__,
)
from tests.support.clocks import LeapingClock
from tests.support.network import TUNNEL, Network, reply
from tests.support.scripted_gateway import M_NUMBER, ONCE, SECRET_KEY, begin, order, outcome
from tests.support.untyped import untyped

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from pytest_httpx import HTTPXMock

    from omipay_async.testing import ManualClock

PAID = reply(order("PAID"))
REFUNDED = reply({"return_code": "SUCCESS", "refund_no": "RF1"})


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    network = Network()
    network.replace_sockets(monkeypatch)
    monkeypatch.setattr("omipay_async.transport.proxies.getproxies", dict)  # not the machine's own
    return network


def session(clock: ManualClock, **options: Any) -> AsyncOmipay:
    """A session whose connections are its own."""
    wired: dict[str, Any] = {"base_url": "https://gateway.test/omipay/api", "clock": clock, "retry": ONCE}
    return AsyncOmipay(M_NUMBER, SECRET_KEY, **wired, **options)


def refund(omipay: AsyncOmipay) -> Coroutine[Any, Any, Any]:
    """A money call."""
    return omipay.refund(order_no="TR1", out_refund_no="R-1", amount=1)


async def test_money_is_not_sent_after_half_its_time_was_spent_connecting(network: Network) -> None:
    """A process that was blocked while it connected sends nothing late: the error is NOT_DONE."""
    clock = LeapingClock()
    network.connecting = clock.leap
    async with session(clock, timeout=30) as omipay:
        with pytest.raises(NotSent, match="less than half of its time was left") as caught:
            await refund(omipay)
    assert (caught.value.outcome, caught.value.endpoint) == (Outcome.NOT_DONE, "Refund")
    assert [(stream.sent, stream.closed) for stream in network.streams] == [(b"", True)]


async def test_a_handshake_that_hangs_is_given_up(clock: ManualClock, network: Network) -> None:
    """When the time for connecting is over, nothing was sent, and the connection is closed."""
    network.tls_hangs = True
    async with session(clock, timeout=30) as omipay:
        money = await begin(clock, refund(omipay))
        await clock.advance(5)
        error = await outcome(money)
        assert isinstance(error, NotSent)
        assert str(error).startswith("Refund: no connection in time (")
        assert error.endpoint == "Refund"
    assert [(stream.sent, stream.closed) for stream in network.streams] == [(b"", True)]


@pytest.mark.parametrize(("endpoint", "kind"), [("QueryOrder", TransportError), ("Refund", OutcomeUnknown)])
async def test_the_error_of_a_reply_that_does_not_come(
    clock: ManualClock, network: Network, endpoint: str, kind: type[TransportError | OutcomeUnknown]
) -> None:
    """It contains the endpoint, and the connection is closed, so that a late reply cannot be read."""
    network.replies = [b""]
    async with session(clock, timeout=4) as omipay:
        call = await begin(clock, omipay.query_order("TR1") if endpoint == "QueryOrder" else refund(omipay))
        await clock.advance(4)
        error = await outcome(call)
        assert type(error) is kind
        assert error.endpoint == endpoint
        assert f"{endpoint}: no answer in time" in str(error)
        assert network.streams[0].closed


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(113, "No route to host"), "(OSError: No route to host)"),
        (ConnectionResetError(104, "Connection reset by peer"), "(ConnectionResetError)"),
    ],
)
async def test_the_error_of_a_path_that_was_lost_says_why(
    clock: ManualClock, network: Network, error: OSError, said: str
) -> None:
    """Also where the class of the system's error has no name of its own."""
    network.replies = [b""]
    async with session(clock, timeout=30) as omipay:
        call = await begin(clock, refund(omipay))
        stream = untyped(network.streams[0])
        stream.closed = True
        stream.protocol.connection_lost(error)
        lost = await outcome(call)
    assert isinstance(lost, OutcomeUnknown)
    assert f"ReadError: the connection was lost {said}" in str(lost)


async def test_a_program_that_wraps_httpcore_gets_every_request(
    clock: ManualClock, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request whose connection was never made is still NotSent."""
    own = httpcore.AsyncConnectionPool.handle_async_request
    seen: list[bytes] = []

    async def wrapped(pool: httpcore.AsyncConnectionPool, request: httpcore.Request) -> httpcore.Response:
        seen.append(request.method)
        untyped(pool)._network_backend = network
        return await own(pool, request)

    monkeypatch.setattr(httpcore.AsyncConnectionPool, "handle_async_request", wrapped)
    network.replies = [PAID, PAID]
    async with session(clock, timeout=30) as omipay:
        for _ in range(2):
            await omipay.query_order("TR1")
        network.connecting_hangs = True
        money = await begin(clock, refund(omipay))
        await clock.advance(5)
        assert isinstance(await outcome(money), NotSent)
    assert seen == [b"GET", b"GET", b"POST"]
    assert [stream.closed for stream in network.streams] == [True, True]  # none was kept


async def test_a_reply_that_is_not_believed_ends_its_connection(clock: ManualClock, network: Network) -> None:
    """At once, since the next reply over it may be another call's too."""
    network.replies = [reply(order("PAID", order_no="TR2")), PAID]
    async with session(clock) as omipay:
        with pytest.raises(InvalidReply):
            await omipay.query_order("TR1")
        assert network.streams[0].closed
        assert (await omipay.query_order("TR1")).is_paid
    assert len(network.streams) == 2


def test_the_client_of_the_session_has_connections_of_its_own_in_each_event_loop(
    clock: ManualClock, network: Network
) -> None:
    """After a move to another loop, no connection of the previous one is used."""
    network.replies = [PAID] * 4
    omipay = session(clock)

    async def both() -> None:
        await omipay.query_order("TR1")
        await omipay.http.get("https://gateway.test/health")

    for _ in range(2):
        asyncio.run(both())
    assert len(network.streams) == 4
    asyncio.run(omipay.aclose())


async def test_money_travels_alone(clock: ManualClock, network: Network) -> None:
    """Each money call has a new connection, which is closed after the reply. Reads keep theirs."""
    network.replies = [PAID, REFUNDED, PAID, REFUNDED]
    async with session(clock) as omipay:
        await omipay.query_order("TR1")
        await refund(omipay)
        await omipay.query_order("TR1")
        await refund(omipay)
        assert [stream.sent.count(b"HTTP/1.1\r\n") for stream in network.streams] == [2, 1, 1]
        assert [stream.closed for stream in network.streams] == [False, True, True]
    assert all(stream.closed for stream in network.streams)
    read, *money = (stream.sent for stream in network.streams)
    assert b"Connection: close" not in read
    assert all(b"\r\nConnection: close\r\n" in sent for sent in money)


@pytest.mark.parametrize(
    ("endpoint", "more"),
    [("QueryOrder", []), ("Refund", [b"Content-Length: 0", b"Connection: close"])],
)
async def test_the_headers_of_a_request(clock: ManualClock, network: Network, endpoint: str, more: list[bytes]) -> None:
    """JSON is accepted, uncompressed. A money call is a POST without a body that closes its connection."""
    network.replies = [PAID] if endpoint == "QueryOrder" else [REFUNDED]
    async with session(clock) as omipay:
        await (omipay.query_order("TR1") if endpoint == "QueryOrder" else refund(omipay))
    line, *headers = network.streams[0].sent.removesuffix(b"\r\n\r\n").split(b"\r\n")
    method = b"GET" if endpoint == "QueryOrder" else b"POST"
    assert line.startswith(b"%b /omipay/api/v2/%b?" % (method, endpoint.encode()))
    assert headers == [
        b"Host: gateway.test",
        *more,
        b"Accept: application/json",
        b"Accept-Encoding: identity",
        b"Content-Type: application/json",
        b"User-Agent: %b" % f"omipay-async/{__version__}".encode(),
    ]


@pytest.mark.parametrize(("idle", "connections"), [(30, 1), (31, 2)])
async def test_a_connection_that_was_idle_for_long_is_given_up(
    clock: ManualClock, network: Network, idle: float, connections: int
) -> None:
    """After half a minute the server may be about to close it."""
    network.replies = [PAID, PAID]
    async with session(clock) as omipay:
        await omipay.query_order("TR1")
        await clock.advance(idle)
        await omipay.query_order("TR1")
    assert len(network.streams) == connections
    assert all(stream.closed for stream in network.streams)


async def test_a_surplus_reply_answers_nothing(clock: ManualClock, network: Network) -> None:
    """The next request goes over another connection."""
    network.replies = [reply(order("READY"), then=PAID), reply(order("READY"))]
    async with session(clock) as omipay:
        assert not (await omipay.query_order("TR1")).is_paid
        assert not (await omipay.query_order("TR2")).is_paid
    assert len(network.streams) == 2


async def test_a_proxy_is_asked_for_a_tunnel_and_sees_no_signature(clock: ManualClock, network: Network) -> None:
    """The CONNECT contains only the gateway's address. The signed request goes through the tunnel."""
    network.replies = [TUNNEL, REFUNDED]
    async with session(clock, proxy="http://proxy.test:3128") as omipay:
        assert (await refund(omipay)).refund_no == "RF1"
    connect, _, through = network.streams[0].sent.partition(b"\r\n\r\n")
    assert connect.startswith(b"CONNECT gateway.test:443 HTTP/1.1\r\n")
    assert b"sign" not in connect
    assert through.startswith(b"POST /omipay/api/v2/Refund?")
    assert b"&sign=" in through


async def test_the_client_of_the_session_keeps_its_connections(clock: ManualClock, network: Network) -> None:
    """``session.http`` sends unsigned requests, and one connection serves two of them."""
    network.replies = [PAID, PAID]
    async with session(clock) as omipay:
        for _ in range(2):
            assert (await omipay.http.get("https://gateway.test/health")).json() == order("PAID")
    (stream,) = network.streams
    assert stream.sent.count(b"GET /health HTTP/1.1") == 2
    assert b"sign" not in stream.sent


async def test_the_client_of_the_session_makes_few_transports(clock: ManualClock, httpx_mock: HTTPXMock) -> None:
    """All hosts that ``session.http`` sends to share one."""
    httpx_mock.add_response(is_reusable=True)
    async with session(clock) as omipay:
        for index in range(50):
            await omipay.http.get(f"https://host-{index}.test/")
        assert len(omipay._client._unsigned._transports) == 1


async def test_the_log_loses_only_the_replies_to_our_requests(
    clock: ManualClock, network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    """httpcore's log of requests through a proxy lacks replies, which may contain a signature."""
    network.replies = [TUNNEL, PAID, TUNNEL, PAID]
    caplog.set_level(logging.DEBUG, "httpcore")

    def headers_heard() -> list[str]:
        return [said for said in caplog.messages if said.startswith("receive_response_headers.complete")]

    async with session(clock, proxy="http://proxy.test:3128") as omipay:
        await omipay.query_order("TR1")
        assert set(headers_heard()) == {"receive_response_headers.complete"}
        await omipay.http.get("https://gateway.test/health")
    assert "Content-Length" in headers_heard()[-1]
