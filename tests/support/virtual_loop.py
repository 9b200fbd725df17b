"""An event loop without I/O for models of several processes, which can be stopped and killed. Its time is virtual.

Everything that runs in a :class:`contextvars.Context` in which ``PROCESS`` is set belongs to that process, with all the
tasks and timers that it makes. Callbacks run one at a time, in the order of asyncio's own loops. Each is an iteration,
and something may be done before any iteration. When no callback is ready, the time jumps to the next timer.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

PROCESS: Final = contextvars.ContextVar[Any]("PROCESS", default=None)
MOST_TURNS: Final = 100_000


class Stuck(Exception):
    """Nothing can run any more although a task waits, or the program never stops running."""


class _Handle(Protocol):
    _cancelled: bool
    _context: contextvars.Context
    _scheduled: bool
    _when: float

    def _run(self) -> None: ...

    def __lt__(self, other: _Handle) -> bool: ...


class VirtualLoop(asyncio.BaseEventLoop):
    """The event loop, which is also a clock for the library."""

    _ready: deque[_Handle]
    _scheduled: list[_Handle]
    _stopping: bool

    def __init__(self) -> None:
        super().__init__()
        self.turns = 0
        self.before_turn: dict[int, Callable[[], object]] = {}
        """What is done before which iteration; the first one is 1."""
        self.unhandled: list[str] = []
        """What asyncio would have logged: exceptions that were never retrieved."""
        self._now = 0.0
        self._held_back: dict[Hashable, deque[_Handle]] = {}
        self.set_exception_handler(lambda _, context: self.unhandled.append(f"{context['message']}: {context}"))

    # -- the clock ----------------------------------------------------------------------------------------------------

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._now

    def monotonic(self) -> float:
        """Seconds since the loop was made."""
        return self._now

    def time_ms(self) -> int:
        """Milliseconds since the epoch."""
        return 1_700_000_000_000 + round(self._now * 1000)

    async def sleep(self, seconds: float) -> None:
        """Return ``seconds`` later."""
        await asyncio.sleep(seconds)

    # -- processes ----------------------------------------------------------------------------------------------------

    def stop_process(self, process: Hashable) -> None:
        """Run nothing of ``process``, as after SIGSTOP, until ``resume_process`` is called."""
        self._held_back.setdefault(process, deque())

    def resume_process(self, process: Hashable) -> None:
        """Run what became ready while ``process`` was stopped."""
        self._ready.extend(self._held_back.pop(process, ()))

    # -- how asyncio's loops run --------------------------------------------------------------------------------------

    def _run_once(self) -> None:
        ready = self._ready
        while ready and not self._stopping:
            handle = ready.popleft()
            if handle._cancelled:
                continue
            self.turns += 1
            if self.turns in self.before_turn:
                self.before_turn.pop(self.turns)()
            if self._held_back and (process := handle._context.get(PROCESS)) in self._held_back:
                self._held_back[process].append(handle)
            else:
                handle._run()
        if not self._stopping:
            self._jump()

    def _jump(self) -> None:
        timers = self._scheduled
        while timers and timers[0]._cancelled:
            heapq.heappop(timers)._scheduled = False
        if not timers or self.turns > MOST_TURNS:
            raise Stuck
        self._now = max(self._now, timers[0]._when)
        while timers and timers[0]._when <= self._now:
            timer = heapq.heappop(timers)
            timer._scheduled = False
            self._ready.append(timer)

    def _write_to_self(self) -> None:
        """Do nothing: there is no I/O to interrupt."""
