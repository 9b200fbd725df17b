"""The gateway's documents compared with the client: every example of a reply and of a request."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

import pytest

from omipay_async import (
    AsyncOmipay,
    AuthenticationError,
    Currency,
    ErrorCode,
    ExchangeRate,
    InvalidRequest,
    JSAPIOrder,
    Order,
    OrderStatus,
    QROrder,
    Refund,
    RefundReceipt,
    RefundStatus,
    models,
    new_orders,
)
from omipay_async.protocol.endpoints import COMMON_ERROR_CODES, ENDPOINTS
from tests.support.canned_gateway import CALLS, SIGNED, Gateway, as_sent, open_session, read, success
from tests.support.vectors import FAILURES, ORDER_NO, REQUESTS, SUCCESSES

if TYPE_CHECKING:
    from tests.support import vectors
    from tests.support.canned_gateway import Call

SYDNEY = ZoneInfo("Australia/Sydney")
CREATED = datetime(2016, 12, 27, 10, 55, 30, tzinfo=SYDNEY)
PAID = datetime(2016, 12, 27, 10, 56, 2, tzinfo=SYDNEY)
RATE = ExchangeRate(Decimal("5.01540000"), None)
JSAPI = JSAPIOrder(ORDER_NO, "………………. ")
RECEIPT = RefundReceipt("ADDFGHJKL", Currency.AUD, 100, CREATED)
REFUND = Refund("RF1", RefundStatus.Closed, None, Currency.AUD, 100, CREATED, PAID)
ORDER: dict[str, Any] = {
    "order_no": "TR1",
    "status": OrderStatus.PAID,
    "out_order_no": None,
    "currency": Currency.AUD,
    "amount": 100,
}
TIMES: dict[str, Any] = {"order_time": CREATED, "pay_time": PAID, "exchange_rate": Decimal("6.5")}

MODELS = {
    "CN 3.1": RATE,
    "EN 2.1": RATE,
    "CN 3.2": QROrder(ORDER_NO, "………………. ", "https://www.omipay.com.au/Omipay/pay/qrpay?paycode=xxxxxxxxx"),
    "EN 2.2": QROrder(ORDER_NO, "………………. "),
    "CN 3.3": JSAPI,
    "EN 2.3": JSAPI,
    "CN 3.8": Order(**ORDER, pay_currency=Currency.CNY, pay_amount=561, **TIMES),
    "EN 2.5": Order(**ORDER, pay_currency=Currency.CNY, pay_amount=650, **TIMES),
    "CN 3.10": RECEIPT,
    "EN 2.7": RECEIPT,
    "CN 3.11": REFUND,
    "EN 2.8": REFUND,
}


def source(example: Any) -> str:
    """The name of a test case."""
    return str(example.source)


@pytest.mark.parametrize("example", SUCCESSES, ids=source)
async def test_every_success_that_the_documents_print_is_read(example: vectors.Reply) -> None:
    """Each field as in the tables, times in Sydney's zone, exact rates, and the whole reply in ``raw``."""
    async with open_session(Gateway(example.body)) as omipay:
        reply = await CALLS[example.endpoint](omipay)
    assert reply == as_sent(MODELS[example.source])
    assert reply.raw == {k.strip(): v for k, v in json.loads(example.body, parse_float=Decimal).items()}


@pytest.mark.parametrize("example", FAILURES, ids=source)
async def test_every_failure_that_the_documents_print_is_read(example: vectors.Reply) -> None:
    """SIGN_TIMEOUT, also where it is misspelt. ``raw`` keeps the word as received."""
    gateway = Gateway(example.body)
    async with open_session(gateway) as omipay:
        with pytest.raises(AuthenticationError) as failure:
            await CALLS[example.endpoint](omipay)
    said = json.loads(example.body)
    assert failure.value.error_code is ErrorCode.SIGN_TIMEOUT
    assert failure.value.error_msg == said["error_msg"]
    assert failure.value.endpoint == example.endpoint
    assert failure.value.raw == said
    assert len(gateway.requests) == 1  # without a Date header there is nothing to sign anew with


def qr(name: str, **more: Any) -> Call:
    """The documents' QR order."""
    return lambda omipay: omipay.make_qr_order(
        order_name=name, amount=100, currency="AUD", out_order_no="SEORD000001", platform="ALIPAY", **more
    )


def scan(name: str) -> Call:
    """The documents' scan order."""
    return lambda omipay: omipay.make_scan_order(
        order_name=name,
        amount=100,
        currency="AUD",
        out_order_no="SEORD000001",
        qrcode="123abc123",
        pos_no="posno_123",
        notify_url="http://your_site.com/receive_notify.html",
    )


