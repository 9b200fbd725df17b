"""What ``pay_url``, ``pc_pay_url`` and ``qrcode`` lead to, as a customer sees it."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
import segno

from omipay_async import AsyncOmipay, Language, OnlineType, Platform
from omipay_async.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from .browser_env import Town
    from .chromium import Browser


def test_from_the_shop_and_back(browser: Browser, town: Town) -> None:
    """The shop sends the browser to pay; it comes back to thanks, and the order is confirmed and fulfilled once."""
    browser.open(town.buy)
    assert browser.driver.current_url.startswith(f"{town.gateway}/omipay/api/pay/qrpay?")
    assert browser.text("h1") == "Flat white"
    assert browser.text("#amount") == "4.50 AUD"
    browser.press("#pay")
    browser.arrives(town.thanks)
    assert browser.text("h1") == "Thank you"
    town.do(town.sandbox.settle)
    order_no = town.only_order()
    assert [(order.order_no, order.amount, order.is_paid) for order in town.fulfilled] == [(order_no, 450, True)]
    assert [(delivery.number, delivery.accepted) for delivery in town.sandbox.ledger.deliveries] == [(1, True)]
    assert [call.endpoint for call in town.sandbox.ledger.calls] == ["MakeQROrder", "QueryOrder"]


@pytest.mark.parametrize("screen", ["on_a_desk", "on_a_phone", "in_the_dark"])
def test_qr_code(browser: Browser, town: Town, screen: str) -> None:
    """What a phone's camera sees on the screen, module by module, is the QR code of the order's ``qrcode``."""
    order = town.order("make_qr_order", platform=Platform.ALIPAY)
    with getattr(browser, screen)():
        browser.open(town.omipay.pay_page_url(order, redirect_url=town.thanks))
        code = segno.make(order.qrcode, error="m", micro=False)
        assert browser.modules("#qr svg", len(code.matrix) + 8) == [list(row) for row in code.matrix_iter(border=4)]


def test_qr_code_of_a_long_address(browser: Browser, town: Town) -> None:
    """A code with many modules is scaled to a phone's screen, not cut off."""
    merchant = town.sandbox.merchant
    far_away = f"{town.gateway}/{'tunnel/' * 40}omipay/api"
    omipay = AsyncOmipay(merchant.m_number, merchant.secret_key, base_url=far_away)
    with town.portal.wrap_async_context_manager(omipay), browser.on_a_phone():
        order = town.order("make_qr_order", omipay=omipay, platform=Platform.ALIPAY)
        browser.open(omipay.pay_page_url(order, redirect_url=town.thanks))
        code = segno.make(order.qrcode, error="m", micro=False)
        assert browser.modules("#qr svg", len(code.matrix) + 8) == [list(row) for row in code.matrix_iter(border=4)]


def test_decline(browser: Browser, town: Town) -> None:
    """Who declines stays on the page and reads that it was not paid; the shop hears nothing."""
    browser.open(town.buy)
    browser.press("#decline")
    browser.reads("This order was not paid.", "#failed")
    assert not browser.shows("button")
    town.do(town.sandbox.settle)
    assert (town.status(town.only_order()), town.fulfilled, town.sandbox.ledger.deliveries) == ("FAILED", [], [])


def test_tampered_signature(browser: Browser, town: Town) -> None:
    """A page whose signature is not right says so, and takes no money."""
    order = town.order("make_qr_order", platform=Platform.ALIPAY)
    url = town.omipay.pay_page_url(order, redirect_url=town.thanks)
    browser.open(re.sub("nonce_str=....", "nonce_str=0000", url))
    browser.reads("SIGN_ERROR", "#problem")
    assert not browser.shows("button")


def test_stale_signature(browser: Browser, open_town: Callable[..., Town]) -> None:
    """A signed address that was kept for ten minutes opens nothing any more, and the page says how late it came."""
    clock = ManualClock(time.time())
    town = open_town(clock=clock)
    order = town.order("make_qr_order", platform=Platform.ALIPAY)
    url = town.omipay.pay_page_url(order, redirect_url=town.thanks)
    clock.shift(600)
    browser.open(url)
    browser.reads("SIGN_TIMEOUT", "#problem")
    browser.reads("behind the gateway's clock", "#problem")
    assert not browser.shows("button")


@pytest.mark.parametrize(("button", "status"), [("#pay", "PAID"), ("#decline", "FAILED")])
def test_customer_who_takes_long(browser: Browser, open_town: Callable[..., Town], button: str, status: str) -> None:
    """A page that was opened in time goes on working after its signature is stale: who pays is still led back."""
    clock = ManualClock(time.time())
    town = open_town(clock=clock)
    browser.open(town.buy)
    clock.shift(600)
    browser.press(button)
    if status == "PAID":
        browser.arrives(town.thanks)
    else:
        browser.reads("This order was not paid.", "#failed")
    assert town.status(town.only_order()) == status


