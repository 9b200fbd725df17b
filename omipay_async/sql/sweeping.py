"""Sweeps: they ask about every order that has a number and is not settled, and fulfil those that are paid.

A sweep takes a row by postponing its ``due_at``. So the sweeps of several processes share the work, and what a process
had taken when it was killed is due again after a minute. PostgreSQL skips rows that another sweep is taking just now.

A handler may hang. So a worker waits for a sweep for a minute only, and then begins the next one at the same time,
which leaves out the orders that the first still works on.

An order is asked about ten seconds after it was made, and then whenever its age has doubled: one that is never paid
some twenty times in its first year.
"""

from __future__ import annotations

import asyncio
import functools
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import attrs
from sqlalchemy import and_, case, null, or_, select, update

from omipay_async.errors import ConfigurationError, JournalError, LookupFailed, OmipayError, SessionClosed
from omipay_async.events import log_fields, logger
from omipay_async.protocol.expectation import ensure_same_sale
from omipay_async.text import printable

from .entries import FIRST_QUESTION
from .tables import ORDER, UNSTORED, WaitingOrder, aware, is_order, waiting_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from omipay_async.fulfilment.guard import Handler
    from omipay_async.models import Order
    from omipay_async.session import AsyncOmipay

    from .claims import Claims
    from .database import Database
    from .entries import Entries

_WORKERS: Final = 8
_HOLD: Final = timedelta(seconds=60)
"""How long a row that was taken is not due; then another sweep takes it, because the process may have been killed."""
_LONGEST_PAUSE: Final = timedelta(seconds=60)
"""How long an order waits that was asked about without an answer, or whose handler failed."""
_LONG_S: Final = 60.0
"""How long a worker waits for a sweep before it begins the next one."""
_MOST_SWEEPS: Final = 64
"""How many sweeps of one worker may be under way at the same time."""
_AGAIN: Final = "order %s: the sweep asks again soon: %s"
_UNKNOWN: Final = (
    "order %s: the gateway does not know it; the sweep asks again when its age has doubled. "
    "If a person gave this number, give the right one (books.resolve): %s"
)


def next_question(age: timedelta) -> timedelta:
    """The age at which an order is asked about next, if it was asked about at ``age``."""
    return max(FIRST_QUESTION, 2 * age)


def next_attempt(age: timedelta) -> timedelta:
    """The same after a question without an answer or a handler that failed: within a minute, whatever the age is."""
    return age + min(max(FIRST_QUESTION, age), _LONGEST_PAUSE)


@attrs.frozen
class SweepReport:
    """What one sweep did, in numbers of orders. The log says what went wrong with which order."""

    fulfilled: int = 0
    """They are paid, and their handler has succeeded, now or before."""
    waiting: int = 0
    """They are neither paid nor failed yet, or they are paid and wait for a sweep that has a handler."""
    failed: int = 0
    """They will not be paid."""
    errors: int = 0
    """The gateway did not answer, or the handler raised: they are asked about again within a minute. Or the gateway has
    never known the order: it is asked about again when its age has doubled."""
    unresolved: int = 0
    """Money calls of this merchant of which nobody knows what became of them: ``books.unresolved()`` lists them."""


@attrs.frozen
class _Taken:
    """An order that this sweep asks about. An answer with another of these three values is about another sale."""

    key: str
    order_no: str
    out_order_no: str | None
    currency: str | None
    amount: int | None
    made_at: datetime
    has_status: bool
    """Whether the gateway has reported it before."""

    @classmethod
    def of(cls, row: Any) -> _Taken:
        """What is known of the order: from the call that made it, or from what was accepted of QueryOrder before.

        Without a number of the merchant's, the amount may be that of a call about an order that was made elsewhere.
        """
        number = _as_it_was(row.out_order_no)
        currency, amount = (None, None) if number is None else (_as_it_was(row.currency), row.amount)
        return cls(row.key, row.order_no, number, currency, amount, aware(row.made_at), row.status is not None)


