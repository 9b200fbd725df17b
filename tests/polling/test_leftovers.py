"""Polls leave nothing in memory, and many of them do not block other tasks."""

from __future__ import annotations

import asyncio
import gc
import itertools
from typing import TYPE_CHECKING

import pytest

from omipay_async import SessionClosed
from omipay_async.polling.subject import Subject, Waiter
from tests.support.scripted_gateway import Gateway, Held, begin, order, outcome, settle
from tests.support.untyped import untyped

if TYPE_CHECKING:
    from omipay_async import AsyncOmipay, Event
    from omipay_async.testing import ManualClock


def left_over() -> int:
    """How many polls and orders are still in memory."""
    gc.collect()
    return sum(type(thing) in {Waiter, Subject} for thing in gc.get_objects())


@pytest.mark.parametrize("first_wait", [0, 5])
async def test_cancelled_polls_leave_nothing(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, first_wait: float
) -> None:
    """A thousand polls that are cancelled, before their question or during it: no entry, task or request is left."""
    gateway.on("QueryOrder", Held(order("PAYING")))
    staying = await begin(clock, omipay.poll_until_paid("TR", first_wait=60, timeout=None))
    tasks = len(asyncio.all_tasks())
    polls = [asyncio.create_task(omipay.poll_until_paid(f"TR{n}", first_wait=first_wait)) for n in range(1000)]
    await clock.advance(1)
    for poll in polls:
        poll.cancel()
    await asyncio.wait(polls)
    await settle()
    polls.clear()
    del poll
    assert left_over() == 2  # the poll that stays, and its order
    assert len(asyncio.all_tasks()) == tasks
    assert gateway.under_way == 0
    staying.cancel()
    await asyncio.wait([staying])
    del staying  # a task keeps the frames that its cancellation went through
    assert left_over() == 0
    assert omipay._poller._timer is None
    assert clock._next_due() is None


async def test_closing_many_polls_lets_other_tasks_run(gateway: Gateway) -> None:
    """A few hundred end in one turn of the loop, and in the end all of them, each with its number."""
    omipay = gateway.session()
    polls = [asyncio.create_task(omipay.poll_until_paid(f"TR{n}")) for n in range(2000)]
    await settle()
    ended: list[int] = []
    polls[0].add_done_callback(lambda _: ended.append(0))

    async def watch() -> None:
        while not polls[-1].done():
            ended.append(sum(poll.done() for poll in polls))
            await asyncio.sleep(0)
        ended.append(sum(poll.done() for poll in polls))

    watching = asyncio.create_task(watch())
    await omipay.aclose()
    await asyncio.sleep(0)
    assert all(poll.done() for poll in polls)
    await watching
    await asyncio.wait(polls)
    assert max(after - before for before, after in itertools.pairwise(ended)) <= 400
    errors = [poll.exception() for poll in polls]
    assert [error.order_no for error in errors if isinstance(error, SessionClosed)] == [f"TR{n}" for n in range(2000)]


async def test_nothing_is_asked_while_many_polls_are_ended(
    clock: ManualClock, gateway: Gateway, events: list[Event]
) -> None:
    """Although their next questions become due at that moment."""
    omipay = gateway.session(on_event=events.append)
    polls = [asyncio.create_task(omipay.poll_until_paid(f"TR{n}")) for n in range(1000)]
    await settle()
    closing = asyncio.create_task(omipay.aclose())
    await asyncio.sleep(0)
    clock.advance(5)
    await asyncio.wait([closing, *polls])
    assert {event.name for event in events} == {"poll"}


async def test_closing_that_is_cancelled_ends_every_poll_all_the_same(gateway: Gateway) -> None:
    """If ``aclose`` is cancelled, no poll hangs."""
    omipay = gateway.session()
    polls = [asyncio.create_task(omipay.poll_until_paid(f"TR{n}")) for n in range(1000)]
    await settle()
    closing = asyncio.create_task(omipay.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing, *polls])
    assert all(isinstance(poll.exception(), SessionClosed) for poll in polls)
    await omipay.aclose()


async def test_a_deadline_that_thousands_share_ends_them_all(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay
) -> None:
    """There are more of them than are ended in one turn of the loop."""
    gateway.on("QueryOrder", order("PAYING"))
    polls = [asyncio.create_task(omipay.poll_until_paid("TR1", first_wait=1, timeout=4)) for _ in range(500)]
    await clock.advance(3.999)
    assert not any(poll.done() for poll in polls)
    await clock.advance(0.001)
    assert all(poll.done() for poll in polls)
    assert len({id(poll.exception()) for poll in polls}) == 500


async def test_a_question_that_was_cancelled_from_outside_is_asked_again(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay
) -> None:
    """A transport whose time limit becomes a cancellation ends one question, not the poll."""

    async def cancelled(_: object) -> None:
        raise asyncio.CancelledError

    gateway.on("TR1", cancelled, order("PAID"))
    poll = await begin(clock, omipay.poll_until_paid("TR1"))
    await clock.advance(10)
    assert (await outcome(poll)).is_paid
    assert gateway.times("TR1") == [5, 10]


def test_polls_of_a_closed_event_loop_are_forgotten(gateway: Gateway) -> None:
    """The loop was closed while they waited; the session can be used in the next one."""
    gateway.on("QueryOrder", order("PAID"))
    untyped(gateway).any_loop = True  # it holds no connection
    omipay = gateway.session()
    loop = asyncio.new_event_loop()
    poll = loop.create_task(omipay.poll_until_paid("TR1"))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()

    async def again() -> None:
        task = asyncio.create_task(omipay.poll_until_paid("TR1"))
        await settle()
        await untyped(gateway.clock).advance(5)
        assert (await task).is_paid
        await omipay.aclose()

    asyncio.run(again())
    poll.get_coro().close()  # what the garbage collector does to it: it must not disturb the polls of today
    untyped(poll)._log_destroy_pending = False  # the warning of asyncio is not what is tested
