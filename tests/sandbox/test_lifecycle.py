"""The statuses of orders and refunds, and what the ledger says about them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from omipay_async.codes import OrderStatus, RefundStatus
from omipay_async.sandbox import ORDER_LIFE, PAYMENT_CODES, REFUND_LIFE, IllegalMove, PaymentCode, Sandbox
from omipay_async.sandbox.lifecycle import path

if TYPE_CHECKING:
    from omipay_async.testing import ManualClock

    from .raw import RawClient


async def status(raw: RawClient, order_no: str) -> str:
    return str((await raw.ask("QueryOrder", order_no=order_no))["result_code"])


def test_the_tables_have_every_status() -> None:
    """Each status has its row, each step leads to a status, and no step leads back."""
    assert set(ORDER_LIFE) == set(OrderStatus)
    assert set(REFUND_LIFE) == set(RefundStatus)
    assert not any(start in ORDER_LIFE[step] for start, steps in ORDER_LIFE.items() for step in steps)
    assert not any(start in REFUND_LIFE[step] for start, steps in REFUND_LIFE.items() for step in steps)


def test_final_statuses_of_the_documents() -> None:
    """Settled and failed orders, and closed and failed refunds, do not change any more."""
    assert {word for word, steps in ORDER_LIFE.items() if not steps} == {"SETTLED", "CANCELLED", "FAILED"}
    assert {word for word, steps in REFUND_LIFE.items() if not steps} == {
        word for word in RefundStatus if word.is_final
    }


@pytest.mark.parametrize(
    ("start", "goal", "way"),
    [
        ("Applied", None, ("MerchantConfirmed",)),
        (
            "Applied",
            "Closed",
            ("MerchantConfirmed", "OrganizationConfirmed", "OrganizationPayback", "Closed"),
        ),
        ("Applied", "MerchantRejected", ("MerchantRejected",)),
        ("MerchantConfirmed", "OrganizationFailed", ("OrganizationFailed",)),
    ],
)
def test_a_refund_goes_on_by_a_step_or_to_a_named_one(start: str, goal: str | None, way: tuple[str, ...]) -> None:
    """A refund goes on by one ordinary step, or through all steps to the one that is named."""
    assert path(REFUND_LIFE, RefundStatus(start), RefundStatus(goal) if goal else None) == way


@pytest.mark.parametrize(
    ("start", "goal"), [("Closed", None), ("Closed", "Applied"), ("OrganizationPayback", "Applied")]
)
def test_a_status_neither_goes_back_nor_leaves_a_final_one(start: str, goal: str | None) -> None:
    """A final status does not change, and no status goes back."""
    with pytest.raises(IllegalMove, match=r"final|no way"):
        path(REFUND_LIFE, RefundStatus(start), RefundStatus(goal) if goal else None)


# -- payment codes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", PaymentCode)
async def test_each_payment_code_does_what_the_table_says(raw: RawClient, sandbox: Sandbox, code: PaymentCode) -> None:
    """Each payment code has the answer, and leaves the order, that its row in the table says."""
    row = PAYMENT_CODES[code]
    reply = await raw.ask("MakeScanOrder", qrcode=code)
    assert reply.get("error_code") == row.answer
    assert [order.status for order in sandbox.ledger.orders.values()] == ([row.status] if row.status else [])
    assert ("order_no" in reply) is (row.answer in {None, "USERPAYING"})
    assert sandbox.ledger.calls[-1].acted is (row.status is not None)


@pytest.mark.parametrize(("code", "end"), [("PAID_AFTER_QUERIES", "PAID"), ("DECLINED_AFTER_QUERIES", "FAILED")])
async def test_after_queries(raw: RawClient, code: str, end: str) -> None:
    """The customer acts between the first query and the second; nothing changes after that."""
    number = await raw.scanned(qrcode=PaymentCode[code])
    assert [await status(raw, number) for _ in range(3)] == ["PAYING", end, end]


@pytest.mark.parametrize(("code", "end"), [("PAID_AFTER_SECONDS", "PAID"), ("DECLINED_AFTER_SECONDS", "FAILED")])
async def test_after_seconds(raw: RawClient, sandbox: Sandbox, clock: ManualClock, code: str, end: str) -> None:
    """The customer acts after ten seconds, and that is the time of payment, however late the order is read."""
    number = await raw.scanned(qrcode=PaymentCode[code])
    await clock.advance(9.9)
    assert await status(raw, number) == "PAYING"
    await clock.advance(60)
    assert sandbox.ledger.orders[number].status == end
    reply = await raw.ask("QueryOrder", order_no=number)
    assert reply["pay_time"] == ("20161227105540" if end == "PAID" else "")


@pytest.mark.parametrize("code", ["PAID_AFTER_SECONDS", "PAID_AFTER_QUERIES"])
async def test_customer_may_be_quicker(raw: RawClient, sandbox: Sandbox, clock: ManualClock, code: str) -> None:
    """A delayed outcome is not applied if the customer has acted before."""
    number = await raw.scanned(qrcode=PaymentCode[code])
    await sandbox.customer.declines(number)
    await clock.advance(60)
    assert [await status(raw, number) for _ in range(3)] == ["FAILED"] * 3


# -- a number that comes again --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "answer"),
    [("PAID", "ORDER_PAID"), ("NOT_ENOUGH", "ORDER_CLOSED"), ("NEVER_PAYS", "USERPAYING")],
)
async def test_scan_again_finds_the_order(raw: RawClient, sandbox: Sandbox, code: str, answer: str) -> None:
    """A scan order with a number that was used before finds the old order, also with another payment code."""
    first = await raw.ask("MakeScanOrder", out_order_no="T-1", qrcode=PaymentCode[code])
    again = await raw.ask("MakeScanOrder", out_order_no="T-1")
    assert again["error_code"] == answer
    assert again.get("order_no") == (first["order_no"] if answer == "USERPAYING" else None)
    assert (sandbox.ledger.acted("T-1"), sandbox.ledger.received("T-1")) == (1, 2)
    assert sandbox.ledger.charged_twice() == []


async def test_scan_again_may_charge_again(raw: RawClient, sandbox: Sandbox) -> None:
    """On a gateway that does not look for old orders a repeated call charges again, and the ledger shows that."""
    sandbox.gateway.repeat_finds_order = False
    await raw.scanned(out_order_no="T-1")
    await raw.scanned(out_order_no="T-1")
    await raw.scanned(out_order_no="T-2")
    assert sandbox.ledger.charged_twice() == ["T-1"]
    assert (sandbox.ledger.acted("T-1"), sandbox.ledger.paid_total()) == (2, 300)


async def test_numbers_are_each_merchants_own(raw: RawClient, sandbox: Sandbox) -> None:
    """An order of another merchant with the same number is not a repetition."""
    from .raw import RawClient as Client

    sandbox.add_merchant("654321", "another-toy-key")
    other = Client(sandbox, raw.clock, m_number="654321", secret_key="another-toy-key")
    async with other.http:
        await raw.scanned(out_order_no="T-1")
        await other.scanned(out_order_no="T-1")
    assert sandbox.ledger.charged_twice() == []
    assert len(sandbox.ledger.orders_of("T-1")) == 2
    assert len(sandbox.ledger.orders_of("T-1", "654321")) == 1


# -- customers and the gateway's side -------------------------------------------------------------------------------


async def test_customer_scans_then_pays(raw: RawClient, sandbox: Sandbox) -> None:
    """A customer opens an order by its code or by its page, then pays; both name the same order."""
    reply = await raw.ask("MakeQROrder")
    number = reply["order_no"]
    assert await sandbox.customer.scans(reply["qrcode"]) == number
    assert await status(raw, number) == "PAYING"
    assert await sandbox.customer.scans(reply["pay_url"]) == number
    assert await sandbox.customer.scans(number) == number
    await sandbox.customer.pays(SimpleNamespace(order_no=number))
    assert await status(raw, number) == "PAID"
    await sandbox.move_order(number, "SETTLED")
    assert await status(raw, number) == "SETTLED"
    assert sandbox.ledger.paid_total() == 100


async def test_customer_does_not_pay(raw: RawClient, sandbox: Sandbox) -> None:
    """Declined is FAILED, left is CANCELLED, and neither can be paid any more."""
    declined = (await raw.ask("MakeQROrder"))["order_no"]
    left = (await raw.ask("MakeQROrder"))["order_no"]
    await sandbox.customer.declines(declined)
    await sandbox.customer.cancels(left)
    assert [await status(raw, declined), await status(raw, left)] == ["FAILED", "CANCELLED"]
    with pytest.raises(IllegalMove):
        await sandbox.customer.pays(declined)
    with pytest.raises(KeyError, match="there is no order TR0'"):
        await sandbox.customer.pays("TR0")
    assert sandbox.ledger.paid_total() == 0


# -- refunds --------------------------------------------------------------------------------------------------------


async def test_refund_in_parts(raw: RawClient, sandbox: Sandbox) -> None:
    """Parts may be refunded until the order's amount is reached; a refund that failed does not count."""
    number = await raw.scanned()
    first = await raw.ask("Refund", order_no=number, amount="60", out_refund_no="R-1")
    assert (await raw.ask("Refund", order_no=number, amount="41"))["error_code"] == "AMOUNT_OVER_LIMIT"
    assert sandbox.ledger.left_to_refund(number) == 40
    assert await sandbox.advance_refund(first["refund_no"], "OrganizationFailed") == "OrganizationFailed"
    assert (await raw.ask("Refund", order_no=number, amount="100"))["return_code"] == "SUCCESS"
    assert sandbox.ledger.refunded_total() == 100
    assert sandbox.ledger.refunded_twice() == []


