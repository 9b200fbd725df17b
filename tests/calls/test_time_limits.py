"""How long a call may take, and that no money is sent late by a machine that stood still or slept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from omipay_async import (
    NotSent,
    Outcome,
    OutcomeUnknown,
    RetryPolicy,
    TransportError,
)
from omipay_async.testing import ManualClock
from tests.support.clocks import LeapingClock
from tests.support.scripted_gateway import (
    AT_ONCE,
    REFUNDED,
    Gateway,
    Held,
    begin,
    make_refund,
    named,
    order,
    outcome,
)

if TYPE_CHECKING:
    from omipay_async import Event


async def test_each_try_of_a_read_has_its_own_time(clock: ManualClock, gateway: Gateway) -> None:
    """Ten seconds a try and thirty in all, so a gateway that hangs once costs a read only ten seconds."""
    gateway.on("QueryOrder", Held(order("PAID")), order("PAID"))
    async with gateway.session(retry=AT_ONCE) as omipay:
        read = await begin(clock, omipay.query_order("TR1"))
        await clock.advance(10)
        assert (await outcome(read)).is_paid
        gateway.requests.clear()
        gateway.on("QueryOrder", Held(order("PAID")))
        read = await begin(clock, omipay.query_order("TR1", timeout=25))
        await clock.advance(24.5)
        assert not read.done()
        await clock.advance(0.5)
        error = await outcome(read)
    assert type(error) is TransportError
    assert error.outcome is None
    assert gateway.times("TR1") == [10, 20, 30]


async def test_a_money_call_waits_for_its_answer_to_the_end(clock: ManualClock, gateway: Gateway) -> None:
    """It has one try, with all the time of the call. Then its outcome is unknown."""
    gateway.on("Refund", Held(REFUNDED))
    async with gateway.session(retry=AT_ONCE) as omipay:
        call = await begin(clock, make_refund(omipay))
        await clock.advance(29.999)
        assert not call.done()
        await clock.advance(0.001)
        error = await outcome(call)
    assert isinstance(error, OutcomeUnknown)
    assert (error.outcome, error.out_refund_no, error.order_no) == (Outcome.UNKNOWN, "R-1", "TR1")
    assert isinstance(error.__cause__, TransportError)
    assert len(gateway.requests) == 1


async def test_no_slot_in_time(clock: ManualClock, gateway: Gateway, events: list[Event]) -> None:
    """A read waits for its whole time, a money call for half of it. Without a slot it was never sent."""
    gateway.on("QueryOrder", Held(order("PAID")))
    async with gateway.session(max_in_flight=1, on_event=events.append, retry=AT_ONCE) as omipay:
        holder = await begin(clock, omipay.query_order("TR0", timeout=100))
        read = await begin(clock, omipay.query_order("TR1", timeout=8))
        money = await begin(clock, make_refund(omipay, timeout=8))
        await clock.advance(3.999)
        assert not money.done()
        await clock.advance(0.001)
        error = await outcome(money)
        assert type(error) is NotSent
        assert (error.outcome, error.endpoint) == (Outcome.NOT_DONE, "Refund")
        why = "Refund: not sent, no slot came free in time (max_in_flight requests are under way)"
        assert str(error).startswith(why)
        await clock.advance(3.999)
        assert not read.done()
        await clock.advance(0.001)
        assert type(await outcome(read)) is NotSent
        holder.cancel()
    assert len(gateway.requests) == 1
    told = {event.endpoint: event for event in named(events, "call") if event.error == "NotSent"}
    assert (told["Refund"].waited_s, told["QueryOrder"].waited_s) == (4, 8)
    assert (told["Refund"].outcome, told["QueryOrder"].outcome) == (Outcome.NOT_DONE, None)


@pytest.mark.parametrize(
    ("timeout", "retry", "seconds"),
    [
        (60, RetryPolicy(try_timeout=30), 5),  # whatever the time of the call
        (9, RetryPolicy(try_timeout=30), 3),  # a third of it
        (60, RetryPolicy(try_timeout=2), 1.8),  # no longer than the attempt
    ],
)
async def test_connecting_has_a_time_of_its_own(
    clock: ManualClock, gateway: Gateway, timeout: float, retry: RetryPolicy, seconds: float
) -> None:
    """It ends before the attempt does, so that a repeat or the second node gets its turn."""
    async with gateway.session(retry=retry) as omipay:
        await omipay.query_order("TR1", timeout=timeout)
    assert gateway.connect_timeouts == pytest.approx([seconds])


async def test_money_goes_before_reads(clock: ManualClock, gateway: Gateway) -> None:
    """Where calls wait for a slot, a read that came first waits for money that came later."""
    held = Held(order("PAID"))
    gateway.on("TR0", held)
    async with gateway.session(max_in_flight=1) as omipay:
        tasks = [await begin(clock, omipay.query_order(number)) for number in ("TR0", "TR1")]
        tasks.append(await begin(clock, make_refund(omipay)))
        held.release.set()
        for task in tasks:
            await outcome(task)
    assert [request.endpoint for request in gateway.requests] == ["QueryOrder", "Refund", "QueryOrder"]


async def test_a_machine_that_stood_still_does_not_send_money_late() -> None:
    """The slot came in time, but too little time was left when the call could use it: it was not sent."""
    clock = LeapingClock()
    gateway = Gateway(clock)
    held = Held(order("PAID"))
    gateway.on("QueryOrder", held)

    def stand_still(event: Event) -> None:
        clock.leapt_s = 16 if event.name == "attempt" else clock.leapt_s

    async with gateway.session(max_in_flight=1, on_event=stand_still) as omipay:
        first = await begin(clock, omipay.query_order("TR1"))
        money = await begin(clock, make_refund(omipay))
        held.release.set()
        error = await outcome(money)
        await outcome(first)
    assert type(error) is NotSent
    assert error.outcome is Outcome.NOT_DONE
    assert [request.endpoint for request in gateway.requests] == ["QueryOrder"]


class SleepyClock(ManualClock):
    """The clocks of a machine that can sleep: the wall clock goes on meanwhile, the monotonic one stands still."""

    slept_s = 0.0

    def time_ms(self) -> int:
        """Wall time."""
        return super().time_ms() + round(self.slept_s * 1000)


@pytest.mark.parametrize("where", ["in line", "while it was signed"])
async def test_a_machine_that_slept_does_not_send_money_late(where: str) -> None:
    """An hour has passed, which the monotonic clock did not count: the wall clock shows it."""
    clock = SleepyClock()
    gateway = Gateway(clock)
    held = Held(order("PAID"))
    gateway.on("QueryOrder", held)

    def nonce() -> str:
        if where != "in line":
            clock.slept_s = 3600
        return "0123456789abcdef"

    async with gateway.session(max_in_flight=1) as omipay:
        first = await begin(clock, omipay.query_order("TR1"))
        omipay._executor.nonces = nonce
        money = await begin(clock, make_refund(omipay))
        clock.slept_s = 3600 if where == "in line" else 0
        held.release.set()
        error = await outcome(money)
        assert (await outcome(first)).is_paid
    assert type(error) is NotSent
    assert error.outcome is Outcome.NOT_DONE
    assert [request.endpoint for request in gateway.requests] == ["QueryOrder"]


async def test_a_slow_nonce_provider_does_not_send_money_late() -> None:
    """The process stood still while it signed, so the time that is left is checked again before the write."""
    clock = LeapingClock()
    gateway = Gateway(clock)

    def nonce() -> str:
        clock.leapt_s += 2.5
        return "0123456789abcdef"

    async with gateway.session(nonces=nonce, timeout=1) as omipay:
        with pytest.raises(NotSent, match="half of its time") as caught:
            await make_refund(omipay)
        assert caught.value.outcome is Outcome.NOT_DONE
        assert gateway.requests == []


async def test_a_wall_clock_that_is_set_back_gives_no_more_time() -> None:
    """The monotonic clock still counts. For a read the wall clock is not used at all."""
    clock = SleepyClock()
    gateway = Gateway(clock)
    held = Held(order("PAID"))
    gateway.on("QueryOrder", held)
    async with gateway.session(max_in_flight=1) as omipay:
        first = await begin(clock, omipay.query_order("TR1"))
        money = await begin(clock, make_refund(omipay, timeout=8))
        clock.slept_s = -3600
        await clock.advance(4)
        assert type(await outcome(money)) is NotSent
        clock.slept_s = 3600
        held.release.set()
        assert (await outcome(first)).is_paid
