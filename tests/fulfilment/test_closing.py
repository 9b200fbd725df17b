"""What a closed session ends at once, and what it lets end, of the runs of its handlers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from omipay_async import MemoryBackend, Outcome, SessionClosed
from omipay_async.fulfilment.guard import OnceGuard
from tests.support import fulfilment_doubles as doubles
from tests.support.scripted_gateway import M_NUMBER, Shop, begin, check_answer, notification, order, outcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from typing import Any

    from omipay_async import AsyncOmipay
    from omipay_async.testing import ManualClock
    from tests.support.scripted_gateway import Gateway

PAID = order("PAID", out_order_no="T1-000231")


@pytest.fixture
async def omipay(clock: ManualClock, gateway: Gateway) -> AsyncIterator[AsyncOmipay]:
    """A session whose backend says that another process holds the claim on the paid order TR1."""
    gateway.on("TR1", PAID)
    backend = MemoryBackend(clock=clock)
    await backend.claim(f"{M_NUMBER}:TR1", "another process")
    async with gateway.session(backend=backend) as omipay:
        yield omipay


@pytest.mark.parametrize(
    "use",
    [lambda omipay, handler: omipay.fulfil("TR1", handler), lambda omipay, handler: omipay.settle("TR1", handler)],
    ids=["fulfil", "settle"],
)
async def test_closing_ends_the_wait_for_the_claim_of_another_process(
    clock: ManualClock, omipay: AsyncOmipay, use: Callable[[AsyncOmipay, Any], Coroutine[Any, Any, Any]]
) -> None:
    """At once: the lease of a process that crashed lasts as long as the clock is set back. It may have run there."""
    handler = mock.AsyncMock()
    first, second = [await begin(clock, use(omipay, handler)) for _ in range(2)]
    await clock.advance(6)
    assert await outcome(await begin(clock, omipay.aclose())) is None
    for waiting in (first, second):
        error = await outcome(waiting)
        assert isinstance(error, SessionClosed)
        assert (error.order_no, error.outcome) == ("TR1", Outcome.UNKNOWN)
        assert "TR1" in str(error)
    handler.assert_not_called()


async def test_a_notification_that_waits_for_another_process_is_answered_when_the_session_closes(
    clock: ManualClock, omipay: AsyncOmipay
) -> None:
    """The answer is 503, so the gateway delivers it again."""
    handler = mock.AsyncMock()
    delivery = await begin(clock, omipay.receive_notification(notification(clock), handler))
    assert not delivery.done()
    assert await outcome(await begin(clock, omipay.aclose())) is None
    reply = await outcome(delivery)
    check_answer(reply, 503)
    assert isinstance(reply.error, SessionClosed)
    handler.assert_not_called()


async def test_no_handler_begins_again_in_a_closed_session(clock: ManualClock, gateway: Gateway) -> None:
    """Who waited for a handler that fails after the session was closed does not run it once more."""
    gateway.on("TR1", PAID)
    omipay, shop = gateway.session(), Shop()
    shop.go.clear()
    shop.failing = [ValueError("no stock")]
    first, second = [await begin(clock, omipay.fulfil("TR1", shop.handle)) for _ in range(2)]
    closing = await begin(clock, omipay.aclose())
    shop.go.set()
    assert isinstance(await outcome(first), ValueError)
    assert isinstance(await outcome(second), SessionClosed)
    assert await outcome(closing) is None
    assert shop.fulfilled == []


async def test_who_waits_for_a_handler_that_succeeds_in_a_closed_session_gets_its_success(
    clock: ManualClock, gateway: Gateway
) -> None:
    """Closing lets it end, for everybody who waits for it."""
    gateway.on("TR1", PAID)
    omipay, shop = gateway.session(), Shop()
    shop.go.clear()
    both = [await begin(clock, omipay.fulfil("TR1", shop.handle)) for _ in range(2)]
    closing = await begin(clock, omipay.aclose())
    shop.go.set()
    assert [(await outcome(each)).order_no for each in both] == ["TR1", "TR1"]
    assert await outcome(closing) is None
    assert shop.fulfilled == ["TR1"]


async def test_an_order_whose_claim_is_under_way_when_the_session_closes_is_fulfilled(clock: ManualClock) -> None:
    """If the backend grants the claim, the handler runs: the order would only wait for the end of the lease."""
    backend = doubles.FaultyBackend(clock)
    backend.faults["claim"] = 1.0
    guard, shop = OnceGuard(backend, clock, M_NUMBER), doubles.Shop()
    shop.go.set()
    run = await doubles.begin(guard, shop)
    guard.close()
    guard.close()
    await clock.advance(1)
    assert await run is True


class Deaf(MemoryBackend):
    """A backend that takes no wake-up."""

    async def wake(self, key: str) -> None:
        """Wait for ever."""
        await asyncio.get_running_loop().create_future()


def test_a_session_that_is_closed_in_another_event_loop_does_not_wait_for_wake_ups(gateway: Gateway) -> None:
    """Their backend belongs to the event loop in which they began."""
    gateway.on("TR1", PAID)
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    omipay = gateway.session(backend=Deaf())
    first.run_until_complete(omipay.fulfil("TR1", mock.AsyncMock()))
    wake_ups = asyncio.all_tasks(first)
    assert wake_ups
    closing = second.create_task(omipay.aclose())
    second.run_until_complete(asyncio.wait((closing,), timeout=5))
    assert closing.done()
    for task in wake_ups:
        task.cancel()
    first.run_until_complete(asyncio.wait(wake_ups))
    first.close()
    second.close()
