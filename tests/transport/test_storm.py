"""More than two thousand money calls under every fault at once: no double charge, and no false belief."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from omipay_async import OmipayError, Outcome, Safety
from omipay_async.calls.retries import REPEATED
from omipay_async.transport.failures import Failure

from .client import CANCELS, Transport, any_moment, open_session
from .server import Gateway
from .storm import DONE, Storm, complaints, told

if TYPE_CHECKING:
    from omipay_async import AsyncOmipay

    from .client import Cancel
    from .conftest import Certified

CALLS = 300


@pytest.mark.parametrize(
    ("transport", "tls", "at_once"),
    [
        (Transport.OWN, False, 1),
        (Transport.OWN, False, 50),
        (Transport.OWN, True, 50),
        (Transport.AIOHTTP, False, 50),
        (Transport.AIOHTTP, True, 50),
        (Transport.HTTPX, False, 50),
        (Transport.HTTPX, True, 50),
    ],
)
async def test_a_storm_leaves_no_false_belief(
    certified: Certified, transport: Transport, tls: bool, at_once: int
) -> None:
    """Whatever happens on the wire, nothing is acted on twice, and every caller's belief agrees with the gateway."""
    storm = Storm(seed=20_181_025 + at_once)
    async with Gateway(tls=certified.server if tls else None) as gateway:
        verify = certified.client if tls else True
        await storm.rage(gateway, transport, calls=CALLS, at_once=at_once, verify=verify)
    acts = {number: count for number, count in gateway.acts.items() if not number.endswith("-asked")}
    assert complaints(storm.beliefs, acts) == []
    assert told(storm.events) == storm.beliefs
    assert len(storm.beliefs) == CALLS
    ends = Counter(belief for held in storm.beliefs.values() for belief in held)
    assert min(ends[DONE], ends[Outcome.UNKNOWN]) > CALLS / 20, "the weather was too fair, or too foul"
    assert ends[Outcome.NOT_DONE]
    assert gateway.swapped or at_once == 1
    nonces = [request.query["nonce_str"] for request in gateway.requests if request.is_money]
    assert len(set(nonces)) == len(nonces)


@pytest.mark.parametrize("cancel", CANCELS)
async def test_storm_with_cancellations(gateway: Gateway, transport: Transport, cancel: Cancel) -> None:
    """Each call that is cancelled has one ``call`` event, and its outcome is true."""
    storm = Storm(seed=9)
    gateway.script, numbers = storm.behaviour, storm.numbers(CALLS)

    async def caller(omipay: AsyncOmipay) -> None:
        for number in numbers:
            with contextlib.suppress(OmipayError):
                await cancel(storm.call(omipay, number), any_moment(storm.random))

    options = {"max_in_flight": 10, "on_event": storm.events.append}
    async with open_session(gateway, transport, **options) as omipay:
        await asyncio.gather(*(caller(omipay) for _ in range(30)))
    beliefs = told(storm.events)
    assert complaints(beliefs, gateway.acts) == []
    assert len(beliefs) == CALLS
    assert {event.error for event in storm.events} >= {"CancelledError", "OutcomeUnknown", None}


@pytest.mark.parametrize("seed", range(4))
async def test_storm_and_close(gateway: Gateway, transport: Transport, seed: int) -> None:
    """If the session is closed in the middle of the storm, every call ends, and every belief is true."""
    storm = Storm(seed)
    gateway.script = storm.behaviour
    options = {"max_in_flight": 10, "on_event": storm.events.append}
    omipay = open_session(gateway, transport, **options)
    calls = [asyncio.ensure_future(storm.one_call(omipay, number)) for number in storm.numbers(100)]
    await asyncio.sleep(storm.random.uniform(0.005, 0.03))
    await omipay.aclose()
    assert all(call.done() for call in calls)
    assert complaints(storm.beliefs, gateway.acts) == []
    assert told(storm.events) == storm.beliefs
    assert any(event.error == "SessionClosed" for event in storm.events)


async def test_storm_finds_a_broken_rule(
    gateway: Gateway, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that repeats money calls after a dropped reply is detected, in one of five storms at the latest."""
    monkeypatch.setitem(REPEATED, Safety.MONEY, REPEATED[Safety.MONEY] | {Failure.NO_ANSWER})
    for seed in range(3, 8):  # on a busy machine few calls have the time for a repeat
        storm = Storm(seed)
        await storm.rage(gateway, transport, calls=100, at_once=10)
        acts = {number: count for number, count in gateway.acts.items() if not number.endswith("-asked")}
        if any("times" in complaint for complaint in complaints(storm.beliefs, acts)):
            return
    pytest.fail("no storm found it")


def test_each_kind_of_false_belief_is_reported() -> None:
    """Each kind of false belief is reported, and true ones are not."""
    beliefs = {"done": [DONE], "not": ["NOT_DONE"], "acted": ["UNKNOWN"], "idle": ["UNKNOWN"]}
    assert complaints(beliefs, {"done": 1, "acted": 1}) == []
    assert complaints(beliefs, {"done": 2, "acted": 1}) == ["done was acted on 2 times"]
    assert complaints(beliefs, {"done": 1, "not": 1}) == ["not is held for not done and was"]
    assert complaints(beliefs, {}) == ["done is held for done and was not"]
    assert complaints({}, {"stray": 1}) == ["stray was acted on and never asked for"]
    assert complaints({"twice": [DONE, "UNKNOWN"]}, {"twice": 1}) == ["twice ended as ['DONE', 'UNKNOWN']"]
