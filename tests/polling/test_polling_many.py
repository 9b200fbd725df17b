"""Many polls at once: their callbacks, what they share, how they end together, and ten thousand of them."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from omipay_async import AuthenticationError, Order, OrderStatus, Outcome, PaymentFailed, PollTimeout, SessionClosed
from omipay_async.testing import ManualClock
from tests.support.scripted_gateway import (
    Gateway,
    Held,
    Request,
    begin,
    fail,
    named,
    notification,
    order,
    outcome,
    refund,
)

if TYPE_CHECKING:
    from omipay_async import AsyncOmipay, Event


# -- on_status --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_async", [False, True])
async def test_on_status_is_called_with_the_first_status_and_each_change(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, *, is_async: bool
) -> None:
    """Once for each change, not for each question. It may be sync or async."""
    gateway.on("QueryOrder", *map(order, ["READY", "READY", "PAYING", "PAYING", "PAID"]))
    seen: list[tuple[float, str]] = []

    def told(now: Order) -> None:
        seen.append((clock.monotonic(), now.status))

    async def told_later(now: Order) -> None:
        await asyncio.sleep(0)
        told(now)

    poll = await begin(clock, omipay.poll_until_paid("TR1", on_status=told_later if is_async else told))
    await clock.advance(60)
    assert (await outcome(poll)).is_paid
    assert seen == [(5, "READY"), (15, "PAYING"), (25, "PAID")]


@pytest.mark.parametrize("status", ["PAYING", "PAID"])
async def test_what_on_status_raises_ends_that_poll_only(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, status: str
) -> None:
    """The poll raises it; another poll of the same order goes on."""
    gateway.on("QueryOrder", order(status), order("PAID"))

    def broken(_: Order) -> None:
        raise ZeroDivisionError

    async def broken_later(_: Order) -> None:
        raise ZeroDivisionError

    first = await begin(clock, omipay.poll_until_paid("TR1", on_status=broken))
    second = await begin(clock, omipay.poll_until_paid("TR1", on_status=broken_later))
    third = await begin(clock, omipay.poll_until_paid("TR1"))
    await clock.advance(5)
    assert isinstance(await outcome(first), ZeroDivisionError)
    assert isinstance(await outcome(second), ZeroDivisionError)
    await clock.advance(5)
    assert (await outcome(third)).is_paid


async def test_a_slow_on_status_misses_no_final_status(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay
) -> None:
    """The next answer is kept meanwhile, and paid stays paid after the time is over."""
    gateway.on("QueryOrder", order("PAYING"), order("PAID"))
    seen: list[str] = []

    async def slow(now: Order) -> None:
        seen.append(now.status)
        await clock.sleep(20)

    poll = await begin(clock, omipay.poll_until_paid("TR1", timeout=12, on_status=slow))
    await clock.advance(60)
    assert (await outcome(poll)).is_paid
    assert seen == ["PAYING", "PAID"]


async def test_an_on_status_that_hangs_does_not_outlast_the_poll(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay
) -> None:
    """The time limit includes the callback."""
    gateway.on("QueryOrder", order("PAYING"))
    poll = await begin(clock, omipay.poll_until_paid("TR1", timeout=12, on_status=lambda _: asyncio.Event().wait()))
    await clock.advance(12)
    error = await outcome(poll)
    assert isinstance(error, PollTimeout)
    assert error.order is not None


async def test_nothing_is_asked_after_a_final_status(clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay) -> None:
    """However long the callback takes."""
    gateway.on("QueryOrder", order("PAYING"), order("PAID"))
    poll = await begin(clock, omipay.poll_until_paid("TR1", on_status=lambda _: clock.sleep(22)))
    await clock.advance(60)
    assert (await outcome(poll)).is_paid
    assert gateway.times("TR1") == [5, 10]


# -- sharing ----------------------------------------------------------------------------------------------------------


async def test_polls_of_one_order_share_each_question(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, events: list[Event]
) -> None:
    """A hundred polls of one order cause one question, and all of them get the answer."""
    gateway.on("TR1", order("PAYING"), order("PAID"))
    polls = [await begin(clock, omipay.poll_until_paid("TR1")) for _ in range(100)]
    await clock.advance(10)
    assert all([(await outcome(poll)).is_paid for poll in polls])
    assert gateway.times("TR1") == [5, 10]
    assert len(named(events, "call")) == 2
    assert len(named(events, "poll")) == 100


async def test_polls_keep_their_own_times(clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay) -> None:
    """The shortest interval counts, each poll ends at its own limit, and each raises its own error object."""
    gateway.on("TR1", order("PAYING"))
    patient = await begin(clock, omipay.poll_until_paid("TR1", first_wait=20, interval=20, timeout=100))
    hasty = await begin(clock, omipay.poll_until_paid("TR1", first_wait=1, interval=2, timeout=10))
    await clock.advance(10)
    assert gateway.times("TR1")[:5] == [1, 3, 5, 7, 9]
    assert isinstance(await outcome(hasty), PollTimeout)
    await clock.advance(30)
    assert len(gateway.times("TR1")) == 7
    gateway.on("TR1", fail("SIGN_ERROR"))
    other = await begin(clock, omipay.poll_until_paid("TR1"))
    await clock.advance(20)
    errors = [await outcome(patient), await outcome(other)]
    assert [type(error) for error in errors] == [AuthenticationError, AuthenticationError]
    assert errors[0] is not errors[1]


async def test_a_poll_that_joins_a_question_gets_its_answer(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay
) -> None:
    """It does not ask again."""
    held = Held(order("PAID"))
    gateway.on("TR1", held)
    first = await begin(clock, omipay.poll_until_paid("TR1", first_wait=0))
    second = await begin(clock, omipay.poll_until_paid("TR1", first_wait=0))
    held.release.set()
    assert await outcome(first) == await outcome(second)
    assert len(gateway.requests) == 1


async def test_cancelling_one_poll_leaves_the_others_alone(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay
) -> None:
    """Whether it was the first or the last one, even during a request."""
    held = Held(order("PAID"))
    gateway.on("TR1", held)
    polls = [await begin(clock, omipay.poll_until_paid("TR1", first_wait=0)) for _ in range(3)]
    for leaving in (polls[0], polls[2]):
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
    held.release.set()
    assert (await outcome(polls[1])).is_paid
    assert (held.cancelled, len(gateway.requests)) == (0, 1)


async def test_polls_cancelled_as_they_fall_due_leave_room_for_others(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay
) -> None:
    """However many polls are cancelled at the moment of their question, later polls are still served."""
    gateway.on("QueryOrder", order("PAID"))
    for number in range(40):
        poll = asyncio.create_task(omipay.poll_until_paid(f"TR{number}", first_wait=1))
        clock.call_later(1, poll.cancel)  # before the poll has begun: its question falls due after this
        await clock.advance(0)
        await clock.advance(1)
        assert poll.cancelled()
    poll = await begin(clock, omipay.poll_until_paid("TR99", first_wait=1))
    await clock.advance(1)
    assert (await outcome(poll)).is_paid


async def test_a_poll_cancelled_in_the_queue_is_not_asked_for(clock: ManualClock, gateway: Gateway) -> None:
    """A poll that is cancelled before its turn causes no request."""
    held = Held(order("PAID"))
    gateway.on("TR1", held)
    gateway.on("TR3", order("PAID"))
    async with gateway.session(max_in_flight=3) as omipay:
        first = await begin(clock, omipay.poll_until_paid("TR1", first_wait=0))
        second = await begin(clock, omipay.poll_until_paid("TR2", first_wait=0))
        third = await begin(clock, omipay.poll_until_paid("TR3", first_wait=0))
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        held.release.set()
        assert (await outcome(first)).is_paid
        assert (await outcome(third)).is_paid
    assert gateway.times("TR2") == []


async def test_a_poll_that_joins_in_the_queue_costs_no_second_question(clock: ManualClock, gateway: Gateway) -> None:
    """An order that waits for its turn is asked about once, however many polls wait for it."""
    held = Held(order("PAID"))
    gateway.on("TR1", held)
    gateway.on("TR2", order("PAYING"), order("PAID"))
    async with gateway.session(max_in_flight=3) as omipay:
        await begin(clock, omipay.poll_until_paid("TR1", first_wait=0))
        polls = [await begin(clock, omipay.poll_until_paid("TR2", first_wait=1))]
        await clock.advance(2)
        polls.append(await begin(clock, omipay.poll_until_paid("TR2", first_wait=1)))
        await clock.advance(2)
        held.release.set()
        await clock.advance(0)
        await clock.advance(5)
        assert all([(await outcome(poll)).is_paid for poll in polls])
    assert gateway.times("TR2") == [4, 9]


async def test_orders_and_refunds_are_kept_apart(clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay) -> None:
    """An order and a refund may have the same number."""
    gateway.on("QueryOrder", order("PAID"))
    gateway.on("QueryRefund", refund("Applied"))
    paid = await begin(clock, omipay.poll_until_paid("1"))
    refunded = await begin(clock, omipay.poll_until_refunded("1", timeout=60))
    await clock.advance(5)
    assert (await outcome(paid)).is_paid
    await clock.advance(55)
    assert isinstance(await outcome(refunded), PollTimeout)


# -- the session's end ------------------------------------------------------------------------------------------------


async def test_closing_ends_every_poll_with_its_number(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, events: list[Event]
) -> None:
    """Between questions, during one, and waiting for a slot: SessionClosed has the order to ask about later."""
    gateway.on("QueryOrder", Held(order("PAID")))
    polls = [await begin(clock, omipay.poll_until_paid(f"TR{n}", first_wait=0)) for n in range(30)]
    polls.append(await begin(clock, omipay.poll_until_paid("TR30")))
    refunds = await begin(clock, omipay.poll_until_refunded("RF1", timeout=None))
    assert gateway.under_way == 18
    await omipay.aclose()
    errors = [await outcome(poll) for poll in polls]
    assert all(isinstance(error, SessionClosed) for error in errors)
    assert [error.order_no for error in errors] == [f"TR{n}" for n in range(31)]
    assert {error.outcome for error in errors} == {Outcome.UNKNOWN}
    closed = await outcome(refunds)
    assert (closed.order_no, closed.refund_no, closed.outcome) == (None, "RF1", Outcome.UNKNOWN)
    assert str(closed) == "refund RF1: this session was closed before anything final was seen; ask again later"
    assert gateway.under_way == 0
    assert {event.error for event in named(events, "poll")} == {"SessionClosed"}


async def test_a_paid_answer_counts_although_the_session_closes(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay
) -> None:
    """An answer that came before the end is not lost."""
    gateway.on("TR1", order("PAID"))
    poll = await begin(clock, omipay.poll_until_paid("TR1"))
    await omipay.confirm_notification(notification(clock))
    await omipay.aclose()
    assert (await outcome(poll)).is_paid


# -- ten thousand -----------------------------------------------------------------------------------------------------


async def test_polls_leave_two_slots_to_the_till(clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay) -> None:
    """While a thousand polls hang in a gateway that does not answer, a new order is sent at once."""
    gateway.on("QueryOrder", Held(order("PAYING")))
    gateway.on("MakeScanOrder", {"return_code": "SUCCESS", "order_no": "TR9"})
    polls = [asyncio.create_task(omipay.poll_until_paid(f"TR{n}", first_wait=1)) for n in range(1000)]
    await clock.advance(0)
    await clock.advance(1)
    assert gateway.under_way == 18
    scan = await begin(clock, omipay.make_scan_order(**SCAN))
    assert (await outcome(scan)).is_paid
    for poll in polls:
        poll.cancel()


async def test_the_oldest_due_poll_goes_first(clock: ManualClock, gateway: Gateway) -> None:
    """Polls that fall due together are asked in the order of their instants, and each gets its turn."""
    gateway.on("QueryOrder", gateway.after(1, order("PAID")))
    async with gateway.session(max_in_flight=4) as omipay:
        late = [await begin(clock, omipay.poll_until_paid(f"B{n}", first_wait=6)) for n in range(4)]
        early = [await begin(clock, omipay.poll_until_paid(f"A{n}", first_wait=5)) for n in range(6)]
        await clock.advance(60)
        assert all([(await outcome(poll)).is_paid for poll in early + late])
    assert [request.number for request in gateway.requests] == [
        "A0",
        "A1",
        "A2",
        "A3",
        "A4",
        "A5",
        "B0",
        "B1",
        "B2",
        "B3",
    ]
    assert [request.at for request in gateway.requests] == [5, 5, 6, 6, 7, 7, 8, 8, 9, 9]
    assert gateway.most_under_way == 2


SCAN: dict[str, Any] = {
    "order_name": "Flat white",
    "amount": 450,
    "currency": "AUD",
    "out_order_no": "T1-000231",
    "qrcode": "134567890123456789",
    "pos_no": "till-1",
}


class Crowd:
    """Ten thousand customers who pay or fail at random moments within ten minutes, and a gateway with errors."""

    def __init__(self, size: int, seed: int) -> None:
        chance = random.Random(seed)
        self.chance = chance
        self.fates = {
            f"TR{n}": (chance.uniform(0, 600), "FAILED" if chance.random() < 0.05 else "PAID") for n in range(size)
        }
        self.faults = 0

    def answer(self, request: Request) -> Any:
        """The gateway's answer about an order now; one in fifty cannot be used."""
        if self.chance.random() < 0.02:
            self.faults += 1
            failures = (httpx.ReadTimeout("slow"), httpx.Response(502), fail("SYSTEM_ERROR"))
            return self.chance.choice(failures)
        moment, fate = self.fates[request.number]
        return order(fate if request.at >= moment else "PAYING")


