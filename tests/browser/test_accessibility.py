"""The pages of the sandbox can be read and used by everybody: narrow or wide, light or dark, with a keyboard alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from selenium.webdriver.common.keys import Keys

from omipay_async import OmipayError, Platform
from omipay_async.sandbox import Fault

from .test_dashboard import qr_order

if TYPE_CHECKING:
    from .browser_env import Town
    from .chromium import Browser


@pytest.fixture
def pages(town: Town) -> dict[str, str]:
    """The address of each kind of page, of a sandbox in which something of everything has happened."""
    notify_url = f"{town.shop_url}/omipay/notify"
    paid = town.order("make_scan_order", "T-1", qrcode="1", pos_no="till-1", notify_url=notify_url).order_no
    town.do(town.omipay.refund, order_no=paid, out_refund_no="R-1", amount=100)
    town.do(town.sandbox.settle)
    waiting = town.order("make_qr_order", "T-2", platform=Platform.ALIPAY)
    failed = town.order("make_qr_order", "T-3", platform=Platform.ALIPAY)
    town.do(town.sandbox.customer.declines, failed)
    with pytest.raises(OmipayError):
        town.do(town.omipay.query_order, "TR0")
    town.sandbox.faults.add(Fault.EMPTY, endpoint="Refund", times=1)
    root = f"{town.gateway}/?"
    return {
        "overview": root,
        "paid order": f"{root}order={paid}&",
        "open order": f"{root}order={waiting.order_no}&",
        "refused call": f"{root}call={town.sandbox.ledger.calls[-1].number}&",
        "missing": f"{root}call=0&",
        "pay page": f"{waiting.qrcode}&",
        "failed page": f"{failed.qrcode}&",
        "paid page": f"{town.gateway}/omipay/api/pay/wallet?paycode={paid}&",
    }


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("width", [390, 1400])
def test_every_page_can_be_read(browser: Browser, pages: dict[str, str], width: int, language: str, dark: bool) -> None:
    """Nothing is wider than the screen, each text stands out, each control has a name, and there is one h1."""
    with browser.screen(width, dark=dark):
        for name, url in pages.items():
            browser.open(f"{url}lang={language}")
            browser.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
            assert (name, browser.wider_than_the_screen()) == (name, [])
            assert (name, browser.hard_to_read()) == (name, [])
            if name not in {"missing", "failed page", "paid page"}:
                assert (name, browser.nameless()) == (name, [])
            assert browser.evaluate("return document.querySelectorAll('h1').length") == 1
            assert browser.evaluate("return document.documentElement.lang").startswith(language)


def tab_to(browser: Browser, words: str) -> None:
    """Go on with the Tab key until this has the focus."""
    for _ in range(60):
        if browser.type(Keys.TAB) == words:
            return
    pytest.fail(f"the keyboard does not reach {words!r}")


def test_by_keyboard(browser: Browser, town: Town) -> None:
    """Tab goes from top to bottom; Enter opens an order and a call, presses buttons, and changes the language."""
    order_no = qr_order(town, "T-1")
    browser.open(f"{town.gateway}/?lang=en")
    order = [browser.type(Keys.TAB) for _ in range(6)]
    assert order == ["Omipay sandbox", "English", "中文", "q", "Search", order_no]
    assert browser.evaluate("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.type(Keys.ENTER)
    browser.reads("Flat white", "h1")
    tab_to(browser, "MakeQROrder")
    browser.type(Keys.ENTER)
    browser.reads("MakeQROrder", "h1")
    tab_to(browser, "中文")
    browser.type(Keys.ENTER)
    browser.reads("请求参数")
    tab_to(browser, "← 全部订单")
    browser.type(Keys.ENTER)
    browser.reads("沙箱", "h1")
    tab_to(browser, "支付")
    browser.type(Keys.ENTER)
    browser.sees(lambda: town.status(order_no) == "PAID", "a paid order")


def test_copied_python_runs(browser: Browser, town: Town) -> None:
    """The button puts the shown code onto the clipboard, says so, and the code is the call itself."""
    order_no = qr_order(town, "T-1")
    town.do(town.omipay.query_order, order_no)
    browser.driver.execute_cdp_cmd(
        "Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    )
    browser.open(f"{town.gateway}/?lang=en&call={town.sandbox.ledger.calls[-1].number}")
    browser.press("#copy")
    browser.reads("Copied", "#copy")
    copied = browser.evaluate("return navigator.clipboard.readText()")
    assert copied == browser.text("#python")
    code = "async def again(omipay):\n    return " + copied
    namespace: dict[str, object] = {}
    exec(code, namespace)
    again = namespace["again"]
    assert callable(again)
    assert town.do(again, town.omipay).order_no == order_no


@pytest.mark.parametrize(("kind", "answer"), [("forge", "403"), ("duplicate", "SUCCESS"), ("delay", "SUCCESS")])
def test_notification_buttons(browser: Browser, town: Town, kind: str, answer: str) -> None:
    """A forged notification is refused by the shop, the true one again does no harm, and each is listed by itself."""
    notify_url = f"{town.shop_url}/omipay/notify"
    order = town.order("make_scan_order", "T-1", qrcode="1", pos_no="till-1", notify_url=notify_url)
    town.do(town.sandbox.settle)
    browser.open(f"{town.gateway}/?lang=en&order={order.order_no}")
    assert browser.evaluate("return document.querySelectorAll('#live details').length") == 1
    town.do(asyncio.sleep, 0)
    browser.press(f'button[name=notify][value="{kind}"]')
    if kind == "delay":
        browser.reads("Send it again in 10 s")
        return
    browser.sees(lambda: browser.evaluate("return document.querySelectorAll('#live details').length") == 2, "a second")
    browser.reads(answer, "#live details:last-of-type summary")
    assert len(town.fulfilled) == 1


def test_an_empty_sandbox_says_what_to_do(browser: Browser, town: Town) -> None:
    """Until the first call there is a hint, which goes away by itself."""
    browser.open(f"{town.gateway}/?lang=en")
    browser.reads("Nothing has happened yet.", "#hint")
    qr_order(town, "T-1")
    browser.sees(lambda: not browser.shows("#hint"), "a page without the hint")
