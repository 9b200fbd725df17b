"""What ``pay_url``, ``pc_pay_url`` and ``qrcode`` lead to, as a customer sees it."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
import segno

from omipay_async import AsyncOmipay, Language, OnlineType, Platform
from omipay_async.testing import ManualClock

from .chromium import DESK, PHONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from .browser_env import BrowserEnv
    from .chromium import Browser


def test_from_the_shop_and_back(browser: Browser, env: BrowserEnv) -> None:
    """The shop sends the browser to pay; it comes back to thanks, and the order is confirmed and fulfilled once."""
    browser.open(env.buy)
    assert browser.driver.current_url.startswith(f"{env.gateway}/omipay/api/pay/qrpay?")
    assert browser.text("h1") == "Flat white"
    assert browser.text("#amount") == "4.50 AUD"
    browser.press("#pay")
    browser.arrives(env.thanks)
    assert browser.text("h1") == "Thank you"
    env.do(env.sandbox.settle)
    order_no = env.only_order()
    assert [(order.order_no, order.amount, order.is_paid) for order in env.fulfilled] == [(order_no, 450, True)]
    assert [(delivery.number, delivery.accepted) for delivery in env.sandbox.ledger.deliveries] == [(1, True)]
    assert [call.endpoint for call in env.sandbox.ledger.calls] == ["MakeQROrder", "QueryOrder"]


@pytest.mark.parametrize(("width", "dark"), [(DESK, False), (PHONE, False), (DESK, True)])
def test_the_code_on_the_screen_is_that_of_the_order(browser: Browser, env: BrowserEnv, width: int, dark: bool) -> None:
    """What a phone's camera sees on the screen, module by module, is the QR code of the order's ``qrcode``."""
    order = env.order("make_qr_order", platform=Platform.ALIPAY)
    with browser.screen(width, dark=dark):
        browser.open(env.omipay.pay_page_url(order, redirect_url=env.thanks))
        code = segno.make(order.qrcode, error="m", micro=False)
        assert browser.modules("#qr svg", len(code.matrix) + 8) == [list(row) for row in code.matrix_iter(border=4)]


def test_qr_code_of_a_long_address(browser: Browser, env: BrowserEnv) -> None:
    """A code with many modules is scaled to a phone's screen, not cut off."""
    merchant = env.sandbox.merchant
    far_away = f"{env.gateway}/{'tunnel/' * 40}omipay/api"
    omipay = AsyncOmipay(merchant.m_number, merchant.secret_key, base_url=far_away)
    with env.portal.wrap_async_context_manager(omipay), browser.screen(PHONE):
        order = env.order("make_qr_order", omipay=omipay, platform=Platform.ALIPAY)
        browser.open(omipay.pay_page_url(order, redirect_url=env.thanks))
        code = segno.make(order.qrcode, error="m", micro=False)
        assert browser.modules("#qr svg", len(code.matrix) + 8) == [list(row) for row in code.matrix_iter(border=4)]


def test_a_customer_who_declines_has_not_paid(browser: Browser, env: BrowserEnv) -> None:
    """A customer who declines stays on the page and reads that it was not paid; the shop is not notified."""
    browser.open(env.buy)
    browser.press("#decline")
    browser.reads("This order was not paid.", "#failed")
    assert not browser.shows("button")
    env.do(env.sandbox.settle)
    assert (env.status(env.only_order()), env.fulfilled, env.sandbox.ledger.deliveries) == ("FAILED", [], [])


def test_tampered_signature(browser: Browser, env: BrowserEnv) -> None:
    """A page whose signature is not right says so, and takes no money."""
    order = env.order("make_qr_order", platform=Platform.ALIPAY)
    url = env.omipay.pay_page_url(order, redirect_url=env.thanks)
    browser.open(re.sub("nonce_str=....", "nonce_str=0000", url))
    browser.reads("SIGN_ERROR", "#problem")
    assert not browser.shows("button")


def test_stale_signature(browser: Browser, open_env: Callable[..., BrowserEnv]) -> None:
    """A signed address does not work after ten minutes, and the page says how old it is."""
    clock = ManualClock(time.time())
    env = open_env(clock=clock)
    order = env.order("make_qr_order", platform=Platform.ALIPAY)
    url = env.omipay.pay_page_url(order, redirect_url=env.thanks)
    clock.shift(600)
    browser.open(url)
    browser.reads("SIGN_TIMEOUT", "#problem")
    browser.reads("behind the gateway's clock", "#problem")
    assert not browser.shows("button")


@pytest.mark.parametrize(("button", "status"), [("#pay", "PAID"), ("#decline", "FAILED")])
def test_a_page_opened_in_time_takes_money_later(
    browser: Browser, open_env: Callable[..., BrowserEnv], button: str, status: str
) -> None:
    """A page that was opened in time goes on working after its signature is stale: who pays is still led back."""
    clock = ManualClock(time.time())
    env = open_env(clock=clock)
    browser.open(env.buy)
    clock.shift(600)
    browser.press(button)
    if status == "PAID":
        browser.arrives(env.thanks)
    else:
        browser.reads("This order was not paid.", "#failed")
    assert env.status(env.only_order()) == status


