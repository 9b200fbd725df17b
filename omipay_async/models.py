"""The models of replies and notifications. Money is an ``int`` of minor units, times are aware, ``.raw`` is the reply.

A field that a reply leaves out is None. ``repr`` shows neither ``.raw`` nor secrets, and ``==`` ignores ``.raw``.
"""

from __future__ import annotations

import sys
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from .codes import ORDER_PHASES, REFUND_PHASES, Currency, OrderStatus, Phase, Platform, RefundStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T", bound=type)

_NEW_ORDERS = ("AppOrder", "AppletOrder", "JSAPIOrder", "OnlineOrder", "QROrder")

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Find the models of new orders, which version 0.1 had here: so says what it pickled."""
        if name in _NEW_ORDERS:
            return getattr(sys.modules[__package__], name)
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)


def reads_old_pickles(model: T) -> T:
    """For a model that has got more fields since version 0.1: they are None where a pickle does not have them."""
    kind: Any = model
    restore = kind.__setstate__

    def restore_all(self: object, state: Mapping[str, Any]) -> None:
        restore(self, {**dict.fromkeys(kind.__slots__), **state})

    kind.__setstate__ = restore_all
    return model


def sent_field() -> Any:
    """A field for a value that the call sent, since the reply does not repeat it."""
    # Keyword-only and with a default, so that users' tests can leave it out.
    return attrs.field(default=None, kw_only=True)


def raw_field() -> Any:
    """The field for the whole reply as received, but without spaces around keys; documented keys have their case."""
    return attrs.field(factory=dict, repr=False, eq=False, kw_only=True)


@attrs.frozen
class ExchangeRate:
    """1 unit of ``currency`` in ``base_currency`` (CN 3.1, EN 2.1). Changes once a day; for reference only."""

    rate: Decimal
    platform: Platform | str | None = None
    raw: dict[str, Any] = raw_field()


class _OrderVerdict:
    """``is_paid``, ``is_failed``, ``is_final``: all three are False for a status that no document lists."""

    __slots__ = ()
    status: OrderStatus | str

    @property
    def is_paid(self) -> bool:
        """Whether the customer has paid."""
        return ORDER_PHASES.get(self.status) is Phase.DONE

    @property
    def is_failed(self) -> bool:
        """Whether the order will never be paid."""
        return ORDER_PHASES.get(self.status) is Phase.FAILED

    @property
    def is_final(self) -> bool:
        """Whether the status is one to act on: paid, or failed."""
        return self.is_paid or self.is_failed


@reads_old_pickles
@attrs.frozen
class ScanOrder(_OrderVerdict):
    """A scan order (CN 3.4, EN 2.4): PAID, or PAYING while the customer types a password; then ``poll_until_paid``."""

    order_no: str
    out_order_no: str | None
    status: OrderStatus | str
    order_time: datetime | None = None
    """When it was **paid**; None while it is not."""
    currency: Currency | str | None = sent_field()
    """As the call sent it, like ``out_order_no`` and ``amount``."""
    amount: int | None = sent_field()
    """In minor units of ``currency``."""
    raw: dict[str, Any] = raw_field()


@attrs.frozen
class Order(_OrderVerdict):
    """The gateway's record of an order (CN 3.8, EN 2.5). It always has an amount and a currency.

    Decide by ``is_paid`` and ``is_failed``, and compare ``out_order_no``, ``amount`` (in the currency's minor unit) and
    ``currency`` with your own sale.
    """

    order_no: str
    status: OrderStatus | str
    out_order_no: str | None
    currency: Currency | str
    amount: int
    """In minor units of ``currency``."""
    pay_currency: Currency | str | None = None
    """The currency in which the customer paid."""
    pay_amount: int | None = None
    """In minor units of ``pay_currency``. Do not compare it with the rate: they differ even in the documents."""
    order_time: datetime | None = None
    """When it was created."""
    pay_time: datetime | None = None
    """When it was paid; None while it is not."""
    exchange_rate: Decimal | None = None
    """From ``currency`` to ``pay_currency``."""
    raw: dict[str, Any] = raw_field()


@reads_old_pickles
@attrs.frozen
class RefundReceipt:
    """A refund was accepted (CN 3.10, EN 2.7). It may still fail: ``query_refund`` and ``poll_until_refunded`` show it.

    Store ``refund_no``: they need it.
    """

    refund_no: str
    currency: Currency | str | None = None
    """The currency of the refund."""
    amount: int | None = None
    """In minor units of ``currency``, of this refund."""
    refund_time: datetime | None = None
    order_no: str | None = sent_field()
    """As the call sent it, like ``out_refund_no``."""
    out_refund_no: str | None = sent_field()
    raw: dict[str, Any] = raw_field()


@attrs.frozen
class Refund:
    """The gateway's record of a refund (CN 3.11, EN 2.8). Decide by ``is_refunded`` and ``is_failed``.

    While both are False the refund is under way, which can take days. ``amount`` is in the currency's minor unit.
    """

    refund_no: str
    status: RefundStatus | str
    out_refund_no: str | None = None
    currency: Currency | str | None = None
    """The currency of the refund."""
    amount: int | None = None
    """In minor units of ``currency``."""
    refund_time: datetime | None = None
    """When it was created."""
    success_time: datetime | None = None
    """When the money arrived; None until the refund is Closed."""
    raw: dict[str, Any] = raw_field()

    @property
    def is_refunded(self) -> bool:
        """Whether the money has arrived with the customer."""
        return REFUND_PHASES.get(self.status) is Phase.DONE

    @property
    def is_failed(self) -> bool:
        """Whether the refund will never be paid out."""
        return REFUND_PHASES.get(self.status) is Phase.FAILED

    @property
    def is_final(self) -> bool:
        """Whether the status is one to act on: refunded, or failed."""
        return self.is_refunded or self.is_failed


@attrs.frozen
class WeChatUser:
    """Who logged in with WeChat (EN 2.9)."""

    openid: str = attrs.field(repr=False)
    nickname: str | None = None
    headimgurl: str | None = None
    raw: dict[str, Any] = raw_field()


@attrs.frozen
class Notification:
    """A payment notification as received (CN 3.9, EN 2.6). It does not prove that anything was paid."""

    order_no: str
    out_order_no: str | None
    currency: Currency | str | None
    amount: int | None
    """In minor units of ``currency``."""
    order_time: datetime | None
    pay_time: datetime | None
    exchange_rate: Decimal | None
    pay_currency: Currency | str | None
    cny_amount: int | None
    timestamp: int
    """When it was signed, in milliseconds since the epoch."""
    raw: dict[str, Any] = raw_field()
