"""The contract of a backend, which records the orders that are being fulfilled or are done, and the one in memory.

A key is ``"{m_number}:{order_no}"`` (see :func:`claim_key`), an owner is one run of a handler. As an owner sees it, a
key is in one of four states. In each state, every request has one answer and leads to one state. ``TRANSITIONS`` is
that table: the code below reads it, and every backend is tested against it. Two more transitions come with time: a
lease that is not renewed ends (``HELD`` to ``FREE``), and a recorded success is forgotten after ``keep`` (``DONE`` to
``FREE``).
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import threading
import unicodedata
from collections import OrderedDict
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from omipay_async import options
from omipay_async.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from omipay_async.clock import Clock

DEFAULT_LEASE_S: Final = 30.0
DEFAULT_KEEP: Final = timedelta(days=30)
"""How long a recorded success is remembered."""


class Claim(enum.Enum):
    """The answer to a claim."""

    MINE = "MINE"
    """The caller has the lease: it may run the handler."""
    BUSY = "BUSY"
    """Another owner's lease holds."""
    DONE = "DONE"
    """A success was recorded: the handler must not run again."""


class ClaimState(enum.Enum):
    """The state of a key, as the owner that makes a request sees it."""

    FREE = enum.auto()
    """No lease holds, and no success is recorded."""
    HELD = enum.auto()
    """The caller's own lease holds."""
    OTHERS = enum.auto()
    """Another owner's lease holds."""
    DONE = enum.auto()
    """A success is recorded."""


class Step(enum.StrEnum):
    """A request that an owner makes for a key: the names of the methods of a backend."""

    CLAIM = enum.auto()
    RENEW = enum.auto()
    FINISH = enum.auto()
    RELEASE = enum.auto()


TRANSITIONS: Final[Mapping[tuple[ClaimState, Step], tuple[ClaimState, Claim | bool | None]]] = MappingProxyType(
    {
        (ClaimState.FREE, Step.CLAIM): (ClaimState.HELD, Claim.MINE),
        # Nobody else has claimed the key: the owner's lease ended, or the backend forgot it. The owner may go on.
        (ClaimState.FREE, Step.RENEW): (ClaimState.HELD, True),
        (ClaimState.FREE, Step.FINISH): (ClaimState.DONE, True),
        (ClaimState.FREE, Step.RELEASE): (ClaimState.FREE, None),
        # The claim is repeated, because its first answer was lost.
        (ClaimState.HELD, Step.CLAIM): (ClaimState.HELD, Claim.MINE),
        (ClaimState.HELD, Step.RENEW): (ClaimState.HELD, True),
        (ClaimState.HELD, Step.FINISH): (ClaimState.DONE, True),
        (ClaimState.HELD, Step.RELEASE): (ClaimState.FREE, None),
        (ClaimState.OTHERS, Step.CLAIM): (ClaimState.OTHERS, Claim.BUSY),
        (ClaimState.OTHERS, Step.RENEW): (ClaimState.OTHERS, False),
        (ClaimState.OTHERS, Step.FINISH): (ClaimState.OTHERS, False),
        (ClaimState.OTHERS, Step.RELEASE): (ClaimState.OTHERS, None),
        (ClaimState.DONE, Step.CLAIM): (ClaimState.DONE, Claim.DONE),
        (ClaimState.DONE, Step.RENEW): (ClaimState.DONE, False),
        (ClaimState.DONE, Step.FINISH): (ClaimState.DONE, True),
        (ClaimState.DONE, Step.RELEASE): (ClaimState.DONE, None),
    }
)
"""(state, request) to (state after it, answer)."""


