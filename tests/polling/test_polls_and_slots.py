"""Polls beside other calls: they never take every slot, and are the last to get one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.support.scripted_gateway import Held, begin, order

if TYPE_CHECKING:
    from omipay_async.testing import ManualClock
    from tests.support.scripted_gateway import Gateway


@pytest.mark.parametrize(("slots", "polled"), [(2, 1), (3, 1), (5, 3)])
async def test_polls_that_hang_leave_slots_for_other_calls(
    clock: ManualClock, gateway: Gateway, slots: int, polled: int
) -> None:
    """All but two slots at most, and one at least: a till's own question is asked at once."""
    gateway.on("QueryOrder", Held(order("PAYING")))
    gateway.on("MINE", order("PAID"))
    async with gateway.session(max_in_flight=slots) as omipay:
        polls = [await begin(clock, omipay.poll_until_paid(f"TR{n}", first_wait=0)) for n in range(slots + 1)]
        await clock.advance(1)
        assert gateway.under_way == polled
        assert (await omipay.query_order("MINE")).is_paid
        for poll in polls:
            poll.cancel()
        await asyncio.wait(polls)


async def test_a_poll_that_waits_for_a_slot_lets_other_reads_pass(clock: ManualClock, gateway: Gateway) -> None:
    """Every slot is taken when its question is due; a read that comes later is asked before it."""
    held = Held(order("PAYING"))
    gateway.on("QueryOrder", held)
    gateway.on("READ", order("PAID"))
    gateway.on("POLLED", order("PAID"))
    async with gateway.session(max_in_flight=2) as omipay:
        busy = [await begin(clock, omipay.query_order(f"TR{n}")) for n in range(2)]
        poll = await begin(clock, omipay.poll_until_paid("POLLED", first_wait=0))
        read = await begin(clock, omipay.query_order("READ"))
        assert gateway.under_way == 2
        held.release.set()
        await asyncio.wait([*busy, poll, read])
    assert [request.number for request in gateway.requests[2:]] == ["READ", "POLLED"]
