"""Something blocks the event loop, or stops the process, past the end of a poll: it asks once more before it ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from omipay_async import PaymentFailed, PollTimeout
from tests.simulation.loop import MachineClock, VirtualLoop
from tests.support.scripted_gateway import Gateway, Held, order

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from omipay_async import AsyncOmipay

    Program = Callable[["Shop"], Awaitable[None]]

HOUR = 3600.0


class Shop:
    """A session on a loop that can stand still."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.clock = MachineClock(loop)
        self.gateway = Gateway(self.clock)
        self.omipay: AsyncOmipay

    def begin(self, **options: Any) -> asyncio.Task[Any]:
        return asyncio.create_task(self.omipay.poll_until_paid("TR1", **{"timeout": 120, **options}))

    def stand_still_at(self, time: float, until: float) -> None:
        self.loop.call_at(time, lambda: self.loop.stand_still(until - self.loop.time()))


def run(program: Program) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        shop = Shop(loop)
        async with shop.gateway.session() as shop.omipay:
            await program(shop)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


@pytest.mark.parametrize(
    ("begins", "ends"),
    [(1, HOUR), (117, 120.2), (119.4, 119.99), (119.45, 120)],
    ids=["long", "in the last interval", "not until the end", "just until the end"],
)
@pytest.mark.parametrize("first_wait", [5, 118, 119.8], ids=["usual", "late", "later than the last question"])
@pytest.mark.parametrize("status", ["PAID", "CANCELLED", "PAYING"])
def test_the_last_question_is_asked_all_the_same(begins: float, ends: float, first_wait: float, status: str) -> None:
    """With the half second that it would have had: a customer who has paid by now is found."""

    async def program(shop: Shop) -> None:
        shop.gateway.on("TR1", lambda _: shop.gateway.after(0.3, answer_of(shop)))
        shop.stand_still_at(begins, ends)
        poll = shop.begin(first_wait=first_wait)
        await asyncio.wait([poll])
        assert shop.gateway.times("TR1")[-1] == pytest.approx(ends, abs=0.01)
        assert shop.loop.time() < ends + 0.52
        ended: Any = poll.exception() or poll.result()
        if status == "PAYING":
            assert isinstance(ended, PollTimeout)
        elif status == "CANCELLED":
            assert isinstance(ended, PaymentFailed)
        else:
            assert ended.is_paid

    def answer_of(shop: Shop) -> dict[str, Any]:
        return order("PAYING" if shop.loop.time() < ends else status)

    run(program)


def test_an_answer_from_before_the_block_is_not_the_last() -> None:
    """The customer paid after the gateway had answered the question under way, which is read only now."""

    async def program(shop: Shop) -> None:
        held = Held(order("PAYING"))
        shop.gateway.on("TR1", held, order("PAID"))
        shop.stand_still_at(20, HOUR)
        shop.loop.call_at(20, held.release.set)
        poll = shop.begin(timeout=60, first_wait=15)
        assert (await poll).is_paid
        assert shop.gateway.times("TR1") == pytest.approx([15, HOUR], abs=0.01)

    run(program)


def test_a_gateway_that_hangs_then_keeps_the_poll_for_half_a_second() -> None:
    """The poll ends, whatever becomes of its last question."""

    async def program(shop: Shop) -> None:
        shop.gateway.on("TR1", Held(order("PAID")))
        shop.stand_still_at(1, HOUR)
        with pytest.raises(PollTimeout) as caught:
            await shop.begin()
        assert shop.loop.time() == pytest.approx(HOUR + 0.5, abs=0.01)
        assert caught.value.last_error is not None

    run(program)


def test_on_status_gets_the_same_moment() -> None:
    """A callback that sleeps is not cut off by the time limit that passed while nothing could run."""
    seen = []

    async def report(order: Any) -> None:
        await asyncio.sleep(0.2)
        seen.append(order.status)

    async def program(shop: Shop) -> None:
        shop.gateway.on("TR1", order("PAID"))
        shop.stand_still_at(1, HOUR)
        await shop.begin(on_status=report)

    run(program)
    assert seen == ["PAID"]


def test_a_question_that_blocks_as_it_begins_does_not_delay_the_next() -> None:
    """A task that starts eagerly runs within the step that makes it, and a hook may block there."""

    async def program(shop: Shop) -> None:
        def blocking(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
            if not shop.gateway.requests:
                shop.loop.stand_still(150)
            return asyncio.Task(work, loop=loop, **options)

        shop.gateway.on("TR1", order("PAYING"))
        poll = shop.begin()
        shop.loop.call_at(4, shop.loop.set_task_factory, blocking)
        await asyncio.wait([poll])
        assert isinstance(poll.exception(), PollTimeout)
        assert shop.gateway.times("TR1") == pytest.approx([155, 155], abs=0.01)
        assert shop.loop.time() < 155.52

    run(program)
