"""Clocks that misbehave."""

from __future__ import annotations

from omipay_async.testing import ManualClock


class LeapingClock(ManualClock):
    """A clock that can leap without calling a timer, as when the machine or the loop was stopped or blocked."""

    leapt_s = 0.0

    def monotonic(self) -> float:
        """Seconds, including the leap."""
        return super().monotonic() + self.leapt_s

    def leap(self, seconds: float = 16.0) -> None:
        """Leap, by more than half of a call's time unless ``seconds`` is given."""
        self.leapt_s += seconds
