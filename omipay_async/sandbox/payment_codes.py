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
    """The ``qrcode`` of a scan order that makes the sandbox do something particular. ``description`` says what."""

    PAID = "280000000000000000"
    PAID_AFTER_QUERIES = "280000000000000001"
    PAID_AFTER_SECONDS = "280000000000000002"
    DECLINED_AFTER_QUERIES = "280000000000000003"
    DECLINED_AFTER_SECONDS = "280000000000000004"
    NEVER_PAYS = "280000000000000005"
    NOT_ENOUGH = "280000000000000010"
    CARD_NOT_SUPPORT = "280000000000000011"
    QRCODE_EXPIRED = "280000000000000012"
    QRCODE_ERROR = "280000000000000013"
    ORDER_PAID = "280000000000000014"
    ORDER_CLOSED = "280000000000000015"
    SYSTEM_ERROR = "280000000000000020"
    SYSTEM_ERROR_ACTED = "280000000000000021"

    @property
    def description(self) -> str:
        """What the gateway does, in a sentence or two."""
        return DESCRIPTIONS[self]


DESCRIPTIONS: Final[Mapping[PaymentCode, str]] = MappingProxyType(
    {
        PaymentCode.PAID: "SUCCESS: the order is paid at once.",
        PaymentCode.PAID_AFTER_QUERIES: "USERPAYING. The second QueryOrder finds it paid.",
        PaymentCode.PAID_AFTER_SECONDS: "USERPAYING. It is paid 10 seconds later.",
        PaymentCode.DECLINED_AFTER_QUERIES: "USERPAYING. The second QueryOrder finds it failed.",
        PaymentCode.DECLINED_AFTER_SECONDS: "USERPAYING. It fails 10 seconds later.",
        PaymentCode.NEVER_PAYS: "USERPAYING until you press a button here, or call sandbox.customer.pays().",
        PaymentCode.NOT_ENOUGH: "FAIL: the balance is too small.",
        PaymentCode.CARD_NOT_SUPPORT: "FAIL: the customer's card cannot be used.",
        PaymentCode.QRCODE_EXPIRED: "FAIL: the payment code is too old.",
        PaymentCode.QRCODE_ERROR: "FAIL: this is not a payment code.",
        PaymentCode.ORDER_PAID: "FAIL: an order under this out_order_no is paid already, it says.",
        PaymentCode.ORDER_CLOSED: "FAIL: an order under this out_order_no is closed already, it says.",
        PaymentCode.SYSTEM_ERROR: "SYSTEM_ERROR. The customer was not charged.",
        PaymentCode.SYSTEM_ERROR_ACTED: "SYSTEM_ERROR, although the customer was charged: the reply says nothing "
        "about the money.",
    }
)


@attrs.frozen
class DelayedOutcome:
    """What a customer who is typing a password will do, and when: after so many queries, or so many seconds."""

    then: OrderStatus
    queries: int | None = None
    seconds: float | None = None


@attrs.frozen
class CodeBehaviour:
    """What the gateway does with a payment code."""

    status: OrderStatus | None = OrderStatus.PAID
    """The order's status when the call is answered; None: no order is made."""
    answer: ErrorCode | None = None
    """The ``error_code`` of the answer; None: SUCCESS."""
    delayed: DelayedOutcome | None = None


def _typing(delayed: DelayedOutcome | None = None) -> CodeBehaviour:
    return CodeBehaviour(OrderStatus.PAYING, ErrorCode.USERPAYING, delayed)


ANY_OTHER: Final = CodeBehaviour()

PAYMENT_CODES: Final[Mapping[str, CodeBehaviour]] = MappingProxyType(
    {
        PaymentCode.PAID: CodeBehaviour(),
        PaymentCode.PAID_AFTER_QUERIES: _typing(DelayedOutcome(OrderStatus.PAID, queries=2)),
        PaymentCode.PAID_AFTER_SECONDS: _typing(DelayedOutcome(OrderStatus.PAID, seconds=10.0)),
        PaymentCode.DECLINED_AFTER_QUERIES: _typing(DelayedOutcome(OrderStatus.FAILED, queries=2)),
        PaymentCode.DECLINED_AFTER_SECONDS: _typing(DelayedOutcome(OrderStatus.FAILED, seconds=10.0)),
        PaymentCode.NEVER_PAYS: _typing(),
        # A refused code leaves a failed order behind, so its out_order_no is used up: no document says that a number
        # may be used again, and a till that takes a new one is right with either kind of gateway.
        PaymentCode.NOT_ENOUGH: CodeBehaviour(OrderStatus.FAILED, ErrorCode.NOT_ENOUGH),
        PaymentCode.CARD_NOT_SUPPORT: CodeBehaviour(OrderStatus.FAILED, ErrorCode.CARD_NOT_SUPPORT),
        PaymentCode.QRCODE_EXPIRED: CodeBehaviour(OrderStatus.FAILED, ErrorCode.QRCODE_EXPIRED),
        PaymentCode.QRCODE_ERROR: CodeBehaviour(OrderStatus.FAILED, ErrorCode.QRCODE_ERROR),
        # These two speak of an order that exists already; the sandbox makes none.
        PaymentCode.ORDER_PAID: CodeBehaviour(None, ErrorCode.ORDER_PAID),
        PaymentCode.ORDER_CLOSED: CodeBehaviour(None, ErrorCode.ORDER_CLOSED),
        PaymentCode.SYSTEM_ERROR: CodeBehaviour(None, ErrorCode.SYSTEM_ERROR),
        PaymentCode.SYSTEM_ERROR_ACTED: CodeBehaviour(OrderStatus.PAID, ErrorCode.SYSTEM_ERROR),
    }
)
"""Payment code to what happens."""
