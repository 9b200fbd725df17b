"""Bodies that arrive all at once, before the event loop has turned."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from omipay_async.errors import TransportError
from omipay_async.fulfilment import confirmations as confirmations_module
from omipay_async.fulfilment.confirmations import Confirmations
from omipay_async.models import Order

if TYPE_CHECKING:
    import pytest

    from omipay_async.testing import ManualClock


async def test_each_genuine_body_of_a_burst_takes_the_place_of_another_forged_one(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that came last are refused, each once, and nothing else fails."""
    monkeypatch.setattr(confirmations_module, "MOST_WAITING", 5)

    async def answer(order_no: str, _: float) -> Order:
        await clock.sleep(1)
        return Order(order_no=order_no, status="PAID", out_order_no=None, currency="AUD", amount=1)

    confirmations = Confirmations(answer, clock, max_concurrent=1)
    forged = [asyncio.create_task(confirmations.query(f"F{number}", "stolen", 60)) for number in range(6)]
    await clock.advance(0)
    genuine = [asyncio.create_task(confirmations.query(f"G{number}", f"nonce {number}", 60)) for number in range(3)]
    await asyncio.sleep(0)
    assert len(confirmations._waiting) == 5
    await clock.advance(10)
    assert [(await task).order_no for task in genuine] == ["G0", "G1", "G2"]
    ends = await asyncio.gather(*forged, return_exceptions=True)
    assert [isinstance(end, TransportError) for end in ends] == [False] * 3 + [True] * 3
    assert len(confirmations._waiting) == 0
