"""A block of code that a time limit, or the end of the session, can cancel. No I/O.

It is ``asyncio.timeout`` on the session's clock instead of the loop's, with a second reason to end: ``aclose()``. A
cancellation from outside always wins and is never swallowed.

When the time is over, the awaited reply may have arrived already, but was not delivered yet because something blocked
the event loop. So the block is cancelled only after the loop had some turns to deliver what it has. While bytes arrive
in these turns, it gets more of them, up to a limit, since a server may send one byte at a time.
"""

from __future__ import annotations

import asyncio
import enum
from typing import TYPE_CHECKING, Final, Self

from omipay_async.clock import call_later

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from omipay_async.clock import Clock, Timer


_QUIET_TURNS: Final = 10
"""How many turns of the event loop without a delivery show that everything was delivered."""
_MOST_TURNS: Final = 500
"""How many turns it gets in all."""


class CancelReason(enum.Enum):
    """Why a scope was cancelled."""

    TIME = enum.auto()
    """Its time was over."""
    CLOSED = enum.auto()
    """The session was closed."""


class ScopeCancelled(Exception):
    """Raised at the end of a scope that was cancelled."""

    def __init__(self, why: CancelReason) -> None:
        super().__init__(why)
        self.why = why


def caller_was_cancelled() -> bool:
    """Whether the running task was cancelled. If it was not, a ``CancelledError`` comes from what the task awaits."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


class CancelScope:
    """``with CancelScope(clock) as scope:`` cancels its block at ``scope.end(why)``, or when its time is over."""

    __slots__ = (
        "_cancelled",
        "_cancelling",
        "_clock",
        "_later",
        "_received",
        "_runs",
        "_seconds",
        "_task",
        "_timer",
        "_why",
    )
    _task: asyncio.Task[object]
    _cancelling: int

    def __init__(self, clock: Clock, seconds: float | None = None) -> None:
        self._clock = clock
        self._seconds = seconds
        self._why: CancelReason | None = None
        self._timer: Timer | None = None
        self._later: asyncio.Handle | None = None
        self._received: Callable[[], int] = int  # returns 0
        self._cancelled = False
        self._runs = False

    def expire_in(self, seconds: float) -> None:
        """Let the time be over ``seconds`` from now, whatever was set before."""
        if self._timer is not None:
            self._timer.cancel()
        if self._later is not None and self._why is None:
            self._later.cancel()
        self._timer = call_later(self._clock, seconds, self._expire)

    def watch(self, received: Callable[[], int]) -> None:
        """Let ``received()`` return how much has arrived of what the block waits for, in bytes or pieces."""
        self._received = received

    def _expire(self) -> None:
        self._look_again(_QUIET_TURNS, _MOST_TURNS, None)

    def _look_again(self, turns: int, most: int, before: int | None) -> None:
        received = self._received()
        if received != before:
            turns = _QUIET_TURNS
        if turns and most:
            self._later = asyncio.get_running_loop().call_soon(self._look_again, turns - 1, most - 1, received)
        else:
            self.end(CancelReason.TIME)

    def end(self, why: CancelReason) -> None:
        """Cancel the block now, or let it not begin. The first reason counts."""
        if self._why is None:
            self._why = why
            if not self._runs:
                return
            if asyncio.current_task() is self._task:
                # Called from inside the block. A task that cancels itself is cancelled at its next await, which may be
                # after the block.
                self._later = asyncio.get_running_loop().call_soon(self._cancel)
            else:
                self._cancel()

    def _cancel(self) -> None:
        self._cancelled = True
        self._task.cancel()

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            message = "a session's methods must be awaited in a task"
            raise RuntimeError(message)
        if self._why is not None:
            raise ScopeCancelled(self._why)
        self._runs = True
        self._task = task
        self._cancelling = task.cancelling()
        if self._seconds is not None:
            self.expire_in(self._seconds)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._runs = False
        for handle in (self._timer, self._later):
            if handle is not None:
                handle.cancel()
        ours = self._cancelled and self._task.uncancel() <= self._cancelling
        if ours and self._why is not None and kind is asyncio.CancelledError:
            raise ScopeCancelled(self._why) from None