@runtime_checkable
class Backend(Protocol):
    """Where claims on orders are kept. All that must not run a handler for the same order at the same time share it.

    Each method is atomic, answers as ``TRANSITIONS`` says, may be called again when its answer was lost, and raises
    :class:`BackendError` for every failure of the backend. Keys contain the ``m_number``, so merchants may share one.

    A claim holds for 30 seconds without being renewed. A backend whose claims hold for another time says so by an
    attribute ``lease``, in seconds. A method that takes longer than a third of this time has failed, and a ``renew``
    that takes longer than a sixth.
    """

    async def claim(self, key: str, owner: str) -> Claim:
        """Take ``key`` for ``owner``, for the time of a lease, if nobody holds it and no success is recorded."""
        ...

    async def renew(self, key: str, owner: str) -> bool:
        """Let the lease begin anew. False: ``owner`` does not hold it any more."""
        ...

    async def finish(self, key: str, owner: str) -> bool:
        """Record a success. False: another owner holds the lease, and nothing was recorded."""
        ...

    async def release(self, key: str, owner: str) -> None:
        """Free ``key`` for the next delivery, if ``owner`` holds it."""
        ...

    async def wake(self, key: str) -> None:
        """Tell the polls of ``key`` in every session and process that the order was confirmed."""
        ...


@runtime_checkable
class Listener(Protocol):
    """The method that a backend has as well if several sessions or processes share it."""

    def listen(self, on_wake: Callable[[str], object]) -> AbstractAsyncContextManager[None]:
        """While open, ``on_wake(key)`` is called in this loop for each ``wake(key)`` of any process, this one included.

        Entering does not fail because the backend cannot be reached: connecting is repeated with growing pauses, and
        what is woken during a pause is missed. Polls that are not woken go on by interval.
        """
        ...


@runtime_checkable
class NoteKeeper(Protocol):
    """The methods that a backend or a journal may have as well, to remember which orders were confirmed as paid.

    A session writes one note for each order that was confirmed and that bears an ``out_order_no``, and then calls
    ``wake(key)`` with the note's key, so that ``wait_for_notification`` in another process finds the note without
    asking the gateway. The key is ``"{m_number}:out_order_no:{out_order_no}"``, the text is the confirmed order as
    JSON (its ``order_no`` and the gateway's reply). Notes and claims are kept apart: one key may have both.

    If neither the backend nor the journal has these two methods, ``wait_for_notification`` only finds what was
    confirmed in its own session.
    """

    async def note(self, key: str, text: str) -> None:
        """Remember ``text`` under ``key`` for ten minutes at least, and replace what was remembered before.

        It may be called again when its answer was lost. Raises :class:`BackendError` for every failure of the backend.
        """
        ...

    async def noted(self, key: str) -> str | None:
        """The text that is remembered under ``key``, None if there is none. Raises :class:`BackendError`."""
        ...


NOTES_KEPT_S: Final = 900.0
"""For how many seconds the backends of this package remember a note: ten minutes, and five more for slow clocks."""


def claim_key(m_number: str, order_no: str) -> str:
    """The key of an order's claim. It is the same however the number is spelt."""
    return f"{m_number}:{one_spelling(order_no)}"


def one_spelling(order_no: str) -> str:
    """An order's number without regard to case, to spaces around it and to the width of its letters.

    A gateway may find an order by each of these spellings, and QueryOrder's reply does not have the number.
    """
    return unicodedata.normalize("NFKC", order_no).strip().upper()


def lease_of(backend: Backend) -> float:
    """How many seconds a claim holds; 30 seconds if the backend does not have this attribute."""
    lease: float | None = getattr(backend, "lease", None)
    return DEFAULT_LEASE_S if lease is None else lease


def answer_limit_s(backend: Backend) -> float:
    """How many seconds a method of ``backend`` may take, except ``renew``: a third of a lease."""
    return lease_of(backend) / 3


