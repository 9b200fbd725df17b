"""The clock that every wait and timestamp comes from, with its timers and deadlines, and ways to wait."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import time
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeVar, runtime_checkable

import attrs

from omipay_async.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Iterable
    from contextlib import AbstractContextManager

T = TypeVar("T")

AT_A_TIME: Final = 200
"""How many polls or waits are handled in one turn of the event loop."""
LAST_TURNS: Final = 200
"""For how many more turns of the event loop a question goes on when the time of those who wait for it is over. A reply
of ordinary length that has arrived already is delivered in fewer."""
_LAST_TRY_S: Final = 0.5
_completing: Final[set[asyncio.Task[None]]] = set()


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
    """Something that happens later unless it is cancelled."""

    def cancel(self) -> object:
        """Prevent it."""
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

    What is due already is called in the next turn of the event loop, even if the clock stands still, as in tests.
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


def retrieve_exception(ended: asyncio.Future[Any]) -> None:
    """Retrieve the exception of a task that has ended: asyncio logs one that nobody has retrieved."""
    if not ended.cancelled():
        ended.exception()


def running_loop() -> asyncio.AbstractEventLoop:
    """The event loop that is running.

    Raises:
        ConfigurationError: none of asyncio's is.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        message = "omipay_async needs asyncio, and no event loop of asyncio is running here (trio's is not one)"
        raise ConfigurationError(message) from None


async def completed(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Wait for ``work``, which goes on in a task of its own if this is cancelled."""
    task = running_loop().create_task(work())
    _completing.add(task)  # asyncio itself keeps no task alive
    task.add_done_callback(_completing.discard)
    task.add_done_callback(retrieve_exception)
    await asyncio.wait((task,))
    task.result()


async def drain(clock: Clock, unfinished: Callable[[], Collection[asyncio.Future[Any]]], seconds: float) -> None:
    """Return when ``unfinished()`` finds nothing more, or ``seconds`` of ``clock`` have passed."""
    end = clock.monotonic() + seconds
    while (futures := unfinished()) and (left := end - clock.monotonic()) > 0:
        await wait(clock, futures, left)


def in_turns(items: Iterable[T], handle: Callable[[T], object], then: Callable[[], object] | None = None) -> None:
    """Call ``handle`` for ``AT_A_TIME`` items now, and for as many in each turn of the event loop, at last ``then``.

    So other tasks get their turns in between.
    """
    waiting = iter(items)
    some = list(itertools.islice(waiting, AT_A_TIME))
    for item in some:
        handle(item)
    if len(some) == AT_A_TIME:
        asyncio.get_running_loop().call_soon(in_turns, waiting, handle, then)
    elif then is not None:
        asyncio.get_running_loop().call_soon(then)


def last_try_s(timeout: float) -> float:
    """How many seconds before its end a wait tries for the last time: at most a twentieth of its ``timeout``."""
    return min(_LAST_TRY_S, timeout / 20)


def held(clock: Clock) -> AbstractContextManager[object]:
    """While open, a clock that jumps over waits makes no jumps: something is awaited that it cannot see."""
    own = getattr(clock, "held", None)
    if own is None:
        return contextlib.nullcontext()
    holding: AbstractContextManager[object] = own()
    return holding


@attrs.frozen(eq=False, repr=False)
class Deadline:
    """An instant by two clocks, the monotonic one and the wall clock. It has passed when it has passed by one of them.

    The monotonic clock may stand still while the machine sleeps, and the wall clock may be set back. (A wall clock that
    is put forward cannot be told from a machine that slept; that is accepted.)
    """

    monotonic_s: float
    wall_ms: int

    @classmethod
    def after(cls, clock: Clock, seconds: float) -> Self:
        """The instant ``seconds`` from now."""
        return cls(clock.monotonic() + seconds, clock.time_ms() + math.ceil(seconds * 1000))

    def seconds_left(self, clock: Clock) -> float:
        """How many seconds are left; less than 0 once it has passed."""
        return min(self.monotonic_s - clock.monotonic(), (self.wall_ms - clock.time_ms()) / 1000)

    def is_over(self, clock: Clock) -> bool:
        """Whether it has passed."""
        return self.seconds_left(clock) < 0
