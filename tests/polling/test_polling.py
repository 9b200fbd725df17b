"""When a poll asks and how it ends, minute by minute on a clock that stands still."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from omipay_async import (
    AppletOrder,
    AppOrder,
    Event,
    GatewayError,
    JSAPIOrder,
    OnlineOrder,
    Order,
    OrderStatus,
    Outcome,
    PaymentFailed,
    PollTimeout,
    QROrder,
    Refund,
    RefundFailed,
    RefundReceipt,
    RefundStatus,
    Safety,
    ScanOrder,
    TransportError,
)
from tests.support.scripted_gateway import Gateway, Held, begin, fail, named, order, outcome, refund, settle

if TYPE_CHECKING:
    from omipay_async import AsyncOmipay
    from omipay_async.testing import ManualClock


# -- when questions are asked -----------------------------------------------------------------------------------------


async def test_asks_after_five_seconds_and_then_every_five(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay
) -> None:
    """The documents' advice is the default: wait 5 seconds, ask, and ask again every 5 until it is paid."""
    gateway.on("QueryOrder", order("READY"), order("PAYING"), order("PAID"))
    poll = await begin(clock, omipay.poll_until_paid("TR1"))
    await clock.advance(60)
    paid = await outcome(poll)
    assert paid == Order("TR1", OrderStatus.PAID, None, "AUD", 450)
    assert gateway.times("QueryOrder") == [5, 10, 15]
    assert [request.method for request in gateway.requests] == ["GET"] * 3


@pytest.mark.parametrize(
    ("paid", "options"),
    [(ScanOrder("TR1", None, OrderStatus.PAID), {}), ("TR1", {"first_wait": 0})],
    ids=["a paid scan", "no first wait"],
)
async def test_what_is_to_be_asked_at_once_waits_for_no_clock(
    gateway: Gateway, omipay: AsyncOmipay, paid: ScanOrder | str, options: dict[str, Any]
) -> None:
    """It does not wait for a test's clock that nobody moves."""
    gateway.on("QueryOrder", order("PAID"))
    async with asyncio.timeout(60):
        assert (await omipay.poll_until_paid(paid, **options)).is_paid
    assert gateway.times("QueryOrder") == [0]


async def test_the_interval_begins_with_each_answer(clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay) -> None:
    """A slow gateway is not asked more often: the interval begins when its answer has come."""
    gateway.on("QueryOrder", gateway.after(2, order("PAYING")), gateway.after(3, order("PAYING")), order("PAID"))
    poll = await begin(clock, omipay.poll_until_paid("TR1", first_wait=1, interval=4))
    await clock.advance(60)
    assert (await outcome(poll)).is_paid
    assert gateway.times("QueryOrder") == [1, 7, 14]


async def test_the_last_question_comes_a_moment_before_the_end(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay
) -> None:
    """It comes in addition to the interval, so that a payment in the last seconds is still seen."""
    gateway.on("QueryOrder", order("PAYING"), order("PAYING"), order("PAID"))
    poll = await begin(clock, omipay.poll_until_paid("TR1", timeout=12))
    await clock.advance(12)
    assert (await outcome(poll)).is_paid
    *others, last = gateway.times("QueryOrder")
    assert others == [5, 10]
    assert 11 <= last < 12


async def test_a_short_poll_asks_once_before_its_end(clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay) -> None:
    """A timeout shorter than the first wait still asks, in time for an answer."""
    gateway.on("QueryOrder", order("PAYING"))
    poll = await begin(clock, omipay.poll_until_paid("TR1", timeout=2))
    await clock.advance(60)
    assert isinstance(await outcome(poll), PollTimeout)
    (asked,) = gateway.times("QueryOrder")
    assert 1.5 < asked < 2


async def test_the_timeout_ends_the_poll_on_the_second(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay
) -> None:
    """Neither earlier nor later."""
    gateway.on("QueryOrder", order("PAYING"))
    poll = await begin(clock, omipay.poll_until_paid("TR1", timeout=12))
    await clock.advance(11.999)
    assert not poll.done()
    await clock.advance(0.001)
    assert isinstance(await outcome(poll), PollTimeout)