def jsapi(name: str) -> Call:
    """The documents' JSAPI order."""
    return lambda omipay: omipay.make_jsapi_order(
        order_name=name,
        amount=100,
        currency="AUD",
        out_order_no="SEORD000001",
        redirect_url="http://your_site.com/redirect_to.html",
        notify_url="http://your_site.com/receive_notify.html",
    )


APP: dict[str, Any] = {"order_name": "aaaa", "amount": 1, "currency": "AUD", "out_order_no": "SEORD000012"}
NOTIFY = "http://your_site.com/receive_notify.html"

# How a program says what each example says, and which parameters the documents require beyond those of the example.
SAID: dict[str, tuple[Call, set[str]]] = {
    "CN 3.1": (lambda omipay: omipay.get_exchange_rate("AUD", "CNY"), set()),
    "EN 2.1": (lambda omipay: omipay.get_exchange_rate("AUD", "CNY"), set()),
    "CN 3.2": (qr("测试商品", notify_url=NOTIFY), {"platform=ALIPAY"}),
    "EN 2.2": (qr("Test_Order", notify_url=NOTIFY), {"platform=ALIPAY", "currency=AUD"}),
    "CN 3.3": (jsapi("测试商品"), set()),
    "EN 2.3": (jsapi("TEST_ORDER"), {"currency=AUD"}),
    "CN 3.4": (scan("测试商品"), set()),
    "EN 2.4": (scan("Test_Order"), {"currency=AUD"}),
    "CN 3.5": (
        lambda omipay: omipay.make_online_order(
            order_name="测试商品",
            amount=100,
            currency="AUD",
            out_order_no="SEORD000001",
            type="wap",
            platform="POLI",
            return_url="http://your_site.com/receive_return.html",
            notify_url=NOTIFY,
        ),
        set(),
    ),
    "CN 3.6": (lambda omipay: omipay.make_app_order(**APP, platform="ALIPAYONLINE"), set()),
    "CN 3.7": (
        lambda omipay: omipay.make_applet_order(**APP, app_id="wx20u82a9", customer_id="o98c8sq9xz0"),
        set(),
    ),
    "CN 3.8": (lambda omipay: omipay.query_order(ORDER_NO), set()),
    "EN 2.5": (lambda omipay: omipay.query_order(ORDER_NO), set()),
    "CN 3.10": (lambda omipay: omipay.refund(order_no=ORDER_NO, out_refund_no="xxxxxxx", amount=100), set()),
    "EN 2.7": (lambda omipay: omipay.refund(order_no=ORDER_NO, out_refund_no="xxxxxxx", amount=100), set()),
    "CN 3.11": (lambda omipay: omipay.query_refund(ORDER_NO), set()),
    "EN 2.8": (lambda omipay: omipay.query_refund(ORDER_NO), set()),
    "EN 2.9": (lambda omipay: omipay.get_user_info("http://yoursite.com/redirect.html"), set()),
}
SLIPS = {"", "notify_url=baidu.com"}
"""What the examples hold and no program should send: empty pairs, and a URL without a scheme."""
UNKNOWN = ("timestamp=", "sign=")
WRONG_PATHS = {
    "/omipay/api/v2/MakeQRCode": "/omipay/api/v2/MakeQROrder",
    "/omipay/api/v1/GetUserInfo": "/omipay/api/auth/GetUserInfo",
}


def session_of(example: vectors.Request, gateway: Gateway) -> AsyncOmipay:
    """A session set up like that of the example."""
    query = example.url.partition("?")[2].strip()
    given = dict(pair.split("=", 1) for pair in query.split("&") if pair)
    return open_session(
        gateway,
        m_number=given["m_number"],
        region="CN" if ".com.cn/" in example.url else "AU",
        language=given.get("language"),
        nonces=lambda: given["nonce_str"],
    )


@pytest.mark.parametrize("example", REQUESTS, ids=source)
async def test_every_request_that_the_documents_print_is_what_is_sent(example: vectors.Request) -> None:
    """The same address and parameters with the signature, once the documents' own mistakes are corrected."""
    call, required = SAID[example.source]
    gateway = Gateway(success(example.endpoint))
    async with session_of(example, gateway) as omipay:
        await call(omipay)
    url = urlsplit(str(gateway.requests[0].url))
    address, _, query = example.url.partition("?")
    path = urlsplit(address).path
    printed = {pair.strip() for pair in query.split("&")} - SLIPS
    sent = {unquote(pair) for pair in gateway.pairs}
    assert url.netloc == urlsplit(address).netloc
    assert url.path == WRONG_PATHS.get(path, path)
    if example.source in {"CN 3.6", "CN 3.7"}:  # of a merchant whose key nobody knows
        sent, printed = (
            {p for p in pairs if p.split("=")[0] not in {"sign", "timestamp"}} for pairs in (sent, printed)
        )
    else:
        assert set(SIGNED) <= sent
    assert sent == printed | required
    assert len(gateway.pairs) == len(set(gateway.pairs))


