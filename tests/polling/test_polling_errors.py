"""What goes wrong during a poll: temporary errors, lasting errors, wrong arguments, cancellation."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any
from unittest import mock

import anyio
import httpx
import pytest

from omipay_async import (
    AuthenticationError,
    ConfigurationError,
    GatewayError,
    InvalidReply,
    InvalidRequest,
    LookupFailed,
    OmipayError,
    OrderStateError,
    OrderStatus,
    Outcome,
    ParameterError,
    PaymentFailed,
    PollTimeout,
    QROrder,
    RefundReceipt,
    ScanOrder,
    SystemClock,
    TransportError,
)
from tests.support.scripted_gateway import Gateway, Held, begin, fail, named, order, outcome
from tests.support.untyped import untyped

if TYPE_CHECKING:
    from omipay_async import AsyncOmipay, Event, Order
    from omipay_async.testing import ManualClock


# -- errors -----------------------------------------------------------------------------------------------------------

PASSING = {
    "no answer": httpx.ReadTimeout("slow"),
    "cut": httpx.RemoteProtocolError("cut"),
    "refused": httpx.ConnectError("refused"),
    "bad gateway": httpx.Response(502, text="<html>"),
    "empty": httpx.Response(200),
    "no order": {"return_code": "SUCCESS"},
    "system error": fail("SYSTEM_ERROR"),
    "unlisted": fail("BUSY_TRY_LATER"),
    "still paying": fail("USERPAYING"),
}


@pytest.mark.parametrize("failure", PASSING.values(), ids=PASSING.keys())
async def test_a_poll_goes_on_after_temporary_errors(
    clock: ManualClock,
    gateway: Gateway,
    omipay: AsyncOmipay,
    caplog: pytest.LogCaptureFixture,
    failure: Any,
) -> None:
    """It asks again after the interval, and logs the first error only."""
    gateway.on("QueryOrder", failure, failure, failure, order("PAID"))
    poll = await begin(clock, omipay.poll_until_paid("TR1"))
    with caplog.at_level(logging.WARNING, "omipay_async"):
        await clock.advance(60)
    assert (await outcome(poll)).is_paid
    assert gateway.times("QueryOrder") == [5, 10, 15, 20]
    (told,) = [record.getMessage() for record in caplog.records if "polling" in record.getMessage()]
    assert told.startswith("order TR1: polling goes on after an error: QueryOrder: ")


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (httpx.ReadTimeout("slow"), TransportError),
        (httpx.Response(502, text="<html>"), InvalidReply),
        (fail("SYSTEM_ERROR"), GatewayError),
    ],
)
async def test_an_error_that_lasts_until_the_timeout_is_the_last_error(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, failure: Any, kind: type[Exception]
) -> None:
    """A PollTimeout after nothing but errors contains the last one."""
    gateway.on("QueryOrder", failure)
    poll = await begin(clock, omipay.poll_until_paid("TR1", timeout=60))
    await clock.advance(60)
    error = await outcome(poll)
    assert isinstance(error, PollTimeout)
    assert isinstance(error.last_error, kind)
    assert error.order is None


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("SIGN_ERROR", AuthenticationError),
        ("MERCHANTNO_DISABLE", AuthenticationError),
        ("SIGN_TIMEOUT", AuthenticationError),
        ("PERMISSION_ERROR", LookupFailed),
        ("PARAMETER_INVALID", ParameterError),
        ("ORDER_CLOSED", OrderStateError),
    ],
)
async def test_lasting_errors_are_raised_at_once(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, code: str, kind: type[OmipayError]
) -> None:
    """Another question would not help. Whether the customer pays is unknown all the same."""
    gateway.on("QueryOrder", fail(code))
    error = await outcome(await begin(clock, omipay.poll_until_paid("TR1", first_wait=0)))
    assert type(error) is kind
    assert error.outcome is Outcome.UNKNOWN
    assert len(gateway.requests) == 1


async def test_an_order_that_the_second_node_does_not_have_yet(clock: ManualClock, gateway: Gateway) -> None:
    """ "No such order" is a temporary error if the second node answers it, and a lasting one if the first does."""

    def by_node(request: Any) -> Any:
        if clock.monotonic() < 40:
            return httpx.ConnectError("refused") if request.host == "gateway.test" else fail("PERMISSION_ERROR")
        return fail("ORDER_NO_ERROR")

    gateway.on("QueryOrder", by_node)
    async with gateway.session(fallback="http://second.test/omipay/api") as omipay:
        poll = await begin(clock, omipay.poll_until_paid("TR1"))
        await clock.advance(30)
        assert not poll.done()
        assert {request.host for request in gateway.requests} == {"gateway.test", "second.test"}
        await clock.advance(40)
        error = await outcome(poll)
    assert isinstance(error, LookupFailed)
    assert error.node == "gateway.test"


async def test_an_error_that_on_status_raises_keeps_its_outcome(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, events: list[Event]
) -> None:
    """If it raises PaymentFailed of another order, the error and the event are NOT_DONE."""
    gateway.on("TR1", order("PAYING"))

    def give_up(now: Order) -> None:
        raise PaymentFailed("the sale was cancelled", order=now)

    poll = await begin(clock, omipay.poll_until_paid("TR1", first_wait=0, on_status=give_up))
    assert (await outcome(poll)).outcome is Outcome.NOT_DONE
    (event,) = named(events, "poll")
    assert (event.error, event.outcome) == ("PaymentFailed", Outcome.NOT_DONE)


async def test_a_set_up_that_cannot_work_ends_it(clock: ManualClock, gateway: Gateway) -> None:
    """A time zone that this machine does not have is not a temporary error."""
    gateway.on("QueryOrder", order("PAID"))
    async with gateway.session(timezone="Atlantis/Poseidonis") as omipay:
        error = await outcome(await begin(clock, omipay.poll_until_paid("TR1", first_wait=0)))
    assert isinstance(error, ConfigurationError)
    assert "tzdata" in str(error)


class OddError(Exception):
    """An exception that cannot be copied: it takes two arguments and keeps one."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)


