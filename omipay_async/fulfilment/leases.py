"""One owner's lease on one order: taken, kept for as long as the handler runs, then turned into a record or released.

A question to a backend ends in one of three ways: it was carried out, it was not, or nobody knows. The third is the one
that matters here. A backend that stalls may carry out a claim, a renewal or a release after its caller has given up,
and a success that could not be recorded is a success all the same. So a session remembers, in :class:`Unsettled`,

- under which owners it asked for something without getting an answer. A later run of the same session that finds the
  order taken releases what they may hold, and asks again. It asks under an owner of its own, because a release of the
  old one may still be carried out, and would then free the order while the new run's handler is at work;
- which orders' handlers succeeded without the backend knowing. A later run of the same session records the success
  under the owner that had the lease, and does not run the handler again.

Other sessions never learn of those owners: what they hold ends with the lease.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, TypeVar

from omipay_async.clock import Deadline, call_later
from omipay_async.errors import BackendError, OmipayError

from .backends import DEFAULT_LEASE_S, Claim

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from omipay_async.clock import Clock

    from .backends import Backend

T = TypeVar("T")

_log: Final = logging.getLogger("omipay_async")

_MOST_KEYS: Final = 10_000
_MOST_OWNERS: Final = 8
"""Per order. Each costs the next run one question."""


class Unsettled:
    """What one session asked of a backend without learning what became of it. Bounded: the oldest is forgotten."""

    def __init__(self) -> None:
        self._owners: OrderedDict[str, dict[str, None]] = OrderedDict()
        self._unrecorded: OrderedDict[str, str] = OrderedDict()

    def __len__(self) -> int:
        return len(self._owners) + len(self._unrecorded)

    def owners(self, key: str) -> tuple[str, ...]:
        """The owners that may hold ``key``, now or later, although nothing runs under them."""
        return tuple(self._owners.get(key, ()))

    def doubt(self, key: str, owner: str) -> bool:
        """Remember that a question of ``owner`` is not answered. False: that was remembered before."""
        owners = self._owners.setdefault(key, {})
        if owner in owners:
            return False
        owners[owner] = None
        _shorten(owners, _MOST_OWNERS)
        _shorten(self._owners, _MOST_KEYS)
        return True

    def answered(self, key: str, owner: str) -> None:
        """Take back what ``doubt`` remembered."""
        owners = self._owners.get(key, {})
        owners.pop(owner, None)
        if not owners:
            self._owners.pop(key, None)

    def succeeded(self, key: str, owner: str) -> None:
        """Remember that the handler succeeded under ``owner``, until the backend knows."""
        self._unrecorded[key] = owner
        _shorten(self._unrecorded, _MOST_KEYS)

    def unrecorded(self, key: str) -> str | None:
        """The owner under which the handler succeeded without the backend knowing."""
        return self._unrecorded.get(key)

    def settle(self, key: str) -> None:
        """The success is recorded: nothing that may still be carried out changes that."""
        self._unrecorded.pop(key, None)
        self._owners.pop(key, None)


def _shorten(remembered: dict[str, Any], most: int) -> None:
    while len(remembered) > most:
        del remembered[next(iter(remembered))]


class Lease:
    """One owner's questions about one order. ``owner`` is unique to a run."""

    def __init__(self, backend: Backend, clock: Clock, key: str, unsettled: Unsettled) -> None:
        self.key = key
        self.owner = secrets.token_hex(16)
        self.lost = False
        """Whether the lease could no longer be proven while the handler ran."""
        self._backend = backend
        self._clock = clock
        self._unsettled = unsettled
        self._seconds = lease_of(backend)
        self._expires = self._from_now()

    async def claim(self) -> Claim:
        """Ask for the order. ``DONE`` also where only now a success of this session's could be recorded.

        Raises:
            BackendError: nobody knows whether it was claimed.
        """
        claim = await self._ask_for_claim()
        doubted = self._unsettled.owners(self.key)
        if claim is Claim.BUSY and doubted:
            for owner in doubted:
                await self._ask(self._backend.release, owner)
            claim = await self._ask_for_claim()
        if claim is Claim.DONE:
            self._unsettled.settle(self.key)
        return claim

    async def _ask_for_claim(self) -> Claim:
        owner = self._unsettled.unrecorded(self.key)
        if owner is not None:
            return Claim.DONE if await self._finish(owner) else Claim.BUSY
        expires = self._from_now()
        claim = await self._ask(self._backend.claim, self.owner)
        self._expires = expires
        return claim

    def may_be_over(self) -> bool:
        """Whether the lease can be proven no more, because it was not renewed in time."""
        return self._expires.seconds_left(self._clock) <= 0

    def _from_now(self) -> Deadline:
        """The end of a lease that begins now. An instant of both clocks: a machine that slept may have lost it."""
        return Deadline.after(self._clock, self._seconds)

    async def keep(self, work: asyncio.Future[Any]) -> None:
        """Renew the lease every third of it until ``work`` is done. Sets ``lost`` if it cannot be proven any more.

        The lease counts from the question, not from its answer: the backend may have begun to count when the question
        reached it.
        """
        due = self._expires.monotonic_s - self._seconds * 2 / 3
        while True:
            await wait(self._clock, (work,), due - self._clock.monotonic())
            following, left = self._from_now(), self._expires.seconds_left(self._clock)
            late = left <= 0 and due < self._expires.monotonic_s
            if late:
                self._warn_of_standstill(self._seconds - left)
                left = self._seconds
            if work.done():
                return
            renewed = await self._renew(min(self._seconds / 6, left)) if left > 0 else False
            if renewed:
                self._expires, due = following, following.monotonic_s - self._seconds * 2 / 3
            elif renewed is None and not self.may_be_over():
                due = min(self._clock.monotonic() + self._seconds / 12, self._expires.monotonic_s)
            else:
                self.lost = True
                return

    def _warn_of_standstill(self, seconds: float) -> None:
        _log.warning(
            "order %s: the event loop or the machine stood still, so that this order's claim was not renewed for "
            "%.1f s and may have ended (it holds for %g s); another process may run the handler too. "
            "Run blocking code in asyncio.to_thread",
            self.key,
            seconds,
            self._seconds,
        )

    async def _renew(self, seconds: float) -> bool | None:
        """Whether the lease was renewed, None if nobody knows."""
        try:
            return await self._ask(self._backend.renew, self.owner, seconds)
        except BackendError as error:
            _log.warning("order %s: its claim could not be renewed: %s", self.key, error)
            return None

    async def record(self) -> bool:
        """Record the handler's success; remember it until it is recorded. False: another owner's lease holds.

        Raises:
            BackendError: nobody knows whether it was recorded.
        """
        self._unsettled.succeeded(self.key, self.owner)
        return await self._finish(self.owner)

    async def _finish(self, owner: str) -> bool:
        recorded = await self._ask(self._backend.finish, owner)
        if recorded:
            self._unsettled.settle(self.key)
        return recorded

    async def release(self) -> None:
        """Free the order for the next run."""
        try:
            await self._ask(self._backend.release, self.owner)
        except BackendError as error:
            _log.warning("order %s: its claim lasts until its lease ends: %s", self.key, error)

    async def _ask(self, question: Callable[[str, str], Awaitable[T]], owner: str, seconds: float | None = None) -> T:
        # Doubted from before the question until after its answer, so that no way of ending this is forgotten.
        is_new = self._unsettled.doubt(self.key, owner)
        limit = self._seconds / 3 if seconds is None else seconds
        answer = await ask(self._clock, lambda: question(self.key, owner), limit)
        if is_new:
            self._unsettled.answered(self.key, owner)
        return answer


def lease_of(backend: Backend) -> float:
    """How many seconds a claim holds; 30 seconds if the backend does not have this attribute."""
    lease: float = getattr(backend, "lease", DEFAULT_LEASE_S)
    return lease


async def ask(clock: Clock, question: Callable[[], Awaitable[T]], seconds: float, *, who: str = "the backend") -> T:
    """What a backend answers, or ``BackendError`` if it does not within ``seconds`` or raises anything else."""
    asking = asyncio.create_task(_answer(question))
    asking.add_done_callback(lambda task: task.cancelled() or task.exception())
    try:
        await wait(clock, (asking,), seconds)
    finally:
        asking.cancel()
    if not asking.done():
        message = f"{who} did not answer in time"
        raise BackendError(message)
    if asking.cancelled():
        message = f"{who} gave up"
        raise BackendError(message)
    error = asking.exception()
    if error is None or isinstance(error, OmipayError):
        return asking.result()
    message = f"{who} raised {type(error).__name__}"
    raise BackendError(message) from error


async def _answer(question: Callable[[], Awaitable[T]]) -> T:
    return await question()  # a backend may fail before there is anything to await


async def wait(clock: Clock, futures: Iterable[asyncio.Future[Any]], seconds: float | None = None) -> None:
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
