"""The life of a session: how it closes, what a closed session raises, and its use in another event loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import warnings
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from omipay_async import ConfigurationError, NotSent, OmipayError, Outcome, RetryPolicy, SessionClosed
from omipay_async.calls.call_state import CallState
from omipay_async.protocol.context import RequestContext
from omipay_async.testing import ManualClock
from omipay_async.transport.attempt import Attempt
from tests.support.scripted_gateway import named
from tests.support.untyped import untyped
from tests.support.waiting import until

from .behaviours import CLOSES_AFTER_REPLY, HEALTHY, SILENCE, SYSTEM_ERROR
from .client import Transport, open_session, query, refund, scan
from .server import Gateway, always, settled
from .server_thread import gateway_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from omipay_async import AsyncOmipay, Event, Order

    from .behaviours import Behaviour

SLOW = RetryPolicy(base_delay=1e6, max_delay=1e6)


def kept() -> int:
    """How many objects of calls are in memory. By their type, since some objects claim to be of another class."""
    return sum(type(thing) in {CallState, Attempt, RequestContext} for thing in gc.get_objects())


@pytest.mark.parametrize("behaviour", [HEALTHY, SYSTEM_ERROR], ids=str)
async def test_an_answered_call_is_freed_at_once(gateway: Gateway, behaviour: Behaviour) -> None:
    """What it needed, secrets among it, does not wait for the garbage collection, whatever the answer was."""
    gateway.script = always(behaviour)
    async with open_session(gateway) as omipay:
        gc.collect()
        gc.disable()
        try:
            before = kept()
            for call in (query, scan):
                with contextlib.suppress(OmipayError):
                    await call(omipay, "1")
            assert kept() == before
        finally:
            gc.enable()


# -- closing ----------------------------------------------------------------------------------------------------------


async def test_close_lets_sent_money_end(gateway: Gateway, transport: Transport) -> None:
    """Closing waits for money calls that were sent, and ends waiting calls and reads with SessionClosed."""
    gateway.gate.clear()
    events: list[Event] = []
    omipay = open_session(gateway, transport, max_in_flight=2, on_event=events.append)
    sent = asyncio.ensure_future(scan(omipay, "sent"))
    read = asyncio.ensure_future(query(omipay, "OM-1"))
    await until(lambda: gateway.under_way == 2)
    waiting = [asyncio.ensure_future(call(omipay, "waiting")) for call in (scan, query)]
    await asyncio.sleep(0.002)
    closing = asyncio.ensure_future(omipay.aclose())
    ends = await asyncio.gather(read, *waiting, return_exceptions=True)
    assert [type(end) for end in ends] == [SessionClosed] * 3
    assert not sent.done()
    assert not closing.done()
    gateway.gate.set()
    await sent
    await closing
    assert gateway.acts == {"sent": 1, "OM-1": 1}
    outcomes = {event.out_order_no: event.outcome for event in named(events, "call") if event.out_order_no}
    assert outcomes == {"sent": None, "waiting": Outcome.NOT_DONE}


async def test_close_waits_no_longer_than_the_deadline(gateway: Gateway, transport: Transport) -> None:
    """A money call that is never answered ends at its own deadline, and ``aclose`` returns."""
    gateway.script = always(SILENCE)
    clock = ManualClock()
    omipay = open_session(gateway, transport, timeout=30, clock=clock)
    sent = asyncio.ensure_future(scan(omipay, "A-1"))
    await until(lambda: len(gateway.requests) == 1)
    closing = asyncio.ensure_future(omipay.aclose())
    await clock.advance(29)
    assert not closing.done()
    await clock.advance(1)
    await asyncio.wait_for(closing, 60)
    error = sent.exception()
    assert isinstance(error, OmipayError)
    assert error.outcome is Outcome.UNKNOWN


async def test_closing_may_be_cancelled_and_goes_on(gateway: Gateway, transport: Transport) -> None:
    """``aclose`` may be cancelled: what was sent goes on, nothing stays open then, and a second ``aclose`` waits."""
    gateway.gate.clear()
    omipay = open_session(gateway, transport)
    sent = asyncio.ensure_future(scan(omipay, "A-1"))
    await until(lambda: gateway.under_way == 1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(omipay.aclose(), 0.01)
    with pytest.raises(SessionClosed):
        await scan(omipay, "A-2")
    gateway.gate.set()
    await sent
    await until(lambda: omipay.http.is_closed)
    await omipay.aclose()
    await settled(gateway)
    assert gateway.acts == {"A-1": 1}


async def test_a_handler_that_may_end_can_use_the_client(gateway: Gateway, transport: Transport) -> None:
    """It is open until ``aclose`` has waited for the handlers, also if no call is under way any more."""
    omipay = open_session(gateway, transport)
    begun, closing = asyncio.Event(), asyncio.Event()

    async def handler(_: Order) -> None:
        begun.set()
        await closing.wait()
        await omipay.http.get(f"{gateway.base_url}/v2/QueryOrder?order_no=OM-3&timestamp=1&nonce_str=n&sign=s")

    fulfilling = asyncio.ensure_future(omipay.fulfil("OM-1", handler))
    await begun.wait()
    gateway.gate.clear()
    read = asyncio.ensure_future(query(omipay, "OM-2"))
    await until(lambda: gateway.under_way == 1)
    ended = asyncio.ensure_future(omipay.aclose())
    with pytest.raises(SessionClosed):
        await read
    gateway.gate.set()
    closing.set()
    await asyncio.gather(fulfilling, ended)
    await settled(gateway)
    assert gateway.numbers == ["OM-1", "OM-2", "OM-3"]


async def test_a_cancelled_scope_around_a_session_closes_it(gateway: Gateway, transport: Transport) -> None:
    """Even if anyio cancels each ``await`` of ``aclose``, everything is closed, ``omipay.http`` included."""
    with anyio.CancelScope() as scope:
        async with open_session(gateway, transport) as omipay:
            await query(omipay, "OM-1")
            scope.cancel()
            await asyncio.sleep(0)
    await until(lambda: omipay.http.is_closed)
    await settled(gateway)


async def test_closed_twice_at_once(gateway: Gateway, transport: Transport) -> None:
    """Two tasks that close the session during a money call both return once that has ended."""
    gateway.gate.clear()
    omipay = open_session(gateway, transport)
    sent = asyncio.ensure_future(scan(omipay, "A-1"))
    await until(lambda: gateway.under_way == 1)
    closing = [asyncio.ensure_future(omipay.aclose()) for _ in range(2)]
    await asyncio.sleep(0.005)
    gateway.gate.set()
    await sent
    _, late = await asyncio.wait(closing, timeout=60)
    for task in late:
        task.cancel()
    assert not late


async def test_a_closed_session_says_so_and_may_be_closed_again(gateway: Gateway, transport: Transport) -> None:
    """A closed session may be closed again, and every other method raises SessionClosed."""
    omipay = open_session(gateway, transport)
    await scan(omipay, "A-1")
    await asyncio.gather(omipay.aclose(), omipay.aclose())
    await omipay.aclose()
    for call in (scan, query, refund):
        with pytest.raises(SessionClosed):
            await call(omipay, "A-2")
    await settled(gateway)
    assert gateway.numbers == ["A-1"]


async def test_close_while_repeating(gateway: Gateway, transport: Transport) -> None:
    """A read that waits for its next try ends when the session is closed."""
    gateway.refuse()
    async with open_session(gateway, transport, retry=SLOW, timeout=1e7) as omipay:
        read = asyncio.ensure_future(query(omipay, "OM-1"))
        await asyncio.sleep(0.05)
        assert not read.done()
    with pytest.raises(SessionClosed):
        await read


@pytest.mark.parametrize("used", [False, True])
async def test_a_session_that_nobody_closes_is_warned_about(gateway: Gateway, used: bool) -> None:
    """A session that is not closed causes a ResourceWarning."""
    gateway.script = always(CLOSES_AFTER_REPLY)
    omipay = open_session(gateway)
    if used:
        await scan(omipay, "A-1")
    with pytest.warns(ResourceWarning, match="AsyncOmipay"):  # noqa: PT031 - it is said when the last name goes
        del omipay
        gc.collect()


# -- event loops ------------------------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere() -> Iterator[Gateway]:
    """A gateway in a thread of its own."""
    with gateway_in_thread() as gateway:
        yield gateway
    # A connection that outlives its event loop can be closed by nobody: asyncio warns when it is collected.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # see the fixture
@pytest.mark.parametrize("kept", [HEALTHY, CLOSES_AFTER_REPLY], ids=str)
def test_loop_after_loop(elsewhere: Gateway, kept: Behaviour) -> None:
    """One session serves one event loop after another."""
    elsewhere.script = always(kept)
    omipay = open_session(elsewhere)
    for number in ("A-1", "A-2", "A-3"):
        asyncio.run(scan(omipay, number))
    asyncio.run(omipay.aclose())
    assert elsewhere.acts == {"A-1": 1, "A-2": 1, "A-3": 1}


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # see the fixture
@pytest.mark.parametrize("gone", [True, False])
def test_a_kept_connection_is_closed_when_another_loop_takes_over(elsewhere: Gateway, gone: bool) -> None:
    """Whether its own event loop is closed, or may run again."""
    omipay, first = open_session(elsewhere), asyncio.new_event_loop()
    first.run_until_complete(query(omipay, "OM-1"))
    assert elsewhere.open_connections == 1
    if gone:
        first.close()
    asyncio.run(query(omipay, "OM-2"))
    if not gone:
        first.run_until_complete(asyncio.sleep(0))
        first.close()
    asyncio.run(omipay.aclose())
    asyncio.run(until(lambda: elsewhere.open_connections == 0, "every connection to be closed"))
    assert elsewhere.connections == 2


def test_a_kept_connection_is_closed_when_its_session_is_closed_in_another_loop(elsewhere: Gateway) -> None:
    """The other loop cannot wait for its socket. It is closed as soon as its own event loop runs again."""
    omipay, first = open_session(elsewhere), asyncio.new_event_loop()
    first.run_until_complete(query(omipay, "OM-1"))
    asyncio.run(asyncio.wait_for(omipay.aclose(), 3))
    assert elsewhere.open_connections == 1
    first.run_until_complete(asyncio.sleep(0))
    first.close()
    asyncio.run(until(lambda: elsewhere.open_connections == 0, "the connection to be closed"))


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning", "ignore:Unclosed:ResourceWarning")
def test_given_transport_in_another_loop(elsewhere: Gateway) -> None:
    """A transport that the user gave may be bound to its event loop: it works in another one, or raises an error."""
    omipay, error = open_session(elsewhere, Transport.AIOHTTP), None
    asyncio.run(scan(omipay, "A-1"))
    try:
        asyncio.run(asyncio.wait_for(scan(omipay, "A-2"), 60))
    except OmipayError as caught:
        error = caught
    asyncio.run(omipay.aclose())
    assert elsewhere.acts["A-2"] == (error is None)
    if error is not None:
        assert "event loop" in str(error)
        assert error.outcome is Outcome.NOT_DONE


def test_two_loops_at_once(elsewhere: Gateway) -> None:
    """A session with a charge under way raises an error in another event loop, also if it is closed there.

    Its own loop goes on, and gets the reply.
    """
    elsewhere.gate.clear()
    omipay = open_session(elsewhere)
    ended: list[object] = []
    thread = threading.Thread(target=lambda: ended.append(asyncio.run(scan(omipay, "A-1"))))
    thread.start()
    try:
        asyncio.run(_until_under_way(elsewhere))
        for call in (query, scan):
            with pytest.raises(OmipayError, match="loop") as caught:
                asyncio.run(call(omipay, "A-2"))
            assert not isinstance(caught.value, NotSent | SessionClosed)
            assert caught.value.outcome in {None, Outcome.NOT_DONE}
        with pytest.raises(ConfigurationError, match="loop"):
            asyncio.run(omipay.aclose())
        assert not omipay.is_closed
    finally:
        _open(elsewhere)
        thread.join()
    asyncio.run(omipay.aclose())
    assert len(ended) == 1
    assert elsewhere.numbers == ["A-1"]


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # see the fixture
@pytest.mark.parametrize("call", [query, scan])
def test_a_call_whose_event_loop_was_closed_ends_without_an_error(
    elsewhere: Gateway, call: Callable[[AsyncOmipay, str], Coroutine[Any, Any, Any]]
) -> None:
    """When its coroutine is closed, or collected as garbage. Its connection is closed."""
    elsewhere.gate.clear()
    omipay, loop = open_session(elsewhere), asyncio.new_event_loop()
    begun = call(omipay, "A-1")
    task = loop.create_task(begun)
    loop.run_until_complete(_until_under_way(elsewhere))
    loop.close()
    begun.close()
    untyped(task)._log_destroy_pending = False
    asyncio.run(omipay.aclose())
    _open(elsewhere)
    asyncio.run(until(lambda: elsewhere.open_connections == 0, "the connection to be closed"))


async def _until_under_way(gateway: Gateway) -> None:
    await until(lambda: gateway.under_way == 1)


def _open(gateway: Gateway) -> None:
    """Open the gate from another thread."""
    gateway.loop.call_soon_threadsafe(gateway.gate.set)
