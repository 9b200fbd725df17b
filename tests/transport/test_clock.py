"""Clocks that are wrong: a session learns the gateway's time from SIGN_TIMEOUT, once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from omipay_async import OutcomeUnknown, RetryPolicy

from . import behaviours
from .behaviours import SIGN_TIMEOUT
from .client import ShiftedClock, open_session, query, scan
from .server import Gateway, in_turn

if TYPE_CHECKING:
    from .client import Call, Transport

HOUR = 3600.0
CALLS = pytest.mark.parametrize("call", [query, scan])


@CALLS
@pytest.mark.parametrize("ahead_s", [HOUR, -HOUR], ids=["fast", "slow"])
async def test_a_wrong_clock_costs_one_request(
    gateway: Gateway, transport: Transport, call: Call, ahead_s: float
) -> None:
    """A machine with a wrong clock needs one additional request. Later calls are signed with the time learnt."""
    async with open_session(gateway, transport, clock=ShiftedClock(ahead_s)) as omipay:
        for number in ("A-1", "A-2", "A-3"):
            await call(omipay, number)
    assert gateway.numbers == ["A-1", "A-1", "A-2", "A-3"]
    assert max(gateway.acts.values()) == 1
    assert len({request.query["nonce_str"] for request in gateway.requests}) == 4


@CALLS
async def test_learnt_whatever_the_policy(gateway: Gateway, transport: Transport, call: Call) -> None:
    """The one repeat after SIGN_TIMEOUT is made with ``attempts=1`` too."""
    async with open_session(gateway, transport, clock=ShiftedClock(HOUR), retry=RetryPolicy(attempts=1)) as omipay:
        await call(omipay, "A-1")
    assert gateway.numbers == ["A-1", "A-1"]


async def test_repeat_that_is_dropped(gateway: Gateway, transport: Transport) -> None:
    """The repeat after SIGN_TIMEOUT is a money call: if its reply is lost, the outcome is unknown."""
    gateway.script = in_turn(SIGN_TIMEOUT, behaviours.ACT_CLOSE)
    async with open_session(gateway, transport, clock=ShiftedClock(HOUR)) as omipay:
        with pytest.raises(OutcomeUnknown):
            await scan(omipay, "A-1")
    assert (len(gateway.requests), gateway.acts) == (2, {"A-1": 1})


async def test_a_hundred_at_once(gateway: Gateway, transport: Transport) -> None:
    """A hundred calls at once on a clock that is an hour off need at most one more request for each slot."""
    async with open_session(gateway, transport, clock=ShiftedClock(HOUR), max_in_flight=10) as omipay:
        await asyncio.gather(*(scan(omipay, str(index)) for index in range(100)))
    assert len(gateway.requests) <= 110
    assert sorted(gateway.acts.values()) == [1] * 100


async def test_a_corrected_clock_is_used_again(gateway: Gateway, transport: Transport) -> None:
    """After the machine's clock is corrected, the session signs with it again."""
    clock = ShiftedClock(HOUR)
    async with open_session(gateway, transport, clock=clock) as omipay:
        await scan(omipay, "A-1")
        clock.ahead_s = 0.0
        before = clock.time_ms()
        await scan(omipay, "A-2")
        await scan(omipay, "A-3")
        after = clock.time_ms()
    assert gateway.numbers == ["A-1", "A-1", "A-2", "A-2", "A-3"]
    assert all(before <= int(request.query["timestamp"]) <= after for request in gateway.requests[3:])


async def test_gateway_with_a_wrong_clock(gateway: Gateway, transport: Transport) -> None:
    """A gateway whose own clock is a day off gets timestamps of its own time."""
    gateway.time_ms = lambda: ShiftedClock(24 * HOUR).time_ms()
    async with open_session(gateway, transport) as omipay:
        await scan(omipay, "A-1")
    assert gateway.acts == {"A-1": 1}
