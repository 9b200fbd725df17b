"""The journal, in which money calls are written down before they are sent. ``omipay_async.sql`` implements it.

A process can die in the middle of a charge. Its entry was written before the first byte was sent, so it is found
afterwards: while it is open, nobody knows what happened to that call.

    open (``outcome`` is None) --closing--> DONE | NOT_DONE | UNKNOWN

An entry is opened once, after the wait for a slot and before anything is sent. It is closed when the call ends, however
it ends. An entry that could not be closed stays open, since what happened could not be written down.
"""

from __future__ import annotations

import enum
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

import attrs

if TYPE_CHECKING:
    from .models import Order

JOURNAL_S: Final = 5.0
"""How many seconds each method of a journal but ``opening`` may take."""


class JournalOutcome(enum.StrEnum):
    """The result of a money call that was written down."""

    DONE = "DONE"
    """The gateway confirmed that it acted on the call."""
    NOT_DONE = "NOT_DONE"
    """It is certain that this call moved no money."""
    UNKNOWN = "UNKNOWN"
    """Nobody knows whether the gateway acted on the call."""


@attrs.frozen(kw_only=True)
class JournalEntry:
    """One money call, as it is written down. It contains no key, signature, payment code or openid."""

    id: str
    """Unique to this call, made by the session."""
    m_number: str
    endpoint: str
    """The name of the endpoint, such as ``MakeScanOrder`` or ``Refund``."""
    out_order_no: str | None = None
    out_refund_no: str | None = None
    order_no: str | None = None
    """Of a refund, the order that is refunded; otherwise the gateway's number of the order, once it is known."""
    refund_no: str | None = None
    amount: int | None = None
    """In the currency's minor unit."""
    currency: str | None = None
    started_at: datetime
    """When the call began, an aware time in UTC."""
    until: datetime
    """The deadline of the call. Without an ``outcome`` after it, its process has died or hangs, or could not write."""
    outcome: JournalOutcome | None = None
    """None while the call is under way."""
    status: str | None = None
    """The order's status (``PAID``, ``PAYING``) if the reply had one."""
    error: str | None = None
    """The name of the error's class, None on success."""


@runtime_checkable
class Journal(Protocol):
    """Where a session writes its money calls down. Implemented by ``omipay_async.sql.Books``.

    A journal of your own needs these three methods: ``AsyncOmipay(..., journal=...)``. ``opening`` may take as long as
    the call may still be sent, which is half of its ``timeout``, and each of the others five seconds. One that takes
    longer is cancelled, as if it had raised.
    """

    async def opening(self, entry: JournalEntry) -> None:
        """Write down that a money call is about to be sent. The session awaits this before it sends the first byte.

        If this raises, the call is not sent: it ends with ``NotSent``, caused by a ``JournalError``.
        """
        ...

    async def closing(self, entry: JournalEntry) -> None:
        """Write down how a money call ended: ``entry`` has the same ``id`` and an ``outcome``.

        After an ``opening`` that was cut off it is called with NOT_DONE, whether or not the entry has been written.
        What this raises is logged as ERROR; the call's own result stands, and the entry stays open.
        """
        ...

    async def confirmed(self, m_number: str, order: Order) -> None:
        """Write down that an order was confirmed as paid, by a notification, ``fulfil`` or ``settle``.

        If this raises, no handler runs: a notification is answered 503 and so delivered again, ``fulfil`` and
        ``settle`` raise ``JournalError``.
        """
        ...
