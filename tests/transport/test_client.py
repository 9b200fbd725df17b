"""What a transport that the user gave gets and returns, what a slot keeps, and other event loops."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from omipay_async import (
    AsyncOmipay,
    ConfigurationError,
    InvalidReply,
    LookupFailed,
    NotSent,
    RetryPolicy,
    TransportError,
)
from omipay_async.protocol.reply import LARGEST_REPLY
from omipay_async.transport.pool import Slot
from tests.support.scripted_gateway import (
    M_NUMBER,
    ONCE,
    SECRET_KEY,
    Gateway,
    begin,
    fail,
    make_refund,
    order,
    outcome,
    settle,
)
from tests.support.untyped import untyped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from omipay_async.testing import ManualClock

BODY = json.dumps(order("PAID")).encode()


class Body(httpx.AsyncByteStream):
    """A body in these chunks, which may end with an error and can be closed."""

    def __init__(self, *chunks: bytes, error: Exception | None = None) -> None:
        self.chunks: Iterable[bytes] = chunks
        self.error = error
        self.sent = 0
        self.closed = asyncio.Event()
        self.may_close = asyncio.Event()
        self.may_close.set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            self.sent += len(chunk)
            yield chunk
        if self.error is not None:
            raise self.error

    async def aclose(self) -> None:
        """Close."""
        await self.may_close.wait()
        self.closed.set()


class Recorder(httpx.AsyncBaseTransport):
    """Keeps each request, and answers with the next body."""

    def __init__(self, *bodies: httpx.AsyncByteStream) -> None:
        self.bodies = list(bodies)
        self.requests: list[httpx.Request] = []
        self.closed = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer."""
        self.requests.append(request)
        return httpx.Response(200, stream=self.bodies.pop(0))

    async def aclose(self) -> None:
        """Count."""
        self.closed += 1


def session(transport: httpx.AsyncBaseTransport, clock: ManualClock, **options: Any) -> AsyncOmipay:
    """A session that repeats nothing."""
    wired: dict[str, Any] = {"base_url": "http://gateway.test/omipay/api", "retry": ONCE, "clock": clock}
    return AsyncOmipay(M_NUMBER, SECRET_KEY, transport=transport, **{**wired, **options})


# -- what is sent -----------------------------------------------------------------------------------------------------


async def test_a_given_transport_gets_the_time_limits(clock: ManualClock) -> None:
    """A third of the call's time for connecting, five seconds at most; else a minute more than the attempt's time."""
    transport = Recorder(Body(BODY), Body(BODY), Body(b'{"return_code": "SUCCESS", "refund_no": "RF1"}'))
    async with session(transport, clock, retry=RetryPolicy(attempts=1, try_timeout=10)) as omipay:
        await omipay.query_order("TR1", timeout=0.5)
        await omipay.query_order("TR1", timeout=60)
        await make_refund(omipay, timeout=3)
    asked = [request.extensions["timeout"] for request in transport.requests]
    assert asked == [
        {"connect": pytest.approx(connect), "read": left, "write": left, "pool": pytest.approx(connect)}
        for connect, left in ((0.5 / 3, 60.5), (5, 70), (1, 63))
    ]


async def test_connecting_ends_before_the_time_of_a_given_transport(clock: ManualClock) -> None:
    """Our own time limit would prove nothing."""
    transport = Recorder(Body(BODY))
    async with session(transport, clock, retry=RetryPolicy(attempts=1, try_timeout=2)) as omipay:
        await omipay.query_order("TR1", timeout=60)
    assert transport.requests[0].extensions["timeout"]["connect"] == pytest.approx(1.8)


async def test_a_given_transport_gets_a_whole_request(clock: ManualClock) -> None:
    """Without content, with ``Connection: close``, and with the signed query in its URL."""
    transport = Recorder(Body(BODY))
    async with session(transport, clock) as omipay:
        await omipay.query_order("TR1")
    (request,) = transport.requests
    assert (request.method, request.content, request.headers["Connection"]) == ("GET", b"", "close")
    assert request.url.copy_with(query=None) == "http://gateway.test/omipay/api/v2/QueryOrder"
    assert request.url.params["order_no"] == "TR1"
    assert len(request.url.params["sign"]) == 32


