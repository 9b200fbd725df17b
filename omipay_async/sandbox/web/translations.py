"""What the sandbox's pages translate, in English and Chinese. No logic: English sentence to Chinese sentence."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from omipay_async.codes import Language

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Translate = Callable[[str], str]


def translator(language: str) -> Translate:
    """A function that translates an English sentence to ``language``."""
    return str if language == Language.EN else CHINESE.__getitem__


CHINESE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "; ": "；",
        "Omipay sandbox": "Omipay 沙箱",
        "No real money moves here. Times are those of Sydney.": "此处不涉及真实资金，时间均为悉尼时间。",
        "Omipay sandbox: no real money moves here.": "Omipay 沙箱：此处不涉及真实资金。",
        "Pay": "支付",
        "Decline": "拒绝支付",
        "Scan": "扫码",
        "Cancel": "取消",
        "Settle": "结算",
        "Scan to pay": "扫码支付",
        "You pay": "支付金额",
        "Order": "订单编号",
        "Shop order": "外部订单编号",
        "This order is paid.": "订单已支付。",
        "This order was not paid.": "订单未支付成功。",
        "This page cannot be shown": "无法显示该页面",
        "There is no such order.": "订单不存在。",
        "Orders": "订单",
        "Refunds": "退款",
        "Calls": "接口调用",
        "Notifications": "支付通知",
        "Payment codes": "付款码",
        "Faults": "故障",
        "None yet.": "暂无。",
        "None found.": "没有符合条件的记录。",
        "None on this page.": "本页没有记录。",
        "Goods": "商品",
        "Amount": "金额",
        "Status": "状态",
        "Next": "操作",
        "Time": "时间",
        "Endpoint": "接口",
        "Answer": "结果",
        "Remarks": "说明",
        "Refund": "退款单号",
        "Notify URL": "通知地址",
        "Try": "次数",
        "Try {}": "第 {} 次",
        "{}: {}": "{}：{}",
        "{}: applied {}": "{}：已生效 {}",
        "Merchant": "商户",
        "Gateway": "网关地址",
        "Let the next call fail": "让下一次调用出错",
        "Any endpoint": "所有接口",
        "Add": "添加",
        "Clear all": "全部清除",
        "paid": "支付总额",
        "refunded": "退款总额",
        "Fault": "故障",
        "Faults that are set": "已设置的故障",
        "What each fault does": "各种故障的作用",
        "What each code does": "各付款码的作用",
        "Copied": "已复制",
        "Nothing has happened yet. Let your program use the gateway's address above: its calls appear here.": (
            "尚无任何调用。请让您的程序使用上方的网关地址，它的调用会显示在这里。"
        ),
        "What it does": "作用",
        "Search": "搜索",
        "Newer": "较新",
        "Older": "较早",
        "Pages": "分页",
        "Language": "语言",
        "Parameters": "请求参数",
        "Reply": "返回结果",
        "As Python": "Python 代码",
        "Copy": "复制",
        "Made": "创建时间",
        "Paid": "支付时间",
        "Pay page": "支付页面",
        "Overview": "总览",
        "Parts of this page": "本页内容",
        "Sent by a button": "手动发送",
        "What was sent": "通知内容",
        "What your program answered": "商户程序的返回内容",
        "No notify_url: no notification is sent.": "未设置 notify_url，支付后不会发送通知。",
        "Orders without notify_url, so no notification is sent": ("未设置 notify_url、支付后不会发送通知的订单数"),
        "There is no such order or call.": "订单或调用不存在。",
        "Send a forged one": "发送伪造通知",
        "Send it again": "重复发送",
        "Send it again in 10 s": "10 秒后重复发送",
    }
)
