"""The examples of the gateway's documents as data: each as CN v2.0.6 or EN prints it.

Typographic quotes are made plain ones. Nothing else is mended: the stray space in ``"refund_no "``, SIGN_TIMEOUOT,
PAYED, CLOSED, the missing fields, the space after ``?``, ``&&`` and ``amount`` twice are as they are printed.
"""

from __future__ import annotations

from typing import Final, NamedTuple

M_NUMBER: Final = "123456"
TIMESTAMP: Final = 1482812036067
NONCE: Final = "313644f42ecd4758b5e23b80e86efdc4"
SECRET_KEY: Final = "0af61531c6c04ac4ac910d0cd59e6238"
SIGN: Final = "8516A3B52F9C8897F52239B19CD8A499"
"""CN 2.3, EN 1.3. The line that prints 31 digits lost its first one."""

ORDER_NO: Final = "bc112874260946a2af2b7107825e6ce2"
_SIGNED: Final = f"m_number={M_NUMBER}&timestamp={TIMESTAMP}&nonce_str={NONCE}&sign={SIGN}"


class Reply(NamedTuple):
    """An example of a reply."""

    source: str
    endpoint: str
    body: str


_RATE = '{\n  "return_code": "SUCCESS",\n  "rate": 5.01540000\n}'
_PAY_URL = f'{{\n  "return_code": "SUCCESS",\n  "order_no": "{ORDER_NO}",\n  "pay_url" : "………………. "\n}}'
_REFUND = """{
  "return_code": "SUCCESS",
  "refund_no ": "ADDFGHJKL",
  "currency": "AUD",
  "amount": 100,
  "refund_time": "20161227105530" \n}"""
_QUERY_REFUND = """{
  "return_code": "SUCCESS",
  "result_code": "CLOSED",
  "currency": "AUD",
  "amount": 100,
  "refund_time": "20161227105530",
  "success_time": "20161227105602"
}"""

SUCCESSES: Final = (
    Reply("CN 3.1", "GetExchangeRate", _RATE),
    Reply("EN 2.1", "GetExchangeRate", _RATE),
    Reply(
        "CN 3.2",
        "MakeQROrder",
        f"""{{
  "return_code": "SUCCESS",
  "order_no": "{ORDER_NO}",
  "qrcode" : "………………. ",
    "pay_url" : "https://www.omipay.com.au/Omipay/pay/qrpay?paycode=xxxxxxxxx"
}}""",
    ),
    Reply(
        "EN 2.2",
        "MakeQROrder",
        f'{{ \n\n  "return_code": "SUCCESS", \n\n  "order_no": "{ORDER_NO}", \n\n  "qrcode" : "………………. " \n\n}}',
    ),
    Reply("CN 3.3", "MakeJSAPIOrder", _PAY_URL),
    Reply("EN 2.3", "MakeJSAPIOrder", _PAY_URL),
    Reply(
        "CN 3.8",
        "QueryOrder",
        """{
  "return_code": "SUCCESS",
  "result_code": "PAID",
  "currency": "AUD",
  "amount": 100,
  "pay_currency": "CNY",
  "pay_amount": 561,
  "order_time": "20161227105530",
  "pay_time": "20161227105602",
  "exchange_rate": 650000000
}""",
    ),
    Reply(
        "EN 2.5",
        "QueryOrder",
        """{
  "return_code": "SUCCESS",
  "result_code": "PAYED",
  "currency": "AUD",
  "total_amount": 100,
  "order_time": "20161227105530",
  "pay_time": "20161227105602",
  "exchange_rate": 650000000,
  "cny_amount": 650
}""",
    ),
    Reply("CN 3.10", "Refund", _REFUND),
    Reply("EN 2.7", "Refund", _REFUND),
    Reply("CN 3.11", "QueryRefund", _QUERY_REFUND),
    Reply("EN 2.8", "QueryRefund", _QUERY_REFUND),
)


def _fail(code: str, said: str) -> str:
    return f'{{\n  "return_code": "FAIL",\n  "error_code": "{code}",\n  "error_msg": "{said}"\n}}'


FAILURES: Final = (
    Reply("CN 3.1", "GetExchangeRate", _fail("SIGN_TIMEOUT", "时间戳超时")),
    Reply("EN 2.1", "GetExchangeRate", _fail("SIGN_TIMEOUT", "Sign time out.")),
    Reply("CN 3.2", "MakeQROrder", _fail("SIGN_TIMEOUOT", "时间戳超时")),
    Reply("EN 2.2", "MakeQROrder", _fail("SIGN_TIMEOUOT", "Sign timeout.")),
    Reply("CN 3.3", "MakeJSAPIOrder", _fail("SIGN_TIMEOUOT", "时间戳超时")),
    Reply("EN 2.3", "MakeJSAPIOrder", _fail("SIGN_TIMEOUOT", "Sign timeout.")),
    Reply("CN 3.8", "QueryOrder", _fail("SIGN_TIMEOUOT", "时间戳超时")),
    Reply("EN 2.5", "QueryOrder", _fail("SIGN_TIMEOUOT", "Sign timeout.")),
    Reply("CN 3.10", "Refund", _fail("SIGN_TIMEOUOT", "时间戳超时")),
    Reply("EN 2.7", "Refund", _fail("SIGN_TIMEOUOT", "Sign timeout.")),
    Reply("CN 3.11", "QueryRefund", _fail("SIGN_TIMEOUOT", "时间戳超时")),
    Reply("EN 2.8", "QueryRefund", _fail("SIGN_TIMEOUOT", "时间戳超时")),
)


