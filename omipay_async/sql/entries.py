"""Records what became of money calls: the three methods of a journal, lists for people, and pruning.

A call is *open* while nobody knows whether it was acted on. What its row says next depends on what is written about it:
how the call ended (``closing``), QueryOrder's answer about its order (``observe``), or what a person found out
(``resolving``; it is UNKNOWN here). "By a person" means that the gateway has not said it: ``resolved_at`` is set.
A dash means that the row stays as it is.

    the row says                     | UNKNOWN | NOT_DONE | DONE | the order exists | a person's word
    ---------------------------------+---------+----------+------+------------------+----------------
    open                             | open    | NOT_DONE | DONE | DONE             | open
    NOT_DONE by a person, too early  | open    | NOT_DONE | DONE | DONE             | open
    NOT_DONE by a person             | -       | -        | DONE | DONE             | open
    DONE by a person, too early      | -       | -        | DONE | DONE             | open
    DONE by a person                 | -       | -        | DONE | DONE             | open
    NOT_DONE                         | -       | -        | DONE | -                | is refused
    DONE                             | -       | -        | -    | -                | is refused

So a DONE is never taken back: the process that made a call may write after the one that learnt from a notification that
the order exists. A person looked too early before the call's time was over: the request could still reach the gateway.
An ``out_order_no`` is tied to an order's number only by a reply of QueryOrder, and only if currency and amount agree.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, case, delete, false, func, null, or_, select, true, update

from omipay_async.errors import JournalError
from omipay_async.fulfilment.backends import NOTES_KEPT_S
from omipay_async.journal import JournalEntry, JournalOutcome

from .dialect import or_update
from .tables import (
    CALL,
    ORDER,
    entry_columns,
    entry_of,
    is_storable,
    order_key,
    storable_number,
    storable_text,
    values_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Table
    from sqlalchemy.ext.asyncio import AsyncConnection

    from omipay_async.models import Order

    from .database import Database
    from .dialect import Dialect

FIRST_QUESTION: Final = timedelta(seconds=10)
"""The age at which a sweep asks about an order for the first time."""
_PRUNE_BATCH: Final = 1_000
CERTAIN: Final = (JournalOutcome.DONE, JournalOutcome.NOT_DONE)


class Entries:
    """The rows of ``omipay_call``, and those of ``omipay_order`` that show that an order exists."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect = database.dialect

    # -- the methods of a journal -----------------------------------------------------------------------------------

    async def opening(self, entry: JournalEntry) -> None:
        """Write an entry down, unless it is there already."""
        _check_m_number(entry)
        values = values_of(entry) | {"expires_at": self._expiry(entry)}
        statement = self._dialect.insert(CALL).values(values).on_conflict_do_nothing()
        limit = (entry.until - entry.started_at).total_seconds()
        await self._database.execute(statement, JournalError, limit=limit)

    def _expiry(self, entry: JournalEntry) -> Any:
        """``until`` by the database's clock: what is left of the call's time, added to the database's time."""
        return self._dialect.now(entry.until - self._dialect.machine_time())

    async def closing(self, entry: JournalEntry) -> None:
        """Write down how a call ended, and that its order exists if it has a number."""
        _check_m_number(entry)

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(self._closing(entry))
            if entry.outcome != JournalOutcome.NOT_DONE and entry.order_no and not entry.out_refund_no:
                sale = {"out_order_no": storable_number(entry.out_order_no), "amount": entry.amount}
                sale |= {"currency": storable_text(entry.currency), "status": storable_text(entry.status)}
                await connection.execute(order_made(self._dialect, entry.m_number, storable_text(entry.order_no), sale))

        await self._database.write(work, JournalError)

    def _closing(self, entry: JournalEntry) -> Any:
        """The statement of ``closing``. ``decides`` is true of a row whose outcome it changes: see the table."""
        is_certain = entry.outcome in CERTAIN
        values = values_of(entry) | {"closed_at": self._dialect.now() if is_certain else null()}
        looked_too_early = CALL.c.resolved_at < CALL.c.expires_at
        decides: Any = true()
        if entry.outcome != JournalOutcome.DONE:
            is_undecided = or_(CALL.c.closed_at.is_(None), looked_too_early)
            decides = and_(is_undecided, CALL.c.outcome.is_distinct_from(JournalOutcome.DONE))
        changed: dict[str, Any] = {}
        for name in ("outcome", "error", "closed_at"):
            changed[name] = case((decides, values[name]), else_=CALL.c[name])
        for name in ("order_no", "refund_no", "status", "currency"):
            changed[name] = func.coalesce(CALL.c[name], values[name])
        if is_certain:  # what the gateway has answered replaces what a person wrote, and no person changes it
            is_a_persons = and_(decides, CALL.c.resolved_at.is_not(None))
            right_number = func.coalesce(values["order_no"], CALL.c.order_no)
            changed["order_no"] = case((is_a_persons, right_number), else_=changed["order_no"])
            changed["resolved_at"] = case((decides, null()), else_=CALL.c.resolved_at)
        insert = self._dialect.insert(CALL).values(values | {"expires_at": self._expiry(entry)})
        return or_update(insert, changed)

    async def confirmed(self, m_number: str, order: Order) -> None:
        """Write down that the gateway reports an order as paid: it is to be fulfilled, and its call is resolved."""

        async def work(connection: AsyncConnection) -> None:
            await self.observe(connection, m_number, order, self._dialect.now(FIRST_QUESTION))

        await self._database.write(work, JournalError)

    async def observe(self, connection: AsyncConnection, m_number: str, order: Order, due_at: Any) -> None:
        """Write down QueryOrder's answer about an order, and resolve the call that made it.

        The call comes first, as in ``closing``: transactions that lock rows in the same sequence cannot deadlock.
        """
        if order.out_order_no is not None and is_storable(order.amount):
            await self._resolve_call_of(connection, m_number, order)
        now = self._dialect.now()
        reported = {
            "order_no": storable_text(order.order_no),
            "out_order_no": storable_number(order.out_order_no),
            "amount": order.amount if is_storable(order.amount) else None,
            "currency": storable_text(order.currency),
            "status": storable_text(order.status),
            "due_at": null() if order.is_failed else due_at,
            "paid_at": now if order.is_paid else null(),
            "closed_at": now if order.is_failed else null(),
        }
        insert = self._dialect.insert(ORDER).values(
            m_number=m_number, key=order_key(order.order_no), made_at=now, **reported
        )
        new, old = insert.excluded, ORDER.c
        # An order that was paid stays listed as paid. If it is not final now, the question was probably asked before
        # the payment that a notification has confirmed. If it has failed, a person should look into it.
        is_contradicted = false() if order.is_paid else old.paid_at.is_not(None)
        again_at = due_at if order.is_failed else old.due_at
        is_done = old.done_at.is_not(None)
        changed = {name: new[name] for name in ("order_no", "amount", "currency")} | {
            "out_order_no": func.coalesce(new.out_order_no, old.out_order_no),
            "paid_at": func.coalesce(old.paid_at, new.paid_at),
            "status": case((is_contradicted, old.status), else_=new.status),
            "closed_at": case((or_(is_done, is_contradicted), old.closed_at), else_=new.closed_at),
            "due_at": case((is_done, old.due_at), (is_contradicted, again_at), else_=new.due_at),
        }
        await connection.execute(or_update(insert, changed))

    async def _resolve_call_of(self, connection: AsyncConnection, m_number: str, order: Order) -> None:
        """Close the call that made ``order`` as DONE, unless that is known already, and not only from a person.

        If several calls have one number, each order resolves only one of them. All of them have the same number, amount
        and currency, so it hardly matters which one. But a call that may be under way comes first: its reply may name
        this order, and would leave a second call resolved by it. Then comes one that a person calls done.
        """
        order_no = storable_text(order.order_no)
        query = (
            select(CALL.c.id, CALL.c.order_no, CALL.c.outcome, CALL.c.closed_at, CALL.c.resolved_at)
            .where(
                CALL.c.m_number == m_number,
                CALL.c.out_order_no == storable_number(order.out_order_no),
                CALL.c.amount == order.amount,
                CALL.c.currency == storable_text(order.currency),
                CALL.c.out_refund_no.is_(None),
                # A person may be wrong about a call that was not done; a refusal of the gateway is certain.
                or_(CALL.c.closed_at.is_(None), CALL.c.outcome == JournalOutcome.DONE, CALL.c.resolved_at.is_not(None)),
            )
            .order_by(CALL.c.started_at)
            .with_for_update()  # two orders that are confirmed at the same time resolve two calls
        )
        call = _call_to_resolve((await connection.execute(query)).all(), order_no)
        if call is None:
            return
        values = {
            "outcome": str(JournalOutcome.DONE),
            "order_no": order_no,
            "status": storable_text(order.status),
            "closed_at": self._dialect.now(),
            "resolved_at": null(),  # no person changes it any more
        }
        await connection.execute(update(CALL).where(CALL.c.id == call.id, CALL.c.m_number == m_number).values(values))

    # -- the lists ---------------------------------------------------------------------------------------------------

    async def unresolved(self, m_number: str | None, *, in_flight: bool) -> list[JournalEntry]:
        """List the open entries, oldest first."""
        query = select(*entry_columns()).where(*self._open(m_number, in_flight=in_flight))
        return [entry_of(row) for row in await self._database.rows(query.order_by(CALL.c.started_at), JournalError)]

    async def count_unresolved(self, m_number: str) -> int:
        """Count a merchant's entries that are open and not in flight."""
        query = select(func.count()).select_from(CALL).where(*self._open(m_number, in_flight=False))
        return int(await self._database.scalar(query, JournalError))

    def _open(self, m_number: str | None, *, in_flight: bool) -> list[Any]:
        conditions: list[Any] = [CALL.c.closed_at.is_(None)]
        if not in_flight:
            conditions.append(or_(CALL.c.outcome.is_not(None), CALL.c.expires_at <= self._dialect.now()))
        if m_number is not None:
            conditions.append(CALL.c.m_number == m_number)
        return conditions

    async def prune(self, older_than: timedelta) -> int:
        """Forget what was closed that long ago, and notes that nobody can be waiting for. Returns how many rows.

        Many rows are removed by many transactions, so that none takes long: charges wait for it on SQLite.
        """
        before = self._dialect.now(-older_than)
        notes_before = self._dialect.now(-max(older_than, timedelta(seconds=NOTES_KEPT_S)))
        no_late_note = or_(ORDER.c.note.is_(None), ORDER.c.closed_at <= notes_before)
        return await self._delete(CALL, before) + await self._delete(ORDER, before, no_late_note)

    async def _delete(self, table: Table, before: Any, *conditions: ColumnElement[bool]) -> int:
        """Remove the rows of a table that were closed before that time, a part of them in each transaction."""
        closed_at = table.c.closed_at
        old = select(closed_at).where(closed_at <= before, *conditions).order_by(closed_at)
        last = old.limit(1).offset(_PRUNE_BATCH - 1).scalar_subquery()
        statement = delete(table).where(closed_at <= func.coalesce(last, before), *conditions)
        removed = 0
        while True:
            result = await self._database.write(lambda connection: connection.execute(statement), JournalError)
            removed += result.rowcount
            if result.rowcount < _PRUNE_BATCH:
                return removed


