"""The endpoints as data (PROTOCOL 2): name, path, safety, parameters, reply and error codes.

The client checks what it sends by this table, and the sandbox what it receives. A new endpoint is a new row here, a
method in ``api`` with the model of its reply, and a handler in the sandbox.
"""

from __future__ import annotations

import enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import attrs

from omipay_async import models, new_orders
from omipay_async.codes import REFUND_PHASES, ErrorCode, OnlineType, Phase, Platform, Safety

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

LARGEST_INT: Final = 2**63 - 1
"""The largest amount, or other int, that may be sent."""
LONGEST_TEXT: Final = 4096
"""In characters: the longest text that may be sent as one parameter."""


class Kind(enum.Enum):
    """What a parameter's value must be."""

    TEXT = enum.auto()
    """A name or a number: not empty, without control characters; leading zeros are kept."""
    AMOUNT = enum.auto()
    """A whole number of the currency's minor unit, at least 1."""
    CURRENCY = enum.auto()
    """Three capital letters (ISO 4217)."""
    URL = enum.auto()
    """An absolute http or https URL."""
    FLAG = enum.auto()
    """Sent as 1, or left out."""


@attrs.frozen(repr=False)
class Parameter:
    """One parameter of an endpoint, named as on the wire."""

    name: str
    kind: Kind = Kind.TEXT
    required: bool = True
    choices: tuple[str, ...] = ()
    """The values that the documents allow. Empty: any value is allowed."""
    secret: bool = False
    """Whether the value stays out of logs, excerpts and reprs."""


@attrs.frozen(repr=False)
class Endpoint(Generic[T]):
    """One endpoint of the gateway, and when its replies may be believed."""

    name: str
    safety: Safety
    parameters: tuple[Parameter, ...]
    reply: type[T]
    """The model that a success is converted to; ``dict`` leaves the reply as it is."""
    essential: frozenset[str] = frozenset()
    """The fields of ``reply`` that must be readable. Any other that is not becomes None, and stays in ``.raw``."""
    echoes: tuple[str, ...] = ()
    """The numbers that a reply must repeat as they were sent, if it contains them: else it answers another call."""
    as_sent: tuple[str, ...] = ()
    """The fields of ``reply`` that contain what was sent, whatever the reply contains."""
    contradictions: frozenset[str] = frozenset()
    """The values of ``result_code``, in lower case, that contradict SUCCESS."""
    foreign_number: str | None = None
    """The merchant's number of the other kind: ``out_refund_no`` where the reply is about an order, ``out_order_no``
    where it is about a refund. A reply that contains it, and none of ``own_numbers``, answers another call."""
    own_numbers: tuple[str, ...] = ()
    """The numbers that show that a reply is of the right kind."""
    error_codes: frozenset[ErrorCode] = frozenset()
    """The codes that it may answer with, in addition to COMMON_ERROR_CODES."""
    path: str = attrs.field()
    """Below ``/omipay/api``."""
    takes_language: bool = True
    needs_return_code: bool = True
    """Whether a reply without ``return_code`` is unusable."""
    ambiguous_codes: frozenset[ErrorCode] = frozenset()
    """Codes after which money may have moved: they are about an earlier order, or about another kind of call."""
    unlisted_is_ambiguous: bool = False
    """Whether money may have moved after a code that no document lists."""
    minimum_amounts: Mapping[str, int] = attrs.field(factory=lambda: MappingProxyType({}))
    """The smallest amount of the platforms where it is more than 1."""

    @path.default
    def _v2_path(self) -> str:
        return f"/v2/{self.name}"

    @property
    def method(self) -> str:
        """GET for reads; POST for money calls, which no proxy, pool or HTTP library repeats by itself."""
        return "GET" if self.safety is Safety.READ else "POST"


COMMON_ERROR_CODES: Final = frozenset(
    {
        ErrorCode.PARAMETER_INVALID,
        ErrorCode.SIGN_TIMEOUT,
        ErrorCode.MERCHANTNO_INVALID,
        ErrorCode.SIGN_ERROR,
        ErrorCode.SYSTEM_ERROR,
        ErrorCode.MERCHANTNO_DISABLE,
        ErrorCode.BRANCH_INVALID,
    }
)

_ORDER: Final = (
    Parameter("order_name"),
    Parameter("currency", Kind.CURRENCY),
    Parameter("amount", Kind.AMOUNT),
    Parameter("out_order_no"),
)
# CN's tables do not mark notify_url as optional, but CN 3.9 says "if notify_url was given".
_NOTIFY_URL: Final = Parameter("notify_url", Kind.URL, required=False)
_O_NUMBER: Final = Parameter("o_number", required=False)


