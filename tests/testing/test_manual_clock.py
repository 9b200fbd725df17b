"""The clock that users test their programs with: it moves when it is advanced, and wakes sleepers in order."""

from __future__ import annotations

import asyncio
import functools
import time
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, strategies as st

from omipay_async import Clock
from omipay_async.clock import call_later
from omipay_async.testing import ManualClock


async def sleepers(clock: ManualClock, log: list[tuple[str, float]], *naps: float) -> list[asyncio.Task[None]]:
    """Tasks that sleep so long and then record the time."""

    async def nap(seconds: float) -> None:
        await clock.sleep(seconds)
        log.append((f"{seconds:g}", clock.monotonic()))

    tasks = [asyncio.create_task(nap(seconds)) for seconds in naps]
    await asyncio.sleep(0)
    return tasks


def test_it_is_a_clock() -> None:
    """It satisfies the protocol of a session's clock, timers included."""
    assert isinstance(ManualClock(), Clock)
    assert callable(ManualClock().call_later)


@pytest.mark.parametrize(
    "start", [1482812036.067, 1482812036067, datetime(2016, 12, 27, 4, 13, 56, 67000, tzinfo=UTC)], ids=str
)
def test_it_starts_at_the_given_time(start: Any) -> None:
    """Seconds, milliseconds, or an aware datetime; ``monotonic`` starts at 0."""
    clock = ManualClock(start, True)
    assert clock.time_ms() == 1482812036067
    assert clock.monotonic() == 0
    assert clock.auto


async def test_time_stands_still_by_itself() -> None:
    """Whatever else the program does."""
    clock, log = ManualClock(), list[tuple[str, float]]()
    (task,) = await sleepers(clock, log, 0.001)
    for _ in range(100):
        await asyncio.sleep(0)
    assert (clock.monotonic(), log, task.done()) == (0, [], False)
    await clock.advance(1)
    assert task.done()


async def test_sleepers_wake_in_order_each_at_its_own_time() -> None:
    """One ``advance`` over three sleepers: each reads its own second from the clock."""
    clock, log = ManualClock(), list[tuple[str, float]]()
    await sleepers(clock, log, 3, 1, 2)
    await clock.advance(10)
    assert log == [("1", 1.0), ("2", 2.0), ("3", 3.0)]
    assert clock.monotonic() == 10


async def test_sleepers_of_one_moment_wake_in_the_order_they_began() -> None:
    """The order does not depend on chance."""
    clock, log = ManualClock(), list[int]()
    for number in range(20):
        clock.call_later(5, functools.partial(log.append, number))
    await clock.advance(5)
    assert log == list(range(20))


async def test_what_a_sleeper_does_next_happens_within_the_same_advance() -> None:
    """A poll of five minutes passes in one ``advance``: it wakes, works and sleeps again."""
    clock, seen = ManualClock(), list[float]()

    async def poll() -> None:
        for _ in range(60):
            await clock.sleep(5)
            await asyncio.sleep(0)
            seen.append(clock.monotonic())

    task = asyncio.create_task(poll())
    await asyncio.sleep(0)
    await clock.advance(300)
    assert task.done()
    assert seen == [5.0 * n for n in range(1, 61)]


async def test_a_task_that_was_made_before_an_advance_begins_at_the_time_before() -> None:
    """It does so too if somebody else sleeps, or if the task reads the time only some turns of the loop later."""
    clock, log = ManualClock(), list[float]()
    await sleepers(clock, [], 8)

    async def task() -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        log.append(clock.monotonic())

    task_made_now = asyncio.create_task(task())
    await clock.advance(60)
    assert (task_made_now.done(), log) == (True, [0])


async def test_a_sleeper_never_wakes_too_early() -> None:
    """Several calls of ``advance`` add up."""
    clock, log = ManualClock(), list[tuple[str, float]]()
    await sleepers(clock, log, 5)
    await clock.advance(4.999)
    assert not log
    await clock.advance(0.001)
    assert log == [("5", 5.0)]


async def test_without_await_time_moves_while_the_loop_runs() -> None:
    """``advance`` may be called from a callback or a sync helper."""
    clock, log = ManualClock(), list[tuple[str, float]]()
    tasks = await sleepers(clock, log, 1, 2)
    clock.advance(2)
    assert not log
    await asyncio.gather(*tasks)
    assert log == [("1", 1.0), ("2", 2.0)]


async def test_advances_that_are_not_awaited_add_up() -> None:
    """Two of one second are two seconds."""
    clock, log = ManualClock(), list[tuple[str, float]]()
    tasks = await sleepers(clock, log, 0.5, 2)
    clock.advance(1)
    clock.advance(1)
    await asyncio.gather(*tasks)
    assert log == [("0.5", 0.5), ("2", 2.0)]