class Sweeping:
    """Takes the orders that are due, and writes down when they are due next."""

    def __init__(self, database: Database, entries: Entries, claims: Claims) -> None:
        self._database = database
        self._dialect = database.dialect
        self._entries = entries
        self._claims = claims
        self._at_work: dict[tuple[str, str], _Taken] = {}
        """The orders that this process works on, by merchant and key."""
        self._last_looks: dict[str, datetime] = {}
        """When orders of a merchant were last taken, by this machine's clock."""

    async def run(self, omipay: AsyncOmipay, handler: Handler, limit: int, pause: float) -> None:
        """Sweep again and again until this is cancelled, which cancels the sweeps."""
        under_way: set[asyncio.Task[SweepReport]] = set()
        try:
            while True:
                latest = asyncio.create_task(self.sweep(omipay, handler, limit))
                under_way.add(latest)
                await asyncio.wait((latest,), timeout=_LONG_S)
                if not latest.done():
                    self._warn_of_slow_handlers(omipay.m_number, "the next one begins")
                while len(under_way) == _MOST_SWEEPS and not any(sweep.done() for sweep in under_way):
                    self._warn_of_slow_handlers(omipay.m_number, "no more begin until one of them has ended")
                    await asyncio.wait(under_way, timeout=_LONG_S, return_when=asyncio.FIRST_COMPLETED)
                for ended in [sweep for sweep in under_way if sweep.done()]:
                    under_way.remove(ended)
                    _check_end(ended)
                await asyncio.sleep(pause)
        finally:
            for sweep in under_way:
                sweep.cancel()
            if under_way:
                await asyncio.wait(under_way)

    def _warn_of_slow_handlers(self, m_number: str, what_follows: str) -> None:
        numbers = [taken.order_no for (merchant, _), taken in self._at_work.items() if merchant == m_number]
        logger.warning(
            "sweeps have not ended within %g s, and %s; orders that are worked on now: %s; does a handler hang?",
            _LONG_S,
            what_follows,
            printable(", ".join(numbers) or "none", limit=1000),
        )

    async def sweep(self, omipay: AsyncOmipay, handler: Handler | None, limit: int) -> SweepReport:
        """Ask about ``limit`` orders at most, several at a time."""
        if omipay.is_closed:  # if nothing is due, the session is not used and does not raise this itself
            raise SessionClosed
        sweep = _Sweep(self, omipay, handler, limit)
        await sweep.run()
        unresolved = await self._entries.count_unresolved(omipay.m_number)
        return SweepReport(**sweep.counts, unresolved=unresolved)

    async def take(self, m_number: str, count: int, *, paid_too: bool) -> list[_Taken]:
        """Take ``count`` orders at most that are due, the longest due first."""
        await self._follow_clock(m_number)
        now = self._dialect.now()
        due = [ORDER.c.m_number == m_number, ORDER.c.due_at <= now, ORDER.c.order_no.is_not(None)]
        due.append(or_(ORDER.c.owner.is_(None), ORDER.c.lease_until <= now))  # or its handler is running
        if not paid_too:
            due.append(ORDER.c.paid_at.is_(None))
        if self._at_work:
            due.append(ORDER.c.key.not_in([key for merchant, key in self._at_work if merchant == m_number]))
        keys = select(ORDER.c.key).where(*due).order_by(ORDER.c.due_at).limit(count).with_for_update(skip_locked=True)
        found = keys.cte("due")  # evaluated once: a subquery may be run again and again, and its limit with it
        sale = (ORDER.c.out_order_no, ORDER.c.currency, ORDER.c.amount)
        statement = (
            update(ORDER)
            .where(ORDER.c.m_number == m_number, ORDER.c.key.in_(select(found.c.key)))
            .values(due_at=self._dialect.now(_HOLD))
            .returning(ORDER.c.key, ORDER.c.order_no, *sale, ORDER.c.made_at, ORDER.c.status)
        )

        async def work(connection: AsyncConnection) -> Sequence[Any]:
            return (await connection.execute(statement)).all()

        rows = await self._database.write(work, JournalError)
        taken = [_Taken.of(row) for row in rows]
        self._at_work.update(((m_number, one.key), one) for one in taken)
        return taken

    async def _follow_clock(self, m_number: str) -> None:
        """If the clock was set back, let orders that were made by the earlier clock count as made now.

        Otherwise nobody would ask about them until the clock shows that time again, for hours perhaps. The claim of a
        process that has died ends one lease from now; the process of any other renews it.

        It counts only if it is seen here. When a machine without a battery for its clock starts, the clock is behind,
        for years perhaps: orders that counted as made then would be far too old once it is set right.
        """
        look = self._dialect.machine_time()
        if look < self._last_looks.get(m_number, look):
            now, lease_end = self._dialect.now(), self._dialect.now(self._claims.lease)
            lease_until = case((ORDER.c.lease_until > lease_end, lease_end), else_=ORDER.c.lease_until)
            wrong = and_(ORDER.c.m_number == m_number, ORDER.c.due_at.is_not(None), ORDER.c.made_at > now)
            statement = update(ORDER).where(wrong).values(made_at=now, due_at=now, lease_until=lease_until)
            await self._database.execute(statement, JournalError)
        self._last_looks[m_number] = look

    def end(self, m_number: str, keys: Iterable[str]) -> None:
        """Note that this process does not work on these orders any more."""
        for key in keys:
            self._at_work.pop((m_number, key), None)

    async def free(self, m_number: str, keys: Sequence[str]) -> None:
        """Make orders due at once that were taken and not asked about."""
        await self._put_off(m_number, ORDER.c.key.in_(keys), self._dialect.now())

    async def record_answer(self, m_number: str, taken: _Taken, order: Order) -> None:
        """Write down the gateway's answer. A paid order is due at once, for a sweep with a handler."""
        age = await self._age(taken)
        due_at = self._dialect.now() if order.is_paid else self._dialect.now(next_question(age) - age)

        async def work(connection: AsyncConnection) -> None:
            await self._entries.observe(connection, m_number, order, due_at)

        await self._database.write(work, JournalError)

    async def record_success(self, m_number: str, taken: _Taken) -> None:
        """Record a success, for a session whose backend is not these books."""
        this = and_(is_order(m_number, taken.key), ORDER.c.done_at.is_(None))
        await self._database.execute(update(ORDER).where(this).values(self._claims.done()), JournalError)

    async def postpone(self, m_number: str, taken: _Taken, *, is_unknown: bool) -> None:
        """Make an order due again soon; one that the gateway does not know, as late as one that is not paid yet."""
        age = await self._age(taken)
        due_age = next_question(age) if is_unknown else next_attempt(age)
        # If another transaction holds the row, it is left out: it is due again within a minute.
        found = select(ORDER.c.key).where(is_order(m_number, taken.key))
        unlocked = found.with_for_update(skip_locked=True).cte("unlocked")
        await self._put_off(m_number, ORDER.c.key.in_(select(unlocked.c.key)), self._dialect.now(due_age - age))

    async def _put_off(self, m_number: str, these: Any, due_at: Any) -> None:
        # Not as a condition: SQLite would look for it in the index of due_at, among all orders that wait.
        if_waiting = case((ORDER.c.due_at.is_not(None), due_at), else_=null())
        statement = update(ORDER).where(ORDER.c.m_number == m_number, these).values(due_at=if_waiting)
        await self._database.execute(statement, JournalError)

    async def _age(self, taken: _Taken) -> timedelta:
        now: datetime = await self._database.scalar(select(self._dialect.now()), JournalError)
        return aware(now) - taken.made_at

    async def waiting(self, m_number: str | None, limit: int) -> list[WaitingOrder]:
        """List the orders that are still to be asked about, the next due first."""
        columns = [ORDER.c[field.name] for field in attrs.fields(WaitingOrder)]
        query = select(*columns).where(ORDER.c.due_at.is_not(None), ORDER.c.order_no.is_not(None))
        if m_number is not None:
            query = query.where(ORDER.c.m_number == m_number)
        rows = await self._database.rows(query.order_by(ORDER.c.due_at).limit(limit), JournalError)
        return [waiting_of(row) for row in rows]