async def test_the_documents_url_without_a_scheme_is_never_sent() -> None:
    """``notify_url=baidu.com``, in two examples, could not be notified."""
    async with open_session(Gateway(success("MakeAPPOrder"))) as omipay:
        with pytest.raises(InvalidRequest, match="notify_url"):
            await omipay.make_app_order(**APP, platform="ALIPAYONLINE", notify_url="baidu.com")


# -- the tables -------------------------------------------------------------------------------------------------------

SIGNATURE_CODES = {"PARAMETER_INVALID", "SIGN_TIMEOUT", "MERCHANTNO_INVALID", "SIGN_ERROR", "SYSTEM_ERROR"}
TABLES: dict[str, tuple[str, str, set[str]]] = {
    # endpoint: required, optional, error codes beyond the five of every table
    "GetExchangeRate": ("currency base_currency", "platform", {"CURRENCY_ERROR"}),
    "MakeQROrder": (
        "order_name currency amount out_order_no platform",
        "notify_url o_number",
        {"WEBSTORE_NOT_EXISTS", "AMOUNT_INVALID"},
    ),
    "MakeJSAPIOrder": (
        "order_name currency amount redirect_url out_order_no",
        "notify_url direct_pay show_pc_pay_url o_number pos_no",
        {"WECHAT_STORE_NOT_EXISTS", "AMOUNT_INVALID"},
    ),
    "MakeScanOrder": (
        "order_name currency amount qrcode pos_no out_order_no",
        "notify_url",
        {
            "USERPAYING",
            "ORDER_PAID",
            "POS_NOT_REGISTERED",
            "NOT_ENOUGH",
            "CARD_NOT_SUPPORT",
            "ORDER_CLOSED",
            "QRCODE_EXPIRED",
            "QRCODE_ERROR",
            "AMOUNT_INVALID",
        },
    ),
    "MakeOnlineOrder": (
        "order_name currency amount out_order_no type",
        "notify_url return_url o_number platform",
        set(),
    ),
    "MakeAPPOrder": ("order_name currency amount out_order_no platform", "notify_url o_number app_id", set()),
    "MakeAppletOrder": (
        "order_name currency amount out_order_no platform app_id customer_id",
        "notify_url o_number",
        set(),
    ),
    "QueryOrder": ("order_no", "", {"PERMISSION_ERROR"}),
    "Refund": (
        "order_no out_refund_no amount",
        "",
        {"PERMISSION_ERROR", "ORDER_NO_ERROR", "ORDER_NOT_PAID", "AMOUNT_OVER_LIMIT"},
    ),
    "QueryRefund": ("refund_no", "", {"PERMISSION_ERROR", "REFUND_NO_ERROR"}),
    "GetUserInfo": ("redirect_uri", "", set()),
}


@pytest.mark.parametrize("name", TABLES)
def test_the_table_of_endpoints_is_the_documents_tables(name: str) -> None:
    """Parameters, which are optional, and error codes, as in CN's tables (EN's for the login)."""
    endpoint, (required, optional, codes) = ENDPOINTS[name], TABLES[name]
    assert {p.name for p in endpoint.parameters if p.required} == set(required.split())
    assert {p.name for p in endpoint.parameters if not p.required} == set(optional.split())
    assert endpoint.error_codes == codes
    assert SIGNATURE_CODES | {"MERCHANTNO_DISABLE", "BRANCH_INVALID"} == COMMON_ERROR_CODES


def test_there_are_eleven_endpoints() -> None:
    """Ten from CN, and EN's login."""
    assert set(ENDPOINTS) == set(TABLES) == set(CALLS)
    assert {endpoint.reply.__name__ for endpoint in ENDPOINTS.values()} <= {*vars(models), *vars(new_orders)}


@pytest.mark.parametrize(("word", "status"), [("PAYED", OrderStatus.PAID), ("CLOSED", OrderStatus.SETTLED)])
def test_an_orders_status_in_english_spelling(word: str, status: OrderStatus) -> None:
    """PAYED is PAID and CLOSED is SETTLED, and both are paid. ``raw`` keeps the word."""
    order = read("QueryOrder", success("QueryOrder", result_code=word))
    assert order.status is status
    assert order.is_paid
    assert order.raw["result_code"] == word
