"""The once-guard: a handler per paid order, at least once, never beside itself, never after a recorded success.

    FREE --claim--> HELD --finish--> DONE          ``backends.TRANSITIONS`` has every row
      ^--release, lapse--'

One *turn* is one attempt of this process: claim the key, run the handler, record its success or release the key. While
the handler runs, the lease is renewed every third of it: a handler that is alive keeps its claim however long it takes.
A lease that can no longer be proven cancels the handler: what may run elsewhere must not run here too. Runs of the same
order in this process join the turn under way; those in other processes ask again with growing pauses.

What this cannot promise is written in the README: a death between the handler's commit and the record of it runs the
handler again, so a handler is one transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import inspect
import logging
import secrets
from typing import TYPE_CHECKING, Any, Final, TypeVar

from omipay_async.clock import call_later
from omipay_async.errors import BackendError, InvalidRequest, OmipayError

from .backends import DEFAULT_LEASE_S, Claim

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from omipay_async.clock import Clock
    from omipay_async.models import Order

    from .backends import Backend

    Handler = Callable[[Order], Awaitable[object]]

T = TypeVar("T")

_log: Final = logging.getLogger("omipay_async")

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0
_GRACE_S: Final = 5.0
"""How long a caller waits for a handler that was told to stop before it leaves it behind."""
_MOST_UNRECORDED: Final = 10_000


class StillRunning(Exception):  # noqa: N818 - it is no error: the caller's patience ended first
    """Another run of this order's handler has not ended within the caller's patience. Internal."""


def checked_handler(handler: Any) -> Handler:
    """The handler, or :class:`InvalidRequest` if it cannot be called. Whether it is async shows when it is."""
    if not callable(handler):
        message = "handler must be an async function that takes the order"
        raise InvalidRequest(message, parameter="handler")
    return handler  # type: ignore[no-any-return]  # it came in as Any to be looked at


class OnceGuard:
    """Runs handlers under the claims of a backend. One per session; cheap."""

    def __init__(self, backend: Backend, clock: Clock, m_number: str) -> None:
        self._backend = backend
        self._clock = clock
        self._m_number = m_number
        self._turns: dict[str, _Run] = {}
        self._unrecorded: dict[str, str] = {}
        self._waking: set[asyncio.Task[None]] = set()

    async def run(self, order: Order, handler: Handler, *, patience: float | None) -> bool:
        """Run ``handler(order)`` unless it has succeeded. True: it ran here and its success is recorded.

        False: it had succeeded before, here or elsewhere. ``patience``, in seconds, bounds the wait for another run of
        the same order, not the handler's own; None waits for ever. A run that fails passes the turn to the next.

        Cancelling this call cancels its handler, waits for its clean-up and frees the order, beside. Raises what the
        handler raised, ``BackendError`` when the claim could not be made, kept or recorded, or when a handler asks for
        the order that it is fulfilling, ``StillRunning``, and ``InvalidRequest`` for a handler that is not async. After
        a success that could not be recorded, this process records it at the next run instead of running the handler
        again; another process, which cannot know, runs it once the lease has lapsed.
        """
        checked_handler(handler)
        key = f"{self._m_number}:{order.order_no}"
        deadline = None if patience is None else self._clock.monotonic() + patience
        while (turn := self._under_way(key)) is not None:
            if turn in _within.get():
                message = f"order {key}: its own handler asks for it to be fulfilled"
                raise BackendError(message)
            left = None if deadline is None else deadline - self._clock.monotonic()
            await _wait(self._clock, (turn.task,), left)
            if not turn.task.done():
                raise StillRunning
            if turn.succeeded:
                return False
        turn = _Run(self._backend, self._clock, key, self._unrecorded)
        turn.start(functools.partial(handler, order), deadline)
        self._turns[key] = turn
        turn.task.add_done_callback(lambda _: self._ended(key, turn))
        return await turn.led()

    def wake(self, order_no: str) -> None:
        """Tell the pollers of other processes, beside whatever goes on here."""
        task = asyncio.create_task(self._wake(f"{self._m_number}:{order_no}"))
        self._waking.add(task)
        task.add_done_callback(self._waking.discard)

    async def _wake(self, key: str) -> None:
        try:
            await _asked(self._clock, lambda: self._backend.wake(key), _lease(self._backend) / 3)
        except BackendError as error:
            _log.warning("pollers in other processes were not woken, they go on by interval: %s", error)

    async def drain(self, timeout: float) -> None:
        """Wait until no handler runs, ``timeout`` seconds at most; not for the one that calls this."""
        deadline = self._clock.monotonic() + timeout
        while tasks := [task for task in self._others() if not (task.done() or task.get_loop().is_closed())]:
            left = deadline - self._clock.monotonic()
            if left <= 0:
                return
            await _wait(self._clock, tasks, left)

    def _others(self) -> Iterator[asyncio.Task[Any]]:
        yield from self._waking
        for turn in self._turns.values():
            if turn not in _within.get():
                yield turn.task

    def _under_way(self, key: str) -> _Run | None:
        turn = self._turns.get(key)
        # A loop that was closed over a running handler took the handler with it. A turn that failed passes on at once,
        # although its end may not have been noted yet.
        over = turn is None or turn.task.get_loop().is_closed() or (turn.task.done() and not turn.succeeded)
        return None if over else turn

    def _ended(self, key: str, turn: _Run) -> None:
        if self._turns.get(key) is turn:
            del self._turns[key]


class _Run:
    """One attempt to bring an order's handler to success: claim, run, record or release."""

    task: asyncio.Task[bool]

    def __init__(self, backend: Backend, clock: Clock, key: str, unrecorded: dict[str, str]) -> None:
        self._backend = backend
        self._clock = clock
        self._key = key
        # The claim of a success that could not be recorded is still ours: who records it is the owner that had it.
        self._owner = unrecorded.get(key) or secrets.token_hex(16)
        self._unrecorded = unrecorded
        loop = asyncio.get_running_loop()
        self._abandoned: asyncio.Future[None] = loop.create_future()
        self._lost: asyncio.Future[None] = loop.create_future()
        self.work: asyncio.Task[object] | None = None
        self.succeeded = False

    @property
    def key(self) -> str:
        """What the backend is asked about."""
        return self._key

    def start(self, handler: Callable[[], Awaitable[object]], deadline: float | None) -> None:
        self.task = asyncio.create_task(self._go(handler, deadline))
        # Whoever led this turn may be gone when it ends in an exception.
        self.task.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def led(self) -> bool:
        """The turn's end, for the caller whose turn it is: cancelled, it ends the turn."""
        try:
            await _wait(self._clock, (self.task, self._lost))
            await _wait(self._clock, (self.task,), _GRACE_S)
        except asyncio.CancelledError:
            self._abandon()
            await self._see_out()
            raise
        if not self.task.done():
            raise self._lease_lost()
        return self.task.result()

    def _abandon(self) -> None:
        self._abandoned.set_result(None)
        if self.work is not None:
            self.work.cancel()

    async def _see_out(self) -> None:
        """Wait for the handler to clean up, for a grace: it may refuse to stop. The release goes on beside."""
        if self.work is None:
            return
        grace = asyncio.ensure_future(_wait(self._clock, (self.work,), _GRACE_S))
        while not grace.done():
            # Cancelled already: further requests change nothing, CancelledError is raised in the end.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait((grace,))

    async def _go(self, handler: Callable[[], Awaitable[object]], deadline: float | None) -> bool:
        lapse = await self._claim(deadline)
        if lapse is None:
            self._unrecorded.pop(self._key, None)
            self.succeeded = True
            return False
        try:
            ran = await self._run(handler, lapse)
        except (Exception, asyncio.CancelledError):
            if not self._lost.done():
                await self._release()
            raise
        await self._record()  # a success that cannot be recorded is not released: nobody may run it again at once
        return ran

    async def _claim(self, deadline: float | None) -> float | None:
        """When our lease would lapse, once we have one; None where success was recorded before."""
        pause = _FIRST_PAUSE_S
        while not self._abandoned.done():
            asked = self._clock.monotonic()
            claim = await self._ask(self._backend.claim)
            if claim is Claim.MINE:
                return asked + _lease(self._backend)
            if claim is Claim.DONE:
                return None
            left = pause if deadline is None else deadline - self._clock.monotonic()
            if left <= 0:
                raise StillRunning
            await _wait(self._clock, (self._abandoned,), min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        raise asyncio.CancelledError

    async def _run(self, handler: Callable[[], Awaitable[object]], lapse: float) -> bool:
        """Run the handler to its end under the lease. False: it succeeded here before, which was not recorded."""
        if self._key in self._unrecorded:
            return False
        if self._abandoned.done():
            raise asyncio.CancelledError
        _within.set((*_within.get(), self))
        self.work = work = asyncio.create_task(_awaited(handler))
        try:
            await self._keep_lease(work, lapse)
        except (Exception, asyncio.CancelledError):
            await _stopped(work)
            raise
        await _stopped(work)
        self._judge(work)
        return True

    async def _keep_lease(self, work: asyncio.Task[object], lapse: float) -> None:
        """Renew until the handler ends; earlier, with ``_lost`` set, once the lease can no longer be proven."""
        lease = _lease(self._backend)
        due = lapse - lease * 2 / 3
        while True:
            await _wait(self._clock, (work,), due - self._clock.monotonic())
            if work.done():
                return
            asked = self._clock.monotonic()
            renewed = await self._renewed(min(lease / 6, lapse - asked if asked < lapse else lease / 6))
            now = self._clock.monotonic()
            if renewed:
                lapse, due = asked + lease, asked + lease / 3
            elif renewed is None and now < lapse:
                due = min(now + lease / 12, lapse)
            else:
                self._lost.set_result(None)
                return

    async def _renewed(self, seconds: float) -> bool | None:
        """Whether the lease was renewed, None if the backend could not be asked."""
        try:
            return await self._ask(self._backend.renew, seconds)
        except BackendError as error:
            _log.warning("order %s: its claim could not be renewed: %s", self._key, error)
            return None

    def _judge(self, work: asyncio.Task[object]) -> None:
        """Return if the handler succeeded, raise why not otherwise."""
        error = None if work.cancelled() else work.exception()
        if error is None and not work.cancelled():
            return
        if self._lost.done():
            raise self._lease_lost() from error
        if self._abandoned.done():
            raise asyncio.CancelledError
        if error is None:
            # Not ours and not the caller's: to the caller a failure like any other, not its own cancellation.
            message = "the handler was cancelled from within"
            raise RuntimeError(message)
        raise error

    async def _record(self) -> None:
        while len(self._unrecorded) >= _MOST_UNRECORDED:
            del self._unrecorded[next(iter(self._unrecorded))]
        self._unrecorded[self._key] = self._owner
        if not await self._ask(self._backend.finish):
            raise self._lease_lost()
        self._unrecorded.pop(self._key, None)  # it may have made room for others meanwhile
        self.succeeded = True

    async def _release(self) -> None:
        try:
            await self._ask(self._backend.release)
        except BackendError as error:
            _log.warning("order %s: its claim lasts until it lapses: %s", self._key, error)

    async def _ask(self, question: Callable[[str, str], Awaitable[T]], seconds: float | None = None) -> T:
        """The backend's answer, or ``BackendError`` after a third of the lease."""
        limit = _lease(self._backend) / 3 if seconds is None else seconds
        return await _asked(self._clock, lambda: question(self._key, self._owner), limit)

    def _lease_lost(self) -> BackendError:
        return BackendError(f"order {self._key}: the claim was lost while the handler ran; it may run again")


_within: Final[contextvars.ContextVar[tuple[_Run, ...]]] = contextvars.ContextVar("omipay_turns", default=())
"""The turns whose handlers this code runs in, tasks that they started included."""


def running_key() -> str | None:
    """The backend's key of the order whose handler this code runs in, None outside of handlers."""
    within = _within.get()
    return within[-1].key if within else None


async def _stopped(work: asyncio.Task[object]) -> None:
    """Stop a handler that may still be running, and wait until it has cleaned up."""
    work.cancel()
    await asyncio.wait((work,))


async def _awaited(handler: Callable[[], Awaitable[object]]) -> object:
    result = handler()
    if not inspect.isawaitable(result):
        message = "handler must be async: it returned nothing that can be awaited"
        raise InvalidRequest(message, parameter="handler")
    return await result


def _lease(backend: Backend) -> float:
    lease: float = getattr(backend, "lease", DEFAULT_LEASE_S)
    return lease


async def _asked(clock: Clock, question: Callable[[], Awaitable[T]], seconds: float) -> T:
    """What a backend answers, or ``BackendError`` if it does not within ``seconds`` or raises anything else."""
    asking = asyncio.create_task(_answer(question))
    asking.add_done_callback(lambda task: task.cancelled() or task.exception())
    try:
        await _wait(clock, (asking,), seconds)
    finally:
        asking.cancel()
    if not asking.done():
        message = "the backend did not answer in time"
        raise BackendError(message)
    if asking.cancelled():
        message = "the backend gave up"
        raise BackendError(message)
    error = asking.exception()
    if error is None or isinstance(error, OmipayError):
        return asking.result()
    message = f"the backend raised {type(error).__name__}"
    raise BackendError(message) from error


async def _answer(question: Callable[[], Awaitable[T]]) -> T:
    return await question()  # a backend may fail before there is anything to await


async def _wait(clock: Clock, futures: Iterable[asyncio.Future[Any]], seconds: float | None = None) -> None:
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
