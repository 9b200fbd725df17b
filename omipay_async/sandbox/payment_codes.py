"""Payment codes with a fixed meaning, as test cards have: what a till "scans" in the sandbox (CN 3.4).

Every other code is paid at once, so that a real code held before a real scanner is good for a demonstration.
"""

from __future__ import annotations

import enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import attrs

from omipay_async.codes import ErrorCode, OrderStatus

if TYPE_CHECKING:
    from collections.abc import Mapping


class PaymentCode(enum.StrEnum):
    """The ``qrcode`` of a scan order that makes the sandbox do what the member's name says."""

    PAID = "280000000000000000"
    PAID_AFTER_QUERIES = "280000000000000001"
    """USERPAYING; the second QueryOrder finds it paid."""
    PAID_AFTER_SECONDS = "280000000000000002"
    """USERPAYING; paid 10 seconds later."""
    DECLINED_AFTER_QUERIES = "280000000000000003"
    """USERPAYING; the second QueryOrder finds it failed."""
    DECLINED_AFTER_SECONDS = "280000000000000004"
    """USERPAYING; failed 10 seconds later."""
    NEVER_PAYS = "280000000000000005"
    """USERPAYING, and so it stays until ``sandbox.customer`` does something."""
    NOT_ENOUGH = "280000000000000010"
    CARD_NOT_SUPPORT = "280000000000000011"
    QRCODE_EXPIRED = "280000000000000012"
    QRCODE_ERROR = "280000000000000013"
    ORDER_PAID = "280000000000000014"
    ORDER_CLOSED = "280000000000000015"
    SYSTEM_ERROR = "280000000000000020"
    """SYSTEM_ERROR, and nothing was done."""
    SYSTEM_ERROR_ACTED = "280000000000000021"
    """SYSTEM_ERROR, and yet the customer was charged: the reply says nothing of the money."""


@attrs.frozen
class Plan:
    """What a customer who is typing a password will do, and when: after so many queries, or so many seconds."""

    then: OrderStatus
    queries: int | None = None
    seconds: float | None = None


@attrs.frozen
class Card:
    """What the gateway does with a payment code."""

    status: OrderStatus | None = OrderStatus.PAID
    """The order's status when the call is answered; None: no order is made."""
    answer: ErrorCode | None = None
    """The ``error_code`` of the answer; None: SUCCESS."""
    plan: Plan | None = None


def _typing(plan: Plan | None = None) -> Card:
    return Card(OrderStatus.PAYING, ErrorCode.USERPAYING, plan)


ANY_OTHER: Final = Card()

CARDS: Final[Mapping[str, Card]] = MappingProxyType(
    {
        PaymentCode.PAID: Card(),
        PaymentCode.PAID_AFTER_QUERIES: _typing(Plan(OrderStatus.PAID, queries=2)),
        PaymentCode.PAID_AFTER_SECONDS: _typing(Plan(OrderStatus.PAID, seconds=10.0)),
        PaymentCode.DECLINED_AFTER_QUERIES: _typing(Plan(OrderStatus.FAILED, queries=2)),
        PaymentCode.DECLINED_AFTER_SECONDS: _typing(Plan(OrderStatus.FAILED, seconds=10.0)),
        PaymentCode.NEVER_PAYS: _typing(),
        # A refused code leaves a failed order behind, so its out_order_no is used up: no document says that a number
        # may be used again, and a till that takes a new one is right with either kind of gateway.
        PaymentCode.NOT_ENOUGH: Card(OrderStatus.FAILED, ErrorCode.NOT_ENOUGH),
        PaymentCode.CARD_NOT_SUPPORT: Card(OrderStatus.FAILED, ErrorCode.CARD_NOT_SUPPORT),
        PaymentCode.QRCODE_EXPIRED: Card(OrderStatus.FAILED, ErrorCode.QRCODE_EXPIRED),
        PaymentCode.QRCODE_ERROR: Card(OrderStatus.FAILED, ErrorCode.QRCODE_ERROR),
        # These two speak of an order that exists already; the sandbox makes none.
        PaymentCode.ORDER_PAID: Card(None, ErrorCode.ORDER_PAID),
        PaymentCode.ORDER_CLOSED: Card(None, ErrorCode.ORDER_CLOSED),
        PaymentCode.SYSTEM_ERROR: Card(None, ErrorCode.SYSTEM_ERROR),
        PaymentCode.SYSTEM_ERROR_ACTED: Card(OrderStatus.PAID, ErrorCode.SYSTEM_ERROR),
    }
)
"""Payment code to what happens."""
