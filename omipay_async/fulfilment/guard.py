"""The once-guard runs the handler of a paid order at least once, never twice at a time, never after a recorded success.

    FREE --claim--> HELD --finish--> DONE          ``backends.TRANSITIONS`` has every transition
      ^--release, end of the lease--'

``runs`` is what one attempt goes through. This module decides which caller of a session begins one, and which callers
wait for it: at most one run of an order is under way in a session.

**Who waits for a run**: the caller that began it, and the other callers in this session. If it fails, the first of
these begins the next run. Callers in other processes claim again, with growing pauses. A handler that asks for its own
order, or for one whose handler waits for it, would wait for ever: it gets an error.

**When the session is closed**, no run begins any more.

``docs/notifications.md`` says what this cannot promise: if a process dies after its handler has committed and before
the success is recorded, the handler runs again, so a handler should be one transaction. And a handler that blocks the
event loop for longer than the lease looks dead to other processes: run blocking code in ``asyncio.to_thread``.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

from omipay_async.clock import drain
from omipay_async.errors import BackendError

from .backends import claim_key
from .handlers import checked_handler
from .leases import Lease, Unsettled
from .runs import Run, StillRunning, closed_before_running, enclosing_runs

if TYPE_CHECKING:
    import asyncio

    from omipay_async.clock import Clock
    from omipay_async.models import Order

    from .backends import Backend
    from .handlers import Handler

_MOST_WAITING: Final = 1_000
"""How many callers with a time limit may wait for one run: it costs a stranger nothing to repeat a delivery."""


class OnceGuard:
    """Runs handlers under the claims of a backend. Each session has one."""

    def __init__(self, backend: Backend, clock: Clock, m_number: str) -> None:
        self._backend = backend
        self._clock = clock
        self._m_number = m_number
        self._runs: dict[str, Run] = {}
        self._unsettled = Unsettled()
        self._closed = False

    async def run(self, order: Order, handler: Handler, *, wait_timeout: float | None) -> bool:
        """Run ``handler(order)`` unless it has succeeded before. True: it ran here, and its success was recorded.

        False: it had succeeded before, here or elsewhere.

        ``wait_timeout``, in seconds, limits the wait for another run of the same order, not the handler itself; None
        waits for ever. At most 1,000 callers with a limit wait. After a run that failed the next caller begins another.

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
        checked_handler(handler)
        key = claim_key(self._m_number, order.order_no)
        if any(own.key == key and not own.task.done() for own in enclosing_runs.get()):
            # If the handler asks through another session, that one would wait for the claim of this one.
            raise _asked_by_itself(order.order_no)
        deadline = None if wait_timeout is None else self._clock.monotonic() + wait_timeout
        if await self._another_run_succeeds(key, order.order_no, deadline):
            return False
        # No await from here until the new run is in ``_runs``: no other caller begins one meanwhile.
        if self._closed:
            raise closed_before_running(order.order_no)
        lease = Lease(self._backend, self._clock, key, order.order_no, self._unsettled)
        run = self._runs[key] = Run(lease, self._clock, functools.partial(handler, order), deadline)
        run.task.add_done_callback(lambda _: self._ended(key, run))
        return await run.result()

    async def _another_run_succeeds(self, key: str, order_no: str, deadline: float | None) -> bool:
        """Wait while runs of the order are under way, one after the other. False: the caller may begin the next one."""
        while (run := self._under_way(key)) is not None:
            if any(run.waits_for(own) for own in enclosing_runs.get()):
                raise _asked_by_itself(order_no)
            if deadline is not None and run.waiting >= _MOST_WAITING:
                raise StillRunning(run.progress)
            await run.wait_until(deadline)
            if not run.task.done():
                raise StillRunning(run.progress)
            if run.succeeded:
                return True
        return False

    def close(self) -> None:
        """Let no run begin any more, and end those that wait for another process, because the session was closed."""
        self._closed = True
        for run in self._runs.values():
            run.close()

    async def drain(self, timeout: float) -> None:
        """Wait until no handler runs, ``timeout`` seconds at most. A handler that calls this is not waited for."""
        await drain(self._clock, self._unfinished, timeout)

    def _unfinished(self) -> list[asyncio.Task[bool]]:
        others = [run.task for run in self._runs.values() if run not in enclosing_runs.get()]
        return [task for task in others if not (task.done() or task.get_loop().is_closed())]

    def _under_way(self, key: str) -> Run | None:
        run = self._runs.get(key)
        # A run whose event loop was closed will never end. A run that has failed does not count any more, even before
        # its callback has removed it.
        ended = run is None or run.task.get_loop().is_closed() or (run.task.done() and not run.succeeded)
        return None if ended else run

    def _ended(self, key: str, run: Run) -> None:
        if self._runs.get(key) is run:
            del self._runs[key]


def _asked_by_itself(order_no: str) -> BackendError:
    return BackendError(f"order {order_no}: its own handler asks for it to be fulfilled, or waits for one that does")
