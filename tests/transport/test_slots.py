"""The slots: how many requests are under way, and which goes next."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.support.waiting import until

from .client import open_session, query, scan

if TYPE_CHECKING:
    from omipay_async import Event

    from .client import Transport
    from .server import Gateway


async def test_burst(gateway: Gateway, transport: Transport) -> None:
    """A thousand reads at once are all answered, with never more than max_in_flight under way."""
    async with open_session(gateway, transport, timeout=120.0, max_in_flight=20) as omipay:
        orders = await asyncio.gather(*(omipay.query_order(f"OM-{index}") for index in range(1_000)))
    assert [order.order_no for order in orders] == [f"OM-{index}" for index in range(1_000)]
    assert gateway.most_under_way <= 20
    assert len(gateway.requests) == 1_000


async def test_the_slot_of_a_cancelled_call_goes_to_the_next_in_line(gateway: Gateway, transport: Transport) -> None:
    """If a waiting call is cancelled, the next in line gets the slot."""
    gateway.gate.clear()
    async with open_session(gateway, transport, max_in_flight=1) as omipay:
        first = asyncio.ensure_future(query(omipay, "first"))
        await until(lambda: gateway.under_way == 1)
        waiting = [asyncio.ensure_future(scan(omipay, f"A-{index}")) for index in range(3)]
        await asyncio.sleep(0.002)
        waiting[0].cancel()
        await asyncio.wait(waiting[:1])
        gateway.gate.set()
        await asyncio.gather(first, *waiting[1:])
    assert gateway.numbers == ["first", "A-1", "A-2"]


async def test_waiter_cancelled_as_its_turn_comes(gateway: Gateway, transport: Transport) -> None:
    """A waiting call that is cancelled just as it gets the slot gives it to the next in line."""
    gateway.gate.clear()
    calls: list[asyncio.Future[object]] = []

    def cancel_the_second(event: Event) -> None:
        if event.name == "attempt" and event.order_no == "first":
            calls[1].cancel()

    async with open_session(gateway, transport, max_in_flight=1, on_event=cancel_the_second) as omipay:
        calls.append(asyncio.ensure_future(query(omipay, "first")))
        await until(lambda: gateway.under_way == 1)
        calls += [asyncio.ensure_future(scan(omipay, number)) for number in ("A-1", "A-2")]
        await asyncio.sleep(0.002)
        gateway.gate.set()
        await asyncio.wait(calls, timeout=60)
        assert [call.done() and call.cancelled() for call in calls] == [False, True, False]
        await asyncio.wait_for(scan(omipay, "A-3"), 60)
    assert gateway.numbers == ["first", "A-2", "A-3"]


async def test_signed_when_it_leaves(gateway: Gateway, transport: Transport) -> None:
    """A request is signed after it waited for its slot, with the time at which it leaves."""
    gateway.gate.clear()
    async with open_session(gateway, transport, max_in_flight=1) as omipay:
        calls = [asyncio.ensure_future(scan(omipay, "A-1"))]
        await until(lambda: gateway.under_way == 1)
        calls.append(asyncio.ensure_future(scan(omipay, "A-2")))
        await asyncio.sleep(0.005)
        opened_ms = int(gateway.time_ms())
        gateway.gate.set()
        await asyncio.gather(*calls)
    assert int(gateway.requests[1].query["timestamp"]) >= opened_ms