async def test_two_may_wait_for_the_same_time() -> None:
    """Both waits return."""
    clock, log = ManualClock(), list[tuple[str, float]]()
    await sleepers(clock, log, 1)

    async def stride() -> float:
        await clock.advance(2)
        return clock.monotonic()

    assert set(await asyncio.gather(stride(), stride())) == {4.0}
    assert log == [("1", 1.0)]


async def test_a_cancelled_advance_still_lets_time_pass() -> None:
    """Other sleepers wake all the same."""
    clock, log = ManualClock(), list[tuple[str, float]]()
    await sleepers(clock, log, 1)

    async def stride() -> None:
        await clock.advance(5)

    task = asyncio.create_task(stride())
    await asyncio.sleep(0)
    task.cancel()
    await clock.advance(5)
    assert task.cancelled()
    assert clock.monotonic() == 10
    assert log == [("1", 1.0)]


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    """The clock does not stop at its time."""
    clock, log = ManualClock(auto=True), list[tuple[str, float]]()
    first, second = await sleepers(clock, log, 1, 2)
    first.cancel()
    await second
    assert log == [("2", 2.0)]
    assert first.cancelled()


async def test_no_wait_at_all_lets_others_run() -> None:
    """``sleep(0)``, or less, is one turn of the loop and takes no time."""
    clock = ManualClock()
    await clock.sleep(0)
    await clock.sleep(-5)
    assert clock.monotonic() == 0


async def test_a_timer_can_be_cancelled_before_and_after() -> None:
    """The timers of asyncio can be, too."""
    clock, log = ManualClock(), list[str]()
    clock.call_later(1, lambda: log.append("called off")).cancel()
    kept = clock.call_later(1, lambda: log.append("kept"))
    overdue = clock.call_later(-3, lambda: log.append("overdue"))
    await clock.advance(0)
    assert log == ["overdue"]
    await clock.advance(1)
    kept.cancel()
    overdue.cancel()
    assert log == ["overdue", "kept"]


async def test_a_timer_that_another_one_cancels_at_the_same_moment_is_not_called() -> None:
    """The first of two timers may cancel the second."""
    clock, log = ManualClock(), list[str]()

    def first() -> None:
        log.append("first")
        second.cancel()

    clock.call_later(1, first)
    second = clock.call_later(1, lambda: log.append("second"))
    await clock.advance(2)
    assert log == ["first"]


async def test_auto_jumps_to_the_next_sleeper_once_nothing_else_can_run() -> None:
    """An hour of sleep takes no real time. Tasks that can run go first."""
    clock, order = ManualClock(auto=True), list[str]()

    async def busy() -> None:
        for turn in range(50):
            await asyncio.sleep(0)
            order.append(f"busy {turn}")

    async def waits() -> None:
        await clock.sleep(3600)
        order.append("woken")

    await asyncio.gather(waits(), busy())
    assert order[-1] == "woken"
    assert len(order) == 51
    assert clock.monotonic() == 3600


async def test_auto_makes_no_jumps_while_it_is_held() -> None:
    """What is awaited meanwhile, a thread or a socket, comes first. It may be held twice at a time."""
    clock, order = ManualClock(auto=True), list[str]()

    async def waits() -> None:
        await clock.sleep(30)
        order.append("woken")

    async def works() -> None:
        with clock.held(), clock.held():
            await asyncio.to_thread(time.sleep, 0.01)
            order.append("worked")

    await asyncio.gather(waits(), works())
    assert order == ["worked", "woken"]
    assert clock.monotonic() == 30


async def test_a_clock_that_is_held_can_be_advanced() -> None:
    """Only jumps are held back."""
    clock, log = ManualClock(auto=True), list[tuple[str, float]]()
    with clock.held():
        await sleepers(clock, log, 2)
        await clock.advance(3)
    assert log == [("2", 2.0)]


def test_a_clock_can_be_held_without_a_loop() -> None:
    """In a sync test, around a whole asynchronous program."""
    clock = ManualClock(auto=True)
    with clock.held():
        asyncio.run(asyncio.sleep(0))
    asyncio.run(clock.sleep(1))
    assert clock.monotonic() == 1


async def test_auto_can_be_advanced_too() -> None:
    """It wakes its sleepers in order."""
    clock, log = ManualClock(auto=True), list[tuple[str, float]]()
    await sleepers(clock, log, 2, 1)
    await clock.advance(5)
    assert log == [("1", 1.0), ("2", 2.0)]
    assert clock.monotonic() == 5


async def test_two_clocks_on_one_loop_do_not_wait_for_each_other() -> None:
    """Each checks whether other tasks can run, and does not count the other clock's check."""
    one, other = ManualClock(auto=True), ManualClock(auto=True)
    await asyncio.gather(one.sleep(5), other.sleep(7))
    assert one.monotonic() == 5
    assert other.monotonic() == 7


