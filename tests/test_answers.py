"""How long backends and journals may take to answer when the event loop stood still."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import attrs
import pytest

from omipay_async.answers import ask
from omipay_async.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable


@attrs.define
class StandingStill:
    """A clock whose first timer goes off too late; the next ones do at their time."""

    late: float
    now: float = 0.0
    timers: list[float] = attrs.field(factory=list)

    def time_ms(self) -> int:
        return round(self.now * 1000)

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError

    def call_later(self, seconds: float, callback: Callable[[], object]) -> asyncio.Handle:
        first = not self.timers
        self.timers.append(seconds)

        def go_off() -> None:
            self.now += seconds + (self.late if first else 0)
            callback()

        loop = asyncio.get_running_loop()
        return loop.call_soon(go_off) if first else loop.call_later(0.02, go_off)


async def some_turns_later() -> str:
    for _ in range(20):  # as an answer that lies in a socket, or comes from a thread
        await asyncio.sleep(0)
    return "done"


async def never() -> None:
    await asyncio.get_running_loop().create_future()


async def test_an_answer_that_could_not_be_read_in_time_is_read() -> None:
    """Otherwise a handler that blocks the event loop would make each request fail that is under way."""
    assert await ask(StandingStill(2.2), some_turns_later, 1.0) == "done"


@pytest.mark.parametrize(("late", "again"), [(0.3, [0.3]), (3600, [1.0]), (0.01, [])])
async def test_no_answer_is_waited_for_longer_than_the_event_loop_stood_still(late: float, again: list[float]) -> None:
    """And not for more than its own time again, however long the process was stopped."""
    clock = StandingStill(late)
    with pytest.raises(BackendError, match="did not answer in time"):
        await ask(clock, never, 1.0)
    assert clock.timers == [1.0, *map(pytest.approx, again)]
