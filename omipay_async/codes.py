"""The values of the protocol: enums with the documents' own names and values, and tables of what each status means.

The statuses are those of CN 3.8 and 3.11, EN 2.5 and 2.8. Whether one means "paid" or "failed" is decided only here.
"""

from __future__ import annotations

import enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class Platform(enum.StrEnum):
    """Who moves the money (CN 2.2(6), 3.5, 3.6)."""

    WECHATPAY = "WECHATPAY"
    ALIPAY = "ALIPAY"
    UPI = "UPI"
    """UnionPay International."""
    ALIPAYONLINE = "ALIPAYONLINE"
    POLI = "POLI"


class Currency(enum.StrEnum):
    """The currencies of orders (CN 2.2(2)). Exchange rates take any ISO 4217 code, as a plain string."""

    AUD = "AUD"
    CNY = "CNY"


class Language(enum.StrEnum):
    """The language of the interface (CN 2.2(7)), presumably of ``error_msg`` and pages; the default is CHS."""

    EN = "EN"
    CHS = "CHS"


class Region(enum.StrEnum):
    """The two nodes of the gateway. No document says so, but they are taken to serve one system.

    The documents show ``MakeAppletOrder`` on CN only, ``GetUserInfo`` on AU only, and everything else on both.
    """

    AU = "AU"
    CN = "CN"

    @property
    def base_url(self) -> str:
        """The address up to and including ``/omipay/api``."""
        return _BASE_URLS[self]


_BASE_URLS: Final[Mapping[Region, str]] = MappingProxyType(
    {
        Region.AU: "https://www.omipay.com.au/omipay/api",
        Region.CN: "https://www.omipay.com.cn/omipay/api",
    }
)


class OnlineType(enum.StrEnum):
    """``type`` of an online order (CN 3.5)."""

    WEB = "web"
    """For PC browsers."""
    WAP = "wap"
    """For mobile browsers."""


class Safety(enum.StrEnum):
    """Whether a call may be repeated."""

    READ = "READ"
    """It may be repeated."""
    MONEY = "MONEY"
    """It creates an order or moves money: never repeated unless the gateway certainly never acted on it."""


class Phase(enum.StrEnum):
    """What a status means: whether to wait, or whether the payment or refund is done or has failed."""

    WAITING = "WAITING"
    DONE = "DONE"
    FAILED = "FAILED"


class OrderStatus(enum.StrEnum):
    """``result_code`` of QueryOrder (CN 3.8, EN 2.5)."""

    READY = "READY"
    """Created, not paid."""
    PAYING = "PAYING"
    """The customer is paying."""
    PAID = "PAID"
    """Paid. (EN's example writes PAYED.)"""
    SETTLED = "SETTLED"
    """Paid and settled by Omipay. (EN writes CLOSED.)"""
    CANCELLED = "CANCELLED"
    """Cancelled: it will not be paid."""
    FAILED = "FAILED"
    """The payment failed: it will not be paid."""

    @classmethod
    def _missing_(cls, value: object) -> OrderStatus | None:
        return _ORDER_STATUSES.get(value) if isinstance(value, str) else None

    @property
    def is_paid(self) -> bool:
        """Whether the customer's money has moved."""
        return ORDER_PHASES[self] is Phase.DONE

    @property
    def is_failed(self) -> bool:
        """Whether the order will never be paid."""
        return ORDER_PHASES[self] is Phase.FAILED

    @property
    def is_final(self) -> bool:
        """Whether the status can be acted on: paid, or failed."""
        return ORDER_PHASES[self] is not Phase.WAITING


class RefundStatus(enum.StrEnum):
    """``result_code`` of QueryRefund (CN 3.11, EN 2.8)."""

    Applied = "Applied"
    """The refund was requested."""
    MerchantConfirmed = "MerchantConfirmed"
    """The merchant's side has agreed, and the request was sent to the platform."""
    OrganizationConfirmed = "OrganizationConfirmed"
    """The platform (WeChat, Alipay) has confirmed the request."""
    OrganizationPayback = "OrganizationPayback"
    """The platform says that it has paid back; not final, ``success_time`` stays empty until Closed."""
    Closed = "Closed"
    """The money has arrived: refunded and reconciled."""
    MerchantRejected = "MerchantRejected"
    """The merchant's side has rejected it."""
    TimeoutClosed = "TimeoutClosed"
    """The time in which this order can be refunded is over."""
    OrganizationFailed = "OrganizationFailed"
    """The platform could not pay it out."""
    CustomerCancelled = "CustomerCancelled"
    """The customer has withdrawn the request."""

    @classmethod
    def _missing_(cls, value: object) -> RefundStatus | None:
        return _REFUND_STATUSES.get(value.casefold()) if isinstance(value, str) else None

    @property
    def is_refunded(self) -> bool:
        """Whether the money has arrived with the customer."""
        return REFUND_PHASES[self] is Phase.DONE

    @property
    def is_failed(self) -> bool:
        """Whether the refund will never be paid out."""
        return REFUND_PHASES[self] is Phase.FAILED

    @property
    def is_final(self) -> bool:
        """Whether the status can be acted on: refunded, or failed."""
        return REFUND_PHASES[self] is not Phase.WAITING


ORDER_PHASES: Final[Mapping[str, Phase]] = MappingProxyType(
    {
        OrderStatus.READY: Phase.WAITING,
        OrderStatus.PAYING: Phase.WAITING,
        OrderStatus.PAID: Phase.DONE,
        OrderStatus.SETTLED: Phase.DONE,
        OrderStatus.CANCELLED: Phase.FAILED,
        OrderStatus.FAILED: Phase.FAILED,
    }
)

