"""Payment codes with a fixed meaning, like test cards: what a till "scans" in the sandbox (CN 3.4).

Every other code is paid at once, so that a real code in front of a real scanner works in a demonstration.
"""

from __future__ import annotations

import enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import attrs

from omipay_async.codes import ErrorCode, OrderStatus
from omipay_async.language import Description

if TYPE_CHECKING:
    from collections.abc import Mapping


class PaymentCode(enum.StrEnum):
    """The ``qrcode`` values of scan orders that have a special meaning. ``description`` says which."""

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
        """What the gateway does, in a sentence or two of English."""
        return PAYMENT_CODES[self].description.english


@attrs.frozen
class DelayedOutcome:
    """What a customer who is typing a password will do, and when: after so many queries, or so many seconds."""

    then: OrderStatus
    queries: int | None = None
    seconds: float | None = None


@attrs.frozen
class CodeBehaviour:
    """What the gateway does with a payment code."""

    description: Description
    status: OrderStatus | None = OrderStatus.PAID
    """The order's status when the call is answered; None: no order is made."""
    answer: ErrorCode | None = None
    """The ``error_code`` of the answer; None: SUCCESS."""
    delayed: DelayedOutcome | None = None


ANY_OTHER: Final = CodeBehaviour(Description("Any other code is paid at once.", "其他付款码均立即支付成功。"))

PAYMENT_CODES: Final[Mapping[str, CodeBehaviour]] = MappingProxyType(
    {
        PaymentCode.PAID: CodeBehaviour(Description("SUCCESS: the order is paid at once.", "SUCCESS：立即支付成功。")),
        PaymentCode.PAID_AFTER_QUERIES: CodeBehaviour(
            Description("USERPAYING. The second QueryOrder finds it paid.", "USERPAYING；第二次 QueryOrder 时已支付。"),
            OrderStatus.PAYING,
            ErrorCode.USERPAYING,
            DelayedOutcome(OrderStatus.PAID, queries=2),
        ),
        PaymentCode.PAID_AFTER_SECONDS: CodeBehaviour(
            Description("USERPAYING. It is paid 10 seconds later.", "USERPAYING；10 秒后支付成功。"),
            OrderStatus.PAYING,
            ErrorCode.USERPAYING,
            DelayedOutcome(OrderStatus.PAID, seconds=10.0),
        ),
        PaymentCode.DECLINED_AFTER_QUERIES: CodeBehaviour(
            Description(
                "USERPAYING. The second QueryOrder finds it failed.", "USERPAYING；第二次 QueryOrder 时支付失败。"
            ),
            OrderStatus.PAYING,
            ErrorCode.USERPAYING,
            DelayedOutcome(OrderStatus.FAILED, queries=2),
        ),
        PaymentCode.DECLINED_AFTER_SECONDS: CodeBehaviour(
            Description("USERPAYING. It fails 10 seconds later.", "USERPAYING；10 秒后支付失败。"),
            OrderStatus.PAYING,
            ErrorCode.USERPAYING,
            DelayedOutcome(OrderStatus.FAILED, seconds=10.0),
        ),
        PaymentCode.NEVER_PAYS: CodeBehaviour(
            Description(
                "USERPAYING until a button on the dashboard is pressed, or sandbox.customer.pays() is called.",
                "USERPAYING，直到在控制台页面点击按钮或调用 sandbox.customer.pays()。",
            ),
            OrderStatus.PAYING,
            ErrorCode.USERPAYING,
        ),
        # A declined code leaves a failed order, so its out_order_no cannot be used again. No document says that it can,
        # and a till that takes a new number works with either kind of gateway.
        PaymentCode.NOT_ENOUGH: CodeBehaviour(
            Description("FAIL: the balance is too small.", "FAIL：余额不足。"), OrderStatus.FAILED, ErrorCode.NOT_ENOUGH
        ),
        PaymentCode.CARD_NOT_SUPPORT: CodeBehaviour(
            Description("FAIL: the customer's card cannot be used.", "FAIL：不支持该银行卡。"),
            OrderStatus.FAILED,
            ErrorCode.CARD_NOT_SUPPORT,
        ),
        PaymentCode.QRCODE_EXPIRED: CodeBehaviour(
            Description("FAIL: the payment code is too old.", "FAIL：付款码已过期。"),
            OrderStatus.FAILED,
            ErrorCode.QRCODE_EXPIRED,
        ),
        PaymentCode.QRCODE_ERROR: CodeBehaviour(
            Description("FAIL: this is not a payment code.", "FAIL：付款码错误。"),
            OrderStatus.FAILED,
            ErrorCode.QRCODE_ERROR,
        ),
        # These two are about an order that exists already; the sandbox makes none.
        PaymentCode.ORDER_PAID: CodeBehaviour(
            Description(
                "FAIL. The gateway says that an order with this out_order_no has been paid already.",
                "FAIL：提示该 out_order_no 的订单已支付。",
            ),
            None,
            ErrorCode.ORDER_PAID,
        ),
        PaymentCode.ORDER_CLOSED: CodeBehaviour(
            Description(
                "FAIL. The gateway says that an order with this out_order_no has been closed already.",
                "FAIL：提示该 out_order_no 的订单已关闭。",
            ),
            None,
            ErrorCode.ORDER_CLOSED,
        ),
        PaymentCode.SYSTEM_ERROR: CodeBehaviour(
            Description("SYSTEM_ERROR. The customer was not charged.", "SYSTEM_ERROR；未扣款。"),
            None,
            ErrorCode.SYSTEM_ERROR,
        ),
        PaymentCode.SYSTEM_ERROR_ACTED: CodeBehaviour(
            Description(
                "SYSTEM_ERROR, although the customer was charged: the reply says nothing about the money.",
                "SYSTEM_ERROR，但已扣款：返回内容不说明资金情况。",
            ),
            OrderStatus.PAID,
            ErrorCode.SYSTEM_ERROR,
        ),
    }
)
"""Each payment code, and what the gateway does with it."""
