"""The text of every error about an order names its number: it is often all that a log shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from omipay_async import (
    BackendError,
    Journal,
    JournalError,
    Region,
    ReplayedNotification,
    SessionClosed,
    TransportError,
    UnconfirmedNotification,
)
from omipay_async.fulfilment import confirmations
from tests.support.fulfilment_doubles import FaultyBackend, broken, giving_up, gone, hanging
from tests.support.scripted_gateway import REFUSED, Gateway, Held, Shop, begin, fail, notification, order, outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from omipay_async.testing import ManualClock

PAID = order("PAID", out_order_no="T1-000231")
NONCE = "313644f42ecd4758b5e23b80"


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture(autouse=True)
def paid(gateway: Gateway) -> None:
    """The gateway reports each order as paid, TR9 excepted, which it does not know."""
    gateway.on("QueryOrder", PAID)
    gateway.on("TR9", fail("PERMISSION_ERROR"))


async def test_a_notification_of_an_unknown_order(clock: ManualClock, gateway: Gateway) -> None:
    """The gateway does not know it."""
    async with gateway.session() as omipay:
        with pytest.raises(UnconfirmedNotification, match="order TR9"):
            await omipay.confirm_notification(notification(clock, "TR9"))


async def test_a_notification_of_an_order_that_the_second_node_does_not_know_yet(
    clock: ManualClock, gateway: Gateway
) -> None:
    """The first node cannot be reached."""
    gateway.on("TR9", REFUSED, fail("PERMISSION_ERROR"))
    async with gateway.session(fallback=Region.CN) as omipay:
        with pytest.raises(TransportError, match="order TR9"):
            await omipay.confirm_notification(notification(clock, "TR9"))


async def test_a_signature_that_is_used_for_another_order(clock: ManualClock, gateway: Gateway) -> None:
    """Whether the other order was asked about already, or waits to be asked about."""
    held = Held(PAID)
    gateway.on("TR1", held)
    async with gateway.session(max_in_flight=4) as omipay:
        first = await begin(clock, omipay.confirm_notification(notification(clock, "TR1", nonce_str=NONCE)))
        waiting = await begin(clock, omipay.confirm_notification(notification(clock, "TR2", nonce_str=NONCE)))
        held.release.set()
        await first
        with pytest.raises(ReplayedNotification, match="order TR2"):
            await waiting
        with pytest.raises(ReplayedNotification, match="order TR3"):
            await omipay.confirm_notification(notification(clock, "TR3", nonce_str=NONCE))


async def test_a_confirmation_without_an_answer(clock: ManualClock, gateway: Gateway, shop: Shop) -> None:
    """The gateway is silent, or too many notifications wait."""
    gateway.on("QueryOrder", Held(PAID))
    async with gateway.session(max_in_flight=4) as omipay:
        with mock.patch.object(confirmations, "MOST_WAITING", 1):
            replies = [
                await begin(clock, omipay.receive_notification(notification(clock, number), shop.handle, timeout=3))
                for number in ("TR1", "TR2", "TR3")
            ]
        await clock.advance(3)
        errors = [str((await outcome(reply)).error) for reply in replies]
    assert "TR1" in errors[0]
    assert "TR2" in errors[1]
    assert errors[2] == "order TR3: too many notifications wait to be confirmed"


@pytest.mark.parametrize("fault", [gone, broken, giving_up, hanging])
async def test_a_backend_that_fails(clock: ManualClock, gateway: Gateway, fault: Callable[[], Any], shop: Shop) -> None:
    """Whatever the backend itself says; the number is spelt as the gateway spells it."""
    backend = FaultyBackend(clock)
    backend.faults["claim"] = fault
    async with gateway.session(backend=backend) as omipay:
        fulfilling = await begin(clock, omipay.fulfil("Tr1", shop.handle))
        await clock.advance(10)
        error = await outcome(fulfilling)
    assert isinstance(error, BackendError)
    assert "Tr1" in str(error)


async def test_a_handler_that_still_runs(clock: ManualClock, gateway: Gateway, shop: Shop) -> None:
    """A second delivery is told which order it waits for."""
    shop.go.clear()
    async with gateway.session() as omipay:
        first = await begin(clock, omipay.receive_notification(notification(clock), shop.handle))
        second = await begin(clock, omipay.receive_notification(notification(clock), shop.handle, timeout=1))
        await clock.advance(1)
        shop.go.set()
        await first
        reply = await outcome(second)
    assert str(reply.error) == "order TR1: the handler is still running for an earlier delivery"


async def test_a_journal_that_says_why_it_failed(clock: ManualClock, gateway: Gateway, shop: Shop) -> None:
    """Its reason is kept."""
    journal = mock.AsyncMock(spec=Journal)
    journal.confirmed.side_effect = JournalError("the disk is full")
    async with gateway.session(journal=journal) as omipay:
        with pytest.raises(JournalError, match=r"order TR1: .*the disk is full"):
            await omipay.fulfil("TR1", shop.handle)


async def test_a_session_that_is_closed_during_a_wait(clock: ManualClock, gateway: Gateway) -> None:
    """The wait's error names the number that was waited for."""
    omipay = gateway.session()
    waiting = await begin(clock, omipay.wait_for_notification("T1-000231"))
    await omipay.aclose()
    with pytest.raises(SessionClosed, match="T1-000231"):
        await waiting