class MemoryBackend:
    """The backend for one process. What was claimed or recorded is lost when the process ends.

    ``lease`` is in seconds. Recorded successes are forgotten after ``keep``, seconds or a ``timedelta``, so memory is
    bounded. ``clock`` is where its time comes from (None: the machine's). The sessions of one process may share a
    backend, also if their event loops run in different threads: then a notification that one of them confirms ends the
    polls and waits of the others. Several processes need ``omipay_async.redis.RedisBackend`` or
    ``omipay_async.sql.Books``.
    """

    def __init__(
        self, *, lease: float = DEFAULT_LEASE_S, keep: float | timedelta = DEFAULT_KEEP, clock: Clock | None = None
    ) -> None:
        self.lease = options.duration("lease", lease)
        self._keep_s = options.duration("keep", keep)
        self._clock = SystemClock() if clock is None else clock
        # The entries of each have the same lifetime, and the last renewed is last: the first is the first to expire.
        self._held: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._done: OrderedDict[str, tuple[float]] = OrderedDict()
        self._notes: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._listeners: dict[object, tuple[asyncio.AbstractEventLoop, Callable[[str], object]]] = {}
        # For sessions in several threads. It is reentrant, because a subscription may be ended by garbage collection.
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"<MemoryBackend: {len(self._held)} held, {len(self._done)} done>"

    async def claim(self, key: str, owner: str) -> Claim:
        """Take ``key`` for ``owner``, for ``lease`` seconds, if nobody holds it and no success is recorded."""
        return Claim(self._apply(Step.CLAIM, key, owner))

    async def renew(self, key: str, owner: str) -> bool:
        """Let the lease last ``lease`` seconds from now. False: ``owner`` does not hold it any more."""
        return bool(self._apply(Step.RENEW, key, owner))

    async def finish(self, key: str, owner: str) -> bool:
        """Record a success. False: another owner holds the lease, and nothing was recorded."""
        return bool(self._apply(Step.FINISH, key, owner))

    async def release(self, key: str, owner: str) -> None:
        """Free ``key`` for the next delivery, if ``owner`` holds it."""
        self._apply(Step.RELEASE, key, owner)

    async def wake(self, key: str) -> None:
        """Wake the polls of ``key`` in each session that shares this backend."""
        for listener, (loop, on_wake) in self._subscriptions():
            try:
                loop.call_soon_threadsafe(on_wake, key)
            except RuntimeError:  # its event loop has been closed: nobody listens there any more
                self._unsubscribe(listener)

    @contextlib.asynccontextmanager
    async def listen(self, on_wake: Callable[[str], object]) -> AsyncIterator[None]:
        """While open, ``on_wake(key)`` is called in this loop for each ``wake(key)`` of any session of this process."""
        listener = object()
        for former, (loop, _) in self._subscriptions():
            if loop.is_closed():
                self._unsubscribe(former)
        with self._lock:
            self._listeners[listener] = asyncio.get_running_loop(), on_wake
        try:
            yield
        finally:
            self._unsubscribe(listener)

    def _subscriptions(self) -> list[tuple[object, tuple[asyncio.AbstractEventLoop, Callable[[str], object]]]]:
        with self._lock:
            return list(self._listeners.items())

    def _unsubscribe(self, listener: object) -> None:
        with self._lock:
            self._listeners.pop(listener, None)

    async def note(self, key: str, text: str) -> None:
        """Remember ``text`` under ``key`` for a quarter of an hour."""
        with self._lock:
            now = self._clock.monotonic()
            self._forget_expired(now)
            self._notes[key] = (now + NOTES_KEPT_S, text)
            self._notes.move_to_end(key)

    async def noted(self, key: str) -> str | None:
        """The text that is remembered under ``key``, None if there is none."""
        with self._lock:
            self._forget_expired(self._clock.monotonic())
            note = self._notes.get(key)
        return None if note is None else note[1]

    def _apply(self, step: Step, key: str, owner: str) -> Claim | bool | None:
        with self._lock:
            now = self._clock.monotonic()
            self._forget_expired(now)
            before = self._state(key, owner)
            after, answer = TRANSITIONS[before, step]
            if after is ClaimState.HELD:
                self._held[key] = (now + self.lease, owner)
                self._held.move_to_end(key)
            elif before is ClaimState.HELD:
                del self._held[key]
            if after is ClaimState.DONE and before is not ClaimState.DONE:
                self._done[key] = (now + self._keep_s,)
            return answer

    def _state(self, key: str, owner: str) -> ClaimState:
        if key in self._done:
            return ClaimState.DONE
        if key not in self._held:
            return ClaimState.FREE
        return ClaimState.HELD if self._held[key][1] == owner else ClaimState.OTHERS

    def _forget_expired(self, now: float) -> None:
        for entries in (self._held, self._done, self._notes):
            forget_expired(entries, now)


def forget_expired(entries: OrderedDict[str, Any], now: float) -> None:
    """Remove the tuples that have expired: each begins with the time at which it does, and the first expires first."""
    while entries and next(iter(entries.values()))[0] <= now:
        entries.popitem(last=False)