async def test_the_timeout_bounds_a_request_that_hangs(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay
) -> None:
    """A gateway that does not answer does not delay the end of the poll, and the request ends with it."""
    held = Held(order("PAID"))
    gateway.on("QueryOrder", held)
    poll = await begin(clock, omipay.poll_until_paid("TR1", timeout=8))
    await clock.advance(7.999)
    assert gateway.under_way == 1
    await clock.advance(0.001)
    assert isinstance(await outcome(poll), PollTimeout)
    assert (gateway.under_way, held.cancelled) == (0, 1)


async def test_without_a_timeout_it_goes_on(clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay) -> None:
    """``timeout=None`` waits for ever."""
    gateway.on("QueryOrder", order("PAYING"))
    poll = await begin(clock, omipay.poll_until_paid("TR1", timeout=None, interval=600))
    await clock.advance(86_400)
    gateway.on("QueryOrder", order("PAID"))
    await clock.advance(600)
    assert (await outcome(poll)).is_paid


async def test_what_is_final_is_asked_at_once(clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay) -> None:
    """A till that always polls does not wait when the customer has paid without a password."""
    gateway.on("QueryOrder", order("PAID"))
    gateway.on("QueryRefund", refund("Closed"))
    await begin(clock, omipay.poll_until_paid(ScanOrder("TR1", "T1-000231", OrderStatus.PAID)))
    await begin(clock, omipay.poll_until_refunded(Refund("RF1", RefundStatus.Closed), timeout=60))
    assert gateway.times("QueryOrder") == gateway.times("QueryRefund") == [0]


async def test_after_a_restart_it_asks_at_once(clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay) -> None:
    """``first_wait=0`` asks now, and then by interval."""
    gateway.on("QueryOrder", order("PAYING"), order("PAID"))
    poll = await begin(clock, omipay.poll_until_paid("TR1", first_wait=0))
    assert gateway.times("TR1") == [0]
    await clock.advance(5)
    assert (await outcome(poll)).is_paid


@pytest.mark.parametrize(
    "given",
    [
        "TR1",
        QROrder("TR1"),
        JSAPIOrder("TR1"),
        ScanOrder("TR1", None, OrderStatus.PAYING),
        OnlineOrder("TR1"),
        AppOrder("TR1"),
        AppletOrder("TR1"),
        Order("TR1", OrderStatus.READY, None, "AUD", 450),
    ],
    ids=lambda given: type(given).__name__,
)
async def test_every_order_can_be_waited_for(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, given: Any
) -> None:
    """By its object, whichever call made it, or by its number."""
    gateway.on("TR1", order("PAID"))
    poll = await begin(clock, omipay.poll_until_paid(given))
    assert gateway.requests == []
    await clock.advance(5)
    assert (await outcome(poll)).order_no == "TR1"


# -- statuses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["PAID", "SETTLED", "PAYED", "CLOSED"])
async def test_paid_statuses_end_it(clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, status: str) -> None:
    """Every word of the documents that means paid."""
    gateway.on("QueryOrder", order(status))
    poll = await begin(clock, omipay.poll_until_paid("TR1", first_wait=0))
    assert (await outcome(poll)).is_paid


@pytest.mark.parametrize("status", ["CANCELLED", "FAILED"])
async def test_failed_statuses_are_payment_failed(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, events: list[Event], status: str
) -> None:
    """The order will not be paid, so a till may charge again. The error contains the order."""
    gateway.on("QueryOrder", order(status))
    error = await outcome(await begin(clock, omipay.poll_until_paid("TR1", first_wait=0)))
    assert isinstance(error, PaymentFailed)
    assert (error.order.status, error.order.order_no, error.outcome) == (status, "TR1", Outcome.NOT_DONE)
    assert str(error).startswith(f"order TR1 is {status} and will not be paid: ")


@pytest.mark.parametrize("status", ["READY", "PAYING", "REVERSING", "paid", ""])
async def test_the_poll_goes_on_after_other_statuses(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, status: str
) -> None:
    """Not paid yet, or a word that no document lists."""
    gateway.on("QueryOrder", order(status), order("PAID"))
    poll = await begin(clock, omipay.poll_until_paid("TR1", first_wait=0))
    assert not poll.done()
    await clock.advance(5)
    assert (await outcome(poll)).is_paid