async def test_the_client_of_the_session_sends_the_headers_of_a_call(clock: ManualClock) -> None:
    """``session.http`` uses the transport that was given, with the session's headers."""
    transport = Recorder(Body(b"fine"))
    async with session(transport, clock) as omipay:
        assert (await omipay.http.get("http://gateway.test/health")).text == "fine"
    (request,) = transport.requests
    assert request.headers["User-Agent"].startswith("omipay-async/")
    assert request.headers["Accept-Encoding"] == "identity"
    assert transport.closed == 1


async def test_money_that_took_too_long_to_sign_is_not_sent(clock: ManualClock) -> None:
    """The error contains the endpoint and the reason."""

    def nonce() -> str:
        clock.shift(16)
        return "0123456789abcdef"

    transport = Recorder()
    async with session(transport, clock, nonces=nonce) as omipay:
        with pytest.raises(NotSent, match=r"^Refund: not sent, less than half of its time was left \(") as caught:
            await make_refund(omipay)
    assert caught.value.endpoint == "Refund"
    assert transport.requests == []


# -- what comes back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunks", [[BODY], [BODY[:5], BODY[5:20], BODY[20:]]])
async def test_a_body_is_read_whole_and_closed(clock: ManualClock, chunks: list[bytes]) -> None:
    """In however many pieces it comes."""
    body = Body(*chunks)
    async with session(Recorder(body), clock) as omipay:
        assert (await omipay.query_order("TR1")).amount == 450
    assert body.closed.is_set()


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize(("more", "is_read"), [(0, True), (1, False)])
async def test_a_body_of_one_mebibyte_is_the_longest(
    clock: ManualClock, *, streamed: bool, more: int, is_read: bool
) -> None:
    """One more byte is too many: it is cut off and not parsed, and the error shows its beginning."""
    whole = BODY.ljust(LARGEST_REPLY + more)
    # One piece ends exactly where no more may come.
    ends = [1, 3, *range(65_536, LARGEST_REPLY + 1, 65_536), len(whole)]
    chunks = [whole[begin:end] for begin, end in itertools.pairwise([0, *ends])]
    body = Body(*chunks, b" " * (10 * (not is_read)), b" " * (10 * (not is_read)))
    response = httpx.Response(200, stream=body) if streamed else httpx.Response(200, content=whole)
    async with session(httpx.MockTransport(lambda _: response), clock) as omipay:
        if is_read:
            assert (await omipay.query_order("TR1")).amount == 450
            return
        with pytest.raises(InvalidReply, match="it is longer than 1048576 bytes") as caught:
            await omipay.query_order("TR1")
    assert caught.value.excerpt.startswith(BODY.decode()[:40])
    assert body.sent == (len(whole) if streamed else 0)


async def test_a_refusal_has_the_node_that_answered(clock: ManualClock) -> None:
    """Like the events."""
    body = Body(json.dumps(fail("PERMISSION_ERROR")).encode())
    async with session(Recorder(body), clock) as omipay:
        with pytest.raises(LookupFailed) as caught:
            await omipay.query_order("TR1")
    assert caught.value.node == "gateway.test"


async def test_a_body_that_breaks_off_is_closed_in_the_background(clock: ManualClock) -> None:
    """The call does not wait for that, but ``aclose`` does."""
    body = Body(BODY[:5], error=httpx.ReadError("cut"))
    body.may_close.clear()
    omipay = session(Recorder(body), clock)
    with pytest.raises(TransportError, match="ReadError"):
        await omipay.query_order("TR1")
    assert not body.closed.is_set()
    closing = await begin(clock, omipay.aclose())
    assert not closing.done()
    body.may_close.set()
    assert await outcome(closing) is None
    await settle()
    assert body.closed.is_set()
    assert omipay._client._closing._tasks == set()


