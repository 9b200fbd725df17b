"""The event of a notification: one for each, with what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest

from tests.support.scripted_gateway import begin, fail, named, notification, order, outcome

if TYPE_CHECKING:
    from omipay_async import Event, Order
    from omipay_async.testing import ManualClock
    from tests.support.scripted_gateway import Gateway

PAID = order("PAID", out_order_no="T1-000231")


@attrs.frozen
class Case:
    """A delivery, and what its event is to tell."""

    error: str | None
    seconds: int
    is_confirmed: bool = False
    answer: Any = attrs.field(factory=lambda: PAID)
    changes: dict[str, Any] = attrs.field(factory=dict)
    raised: Exception | None = None


CASES = {
    "success": Case(None, 3, is_confirmed=True),
    "handler": Case("ValueError", 3, is_confirmed=True, raised=ValueError("out of stock")),
    "forged": Case("InvalidSignature", 0, changes={"key": "a guess"}),
    "altered": Case("UnconfirmedNotification", 2, changes={"total_amount": 1}),
    "unknown": Case("UnconfirmedNotification", 2, answer=fail("PERMISSION_ERROR")),
    "gateway": Case("GatewayError", 2, answer=fail("SYSTEM_ERROR")),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_each_notification_is_one_event(clock: ManualClock, gateway: Gateway, case: Case) -> None:
    """It tells the error by its name, how long everything took, and the numbers once the gateway has confirmed them."""
    gateway.on("QueryOrder", gateway.after(2, case.answer))
    events: list[Event] = []

    async def handler(_: Order) -> None:
        await clock.sleep(1)
        if case.raised is not None:
            raise case.raised

    async with gateway.session(on_event=events.append) as omipay:
        delivery = await begin(clock, omipay.receive_notification(notification(clock, **case.changes), handler))
        await clock.advance(5)
        await outcome(delivery)
    (event,) = named(events, "notification")
    assert (event.error, event.duration_s) == (case.error, case.seconds)
    assert (event.order_no, event.out_order_no) == (("TR1", "T1-000231") if case.is_confirmed else (None, None))
