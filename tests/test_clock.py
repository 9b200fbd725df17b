"""Instants by both clocks."""

from __future__ import annotations

import pytest

from omipay_async.clock import Deadline
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
