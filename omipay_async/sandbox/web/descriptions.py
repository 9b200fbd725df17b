"""What each fault and each payment code does, in Chinese; the English is their own ``description``."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from omipay_async.sandbox.faults import Fault
from omipay_async.sandbox.payment_codes import PaymentCode

if TYPE_CHECKING:
    from collections.abc import Mapping


def describe(member: Fault | PaymentCode, language: str) -> str:
    """The sentence in ``language``: ``zh``, or English for any other."""
    return CHINESE[member] if language == "zh" else member.description


CHINESE: Final[Mapping[str, str]] = MappingProxyType(
    {
        Fault.DROP_REQUEST: "连接中断，没有返回结果；网关未执行操作。",
        Fault.DROP_REPLY: "连接中断，没有返回结果；网关已执行操作。",
        Fault.DELAY: "网关等待数秒后才执行操作。",
        Fault.DELAY_REPLY: "网关执行操作后，等待数秒才返回结果。",
        Fault.SYSTEM_ERROR: "返回 SYSTEM_ERROR；网关未执行操作。",
        Fault.SYSTEM_ERROR_ACTED: "返回 SYSTEM_ERROR，但网关已执行操作。",
        Fault.BAD_GATEWAY: "代理返回 502 页面；网关未执行操作。",
        Fault.BAD_GATEWAY_ACTED: "代理返回 502 页面，但网关已执行操作。",
        Fault.GARBAGE: "网关已执行操作，但返回内容不是 JSON。",
        Fault.CUT_OFF: "网关已执行操作，但返回内容只到达一半。",
        Fault.EMPTY: "网关已执行操作，但返回内容为空。",
        Fault.CONTRADICTION: "网关已执行操作，但返回内容自相矛盾：success 与 return_code 相反。",
        Fault.DUPLICATE_KEYS: "网关已执行操作，但 return_code 出现两次，分别为 SUCCESS 和 FAIL。",
        Fault.SWAPPED_REPLIES: "同一接口的两次调用收到彼此的返回结果；数秒内没有另一次调用时收到自己的结果。",
        Fault.SURPLUS_REPLY: "返回结果之后，同一连接上又收到一个多余的 SIGN_TIMEOUT；仅在沙箱监听端口时有效。",
        Fault.SKEWED_CLOCK: "网关时钟（包括 Date 头）在本次调用中快数秒。",
        Fault.NOTIFICATION_DROP: "一次通知丢失，计入三次之内。",
        Fault.NOTIFICATION_DUPLICATE: "同一通知原样发送两次。",
        Fault.NOTIFICATION_REORDER: "通知延迟数秒，晚于之后订单的通知。",
        Fault.NOTIFICATION_FORGE: "真实通知之前，先收到一个用其他密钥签名的通知。",
        Fault.NOTIFICATION_TAMPER: "真实通知之前，先收到一个签名正确但金额为十倍的通知：签名不包含通知内容。",
        PaymentCode.PAID: "SUCCESS：立即支付成功。",
        PaymentCode.PAID_AFTER_QUERIES: "USERPAYING；第二次 QueryOrder 时已支付。",
        PaymentCode.PAID_AFTER_SECONDS: "USERPAYING；10 秒后支付成功。",
        PaymentCode.DECLINED_AFTER_QUERIES: "USERPAYING；第二次 QueryOrder 时支付失败。",
        PaymentCode.DECLINED_AFTER_SECONDS: "USERPAYING；10 秒后支付失败。",
        PaymentCode.NEVER_PAYS: "USERPAYING，直到在此页面点击按钮或调用 sandbox.customer.pays()。",
        PaymentCode.NOT_ENOUGH: "FAIL：余额不足。",
        PaymentCode.CARD_NOT_SUPPORT: "FAIL：不支持该银行卡。",
        PaymentCode.QRCODE_EXPIRED: "FAIL：付款码已过期。",
        PaymentCode.QRCODE_ERROR: "FAIL：付款码错误。",
        PaymentCode.ORDER_PAID: "FAIL：提示该 out_order_no 的订单已支付。",
        PaymentCode.ORDER_CLOSED: "FAIL：提示该 out_order_no 的订单已关闭。",
        PaymentCode.SYSTEM_ERROR: "SYSTEM_ERROR；未扣款。",
        PaymentCode.SYSTEM_ERROR_ACTED: "SYSTEM_ERROR，但已扣款：返回内容不说明资金情况。",
    }
)