def test_paid_on_a_phone(browser: Browser, town: Town) -> None:
    """Once the QR code was scanned and paid on a phone, the page that still shows it goes on to the shop by itself."""
    browser.open(town.buy)
    with browser.another_tab(browser.attribute("#qr", "data-text")):
        assert browser.text("#amount") == "4.50 AUD"
        browser.press("#pay")
        browser.reads("This order is paid.", "#paid")
    browser.arrives(town.thanks)
    town.do(town.sandbox.settle)
    assert [order.order_no for order in town.fulfilled] == [town.only_order()]


def test_shop_that_is_slow(browser: Browser, town: Town) -> None:
    """A shop that takes longer to answer than the page takes to look again is visited once."""
    order = town.order("make_qr_order", platform=Platform.ALIPAY)
    thanks = f"{town.thanks}?seconds=0.4"
    browser.open(town.omipay.pay_page_url(order, redirect_url=thanks))
    town.do(town.sandbox.customer.pays, order)
    browser.arrives(thanks)
    assert town.thanked == [0.4]


def test_declined_on_a_phone(browser: Browser, town: Town) -> None:
    """A page whose order failed elsewhere says so and stays: a ``redirect_url`` is for success alone."""
    browser.open(town.buy)
    town.do(town.sandbox.customer.declines, town.only_order())
    browser.reads("This order was not paid.", "#failed")
    assert not browser.shows("button")


def test_jsapi_pages(browser: Browser, town: Town) -> None:
    """``pay_url`` opens unsigned and leads to the order's ``redirect_url``; ``pc_pay_url`` to that of its signature."""
    on_phone, on_pc = (
        town.order("make_jsapi_order", number, redirect_url=f"{town.thanks}?by=phone", show_pc_pay_url=True)
        for number in ("J-1", "J-2")
    )
    browser.open(on_phone.pay_url)
    browser.press("#pay")
    browser.arrives(f"{town.thanks}?by=phone")
    browser.open(on_pc.pc_pay_url)
    browser.reads("PARAMETER_INVALID", "#problem")
    browser.open(town.omipay.pay_page_url(on_pc, redirect_url=f"{town.thanks}?by=pc"))
    browser.press("#pay")
    browser.arrives(f"{town.thanks}?by=pc")


def test_online_pages(browser: Browser, town: Town) -> None:
    """An online order's page leads to its ``return_url``; without one it stays and says that the order is paid."""
    returning = town.order("make_online_order", "O-1", type=OnlineType.WEB, return_url=town.thanks)
    staying = town.order("make_online_order", "O-2", type=OnlineType.WAP)
    browser.open(returning.pay_url)
    browser.press("#pay")
    browser.arrives(town.thanks)
    browser.open(staying.pay_url)
    browser.press("#pay")
    browser.reads("This order is paid.", "#paid")
    assert not browser.shows("button")


def test_no_signature_travels_on(browser: Browser, town: Town) -> None:
    """The shop's page does not learn the signed address that the browser came from."""
    browser.open(town.buy)
    browser.press("#pay")
    browser.arrives(town.thanks)
    assert browser.evaluate("return document.referrer") in {"", f"{town.gateway}/"}


def test_in_chinese(browser: Browser, open_town: Callable[..., Town]) -> None:
    """An order that was made in Chinese has a page in Chinese."""
    town = open_town(language=Language.CHS)
    browser.open(f"{town.buy}?name=%E6%8B%BF%E9%93%81")
    assert (browser.text("h1"), browser.text("#pay"), browser.text("#decline")) == ("拿铁", "支付", "拒绝支付")
    assert browser.evaluate("return document.documentElement.lang") == "zh-CN"
    browser.press("#decline")
    browser.reads("订单未支付成功。", "#failed")


@pytest.mark.parametrize("language", [Language.EN, Language.CHS])
def test_fits_a_phone(browser: Browser, open_town: Callable[..., Town], language: Language) -> None:
    """Nothing has to be scrolled sideways at 375 pixels, however long the name: paying, failing, refusing."""
    town = open_town(language=language)
    with browser.on_a_phone():
        browser.open(f"{town.buy}?name=Donaudampfschifffahrtsgesellschaftskapitaenskajuete+{'x' * 60}")
        assert browser.wider_than_the_screen() == []
        browser.open(browser.driver.current_url.replace("sign=", "sign=x"))
        assert browser.shows("#problem")
        assert browser.wider_than_the_screen() == []
        browser.open(town.buy)
        browser.press("#decline")
        browser.sees(lambda: browser.shows("#failed"), "#failed")
        assert browser.wider_than_the_screen() == []
