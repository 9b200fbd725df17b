"""What ``omipay demo`` says to people, in English and Chinese. English sentence to Chinese sentence; ``{}`` is a value.

Help texts and the messages of the library itself are in English only.
"""

from __future__ import annotations

import os
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from omipay_async.codes import Language

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Translate = Callable[..., str]


def translator(language: str | None = None) -> Translate:
    """A function that says an English sentence, with its values put in, in ``language``.

    None: what ``OMIPAY_LANGUAGE`` says, EN or CHS; English if it says nothing. A sentence without a translation is said
    in English.
    """
    spoken = os.environ.get("OMIPAY_LANGUAGE", "").strip() if language is None else language

    def translate(sentence: str, *values: Any) -> str:
        said = CHINESE.get(sentence, sentence) if spoken == Language.CHS else sentence
        return said.format(*values) if values else said

    return translate


CHINESE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "no time": "片刻",
        "{} days": "{} 天",
        "{} hours": "{} 小时",
        "{} minutes": "{} 分钟",
        "{} seconds": "{} 秒",
        "1 day": "1 天",
        "1 hour": "1 小时",
        "1 minute": "1 分钟",
        "1 second": "1 秒",
        "{} and {}": "{} {}",
        "A shop against the embedded sandbox: no network, and no real money. Its clock jumps over every wait.\n": (
            "商店连接内置沙箱：不联网，不涉及真实资金。演示时钟会跳过所有等待时间。\n"
        ),
        "... {} later ...": "…… {}后 ……",
        "handler: {} is paid, {}: goods are shipped": "处理函数：{} 已支付，{}：发货",
        "confirmed by QueryOrder, handler ran": "已通过 QueryOrder 确认，处理函数已执行",
        "handler had run before, not again": "处理函数此前已执行，不再重复执行",
        "notification: {}; answered {}": "支付通知：{}；应答 {}",
        "MakeQROrder: order {}, {}; its code is shown:": "MakeQROrder：订单 {}，{}；显示二维码：",
        "customer: scans the code": "顾客：扫描二维码",
        "customer: pays": "顾客：付款",
        "MakeScanOrder: USERPAYING, {}: the customer types a password": (
            "MakeScanOrder：USERPAYING，{}：顾客正在输入支付密码"
        ),
        "paid: {} as {}": "已支付：{}，顾客实付 {}",
        "Refund: {}, {} of it, accepted": "Refund：{}，部分退款 {}，已受理",
        "QueryOrder: {}": "QueryOrder：{}",
        "QueryRefund: {}": "QueryRefund：{}",
        ": the refund was requested": "：已申请退款",
        ": the shop's side agreed": "：商户已确认",
        ": WeChat confirmed the request": "：微信已确认申请",
        ": WeChat says that it has paid the money back": "：微信表示已退回款项",
        ": the money has arrived": "：款项已到账",
        "books: the next charge is written down before it is sent": "账本：下一笔收款在发送前先记录",
        "MakeScanOrder: the reply is lost ({}). Nobody knows whether the customer was charged": (
            "MakeScanOrder：返回结果丢失（{}）。无法确定顾客是否已被扣款"
        ),
        "crash: the till's program ends here, and starts again": "崩溃：收银程序在此退出，随后重新启动",
        "books: {} unresolved: {} {}, {}, {}. Do not scan again for this sale": (
            "账本：{} 笔结果未知：{} {}，{}，{}。请勿对本笔交易再次扫码"
        ),
        "books: {} unresolved: {} is known to be paid, and its goods were shipped once": (
            "账本：{} 笔结果未知：已确认 {} 支付成功，且只发货一次"
        ),
        "\nThe gateway's ledger: {} paid, {} of it given back.": "\n网关账目：已支付 {}，其中退款 {}。",
        "{} passed on the demo's clock, {:.1f} seconds on yours.": "演示时钟经过 {}，实际用时 {:.1f} 秒。",
        "{} is {}, not {}": "{} 是 {}，不是 {}",
        "the demo did not end as told: {}": "演示结果与预期不符：{}",
    }
)