def test_paid_on_a_phone(browser: Browser, env: BrowserEnv) -> None:
    """Once the QR code was scanned and paid on a phone, the page that still shows it goes on to the shop by itself."""
    browser.open(env.buy)
    with browser.another_tab(browser.attribute("#qr", "data-text")):
        assert browser.text("#amount") == "4.50 AUD"
        browser.press("#pay")
        browser.reads("This order is paid.", "#paid")
    browser.arrives(env.thanks)
    env.do(env.sandbox.settle)
    assert [order.order_no for order in env.fulfilled] == [env.only_order()]


def test_shop_that_is_slow(browser: Browser, env: BrowserEnv) -> None:
    """A shop that takes longer to answer than the page takes to look again is visited once."""
    order = env.order("make_qr_order", platform=Platform.ALIPAY)
    thanks = f"{env.thanks}?seconds=0.4"
    browser.open(env.omipay.pay_page_url(order, redirect_url=thanks))
    env.do(env.sandbox.customer.pays, order)
    browser.arrives(thanks)
    assert env.thanked == [0.4]


def test_declined_on_a_phone(browser: Browser, env: BrowserEnv) -> None:
    """A page whose order failed elsewhere says so and stays: a ``redirect_url`` is for success alone."""
    browser.open(env.buy)
    env.do(env.sandbox.customer.declines, env.only_order())
    browser.reads("This order was not paid.", "#failed")
    assert not browser.shows("button")


def test_jsapi_pages(browser: Browser, env: BrowserEnv) -> None:
    """``pay_url`` opens unsigned and leads to the order's ``redirect_url``; ``pc_pay_url`` to that of its signature."""
    on_phone, on_pc = (
        env.order("make_jsapi_order", number, redirect_url=f"{env.thanks}?by=phone", show_pc_pay_url=True)
        for number in ("J-1", "J-2")
    )
    browser.open(on_phone.pay_url)
    browser.press("#pay")
    browser.arrives(f"{env.thanks}?by=phone")
    browser.open(on_pc.pc_pay_url)
    browser.reads("PARAMETER_INVALID", "#problem")
    browser.open(env.omipay.pay_page_url(on_pc, redirect_url=f"{env.thanks}?by=pc"))
    browser.press("#pay")
    browser.arrives(f"{env.thanks}?by=pc")


def test_online_pages(browser: Browser, env: BrowserEnv) -> None:
    """An online order's page leads to its ``return_url``; without one it stays and says that the order is paid."""
    returning = env.order("make_online_order", "O-1", type=OnlineType.WEB, return_url=env.thanks)
    staying = env.order("make_online_order", "O-2", type=OnlineType.WAP)
    browser.open(returning.pay_url)
    browser.press("#pay")
    browser.arrives(env.thanks)
    browser.open(staying.pay_url)
    browser.press("#pay")
    browser.reads("This order is paid.", "#paid")
    assert not browser.shows("button")


def test_no_signature_travels_on(browser: Browser, env: BrowserEnv) -> None:
    """The shop's page does not learn the signed address that the browser came from."""
    browser.open(env.buy)
    browser.press("#pay")
    browser.arrives(env.thanks)
    assert browser.evaluate("return document.referrer") in {"", f"{env.gateway}/"}


def test_in_chinese(browser: Browser, open_env: Callable[..., BrowserEnv]) -> None:
    """An order that was made in Chinese has a page in Chinese."""
    env = open_env(language=Language.CHS)
    browser.open(f"{env.buy}?name=%E6%8B%BF%E9%93%81")
    assert (browser.text("h1"), browser.text("#pay"), browser.text("#decline")) == ("拿铁", "支付", "拒绝支付")
    assert browser.evaluate("return document.documentElement.lang") == "zh-CN"
    browser.press("#decline")
    browser.reads("订单未支付成功。", "#failed")


@pytest.mark.parametrize("language", [Language.EN, Language.CHS])
def test_fits_a_phone(browser: Browser, open_env: Callable[..., BrowserEnv], language: Language) -> None:
    """Nothing has to be scrolled sideways at 375 pixels, however long the name: paying, failing, refusing."""
    env = open_env(language=language)
    with browser.screen(PHONE):
        browser.open(f"{env.buy}?name=Donaudampfschifffahrtsgesellschaftskapitaenskajuete+{'x' * 60}")
        assert browser.wider_than_the_screen() == []
        browser.open(browser.driver.current_url.replace("sign=", "sign=x"))
        assert browser.shows("#problem")
        assert browser.wider_than_the_screen() == []
        browser.open(env.buy)
        browser.press("#decline")
        browser.sees(lambda: browser.shows("#failed"), "#failed")
        assert browser.wider_than_the_screen() == []
