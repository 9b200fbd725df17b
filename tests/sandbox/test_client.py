"""The client with the sandbox: two independent implementations of the same documents have to agree."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from omipay_async import Outcome, OutcomeUnknown, PaymentDeclined, PaymentFailed
from omipay_async.sandbox import NOT_ACTED, Fault, PaymentCode, Sandbox
from omipay_async.testing import ManualClock
from tests.support.masked import Masked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from omipay_async import AsyncOmipay, Order

GOODS: dict[str, Any] = {"order_name": "咖啡 ☕ & cake", "amount": 450, "currency": "AUD"}
TILL: dict[str, Any] = {**GOODS, "pos_no": "till-1"}


@pytest.fixture(params=[False, True], ids=["plain", "odd"])
async def wired(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Sandbox, AsyncOmipay]]:
    clock = ManualClock(auto=True)
    async with Sandbox(clock=clock, seed=1, oddities=request.param) as sandbox, sandbox.session() as omipay:
        yield sandbox, omipay


async def test_reads_every_reply(wired: tuple[Sandbox, AsyncOmipay]) -> None:
    """Each endpoint's reply becomes its model, with and without oddities."""
    sandbox, omipay = wired
    assert (await omipay.get_exchange_rate("AUD", "CNY")).rate == Decimal("5.01540000")
    order = await omipay.make_qr_order(**GOODS, out_order_no="q", platform="ALIPAY")
    assert order.qrcode
    jsapi = await omipay.make_jsapi_order(
        **GOODS, out_order_no="j", redirect_url="https://shop.test/", show_pc_pay_url=True
    )
    assert jsapi.pc_pay_url
    assert (await omipay.make_online_order(**GOODS, out_order_no="o", type="web")).pay_url
    app = await omipay.make_app_order(**GOODS, out_order_no="p", platform="WECHATPAY", app_id="wx1")
    assert app.order_string
    applet = await omipay.make_applet_order(**GOODS, out_order_no="a", app_id="wx1", customer_id="o1")
    assert str(applet.package).startswith("prepay_id=")
    assert (await omipay.get_user_info("https://shop.test/login")).openid == sandbox.gateway.wechat_user["openid"]
    await sandbox.customer.pays(order)
    paid = await omipay.query_order(order.order_no)
    assert (paid.is_paid, paid.amount, paid.pay_amount, paid.exchange_rate) == (True, 450, 2257, Decimal("5.0154"))
    receipt = await omipay.refund(order_no=order.order_no, out_refund_no="r", amount=50)
    await sandbox.advance_refund(receipt.refund_no, "Closed")
    refund = await omipay.query_refund(receipt.refund_no)
    assert (refund.is_refunded, refund.amount, bool(refund.success_time)) == (True, 50, True)
    assert sandbox.ledger.refused() == []


@pytest.mark.parametrize("code", ["PAID_AFTER_QUERIES", "PAID_AFTER_SECONDS"])
async def test_polls_until_paid(wired: tuple[Sandbox, AsyncOmipay], code: str) -> None:
    """USERPAYING becomes PAID while the client polls."""
    sandbox, omipay = wired
    scan = await omipay.make_scan_order(**TILL, out_order_no="s", qrcode=PaymentCode[code])
    assert not scan.is_paid
    assert (await omipay.poll_until_paid(scan)).is_paid
    assert sandbox.ledger.paid_total() == 450


async def test_declined(wired: tuple[Sandbox, AsyncOmipay]) -> None:
    """A declined customer has not paid, at once or later, and the client says so."""
    sandbox, omipay = wired
    with pytest.raises(PaymentDeclined) as declined:
        await omipay.make_scan_order(**TILL, out_order_no="n", qrcode=PaymentCode.NOT_ENOUGH)
    scan = await omipay.make_scan_order(**TILL, out_order_no="d", qrcode=PaymentCode.DECLINED_AFTER_SECONDS)
    with pytest.raises(PaymentFailed) as failed:
        await omipay.poll_until_paid(scan)
    assert (declined.value.outcome, failed.value.outcome) == (Outcome.NOT_DONE, Outcome.NOT_DONE)
    assert sandbox.ledger.paid_total() == 0


@pytest.mark.parametrize(
    "fault", sorted(NOT_ACTED) + sorted({Fault.DROP_REPLY, Fault.CUT_OFF, Fault.SYSTEM_ERROR_ACTED})
)
async def test_nobody_knows(wired: tuple[Sandbox, AsyncOmipay], fault: Fault) -> None:
    """If the client cannot know whether the gateway acted before the fault, it says so and does not repeat the call."""
    sandbox, omipay = wired
    sandbox.faults.add(fault, times=1)
    with pytest.raises(OutcomeUnknown):
        await omipay.make_scan_order(**TILL, out_order_no="s", qrcode=PaymentCode.PAID)
    assert sandbox.ledger.received("s") == 1
    assert sandbox.ledger.acted("s") == (0 if fault in NOT_ACTED else 1)


async def test_learns_the_gateways_clock(wired: tuple[Sandbox, AsyncOmipay]) -> None:
    """It learns from the ``Date`` header that the gateway's clock differs, and the order is made once."""
    sandbox, omipay = wired
    sandbox.faults.add(Fault.SKEWED_CLOCK, seconds=3600)
    assert (await omipay.make_scan_order(**TILL, out_order_no="s", qrcode=PaymentCode.PAID)).is_paid
    assert sandbox.ledger.acted("s") == 1


async def test_a_number_and_a_key_that_print_as_something_else(clock: ManualClock) -> None:
    """Their content counts: here, and for a merchant that is added."""
    async with Sandbox(Masked("000034"), Masked("key"), clock) as sandbox:
        sandbox.add_merchant(Masked("000035"), Masked("key-35"))
        for number, key in (("000034", "key"), ("000035", "key-35")):
            async with sandbox.session(m_number=number, secret_key=key) as omipay:
                assert (await omipay.get_exchange_rate("AUD", "CNY")).rate > 0


async def test_notifications_are_confirmed(wired: tuple[Sandbox, AsyncOmipay]) -> None:
    """The client confirms the sandbox's notifications in CN's and EN's form, except forged and changed ones."""
    sandbox, omipay = wired
    fulfilled: list[Order] = []

    async def ship(order: Order) -> None:
        fulfilled.append(order)

    async def shop(scope: Any, receive: Any, send: Any) -> None:
        reply = await omipay.receive_notification(await Request(scope, receive).body(), ship)
        await Response(reply.body, reply.status, dict(reply.headers))(scope, receive, send)

    sandbox.app = shop
    for fault in (Fault.NOTIFICATION_FORGE, Fault.NOTIFICATION_TAMPER, Fault.NOTIFICATION_DUPLICATE):
        sandbox.faults.add(fault, times=1)
    scan = await omipay.make_scan_order(
        **TILL, out_order_no="s", qrcode=PaymentCode.PAID, notify_url="https://shop.test/notify"
    )
    await sandbox.settle()
    assert [order.order_no for order in fulfilled] == [scan.order_no]
    assert [delivery.accepted for delivery in sandbox.ledger.deliveries] == [False, False, True, True]
