"""A clock for tests: it moves when a test advances it, or by itself once nothing else can run."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
from datetime import datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

_TURNS_OF_OTHER_LOOPS: Final = 1_000


class ManualClock:
    """A clock that stands still until ``advance(seconds)``.

    ``start`` is the time that ``time_ms()`` begins with: seconds since the epoch, milliseconds (a number too large for
    seconds), or an aware ``datetime``. With ``auto`` the clock jumps to the next sleeper by itself once nothing else
    can run. This is right for programs whose only I/O is the sandbox in memory. If they wait for a real socket or a
    thread, do so within ``held()``: the clock cannot see such a wait. Books that are given the clock,
    ``Books(url, clock=clock)``, do that by themselves. ``auto`` may be changed at any time.
    """

    def __init__(self, start: float | datetime = 1_700_000_000.0, auto: bool = False) -> None:
        if isinstance(start, datetime):
            start = start.timestamp()
        self._epoch_ms = round(start) if start > 1e11 else round(start * 1000)
        self._now = 0.0
        self._target = 0.0
        self._ahead = False
        """Whether ``advance`` was called, but the event loop has not run since."""
        self.auto = auto
        self._holders = 0
        self._timers: list[tuple[float, int, _Timer]] = []
        self._order = itertools.count()
        self._stepper: asyncio.Handle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._arrivals: list[asyncio.Future[None]] = []

    def __repr__(self) -> str:
        waiting = sum(not timer.cancelled for _, _, timer in self._timers)
        return f"<ManualClock at {self._now:g} s, {waiting} waiting>"

    def time_ms(self) -> int:
        """Milliseconds since the epoch."""
        return self._epoch_ms + round(self.monotonic() * 1000)

    def monotonic(self) -> float:
        """Seconds that have passed on this clock since it was made."""
        if self._ahead:
            self._jump_to_target()
        return self._now

    def shift(self, seconds: float) -> None:
        """Move ``time_ms()`` forward or back without letting time pass, as when a system clock is corrected."""
        self._epoch_ms += round(seconds * 1000)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """While open, ``auto`` makes no jumps: for waits that the clock cannot see, for a thread or a socket.

        What waits on this clock meanwhile is woken by ``advance()`` only.
        """
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            with contextlib.suppress(RuntimeError):  # without a running loop nothing waits
                self._step_when_idle()

    async def sleep(self, seconds: float) -> None:
        """Return once ``seconds`` have passed on this clock."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        timer = self.call_later(seconds, lambda: None if woken.done() else woken.set_result(None))
        try:
            await woken
        finally:
            timer.cancel()

    def call_later(self, seconds: float, callback: Callable[[], object]) -> _Timer:
        """Call ``callback`` once ``seconds`` have passed on this clock."""
        timer = _Timer(callback)
        heapq.heappush(self._timers, (self.monotonic() + max(0.0, seconds), next(self._order), timer))
        if self.auto:
            self._step_when_idle()
        return timer

    def advance(self, seconds: float) -> _Arrival:
        """Let ``seconds`` pass, and wake the sleepers in order, each at its own time.

        Await the result to continue when the time is reached and every sleeper that was woken has run as far as it can.
        If you do not await it, the clock moves while the event loop runs; without a running loop it moves at once.
        Raises ValueError for a negative number: ``shift`` puts the wall clock back.
        """
        if seconds < 0:
            message = "seconds: time only goes forward; shift() puts the wall clock back"
            raise ValueError(message)
        self._target = max(self._target, self._now) + seconds
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._jump_to_target()
            return _Arrival(self._arrival)
        # Code that reads the time before anything else runs gets the new time; a sleeper that is woken gets its own.
        # Tasks that were made just now run before the first sleeper is woken: they begin at the time before.
        loop.call_soon(self._begin, self._stepper is None)
        self._ahead = True
        self._step_when_idle()
        return _Arrival(self._arrival)

    def _arrival(self) -> asyncio.Future[None]:
        self._ahead = False
        arrival: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._arrivals.append(arrival)
        self._step_when_idle()
        return arrival

    # How it moves: `advance` only sets a target. The event loop calls `_look` again and again, until nothing else can
    # run, and then it takes the first of these steps that it can:
    #   - fire the timers of the next instant, if that is not after the target;
    #   - set the time to the target;
    #   - tell those who await `advance` that the target is reached;
    #   - with `auto`, make the next timer's instant the target.
    # So timers are fired for one instant at a time, and in between the tasks that were woken run until none of them
    # can. `_ahead` is for those who do not await `advance`.

    def _begin(self, was_idle: bool) -> None:
        if not self._ahead:
            return  # whoever called advance() awaits it, or the time was read
        self._ahead = False
        due = self._next_due()
        if was_idle and due is not None and due <= self._target:
            self._fire(due)

    def _jump_to_target(self) -> None:
        self._ahead = False
        while (due := self._next_due()) is not None and due <= self._target:
            self._fire(due)
        self._now = max(self._now, self._target)

    def _fire(self, due: float) -> None:
        self._now = max(self._now, due)
        while self._timers and self._timers[0][0] <= due:
            heapq.heappop(self._timers)[2].fire()

    def _next_due(self) -> float | None:
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def _step_when_idle(self) -> None:
        loop = asyncio.get_running_loop()
        if self._stepper is None or self._loop is not loop:
            self._loop = loop
            self._stepper = loop.call_soon(self._look, loop, 0)

    def _look(self, loop: asyncio.AbstractEventLoop, turns: int) -> None:
        # Whoever gives the clock something to do starts this again. If it went on until the loop is idle, the clocks of
        # programs that run in one loop, one after the other, would slow each other down.
        is_needed = self._arrivals or self._now < self._target or self._next_due() is not None
        if is_needed and self._others_can_run(loop, turns):
            self._stepper = loop.call_soon(self._look, loop, turns + 1)
            return
        self._stepper = None
        due = self._next_due()
        if due is not None and due <= self._target:
            self._fire(due)
        elif self._now < self._target:
            self._now = self._target
        elif self._arrivals:
            for arrival in self._arrivals:
                if not arrival.done():
                    arrival.set_result(None)
            self._arrivals.clear()
            if not self.auto:
                return
        elif self.auto and due is not None and not self._holders:
            self._target = due
            self._fire(due)
        else:
            return
        self._step_when_idle()

    @classmethod
    def _others_can_run(cls, loop: asyncio.AbstractEventLoop, turns: int) -> bool:
        # asyncio's own loops have a list of what is ready to run. For others, many turns of the loop must be enough.
        ready = getattr(loop, "_ready", None)
        if ready is None:
            return turns < _TURNS_OF_OTHER_LOOPS
        # A copy, because other threads (a database driver's, an executor's) add to that list at any moment.
        callbacks = (getattr(handle, "_callback", None) for handle in tuple(ready) if not handle.cancelled())
        return any(getattr(callback, "__func__", None) is not cls._look for callback in callbacks)


class _Timer:
    __slots__ = ("callback", "cancelled")

    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def fire(self) -> None:
        if not self.cancelled:
            self.cancelled = True
            self.callback()


class _Arrival:
    """The result of ``advance()``: awaiting it returns when the time is reached and nothing else can run."""

    __slots__ = ("_begin",)

    def __init__(self, begin: Callable[[], asyncio.Future[None]]) -> None:
        self._begin = begin

    def __await__(self) -> Generator[object, None, None]:
        yield from self._begin()
