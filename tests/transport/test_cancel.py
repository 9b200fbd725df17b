"""Calls that are cancelled at any moment: the session can be used afterwards, and the event has the outcome."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from omipay_async import NotSent, Outcome, RetryPolicy
from omipay_async.testing import ManualClock
from tests.support.scripted_gateway import named
from tests.support.waiting import until

from .behaviours import ACCEPT_HANG, CLOSES_AFTER_REPLY, HEALTHY, SILENCE, Behaviour
from .client import CANCELS, Transport, any_moment, cancel_task, open_session, query, scan
from .server import Gateway, always, settled, url_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from omipay_async import AsyncOmipay, Event

    from .client import Cancel

CALLS = 2_500
AT_ONCE = 50


@pytest.mark.parametrize("behaviour", [HEALTHY, CLOSES_AFTER_REPLY], ids=str)
@pytest.mark.parametrize("cancel", CANCELS)
async def test_cancelled_at_random(gateway: Gateway, behaviour: Behaviour, cancel: Cancel) -> None:
    """After thousands of calls cancelled at random moments the next ten succeed, and no task or connection is left."""
    gateway.script = always(behaviour)
    moments, tasks, left = random.Random(7), asyncio.all_tasks(), iter(range(CALLS))
    events: list[Event] = []

    async def caller(omipay: AsyncOmipay) -> None:
        for index in left:
            call = scan if moments.random() < 0.5 else query
            await cancel(call(omipay, str(index)), any_moment(moments))

    async with open_session(gateway, max_in_flight=10, on_event=events.append) as omipay:
        await asyncio.gather(*(caller(omipay) for _ in range(AT_ONCE)))
        await asyncio.gather(*(scan(omipay, f"after-{index}") for index in range(10)))
        await until(lambda: gateway.open_connections <= 10, "the connections of cancelled calls to be closed")
    await until(lambda: asyncio.all_tasks() - gateway._tasks == tasks, "the tasks of cancelled calls to end")
    ends = named(events, "call")
    assert len(ends) == CALLS + 10
    assert max(gateway.acts.values()) == 1
    not_done = {event.out_order_no for event in ends if event.outcome is Outcome.NOT_DONE}
    assert not not_done & gateway.acts.keys()
    assert all(gateway.acts[event.out_order_no] for event in ends if event.out_order_no and event.error is None)
    assert {event.outcome for event in ends if event.error == "CancelledError"} == {None, *Outcome}
    assert sum(event.error is None for event in ends) > 10


async def test_cancelled_on_aiohttp(gateway: Gateway) -> None:
    """The same, with fewer calls, on a transport that the user gave."""
    moments = random.Random(8)
    events: list[Event] = []
    async with open_session(gateway, Transport.AIOHTTP, max_in_flight=5, on_event=events.append) as omipay:
        await asyncio.gather(*(cancel_task(scan(omipay, str(index)), any_moment(moments)) for index in range(500)))
        await asyncio.gather(*(scan(omipay, f"after-{index}") for index in range(10)))
    assert len(named(events, "call")) == 510
    not_done = {event.out_order_no for event in named(events, "call") if event.outcome is Outcome.NOT_DONE}
    assert not not_done & gateway.acts.keys()


async def end_task(call: Coroutine[Any, Any, object], sent: asyncio.Future[None]) -> None:
    """Cancel the task of the call when it was sent."""
    task = asyncio.ensure_future(call)
    await sent
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def end_scope(call: Coroutine[Any, Any, object], sent: asyncio.Future[None]) -> None:
    """Cancel a scope of anyio around it."""
    with anyio.CancelScope() as scope:
        sent.add_done_callback(lambda _: scope.cancel())
        await call
    assert scope.cancelled_caught


async def end_timeout(call: Coroutine[Any, Any, object], sent: asyncio.Future[None]) -> None:
    """Let the time of an ``asyncio.timeout`` around it be over."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(None) as limit:
            sent.add_done_callback(lambda _: limit.reschedule(0))
            await call
    assert limit.expired()


@pytest.mark.parametrize("end", [end_task, end_scope, end_timeout])
async def test_money_cancelled_after_it_was_sent(
    gateway: Gateway, transport: Transport, end: Callable[..., Any]
) -> None:
    """A money call that is cancelled after it was sent has one ``call`` event, with UNKNOWN."""
    gateway.script = always(SILENCE)
    events: list[Event] = []
    async with open_session(gateway, transport, on_event=events.append) as omipay:
        await end(scan(omipay, "A-1"), asyncio.ensure_future(until(lambda: bool(gateway.acts))))
        gateway.script = always(HEALTHY)
        await scan(omipay, "A-2")
    (cancelled, _) = named(events, "call")
    assert (cancelled.out_order_no, cancelled.outcome) == ("A-1", Outcome.UNKNOWN)
    assert cancelled.error is not None
    assert gateway.acts == {"A-1": 1, "A-2": 1}