def _platforms(*platforms: Platform, required: bool = True) -> Parameter:
    return Parameter("platform", required=required, choices=platforms)


# What the reply of every order is checked for. SUCCESS means that the order was made, so READY and PAYING fit it.
_FAILED_WORDS: Final = frozenset({"fail", "failed", "cancelled"})
_ORDER_RULES: Final[dict[str, Any]] = {
    "essential": frozenset({"order_no"}),
    "echoes": ("out_order_no",),
    "as_sent": ("out_order_no", "currency", "amount"),
    "foreign_number": "out_refund_no",
    "own_numbers": ("out_order_no",),  # without order_no, which the reply to a refund may have too
    "contradictions": _FAILED_WORDS,
}

# CN 3.5: "must be more than 1", read as minor units; assumed for MakeAPPOrder too (PROTOCOL 2).
_POLI_MINIMUM: Final[Mapping[str, int]] = MappingProxyType({Platform.POLI: 2})

GET_EXCHANGE_RATE: Final = Endpoint(
    "GetExchangeRate",
    Safety.READ,
    (
        Parameter("currency", Kind.CURRENCY),
        Parameter("base_currency", Kind.CURRENCY),
        _platforms(*Platform, required=False),
    ),
    reply=models.ExchangeRate,
    essential=frozenset({"rate", "platform"}),
    error_codes=frozenset({ErrorCode.CURRENCY_ERROR}),
)
MAKE_QR_ORDER: Final = Endpoint(
    "MakeQROrder",
    Safety.MONEY,
    (*_ORDER, _platforms(Platform.WECHATPAY, Platform.ALIPAY, Platform.UPI), _NOTIFY_URL, _O_NUMBER),
    reply=new_orders.QROrder,
    **_ORDER_RULES,
    error_codes=frozenset({ErrorCode.WEBSTORE_NOT_EXISTS, ErrorCode.AMOUNT_INVALID}),
)
MAKE_JSAPI_ORDER: Final = Endpoint(
    "MakeJSAPIOrder",
    Safety.MONEY,
    (
        *_ORDER,
        Parameter("redirect_url", Kind.URL),
        _NOTIFY_URL,
        Parameter("direct_pay", Kind.FLAG, required=False),
        Parameter("show_pc_pay_url", Kind.FLAG, required=False),
        _O_NUMBER,
        Parameter("pos_no", required=False),
    ),
    reply=new_orders.JSAPIOrder,
    **_ORDER_RULES,
    error_codes=frozenset({ErrorCode.WECHAT_STORE_NOT_EXISTS, ErrorCode.AMOUNT_INVALID}),
)
MAKE_SCAN_ORDER: Final = Endpoint(
    "MakeScanOrder",
    Safety.MONEY,
    (*_ORDER, Parameter("qrcode", secret=True), Parameter("pos_no"), _NOTIFY_URL),
    reply=models.ScanOrder,
    # SUCCESS means paid (CN 3.4), so READY contradicts it. PAYING is accepted, and read as PAYING.
    **(_ORDER_RULES | {"contradictions": _FAILED_WORDS | {"ready"}}),
    error_codes=frozenset(
        {
            ErrorCode.USERPAYING,
            ErrorCode.ORDER_PAID,
            ErrorCode.POS_NOT_REGISTERED,
            ErrorCode.NOT_ENOUGH,
            ErrorCode.CARD_NOT_SUPPORT,
            ErrorCode.ORDER_CLOSED,
            ErrorCode.QRCODE_EXPIRED,
            ErrorCode.QRCODE_ERROR,
            ErrorCode.AMOUNT_INVALID,
        }
    ),
    ambiguous_codes=frozenset({ErrorCode.ORDER_PAID, ErrorCode.ORDER_CLOSED}),
    unlisted_is_ambiguous=True,
)
MAKE_ONLINE_ORDER: Final = Endpoint(
    "MakeOnlineOrder",
    Safety.MONEY,
    (
        *_ORDER,
        Parameter("type", choices=tuple(OnlineType)),
        _platforms(Platform.ALIPAYONLINE, Platform.POLI, required=False),
        Parameter("return_url", Kind.URL, required=False),
        _NOTIFY_URL,
        _O_NUMBER,
    ),
    reply=new_orders.OnlineOrder,
    **_ORDER_RULES,
    minimum_amounts=_POLI_MINIMUM,
)
MAKE_APP_ORDER: Final = Endpoint(
    "MakeAPPOrder",
    Safety.MONEY,
    (
        *_ORDER,
        _platforms(Platform.ALIPAYONLINE, Platform.WECHATPAY, Platform.POLI),
        Parameter("app_id", required=False),
        _NOTIFY_URL,
        _O_NUMBER,
    ),
    reply=new_orders.AppOrder,
    **_ORDER_RULES,
    minimum_amounts=_POLI_MINIMUM,
)
MAKE_APPLET_ORDER: Final = Endpoint(
    "MakeAppletOrder",
    Safety.MONEY,
    (
        *_ORDER,
        _platforms(Platform.WECHATPAY),
        Parameter("app_id"),
        Parameter("customer_id", secret=True),
        _NOTIFY_URL,
        _O_NUMBER,
    ),
    reply=new_orders.AppletOrder,
    **_ORDER_RULES,
)
QUERY_ORDER: Final = Endpoint(
    "QueryOrder",
    Safety.READ,
    (Parameter("order_no"),),
    reply=models.Order,
    # order_no is taken from the call: no document has it in the reply.
    essential=frozenset({"order_no", "status", "currency", "amount"}),
    echoes=("order_no",),
    as_sent=("order_no",),
    foreign_number="out_refund_no",
    own_numbers=("order_no", "out_order_no"),
    error_codes=frozenset({ErrorCode.PERMISSION_ERROR}),
)
REFUND: Final = Endpoint(
    "Refund",
    Safety.MONEY,
    (Parameter("order_no"), Parameter("out_refund_no"), Parameter("amount", Kind.AMOUNT)),
    reply=models.RefundReceipt,
    essential=frozenset({"refund_no"}),
    echoes=("order_no", "out_refund_no"),
    as_sent=("order_no", "out_refund_no"),
    foreign_number="out_order_no",
    own_numbers=("order_no", "out_refund_no", "refund_no"),
    contradictions=_FAILED_WORDS
    | {status.casefold() for status, phase in REFUND_PHASES.items() if phase is Phase.FAILED},
    error_codes=frozenset(
        {
            ErrorCode.PERMISSION_ERROR,
            ErrorCode.ORDER_NO_ERROR,
            ErrorCode.ORDER_NOT_PAID,
            ErrorCode.AMOUNT_OVER_LIMIT,
        }
    ),
    ambiguous_codes=frozenset({ErrorCode.USERPAYING}),  # a code about payments, which means nothing for a refund
    unlisted_is_ambiguous=True,
)
QUERY_REFUND: Final = Endpoint(
    "QueryRefund",
    Safety.READ,
    (Parameter("refund_no"),),
    reply=models.Refund,
    essential=frozenset({"refund_no", "status"}),
    echoes=("refund_no",),
    as_sent=("refund_no",),
    foreign_number="out_order_no",
    own_numbers=("out_refund_no", "refund_no"),
    error_codes=frozenset({ErrorCode.PERMISSION_ERROR, ErrorCode.REFUND_NO_ERROR}),
)
# EN 2.9. The address line's path, not the example's /v1/GetUserInfo; no language in either document.
GET_USER_INFO: Final = Endpoint(
    "GetUserInfo",
    Safety.READ,
    (Parameter("redirect_uri", Kind.URL),),
    reply=models.WeChatUser,
    essential=frozenset({"openid", "nickname", "headimgurl"}),
    path="/auth/GetUserInfo",
    takes_language=False,
    needs_return_code=False,  # no document lists it on success
)

ENDPOINTS: Final[Mapping[str, Endpoint[Any]]] = MappingProxyType(
    {
        endpoint.name: endpoint
        for endpoint in (
            GET_EXCHANGE_RATE,
            MAKE_QR_ORDER,
            MAKE_JSAPI_ORDER,
            MAKE_SCAN_ORDER,
            MAKE_ONLINE_ORDER,
            MAKE_APP_ORDER,
            MAKE_APPLET_ORDER,
            QUERY_ORDER,
            REFUND,
            QUERY_REFUND,
            GET_USER_INFO,
        )
    }
)

MISSPELT_NAMES: Final = frozenset({"MakeQRCode", "MakeQRCodeOrder"})
"""EN's misspellings of MakeQROrder (EN 2.2)."""
