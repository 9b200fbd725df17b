"""Instants by both clocks, timers, work that must be completed, and much work in turns of the event loop."""

from __future__ import annotations

import asyncio
import time

import pytest

from omipay_async import BackendError, clock as clock_module
from omipay_async.clock import Clock, Deadline, SystemClock, call_later, completed, in_turns
from omipay_async.testing import ManualClock


class TwoClocks(ManualClock):
    """A clock whose wall time can differ from its monotonic time."""

    put_forward_ms = 0

    def time_ms(self) -> int:
        """Wall time."""
        return super().time_ms() + self.put_forward_ms


async def test_an_instant_passes_with_time() -> None:
    """At the instant itself it is not over yet."""
    clock = TwoClocks()
    deadline = Deadline.after(clock, 1.5)
    assert deadline.seconds_left(clock) == pytest.approx(1.5)
    await clock.advance(1.5)
    assert not deadline.is_over(clock)
    await clock.advance(0.001)
    assert deadline.is_over(clock)


@pytest.mark.parametrize(
    ("forward_ms", "over"), [(1_500, False), (1_501, True), (3_600_000, True), (-3_600_000, False)]
)
async def test_a_machine_that_slept_counts_by_its_wall_clock(forward_ms: int, over: bool) -> None:
    """The monotonic clock stood still. A wall clock that was set back gives no more time."""
    clock = TwoClocks()
    deadline = Deadline.after(clock, 1.5)
    clock.put_forward_ms = forward_ms
    assert deadline.is_over(clock) is over
    assert deadline.seconds_left(clock) <= 1.5


class PlainClock:
    """A clock with the three methods that every clock has."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def time_ms(self) -> int:
        """Always the same."""
        return 0

    def monotonic(self) -> float:
        """Always the same."""
        return 0.0

    async def sleep(self, seconds: float) -> None:
        """Return at once, or wait for ever for an hour."""
        self.slept.append(seconds)
        if seconds >= 3600:
            await asyncio.get_running_loop().create_future()


async def test_a_clock_without_timers_can_call_later() -> None:
    """A task sleeps on it, unless the time has passed already, and a timer can be cancelled."""
    clock, called = PlainClock(), asyncio.Queue[str]()
    call_later(clock, 1.5, lambda: called.put_nowait("soon"))
    call_later(clock, -1.0, lambda: called.put_nowait("at once"))
    call_later(clock, 3600, lambda: called.put_nowait("never")).cancel()
    assert {await called.get(), await called.get()} == {"soon", "at once"}
    assert clock.slept == [1.5]
    assert called.empty()


async def test_a_clock_with_timers_uses_them() -> None:
    """No task is made for it."""
    clock, called = ManualClock(), list[str]()
    timer = call_later(clock, 1.5, lambda: called.append("cancelled"))
    call_later(clock, -1.0, lambda: called.append("at once"))
    timer.cancel()
    assert len(asyncio.all_tasks()) == 1
    await asyncio.sleep(0)
    assert called == ["at once"]  # although the clock stands still
    await clock.advance(2)
    assert called == ["at once"]


@pytest.mark.parametrize(
    ("many", "turns"),
    [(0, [0, 0]), (199, [199, 199]), (200, [200, 200, 200]), (450, [200, 400, 450, 450])],
)
async def test_many_items_are_handled_in_turns(many: int, turns: list[int]) -> None:
    """A few hundred in each turn of the event loop, and the end is told after the last of them."""
    handled, seen, ended = list[int](), list[int](), asyncio.Event()
    in_turns(range(many), handled.append, ended.set)
    while not ended.is_set():
        seen.append(len(handled))
        await asyncio.sleep(0)
    assert [*seen, len(handled)] == turns
    assert handled == list(range(many))


def test_the_system_clock_is_the_machines() -> None:
    """Milliseconds since the epoch, and a monotonic clock."""
    clock = SystemClock()
    assert isinstance(clock, Clock)
    before, shown, after = time.time_ns() // 10**6, clock.time_ms(), time.time_ns() // 10**6
    assert before <= shown <= after
    assert clock.monotonic() <= clock.monotonic() <= time.monotonic()


async def test_the_system_clock_sleeps_and_wakes() -> None:
    """Both ways to wait return."""
    clock = SystemClock()
    await clock.sleep(0)
    rung = asyncio.Event()
    clock.call_later(0, rung.set)
    await asyncio.wait_for(rung.wait(), 60)


async def test_work_that_must_be_completed_goes_on_when_its_caller_is_cancelled() -> None:
    """Nothing is kept of it afterwards; and its caller, if there is one, gets its error."""
    steps, go_on = list[str](), asyncio.Event()

    async def work() -> None:
        steps.append("begun")
        await go_on.wait()
        steps.append("ended")
        raise BackendError("it failed")

    cancelled = asyncio.create_task(completed(work))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    go_on.set()
    with pytest.raises(BackendError, match="it failed"):
        await completed(work)
    assert steps == ["begun", "ended"] * 2
    assert not clock_module._completing
