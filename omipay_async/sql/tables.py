"""The two tables. Their column types are plain, so that a migration written by Alembic does not import this package.

``omipay_call`` has one row for each money call. It is open while ``closed_at`` is empty: nobody knows yet whether the
call was acted on. ``omipay_order`` has one row for each order that has a number: its last status at the gateway, who
is fulfilling it (``owner``, until ``lease_until``), and since when its handler has succeeded (``done_at``). Two more
kinds of rows in it have no ``order_no``: a claim of an order that the journal does not know, and a note that one
process leaves for the others (``note``).

Every time is in UTC. ``started_at`` and ``until`` are by the clock of the machine that made the call. All others are by
the database's clock, so that machines whose clocks differ may share the books.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, overload

import attrs
from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    and_,
)

from omipay_async.fulfilment.backends import one_spelling
from omipay_async.journal import JournalEntry, JournalOutcome
from omipay_async.text import bare, plain_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement

metadata: Final = MetaData()
"""For Alembic: ``target_metadata``."""


def _time(name: str, *, nullable: bool = True) -> Column[datetime]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


CALL: Final = Table(
    "omipay_call",
    metadata,
    Column("m_number", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("out_order_no", Text),
    Column("out_refund_no", Text),
    Column("order_no", Text),
    Column("refund_no", Text),
    Column("amount", BigInteger),
    Column("currency", Text),
    _time("started_at", nullable=False),
    _time("until", nullable=False),
    Column("outcome", String(16)),
    Column("status", Text),
    Column("error", Text),
    _time("expires_at", nullable=False),
    _time("closed_at"),
    _time("resolved_at"),
    PrimaryKeyConstraint("id", "m_number", name="pk_omipay_call"),
)
"""``expires_at`` is ``until`` by the database's clock, ``resolved_at`` is when a person wrote down what happened."""

