"""The once-guard runs the handler of a paid order at least once, never twice at a time, never after a recorded success.

    FREE --claim--> HELD --finish--> DONE          ``backends.TRANSITIONS`` has every transition
      ^--release, end of the lease--'

**A run** is one attempt of this session to bring an order's handler to success. Each run has one task, which moves it
through these states:

    CLAIMING --MINE--> RUNNING --handler succeeded--> RECORDING --> ended, ``succeeded``
       |  |               |                              |
       |  '--DONE---------|------------------------------|--------> ended, ``succeeded``
       |                  '--handler failed--> RELEASING |--------> ended
       '--BUSY and no time left or closed, BackendError--'--------> ended

**A run is interrupted** only by the future ``stopped``, which is set once: by the caller that began the run, when that
caller is cancelled, or by the run's task, when the lease (which ``leases`` renews) may have ended, because the handler
may run elsewhere then and must not run here too. Nothing else changes the state of a run. A run that is stopped while
it claims does not run its handler, and releases what it claimed. A run that is stopped while its handler runs cancels
the handler and waits until it has ended; it keeps the lease until then if it still has it. A run that is recording goes
on, since its handler has succeeded.

**When the session is closed**, no run begins any more, and a run that waits for the claim of another process ends with
``SessionClosed``: that claim may last for as long as clocks are set back. Handlers that run may end.

**Who waits for a run**: the caller that began it returns before it has ended only if the handler takes longer than a
grace period to stop. Other callers in this session wait for the run's task, and the first of them begins the next run
if this one failed. Callers in other processes claim again, with growing pauses.

``docs/notifications.md`` says what this cannot promise: if a process dies after its handler has committed and before
the success is recorded, the handler runs again, so a handler should be one transaction. And a handler that blocks the
event loop for longer than the lease looks dead to other processes: run blocking code in ``asyncio.to_thread``.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import inspect
from typing import TYPE_CHECKING, Final

from omipay_async.clock import drain, retrieve, wait
from omipay_async.errors import BackendError, InvalidRequest, Outcome, SessionClosed
from omipay_async.protocol import validation

from .backends import Claim, claim_key
from .leases import Lease, Unsettled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from omipay_async.clock import Clock
    from omipay_async.models import Order

    from .backends import Backend

    Handler = Callable[[Order], Awaitable[object]]

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0
_GRACE_S: Final = 5.0
"""How long a caller waits for a cancelled handler to end before it returns without it."""
_MOST_WAITING: Final = 1_000
"""How many callers with a time limit may wait for one run: it costs a stranger nothing to repeat a delivery."""
_ELSEWHERE: Final = (
    "another process holds the claim on this order: its handler has not ended, "
    "or that process died less than one lease ago"
)
_RUNNING: Final = "the handler is still running for an earlier delivery"
_ON_THE_WAY: Final = "an earlier delivery of this order waits for its claim, or for the record of its success"


class StillRunning(Exception):
    """Another run of this order did not end within the caller's ``wait_timeout``. Its text tells why. Internal.

    That a handler is running is only known of this session's own. Of a run in another process only the claim is known.
    """


class OnceGuard:
    """Runs handlers under the claims of a backend. Each session has one."""

    def __init__(self, backend: Backend, clock: Clock, m_number: str) -> None:
        self._backend = backend
        self._clock = clock
        self._m_number = m_number
        self._runs: dict[str, _Run] = {}
        self._unsettled = Unsettled()
        self._closed = False

    async def run(self, order: Order, handler: Handler, *, wait_timeout: float | None) -> bool:
        """Run ``handler(order)`` unless it has succeeded before. True: it ran here, and its success was recorded.

        False: it had succeeded before, here or elsewhere. ``wait_timeout``, in seconds, limits the wait for another run
        of the same order, not the handler itself; None waits for ever. At most 1,000 callers with a limit wait. After a
        run that failed the next caller may begin another.

        Cancelling this call cancels its handler and waits until it has cleaned up; the order is released in the
        background. After a success that could not be recorded, the next run of this session records it instead of
        running the handler again. Another process does not know of it, and runs the handler once the lease has ended.

        Raises:
            BackendError: the order could not be claimed, its claim was lost, its success could not be recorded, or a
                handler asks for the order that it is fulfilling, or for one whose handler waits for it.
            StillRunning: another run of this order did not end in time.
            SessionClosed: the session was closed before the handler could begin.
            InvalidRequest: the handler cannot be called, or is not async.
            Exception: what the handler raised.
        """
        validation.handler(handler)
        key = claim_key(self._m_number, order.order_no)
        if any(own.key == key and not own.task.done() for own in _within.get()):
            # Also by another session, which would wait for the claim of this one.
            raise _asked_by_itself(order.order_no)
        deadline = None if wait_timeout is None else self._clock.monotonic() + wait_timeout
        while (run := self._under_way(key)) is not None:
            if any(run.waits_for(own) for own in _within.get()):
                raise _asked_by_itself(order.order_no)
            if deadline is not None and run.waiting >= _MOST_WAITING:
                raise StillRunning(run.progress)
            await self._wait_for(run, deadline)
            if not run.task.done():
                raise StillRunning(run.progress)
            if run.succeeded:
                return False
        if self._closed:
            raise session_closed(order.order_no)
        run = _Run(Lease(self._backend, self._clock, key, self._unsettled), self._clock, order.order_no)
        run.start(functools.partial(handler, order), deadline)
        self._runs[key] = run
        run.task.add_done_callback(lambda _: self._ended(key, run))
        return await run.result()

    async def _wait_for(self, run: _Run, deadline: float | None) -> None:
        within = _within.get()
        run.waiting += 1
        for own in within:
            own.awaited.append(run)
        try:
            await wait(self._clock, (run.task,), None if deadline is None else deadline - self._clock.monotonic())
        finally:
            run.waiting -= 1
            for own in within:
                own.awaited.remove(run)

    def close(self) -> None:
        """Let no run begin any more, and end those that wait for another process, because the session was closed."""
        self._closed = True
        for run in self._runs.values():
            run.close()

    async def drain(self, timeout: float) -> None:
        """Wait until no handler runs, ``timeout`` seconds at most. A handler that calls this is not waited for."""
        await drain(self._clock, self._unfinished, timeout)

    def _unfinished(self) -> list[asyncio.Task[bool]]:
        others = [run.task for run in self._runs.values() if run not in _within.get()]
        return [task for task in others if not (task.done() or task.get_loop().is_closed())]

    def _under_way(self, key: str) -> _Run | None:
        run = self._runs.get(key)
        # A run whose event loop was closed will never end. A run that has failed does not count any more, even before
        # its callback has removed it.
        ended = run is None or run.task.get_loop().is_closed() or (run.task.done() and not run.succeeded)
        return None if ended else run

    def _ended(self, key: str, run: _Run) -> None:
        if self._runs.get(key) is run:
            del self._runs[key]


class _Run:
    """One attempt to bring an order's handler to success. The docstring of this module describes its states."""

    task: asyncio.Task[bool]

    def __init__(self, lease: Lease, clock: Clock, order_no: str) -> None:
        self.succeeded = False
        self.waiting = 0
        """How many other callers wait until it ends."""
        self.awaited: list[_Run] = []
        """The other runs that its handler waits for."""
        self._lease = lease
        self._clock = clock
        self._order_no = order_no
        self._stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._work: asyncio.Task[object] | None = None

    @property
    def key(self) -> str:
        """The backend's key of the order."""
        return self._lease.key

    @property
    def progress(self) -> str:
        """How far it has come, for those who cannot wait any longer."""
        return _ON_THE_WAY if self._work is None or self._work.done() else _RUNNING

    def waits_for(self, other: _Run) -> bool:
        """Whether this run cannot end before ``other`` does. (No run waits for itself, so the search ends.)"""
        return self is other or any(run.waits_for(other) for run in self.awaited)

    def start(self, handler: Callable[[], Awaitable[object]], deadline: float | None) -> None:
        """Begin. The task is created directly, because a loop's task factory may run a task before it is known here."""
        self.task = asyncio.Task(self._execute(handler, deadline), loop=asyncio.get_running_loop())
        self.task.add_done_callback(retrieve)  # its caller may be gone by then

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

    async def _execute(self, handler: Callable[[], Awaitable[object]], deadline: float | None) -> bool:
        if await self._claim(deadline) is Claim.DONE:
            self.succeeded = True
            return False
        try:
            await self._run_handler(handler)
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

    async def _claim(self, deadline: float | None) -> Claim:
        """Claim until this run has the order, it is done, or the session is closed."""
        pause = _FIRST_PAUSE_S
        while not self._stopped.done():
            claim = await self._lease.claim()
            if claim is not Claim.BUSY:
                return claim
            left = pause if deadline is None else deadline - self._clock.monotonic()
            if left <= 0:
                raise StillRunning(_ELSEWHERE)
            await wait(self._clock, (self._stopped, self._closed), min(pause, left))
            if self._closed.done():
                raise session_closed(self._order_no)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        raise asyncio.CancelledError

    async def _run_handler(self, handler: Callable[[], Awaitable[object]]) -> None:
        """Run the handler under the lease, and wait until it has ended. Raises the reason if it did not succeed."""
        if self._stopped.done():
            raise asyncio.CancelledError
        _within.set((*(own for own in _within.get() if not own.task.done()), self))
        work = self._work = asyncio.create_task(self._call_handler(handler))
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

    async def _call_handler(self, handler: Callable[[], Awaitable[object]]) -> object:
        # The process may have been stopped since its claim was answered, and another one may have fulfilled the order.
        if self._lease.may_have_ended():
            message = f"order {self._order_no}: its claim ended before the handler could begin"
            raise BackendError(message)
        return await awaited(handler)

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
        return BackendError(f"order {self._order_no}: the claim was lost while the handler ran; it may run again")


