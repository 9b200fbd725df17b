"""Writes down what a person found out about a call: the outcome, and the number of an order that was made.

A person may be wrong, so what a person wrote can be corrected: by the same or another person, by a reply, and by an
order that is confirmed. What the gateway has decided, by its reply or by QueryOrder's answer, is not changed by a
person. The table in ``entries`` shows both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, delete, not_, null, select, update

from omipay_async.errors import InvalidRequest, JournalError
from omipay_async.journal import JournalEntry, JournalOutcome
from omipay_async.protocol.notifications import ORDER_NO
from omipay_async.protocol.validation import reject
from omipay_async.text import plain_text, printable

from .entries import CERTAIN, order_made
from .tables import CALL, ORDER, is_order, order_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from .database import Database
    from .dialect import Dialect

_COLUMNS: Final = (
    CALL.c.m_number,
    CALL.c.id,
    CALL.c.out_order_no,
    CALL.c.order_no,
    CALL.c.out_refund_no,
    CALL.c.closed_at,
    CALL.c.resolved_at,
)


async def resolve_call(
    database: Database, entry_or_id: JournalEntry | str, outcome: JournalOutcome | str, order_no: str | None
) -> None:
    """Write down what a person found out about a call."""
    verdict = _checked_outcome(outcome)
    number = _checked_order_no(order_no, verdict)
    entry_id, m_number = _checked_id(entry_or_id)

    async def work(connection: AsyncConnection) -> None:
        named = [CALL.c.id == entry_id, *([] if m_number is None else [CALL.c.m_number == m_number])]
        # The rows are locked. Otherwise a notification that is confirmed meanwhile would be overwritten.
        rows = (await connection.execute(select(*_COLUMNS).where(*named).with_for_update())).all()
        row = _checked_row(rows)
        if number is not None:
            await _check_number_of(connection, row, number)
        await _write(connection, database.dialect, row, verdict, number)

    await database.write(work, JournalError)


async def _write(
    connection: AsyncConnection, dialect: Dialect, row: Any, outcome: JournalOutcome, order_no: str | None
) -> None:
    now = dialect.now()
    values = {
        "outcome": str(outcome),
        "closed_at": now if outcome in CERTAIN else null(),
        "resolved_at": now,
        **({} if order_no is None else {"order_no": order_no}),
    }
    if _takes_back(row, outcome, order_no) and await _forget_mistake(connection, row):
        values["order_no"] = order_no
    this = and_(CALL.c.id == row.id, CALL.c.m_number == row.m_number)
    await connection.execute(update(CALL).where(this).values(values))
    if order_no is not None and row.out_refund_no is None:
        await connection.execute(order_made(dialect, row.m_number, order_no, {}))
        this_order = is_order(row.m_number, order_key(order_no))
        due_at_once = update(ORDER).where(this_order, ORDER.c.closed_at.is_(None)).values(due_at=now)
        await connection.execute(due_at_once)  # the person has seen it, so nobody waits ten seconds


def _checked_outcome(outcome: object) -> JournalOutcome:
    try:
        return JournalOutcome(plain_text(outcome) if isinstance(outcome, str) else "")
    except ValueError:
        reject("outcome", f"must be one of {', '.join(JournalOutcome)}")


def _checked_order_no(order_no: object, outcome: JournalOutcome) -> str | None:
    if order_no is None:
        return None
    number = plain_text(order_no).strip() if isinstance(order_no, str) else ""
    if not ORDER_NO.fullmatch(number):
        reject("order_no", "must be the gateway's number of the order: 1 to 64 of A-Z, a-z, 0-9, _ and -")
    if outcome is JournalOutcome.NOT_DONE:
        raise _refused("order_no", "an order that has a number was made, so the outcome is not NOT_DONE")
    return number


def _checked_id(entry_or_id: object) -> tuple[str, str | None]:
    if isinstance(entry_or_id, JournalEntry):
        return entry_or_id.id, entry_or_id.m_number
    if not isinstance(entry_or_id, str) or "\0" in entry_or_id:
        reject("entry_or_id", "must be a JournalEntry or its id")
    return plain_text(entry_or_id), None


def _checked_row(rows: Sequence[Any]) -> Any:
    """The one row that was found. Raises ``InvalidRequest`` if a person may not resolve it."""
    if not rows:
        raise _refused("entry_or_id", "no such entry in these books: an id must be whole")
    if len(rows) > 1:
        raise _refused("entry_or_id", "two merchants have an entry of this id: give the entry itself")
    if rows[0].closed_at is not None and rows[0].resolved_at is None:
        raise _refused("entry_or_id", "a reply of the gateway has already decided what became of this call")
    return rows[0]


async def _check_number_of(connection: AsyncConnection, row: Any, order_no: str) -> None:
    """Raise ``InvalidRequest`` if ``order_no`` is certainly not that of a call."""
    if row.out_refund_no is not None:
        if row.order_no is not None and order_key(row.order_no) != order_key(order_no):
            raise _refused("order_no", f"this refund belongs to order {printable(row.order_no)}")
        return
    sale = await _sale_of(connection, row.m_number, order_no)
    if sale not in {None, row.out_order_no}:
        raise _refused("order_no", f"order {order_no} belongs to another sale, {printable(sale)}")


def _refused(parameter: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"{parameter}: {why}", parameter=parameter)


def _takes_back(row: Any, outcome: JournalOutcome, order_no: str | None) -> bool:
    """Whether a person corrects the number that a person gave before, or says that there was no such order."""
    if row.resolved_at is None or row.order_no is None or row.out_refund_no is not None:
        return False
    if order_no is None:
        return outcome is not JournalOutcome.DONE
    return order_key(order_no) != order_key(row.order_no)


async def _forget_mistake(connection: AsyncConnection, row: Any) -> bool:
    """Forget the number that a person gave to a call, unless it is that of its sale. Returns whether it did.

    The order is forgotten too if nothing but its number was ever known, so that no sweep asks about it.
    """
    sale = await _sale_of(connection, row.m_number, row.order_no)
    if sale is not None and sale == row.out_order_no:
        return False
    order = is_order(row.m_number, order_key(row.order_no))
    named = select(CALL.c.id).where(
        CALL.c.m_number == row.m_number, CALL.c.order_no == row.order_no, CALL.c.id != row.id
    )
    facts = (ORDER.c.out_order_no, ORDER.c.status, ORDER.c.owner, ORDER.c.done_at)
    await connection.execute(delete(ORDER).where(order, *(fact.is_(None) for fact in facts), not_(named.exists())))
    return True


async def _sale_of(connection: AsyncConnection, m_number: str, order_no: str) -> str | None:
    """The ``out_order_no`` of an order, if the books have it."""
    query = select(ORDER.c.out_order_no).where(is_order(m_number, order_key(order_no)))
    number: str | None = (await connection.execute(query)).scalar()
    return number
