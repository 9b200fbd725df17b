"""Every call with all its arguments, the request that it must send, and the object that its reply must become."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from omipay_async import (
    AppletOrder,
    AppOrder,
    Currency,
    ExchangeRate,
    JSAPIOrder,
    OnlineOrder,
    OnlineType,
    Order,
    OrderStatus,
    Platform,
    QROrder,
    Refund,
    RefundReceipt,
    RefundStatus,
    ScanOrder,
    WeChatUser,
)

from .canned_gateway import ORDER

if TYPE_CHECKING:
    from .canned_gateway import Call

NAMED = ["order_name=%E6%B5%8B%E8%AF%95%20%E5%95%86%E5%93%81", "amount=100", "currency=AUD", "out_order_no=SEORD000001"]
NOTIFY = "https://shop.example/notify?a=1&b=ü"
SENT_NOTIFY = "notify_url=https%3A%2F%2Fshop.example%2Fnotify%3Fa%3D1%26b%3D%C3%BC"
WHEN = datetime(2016, 12, 26, 23, 55, 30, tzinfo=UTC)


class Exchange(NamedTuple):
    """A call with all its arguments, the request that it must send, and the object that its reply must become."""

    call: Call
    method: str
    path: str
    pairs: list[str]
    reply: dict[str, Any]
    model: Any


EXCHANGES = {
    "GetExchangeRate": Exchange(
        lambda omipay: omipay.get_exchange_rate(Currency.AUD, "JPY", platform=Platform.ALIPAY),
        "GET",
        "/v2/GetExchangeRate",
        ["currency=AUD", "base_currency=JPY", "platform=ALIPAY"],
        {"rate": 5.0154, "platform": "ALIPAY"},
        ExchangeRate(Decimal("5.0154"), Platform.ALIPAY),
    ),
    "MakeQROrder": Exchange(
        lambda omipay: omipay.make_qr_order(**ORDER, platform=Platform.UPI, notify_url=NOTIFY, o_number="01"),
        "POST",
        "/v2/MakeQROrder",
        [*NAMED, "platform=UPI", SENT_NOTIFY, "o_number=01"],
        {"order_no": "TR1", "qrcode": "weixin://wxpay/1", "pay_url": "https://pay.example/?paycode=TR1"},
        QROrder("TR1", "weixin://wxpay/1", "https://pay.example/?paycode=TR1"),
    ),
    "MakeJSAPIOrder": Exchange(
        lambda omipay: omipay.make_jsapi_order(
            **ORDER,
            redirect_url="http://shop.example/back",
            notify_url=NOTIFY,
            direct_pay=True,
            show_pc_pay_url=True,
            o_number="01",
            pos_no="till 1",
        ),
        "POST",
        "/v2/MakeJSAPIOrder",
        [
            *NAMED,
            "redirect_url=http%3A%2F%2Fshop.example%2Fback",
            SENT_NOTIFY,
            "direct_pay=1",
            "show_pc_pay_url=1",
            "o_number=01",
            "pos_no=till%201",
        ],
        {"order_no": "TR1", "pay_url": "https://pay.example/1", "pc_pay_url": "https://pay.example/pc"},
        JSAPIOrder("TR1", "https://pay.example/1", "https://pay.example/pc"),
    ),
    "MakeScanOrder": Exchange(
        lambda omipay: omipay.make_scan_order(**ORDER, qrcode="13456/78+90", pos_no="till-1", notify_url=NOTIFY),
        "POST",
        "/v2/MakeScanOrder",
        [*NAMED, "qrcode=13456%2F78%2B90", "pos_no=till-1", SENT_NOTIFY],
        {"order_no": "TR1", "out_order_no": "SEORD000001", "order_time": "20161227105530"},
        ScanOrder("TR1", "SEORD000001", OrderStatus.PAID, WHEN),
    ),
    "MakeOnlineOrder": Exchange(
        lambda omipay: omipay.make_online_order(
            **ORDER,
            type=OnlineType.WAP,
            platform="POLI",
            return_url="https://shop.example/r",
            notify_url=NOTIFY,
            o_number="01",
        ),
        "POST",
        "/v2/MakeOnlineOrder",
        [
            *NAMED,
            "type=wap",
            "platform=POLI",
            "return_url=https%3A%2F%2Fshop.example%2Fr",
            SENT_NOTIFY,
            "o_number=01",
        ],
        {"order_no": "TR1", "pay_url": "https://pay.example/1"},
        OnlineOrder("TR1", "https://pay.example/1"),
    ),
    "MakeAPPOrder": Exchange(
        lambda omipay: omipay.make_app_order(
            **ORDER, platform=Platform.WECHATPAY, app_id="wxc571", notify_url=NOTIFY, o_number="01"
        ),
        "POST",
        "/v2/MakeAPPOrder",
        [*NAMED, "platform=WECHATPAY", "app_id=wxc571", SENT_NOTIFY, "o_number=01"],
        {"order_no": "TR1", "order_string": "app_id=1&sign=x"},
        AppOrder("TR1", "app_id=1&sign=x"),
    ),
    "MakeAppletOrder": Exchange(
        lambda omipay: omipay.make_applet_order(
            **ORDER, app_id="wx20u82a9", customer_id="o98c8sq9xz0", notify_url=NOTIFY, o_number="01"
        ),
        "POST",
        "/v2/MakeAppletOrder",
        [*NAMED, "platform=WECHATPAY", "app_id=wx20u82a9", "customer_id=o98c8sq9xz0", SENT_NOTIFY, "o_number=01"],
        {
            "order_no": "TR1",
            "timeStamp": "1482796530",
            "nonceStr": "n0",
            "Package": "prepay_id=1",
            "signType": "MD5",
            "paySign": "F00",
        },
        AppletOrder("TR1", "1482796530", "n0", "prepay_id=1", "MD5", "F00"),
    ),
    "QueryOrder": Exchange(
        lambda omipay: omipay.query_order("TR1"),
        "GET",
        "/v2/QueryOrder",
        ["order_no=TR1"],
        {
            "result_code": "READY",
            "out_order_no": "SEORD000001",
            "currency": "CNY",
            "amount": 100,
            "pay_currency": "AUD",
            "pay_amount": 20,
            "order_time": "20161227105530",
            "pay_time": "",
            "exchange_rate": 20000000,
        },
        Order("TR1", OrderStatus.READY, "SEORD000001", Currency.CNY, 100, Currency.AUD, 20, WHEN, None, Decimal("0.2")),
    ),
    "Refund": Exchange(
        lambda omipay: omipay.refund(order_no="TR1", out_refund_no="R-1", amount=60),
        "POST",
        "/v2/Refund",
        ["order_no=TR1", "out_refund_no=R-1", "amount=60"],
        {"refund_no": "RF1", "currency": "AUD", "amount": 60, "refund_time": "20161227105530"},
        RefundReceipt("RF1", Currency.AUD, 60, WHEN),
    ),
    "QueryRefund": Exchange(
        lambda omipay: omipay.query_refund("RF1"),
        "GET",
        "/v2/QueryRefund",
        ["refund_no=RF1"],
        {
            "result_code": "OrganizationPayback",
            "out_refund_no": "R-1",
            "currency": "AUD",
            "amount": 60,
            "refund_time": "20161227105530",
            "success_time": "",
        },
        Refund("RF1", RefundStatus.OrganizationPayback, "R-1", Currency.AUD, 60, WHEN, None),
    ),
    "GetUserInfo": Exchange(
        lambda omipay: omipay.get_user_info("https://shop.example/login?to=购物"),
        "GET",
        "/auth/GetUserInfo",
        ["redirect_uri=https%3A%2F%2Fshop.example%2Flogin%3Fto%3D%E8%B4%AD%E7%89%A9"],
        {"openid": "o98c8sq9xz0", "nickname": "小明", "headimgurl": "https://img.example/1"},
        WeChatUser("o98c8sq9xz0", "小明", "https://img.example/1"),
    ),
    "call, money": Exchange(
        lambda omipay: omipay.call("ConfirmCheckOut", {"token": "tok 1", "amount": 5, "memo": None}),
        "POST",
        "/v2/ConfirmCheckOut",
        ["token=tok%201", "amount=5"],
        {"rate": 1.50, "x": [None, {"y": "z"}]},
        {"return_code": "SUCCESS", "rate": Decimal("1.5"), "x": [None, {"y": "z"}]},
    ),
    "call, read": Exchange(
        lambda omipay: omipay.call("vip/QueryCard", {}, safety="READ"),
        "GET",
        "/v2/vip/QueryCard",
        [],
        {},
        {"return_code": "SUCCESS"},
    ),
}