ORDER: Final = Table(
    "omipay_order",
    metadata,
    Column("m_number", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("order_no", Text),
    Column("out_order_no", Text),
    Column("amount", BigInteger),
    Column("currency", Text),
    Column("status", Text),
    _time("made_at", nullable=False),
    _time("due_at"),
    _time("paid_at"),
    _time("done_at"),
    _time("closed_at"),
    Column("owner", Text),
    _time("lease_until"),
    Column("note", Text),
    Column("wake_key", Text),
    Column("woken", BigInteger),
    PrimaryKeyConstraint("m_number", "key", name="pk_omipay_order"),
)
"""``due_at`` is when a sweep asks again. ``out_order_no``, ``amount`` and ``currency`` are those of QueryOrder, and
before that those of the call: a sweep accepts no answer with others. ``paid_at`` is when QueryOrder's answer first said
that it is paid: an order whose charge was answered PAID has none before that.

``wake_key`` and ``woken`` are for SQLite, which cannot send messages: the key of a wake-up, and its serial number.
"""


def _index(name: str, *columns: Column[Any], where: ColumnElement[bool]) -> None:
    Index(name, *columns, postgresql_where=where, sqlite_where=where)


Index("ix_omipay_call_out_order_no", CALL.c.m_number, CALL.c.out_order_no)
_index("ix_omipay_call_unresolved", CALL.c.started_at, CALL.c.m_number, where=CALL.c.closed_at.is_(None))
_index("ix_omipay_call_open", CALL.c.m_number, where=CALL.c.closed_at.is_(None))
_index("ix_omipay_call_closed", CALL.c.closed_at, CALL.c.m_number, where=CALL.c.closed_at.is_not(None))
_index("ix_omipay_order_due", ORDER.c.m_number, ORDER.c.due_at, where=ORDER.c.due_at.is_not(None))
_index("ix_omipay_order_closed", ORDER.c.closed_at, ORDER.c.m_number, where=ORDER.c.closed_at.is_not(None))
_index("ix_omipay_order_woken", ORDER.c.woken, ORDER.c.m_number, where=ORDER.c.woken.is_not(None))


def is_order(m_number: str, key: str) -> ColumnElement[bool]:
    """The condition that a row of ``omipay_order`` is the one with this primary key."""
    return and_(ORDER.c.m_number == m_number, ORDER.c.key == key)


@attrs.frozen(kw_only=True)
class WaitingOrder:
    """An order that a sweep is still to ask about: not final, or paid and not fulfilled."""

    m_number: str
    order_no: str
    out_order_no: str | None = None
    """From QueryOrder's reply, and before that from the call. None if a person gave the order's number."""
    amount: int | None = None
    """In the currency's minor unit."""
    currency: str | None = None
    status: str | None = None
    made_at: datetime
    """When the books first learnt of it."""
    due_at: datetime
    """When a sweep will ask about it."""


UNSTORED: Final = "\N{REPLACEMENT CHARACTER}"
"""What is stored for a character that the databases cannot store."""
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
_LARGEST_AMOUNT: Final = 2**63 - 1

_ENTRY_FIELDS: Final = tuple(field.name for field in attrs.fields(JournalEntry))


def entry_columns() -> list[Any]:
    """The columns that make up a ``JournalEntry``."""
    return [CALL.c[name] for name in _ENTRY_FIELDS]


def entry_of(row: Mapping[str, Any]) -> JournalEntry:
    """A row of ``omipay_call`` as the entry that it was written from."""
    values = {name: row[name] for name in _ENTRY_FIELDS}
    values["started_at"] = aware(values["started_at"])
    values["until"] = aware(values["until"])
    values["outcome"] = None if values["outcome"] is None else JournalOutcome(values["outcome"])
    return JournalEntry(**values)


def values_of(entry: JournalEntry) -> dict[str, Any]:
    """An entry as values for ``omipay_call``."""
    values = {name: getattr(entry, name) for name in _ENTRY_FIELDS}
    plain = {name: storable_text(value) if isinstance(value, str) else value for name, value in values.items()}
    times = {"started_at": entry.started_at.astimezone(UTC), "until": entry.until.astimezone(UTC)}
    return plain | times | {"out_order_no": storable_number(entry.out_order_no)}


@overload
def storable_text(text: str) -> str: ...


@overload
def storable_text(text: str | None) -> str | None: ...


def storable_text(text: str | None) -> str | None:
    """A string that both databases can store: its content, whatever subclass it has, without NUL and surrogates.

    The gateway may send any text in its replies, and an order that could not be stored would never be fulfilled.
    """
    return None if text is None else _UNSTORABLE.sub(UNSTORED, plain_text(text))


def storable_number(out_order_no: str | None) -> str | None:
    """A merchant's own number as the books store and compare it: without the spaces that a database adds or removes."""
    return None if out_order_no is None else bare(storable_text(out_order_no))


def is_storable(amount: int) -> bool:
    """Whether both databases can store an amount. No call has a larger one."""
    return amount <= _LARGEST_AMOUNT


def waiting_of(row: Mapping[str, Any]) -> WaitingOrder:
    """A row of ``omipay_order`` for people to read."""
    values = {field.name: row[field.name] for field in attrs.fields(WaitingOrder)}
    return WaitingOrder(**{**values, "made_at": aware(values["made_at"]), "due_at": aware(values["due_at"])})


def aware(time: datetime) -> datetime:
    """A time from the database, in UTC: SQLite leaves the time zone out."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def order_key(order_no: str) -> str:
    """The key of an order's row, which is the same however its number is spelt, as for the once-guard.

    No order's number contains a colon. A key that does is that of a note, and contains the merchant's own number.
    """
    return order_no if ":" in order_no else one_spelling(order_no).casefold()


def split_key(key: str) -> tuple[str, str]:
    """The ``m_number`` of a backend's key, and what is unique within it."""
    m_number, _, rest = key.partition(":")
    return m_number, order_key(rest)
