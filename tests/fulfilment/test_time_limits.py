"""Time limits of notifications and fulfilment: what they may be, and how long everything takes together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from omipay_async import InvalidRequest, Order
from tests.support.fulfilment_doubles import FaultyBackend
from tests.support.scripted_gateway import begin, check_answer, notification, order, outcome

if TYPE_CHECKING:
    from omipay_async.testing import ManualClock
    from tests.support.scripted_gateway import Gateway

METHODS = ["confirm_notification", "receive_notification", "fulfil", "wait_for_notification"]


@pytest.mark.parametrize("timeout", [0, 0.0, -1, float("nan"), float("inf"), True, "5"], ids=str)
@pytest.mark.parametrize("method", METHODS)
async def test_a_time_limit_is_more_than_no_time_at_all(gateway: Gateway, method: str, timeout: Any) -> None:
    """Anything else is refused by name, before the gateway is asked: it could only ever fail."""
    body = notification(gateway.clock)
    arguments: dict[str, list[Any]] = {
        "confirm_notification": [body],
        "receive_notification": [body, mock.AsyncMock()],
        "fulfil": ["TR1", mock.AsyncMock()],
        "wait_for_notification": ["T1-000231"],
    }
    async with gateway.session() as omipay:
        with pytest.raises(InvalidRequest) as caught:
            await getattr(omipay, method)(*arguments[method], timeout=timeout)
    assert caught.value.parameter == "timeout"
    assert gateway.requests == []


async def test_a_duplicate_is_answered_in_its_time_however_long_its_confirmation_took(
    clock: ManualClock, gateway: Gateway
) -> None:
    """What the gateway's answer left of the time is all that it waits for an earlier delivery."""
    gateway.on("QueryOrder", order("PAID"))
    go = asyncio.Event()

    async def handler(_: Order) -> None:
        await go.wait()

    async with gateway.session() as omipay:
        first = await begin(clock, omipay.fulfil("TR1", handler))
        gateway.on("QueryOrder", gateway.after(3.5, order("PAID")))
        duplicate = await begin(clock, omipay.receive_notification(notification(clock), handler, timeout=4))
        await clock.advance(3.9)
        assert not duplicate.done()
        await clock.advance(0.1)
        check_answer(await outcome(duplicate), 503)
        go.set()
        assert (await outcome(first)).is_paid


async def test_closing_waits_for_the_notes_to_other_processes_as_long_as_for_a_call(
    clock: ManualClock, gateway: Gateway
) -> None:
    """Not for a moment less, and not for the backend's own time where that is longer."""
    gateway.on("QueryOrder", order("PAID", out_order_no="T1-000231"))
    backend = FaultyBackend(clock)
    pauses_s = iter((3.5, 60))
    backend.faults["wake"] = lambda: clock.sleep(next(pauses_s))
    omipay = gateway.session(backend=backend, timeout=4)
    for number in ("TR1", "TR2"):
        await omipay.fulfil(number, mock.AsyncMock())
    closing = await begin(clock, omipay.aclose())
    await clock.advance(3.9)
    assert not closing.done()
    await clock.advance(0.1)
    assert closing.done()
    await clock.advance(10)