async def test_a_clock_on_which_nobody_waits_leaves_the_loop_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A soak test may run many programs in one loop, each with its own clock: they do not slow each other down."""
    looks = mock.Mock(side_effect=ManualClock._others_can_run)
    monkeypatch.setattr(ManualClock, "_others_can_run", looks)
    await ManualClock(auto=True).sleep(1)
    before = looks.call_count
    for _ in range(100):
        await asyncio.sleep(0)
    assert looks.call_count <= before + 1


async def test_the_wall_clock_can_be_corrected_without_time_passing() -> None:
    """``shift`` moves timestamps but not timers, like a corrected system clock."""
    clock, log = ManualClock(1_000_000.0), list[tuple[str, float]]()
    await sleepers(clock, log, 1)
    clock.shift(3600)
    assert clock.time_ms() == 1_003_600_000
    clock.shift(-7200)
    assert clock.time_ms() == 996_400_000
    assert clock.monotonic() == 0
    assert not log
    await clock.advance(1)
    assert clock.time_ms() == 996_401_000


def test_time_only_goes_forward() -> None:
    """A negative number is rejected, and the message mentions ``shift``."""
    with pytest.raises(ValueError, match="shift"):
        ManualClock().advance(-1)


async def test_the_new_time_can_be_read_at_once() -> None:
    """``advance`` need not be awaited. What becomes due meanwhile still happens at its own time."""
    clock, log = ManualClock(), list[float]()
    for due in (1, 2, 9):
        clock.call_later(due, lambda: log.append(clock.monotonic()))
    clock.advance(5)
    assert (clock.monotonic(), log) == (5, [1.0, 2.0])
    await clock.advance(4)
    assert log == [1.0, 2.0, 9.0]


def test_without_a_loop_the_time_is_reached_at_once() -> None:
    """Sync tests can advance it too, and what is due happens."""
    clock, log = ManualClock(), list[float]()
    clock.call_later(2, lambda: log.append(clock.monotonic()))
    clock.call_later(1, lambda: log.append(clock.monotonic()))
    clock.call_later(9, lambda: log.append(clock.monotonic()))
    clock.call_later(10, log.clear).cancel()  # it waits no longer, although its time has not come
    clock.advance(5)
    assert log == [1.0, 2.0]
    assert clock.monotonic() == 5
    assert repr(clock) == "<ManualClock at 5 s, 1 waiting>"


def test_one_clock_serves_one_loop_after_the_other() -> None:
    """Each test has its own loop, and a clock may be used in several."""
    clock = ManualClock(auto=True)
    for expected in (5, 10):
        asyncio.run(clock.sleep(5))
        assert clock.monotonic() == expected


async def test_other_threads_may_wake_the_loop_while_the_clock_looks_at_what_is_ready() -> None:
    """A database driver's thread does so at any moment: the clock goes on."""
    loop: Any = asyncio.get_running_loop()
    clock, log = ManualClock(), list[tuple[str, float]]()
    (task,) = await sleepers(clock, log, 3)

    class Interrupting(asyncio.Handle):
        """A cancelled one. While somebody looks at it, more becomes ready, as if another thread had run just then."""

        def cancelled(self) -> bool:
            loop.call_soon_threadsafe(lambda: None)
            return True

    def interrupt(turns: int) -> None:
        loop._ready.append(Interrupting(lambda: None, (), loop))
        if turns:
            loop.call_soon(interrupt, turns - 1)

    loop.call_soon(interrupt, 5)
    await asyncio.wait_for(clock.advance(3), timeout=1)
    assert log == [("3", 3)]
    await task


def test_a_loop_that_does_not_show_what_is_ready_is_given_many_turns() -> None:
    """Loops that are written in C have no list of what is ready: they get a thousand turns."""
    loop: Any = object()
    assert ManualClock._others_can_run(loop, 0)
    assert ManualClock._others_can_run(loop, 999)
    assert not ManualClock._others_can_run(loop, 1000)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=12), st.lists(st.floats(0, 50), max_size=6))
def test_all_sleepers_wake_on_time_whatever_the_sleeps_and_advances(naps: list[float], strides: list[float]) -> None:
    """In order, at their own times, and all of them."""

    async def play() -> None:
        clock, woken = ManualClock(), list[float]()
        for nap in naps:
            call_later(clock, nap, lambda: woken.append(clock.monotonic()))
        for stride in (0, *strides):
            await clock.advance(stride)
        assert woken == sorted(nap for nap in naps if nap <= clock.monotonic())
        await clock.advance(101)
        assert woken == sorted(naps)

    asyncio.run(play())
