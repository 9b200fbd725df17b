"""One owner's lease on one order: claimed, renewed while the handler runs, and then recorded as a success or released.

A request to a backend ends in one of three ways: it was carried out, it was not, or nobody knows. This module is about
the third. A backend that stalls may carry out a claim, a renewal or a release after its caller has given up, and a
success that could not be recorded is a success all the same. So a session remembers, in :class:`Unsettled`,

- the owners whose requests were not answered. A later run of the same session that finds the order taken releases what
  these owners may hold, and claims again. It claims as a new owner: a late release of the old owner must not free the
  order while the new run's handler is running;
- the orders whose handlers succeeded although the backend has no record of it. A later run of the same session records
  the success as the owner that had the lease, and does not run the handler again.

Other sessions do not know these owners. For them, the order is free when the lease ends.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, TypeVar

from omipay_async.answers import ask
from omipay_async.clock import Deadline, wait
from omipay_async.errors import BackendError
from omipay_async.log import log_fields, logger
from omipay_async.text import printable

from .backends import Claim, answer_limit_s, lease_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from omipay_async.clock import Clock

    from .backends import Backend

T = TypeVar("T")

_MOST_KEYS: Final = 10_000
_MOST_OWNERS: Final = 8
"""How many owners of each order are remembered. Each costs the next run one request."""


class Unsettled:
    """The requests to a backend whose results one session does not know. Bounded: the oldest are forgotten."""

    def __init__(self) -> None:
        self._owners: OrderedDict[str, dict[str, None]] = OrderedDict()
        self._unrecorded: OrderedDict[str, str] = OrderedDict()

    def __len__(self) -> int:
        return len(self._owners) + len(self._unrecorded)

    def owners(self, key: str) -> tuple[str, ...]:
        """The owners that may hold ``key``, now or later, although nothing runs under them."""
        return tuple(self._owners.get(key, ()))

    def add_owner(self, key: str, owner: str) -> bool:
        """Remember that a request of ``owner`` was not answered. False: that was remembered before."""
        owners = self._owners.setdefault(key, {})
        if owner in owners:
            return False
        owners[owner] = None
        _shorten(owners, _MOST_OWNERS)
        _shorten(self._owners, _MOST_KEYS)
        return True

    def remove_owner(self, key: str, owner: str) -> None:
        """Forget what ``add_owner`` remembered, because the request was answered."""
        owners = self._owners.get(key, {})
        owners.pop(owner, None)
        if not owners:
            self._owners.pop(key, None)

    def add_success(self, key: str, owner: str) -> None:
        """Remember that the handler of ``owner`` succeeded, until the backend has recorded it."""
        self._unrecorded[key] = owner
        _shorten(self._unrecorded, _MOST_KEYS)

    def unrecorded_owner(self, key: str) -> str | None:
        """The owner whose handler succeeded, if the backend has not recorded it."""
        return self._unrecorded.get(key)

    def settle(self, key: str) -> None:
        """Forget everything about ``key``: a success was recorded, and no late request changes that."""
        self._unrecorded.pop(key, None)
        self._owners.pop(key, None)


def _shorten(remembered: dict[str, Any], most: int) -> None:
    while len(remembered) > most:
        del remembered[next(iter(remembered))]


class Lease:
    """The requests of one owner for one order. ``owner`` is unique to a run.

    ``key`` is the same for every spelling of the order's number; texts have it as the gateway spells it, ``order_no``.
    """

    def __init__(self, backend: Backend, clock: Clock, key: str, order_no: str, unsettled: Unsettled) -> None:
        self.key = key
        self.order_no = order_no
        self.owner = secrets.token_hex(16)
        self.lost = False
        """Whether the lease may have ended while the handler ran."""
        self._backend = backend
        self._clock = clock
        self._unsettled = unsettled
        self._seconds = lease_of(backend)
        self._expires = self._from_now()

    async def claim(self) -> Claim:
        """Claim the order. ``DONE`` also if an earlier success of this session could only be recorded now.

        Raises:
            BackendError: nobody knows whether it was claimed.
        """
        claim = await self._claim_once()
        unanswered = self._unsettled.owners(self.key)
        if claim is Claim.BUSY and unanswered:
            for owner in unanswered:
                await self._ask(self._backend.release, owner, _nothing)
            claim = await self._claim_once()
        if claim is Claim.DONE:
            self._unsettled.settle(self.key)
        return claim

    async def _claim_once(self) -> Claim:
        owner = self._unsettled.unrecorded_owner(self.key)
        if owner is not None:
            return Claim.DONE if await self._finish(owner) else Claim.BUSY
        expires = self._from_now()
        claim = await self._ask(self._backend.claim, self.owner, _claim)
        self._expires = expires
        return claim

    def may_have_ended(self) -> bool:
        """Whether the lease may have ended, because it was not renewed in time."""
        return self._expires.seconds_left(self._clock) <= 0

    def _from_now(self) -> Deadline:
        """The end of a lease that begins now, by both clocks: the monotonic one may stop while a machine sleeps."""
        return Deadline.after(self._clock, self._seconds)

    async def keep(self, work: asyncio.Future[Any]) -> None:
        """Renew the lease whenever a third of it has passed, until ``work`` is done. Sets ``lost`` if it may be over.

        The lease counts from the request, not from its answer: the backend may have begun to count when the request
        reached it.
        """
        due = self._renewal_of(self._expires)
        while True:
            await wait(self._clock, (work,), due - self._clock.monotonic())
            expires, left = self._from_now(), self._expires.seconds_left(self._clock)
            if left <= 0 and due < self._expires.monotonic_s:  # it was due before the lease ended
                self._warn_of_standstill(self._seconds - left)
                left = self._seconds  # perhaps nobody else has claimed the order since: the backend knows
            if work.done():
                return
            renewed = await self._renew(min(self._seconds / 6, left)) if left > 0 else False
            if renewed:
                self._expires, due = expires, self._renewal_of(expires)
            elif renewed is None and not self.may_have_ended():
                due = min(self._clock.monotonic() + self._seconds / 12, self._expires.monotonic_s)
            else:
                self.lost = True
                return

    def _renewal_of(self, expires: Deadline) -> float:
        """When to renew a lease, by the monotonic clock: a third of it has passed then."""
        return expires.monotonic_s - self._seconds * 2 / 3

    def _warn_of_standstill(self, seconds: float) -> None:
        logger.warning(
            "order %s: the event loop or the machine stood still, so that this order's claim was not renewed for "
            "%.1f s and may have ended (it holds for %g s); another process may run the handler too. "
            "Run blocking code in asyncio.to_thread",
            printable(self.order_no),
            seconds,
            self._seconds,
            extra=self._log_fields(),
        )

    async def _renew(self, seconds: float) -> bool | None:
        """Whether the lease was renewed, None if nobody knows."""
        try:
            return await self._ask(self._backend.renew, self.owner, _yes_or_no, seconds)
        except BackendError as error:
            logger.warning("a claim could not be renewed: %s", error, extra=self._log_fields())
            return None

    async def record(self) -> bool:
        """Record the handler's success, and remember it until it is recorded. False: another owner holds the lease.

        Raises:
            BackendError: nobody knows whether it was recorded.
        """
        self._unsettled.add_success(self.key, self.owner)
        return await self._finish(self.owner)

    async def _finish(self, owner: str) -> bool:
        recorded = await self._ask(self._backend.finish, owner, _yes_or_no)
        if recorded:
            self._unsettled.settle(self.key)
        return recorded

    async def release(self) -> None:
        """Free the order for the next run."""
        try:
            await self._ask(self._backend.release, self.owner, _nothing)
        except BackendError as error:
            text = "a claim could not be released, so no other run begins before it ends: %s"
            logger.warning(text, error, extra=self._log_fields())

    def _log_fields(self) -> dict[str, str | None]:
        return log_fields(order_no=self.order_no)

    async def _ask(
        self,
        request: Callable[[str, str], Awaitable[object]],
        owner: str,
        meaning: Callable[[object], T],
        seconds: float | None = None,
    ) -> T:
        # Remembered before the request is made, so that it stays remembered however this call ends without an answer.
        is_new = self._unsettled.add_owner(self.key, owner)
        limit = answer_limit_s(self._backend) if seconds is None else seconds
        try:
            answer = meaning(await ask(self._clock, lambda: request(self.key, owner), limit))
        except BackendError as error:
            message = f"order {printable(self.order_no)}: {error}"
            raise BackendError(message) from error.__cause__
        if is_new:
            self._unsettled.remove_owner(self.key, owner)
        return answer


def _claim(answer: object) -> Claim:
    """The answer to a claim. A backend of the user may give any, and none but ``MINE`` lets a handler run."""
    try:
        return Claim(answer)
    except ValueError:
        message = f"the backend answered a claim with {type(answer).__name__}, which is not a Claim"
    raise BackendError(message)


def _yes_or_no(answer: object) -> bool:
    """The answer to a renewal or a record. 1 and 0, which many databases return, are taken too."""
    if isinstance(answer, int) and answer in {0, 1}:
        return bool(answer)
    message = f"the backend answered a renewal or a record with {type(answer).__name__}, which is not a bool"
    raise BackendError(message)


def _nothing(_: object) -> None:
    """The answer to a release."""
