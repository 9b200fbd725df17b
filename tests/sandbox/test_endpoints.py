"""Every endpoint, asked as the documents say, and as their own examples have it."""

from __future__ import annotations

import decimal
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from omipay_async.protocol.endpoints import ENDPOINTS
from omipay_async.sandbox import PaymentCode, Sandbox
from omipay_async.testing import ManualClock

from .raw import WANTED, RawClient

if TYPE_CHECKING:
    from collections.abc import Callable

SIGNED = (
    "m_number=123456&timestamp=1482812036067&nonce_str=313644f42ecd4758b5e23b80e86efdc4"
    "&sign=8516A3B52F9C8897F52239B19CD8A499"
)
NOTIFY = "notify_url=http://your_site.com/receive_notify.html"
REDIRECT = "redirect_url=http://your_site.com/redirect_to.html"

NUMBER = "bc112874260946a2af2b7107825e6ce2"
GOODS = "order_name=测试商品&currency=AUD&amount=100"
ENGLISH = "order_name=Test_Order&amount=100"
OUT = "out_order_no=SEORD000001"
SCANNED = "qrcode=123abc123&pos_no=posno_123"

#: Both documents' request examples word for word, apart from the misprinted signature, each with the code that answers
#: it. Some examples leave out what their own table requires, and some name an order that does not exist.
EXAMPLES: list[tuple[str, str | None]] = [
    (f"v2/GetExchangeRate? {SIGNED}&currency=AUD&base_currency=CNY", None),
    (f"v2/MakeQROrder? {SIGNED}&{GOODS}&{NOTIFY}&{OUT}", "PARAMETER_INVALID"),
    (f"v2/MakeJSAPIOrder? {SIGNED}&{GOODS}&{REDIRECT}&amount=100&{NOTIFY}&{OUT}", None),
    (f"v2/MakeScanOrder? {SIGNED}&{GOODS}&&{NOTIFY}&{SCANNED}&{OUT}", None),
    (
        (
            f"v2/MakeOnlineOrder? {SIGNED}&{GOODS}&{NOTIFY}&return_url=http://your_site.com/receive_return.html &{OUT}"
            "&type=wap&platform=POLI"
        ),
        None,
    ),
    (f"v2/QueryOrder? {SIGNED}&order_no={NUMBER}", "PERMISSION_ERROR"),
    (f"v2/Refund? {SIGNED}&order_no={NUMBER}&out_refund_no=xxxxxxx&amount=100", "ORDER_NO_ERROR"),
    (f"v2/QueryRefund? {SIGNED}&refund_no={NUMBER}", "REFUND_NO_ERROR"),
    (f"v2/MakeScanOrder? {SIGNED}&{ENGLISH}&&{NOTIFY}&{SCANNED}&{OUT}", "PARAMETER_INVALID"),
    (f"v2/Refund? {SIGNED}&order_no={NUMBER}&out_refund_no=xxxxxxx&amount=100&language=EN", "ORDER_NO_ERROR"),
    (f"auth/GetUserInfo? {SIGNED}&redirect_uri=http://yoursite.com/redirect.html", None),
]
OTHER_MERCHANT = "nonce_str=uXWTAw0g3q5HOHjdZW4opDbfp1a7dBOI&m_number=000034"