class _Sweep:
    """One sweep under way."""

    def __init__(self, sweeping: Sweeping, omipay: AsyncOmipay, handler: Handler | None, limit: int) -> None:
        self._sweeping = sweeping
        self._omipay = omipay
        self._handler = handler
        self._left = limit
        self._held: dict[str, _Taken] = {}
        """The orders that were taken, and of which nothing is written down yet."""
        self._handling: set[str] = set()
        """The keys of the orders whose handler this sweep has begun."""
        self._next: list[_Taken] = []
        self._taking = asyncio.Lock()
        self._is_ending = False
        self.counts = {"fulfilled": 0, "waiting": 0, "failed": 0, "errors": 0}

    async def run(self) -> None:
        """Work until nothing is due. If something fails, orders that are worked on may end, and no more are taken."""
        workers = [asyncio.create_task(self._work()) for _ in range(min(_WORKERS, self._left))]
        try:
            await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
            self._is_ending = True
            await asyncio.wait(workers, timeout=_LONG_S)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.wait(workers)
            errors = [error for worker in workers if not worker.cancelled() and (error := worker.exception())]
            if self._held:
                self._sweeping.end(self._omipay.m_number, self._held)
                await self._free()
        if errors:
            raise errors[0]

    async def _free(self) -> None:
        try:
            await self._sweeping.free(self._omipay.m_number, list(self._held))
        except JournalError as error:
            logger.warning("what this sweep had taken is due again in a minute: %s", error)

    async def _work(self) -> None:
        while (taken := await self._take()) is not None:
            await self._ask(taken)
            del self._held[taken.key]
            self._sweeping.end(self._omipay.m_number, [taken.key])

    async def _take(self) -> _Taken | None:
        async with self._taking:
            if self._is_ending:
                return None
            if not self._next and self._left > 0:
                count = min(_WORKERS, self._left)
                paid_too = self._handler is not None
                try:
                    self._next = await self._sweeping.take(self._omipay.m_number, count, paid_too=paid_too)
                except JournalError:
                    self._is_ending = True  # set here, or the next worker would wait for the books for as long
                    raise
                self._left = self._left - len(self._next) if self._next else 0
                self._held.update((taken.key, taken) for taken in self._next)
            return self._next.pop() if self._next else None

    async def _ask(self, taken: _Taken) -> None:
        """Ask about one order, fulfil it if it is paid, and write down the result."""
        is_unknown = False
        try:
            order = await self._settled(taken)
        except OmipayError as error:
            if isinstance(error, SessionClosed) and self._omipay.is_closed:
                raise
            is_unknown = self._is_unknown(taken, error)
            extra = log_fields(order_no=taken.order_no)
            logger.warning(_UNKNOWN if is_unknown else _AGAIN, printable(taken.order_no), error, extra=extra)
        except Exception:  # noqa: BLE001 - the handler is the user's; whatever it raises, it runs again
            text, extra = "order %s: the handler raised; a sweep runs it again", log_fields(order_no=taken.order_no)
            logger.exception(text, printable(taken.order_no), extra=extra)
        else:
            self.counts[_counted_as(order, self._handler)] += 1
            return
        self.counts["errors"] += 1
        await self._sweeping.postpone(self._omipay.m_number, taken, is_unknown=is_unknown)

    def _is_unknown(self, taken: _Taken, error: OmipayError) -> bool:
        """Whether the gateway has never known the order. (A handler may raise the same error, about something else.)"""
        if not isinstance(error, LookupFailed) or error.node != self._omipay.node:
            return False  # the second node may not have the order yet
        return not taken.has_status and taken.key not in self._handling

    async def _settled(self, taken: _Taken) -> Order:
        m_number = self._omipay.m_number
        if self._handler is None:
            order = await self._omipay.query_order(taken.order_no)
            ensure_same_sale(order, taken)
        else:
            order = await self._omipay.fulfil(taken, functools.partial(self._handle, taken, self._handler))
        await self._sweeping.record_answer(m_number, taken, order)
        if order.is_paid and self._handler is not None:
            await self._sweeping.record_success(m_number, taken)
        return order

    def _handle(self, taken: _Taken, handler: Handler, order: Order) -> Awaitable[object]:
        self._handling.add(taken.key)
        return handler(order)


def _as_it_was(stored: str | None) -> str | None:
    """A text as it was before it was stored; None if that is not known any more."""
    return None if stored is None or UNSTORED in stored else stored


def _check_end(sweep: asyncio.Task[SweepReport]) -> None:
    """Raise an error that ends the worker, and log one that ended only this sweep."""
    try:
        sweep.result()
    except (SessionClosed, ConfigurationError):
        raise
    except OmipayError as error:
        logger.warning("the sweep could not be finished: %s", error)


def _counted_as(order: Order, handler: Handler | None) -> str:
    if order.is_paid:
        return "waiting" if handler is None else "fulfilled"
    return "failed" if order.is_failed else "waiting"
