"""A block that is cancelled by a time limit or by the end of the session, and never hides a cancellation."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest

from omipay_async.clock import Deadline
from omipay_async.protocol.endpoints import REFUND
from omipay_async.transport.attempt import Attempt, Node, Progress
from omipay_async.transport.cancellation import CancelReason, CancelScope, ScopeCancelled
from omipay_async.transport.evidence import cut_short
from omipay_async.transport.failures import Failure

if TYPE_CHECKING:
    from omipay_async.testing import ManualClock


async def ended_at_once(clock: ManualClock) -> None:
    """A block that is cancelled at once."""
    with CancelScope(clock) as scope:
        scope.end(CancelReason.CLOSED)
        await asyncio.sleep(0)


async def test_a_block_that_ends_in_time_is_left_alone(clock: ManualClock) -> None:
    """Nothing of the scope is left, and a later ``end`` has no effect."""
    with CancelScope(clock, 5) as scope:
        await asyncio.sleep(0)
    scope.end(CancelReason.CLOSED)
    await clock.advance(10)
    await asyncio.sleep(0)


async def test_a_time_limit_cancels_a_block(clock: ManualClock) -> None:
    """At its second, not before."""

    async def stretch() -> None:
        with CancelScope(clock, 5):
            await asyncio.Event().wait()

    task = asyncio.create_task(stretch())
    await asyncio.sleep(0)
    await clock.advance(4.9)
    assert not task.done()
    await clock.advance(0.2)
    with pytest.raises(ScopeCancelled) as end:
        await task
    assert end.value.why is CancelReason.TIME
    assert task.cancelling() == 0


async def test_the_time_limit_may_be_changed(clock: ManualClock) -> None:
    """Connecting has its limit, then the reply has another."""

    async def stretch() -> None:
        with CancelScope(clock, 5) as scope:
            scope.expire_in(20)
            await asyncio.Event().wait()

    task = asyncio.create_task(stretch())
    await asyncio.sleep(0)
    await clock.advance(19)
    assert not task.done()
    await clock.advance(2)
    assert isinstance(task.exception(), ScopeCancelled)


async def test_a_time_limit_that_is_over_may_still_be_changed(clock: ManualClock) -> None:
    """Before the block is cancelled, it gets some turns of the event loop."""
    with CancelScope(clock, 5) as scope:
        clock.advance(5)
        await asyncio.sleep(0)  # the clock's timer is called
        scope.expire_in(5)
        for _ in range(600):
            await asyncio.sleep(0)


async def test_without_a_time_limit_only_the_sessions_end_cancels_it(clock: ManualClock) -> None:
    """The first reason counts."""
    scopes: list[CancelScope] = []

    async def stretch() -> None:
        with CancelScope(clock) as scope:
            scopes.append(scope)
            await asyncio.Event().wait()

    task = asyncio.create_task(stretch())
    await asyncio.sleep(0)
    await clock.advance(1e9)
    assert not task.done()
    scopes[0].end(CancelReason.CLOSED)
    scopes[0].end(CancelReason.TIME)
    with pytest.raises(ScopeCancelled) as end:
        await task
    assert end.value.why is CancelReason.CLOSED


async def test_a_cancellation_from_outside_is_never_swallowed(clock: ManualClock) -> None:
    """The task gets CancelledError, also if the time is over at the same moment, in either order."""
    for outside_first in (True, False):
        scopes: list[CancelScope] = []

        async def stretch(scopes: list[CancelScope] = scopes) -> None:
            with CancelScope(clock) as scope:
                scopes.append(scope)
                await asyncio.Event().wait()

        task = asyncio.create_task(stretch())
        await asyncio.sleep(0)
        if outside_first:
            task.cancel()
        scopes[0].end(CancelReason.TIME)
        if not outside_first:
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()


async def test_a_cancellation_from_outside_is_left_to_be_counted(clock: ManualClock) -> None:
    """Whoever catches it further out, such as a task group, asks the task how often it was cancelled."""
    counted: list[int] = []

    async def stretch() -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            with CancelScope(clock, 5):
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            counted.append(task.cancelling())
            raise

    task = asyncio.create_task(stretch())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert counted == [1]


async def test_an_error_of_the_block_wins_over_the_end(clock: ManualClock) -> None:
    """An exception of the clean-up is raised, and the task is not left cancelled."""

    async def stretch() -> None:
        with CancelScope(clock) as scope:
            scope.end(CancelReason.TIME)
            try:
                await asyncio.sleep(0)
            finally:
                raise KeyError

    with pytest.raises(KeyError):
        await stretch()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_a_block_that_ends_before_its_cancellation_arrives_is_left_alone(clock: ManualClock) -> None:
    """A time limit that ends inside of the block must not cancel what comes after it."""
    with CancelScope(clock, 1) as scope:
        scope.end(CancelReason.TIME)
    with CancelScope(clock, 1):
        clock.advance(2)
    for _ in range(3):
        await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_the_end_of_an_inner_scope_does_not_end_the_outer_one(clock: ManualClock) -> None:
    """The end of the inner scope does not end the outer one."""
    with CancelScope(clock, 50) as outer:
        with pytest.raises(ScopeCancelled):
            await ended_at_once(clock)
        outer.expire_in(5)
        clock.advance(1)
        await asyncio.sleep(0)


async def test_a_task_that_was_cancelled_before_can_still_use_a_scope(clock: ManualClock) -> None:
    """Clean-up code in a cancelled task needs time limits too."""
    ended = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            with pytest.raises(ScopeCancelled):
                await ended_at_once(clock)
            ended.append(True)
            raise

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]


def test_a_scope_needs_a_task(clock: ManualClock) -> None:
    """Outside of a task it raises a clear error."""

    async def nothing() -> None:
        """Make a loop to run a callback on."""

    loop = asyncio.new_event_loop()
    caught: list[BaseException] = []

    def callback() -> None:
        try:
            with CancelScope(clock):
                pass
        except RuntimeError as error:
            caught.append(error)

    loop.call_soon(callback)
    loop.run_until_complete(nothing())
    loop.close()
    assert "awaited in a task" in str(caught[0])


@pytest.mark.parametrize(("bytes_come", "turns"), [(0, 10), (1, 11), (30, 40), (1000, 500)])
async def test_what_is_on_its_way_when_time_is_over_may_still_arrive(
    clock: ManualClock, bytes_come: int, turns: int
) -> None:
    """The block ends ten turns of the loop after the last byte, and after five hundred turns at most."""
    received = itertools.chain(range(bytes_come), itertools.repeat(bytes_come))

    async def stretch() -> None:
        with CancelScope(clock, 5) as scope:
            scope.watch(lambda: next(received))
            await asyncio.Event().wait()

    task = asyncio.create_task(stretch())
    await asyncio.sleep(0)
    clock.advance(5)
    await asyncio.sleep(0)  # the clock's timer is called
    taken = 0
    while not task.cancelling():
        await asyncio.sleep(0)
        taken += 1
    assert taken == turns
    with pytest.raises(ScopeCancelled):
        await task


async def test_a_scope_that_was_ended_before_its_block_does_not_begin_it(clock: ManualClock) -> None:
    """Such as when a nonce provider closes the session, just before the request would be sent."""
    scope = CancelScope(clock, 1)
    scope.end(CancelReason.CLOSED)
    with pytest.raises(ScopeCancelled) as ended, scope:
        raise AssertionError
    assert ended.value.why is CancelReason.CLOSED
    assert clock._next_due() is None  # no timer is left behind


@pytest.mark.parametrize(
    ("money", "progress", "failure"),
    [
        (True, Progress.CONNECTING, Failure.CLOSED),
        (True, Progress.SENT, Failure.NO_ANSWER),
        (True, Progress.HANDED_OVER, Failure.NO_ANSWER),
        (False, Progress.SENT, Failure.CLOSED),
    ],
)
def test_the_end_of_the_session_does_not_undo_what_was_sent(
    clock: ManualClock, *, money: bool, progress: Progress, failure: Failure
) -> None:
    """A money call that may have arrived is never reported as one that was not sent, whatever has ended it."""
    attempt = Attempt(
        REFUND,
        Node("AU", "https://gateway.test/omipay/api"),
        new_signed_query=str,
        secrets=(),
        scope=CancelScope(clock),
        clock=clock,
        until=1.0,
        connect_s=1.0,
        send_by=Deadline.after(clock, 1.0) if money else None,
        progress=progress,
    )
    assert cut_short(attempt, CancelReason.CLOSED).failure is failure