REFUND_PHASES: Final[Mapping[str, Phase]] = MappingProxyType(
    {
        RefundStatus.Applied: Phase.WAITING,
        RefundStatus.MerchantConfirmed: Phase.WAITING,
        RefundStatus.OrganizationConfirmed: Phase.WAITING,
        RefundStatus.OrganizationPayback: Phase.WAITING,
        RefundStatus.Closed: Phase.DONE,
        RefundStatus.MerchantRejected: Phase.FAILED,
        RefundStatus.TimeoutClosed: Phase.FAILED,
        RefundStatus.OrganizationFailed: Phase.FAILED,
        RefundStatus.CustomerCancelled: Phase.FAILED,
    }
)


class ErrorCode(enum.StrEnum):
    """Every ``error_code`` that either document lists. Any other code of the gateway stays a string."""

    PARAMETER_INVALID = "PARAMETER_INVALID"
    """A parameter is missing or wrong. Correct the program; nothing was done."""
    SIGN_TIMEOUT = "SIGN_TIMEOUT"
    """The timestamp is five minutes or more from the gateway's clock. (The examples write SIGN_TIMEOUOT.)"""
    SIGN_ERROR = "SIGN_ERROR"
    """The signature is wrong: compare ``secret_key`` with the one in the merchant portal."""
    SYSTEM_ERROR = "SYSTEM_ERROR"
    """The gateway failed. Of a money call nobody knows the outcome (``OutcomeUnknown``); a read may be repeated."""
    MERCHANTNO_INVALID = "MERCHANTNO_INVALID"
    """The merchant number is wrong. Give it as a string, with its leading zeros."""
    MERCHANTNO_DISABLE = "MERCHANTNO_DISABLE"
    """Omipay has disabled the merchant: ask Omipay."""
    BRANCH_INVALID = "BRANCH_INVALID"
    """There is no such store: compare ``o_number``."""
    CURRENCY_ERROR = "CURRENCY_ERROR"
    """The currency is wrong, or there is no rate for this pair."""
    AMOUNT_INVALID = "AMOUNT_INVALID"
    """The amount is higher or lower than the platform allows."""
    WEBSTORE_NOT_EXISTS = "WEBSTORE_NOT_EXISTS"
    """The merchant has no web store: have Omipay register one."""
    WECHAT_STORE_NOT_EXISTS = "WECHAT_STORE_NOT_EXISTS"
    """The merchant has no WeChat store: have Omipay register one."""
    POS_NOT_REGISTERED = "POS_NOT_REGISTERED"
    """The till is not registered: have Omipay register ``pos_no``."""
    USERPAYING = "USERPAYING"
    """The customer is typing a password: the scan order is PAYING. This is not an error."""
    ORDER_PAID = "ORDER_PAID"
    """An order with this ``out_order_no`` is paid already. It says nothing about this charge: do not charge again."""
    ORDER_CLOSED = "ORDER_CLOSED"
    """An order with this ``out_order_no`` is closed already. It says nothing about this charge: do not charge again."""
    NOT_ENOUGH = "NOT_ENOUGH"
    """The customer has not enough money: ask for another card or code."""
    CARD_NOT_SUPPORT = "CARD_NOT_SUPPORT"
    """The customer's card is not accepted: ask for another card."""
    QRCODE_EXPIRED = "QRCODE_EXPIRED"
    """The payment code is too old: ask the customer to refresh it, and scan again."""
    QRCODE_ERROR = "QRCODE_ERROR"
    """What was scanned is not a payment code."""
    PERMISSION_ERROR = "PERMISSION_ERROR"
    """The order or refund is another merchant's, or does not exist."""
    ORDER_NO_ERROR = "ORDER_NO_ERROR"
    """There is no such order."""
    REFUND_NO_ERROR = "REFUND_NO_ERROR"
    """There is no such refund."""
    ORDER_NOT_PAID = "ORDER_NOT_PAID"
    """The order is not paid, so nothing of it can be refunded."""
    AMOUNT_OVER_LIMIT = "AMOUNT_OVER_LIMIT"
    """The refunds of this order together would be more than was paid."""

    @classmethod
    def _missing_(cls, value: object) -> ErrorCode | None:
        return _ERROR_CODES.get(value) if isinstance(value, str) else None


def order_status(word: str) -> OrderStatus | str:
    """The member for a status as received; a word that no document lists is returned unchanged."""
    return _ORDER_STATUSES.get(word, word)


def refund_status(word: str) -> RefundStatus | str:
    """As :func:`order_status`, without regard to case: the refund examples write CLOSED for Closed."""
    return _REFUND_STATUSES.get(word.casefold(), word)


def error_code(word: str) -> ErrorCode | str:
    """The member for an error code as received; a code that no document lists is returned unchanged."""
    return _ERROR_CODES.get(word, word)


# With the documents' variants, each read as one member (PROTOCOL 3 and 4), also by `OrderStatus("PAYED")` and its like.
# `.raw` keeps the word received.
_ORDER_STATUSES: Final[dict[str, OrderStatus]] = {
    **OrderStatus.__members__,
    "PAYED": OrderStatus.PAID,
    "CLOSED": OrderStatus.SETTLED,
}
_REFUND_STATUSES: Final[dict[str, RefundStatus]] = {member.casefold(): member for member in RefundStatus}
_ERROR_CODES: Final[dict[str, ErrorCode]] = {**ErrorCode.__members__, "SIGN_TIMEOUOT": ErrorCode.SIGN_TIMEOUT}