async def ignoring(scope: Any, receive: Any, send: Any) -> None:
    """Answer notifications with nothing."""
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def fetch(
    app: Any, path_and_query: str, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Call an ASGI app with exactly this query string: an HTTP library would correct it."""
    path, _, query = path_and_query.partition("?")
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"gateway.test"), *((name.encode(), value.encode()) for name, value in headers.items())],
        "server": ("gateway.test", 80),
        "client": ("127.0.0.1", 1),
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], found, b"".join(message.get("body", b"") for message in sent[1:])


@pytest.mark.parametrize(("example", "code"), EXAMPLES, ids=[example.partition("?")[0] for example, _ in EXAMPLES])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_documents_examples(example: str, code: str | None, method: str) -> None:
    """The documents' own requests are accepted as they are, with a stray space, an empty pair and a repeated amount."""
    key = "0af61531c6c04ac4ac910d0cd59e6238"
    async with Sandbox("123456", key, clock=ManualClock(1482812036067), app=ignoring) as sandbox:
        status, _, body = await fetch(sandbox, f"/omipay/api/{example}", method)
        assert (status, json.loads(body).get("error_code")) == (200, code)
        assert sandbox.ledger.calls[-1].error_code == code


@pytest.mark.parametrize(
    "example",
    [
        (
            f"v2/MakeAPPOrder?amount=1&order_name=aaaa&out_order_no=SEORD000012&{OTHER_MERCHANT}&platform=ALIPAYONLINE"
            "&notify_url=baidu.com&timestamp=1513242617000&sign=1266C828F67A1C5BD0DC0203405D4480&currency=AUD"
        ),
        (
            f"v2/MakeAppletOrder?amount=1&order_name=aaaa&out_order_no=SEORD000012&{OTHER_MERCHANT}&platform=WECHATPAY"
            "&notify_url=baidu.com&timestamp=1513242617000&sign=1266C828F67A1C5BD0DC0203405D4480&currency=AUD"
            "&app_id=wx20u82a9&customer_id=o98c8sq9xz0"
        ),
    ],
    ids=["app", "applet"],
)
async def test_documents_examples_of_another_merchant(example: str) -> None:
    """The two examples whose key is not printed fail only at the signature."""
    clock = ManualClock(1513242617000)
    async with Sandbox("000034", "unknown", clock) as sandbox:
        await fetch(sandbox, f"/omipay/api/{example}")
        assert [call.error_code for call in sandbox.ledger.calls] == ["SIGN_ERROR"]
        raw = RawClient(sandbox, clock, m_number="000034", secret_key="unknown")
        async with raw.http:
            name = example[3 : example.index("?")]
            assert (await raw.send(name, **{**dict(parse_qsl(urlsplit(example).query)), **raw.signature()})).json()[
                "order_no"
            ]


async def test_exchange_rate_keeps_its_digits(raw: RawClient) -> None:
    """The rate is a JSON number with all eight places, as CN 3.1 prints it."""
    response = await raw.send("GetExchangeRate", **WANTED["GetExchangeRate"])
    assert b'"rate": 5.01540000' in response.content
    assert response.headers["content-type"] == "application/json"
    assert (await raw.ask("GetExchangeRate", currency="CNY", base_currency="USD"))["rate"] == 0.13041831
    assert (await raw.ask("GetExchangeRate", platform="POLI"))["platform"] == "POLI"


async def test_the_applications_decimal_context_changes_nothing(raw: RawClient) -> None:
    """Not if it has few digits, nor if it forbids rounding."""
    with decimal.localcontext(decimal.Context(prec=2, traps=[decimal.Inexact, decimal.Rounded])):
        response = await raw.send("GetExchangeRate", currency="CNY", base_currency="USD")
        assert b'"rate": 0.13041831' in response.content
        order_no = await raw.scanned(amount=12_345)
        order = await raw.ask("QueryOrder", order_no=order_no)
        assert (order["pay_amount"], order["exchange_rate"]) == (61_915, 501_540_000)
        assert (await raw.ask("Refund", order_no=order_no, out_refund_no="R1", amount=1))["return_code"] == "SUCCESS"


async def test_qr_order(raw: RawClient, sandbox: Sandbox) -> None:
    """A QR order comes with its code and its page, on the caller's own host."""
    reply = await raw.ask("MakeQROrder", o_number="01", language="EN")
    number = reply["order_no"]
    assert reply == {
        "return_code": "SUCCESS",
        "order_no": number,
        "qrcode": f"http://gateway.test/omipay/api/pay/wallet?paycode={number}",
        "pay_url": f"http://gateway.test/omipay/api/pay/qrpay?paycode={number}",
    }
    assert len(number) == 24
    assert sandbox.ledger.orders[number].order_name == "测试商品"


async def test_jsapi_order(raw: RawClient) -> None:
    """``pc_pay_url`` is there only if ``show_pc_pay_url`` was 1."""
    assert set(await raw.ask("MakeJSAPIOrder", direct_pay="1")) == {"return_code", "order_no", "pay_url"}
    assert "pc_pay_url" in await raw.ask("MakeJSAPIOrder", show_pc_pay_url="1", pos_no="till-1")


async def test_scan_order(raw: RawClient) -> None:
    """SUCCESS of a scan order means paid, and has the time of payment, in Sydney's time."""
    reply = await raw.ask("MakeScanOrder", out_order_no="T-1")
    assert reply["return_code"] == "SUCCESS"
    assert (reply["out_order_no"], reply["order_time"]) == ("T-1", "20161227105530")


async def test_online_order(raw: RawClient, sandbox: Sandbox) -> None:
    """ALIPAYONLINE is the default platform; POLi is paid in Australian dollars."""
    alipay = await raw.ask("MakeOnlineOrder")
    poli = await raw.ask("MakeOnlineOrder", platform="POLI", return_url="https://shop.test/back")
    orders = sandbox.ledger.orders
    assert (orders[alipay["order_no"]].platform, orders[alipay["order_no"]].pay_currency) == ("ALIPAYONLINE", "CNY")
    assert (orders[poli["order_no"]].pay_currency, orders[poli["order_no"]].pay_amount) == ("AUD", 100)
    assert "/pay/online?" in poli["pay_url"]


@pytest.mark.parametrize(("platform", "kind"), [("ALIPAYONLINE", str), ("POLI", str), ("WECHATPAY", dict)])
async def test_app_order(raw: RawClient, platform: str, kind: type) -> None:
    """``order_string`` is a string or a JSON value, which depends on the platform."""
    assert isinstance((await raw.ask("MakeAPPOrder", platform=platform, app_id="wx1"))["order_string"], kind)


async def test_applet_order(raw: RawClient) -> None:
    """An applet order comes with what ``wx.requestPayment`` needs, ``Package`` as CN's table spells it."""
    reply = await raw.ask("MakeAppletOrder")
    assert set(reply) == {"return_code", "order_no", "timeStamp", "nonceStr", "Package", "signType", "paySign"}


async def test_query_order(raw: RawClient, sandbox: Sandbox, clock: ManualClock) -> None:
    """QueryOrder has every field of CN 3.8; ``pay_time`` is empty until somebody pays."""
    number = (await raw.ask("MakeQROrder", out_order_no="Q-1"))["order_no"]
    waiting = await raw.ask("QueryOrder", order_no=number)
    assert waiting == {
        "return_code": "SUCCESS",
        "result_code": "READY",
        "out_order_no": "Q-1",
        "currency": "AUD",
        "amount": 100,
        "pay_currency": "CNY",
        "pay_amount": 502,
        "order_time": "20161227105530",
        "pay_time": "",
        "exchange_rate": 501540000,
    }
    await clock.advance(32)
    await sandbox.customer.pays(number)
    paid = await raw.ask("QueryOrder", order_no=number)
    assert paid == {**waiting, "result_code": "PAID", "pay_time": "20161227105602"}


async def test_orders_in_yuan(raw: RawClient, sandbox: Sandbox) -> None:
    """An order in CNY is paid without conversion."""
    number = await raw.scanned(currency="CNY", amount="561")
    reply = await raw.ask("QueryOrder", order_no=number)
    assert (reply["currency"], reply["pay_amount"], reply["exchange_rate"]) == ("CNY", 561, 100000000)
    assert (sandbox.ledger.paid_total("CNY"), sandbox.ledger.paid_total()) == (561, 0)


async def test_refund_and_query(raw: RawClient, sandbox: Sandbox) -> None:
    """A refund is accepted first; ``success_time`` stays empty until it is Closed."""
    number = await raw.scanned()
    refund = await raw.ask("Refund", order_no=number, out_refund_no="R-1")
    assert refund == {
        "return_code": "SUCCESS",
        "refund_no": refund["refund_no"],
        "currency": "AUD",
        "amount": 30,
        "refund_time": "20161227105530",
    }
    asked = await raw.ask("QueryRefund", refund_no=refund["refund_no"])
    assert (asked["result_code"], asked["out_refund_no"], asked["success_time"]) == ("Applied", "R-1", "")
    await sandbox.advance_refund(refund["refund_no"], "Closed")
    asked = await raw.ask("QueryRefund", refund_no=refund["refund_no"])
    assert (asked["result_code"], asked["success_time"]) == ("Closed", "20161227105530")


async def test_wechat_login(raw: RawClient, sandbox: Sandbox) -> None:
    """A program gets JSON; a browser is redirected with the same fields added to the query of its ``redirect_uri``."""
    assert await raw.ask("GetUserInfo") == sandbox.gateway.wechat_user
    raw.http.headers["accept"] = "text/html,*/*"
    page = "https://shop.test/login"
    for uri, start, end in (
        (page, f"{page}?openid=", ""),
        (f"{page}?a=1", f"{page}?a=1&openid=", ""),
        (f"{page}#/home", f"{page}?openid=", "#/home"),
    ):
        response = await raw.send("GetUserInfo", "GET", redirect_uri=uri)
        assert response.status_code == 302
        target = response.headers["location"]
        assert target.startswith(start)
        assert target.endswith(end)
        assert dict(parse_qsl(urlsplit(target).query)).items() >= dict(sandbox.gateway.wechat_user).items()
    refused = await raw.send("GetUserInfo", "GET")
    assert refused.json()["error_code"] == "PARAMETER_INVALID"


@pytest.mark.parametrize("name", ["MakeQRCode", "MakeQRCodeOrder", "makeqrorder", "ConfirmCheckOut"])
async def test_unknown_names(raw: RawClient, name: str) -> None:
    """EN's misspelt names, and all other unknown names, are not found, so a typo is noticed at once."""
    assert (await raw.send(name)).status_code == 404


async def test_login_has_one_path(raw: RawClient) -> None:
    """GetUserInfo has the path of the address line, not that of the example, and nothing is outside ``/omipay/api``."""
    for path in (
        "/omipay/api/v1/GetUserInfo",
        "/omipay/api/v2/GetUserInfo",
        "/v2/QueryOrder",
        "/omipay/apix/v2/QueryOrder",
    ):
        assert (await raw.http.get(path)).status_code == 404


async def test_only_get_and_post(raw: RawClient) -> None:
    """Other methods are refused, and nothing is done."""
    assert (await raw.send("MakeQROrder", "PUT")).status_code == 405


def mounted(prefix: str) -> Callable[[Any], Any]:
    return lambda app: Starlette(routes=[Mount(prefix, app=app)])


@pytest.mark.parametrize(
    ("wrap", "base"),
    [
        (lambda app: app, "http://shop.test/omipay/api"),
        (mounted("/gateway"), "http://shop.test/gateway/omipay/api"),
        (mounted("/omipay/api"), "http://shop.test/omipay/api"),
    ],
    ids=["alone", "under a prefix", "at its own path"],
)
async def test_mounted_anywhere(sandbox: Sandbox, raw: RawClient, wrap: Callable[[Any], Any], base: str) -> None:
    """Its base URL ends in ``/omipay/api`` wherever it is mounted, and the pages that it names exist there."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=wrap(sandbox))) as http:
        fields = {**raw.signature(), **WANTED["MakeQROrder"], "out_order_no": "M-1"}
        reply = (await http.post(f"{base}/v2/MakeQROrder", params=fields)).json()
        assert reply["pay_url"].startswith(f"{base}/pay/qrpay?")
        signature = urlencode({**raw.signature(), "redirect_url": "https://shop.test/"})
        assert (await http.get(f"{reply['pay_url']}&{signature}")).status_code == 200
        assert (await http.get(reply["qrcode"])).status_code == 200
        assert (await http.get(f"{base}/")).status_code == 200


async def test_root_path_of_a_transport(sandbox: Sandbox, raw: RawClient) -> None:
    """A ``root_path`` that the path does not repeat is a part of the address, too."""
    transport = httpx.ASGITransport(app=sandbox, root_path="/gateway")
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as http:
        fields = {**raw.signature(), **WANTED["MakeQROrder"], "out_order_no": "M-1"}
        reply = (await http.post("/omipay/api/v2/MakeQROrder", params=fields)).json()
        assert reply["pay_url"].startswith("http://shop.test/gateway/omipay/api/pay/")


async def test_plus_is_a_space(sandbox: Sandbox, raw: RawClient, clock: ManualClock) -> None:
    """The sandbox reads ``+`` as a space, as servers do."""
    query = "&".join(f"{name}={value}" for name, value in {**raw.signature(), **WANTED["MakeScanOrder"]}.items())
    await fetch(sandbox, f"/omipay/api/v2/MakeScanOrder?{query}&out_order_no=a+b".replace("测试商品", "x"))
    assert sandbox.ledger.acted("a b") == 1


async def test_same_seed_same_numbers(clock: ManualClock) -> None:
    """Two sandboxes with one seed give the same numbers, so a test's output can be compared."""
    numbers = []
    for _ in range(2):
        sandbox = Sandbox(clock=clock, seed=7)
        raw = RawClient(sandbox, clock)
        async with raw.http:
            numbers.append(await raw.scanned())
    assert numbers[0] == numbers[1]


def test_every_endpoint_is_called_here() -> None:
    """A new row of the table of endpoints needs a row here, and a handler in the sandbox."""
    assert set(WANTED) == set(ENDPOINTS)


def test_payment_codes_differ() -> None:
    """Each payment code has one meaning."""
    assert len({code.value for code in PaymentCode}) == len(PaymentCode.__members__)


async def test_a_parameter_that_an_endpoint_does_not_have_changes_nothing(raw: RawClient, sandbox: Sandbox) -> None:
    """Scan orders have neither a store nor a platform: the customer's app decides. The ledger has a remark."""
    paid = await raw.ask("MakeScanOrder", o_number="unregistered", platform="POLI")
    assert paid["return_code"] == "SUCCESS"
    order = sandbox.ledger.orders[paid["order_no"]]
    assert (order.platform, order.pay_currency) == ("", "CNY")
    assert sandbox.ledger.calls[-1].remarks == ("unknown parameter o_number", "unknown parameter platform")
