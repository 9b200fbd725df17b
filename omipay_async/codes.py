"""The values of the protocol: enums named and valued as the documents name them, and what each status means.

Statuses are tables (CN 3.8 and 3.11, EN 2.5 and 2.8): whoever asks "is it paid?" reads them here.
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
    """The language of ``error_msg`` and of pages (CN 2.2(7)); the gateway's default is CHS."""

    EN = "EN"
    CHS = "CHS"


class Region(enum.StrEnum):
    """The two nodes of the gateway, which serve one system."""

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
    """What repeating a call would do."""

    READ = "READ"
    """It may be repeated."""
    MONEY = "MONEY"
    """It creates an order or moves money: never repeated unless the gateway certainly never acted on it."""


class Phase(enum.StrEnum):
    """What a status comes down to: one row of PROTOCOL's status tables."""

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
    FAILED = "FAILED"

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
    MerchantConfirmed = "MerchantConfirmed"
    OrganizationConfirmed = "OrganizationConfirmed"
    OrganizationPayback = "OrganizationPayback"
    """The platform says that it has paid back; not final, ``success_time`` stays empty until Closed."""
    Closed = "Closed"
    """Refunded and reconciled."""
    MerchantRejected = "MerchantRejected"
    TimeoutClosed = "TimeoutClosed"
    OrganizationFailed = "OrganizationFailed"
    CustomerCancelled = "CustomerCancelled"

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
    """Every ``error_code`` that either document lists. What the gateway says beyond them stays a string."""

    PARAMETER_INVALID = "PARAMETER_INVALID"
    SIGN_TIMEOUT = "SIGN_TIMEOUT"
    """The timestamp is five minutes or more from the gateway's clock. (The examples write SIGN_TIMEOUOT.)"""
    SIGN_ERROR = "SIGN_ERROR"
    SYSTEM_ERROR = "SYSTEM_ERROR"
    MERCHANTNO_INVALID = "MERCHANTNO_INVALID"
    MERCHANTNO_DISABLE = "MERCHANTNO_DISABLE"
    BRANCH_INVALID = "BRANCH_INVALID"
    CURRENCY_ERROR = "CURRENCY_ERROR"
    AMOUNT_INVALID = "AMOUNT_INVALID"
    WEBSTORE_NOT_EXISTS = "WEBSTORE_NOT_EXISTS"
    WECHAT_STORE_NOT_EXISTS = "WECHAT_STORE_NOT_EXISTS"
    POS_NOT_REGISTERED = "POS_NOT_REGISTERED"
    USERPAYING = "USERPAYING"
    """The customer is typing a password: a scan order in PAYING, no error."""
    ORDER_PAID = "ORDER_PAID"
    ORDER_CLOSED = "ORDER_CLOSED"
    NOT_ENOUGH = "NOT_ENOUGH"
    CARD_NOT_SUPPORT = "CARD_NOT_SUPPORT"
    QRCODE_EXPIRED = "QRCODE_EXPIRED"
    QRCODE_ERROR = "QRCODE_ERROR"
    PERMISSION_ERROR = "PERMISSION_ERROR"
    ORDER_NO_ERROR = "ORDER_NO_ERROR"
    REFUND_NO_ERROR = "REFUND_NO_ERROR"
    ORDER_NOT_PAID = "ORDER_NOT_PAID"
    AMOUNT_OVER_LIMIT = "AMOUNT_OVER_LIMIT"


# The documents' variants, each read as one member (PROTOCOL 3 and 4). `.raw` keeps the word received.
ORDER_STATUS_VARIANTS: Final[Mapping[str, OrderStatus]] = MappingProxyType(
    {"PAYED": OrderStatus.PAID, "CLOSED": OrderStatus.SETTLED}
)
ERROR_CODE_VARIANTS: Final[Mapping[str, ErrorCode]] = MappingProxyType({"SIGN_TIMEOUOT": ErrorCode.SIGN_TIMEOUT})


def order_status(word: str) -> OrderStatus | str:
    """The member for a status as received; a word that no document lists stays the string it is."""
    return _ORDER_STATUSES.get(word, word)


def refund_status(word: str) -> RefundStatus | str:
    """As :func:`order_status`, without regard to case: the refund examples write CLOSED for Closed."""
    return _REFUND_STATUSES.get(word.casefold(), word)


def error_code(word: str) -> ErrorCode | str:
    """The member for an error code as received; a code that no document lists stays the string it is."""
    return _ERROR_CODES.get(word, word)


_ORDER_STATUSES: Final[dict[str, OrderStatus]] = {**OrderStatus.__members__, **ORDER_STATUS_VARIANTS}
_REFUND_STATUSES: Final[dict[str, RefundStatus]] = {member.casefold(): member for member in RefundStatus}
_ERROR_CODES: Final[dict[str, ErrorCode]] = {**ErrorCode.__members__, **ERROR_CODE_VARIANTS}
