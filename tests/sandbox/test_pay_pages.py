"""The pay pages for a customer's browser, and their buttons."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from omipay_async.sandbox.web.translations import CHINESE

from .raw import RawClient, press

if TYPE_CHECKING:
    from omipay_async.sandbox import Sandbox
    from omipay_async.testing import ManualClock

THANKS = "https://shop.test/thanks?a=1&b=2"


def signed(raw: RawClient, url: str, **changes: Any) -> str:
    """A pay page's address as a merchant sends the browser there."""
    fields = {**raw.signature(), "redirect_url": THANKS, **changes}
    return f"{url}&{urlencode({name: value for name, value in fields.items() if value is not None})}"


async def test_pay_page_of_a_qr_order(raw: RawClient, sandbox: Sandbox) -> None:
    """The signed page shows the order, a QR code and two buttons; paying leads to ``redirect_url``."""
    order = await raw.ask("MakeQROrder", language="EN", order_name="Flat white")
    url = signed(raw, order["pay_url"])
    page = await raw.http.get(url)
    assert page.status_code == 200
    for piece in (
        "Flat white",
        "1.00 AUD",
        "5.02 CNY",
        'id="pay"',
        'id="decline"',
        'id="qr"',
        "<svg",
        '<html lang="en">',
    ):
        assert piece in page.text
    assert f'data-text="{order["qrcode"]}"' in page.text
    assert page.headers["referrer-policy"] == "same-origin"
    pressed = await press(raw, url, "pay", origin="http://gateway.test")
    assert (pressed.status_code, pressed.headers["location"]) == (
        303,
        f"http://gateway.test{pressed.url.raw_path.decode()}",
    )
    landed = await raw.http.get(pressed.headers["location"])
    assert (landed.status_code, landed.headers["location"]) == (303, THANKS)
    assert sandbox.ledger.paid_total() == 100


async def test_declining(raw: RawClient, sandbox: Sandbox) -> None:
    """The page of a declined order says so, and does not have buttons any more."""
    order = await raw.ask("MakeQROrder")
    url = signed(raw, order["pay_url"])
    await press(raw, url, "decline")
    page = await raw.http.get(url)
    assert page.status_code == 200
    assert CHINESE["This order was not paid."] in page.text
    assert 'id="pay"' not in page.text
    assert sandbox.ledger.orders[order["order_no"]].status == "FAILED"
    await press(raw, url, "pay")
    assert sandbox.ledger.paid_total() == 0


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"m_number": None}, "PARAMETER_INVALID"),
        ({"sign": "8516A3B52F9C8897F52239B19CD8A499"}, "SIGN_ERROR"),
        ({"timestamp": "1482796000000"}, "SIGN_TIMEOUT"),
        ({"m_number": "999999"}, "MERCHANTNO_INVALID"),
        ({"redirect_url": None}, "PARAMETER_INVALID"),
        ({"redirect_url": " "}, "PARAMETER_INVALID"),
    ],
)
async def test_pay_page_needs_a_signature(raw: RawClient, changes: dict[str, Any], code: str) -> None:
    """The page checks the signature as an endpoint does, says what is wrong, and shows no button."""
    order = await raw.ask("MakeJSAPIOrder", show_pc_pay_url="1", language="EN")
    page = await raw.http.get(signed(raw, order["pc_pay_url"], **changes))
    assert page.status_code == 400
    assert code in page.text
    assert 'id="pay"' not in page.text


async def test_pay_page_of_another_merchant(raw: RawClient, sandbox: Sandbox) -> None:
    """A valid signature opens only the orders of the merchant who signed."""
    order = await raw.ask("MakeQROrder")
    sandbox.add_merchant("654321", "another-toy-key")
    other = RawClient(sandbox, raw.clock, m_number="654321", secret_key="another-toy-key")
    async with other.http:
        page = await other.http.get(signed(other, order["pay_url"]))
    assert (page.status_code, "PERMISSION_ERROR" in page.text) == (400, True)


