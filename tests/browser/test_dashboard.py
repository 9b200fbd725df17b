"""The sandbox's dashboard, as a developer sees it while a program is being written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from omipay_async import AsyncOmipay, AuthenticationError, Platform

from .chromium import PHONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from .browser_env import BrowserEnv
    from .chromium import Browser


def button(number: str, to: str) -> str:
    """The button that brings an order or a refund to a status."""
    return f'form:has(input[value="{number}"]) button[value="{to}"]'


def qr_order(env: BrowserEnv, number: str) -> str:
    order_no: str = env.order("make_qr_order", number, platform=Platform.ALIPAY).order_no
    return order_no


def test_orders_appear(browser: Browser, env: BrowserEnv) -> None:
    """What a program does while the page is open appears on it by itself."""
    browser.open(env.gateway)
    assert "None yet." in browser.text("#live")
    order_no = qr_order(env, "T1-000231")
    browser.reads(order_no, "#live")
    browser.reads("T1-000231", "#live")
    browser.reads("MakeQROrder", "#live")


def test_the_page_of_an_order_that_a_restarted_sandbox_does_not_know_says_so(
    browser: Browser, open_env: Callable[..., BrowserEnv]
) -> None:
    """It stays open while the sandbox is started again, with an empty ledger."""
    before = open_env()
    order_no = qr_order(before, "T-1")
    browser.open(f"{before.gateway}/?lang=en&order={order_no}")
    browser.reads("T-1", "#live")
    open_env()
    before.do(before.sandbox.customer.pays, order_no)  # so that the page looks at once
    browser.reads("There is no such order or call.")


def test_order_buttons(browser: Browser, env: BrowserEnv) -> None:
    """Orders are scanned, paid, settled, declined and cancelled by buttons, and the shop is told of the paid one."""
    paid = env.order("make_qr_order", "T-1", platform=Platform.ALIPAY, notify_url=f"{env.shop_url}/omipay/notify")
    declined, cancelled = qr_order(env, "T-2"), qr_order(env, "T-3")
    browser.open(env.gateway)
    steps = [(paid.order_no, ["PAYING", "PAID", "SETTLED"]), (declined, ["FAILED"]), (cancelled, ["CANCELLED"])]
    for order_no, statuses in steps:
        for status in statuses:
            browser.press(button(order_no, status))
            browser.reads(status, f"tr:has(input[value='{order_no}'])" if status in {"PAYING", "PAID"} else "#live")
            assert env.status(order_no) == status
    assert not browser.shows("#live button")
    browser.reads("paid 4.50 AUD")
    env.do(env.sandbox.settle)
    assert [order.out_order_no for order in env.fulfilled] == ["T-1"]


def test_refund_buttons(browser: Browser, env: BrowserEnv) -> None:
    """A refund goes on step by step, until the program's own poll finds it closed."""
    order_no = qr_order(env, "T-1")
    env.do(env.sandbox.customer.pays, order_no)
    receipt = env.do(env.omipay.refund, order_no=order_no, out_refund_no="R-1", amount=200)
    browser.open(env.gateway)
    browser.reads("refunded 2.00 AUD")
    for status in ("MerchantConfirmed", "OrganizationConfirmed", "OrganizationPayback", "Closed"):
        browser.press(button(receipt.refund_no, status))
        browser.reads(
            status, f"tr:has(input[value='{receipt.refund_no}']) td:nth-child(4)" if status != "Closed" else "#live"
        )
    refund = env.do(env.omipay.poll_until_refunded, receipt, first_wait=0, timeout=5)
    assert (refund.status, refund.amount) == ("Closed", 200)


def test_what_was_wrong_with_a_call(browser: Browser, env: BrowserEnv) -> None:
    """A call with a wrong key is listed with what is wrong about it; neither key nor any signature is in the page."""
    merchant = env.sandbox.merchant
    browser.open(env.gateway)
    omipay = AsyncOmipay(merchant.m_number, merchant.secret_key.upper(), base_url=f"{env.gateway}/omipay/api")
    with env.portal.wrap_async_context_manager(omipay), pytest.raises(AuthenticationError):
        env.order("make_qr_order", omipay=omipay, platform=Platform.ALIPAY)
    browser.reads("SIGN_ERROR", "#live")
    browser.reads("key: it was signed in upper case", "#live")
    for secret in (merchant.secret_key, merchant.secret_key.upper()):
        assert secret not in browser.source
    assert not re.search("[0-9A-Fa-f]{32}", browser.source)


def test_fault_button(browser: Browser, env: BrowserEnv) -> None:
    """A fault that is chosen applies to the next call, once; the list of calls shows it, and faults can be cleared."""
    browser.open(env.gateway)
    browser.choose("select[name=fault]", "EMPTY")
    browser.choose("select[name=endpoint]", "GetExchangeRate")
    browser.press("#fault")
    browser.reads("EMPTY GetExchangeRate: applied 0/1")
    env.do(env.omipay.get_exchange_rate, "AUD", "CNY")
    assert [call.faults for call in env.sandbox.ledger.calls] == [("EMPTY",), ()]
    browser.reads("EMPTY", "#live")
    browser.reads("SUCCESS", "#live")
    browser.press("#clear")
    browser.sees(lambda: "EMPTY GetExchangeRate" not in browser.text("main"), "an empty list of faults")
    assert env.sandbox.faults.rules == []


def test_what_is_open_stays_open(browser: Browser, env: BrowserEnv) -> None:
    """A notification that somebody has opened is still open after the page was brought up to date."""
    notify_url = f"{env.shop_url}/omipay/notify"
    order = env.order("make_scan_order", "T-1", qrcode="1", pos_no="till-1", notify_url=notify_url)
    env.do(env.sandbox.settle)
    browser.open(f"{env.gateway}/?order={order.order_no}")
    browser.press("#live summary")
    browser.evaluate("document.activeElement.blur();")
    env.do(env.omipay.refund, order_no=order.order_no, out_refund_no="R-1", amount=1)
    browser.reads("MerchantConfirmed", "#live")
    assert browser.text("details[open] pre").startswith("{")


def test_in_chinese(browser: Browser, env: BrowserEnv) -> None:
    """A link changes the language, and it stays so when a button is pressed."""
    order_no = qr_order(env, "T-1")
    browser.open(env.gateway)
    browser.press('a[href="?lang=zh"]')
    browser.reads("订单", "h2")
    assert browser.text(button(order_no, "PAID")) == "支付"
    browser.press(button(order_no, "PAID"))
    browser.sees(lambda: browser.text(button(order_no, "SETTLED")) == "结算", "结算")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_fits_a_phone(browser: Browser, env: BrowserEnv, language: str) -> None:
    """Nothing has to be scrolled sideways at 375 pixels, with every table filled and names however long."""
    name = f"Donaudampfschifffahrtsgesellschaft {'x' * 60}"
    notify_url = f"{env.shop_url}/omipay/notify"
    order = env.order("make_scan_order", "N" * 40, order_name=name, qrcode="1", pos_no="till-1", notify_url=notify_url)
    env.do(env.omipay.refund, order_no=order.order_no, out_refund_no="R-1", amount=1)
    qr_order(env, "T-1")
    env.do(env.sandbox.settle)
    with browser.screen(PHONE):
        browser.open(f"{env.gateway}/?lang={language}")
        assert order.order_no in browser.text("#live")
        assert browser.wider_than_the_screen() == []
