"""Handlers that ask for orders whose handlers are running: they wait for each other, but never in a cycle."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING

import pytest

from omipay_async.errors import BackendError
from omipay_async.fulfilment.backends import claim_key
from omipay_async.fulfilment.runs import StillRunning
from omipay_async.models import Order
from tests.support.scripted_gateway import begin, notification, order as answer, outcome

if TYPE_CHECKING:
    from omipay_async.fulfilment.guard import OnceGuard
    from omipay_async.testing import ManualClock
    from tests.support.fulfilment_doubles import FaultyBackend
    from tests.support.scripted_gateway import Gateway

FIRST, SECOND, THIRD = (
    Order(order_no=number, status="PAID", out_order_no=None, currency="AUD", amount=1) for number in ("A", "B", "C")
)


class Bundle:
    """A handler that after a second asks for the order that is given for its own, and notes what it fulfilled."""

    def __init__(self, guard: OnceGuard, clock: ManualClock, asks_for: dict[str, Order]) -> None:
        self.guard, self.clock, self.asks_for = guard, clock, asks_for
        self.fulfilled: list[str] = []

    async def __call__(self, order: Order) -> None:
        """Ask for the other order, and then fulfil this one."""
        await self.clock.sleep(1)
        if order.order_no in self.asks_for:
            await self.guard.run(self.asks_for[order.order_no], self, wait_timeout=None)
        self.fulfilled.append(order.order_no)


@pytest.mark.parametrize(
    "ring", [{"A": SECOND, "B": FIRST}, {"A": SECOND, "B": THIRD, "C": FIRST}], ids=lambda ring: f"{len(ring)} orders"
)
async def test_handlers_that_ask_for_each_others_orders_get_an_error(
    guard: OnceGuard, backend: FaultyBackend, clock: ManualClock, ring: dict[str, Order]
) -> None:
    """Otherwise they would wait for each other for ever and keep their claims."""
    bundle = Bundle(guard, clock, ring)
    runs = [
        await begin(clock, guard.run(order, bundle, wait_timeout=None))
        for order in (FIRST, SECOND, THIRD)
        if order.order_no in ring
    ]
    await clock.advance(10)
    for run in runs:
        error = await outcome(run)
        assert isinstance(error, BackendError)
        assert "waits for one that does" in str(error)
    assert bundle.fulfilled == []
    assert not backend._held  # the next deliveries may run them


async def test_a_handler_may_wait_for_one_that_is_running(guard: OnceGuard, clock: ManualClock) -> None:
    """Both orders are fulfilled once, and the order that is waited for is first."""
    bundle = Bundle(guard, clock, {"A": SECOND, "B": THIRD})
    runs = [await begin(clock, guard.run(order, bundle, wait_timeout=None)) for order in (THIRD, SECOND, FIRST)]
    await clock.advance(10)
    assert [await outcome(run) for run in runs] == [True, True, True]
    assert bundle.fulfilled == ["C", "B", "A"]


async def test_a_handler_that_does_not_wait_any_more_may_be_waited_for(guard: OnceGuard, clock: ManualClock) -> None:
    """The wait of the first for the second has ended; then the second waits until the first ends."""
    gave_up = asyncio.Event()

    async def first(_: Order) -> None:
        with pytest.raises(StillRunning):
            await guard.run(SECOND, second, wait_timeout=1)
        gave_up.set()
        await clock.sleep(5)

    async def second(_: Order) -> None:
        await gave_up.wait()
        assert await guard.run(FIRST, first, wait_timeout=None) is False

    runs = [await begin(clock, guard.run(SECOND, second, wait_timeout=None))]
    runs.append(await begin(clock, guard.run(FIRST, first, wait_timeout=None)))
    await clock.advance(10)
    assert [await outcome(run) for run in runs] == [True, True]


async def test_handlers_that_start_each_other_do_not_add_up(guard: OnceGuard, clock: ManualClock) -> None:
    """A task keeps the context of the handler that started it. Handlers that have ended need not be known in it."""
    known: list[int] = []
    following: list[asyncio.Task[bool]] = []

    async def later(order: Order) -> bool:
        await clock.sleep(1)
        return await guard.run(order, handler, wait_timeout=None)

    async def handler(_: Order) -> None:
        known.append(sum(len(runs) for var, runs in contextvars.copy_context().items() if var.name == "omipay_runs"))
        if len(following) < len(orders):
            following.append(asyncio.create_task(later(orders[len(following)])))

    orders = [SECOND, THIRD]
    assert await guard.run(FIRST, handler, wait_timeout=None)
    await clock.advance(10)
    assert await asyncio.gather(*following) == [True, True]
    assert known == [1, 1, 1]


@pytest.mark.parametrize("spelling", ["tr1", "TR1 ", " TR1", "\N{FULLWIDTH LATIN CAPITAL LETTER T}R1"])
async def test_an_order_whose_number_is_spelt_in_several_ways_is_fulfilled_once(
    gateway: Gateway, clock: ManualClock, spelling: str
) -> None:
    """The gateway finds the order under each spelling, and its answer does not have the number."""
    gateway.on("QueryOrder", answer("PAID", out_order_no="T1-000231"))
    fulfilled = []

    async def fulfil(order: Order) -> None:
        fulfilled.append(order.order_no)

    async with gateway.session() as omipay:
        await omipay.fulfil(spelling, fulfil)
        reply = await omipay.receive_notification(notification(clock, "TR1"), fulfil)
    assert (reply.status, reply.ran) == (200, False)
    assert fulfilled == [spelling.strip()]  # spaces around a number have no meaning
    assert claim_key("1", spelling) == "1:TR1"
