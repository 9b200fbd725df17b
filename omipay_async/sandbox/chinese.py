"""What the sandbox says of a call or of a notification, in Simplified Chinese with the terms of CN. No logic."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

REMARKS: Final[Mapping[str, str]] = MappingProxyType(
    {
        # The form of a request
        "{} is missing": "缺少 {}",
        "{} comes twice, with different values": "{} 出现两次，且值不同",
        "the query string is not UTF-8": "QueryString 不是 UTF-8 编码",
        "unknown parameter {}": "该接口没有参数 {}",
        "{} holds a control character": "{} 含有控制字符",
        "{} is not one of {}": "{} 必须是以下值之一：{}",
        "{} is not a whole number of minor units of at least 1": "{} 必须是不小于 1 的整数（最小货币单位）",
        "{} is not 1": "{} 的值只能是 1",
        "{} is not an ISO 4217 code": "{} 不是 ISO 4217 货币代码",
        "{} is neither AUD nor CNY": "{} 必须是 AUD 或 CNY",
        "amount is below {}, the least for this platform": "amount 低于该支付平台的最小值 {}",
        "language is neither {} nor {}": "language 必须是 {} 或 {}",
        # The signature
        "timestamp is not a whole number of milliseconds": "timestamp 不是整数毫秒",
        "nonce_str is not 10 to 32 characters of a-z, A-Z, 0-9": "nonce_str 必须是 10-32 位的 a-z、A-Z、0-9 字符",
        "timestamp is in seconds, not in milliseconds": "timestamp 的单位是秒，应为毫秒",
        "timestamp is {:.1f} s ahead of the gateway's clock": "timestamp 比网关时钟快 {:.1f} 秒",
        "timestamp is {:.1f} s behind the gateway's clock": "timestamp 比网关时钟慢 {:.1f} 秒",
        "there is no such m_number": "没有该 m_number",
        "m_number differs from a known one by its leading zeros or by white space": (
            "m_number 与已有的商户编号只差开头的零或空白字符"
        ),
        "this merchant is disabled": "该商户已被禁用",
        "sign is not 32 hexadecimal digits": "sign 不是 32 位十六进制数",
        "sign must be in upper case": "sign 必须为大写",
        "the key differs, or m_number, timestamp or nonce_str is not the one that was signed": (
            "密钥不同，或 m_number、timestamp、nonce_str 与签名时使用的值不一致"
        ),
        "m_number: it was signed without its leading zeros": "m_number：签名时缺少开头的零",
        "timestamp: it was signed in seconds": "timestamp：签名时使用了秒",
        "nonce_str: it was signed in lower case": "nonce_str：签名时使用了小写",
        "nonce_str: it was signed in upper case": "nonce_str：签名时使用了大写",
        "key: it was signed with an empty one": "密钥：签名时密钥为空",
        "key: it was signed in upper case": "密钥：签名时密钥变成了大写",
        "key: it was signed in lower case": "密钥：签名时密钥变成了小写",
        "key: it was signed with white space after it": "密钥：签名时密钥末尾有空白字符",
        "key: it was signed with that of {}": "密钥：签名时使用了商户 {} 的密钥",
        "form: the parts were joined without &": "格式：拼接时缺少 &",
        "form: nonce_str came before timestamp": "格式：nonce_str 拼接在 timestamp 之前",
        "form: the parts were written with their names": "格式：拼接时带上了字段名",
        # What an endpoint says
        "there is no rate for this pair": "无法获取这两种货币之间的汇率",
        "the merchant has no web store": "该商户没有网店",
        "the merchant has no WeChat store": "该商户没有微店",
        "there is no store {}": "没有编号为 {} 的门店",
        "there is no till {}": "没有编号为 {} 的 POS 机",
        "app_id is missing, which WECHATPAY needs": "缺少 app_id：WECHATPAY 必须有该参数",
        "out_order_no was used before, by {}": "out_order_no 已被订单 {} 使用",
        "amount comes to {} in minor units, outside the platform's limits": (
            "amount 折合 {}（最小货币单位），超出支付平台的单笔交易限额"
        ),
        "there is no such order": "订单不存在",
        "there is no such order: this is the out_order_no of {}": "订单不存在：这是订单 {} 的 out_order_no",
        "the order is another merchant's": "该订单属于其他商户",
        "the order is {}": "订单状态为 {}",
        "{} is left to refund": "可退余额为 {}",
        "amount comes to less than A$0.01": "amount 折合不足 A$0.01",
        "there is no such refund": "退款单不存在",
        "the refund is another merchant's": "该退款单属于其他商户",
        "redirect_uri does not lie under the URL of the merchant's WESTORE": "redirect_uri 不在该商户微店的 URL 之下",
        "redirect_url is missing": "缺少 redirect_url",
        "asked for by a fault; nothing was done": "由已设置的故障引起；未执行操作",
        # What became of a notification
        "lost on its way, by a fault": "由已设置的故障丢失",
        "no answer within {:g} s": "{:g} 秒内没有返回结果",
        "the answer is not JSON": "返回内容不是 JSON",
        "return_code is not SUCCESS": "return_code 不是 SUCCESS",
        "SUCCESS, but without a Content-Type: application/json is wanted": (
            "SUCCESS，但没有 Content-Type：应为 application/json"
        ),
        "SUCCESS, but as {}: application/json is wanted": "SUCCESS，但 Content-Type 是 {}：应为 application/json",
    }
)
"""Each remark's English template, and its Chinese."""
