"""How long a backend whose listening has failed waits before it listens again: longer each time, until that works."""

from __future__ import annotations

import random
from typing import Final

FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 5.0


class Pauses:
    """The pauses of one listener. ``first`` is true before the first one: only the first failure in a row is logged."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Note that an attempt has worked."""
        self._pause = FIRST_PAUSE_S
        self.first = True

    def next(self) -> float:
        """How many seconds to wait before the next attempt."""
        pause = self._pause * random.uniform(0.5, 1.0)  # so that not all processes connect at once
        self._pause = min(2 * self._pause, LONGEST_PAUSE_S)
        self.first = False
        return pause
