"""The pages of the sandbox can be read and used by everybody: narrow or wide, light or dark, with a keyboard alone."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from selenium.webdriver.common.keys import Keys

from omipay_async import OmipayError, Platform
from omipay_async.sandbox import Fault, PaymentCode

from .test_dashboard import qr_order

if TYPE_CHECKING:
    from pathlib import Path

    from .browser_env import BrowserEnv
    from .chromium import Browser


@pytest.fixture
def pages(env: BrowserEnv) -> dict[str, str]:
    """The address of each kind of page, of a sandbox in which something of everything has happened."""
    notify_url = f"{env.shop_url}/omipay/notify"
    paid = env.order("make_scan_order", "T-1", qrcode="1", pos_no="till-1", notify_url=notify_url).order_no
    env.do(env.omipay.refund, order_no=paid, out_refund_no="R-1", amount=100)
    env.do(env.sandbox.settle)
    long_url = f"{env.shop_url}/{'path' * 60}"
    name = "NoSpaces" * 24
    waiting = env.order("make_qr_order", "L" * 64, order_name=name, platform=Platform.ALIPAY, notify_url=long_url)
    failed = env.order("make_qr_order", "T-3", platform=Platform.ALIPAY)
    env.do(env.sandbox.customer.declines, failed)
    with pytest.raises(OmipayError):
        env.do(env.omipay.query_order, "TR0")
    env.sandbox.faults.add(Fault.EMPTY, endpoint="Refund", times=1)
    root = f"{env.gateway}/?"
    return {
        "overview": root,
        "paid order": f"{root}order={paid}&",
        "open order": f"{root}order={waiting.order_no}&",
        "refused call": f"{root}call={env.sandbox.ledger.calls[-1].number}&",
        "missing": f"{root}call=0&",
        "pay page": f"{waiting.qrcode}&",
        "failed page": f"{failed.qrcode}&",
        "paid page": f"{env.gateway}/omipay/api/pay/wallet?paycode={paid}&",
    }


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("width", [320, 768, 1280])
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


def test_an_order_can_be_paid_without_scripts(browser: Browser, pages: dict[str, str]) -> None:
    """An order can be paid by its button, and no button is shown that does nothing."""
    with browser.without_scripts():
        browser.open(pages["refused call"])
        assert browser.shows("#python")
        assert not browser.shows("#copy")
        browser.open(f"{pages['open order']}lang=en")
        browser.press("button[value=PAID]")
        browser.reads("PAID")


def tab_to(browser: Browser, words: str) -> None:
    """Go on with the Tab key until this has the focus."""
    for _ in range(60):
        if browser.type(Keys.TAB) == words:
            return
    pytest.fail(f"the keyboard does not reach {words!r}")


def test_the_dashboard_works_by_keyboard(browser: Browser, env: BrowserEnv) -> None:
    """Tab goes from top to bottom; Enter opens an order and a call, presses buttons, and changes the language."""
    order_no = qr_order(env, "T-1")
    browser.open(f"{env.gateway}/?lang=en")
    order = [browser.type(Keys.TAB) for _ in range(12)]
    parts = ["Orders", "Refunds", "Calls", "Notifications", "Faults", "Payment codes"]
    assert order == ["Omipay sandbox", "English", "中文", "q", "Search", *parts, order_no]
    assert browser.evaluate("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.type(Keys.ENTER)
    browser.reads("Flat white", "h1")
    tab_to(browser, "MakeQROrder")
    browser.type(Keys.ENTER)
    browser.reads("MakeQROrder", "h1")
    tab_to(browser, "中文")
    browser.type(Keys.ENTER)
    browser.reads("请求参数")
    tab_to(browser, "← 总览")
    browser.type(Keys.ENTER)
    browser.reads("沙箱", "h1")
    tab_to(browser, "支付")
    browser.type(Keys.ENTER)
    browser.sees(lambda: env.status(order_no) == "PAID", "a paid order")


def copied(browser: Browser, env: BrowserEnv, number: int) -> str:
    """The text that the button on the page of a call puts onto the clipboard."""
    browser.open(f"{env.gateway}/?lang=en&call={number}")
    browser.press("#copy")
    browser.reads("Copied", "#copy")
    text: str = browser.evaluate("return navigator.clipboard.readText()")
    assert text == browser.evaluate("return document.querySelector('#python').textContent")
    return text


def test_the_copied_program_repeats_the_call(browser: Browser, env: BrowserEnv, tmp_path: Path) -> None:
    """The copied text is a program that runs as it is, and sends the same call to this sandbox once more."""
    qr = env.order("make_qr_order", "T-1", platform=Platform.ALIPAY, notify_url=f"{env.shop_url}/omipay/notify")
    env.do(env.omipay.query_order, qr.order_no)
    with pytest.raises(OmipayError):
        env.order("make_scan_order", "T-2", qrcode=PaymentCode.NOT_ENOUGH, pos_no="till-1")
    first = list(env.sandbox.ledger.calls)
    merchant = env.sandbox.merchant
    environment = {"OMIPAY_M_NUMBER": merchant.m_number, "OMIPAY_SECRET_KEY": merchant.secret_key}
    permissions = ["clipboardReadWrite", "clipboardSanitizedWrite"]
    browser.driver.execute_cdp_cmd("Browser.grantPermissions", {"permissions": permissions})
    printed = []
    for call in first:
        program = tmp_path / f"{call.endpoint}.py"
        program.write_text(copied(browser, env, call.number), encoding="utf-8")
        ended = subprocess.run(
            [sys.executable, str(program)],
            env={**os.environ, **environment},
            input=f"{PaymentCode.NOT_ENOUGH}\n",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        printed.append(ended.stdout + ended.stderr)
    made, asked, refused = printed
    assert ("QROrder(" in made, f"order_no='{qr.order_no}'" in asked) == (True, True)
    assert "ORDER_CLOSED" in refused  # the number T-2 is used up: the call itself was made
    again = env.sandbox.ledger.calls[len(first) :]
    own = {"m_number", "timestamp"}
    assert [{**call.fields, **dict.fromkeys(own)} for call in again] == [
        {**call.fields, **dict.fromkeys(own)} for call in first
    ]


@pytest.mark.parametrize(("kind", "answer"), [("forge", "403"), ("duplicate", "SUCCESS"), ("delay", "SUCCESS")])
def test_notification_buttons(browser: Browser, env: BrowserEnv, kind: str, answer: str) -> None:
    """A forged notification is refused by the shop, the true one again does no harm, and each is listed by itself."""
    notify_url = f"{env.shop_url}/omipay/notify"
    order = env.order("make_scan_order", "T-1", qrcode="1", pos_no="till-1", notify_url=notify_url)
    env.do(env.sandbox.settle)
    browser.open(f"{env.gateway}/?lang=en&order={order.order_no}")
    assert browser.evaluate("return document.querySelectorAll('#live details').length") == 1
    browser.press(f'button[name=notify][value="{kind}"]')
    if kind == "delay":
        browser.reads("Send it again in 10 s")
        return
    browser.sees(lambda: browser.evaluate("return document.querySelectorAll('#live details').length") == 2, "a second")
    browser.reads(answer, "#live details:last-of-type summary")
    assert len(env.fulfilled) == 1


def test_an_empty_sandbox_says_what_to_do(browser: Browser, env: BrowserEnv) -> None:
    """Until the first call there is a hint, which goes away by itself."""
    browser.open(f"{env.gateway}/?lang=en")
    browser.reads("Nothing has happened yet.", "#hint")
    qr_order(env, "T-1")
    browser.sees(lambda: not browser.shows("#hint"), "a page without the hint")