@pytest.mark.parametrize("status", ["Closed", "CLOSED", "closed"])
async def test_a_refund_is_waited_for_until_it_is_closed(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, status: str
) -> None:
    """A question a minute, through all statuses on the way."""
    waiting = ["Applied", "MerchantConfirmed", "OrganizationConfirmed", "OrganizationPayback", "SomethingNew"]
    gateway.on("QueryRefund", *map(refund, waiting), refund(status))
    seen: list[str] = []
    poll = await begin(
        clock,
        omipay.poll_until_refunded(RefundReceipt("RF1"), timeout=None, on_status=lambda now: seen.append(now.status)),
    )
    await clock.advance(600)
    assert (await outcome(poll)).is_refunded
    assert gateway.times("RF1") == [5, 65, 125, 185, 245, 305]
    assert seen == [*waiting, RefundStatus.Closed]


@pytest.mark.parametrize("status", ["MerchantRejected", "TimeoutClosed", "OrganizationFailed", "CustomerCancelled"])
async def test_a_failed_refund_is_an_error(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, events: list[Event], status: str
) -> None:
    """The error contains the refund."""
    gateway.on("QueryRefund", refund(status))
    waiting = Refund("RF1", RefundStatus.Applied)
    error = await outcome(await begin(clock, omipay.poll_until_refunded(waiting, first_wait=0, timeout=60)))
    assert isinstance(error, RefundFailed)
    assert (error.refund.status, error.refund.refund_no, error.outcome) == (status, "RF1", Outcome.NOT_DONE)
    assert str(error).startswith(f"refund RF1 is {status} and will not be paid out: ")


async def test_the_poll_event_shows_how_it_ended(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, events: list[Event]
) -> None:
    """It names the error that was raised, so that metrics can count paid and failed orders."""
    gateway.on("TR1", order("PAID"))
    gateway.on("TR2", order("FAILED"))
    gateway.on("RF1", refund("TimeoutClosed"))
    gateway.on("TR3", fail("SIGN_ERROR"))
    for poll in (
        omipay.poll_until_paid("TR1", first_wait=0),
        omipay.poll_until_paid(Order("TR2", OrderStatus.READY, "A-2", "AUD", 450), first_wait=0),
        omipay.poll_until_refunded("RF1", first_wait=0, timeout=9),
        omipay.poll_until_paid("TR3", first_wait=0),
    ):
        await outcome(await begin(clock, poll))
    receipt = RefundReceipt("RF2", order_no="TR4", out_refund_no="R-2")
    leaving = await begin(clock, omipay.poll_until_refunded(receipt, timeout=9))
    leaving.cancel()
    await settle()
    assert [(event.error, event.outcome, event.error_code, event.order_no) for event in named(events, "poll")] == [
        (None, None, None, "TR1"),
        ("PaymentFailed", Outcome.NOT_DONE, None, "TR2"),
        ("RefundFailed", Outcome.NOT_DONE, None, None),
        ("AuthenticationError", Outcome.UNKNOWN, "SIGN_ERROR", "TR3"),
        ("CancelledError", Outcome.UNKNOWN, None, "TR4"),
    ]
    assert [(event.out_order_no, event.out_refund_no) for event in named(events, "poll")] == [
        (None, None),
        ("A-2", None),
        (None, None),
        (None, None),
        (None, "R-2"),
    ]
    assert {(event.endpoint, event.safety) for event in named(events, "poll")} == {
        ("QueryOrder", Safety.READ),
        ("QueryRefund", Safety.READ),
    }


# -- the end of the time ----------------------------------------------------------------------------------------------


async def test_the_fields_of_a_poll_timeout(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, events: list[Event]
) -> None:
    """The number to ask about later, the last state and the last error."""
    gateway.on("QueryOrder", order("PAYING"), fail("SYSTEM_ERROR"))
    poll = await begin(clock, omipay.poll_until_paid("TR1", timeout=12))
    await clock.advance(12)
    error = await outcome(poll)
    assert isinstance(error, PollTimeout)
    assert not isinstance(error, OSError)
    assert (error.order_no, error.refund_no, error.refund) == ("TR1", None, None)
    assert error.order is not None
    assert error.order.status is OrderStatus.PAYING
    assert isinstance(error.last_error, GatewayError)
    assert error.outcome is Outcome.UNKNOWN
    assert str(error) == "order TR1: nothing final within 12 s, the last status was PAYING; ask again later"
    assert named(events, "poll") == [
        Event(
            "poll",
            endpoint="QueryOrder",
            safety=Safety.READ,
            duration_s=12,
            error="PollTimeout",
            outcome=Outcome.UNKNOWN,
            order_no="TR1",
        )
    ]


