"""A poll with an order object does not accept an answer about another sale, neither as paid nor as failed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from omipay_async import (
    InvalidReply,
    InvalidRequest,
    Order,
    OrderStatus,
    Outcome,
    PollTimeout,
    Refund,
    RefundReceipt,
    RefundStatus,
)
from tests.support.scripted_gateway import Gateway, begin, notification, order, outcome, refund

if TYPE_CHECKING:
    from omipay_async import AsyncOmipay
    from omipay_async.testing import ManualClock

OURS = Order("TR1", OrderStatus.READY, "T1-000231", "AUD", 450)
OTHERS: dict[str, dict[str, Any]] = {
    "out_order_no": {"out_order_no": "T1-000232"},
    "currency": {"currency": "CNY"},
    "amount": {"amount": 451},
}


@pytest.mark.parametrize("status", ["PAID", "CANCELLED", "PAYING"])
@pytest.mark.parametrize("field", OTHERS)
async def test_an_answer_about_another_sale_is_not_accepted(
    clock: ManualClock,
    gateway: Gateway,
    omipay: AsyncOmipay,
    caplog: pytest.LogCaptureFixture,
    *,
    field: str,
    status: str,
) -> None:
    """It is logged once and kept as ``last_error``, and ``on_status`` is not called. The poll goes on."""
    gateway.on("TR1", order(status, **OTHERS[field]))
    seen: list[Order] = []
    poll = await begin(clock, omipay.poll_until_paid(OURS, timeout=12, on_status=seen.append))
    await clock.advance(12)
    error = await outcome(poll)
    assert isinstance(error, PollTimeout)
    assert (error.order_no, error.order, error.outcome) == ("TR1", None, Outcome.UNKNOWN)
    assert isinstance(error.last_error, InvalidReply)
    assert error.last_error.raw == order(status, **OTHERS[field])
    assert error.last_error.endpoint == "QueryOrder"
    said, sold = OTHERS[field][field], getattr(OURS, field)
    wrong = f"QueryOrder: order TR1: the answer is about another sale, its {field} is {said} instead of {sold}"
    assert str(error.last_error) == wrong
    assert seen == []
    assert len(gateway.times("TR1")) == 3
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == [f"{wrong}; it is not accepted, polling goes on"]


@pytest.mark.parametrize("status", ["PAID", "CANCELLED"])
@pytest.mark.parametrize("said", [999, [231], {}, True, 231.5])
async def test_a_number_of_another_kind_is_not_accepted_either(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, said: Any, status: str
) -> None:
    """A JSON number is compared as text, and a field that cannot be read is not the number of this sale."""
    gateway.on("TR1", order(status, out_order_no=said))
    poll = await begin(clock, omipay.poll_until_paid(attrs.evolve(OURS, out_order_no="231"), first_wait=0, timeout=1))
    await clock.advance(1)
    error = await outcome(poll)
    assert isinstance(error, PollTimeout)
    wrong = "is 999 instead of 231" if said == 999 else "cannot be read"
    assert str(error.last_error).endswith(f"its out_order_no {wrong}")


async def test_the_same_number_as_a_json_number_is_accepted(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay
) -> None:
    """Numbers are compared as text."""
    gateway.on("TR1", order("PAID", out_order_no=231))
    poll = await begin(clock, omipay.poll_until_paid(attrs.evolve(OURS, out_order_no="231"), first_wait=0))
    assert (await outcome(poll)).out_order_no == "231"


@pytest.mark.parametrize(
    "said",
    [
        {"out_order_no": "T1-000231"},
        {"out_order_no": None},
        {"out_order_no": ""},
    ],
    ids=["the same", "null", "empty"],
)
async def test_an_answer_that_agrees_or_leaves_fields_out_is_accepted(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, said: dict[str, Any]
) -> None:
    """The documents' own examples leave ``out_order_no`` out, so a missing field does not disagree."""
    gateway.on("TR1", order("PAID", **said))
    poll = await begin(clock, omipay.poll_until_paid(OURS, first_wait=0))
    assert (await outcome(poll)).is_paid


