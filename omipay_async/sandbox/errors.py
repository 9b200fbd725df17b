"""The FAIL replies, and their ``error_msg`` in the language of the call (CN 2.2(7))."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from omipay_async.codes import ErrorCode, Language
from omipay_async.language import translated

from .chinese import REMARKS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from omipay_async.language import Sentence


class ErrorReply(Exception):
    """The gateway answers FAIL with ``code``. ``detail`` is for developers, and ``fields`` are added to the reply."""

    def __init__(self, code: ErrorCode, detail: Sentence | None = None, **fields: Any) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
        self.fields = fields

    def explained(self, language: str, *, detail_language: str | None = None) -> str:
        """The ``error_msg`` in ``language`` and the detail, which is in ``detail_language`` if that is given."""
        text = message(self.code, language)
        if not self.detail:
            return text
        in_chinese = (detail_language or language) == Language.CHS
        return f"{text}：{translated(self.detail, REMARKS)}" if in_chinese else f"{text}: {self.detail}"


def invalid(detail: Sentence) -> ErrorReply:
    """The reply to a request of which a parameter is missing or wrong, as ``detail`` says."""
    return ErrorReply(ErrorCode.PARAMETER_INVALID, detail)


def message(code: ErrorCode, language: str) -> str:
    """``error_msg`` for a code; Chinese is the gateway's default."""
    chinese, english = MESSAGES[code]
    return english if language == Language.EN else chinese


MESSAGES: Final[Mapping[ErrorCode, tuple[str, str]]] = MappingProxyType(
    {
        ErrorCode.PARAMETER_INVALID: ("参数不正确", "A parameter is missing or invalid"),
        ErrorCode.SIGN_TIMEOUT: ("时间戳超时", "The timestamp is out of date"),
        ErrorCode.SIGN_ERROR: ("签名验证失败", "The signature is wrong"),
        ErrorCode.SYSTEM_ERROR: ("服务器错误", "System error"),
        ErrorCode.MERCHANTNO_INVALID: ("商户编号错误", "The merchant number is wrong"),
        ErrorCode.MERCHANTNO_DISABLE: ("商家被禁用", "The merchant is disabled"),
        ErrorCode.BRANCH_INVALID: ("门店不存在", "There is no such store"),
        ErrorCode.CURRENCY_ERROR: ("货币类型错误", "The currency is wrong"),
        ErrorCode.AMOUNT_INVALID: ("金额不正确", "The amount is invalid"),
        ErrorCode.WEBSTORE_NOT_EXISTS: ("该商户没有注册网店", "The merchant has no web store"),
        ErrorCode.WECHAT_STORE_NOT_EXISTS: ("该商户没有注册微店", "The merchant has no WeChat store"),
        ErrorCode.POS_NOT_REGISTERED: ("商户POS端未注册", "The POS device is not registered"),
        ErrorCode.USERPAYING: ("用户正在支付", "The customer is paying"),
        ErrorCode.ORDER_PAID: ("订单已支付过", "The order is already paid"),
        ErrorCode.ORDER_CLOSED: ("订单已关闭", "The order is closed"),
        ErrorCode.NOT_ENOUGH: ("用户余额不足", "The customer's balance is not enough"),
        ErrorCode.CARD_NOT_SUPPORT: ("不支持卡类型", "The card type is not supported"),
        ErrorCode.QRCODE_EXPIRED: ("二维码已超时", "The payment code is expired"),
        ErrorCode.QRCODE_ERROR: ("二维码错误", "The payment code is wrong"),
        ErrorCode.PERMISSION_ERROR: ("权限错误", "Permission denied"),
        ErrorCode.ORDER_NO_ERROR: ("订单编号错误", "The order number is wrong"),
        ErrorCode.REFUND_NO_ERROR: ("退款单号错误", "The refund number is wrong"),
        ErrorCode.ORDER_NOT_PAID: ("订单未支付", "The order is not paid"),
        ErrorCode.AMOUNT_OVER_LIMIT: ("金额超过退款上限", "The amount is above what is left to refund"),
    }
)