def order_made(dialect: Dialect, m_number: str, order_no: str, sale: dict[str, Any]) -> Any:
    """The statement that an order exists: a sweep asks about it in ten seconds, unless it is reported earlier."""
    now = dialect.now()
    known = {"order_no": order_no, "due_at": dialect.now(FIRST_QUESTION), **sale}
    insert = dialect.insert(ORDER).values(m_number=m_number, key=order_key(order_no), made_at=now, **known)
    reported = {name: func.coalesce(ORDER.c[name], insert.excluded[name]) for name in known}
    return or_update(insert, reported, where=ORDER.c.closed_at.is_(None))


def _call_to_resolve(calls: Sequence[Any], order_no: str) -> Any:
    """Which of the calls with an order's number, amount and currency the order resolves; None if it resolves none."""
    known = [call for call in calls if call.order_no is not None and order_key(call.order_no) == order_key(order_no)]
    if any(_is_decided(call) for call in known):
        return None
    others = [call for call in calls if call.order_no is None and not _is_decided(call)]
    best_first = (
        known,
        [call for call in others if call.outcome is None],
        [call for call in others if call.outcome == JournalOutcome.DONE],
        [call for call in others if call.closed_at is None],
        others,
    )
    return next((found[0] for found in best_first if found), None)


def _is_decided(call: Any) -> bool:
    """Whether it is known that a call was done, and not only from a person."""
    return bool(call.outcome == JournalOutcome.DONE and call.resolved_at is None)


def _check_m_number(entry: JournalEntry) -> None:
    if ":" in entry.m_number:
        message = "the books cannot tell merchants apart whose numbers contain a colon"
        raise JournalError(message)
