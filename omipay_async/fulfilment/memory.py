"""The backend in memory, which every session has that is given no other."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from omipay_async import options
from omipay_async.clock import SystemClock

from .backends import DEFAULT_KEEP, DEFAULT_LEASE_S, NOTES_KEPT_S, TRANSITIONS, Claim, ClaimState, Step

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import timedelta

    from omipay_async.clock import Clock


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
            remember(self._notes, key, text, now=now)

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


def remember(entries: OrderedDict[str, Any], key: str, *kept: object, now: float) -> None:
    """Keep a note under ``key`` for a quarter of an hour from ``now``, and remove those that have expired."""
    forget_expired(entries, now)
    entries[key] = (now + NOTES_KEPT_S, *kept)
    entries.move_to_end(key)


def forget_expired(entries: OrderedDict[str, Any], now: float) -> None:
    """Remove the tuples that have expired: each begins with the time at which it does, and the first expires first."""
    while entries and next(iter(entries.values()))[0] <= now:
        entries.popitem(last=False)
