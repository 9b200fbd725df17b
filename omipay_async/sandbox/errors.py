"""The FAIL replies, and their ``error_msg`` in the language of the call (CN 2.2(7))."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from omipay_async.codes import ErrorCode, Language
from omipay_async.language import Description, translated

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
        text = MESSAGES[self.code].in_language(language)
        if not self.detail:
            return text
        in_chinese = (detail_language or language) == Language.CHS
        return f"{text}：{translated(self.detail, REMARKS)}" if in_chinese else f"{text}: {self.detail}"


def invalid(detail: Sentence) -> ErrorReply:
    """The reply to a request in which a parameter is missing or wrong, as ``detail`` says."""
    return ErrorReply(ErrorCode.PARAMETER_INVALID, detail)


MESSAGES: Final[Mapping[ErrorCode, Description]] = MappingProxyType(
    {
        ErrorCode.PARAMETER_INVALID: Description("A parameter is missing or invalid", "参数不正确"),
        ErrorCode.SIGN_TIMEOUT: Description("The timestamp is out of date", "时间戳超时"),
        ErrorCode.SIGN_ERROR: Description("The signature is wrong", "签名验证失败"),
        ErrorCode.SYSTEM_ERROR: Description("System error", "服务器错误"),
        ErrorCode.MERCHANTNO_INVALID: Description("The merchant number is wrong", "商户编号错误"),
        ErrorCode.MERCHANTNO_DISABLE: Description("The merchant is disabled", "商家被禁用"),
        ErrorCode.BRANCH_INVALID: Description("There is no such store", "门店不存在"),
        ErrorCode.CURRENCY_ERROR: Description("The currency is wrong", "货币类型错误"),
        ErrorCode.AMOUNT_INVALID: Description("The amount is invalid", "金额不正确"),
        ErrorCode.WEBSTORE_NOT_EXISTS: Description("The merchant has no web store", "该商户没有注册网店"),
        ErrorCode.WECHAT_STORE_NOT_EXISTS: Description("The merchant has no WeChat store", "该商户没有注册微店"),
        ErrorCode.POS_NOT_REGISTERED: Description("The POS device is not registered", "商户POS端未注册"),
        ErrorCode.USERPAYING: Description("The customer is paying", "用户正在支付"),
        ErrorCode.ORDER_PAID: Description("The order is already paid", "订单已支付过"),
        ErrorCode.ORDER_CLOSED: Description("The order is closed", "订单已关闭"),
        ErrorCode.NOT_ENOUGH: Description("The customer's balance is not enough", "用户余额不足"),
        ErrorCode.CARD_NOT_SUPPORT: Description("The card type is not supported", "不支持卡类型"),
        ErrorCode.QRCODE_EXPIRED: Description("The payment code is expired", "二维码已超时"),
        ErrorCode.QRCODE_ERROR: Description("The payment code is wrong", "二维码错误"),
        ErrorCode.PERMISSION_ERROR: Description("Permission denied", "权限错误"),
        ErrorCode.ORDER_NO_ERROR: Description("The order number is wrong", "订单编号错误"),
        ErrorCode.REFUND_NO_ERROR: Description("The refund number is wrong", "退款单号错误"),
        ErrorCode.ORDER_NOT_PAID: Description("The order is not paid", "订单未支付"),
        ErrorCode.AMOUNT_OVER_LIMIT: Description("The amount is above what is left to refund", "金额超过退款上限"),
    }
)
