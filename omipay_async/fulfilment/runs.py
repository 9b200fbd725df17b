"""One run: an attempt of this session to bring an order's handler to success.

Each run has one task, which moves it through these states:

    CLAIMING --MINE--> RUNNING --handler succeeded--> RECORDING --> ended, ``succeeded``
       |  |               |                              |
       |  '--DONE---------|------------------------------|--------> ended, ``succeeded``
       |                  '--handler failed--> RELEASING |--------> ended
       '--BUSY and no time left or closed, BackendError--'--------> ended

**A run is interrupted** only by the future ``_stopped``, which is set once: by the caller that began the run, when that
caller is cancelled; or by the run's task, when the lease (which ``leases`` renews) may have ended, since the handler
may run elsewhere then. A run that is stopped while it claims does not run its handler, and releases what it claimed.
One that is stopped while its handler runs cancels the handler and waits until it has ended; until then it keeps the
lease if it still has it. One that is recording goes on, since its handler has succeeded.

**When the session is closed**, a run that waits for the claim of another process ends with ``SessionClosed``: that
claim may last for as long as clocks are set back. Handlers that run may end.

The caller that began a run returns before it has ended only if the handler takes longer than a grace period to stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import inspect
from typing import TYPE_CHECKING, Final

from omipay_async.answers import left_undone
from omipay_async.clock import retrieve_exception, wait
from omipay_async.errors import BackendError, Outcome, SessionClosed

from .backends import Claim
from .handlers import handler_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from omipay_async.clock import Clock
    from omipay_async.models import Order

    from .handlers import Handler
    from .leases import Lease

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0
_GRACE_S: Final = 5.0
"""How long a caller waits for a cancelled handler to end before it returns without it."""
_ELSEWHERE: Final = (
    "another process holds the claim on this order: its handler has not ended, "
    "or that process died less than one lease ago"
)
_RUNNING: Final = "the handler is still running for an earlier delivery"
_WAITING: Final = "an earlier delivery of this order waits for its claim, or for the record of its success"


class StillRunning(Exception):
    """Another run of this order did not end within the caller's ``wait_timeout``. Its text tells why. Internal.

    Whether a handler is running is known only for this session's own runs. Of those in other processes only the claim
    is known.
    """


class Run:
    """One attempt to bring an order's handler to success, under way. The docstring of this module describes its states.

    Args:
        handler: Already has the order, and takes no argument.
        deadline: Until when another process's claim is waited for; None: for ever.
    """

    def __init__(
        self, lease: Lease, clock: Clock, handler: Callable[[], Awaitable[object]], deadline: float | None
    ) -> None:
        self.succeeded = False
        self.waiting = 0
        """How many other callers wait until it ends."""
        self._lease = lease
        self._clock = clock
        self._handler = handler
        self._deadline = deadline
        self._stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._work: asyncio.Task[object] | None = None
        self.awaited_runs: list[Run] = []
        """The other runs that its handler waits for."""
        # Created directly, because a loop's task factory may run a task before it is known here.
        self.task = asyncio.Task(self._execute())
        self.task.add_done_callback(retrieve_exception)  # its caller may be gone by then

    @property
    def key(self) -> str:
        """The backend's key of the order."""
        return self._lease.key

    @property
    def progress(self) -> str:
        """How far it has come, for those who cannot wait any longer."""
        return _WAITING if self._work is None or self._work.done() else _RUNNING

    def waits_for(self, other: Run) -> bool:
        """Whether this run cannot end before ``other`` does. (No run waits for itself, so the search ends.)"""
        return self is other or any(run.waits_for(other) for run in self.awaited_runs)

    async def wait_until(self, deadline: float | None) -> None:
        """Wait for the run, as a caller that did not begin it, until ``deadline`` at most."""
        runs = enclosing_runs.get()
        self.waiting += 1
        for own in runs:
            own.awaited_runs.append(self)
        try:
            await wait(self._clock, (self.task,), None if deadline is None else deadline - self._clock.monotonic())
        finally:
            self.waiting -= 1
            for own in runs:
                own.awaited_runs.remove(self)

    def close(self) -> None:
        """End the wait for another process's claim. A run of an event loop that has ended does not wait any more."""
        if not (self._closed.done() or self._closed.get_loop().is_closed()):
            self._closed.set_result(None)

    async def result(self) -> bool:
        """Wait for the run, as the caller that began it, and return its result. If this is cancelled, the run stops."""
        try:
            await wait(self._clock, (self.task, self._stopped))
            await wait(self._clock, (self.task,), _GRACE_S)
        except asyncio.CancelledError:
            self._stop()
            await self._wait_for_cleanup()
            raise
        if not self.task.done():
            raise self._lease_lost()
        return self.task.result()

    def _stop(self) -> None:
        """Stop the handler: the caller was cancelled, or the lease may have ended."""
        if not self._stopped.done():
            self._stopped.set_result(None)

    async def _wait_for_cleanup(self) -> None:
        """Wait until the handler has cleaned up, for the grace period at most, since it may refuse to stop."""
        if self._work is None:
            return
        grace = asyncio.ensure_future(wait(self._clock, (self._work,), _GRACE_S))
        while not grace.done():
            # The caller was cancelled already and will get its CancelledError, so more cancellations change nothing.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait((grace,))

    async def _execute(self) -> bool:
        if await self._claim() is Claim.DONE:
            self.succeeded = True
            return False
        try:
            await self._run_handler()
        except GeneratorExit:  # the event loop has ended: nothing can be awaited any more
            raise
        except BaseException:
            if not self._lease.lost:
                await self._lease.release()
            raise
        # If the success cannot be recorded, the order is not released, so that no other process runs it at once.
        if not await self._lease.record():
            raise self._lease_lost()
        self.succeeded = True
        return True

    async def _claim(self) -> Claim:
        """Claim until this run has the order, it is done, or the session is closed."""
        pause = _FIRST_PAUSE_S
        while not self._stopped.done():
            claim = await self._lease.claim()
            if claim is not Claim.BUSY:
                return claim
            left = pause if self._deadline is None else self._deadline - self._clock.monotonic()
            if left <= 0:
                raise StillRunning(_ELSEWHERE)
            await wait(self._clock, (self._stopped, self._closed), min(pause, left))
            if self._closed.done():
                raise closed_before_running(self._lease.order_no)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        raise asyncio.CancelledError

    async def _run_handler(self) -> None:
        """Run the handler under the lease, and wait until it has ended. Raises the reason if it did not succeed."""
        if self._stopped.done():
            raise asyncio.CancelledError
        enclosing_runs.set((*(own for own in enclosing_runs.get() if not own.task.done()), self))
        work = self._work = asyncio.create_task(self._call_handler())
        self._stopped.add_done_callback(lambda _: work.cancel())
        try:
            await self._lease.keep(work)
        except (Exception, asyncio.CancelledError):
            await _cancel(work)
            raise
        if self._lease.lost:
            self._stop()
        await _cancel(work)
        self._raise_failure(work)

    async def _call_handler(self) -> object:
        # The process may have been stopped since its claim was answered, and another one may have fulfilled the order.
        if self._lease.may_have_ended():
            message = f"order {self._lease.order_no}: its claim ended before the handler could begin"
            raise BackendError(message)
        return await call_and_await(self._handler)

    def _raise_failure(self, work: asyncio.Task[object]) -> None:
        error = None if work.cancelled() else work.exception()
        if error is None and not work.cancelled():
            return
        if self._lease.lost:
            raise self._lease_lost() from error
        if self._stopped.done():
            raise asyncio.CancelledError
        if error is None:
            # The caller must not take this for its own cancellation: the handler failed.
            message = "the handler was cancelled, but not by its caller"
            raise RuntimeError(message)
        raise error

    def _lease_lost(self) -> BackendError:
        return BackendError(f"order {self._lease.order_no}: the claim was lost while the handler ran; it may run again")