async def test_button_pressed_late(raw: RawClient, sandbox: Sandbox, clock: ManualClock) -> None:
    """A button works later on a page that was opened in time, but not on a forged one."""
    url = signed(raw, (await raw.ask("MakeQROrder"))["pay_url"])
    await clock.advance(600)
    assert (await raw.http.get(url)).status_code == 400
    assert (await press(raw, re.sub("sign=.", "sign=x", url), "pay")).status_code == 400
    assert (await press(raw, url, "pay")).status_code == 303
    assert sandbox.ledger.paid_total() == 100


@pytest.mark.parametrize(
    ("name", "fields", "target"),
    [
        ("MakeJSAPIOrder", {"redirect_url": "shop.test/back"}, "http://shop.test/back"),
        ("MakeOnlineOrder", {"return_url": "https://shop.test/back "}, "https://shop.test/back"),
    ],
)
async def test_unsigned_pages(raw: RawClient, name: str, fields: dict[str, str], target: str) -> None:
    """JSAPI and online pages need no signature, and lead to the order's own address after payment."""
    url = (await raw.ask(name, **fields))["pay_url"]
    assert 'id="pay"' in (await raw.http.get(url)).text
    await press(raw, url, "pay")
    landed = await raw.http.get(url)
    assert (landed.status_code, landed.headers["location"]) == (303, target)


async def test_wallet_page(raw: RawClient, sandbox: Sandbox) -> None:
    """An order's QR code opens a page on a phone, where it can be paid, and which shows that it is paid."""
    order = await raw.ask("MakeQROrder")
    state = f"http://gateway.test/omipay/api/pay/state?paycode={order['order_no']}"
    assert (await raw.http.get(state)).json() == {"is_final": False, "is_paid": False}
    await press(raw, order["qrcode"], "pay")
    page = await raw.http.get(order["qrcode"])
    assert (page.status_code, 'id="paid"' in page.text) == (200, True)
    assert (await raw.http.get(state)).json() == {"is_final": True, "is_paid": True}


async def test_online_order_without_return_url(raw: RawClient) -> None:
    """Without a ``return_url`` the page stays, and says that it is paid."""
    url = (await raw.ask("MakeOnlineOrder"))["pay_url"]
    await press(raw, url, "pay")
    assert 'id="paid"' in (await raw.http.get(url)).text


async def test_unknown_pages(raw: RawClient) -> None:
    """Unknown orders, pages and buttons are refused."""
    for query, lang in (
        ("?paycode=TR0&language=EN", "There is no such order."),
        ("", "订单不存在。"),
        ("?a=%ff", "订单"),
    ):
        page = await raw.http.get(f"/omipay/api/pay/qrpay{query}")
        assert (page.status_code, lang in page.text) == (404, True)
    assert (await raw.http.get("/omipay/api/pay/nothing")).status_code == 404
    assert (await raw.http.get("/pay/qrpay")).status_code == 404
    url = (await raw.ask("MakeOnlineOrder"))["pay_url"]
    assert (await press(raw, url, "steal")).status_code == 400


async def test_names_are_escaped(raw: RawClient) -> None:
    """Text from outside cannot become markup, on this page or on the dashboard."""
    evil = "<script>alert(1)</script>"
    order = await raw.ask("MakeQROrder", order_name=evil, out_order_no=f"{evil}'\"")
    for url in (order["qrcode"], "/"):
        assert evil not in (await raw.http.get(url)).text


ELSEWHERE = [
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"origin": "http://evil.test"},
    {"origin": "null"},
]
FROM_HERE: list[dict[str, str]] = [{"sec-fetch-site": "same-origin"}, {"origin": "http://gateway.test"}, {}]


@pytest.mark.parametrize(("headers", "refused"), [*((h, True) for h in ELSEWHERE), *((h, False) for h in FROM_HERE)])
async def test_buttons_of_other_sites(raw: RawClient, sandbox: Sandbox, headers: dict[str, str], refused: bool) -> None:
    """The page of another site cannot press a button of the pay page or of the dashboard."""
    order = await raw.ask("MakeOnlineOrder")
    answer = await press(raw, order["pay_url"], "pay", **headers)
    assert (answer.status_code == 403) is refused
    assert sandbox.ledger.paid_total() == (0 if refused else 100)
    answer = await raw.http.post("/", data={"fault": "EMPTY"}, headers=headers)
    assert (answer.status_code == 403) is refused
    assert bool(sandbox.faults.rules) is not refused