async def test_the_fields_of_a_poll_timeout_of_a_refund(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay
) -> None:
    """It has the refund, and as ``last_error`` that the last question was not answered in time."""
    gateway.on("RF1", refund("Applied"))
    gateway.on("RF2", Held(refund("Applied")))
    polls = [await begin(clock, omipay.poll_until_refunded(number, timeout=12)) for number in ("RF1", "RF2")]
    await clock.advance(12)
    seen, unseen = [await outcome(poll) for poll in polls]
    assert (seen.refund_no, seen.order_no, seen.order, seen.last_error) == ("RF1", None, None, None)
    assert seen.refund.status is RefundStatus.Applied
    assert (unseen.refund_no, unseen.refund, type(unseen.last_error)) == ("RF2", None, TransportError)
    assert str(unseen) == "refund RF2: nothing final within 12 s, no status was seen; ask again later"


async def test_a_question_has_no_more_time_than_its_poll(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay
) -> None:
    """Six seconds are left of the poll, of which connecting gets a third, whatever other calls may take."""
    gateway.on("TR1", order("PAID"))
    poll = await begin(clock, omipay.poll_until_paid("TR1", first_wait=3, timeout=9))
    await clock.advance(3)
    assert (await outcome(poll)).is_paid
    assert gateway.connect_timeouts == pytest.approx([2])
    gateway.on("TR2", order("PAYING"))
    poll = await begin(clock, omipay.poll_until_paid("TR2", first_wait=10, timeout=12))
    await clock.advance(12)
    assert isinstance(await outcome(poll), PollTimeout)
    assert gateway.connect_timeouts[-1] == pytest.approx(0.5 / 3)  # of the last question, half a second before the end


@pytest.mark.parametrize("status", ["PAID", "CANCELLED", "PAYING"])
async def test_an_answer_that_has_arrived_at_the_end_is_taken(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, status: str
) -> None:
    """As if something had blocked the event loop past the time limit: a payment is not missed."""
    held = Held(order(status))
    gateway.on("TR1", held)
    poll = await begin(clock, omipay.poll_until_paid("TR1", first_wait=0, timeout=12))
    held.release.set()  # the reply is there, but nobody has read it yet
    clock.advance(12)
    ended: Any = await outcome(poll)
    kinds: dict[str, type[Any]] = {"PAID": Order, "CANCELLED": PaymentFailed, "PAYING": PollTimeout}
    assert type(ended) is kinds[status]
    assert getattr(ended, "order", ended).status == status


async def test_a_poll_whose_question_is_shared_ends_at_its_own_time(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay
) -> None:
    """The question under way has the time of the poll that goes on."""
    held = Held(order("PAID"))
    gateway.on("TR1", held)
    short, long = [
        await begin(clock, omipay.poll_until_paid("TR1", first_wait=0, timeout=timeout)) for timeout in (12, 25)
    ]
    await clock.advance(12)
    assert isinstance(await outcome(short), PollTimeout)
    held.release.set()
    assert (await outcome(long)).is_paid


async def test_many_polls_of_one_question_that_hangs_all_end(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay
) -> None:
    """A few hundred of them in one turn of the event loop."""
    gateway.on("TR1", Held(order("PAID")))
    await begin(clock, omipay.poll_until_paid("TR1", first_wait=0, timeout=30))
    polls = [asyncio.create_task(omipay.poll_until_paid("TR1", timeout=12)) for _ in range(450)]
    turns = [0]

    def count(_: object) -> None:
        if not turns[-1]:
            asyncio.get_running_loop().call_soon(turns.append, 0)
        turns[-1] += 1

    for poll in polls:
        poll.add_done_callback(count)
    await settle()
    await clock.advance(12)
    assert {type(await outcome(poll)) for poll in polls} == {PollTimeout}
    assert sum(turns) == len(polls)
    assert max(turns) <= 250