@pytest.mark.parametrize("cancelled_first", [True, False])
async def test_cancelled_at_the_deadline(gateway: Gateway, transport: Transport, cancelled_first: bool) -> None:
    """A call that is cancelled at the moment when its time is over raises CancelledError."""
    gateway.script = always(SILENCE)
    clock, events = ManualClock(start=gateway.time_ms()), list[Any]()
    async with open_session(gateway, transport, clock=clock, on_event=events.append) as omipay:
        task = asyncio.ensure_future(scan(omipay, "A-1"))
        await until(lambda: len(gateway.requests) == 1)
        if cancelled_first:
            task.cancel()
        clock.advance(30.0)
        if not cancelled_first:
            task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()
    assert [event.outcome for event in named(events, "call")] == [Outcome.UNKNOWN]


async def test_money_cancelled_while_waiting(gateway: Gateway, transport: Transport) -> None:
    """A money call that is cancelled while it waits for a slot has one ``call`` event, with NOT_DONE."""
    gateway.gate.clear()
    events: list[Event] = []
    async with open_session(gateway, transport, max_in_flight=1, on_event=events.append) as omipay:
        first = asyncio.ensure_future(scan(omipay, "A-1"))
        await until(lambda: gateway.under_way == 1)
        assert not await cancel_task(scan(omipay, "A-2"), 0.005)
        gateway.gate.set()
        await first
    assert [(event.out_order_no, event.outcome) for event in named(events, "call")] == [
        ("A-2", Outcome.NOT_DONE),
        ("A-1", None),
    ]
    assert gateway.numbers == ["A-1"]


async def cancelled_in_the_handshake(gateway: Gateway, call: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
    """Begin a call, cancel it while it waits for the server's TLS, and return its task."""
    task = asyncio.create_task(call)
    await until(lambda: gateway.open_connections == 1)
    await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.wait([task])
    await settled(gateway)
    return task


async def test_money_cancelled_while_connecting(gateway: Gateway) -> None:
    """A money call that is cancelled in the handshake is NOT_DONE, and leaves no connection behind."""
    gateway.script = always(ACCEPT_HANG)
    events: list[Event] = []
    async with open_session(url_of(gateway.port, "https"), on_event=events.append) as omipay:
        task = await cancelled_in_the_handshake(gateway, scan(omipay, "A-1"))
    assert task.cancelled()
    assert [event.outcome for event in named(events, "call")] == [Outcome.NOT_DONE]


@pytest.mark.parametrize("transport", list(Transport), ids=str)
async def test_a_handshake_that_is_cancelled_leaves_no_connection_to_the_garbage_collection(
    gateway: Gateway, transport: Transport
) -> None:
    """httpcore would leave it open."""
    gateway.script = always(ACCEPT_HANG)
    gc.disable()
    try:
        async with open_session(url_of(gateway.port, "https"), transport) as omipay:
            for call in (scan, query):
                await cancelled_in_the_handshake(gateway, call(omipay, "A-1"))
    finally:
        gc.enable()


async def test_a_cancelled_read_has_one_event(gateway: Gateway, transport: Transport) -> None:
    """A read that is cancelled has one ``call`` event, without an outcome."""
    gateway.script = always(SILENCE)
    events: list[Event] = []
    async with open_session(gateway, transport, on_event=events.append) as omipay:
        task = asyncio.ensure_future(query(omipay, "OM-1"))
        await until(lambda: len(gateway.requests) == 1)
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()
    (event,) = named(events, "call")
    assert (event.order_no, event.outcome) == ("OM-1", None)
    assert event.error is not None


async def test_a_resolver_that_is_shut_down_does_not_cancel_the_call() -> None:
    """Nobody has cancelled the task of the call. Nothing was sent."""
    resolver = ThreadPoolExecutor(1)
    asyncio.get_running_loop().set_default_executor(resolver)
    go = threading.Event()
    resolver.submit(go.wait)
    async with open_session("https://gateway.test/omipay/api", retry=RetryPolicy(attempts=1)) as omipay:
        call = asyncio.create_task(scan(omipay, "A-1"))
        await until(lambda: resolver._work_queue.qsize() > 0)
        resolver.shutdown(wait=False, cancel_futures=True)
        go.set()
        with pytest.raises(NotSent, match="CancelledError"):
            await call