_within: Final[contextvars.ContextVar[tuple[_Run, ...]]] = contextvars.ContextVar("omipay_runs", default=())
"""The runs of the handlers that the current code runs in, also in tasks that a handler started."""


def running_key() -> str | None:
    """The backend's key of the order whose handler the current code runs in; None outside of handlers."""
    within = _within.get()
    return within[-1].key if within else None


def _asked_by_itself(order_no: str) -> BackendError:
    return BackendError(f"order {order_no}: its own handler asks for it to be fulfilled, or waits for one that does")


def session_closed(order_no: str) -> SessionClosed:
    """The error of an order whose handler could not begin because its session is closed."""
    message = f"order {order_no}: this session was closed before its handler could begin; it may have run elsewhere"
    return SessionClosed(message, order_no=order_no, outcome=Outcome.UNKNOWN)


async def _cancel(work: asyncio.Task[object]) -> None:
    """Cancel a handler if it is still running, and wait until it has cleaned up."""
    work.cancel()
    await asyncio.wait((work,))


async def awaited(handler: Callable[[], Awaitable[object]]) -> object:
    """Call a handler and await it.

    Raises:
        InvalidRequest: it is not async.
        Exception: what it raised.
    """
    result = handler()
    if not inspect.isawaitable(result):
        message = "handler must be async: it returned something that cannot be awaited"
        raise InvalidRequest(message, parameter="handler")
    return await result
