"""An event loop with virtual time: when nothing can run, it goes to the next timer instead of waiting for it."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any, Final

from tests.support.untyped import untyped

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_TURNS: Final = 500_000
_TURN_S: Final = 1e-6
"""How much time passes in each iteration, so that no program can spin before a deadline for ever."""


class StuckError(Exception):
    """Nothing can run any more, or the program never stops running."""


class _VirtualSelector(selectors.BaseSelector):
    """A selector without files. Waiting returns at once and advances the time."""

    def __init__(self) -> None:
        self.now = 0.0
        self._turns = 0
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Register the loop's own pipe, in which nothing ever arrives."""
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        self._keys[fd] = selectors.SelectorKey(fileobj, fd, events, data)
        return self._keys[fd]

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Forget it."""
        return self._keys.pop(fileobj if isinstance(fileobj, int) else fileobj.fileno())

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """What is registered."""
        return self._keys

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Let ``timeout`` seconds pass at once."""
        self._turns += 1
        if timeout is None:
            message = "nothing can run, and nothing is due at any time"
            raise StuckError(message)
        if self._turns > _MOST_TURNS:
            message = f"after {_MOST_TURNS:,} turns of the loop there is no end in sight"
            raise StuckError(message)
        self.now += max(_TURN_S, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs everything that asyncio has, its timeouts included, in virtual time."""

    def __init__(self) -> None:
        self._virtual = _VirtualSelector()
        self.stood_still_s = 0.0
        """The sum of the times in which nothing ran."""
        super().__init__(self._virtual)

    def time(self) -> float:
        """The virtual time, in seconds since the loop was made."""
        return self._virtual.now

    def stand_still(self, seconds: float) -> None:
        """Let time pass in which nothing runs, as when a machine is suspended."""
        self._virtual.now += seconds
        self.stood_still_s += seconds

    def pending_timers(self) -> list[asyncio.TimerHandle]:
        """Every timer that would still fire."""
        scheduled: list[asyncio.TimerHandle] = untyped(self)._scheduled  # asyncio has no public list
        return [handle for handle in scheduled if not handle.cancelled()]


class MachineClock:
    """The clock of one simulated machine: the loop's time, with a wall clock that may be wrong and may jump."""

    def __init__(self, loop: VirtualLoop, *, skew_s: float = 0.0, start_s: float = 1_700_000_000.0) -> None:
        self._loop = loop
        self._start_ms = round((start_s + skew_s) * 1000)

    def time_ms(self) -> int:
        """Milliseconds since the epoch, by this machine's clock."""
        return self._start_ms + round(self._loop.time() * 1000)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        """Return ``seconds`` later."""
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, callback: Any) -> asyncio.TimerHandle:
        """Call ``callback`` after ``seconds``."""
        return self._loop.call_later(seconds, callback)

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back."""
        self._start_ms += round(seconds * 1000)
