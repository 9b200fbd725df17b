"""The clock that every wait and every timestamp comes from, its timers, and the gateway's clock as we know it."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, runtime_checkable

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from contextlib import AbstractContextManager


@runtime_checkable
class Clock(Protocol):
    """Where every wait and every timestamp of the library comes from.

    A clock may also have ``call_later(seconds, callback)`` that returns something with ``cancel()``; without it a
    deadline costs a task that sleeps. It may have ``held()``, a context manager that is open while books work with
    their database: a clock that jumps over waits makes no jumps then.
    """

    def time_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, never going back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return ``seconds`` later."""
        ...


class Timer(Protocol):
    """Something that will happen unless it is cancelled."""

    def cancel(self) -> Any:
        """Let it not happen."""
        ...


class SystemClock:
    """The machine's own clock."""

    __slots__ = ()

    def time_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, never going back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return ``seconds`` later."""
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call ``callback`` after ``seconds``."""
        return asyncio.get_running_loop().call_later(seconds, callback)


def call_later(clock: Clock, seconds: float, callback: Callable[[], object]) -> Timer:
    """Call ``callback`` after ``seconds`` of ``clock``, whether or not the clock has timers of its own.

    What is due already waits for no clock: a test's clock may stand still.
    """
    if seconds <= 0:
        return asyncio.get_running_loop().call_soon(callback)
    own = getattr(clock, "call_later", None)
    if own is not None:
        timer: Timer = own(seconds, callback)
        return timer

    async def call() -> None:
        await clock.sleep(seconds)
        callback()

    return asyncio.get_running_loop().create_task(call())


async def wait(clock: Clock, futures: Collection[asyncio.Future[Any]], seconds: float | None = None) -> None:
    """Return when one of ``futures`` is done, or ``seconds`` of ``clock`` have passed."""
    if any(future.done() for future in futures) or (seconds is not None and seconds <= 0):
        return
    if seconds is None:
        await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
        return
    alarm: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    timer = call_later(clock, seconds, alarm.cancel)
    try:
        await asyncio.wait((*futures, alarm), return_when=asyncio.FIRST_COMPLETED)
    finally:
        timer.cancel()


def held(clock: Clock) -> AbstractContextManager[object]:
    """While open, a clock that jumps over waits makes no jumps: something is awaited that it cannot see."""
    own = getattr(clock, "held", None)
    if own is None:
        return contextlib.nullcontext()
    holding: AbstractContextManager[object] = own()
    return holding


@attrs.frozen
class Deadline:
    """An instant, by both clocks: over when either of them says so.

    The monotonic clock may stand still while the machine sleeps, then the wall clock tells; the wall clock may be set
    back, then the monotonic one does. (A wall clock that is put forward looks like a machine that slept: accepted.)
    """

    monotonic_s: float
    wall_ms: int

    @classmethod
    def after(cls, clock: Clock, seconds: float) -> Self:
        """``seconds`` from now."""
        return cls(clock.monotonic() + seconds, clock.time_ms() + math.ceil(seconds * 1000))

    def seconds_left(self, clock: Clock) -> float:
        """How many seconds are left; less than 0 once it is over."""
        return min(self.monotonic_s - clock.monotonic(), (self.wall_ms - clock.time_ms()) / 1000)

    def is_over(self, clock: Clock) -> bool:
        """Whether it has passed."""
        return self.seconds_left(clock) < 0


@attrs.define
class GatewayTime:
    """The gateway's clock as this process knows it: our own, corrected by what SIGN_TIMEOUT replies taught.

    ``Date`` headers have a resolution of one second, so after a correction an error of up to a second and the time of
    the reply's travel remain: nothing against the five minutes that the gateway allows (CN 2.1).
    """

    clock: Clock
    offset_ms: int = 0

    def time_ms(self) -> int:
        """Now, on the gateway's clock, in milliseconds since the epoch."""
        return self.clock.time_ms() + self.offset_ms

    def learn(self, gateway_ms: int) -> bool:
        """Take over what the gateway's clock showed just now. Whether that changed the offset.

        What the header's resolution cannot tell from zero is zero, so that a machine whose clock was put right again
        signs with its own time.
        """
        offset = gateway_ms - self.clock.time_ms()
        offset = 0 if abs(offset) <= _DATE_RESOLUTION_MS else offset
        changed = abs(offset - self.offset_ms) > _DATE_RESOLUTION_MS
        self.offset_ms = offset
        return changed


_DATE_RESOLUTION_MS: Final = 2_000
