"""Two thousand money calls and more under every fault at once: no charge twice, and no false belief."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from omipay_async import Outcome

from .storm import DONE, Storm, complaints, event_complaints

if TYPE_CHECKING:
    from .client import Transport
    from .server import Gateway

CALLS = 600


@pytest.mark.parametrize("at_once", [1, 50])
async def test_storm(gateway: Gateway, transport: Transport, at_once: int) -> None:
    """Whatever happens on the wire, nothing is acted on twice and every caller's belief fits what the gateway did."""
    storm = Storm(seed=20_181_025 + at_once)
    await storm.rage(gateway, transport, calls=CALLS, at_once=at_once)
    assert complaints(storm.beliefs, gateway.acts) == []
    assert event_complaints(storm) == []
    assert len(storm.beliefs) == CALLS
    ends = Counter(belief for held in storm.beliefs.values() for belief in held)
    assert min(ends[DONE], ends[Outcome.NOT_DONE] * 10, ends[Outcome.UNKNOWN]) > CALLS / 10, "the weather was too fair"
    nonces = [request.query["nonce_str"] for request in gateway.requests]
    assert len(set(nonces)) == len(nonces)
