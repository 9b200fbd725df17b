"""``wait_for_notification``: what it costs, what it hears of, and what it leaves behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.scripted_gateway import M_NUMBER, begin, outcome
from tests.support.shared_backend import Channel, SharedBackend

if TYPE_CHECKING:
    from omipay_async.testing import ManualClock
    from tests.support.scripted_gateway import Gateway

NUMBER = "T1-000231"


class Counting(SharedBackend):
    """Says when it was asked for notes."""

    def __init__(self, channel: Channel, clock: ManualClock) -> None:
        super().__init__(channel, clock)
        self.asked: list[float] = []

    async def noted(self, key: str) -> str | None:
        """As in memory."""
        self.asked.append(self._clock.monotonic())
        return await super().noted(key)


async def test_a_wait_that_was_woken_in_vain_looks_once_and_goes_on_by_interval(
    clock: ManualClock, gateway: Gateway
) -> None:
    """Nothing is remembered of the order, or nothing that can be read: a wake-up is only a hint."""
    backend = Counting(Channel(), clock)
    async with gateway.session(backend=backend) as omipay:
        waiting = await begin(clock, omipay.wait_for_notification(NUMBER, timeout=20))
        for _ in range(2):
            await clock.advance(4)
            await backend.note(f"{M_NUMBER}:out_order_no:{NUMBER}", "{}")
            await backend.wake(f"{M_NUMBER}:out_order_no:{NUMBER}")
            await clock.advance(0)
        assert backend.asked == [0, 0.5, 1.5, 3.5, 4, 8]
        await clock.advance(12)
        assert type(await outcome(waiting)).__name__ == "PollTimeout"