async def test_what_is_not_known_of_the_order_is_not_compared(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay
) -> None:
    """Nothing is expected of a number alone, nor of an object whose field is missing or of another type."""

    class Sale:
        order_no = "TR1"
        currency = 36
        amount = 4.5

    class Number:
        order_no = "TR1"

    gateway.on("TR1", order("PAID", out_order_no="T1-000232"))
    for given in ("TR1", Sale(), Number()):
        poll = await begin(clock, omipay.poll_until_paid(given, first_wait=0))
        assert (await outcome(poll)).is_paid


async def test_each_poll_compares_a_shared_answer_with_its_own_order(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay
) -> None:
    """Two tills wait for one number with different amounts: one question, one paid, one still waiting."""
    gateway.on("TR1", order("PAID"))
    right = await begin(clock, omipay.poll_until_paid(OURS))
    wrong = await begin(clock, omipay.poll_until_paid(Order("TR1", OrderStatus.READY, None, "AUD", 900), timeout=9))
    await clock.advance(5)
    assert (await outcome(right)).is_paid
    assert gateway.times("TR1") == [5]
    await clock.advance(4)
    assert isinstance(await outcome(wrong), PollTimeout)


async def test_a_confirmed_notification_passes_the_same_check(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay
) -> None:
    """An order that a notification confirms is compared like the answer to a poll."""
    gateway.on("TR1", order("PAID", amount=100, out_order_no="T9"), order("PAID", out_order_no="T1-000231"))
    poll = await begin(clock, omipay.poll_until_paid(OURS))
    await omipay.confirm_notification(notification(clock, total_amount=100, out_order_no="T9"))
    assert not poll.done()
    await clock.advance(5)
    assert (await outcome(poll)).amount == 450


async def test_a_refund_is_compared_by_its_own_number(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay
) -> None:
    """An answer with another ``out_refund_no`` is about another refund."""
    gateway.on("RF1", refund("Closed", out_refund_no="R-2"), refund("Closed", out_refund_no="R-1"))
    ours = Refund("RF1", RefundStatus.Applied, "R-1")
    poll = await begin(clock, omipay.poll_until_refunded(ours, timeout=600))
    await clock.advance(5)
    assert not poll.done()
    await clock.advance(60)
    assert (await outcome(poll)).out_refund_no == "R-1"


async def test_a_receipt_of_a_refund_is_no_order(omipay: AsyncOmipay) -> None:
    """It has its order's number, but the amount of the refund: no answer about the order would be accepted."""
    receipt: Any = RefundReceipt("RF1", "AUD", 100, order_no="TR1", out_refund_no="R-1")

    async def ship(_: Order) -> None:
        pytest.fail("the refund is not a sale")

    for call in (omipay.poll_until_paid(receipt), omipay.fulfil(receipt, ship), omipay.settle(receipt, ship)):
        with pytest.raises(InvalidRequest, match="must be a string, not RefundReceipt"):
            await call


@pytest.mark.parametrize(
    ("sold", "said"), [("T1-000231", "T1-000231   "), (" T1-000231", "T1-000231"), ("231 ", 231), ("T1", "  ")]
)
async def test_spaces_around_a_number_do_not_make_another_sale(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, sold: str, said: Any
) -> None:
    """A database that fills numbers up with spaces, or strips them, does not hide a payment."""
    gateway.on("TR1", order("PAID", out_order_no=said))
    poll = await begin(clock, omipay.poll_until_paid(attrs.evolve(OURS, out_order_no=sold), first_wait=0))
    assert (await outcome(poll)).status is OrderStatus.PAID


@pytest.mark.parametrize(
    ("sold", "accepted"),
    [
        ({"currency": "aud"}, True),
        ({"currency": "AUD "}, True),
        ({"currency": "cny"}, False),
        ({"out_order_no": "t1-000231"}, False),
    ],
)
async def test_small_letters_make_another_number_but_not_another_currency(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, *, sold: Any, accepted: bool
) -> None:
    """As a shop's own record of a sale may have it, which is polled in place of the order."""
    gateway.on("TR1", order("PAID", out_order_no=OURS.out_order_no))
    poll = await begin(clock, omipay.poll_until_paid(attrs.evolve(OURS, **sold), first_wait=0, timeout=1))
    await clock.advance(1)
    assert isinstance(await outcome(poll), Order if accepted else PollTimeout)
