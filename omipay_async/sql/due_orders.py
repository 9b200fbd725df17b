"""The orders that sweeps ask about: which are due, which a sweep has taken, and when each is due next.

A sweep takes a row by postponing its ``due_at``. So the sweeps of several processes share the work, and what a process
had taken when it was killed is due again after a minute. PostgreSQL skips rows that another sweep is taking just now.

An order is asked about ten seconds after it was made, and then whenever its age has doubled: one that is never paid
some twenty times in its first year.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import attrs
from sqlalchemy import and_, case, null, or_, select, update

from omipay_async.errors import JournalError

from .entries import FIRST_QUESTION
from .tables import ORDER, UNSTORED, WaitingOrder, aware, is_order, waiting_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from omipay_async.models import Order

    from .claims import Claims
    from .database import Database
    from .entries import Entries

_HOLD: Final = timedelta(seconds=60)
"""How long a row that was taken is not due; then another sweep takes it, because the process may have been killed."""
_LONGEST_PAUSE: Final = timedelta(seconds=60)
"""How long an order waits that was asked about without an answer, or whose handler failed."""
_COLUMNS: Final = (
    ORDER.c.m_number,
    ORDER.c.key,
    ORDER.c.order_no,
    ORDER.c.out_order_no,
    ORDER.c.currency,
    ORDER.c.amount,
    ORDER.c.made_at,
    ORDER.c.status,
)


def next_question(age: timedelta) -> timedelta:
    """The age at which an order is asked about next, if it was asked about at ``age``."""
    return max(FIRST_QUESTION, 2 * age)


def next_attempt(age: timedelta) -> timedelta:
    """The age at which it is asked about again after no answer, or a failed handler: at most a minute later."""
    return age + min(max(FIRST_QUESTION, age), _LONGEST_PAUSE)


@attrs.frozen
class TakenOrder:
    """An order that a sweep asks about.

    An answer with another ``out_order_no``, ``currency`` or ``amount`` is about another sale.
    """

    m_number: str
    key: str
    order_no: str
    out_order_no: str | None
    currency: str | None
    amount: int | None
    made_at: datetime
    has_status: bool
    """Whether the gateway has reported it before."""

    @classmethod
    def of(cls, row: Any) -> TakenOrder:
        """What is known of the order: from the call that made it, or from what was accepted of QueryOrder before.

        Currency and amount are left out if the merchant's own number is not known: they may be those of a ``call``
        about an order that was made elsewhere.
        """
        number = _as_it_was(row.out_order_no)
        return cls(
            m_number=row.m_number,
            key=row.key,
            order_no=row.order_no,
            out_order_no=number,
            currency=None if number is None else _as_it_was(row.currency),
            amount=None if number is None else row.amount,
            made_at=aware(row.made_at),
            has_status=row.status is not None,
        )


class DueOrders:
    """Takes the orders that are due, and writes down when they are due next."""

    def __init__(self, database: Database, entries: Entries, claims: Claims) -> None:
        self._database = database
        self._dialect = database.dialect
        self._entries = entries
        self._claims = claims
        self._at_work: dict[TakenOrder, None] = {}
        """The orders that this process works on."""
        self._last_looks: dict[str, datetime] = {}
        """When orders of a merchant were last taken, by this machine's clock."""

    async def take(self, m_number: str, count: int, *, paid_too: bool) -> list[TakenOrder]:
        """Take ``count`` orders at most that are due, the longest due first."""
        await self._follow_clock(m_number)
        now = self._dialect.now()
        due = [ORDER.c.m_number == m_number, ORDER.c.due_at <= now, ORDER.c.order_no.is_not(None)]
        due.append(or_(ORDER.c.owner.is_(None), ORDER.c.lease_until <= now))  # otherwise its handler is running
        if not paid_too:
            due.append(ORDER.c.paid_at.is_(None))
        if self._at_work:
            due.append(ORDER.c.key.not_in([taken.key for taken in self._at_work if taken.m_number == m_number]))
        keys = select(ORDER.c.key).where(*due).order_by(ORDER.c.due_at).limit(count).with_for_update(skip_locked=True)
        found = keys.cte("due")  # evaluated once: a subquery may be run again and again, and its limit with it
        statement = (
            update(ORDER)
            .where(ORDER.c.m_number == m_number, ORDER.c.key.in_(select(found.c.key)))
            .values(due_at=self._dialect.now(_HOLD))
            .returning(*_COLUMNS)
        )

        async def work(connection: AsyncConnection) -> Sequence[Any]:
            return (await connection.execute(statement)).all()

        taken = [TakenOrder.of(row) for row in await self._database.write(work, JournalError)]
        self._at_work.update(dict.fromkeys(taken))
        return taken

    async def _follow_clock(self, m_number: str) -> None:
        """If the clock was set back, let orders that were made by the earlier clock count as made now.

        Otherwise nobody would ask about them until the clock shows that time again, for hours perhaps. The claim of a
        process that has died ends one lease from now; the process of any other renews it.

        Only a clock that is set back while this process runs is followed. When a machine without a battery for its
        clock starts, the clock is behind, for years perhaps: orders that counted as made then would be far too old once
        it is set right.
        """
        look = self._dialect.machine_time()
        if look < self._last_looks.get(m_number, look):
            now, lease_end = self._dialect.now(), self._dialect.now(self._claims.lease)
            lease_until = case((ORDER.c.lease_until > lease_end, lease_end), else_=ORDER.c.lease_until)
            wrong = and_(ORDER.c.m_number == m_number, ORDER.c.due_at.is_not(None), ORDER.c.made_at > now)
            statement = update(ORDER).where(wrong).values(made_at=now, due_at=now, lease_until=lease_until)
            await self._database.execute(statement, JournalError)
        self._last_looks[m_number] = look

    def at_work(self, m_number: str) -> list[str]:
        """The numbers of a merchant's orders that this process works on."""
        return [taken.order_no for taken in self._at_work if taken.m_number == m_number]

    def done_with(self, taken: TakenOrder) -> None:
        """Note that this process does not work on an order any more."""
        self._at_work.pop(taken, None)

    async def free(self, m_number: str, orders: Sequence[TakenOrder]) -> None:
        """Give orders back that were taken and not asked about: they are due at once."""
        for taken in orders:
            self.done_with(taken)
        await self._put_off(m_number, ORDER.c.key.in_([taken.key for taken in orders]), self._dialect.now())

    async def record_answer(self, taken: TakenOrder, order: Order) -> None:
        """Write down the gateway's answer. A paid order is due at once, for a sweep with a handler."""
        age = await self._age(taken)
        due_at = self._dialect.now() if order.is_paid else self._dialect.now(next_question(age) - age)

        async def work(connection: AsyncConnection) -> None:
            await self._entries.observe(connection, taken.m_number, order, due_at)

        await self._database.write(work, JournalError)

    async def record_success(self, taken: TakenOrder) -> None:
        """Record a success, for a session whose backend is not these books."""
        this = and_(is_order(taken.m_number, taken.key), ORDER.c.done_at.is_(None))
        await self._database.execute(update(ORDER).where(this).values(self._claims.success()), JournalError)

    async def postpone(self, taken: TakenOrder, *, is_unknown: bool) -> None:
        """Make an order due again soon; one that the gateway does not know, as late as one that is not paid yet."""
        age = await self._age(taken)
        due_age = next_question(age) if is_unknown else next_attempt(age)
        # If another transaction holds the row, it is left out: it is due again within a minute.
        found = select(ORDER.c.key).where(is_order(taken.m_number, taken.key))
        unlocked = found.with_for_update(skip_locked=True).cte("unlocked")
        await self._put_off(taken.m_number, ORDER.c.key.in_(select(unlocked.c.key)), self._dialect.now(due_age - age))

    async def _put_off(self, m_number: str, these: Any, due_at: Any) -> None:
        # Not as a condition: SQLite would look for it in the index of due_at, among all orders that wait.
        if_waiting = case((ORDER.c.due_at.is_not(None), due_at), else_=null())
        statement = update(ORDER).where(ORDER.c.m_number == m_number, these).values(due_at=if_waiting)
        await self._database.execute(statement, JournalError)

    async def _age(self, taken: TakenOrder) -> timedelta:
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


def _as_it_was(stored: str | None) -> str | None:
    """A text as it was before it was stored; None if that is not known any more."""
    return None if stored is None or UNSTORED in stored else stored