async def test_settled_orders_are_refunded_too(raw: RawClient, sandbox: Sandbox) -> None:
    """An order can still be refunded after it was settled."""
    number = await raw.scanned()
    await sandbox.move_order(number, "SETTLED")
    assert (await raw.ask("Refund", order_no=number))["return_code"] == "SUCCESS"


async def test_refund_again_is_another_refund(raw: RawClient, sandbox: Sandbox) -> None:
    """A repeated ``out_refund_no`` refunds again, and the ledger shows it."""
    number = await raw.scanned()
    for _ in range(2):
        await raw.ask("Refund", order_no=number, out_refund_no="R-1")
    assert (sandbox.ledger.acted("R-1"), sandbox.ledger.refunded_twice()) == (2, ["R-1"])
    assert len(sandbox.ledger.refunds_of(number)) == 2


async def test_refund_goes_step_by_step(raw: RawClient, sandbox: Sandbox) -> None:
    """Without a ``status`` a refund goes on by one step; after the last step there is no other."""
    refund = (await raw.ask("Refund", order_no=await raw.scanned()))["refund_no"]
    seen = [await sandbox.advance_refund(refund) for _ in range(4)]
    assert seen == ["MerchantConfirmed", "OrganizationConfirmed", "OrganizationPayback", "Closed"]
    with pytest.raises(IllegalMove):
        await sandbox.advance_refund(refund)


async def test_the_merchants_own_number_in_place_of_the_gateways_is_named(raw: RawClient, sandbox: Sandbox) -> None:
    """The error of a helper for tests says which number it needs."""
    order = await raw.scanned(out_order_no="T-1")
    refund = (await raw.ask("Refund", order_no=order, out_refund_no="R-1"))["refund_no"]
    with pytest.raises(KeyError, match=f"there is no order T-1: this is the out_order_no of {order}"):
        await sandbox.move_order("T-1", "SETTLED")
    with pytest.raises(KeyError, match=f"there is no refund R-1: this is the out_refund_no of {refund}"):
        await sandbox.advance_refund("R-1")
    with pytest.raises(KeyError, match="there is no refund RF0'"):
        await sandbox.advance_refund("RF0")