async def test_what_cannot_be_closed_is_logged(clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    """At DEBUG, since nothing waits for it."""
    caplog.set_level(logging.DEBUG, "omipay_async")
    body = Body(BODY[:5], error=httpx.ReadError("cut"))
    untyped(body).aclose = untyped(None)  # not even something to call
    async with session(Recorder(body), clock) as omipay:
        with pytest.raises(TransportError):
            await omipay.query_order("TR1")
    told = [(record.name, record.levelname, record.getMessage()) for record in caplog.records]
    assert ("omipay_async", "DEBUG", "closing a connection failed: TypeError") in told


# -- what a slot keeps ------------------------------------------------------------------------------------------------


class Kept:
    """A connection that was kept."""

    aborted = False

    def abort(self) -> None:
        """Close."""
        self.aborted = True


@pytest.mark.parametrize(
    ("base_url", "waits", "sleeps", "taken"),
    [
        ("http://gateway.test", 0, 0, True),
        ("http://gateway.test", 30, 0, True),
        ("http://gateway.test", 30.001, 0, False),
        ("http://gateway.test", 0, 30.001, False),
        ("http://second.test", 0, 0, False),
    ],
)
async def test_a_kept_connection_is_taken_once_and_only_for_its_own_node(
    clock: ManualClock, base_url: str, waits: float, sleeps: float, *, taken: bool
) -> None:
    """Within half a minute, by the wall clock too. One that cannot be used is closed."""
    kept, slot = Kept(), Slot()
    slot.keep_connection(untyped(kept), "http://gateway.test", clock)
    await clock.advance(waits)
    clock.shift(sleeps)
    assert (untyped(slot).take_connection(base_url, clock) is kept) is taken
    assert kept.aborted is not taken
    assert slot.connection is None
    assert slot.take_connection(base_url, clock) is None


def test_a_slot_closes_what_it_keeps(clock: ManualClock) -> None:
    """And keeps nothing after that."""
    kept, slot = Kept(), Slot()
    slot.keep_connection(untyped(kept), "http://gateway.test", clock)
    for _ in range(2):
        slot.close()
    assert (kept.aborted, slot.connection) == (True, None)


# -- other event loops ------------------------------------------------------------------------------------------------


def answered(_: httpx.Request) -> httpx.Response:
    """A paid order."""
    return httpx.Response(200, content=BODY)


class Bound(httpx.AsyncBaseTransport):
    """A transport that may be bound to its event loop."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer."""
        return answered(request)


def test_a_transport_without_connections_works_in_every_event_loop(clock: ManualClock) -> None:
    """httpx's mock, and one with ``any_loop``."""
    says_so = Bound()
    untyped(says_so).any_loop = True
    for transport in (httpx.MockTransport(answered), says_so):
        omipay = session(transport, clock)
        for _ in range(2):
            assert asyncio.run(omipay.query_order("TR1")).is_paid
        asyncio.run(omipay.aclose())


@pytest.mark.parametrize("says", [{}, {"any_loop": False}])
def test_any_other_transport_belongs_to_its_first_event_loop(clock: ManualClock, says: dict[str, Any]) -> None:
    """In another loop nothing is sent."""
    transport = Bound()
    vars(transport).update(says)
    omipay = session(transport, clock)
    assert asyncio.run(omipay.query_order("TR1")).is_paid
    with pytest.raises(ConfigurationError, match="transport belongs to the event loop that it was first used in"):
        asyncio.run(omipay.query_order("TR1"))
    omipay._life.closed = True


async def test_what_is_not_a_transport_is_rejected(clock: ManualClock) -> None:
    """When the session is made."""
    with pytest.raises(ConfigurationError, match=r"^transport must be an httpx.AsyncBaseTransport$"):
        session(untyped(Gateway), clock)
