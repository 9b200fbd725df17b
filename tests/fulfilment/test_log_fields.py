"""Every log record about an order has its number as an attribute, by which logs are searched, not only in its text."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from omipay_async import Event, Order, OrderStatus, PollTimeout, UnconfirmedNotification
from tests.support.fulfilment_doubles import FaultyBackend, gone
from tests.support.scripted_gateway import Gateway, Shop, begin, notification, order, outcome, refund

if TYPE_CHECKING:
    from omipay_async.testing import ManualClock

OWN = "T1-000231"
PAID = order("PAID", out_order_no=OWN)
OURS = Order("TR1", OrderStatus.READY, OWN, "AUD", 450)
NAMES = ("omipay_endpoint", "omipay_order_no", "omipay_out_order_no", "omipay_out_refund_no", "omipay_outcome")


def found(caplog: pytest.LogCaptureFixture, words: str) -> tuple[Any, ...]:
    """The attributes of the one record that has these words."""
    (record,) = [record for record in caplog.records if words in record.getMessage()]
    return tuple(record.__dict__[name] for name in NAMES)


@pytest.fixture(autouse=True)
def paid(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    gateway.on("TR1", PAID)
    caplog.set_level(logging.WARNING, "omipay_async")


async def test_a_handler_that_raised(clock: ManualClock, gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    """A person looks for what became of this order."""

    async def fail(_: Order) -> None:
        raise ValueError("out of stock")

    async with gateway.session() as omipay:
        await omipay.receive_notification(notification(clock), fail)
    assert found(caplog, "the handler raised") == (None, "TR1", OWN, None, None)


async def test_the_gateways_copy_of_our_number_is_harmless(
    clock: ManualClock, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    """In a record and in an event it cannot begin a line of its own, and its length is bounded."""
    gateway.on("TR1", order("PAID", out_order_no="T1\n\x1b[31mforged\u202e" + "x" * 1000))
    events: list[Event] = []

    async def fail(_: Order) -> None:
        raise ValueError("out of stock")

    async with gateway.session(on_event=events.append) as omipay:
        await omipay.receive_notification(notification(clock, out_order_no=None), fail)
    number = found(caplog, "the handler raised")[2]
    assert number.startswith(r"T1\n\u001b[31mforged\u202ex")
    assert len(number) < 300
    assert [event.out_order_no for event in events if event.name == "notification"] == [number]


async def test_a_backend_that_fails(clock: ManualClock, gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    """The handler does not run, and other processes are not woken."""
    backend = FaultyBackend(clock)
    backend.faults |= {"claim": gone, "wake": gone}
    async with gateway.session(backend=backend) as omipay:
        await omipay.receive_notification(notification(clock), Shop().handle)
    assert found(caplog, "the handler did not run") == (None, "TR1", OWN, None, None)
    assert found(caplog, "not woken") == (None, "TR1", OWN, None, None)


async def test_a_claim_that_is_not_renewed_and_not_released(
    clock: ManualClock, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    """Its order waits until the lease has ended."""
    backend = FaultyBackend(clock)
    backend.faults |= {"renew": gone, "release": gone}

    async def fail(_: Order) -> None:
        await clock.sleep(backend.lease / 3 + 1)
        raise ValueError

    async with gateway.session(backend=backend) as omipay:
        delivery = await begin(clock, omipay.receive_notification(notification(clock), fail))
        await clock.advance(backend.lease)
        await outcome(delivery)
    assert found(caplog, "a claim could not be renewed: order TR1: ") == (None, "TR1", None, None, None)
    assert found(caplog, "begins before it ends: order TR1: ") == (None, "TR1", None, None, None)


@pytest.mark.parametrize(
    ("answer", "words"),
    [(order("PAYING"), "a notification was refused"), (httpx.Response(502), "could not be confirmed")],
)
async def test_a_notification_that_is_not_confirmed(
    clock: ManualClock, gateway: Gateway, caplog: pytest.LogCaptureFixture, answer: Any, words: str
) -> None:
    """The order that a validly signed body names."""
    gateway.on("TR1", answer)
    async with gateway.session() as omipay:
        await omipay.receive_notification(notification(clock), Shop().handle)
    assert found(caplog, words) == (None, "TR1", None, None, None)


async def test_a_body_that_anybody_could_have_sent(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    """It is about no order."""
    async with gateway.session() as omipay:
        await omipay.receive_notification(b"{}", Shop().handle)
    assert found(caplog, "a notification was refused") == (None,) * 5


async def test_an_error_of_a_handler_is_no_refusal(
    clock: ManualClock, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever class it has."""

    async def fail(_: Order) -> None:
        raise UnconfirmedNotification("another session said so")

    async with gateway.session() as omipay:
        await omipay.receive_notification(notification(clock), fail)
    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def test_an_order_whose_answer_has_no_number_of_the_merchant(
    clock: ManualClock, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    """No wait for its ``out_order_no`` will end."""
    gateway.on("TR1", order("PAID", out_order_no=None))
    async with gateway.session() as omipay:
        await omipay.confirm_notification(notification(clock))
    assert found(caplog, "cannot find it") == (None, "TR1", None, None, None)


@pytest.mark.parametrize(
    ("answer", "words"),
    [(httpx.Response(502), "after an error"), (order("PAYING", out_order_no="T9"), "about another sale")],
)
async def test_a_poll_that_goes_on(
    clock: ManualClock, gateway: Gateway, caplog: pytest.LogCaptureFixture, answer: Any, words: str
) -> None:
    """After an error, and after an answer about another sale."""
    gateway.on("TR1", answer)
    async with gateway.session() as omipay:
        poll = await begin(clock, omipay.poll_until_paid(OURS, timeout=8))
        await clock.advance(8)
        assert isinstance(await outcome(poll), PollTimeout)
    assert found(caplog, words) == ("QueryOrder", "TR1", None, None, None)


async def test_a_poll_of_a_refund(clock: ManualClock, gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    """Its number is a refund's, not an order's."""
    gateway.on("RF1", httpx.Response(502), refund("Closed"))
    async with gateway.session() as omipay:
        poll = await begin(clock, omipay.poll_until_refunded("RF1", timeout=200))
        await clock.advance(100)
        assert (await outcome(poll)).is_refunded
    assert found(caplog, "after an error") == ("QueryRefund", None, None, None, None)