async def test_what_is_not_an_error_of_ours_reaches_the_poller(
    clock: ManualClock, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each poll raises it, whatever it is."""
    monkeypatch.setattr("omipay_async.calls.executor.decode", mock.Mock(side_effect=OddError("no", "memory")))
    gateway.on("TR1", order("PAID"))
    async with gateway.session() as omipay:
        polls = [await begin(clock, omipay.poll_until_paid("TR1", first_wait=1)) for _ in range(2)]
        await clock.advance(1)
        assert [type(await outcome(poll)) for poll in polls] == [OddError, OddError]


# -- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "parameter"),
    [
        ({"order": ""}, "order"),
        ({"order": None}, "order"),
        ({"order": 7}, "order"),
        ({"order": "TR\x001"}, "order"),
        ({"order": RefundReceipt("RF1")}, "order"),
        ({"first_wait": -1}, "first_wait"),
        ({"first_wait": "5", "order": ScanOrder("TR1", None, OrderStatus.PAID)}, "first_wait"),
        ({"interval": 0}, "interval"),
        ({"interval": True}, "interval"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"on_status": "print"}, "on_status"),
    ],
)
async def test_bad_arguments_are_named(
    gateway: Gateway, omipay: AsyncOmipay, arguments: dict[str, Any], parameter: str
) -> None:
    """The error names the argument, and nothing is asked."""
    with pytest.raises(InvalidRequest, match=parameter) as caught:
        await omipay.poll_until_paid(**{"order": "TR1", **arguments})
    assert caught.value.parameter == parameter
    assert gateway.requests == []


async def test_a_refund_is_waited_for_by_its_own_number(omipay: AsyncOmipay) -> None:
    """An order is not accepted as a refund, and the time limit of a refund has no default."""
    with pytest.raises(InvalidRequest, match="refund"):
        await omipay.poll_until_refunded(untyped(QROrder("TR1")), timeout=None)
    with pytest.raises(TypeError, match="timeout"):
        await untyped(omipay).poll_until_refunded("RF1")


async def test_a_poll_is_cancelled_as_any_task_is(clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay) -> None:
    """With CancelledError, at once, between two questions and during one. The request ends too."""
    gateway.on("TR1", order("PAYING"))
    held = Held(order("PAYING"))
    gateway.on("TR2", held)
    waiting = await begin(clock, omipay.poll_until_paid("TR1"))
    asking = await begin(clock, omipay.poll_until_paid("TR2", first_wait=0))
    assert gateway.under_way == 1
    for poll in (waiting, asking):
        poll.cancel()
        with pytest.raises(asyncio.CancelledError):
            await poll
    await clock.advance(60)
    assert (gateway.under_way, held.cancelled, len(gateway.requests)) == (0, 1, 1)


async def test_a_timeout_of_ones_own_works_around_a_poll(gateway: Gateway, omipay: AsyncOmipay) -> None:
    """``asyncio.timeout`` gets its own cancellation back."""
    gateway.on("TR1", Held(order("PAYING")))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await omipay.poll_until_paid("TR1", first_wait=0)


class ThreeMethods:
    """A clock with only the methods of the contract."""

    def time_ms(self) -> int:
        """The machine's time."""
        return SystemClock().time_ms()

    def monotonic(self) -> float:
        """A thousand times as fast."""
        return SystemClock().monotonic() * 1000

    async def sleep(self, seconds: float) -> None:
        """Sleep a thousandth of the time."""
        await asyncio.sleep(seconds / 1000)


async def test_a_clock_of_ones_own_needs_three_methods() -> None:
    """Polls, deadlines and cancel scopes work with it, and leave no task behind."""
    gateway = Gateway(ThreeMethods())
    gateway.on("TR1", order("PAYING"), order("PAID"))
    gateway.on("TR2", order("PAYING"))
    before = asyncio.all_tasks()
    async with gateway.session() as omipay:
        assert (await omipay.poll_until_paid("TR1", first_wait=1, interval=1)).is_paid
        with anyio.move_on_after(0.003) as scope:
            await omipay.poll_until_paid("TR2", first_wait=1, interval=1, timeout=None)
    assert scope.cancelled_caught
    await asyncio.sleep(0.001)
    assert asyncio.all_tasks() == before
