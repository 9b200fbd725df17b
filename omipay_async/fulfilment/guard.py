"""The once-guard: a handler per paid order, at least once, never beside itself, never after a recorded success.

    FREE --claim--> HELD --finish--> DONE          ``backends.TRANSITIONS`` has every row
      ^--release, end of the lease--'

**A run** is one attempt of this session to bring an order's handler to success. It goes through these states, and one
task, the run's own, moves it from one to the next:

    CLAIMING --MINE--> RUNNING --handler succeeded--> RECORDING --> ended, ``succeeded``
       |  |               |                              |
       |  '--DONE---------|------------------------------|--------> ended, ``succeeded``
       |                  '--handler failed--> RELEASING |--------> ended
       '--BUSY and no time left, BackendError------------'--------> ended

**What may come in between** is only the future ``stopped``, which is set once, to the reason why the handler has to
stop: ``CALLER_LEFT`` by the caller whose run it is, when that caller is cancelled, or ``LEASE_LOST`` by the run's task,
when the lease (which renews itself, see ``leases``) can no longer be proven: what may run elsewhere must not run here
too. Nobody else changes anything in a run. A run that is stopped while it claims runs no handler and frees what it
claimed; one that is stopped while its handler runs cancels the handler and waits for its end, under the lease for as
long as it has one; one that is recording goes on, since its handler succeeded.

**Who waits for it**: the caller whose run it is leaves it behind only if its handler takes longer than a grace to stop.
Other callers in this session wait for the run's task, and the first of them begins the next run if it failed. Those in
other processes ask the backend again with growing pauses.

What this cannot promise is written in the README: a death between the handler's commit and the record of it runs the
handler again, so a handler is one transaction. And a handler that blocks the event loop for longer than the lease looks
dead to everybody else: run blocking code in ``asyncio.to_thread``.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import inspect
from typing import TYPE_CHECKING, Any, Final, cast

from omipay_async.errors import BackendError, InvalidRequest

from .backends import Claim, claim_key
from .leases import Lease, Unsettled, wait

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from omipay_async.clock import Clock
    from omipay_async.models import Order

    from .backends import Backend

    Handler = Callable[[Order], Awaitable[object]]

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0
_GRACE_S: Final = 5.0
"""How long a caller waits for a handler that was cancelled before it leaves it behind."""
_MOST_WAITING: Final = 1_000
"""How many callers that have a time limit may wait for one run: repeats of one delivery cost a stranger nothing."""


class StillRunning(Exception):
    """Another run of this order's handler has not ended within the caller's ``wait_timeout``. Internal.

    ``here`` tells whether that run is one of this session, which certainly goes on. Of another process only its claim
    is known: it may have died less than a lease ago.
    """

    def __init__(self, *, here: bool) -> None:
        super().__init__()
        self.here = here


def checked_handler(handler: Any) -> Handler:
    """The handler, or :class:`InvalidRequest` if it cannot be called. Whether it is async shows when it is."""
    if not callable(handler):
        message = "handler must be an async function that takes the order"
        raise InvalidRequest(message, parameter="handler")
    return cast("Handler", handler)


class OnceGuard:
    """Runs handlers under the claims of a backend. One per session; cheap."""

    def __init__(self, backend: Backend, clock: Clock, m_number: str) -> None:
        self._backend = backend
        self._clock = clock
        self._m_number = m_number
        self._runs: dict[str, _Run] = {}
        self._unsettled = Unsettled()

    async def run(self, order: Order, handler: Handler, *, wait_timeout: float | None) -> bool:
        """Run ``handler(order)`` unless it has succeeded. True: it ran here and its success is recorded.

        False: it had succeeded before, here or elsewhere. ``wait_timeout``, in seconds, bounds the wait for another run
        of the same order, not the handler's own; None waits for ever. With a bound, no more than 1,000 callers wait.
        After a run that fails the next one may run.

        Cancelling this call cancels its handler and waits for its clean-up; the order is freed in the background.
        Raises what the handler raises, ``BackendError`` when the claim could not be made, kept or recorded, or when a
        handler asks for the order that it is fulfilling, ``StillRunning``, and ``InvalidRequest`` for a handler that is
        not async. After a success that could not be recorded, this session records it at the next run instead of
        running the handler again; another process, which cannot know, runs it once the lease has ended.
        """
        checked_handler(handler)
        key = claim_key(self._m_number, order.order_no)
        deadline = None if wait_timeout is None else self._clock.monotonic() + wait_timeout
        while (run := self._under_way(key)) is not None:
            if run in _within.get():
                message = f"order {key}: its own handler asks for it to be fulfilled"
                raise BackendError(message)
            if deadline is not None and run.waiting >= _MOST_WAITING:
                raise StillRunning(here=True)
            await self._wait_for(run, deadline)
            if not run.task.done():
                raise StillRunning(here=True)
            if run.succeeded:
                return False
        run = _Run(Lease(self._backend, self._clock, key, self._unsettled), self._clock)
        run.start(functools.partial(handler, order), deadline)
        self._runs[key] = run
        run.task.add_done_callback(lambda _: self._ended(key, run))
        return await run.result()

    async def _wait_for(self, run: _Run, deadline: float | None) -> None:
        run.waiting += 1
        try:
            await wait(self._clock, (run.task,), None if deadline is None else deadline - self._clock.monotonic())
        finally:
            run.waiting -= 1

    async def drain(self, timeout: float) -> None:
        """Wait until no handler runs, ``timeout`` seconds at most; not for the one that calls this."""
        deadline = self._clock.monotonic() + timeout
        while tasks := [task for task in self._others() if not (task.done() or task.get_loop().is_closed())]:
            left = deadline - self._clock.monotonic()
            if left <= 0:
                return
            await wait(self._clock, tasks, left)

    def _others(self) -> Iterator[asyncio.Task[Any]]:
        for run in self._runs.values():
            if run not in _within.get():
                yield run.task

    def _under_way(self, key: str) -> _Run | None:
        run = self._runs.get(key)
        # A loop that was closed over a running handler took the handler with it. A run that failed makes room at once,
        # although its end may not have been noted yet.
        over = run is None or run.task.get_loop().is_closed() or (run.task.done() and not run.succeeded)
        return None if over else run

    def _ended(self, key: str, run: _Run) -> None:
        if self._runs.get(key) is run:
            del self._runs[key]


class _Run:
    """One attempt to bring an order's handler to success; the module's docstring has its states."""

    task: asyncio.Task[bool]

    def __init__(self, lease: Lease, clock: Clock) -> None:
        self.succeeded = False
        self.waiting = 0
        """How many other callers wait for its end."""
        self._lease = lease
        self._clock = clock
        self._stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._work: asyncio.Task[object] | None = None

    @property
    def key(self) -> str:
        """The backend's key of the order."""
        return self._lease.key

    def start(self, handler: Callable[[], Awaitable[object]], deadline: float | None) -> None:
        """Begin. The task is made directly, because a loop's task factory may start tasks before they are known."""
        self.task = asyncio.Task(self._go(handler, deadline), loop=asyncio.get_running_loop())
        # Whoever this run is for may be gone when it ends in an exception.
        self.task.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def result(self) -> bool:
        """The run's end, for the caller whose run it is: cancelled, it stops the run."""
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
        """The caller was cancelled, or the lease can no longer be proven: the handler has to end."""
        if not self._stopped.done():
            self._stopped.set_result(None)

    async def _wait_for_cleanup(self) -> None:
        """Wait for the handler to clean up, for the grace period at most: it may refuse to stop."""
        if self._work is None:
            return
        grace = asyncio.ensure_future(wait(self._clock, (self._work,), _GRACE_S))
        while not grace.done():
            # Cancelled already: further requests change nothing, CancelledError is raised in the end.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait((grace,))

    async def _go(self, handler: Callable[[], Awaitable[object]], deadline: float | None) -> bool:
        if await self._claim(deadline) is Claim.DONE:
            self.succeeded = True
            return False
        try:
            await self._run_handler(handler)
        except (Exception, asyncio.CancelledError):
            if not self._lease.lost:
                await self._lease.release()
            raise
        # A success that cannot be recorded is not released: nobody may run it again at once.
        if not await self._lease.record():
            raise self._lease_lost()
        self.succeeded = True
        return True

    async def _claim(self, deadline: float | None) -> Claim:
        """Ask until the order is ours, or done."""
        pause = _FIRST_PAUSE_S
        while not self._stopped.done():
            claim = await self._lease.claim()
            if claim is not Claim.BUSY:
                return claim
            left = pause if deadline is None else deadline - self._clock.monotonic()
            if left <= 0:
                raise StillRunning(here=False)
            await wait(self._clock, (self._stopped,), min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        raise asyncio.CancelledError

    async def _run_handler(self, handler: Callable[[], Awaitable[object]]) -> None:
        """Run the handler to its end under the lease. Raises why it did not succeed."""
        if self._stopped.done():
            raise asyncio.CancelledError
        _within.set((*_within.get(), self))
        work = self._work = asyncio.create_task(self._begin(handler))
        self._stopped.add_done_callback(lambda _: work.cancel())
        try:
            await self._lease.keep(work)
        except (Exception, asyncio.CancelledError):
            await _ended(work)
            raise
        if self._lease.lost:
            self._stop()
        await _ended(work)
        self._raise_failure(work)

    async def _begin(self, handler: Callable[[], Awaitable[object]]) -> object:
        # The process may have been stopped since the claim was answered, and another one may have fulfilled the order.
        if self._lease.may_be_over():
            message = f"order {self._lease.key}: its claim ended before the handler could begin"
            raise BackendError(message)
        return await _awaited(handler)

    def _raise_failure(self, work: asyncio.Task[object]) -> None:
        error = None if work.cancelled() else work.exception()
        if error is None and not work.cancelled():
            return
        if self._lease.lost:
            raise self._lease_lost() from error
        if self._stopped.done():
            raise asyncio.CancelledError
        if error is None:
            # Not ours and not the caller's: to the caller a failure like any other, not its own cancellation.
            message = "the handler was cancelled from within"
            raise RuntimeError(message)
        raise error

    def _lease_lost(self) -> BackendError:
        return BackendError(f"order {self._lease.key}: the claim was lost while the handler ran; it may run again")


_within: Final[contextvars.ContextVar[tuple[_Run, ...]]] = contextvars.ContextVar("omipay_runs", default=())
"""The runs whose handlers this code runs in, tasks that they started included."""


def running_key() -> str | None:
    """The backend's key of the order whose handler this code runs in, None outside of handlers."""
    within = _within.get()
    return within[-1].key if within else None


async def _ended(work: asyncio.Task[object]) -> None:
    """Cancel a handler that may still be running, and wait until it has cleaned up."""
    work.cancel()
    await asyncio.wait((work,))


async def _awaited(handler: Callable[[], Awaitable[object]]) -> object:
    result = handler()
    if not inspect.isawaitable(result):
        message = "handler must be async: it returned nothing that can be awaited"
        raise InvalidRequest(message, parameter="handler")
    return await result