class Request(NamedTuple):
    """An example of a request: its address with the query."""

    source: str
    endpoint: str
    url: str


_AU: Final = "https://www.omipay.com.au/omipay/api/v2"
_NOTIFY: Final = "http://your_site.com/receive_notify.html"
_APP: Final = (
    "amount=1&order_name=aaaa&out_order_no=SEORD000012&nonce_str=uXWTAw0g3q5HOHjdZW4opDbfp1a7dBOI&m_number=000034"
)
_APP_SIGN: Final = "timestamp=1513242617000&sign=1266C828F67A1C5BD0DC0203405D4480&currency=AUD"

REQUESTS: Final = (
    Request("CN 3.1", "GetExchangeRate", f"{_AU}/GetExchangeRate? {_SIGNED}&currency=AUD&base_currency=CNY"),
    Request("EN 2.1", "GetExchangeRate", f"{_AU}/GetExchangeRate? {_SIGNED}&currency=AUD&base_currency=CNY"),
    Request(
        "CN 3.2",
        "MakeQROrder",
        f"{_AU}/MakeQROrder? {_SIGNED}&order_name=测试商品&currency=AUD&amount=100"
        f"&notify_url={_NOTIFY}&out_order_no=SEORD000001",
    ),
    Request(
        "EN 2.2",
        "MakeQROrder",
        f"{_AU}/MakeQRCode? {_SIGNED}&order_name=Test_Order&amount=100&notify_url={_NOTIFY}&out_order_no=SEORD000001",
    ),
    Request(
        "CN 3.3",
        "MakeJSAPIOrder",
        f"{_AU}/MakeJSAPIOrder? {_SIGNED}&order_name=测试商品&currency=AUD&amount=100"
        f"&redirect_url=http://your_site.com/redirect_to.html&amount=100&notify_url={_NOTIFY}&out_order_no=SEORD000001",
    ),
    Request(
        "EN 2.3",
        "MakeJSAPIOrder",
        f"{_AU}/MakeJSAPIOrder? {_SIGNED}&order_name=TEST_ORDER&redirect_url=http://your_site.com/redirect_to.html"
        f"&amount=100&notify_url={_NOTIFY}&out_order_no=SEORD000001&language=EN",
    ),
    Request(
        "CN 3.4",
        "MakeScanOrder",
        f"{_AU}/MakeScanOrder? {_SIGNED}&order_name=测试商品&currency=AUD&amount=100&&notify_url={_NOTIFY}"
        "&qrcode=123abc123&pos_no=posno_123&out_order_no=SEORD000001",
    ),
    Request(
        "EN 2.4",
        "MakeScanOrder",
        f"{_AU}/MakeScanOrder? {_SIGNED}&order_name=Test_Order&amount=100&&notify_url={_NOTIFY}"
        "&qrcode=123abc123&pos_no=posno_123&out_order_no=SEORD000001&language=EN",
    ),
    Request(
        "CN 3.5",
        "MakeOnlineOrder",
        f"{_AU}/MakeOnlineOrder? {_SIGNED}&order_name=测试商品&currency=AUD&amount=100&notify_url={_NOTIFY}"
        "&return_url=http://your_site.com/receive_return.html &out_order_no=SEORD000001&type=wap&platform=POLI",
    ),
    Request(
        "CN 3.6", "MakeAPPOrder", f"{_AU}/MakeAPPOrder?{_APP}&platform=ALIPAYONLINE&notify_url=baidu.com&{_APP_SIGN}"
    ),
    Request(
        "CN 3.7",
        "MakeAppletOrder",
        f"https://www.omipay.com.cn/omipay/api/v2/MakeAppletOrder?{_APP}&platform=WECHATPAY&notify_url=baidu.com"
        f"&{_APP_SIGN}&app_id=wx20u82a9&customer_id=o98c8sq9xz0",
    ),
    Request("CN 3.8", "QueryOrder", f"{_AU}/QueryOrder? {_SIGNED}&order_no={ORDER_NO}"),
    Request("EN 2.5", "QueryOrder", f"{_AU}/QueryOrder? {_SIGNED}&order_no={ORDER_NO}&language=EN"),
    Request("CN 3.10", "Refund", f"{_AU}/Refund? {_SIGNED}&order_no={ORDER_NO}&out_refund_no=xxxxxxx&amount=100"),
    Request(
        "EN 2.7",
        "Refund",
        f"{_AU}/Refund? {_SIGNED}&order_no={ORDER_NO}&out_refund_no=xxxxxxx&amount=100&language=EN",
    ),
    Request("CN 3.11", "QueryRefund", f"{_AU}/QueryRefund? {_SIGNED}&refund_no={ORDER_NO}"),
    Request("EN 2.8", "QueryRefund", f"{_AU}/QueryRefund? {_SIGNED}&refund_no={ORDER_NO}&language=EN"),
    Request(
        "EN 2.9",
        "GetUserInfo",
        f"https://www.omipay.com.au/omipay/api/v1/GetUserInfo? {_SIGNED}&redirect_uri=http://yoursite.com/redirect.html",
    ),
)