enclosing_runs: Final[contextvars.ContextVar[tuple[Run, ...]]] = contextvars.ContextVar("omipay_runs", default=())
"""The runs of the handlers that the current code runs in, also in tasks that a handler started."""


def running_key() -> str | None:
    """The backend's key of the order whose handler the current code runs in; None outside of handlers."""
    runs = enclosing_runs.get()
    return runs[-1].key if runs else None


def closed_before_running(order_no: str) -> SessionClosed:
    """The error of an order whose handler could not begin because its session is closed."""
    message = f"order {order_no}: this session was closed before its handler could begin; it may have run elsewhere"
    return SessionClosed(message, order_no=order_no, outcome=Outcome.UNKNOWN)


async def _cancel(work: asyncio.Task[object]) -> None:
    """Cancel a handler if it is still running, and wait until it has cleaned up."""
    work.cancel()
    await asyncio.wait((work,))


async def call_and_await(handler: Callable[[], Awaitable[object]]) -> object:
    """Call a handler and await it.

    Raises:
        InvalidRequest: it is not async, or forgot to await what it calls. Its order must not count as fulfilled.
        Exception: what it raised.
    """
    result = handler()
    if not inspect.isawaitable(result):
        message = "handler must be async: it has run, and returned something that cannot be awaited; write async def"
        raise handler_error(message)
    if undone := left_undone(returned := await result):
        message = f"handler must await what it calls: it returned {undone}, which nobody has awaited"
        raise handler_error(message)
    return returned


class WatchedHandler:
    """A handler, whether it has begun, and what it raised: it may raise the same errors as what runs it."""

    def __init__(self, handler: Handler) -> None:
        self.has_begun = False
        self.raised: BaseException | None = None
        self._handler = handler

    async def __call__(self, order: Order) -> None:
        """Run it."""
        self.has_begun = True
        try:
            await call_and_await(functools.partial(self._handler, order))
        except BaseException as error:
            self.raised = error
            raise