async def test_ten_thousand_polls_all_end_as_their_customers_do() -> None:
    """With the right states, at most ``max_in_flight`` requests, and new orders that are not delayed."""
    clock = ManualClock(auto=True)
    crowd = Crowd(10_000, seed=4)
    gateway = Gateway(clock)

    async def answer(request: Request) -> Any:
        await clock.sleep(0.05)
        return crowd.answer(request)

    async def sell(_: Request) -> Any:
        await clock.sleep(0.25)
        return {"return_code": "SUCCESS", "order_no": "TR-sold"}

    gateway.on("QueryOrder", answer)
    gateway.on("MakeScanOrder", sell)
    ended: Counter[str] = Counter()
    sales: list[float] = []
    async with gateway.session() as omipay:

        async def wait(number: str) -> None:
            fate = crowd.fates[number][1]
            try:
                ended[(await omipay.poll_until_paid(number, interval=300, timeout=1200)).status] += fate == "PAID"
            except PaymentFailed as failed:
                ended[failed.order.status] += fate == "FAILED"

        async def till() -> None:
            for _ in range(20):
                await clock.sleep(30)
                began = clock.monotonic()
                await omipay.make_scan_order(**SCAN)
                sales.append(clock.monotonic() - began)

        async with asyncio.TaskGroup() as tasks:
            for number in crowd.fates:
                tasks.create_task(wait(number))
            tasks.create_task(till())
    fates = Counter(fate for _, fate in crowd.fates.values())
    assert ended == {OrderStatus.PAID: fates["PAID"], OrderStatus.FAILED: fates["FAILED"]}
    assert gateway.most_under_way <= 20
    assert crowd.faults > 300
    assert sales == [pytest.approx(0.25)] * 20
