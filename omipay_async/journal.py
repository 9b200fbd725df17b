"""The journal: where money calls are written down before they are sent. The contract; ``omipay_async.sql`` keeps it.

A process can die in the middle of a charge. What was written down before the first byte left is found again afterwards:
an entry that is still open says that nobody knows what became of that call.

    open (``outcome`` is None) --closing--> DONE | NOT_DONE | UNKNOWN

An entry is opened once, after the wait for a slot and before anything is sent, and closed when the call ends, however
it ends. An entry that could not be closed stays open, which is true: nobody has written down what happened.
"""

from __future__ import annotations

import enum
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import attrs

if TYPE_CHECKING:
    from .models import Order


class JournalOutcome(enum.StrEnum):
    """What became of a money call that was written down."""

    DONE = "DONE"
    """The gateway said that it acted on it."""
    NOT_DONE = "NOT_DONE"
    """It is certain that no money moved by this call."""
    UNKNOWN = "UNKNOWN"
    """Nobody knows whether the gateway acted on it."""


@attrs.frozen(kw_only=True)
class JournalEntry:
    """One money call, as it is written down. It holds no secret: no key, no signature, no payment code, no openid."""

    id: str
    """Unique to this call, made by the session."""
    m_number: str
    endpoint: str
    """As the documents name it: ``MakeScanOrder``, ``Refund``."""
    out_order_no: str | None = None
    out_refund_no: str | None = None
    order_no: str | None = None
    """Of a refund the order that is refunded; else the number that the gateway gave, once it is known."""
    refund_no: str | None = None
    amount: int | None = None
    """In the currency's minor unit."""
    currency: str | None = None
    started_at: datetime
    """When the call began, an aware time in UTC."""
    until: datetime
    """When the call's own deadline is over: an open entry past this time belongs to a process that died or hangs."""
    outcome: JournalOutcome | None = None
    """None while the call is under way."""
    status: str | None = None
    """The order's status if the reply told one (``PAID``, ``PAYING``)."""
    error: str | None = None
    """The name of the error's class, None on success."""


@runtime_checkable
class Journal(Protocol):
    """Where a session writes its money calls down. Implemented by ``omipay_async.sql.Books``.

    One of your own needs these three methods: ``AsyncOmipay(..., journal=...)``. What they raise reaches your program
    as a ``JournalError``, or as the cause of a ``NotSent``, as said below.
    """

    async def opening(self, entry: JournalEntry) -> None:
        """Write down that a money call is about to be sent. It is awaited before the first byte.

        What this raises keeps the call from being sent: it ends with ``NotSent``.
        """
        ...

    async def closing(self, entry: JournalEntry) -> None:
        """Write down how a money call ended: ``entry`` has the same ``id`` and an ``outcome``.

        What this raises is logged as ERROR; the call's own result stands, and the entry stays open.
        """
        ...

    async def confirmed(self, m_number: str, order: Order) -> None:
        """Write down that an order was confirmed as paid, by a notification, ``fulfil`` or ``settle``.

        If this raises, no handler runs: a notification is answered 503 and so delivered again, ``fulfil`` and
        ``settle`` raise ``JournalError``.
        """
        ...
