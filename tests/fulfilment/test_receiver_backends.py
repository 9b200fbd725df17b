"""Deliveries while the backend is away, hangs, or is shared with another process."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from omipay_async import BackendError, Claim, MemoryBackend
from tests.support.scripted_gateway import Gateway, Shop, begin, check_answer, notification, order, outcome

if TYPE_CHECKING:
    from omipay_async.testing import ManualClock

PAID = order("PAID", out_order_no="T1-000231")


@pytest.fixture
def shop() -> Shop:
    return Shop()


class LostBackend(MemoryBackend):
    """A backend that may be gone, or hang."""

    gone = True
    hangs = False

    async def claim(self, key: str, owner: str) -> Claim:
        """As in memory, if it is there."""
        if self.gone:
            raise BackendError("the backend cannot be reached")
        return await super().claim(key, owner)

    async def wake(self, key: str) -> None:
        """Fails with the rest, or hangs."""
        if self.hangs:
            await asyncio.Event().wait()
        if self.gone:
            raise BackendError("the backend cannot be reached")


async def test_without_the_backend_no_handler_runs(
    clock: ManualClock, gateway: Gateway, shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether it ran elsewhere is not known: 503 and FAIL, ``BackendError`` from fulfil; polls go on, and are woken."""
    gateway.on("TR1", PAID)
    backend = LostBackend(clock=clock)
    async with gateway.session(backend=backend) as omipay:
        poll = await begin(clock, omipay.poll_until_paid("TR1"))
        with caplog.at_level(logging.WARNING, "omipay_async"):
            reply = await omipay.receive_notification(notification(clock), shop.handle)
        check_answer(reply, 503)
        assert isinstance(reply.error, BackendError)
        assert reply.order is not None
        assert (await outcome(poll)).is_paid
        assert any("not woken" in record.getMessage() for record in caplog.records)
        assert any("order TR1: the handler did not run" in record.getMessage() for record in caplog.records)
        with pytest.raises(BackendError):
            await omipay.fulfil("TR1", shop.handle)
        assert (shop.fulfilled, shop.running) == ([], 0)
        backend.gone = False
        check_answer(await omipay.receive_notification(notification(clock), shop.handle), 200)
    assert shop.fulfilled == ["TR1"]


async def test_a_backend_that_hangs_does_not_hold_the_answer(clock: ManualClock, gateway: Gateway, shop: Shop) -> None:
    """Waking other processes is a courtesy: a backend that hangs in it holds the confirmation for its time at most."""
    gateway.on("TR1", PAID)
    backend = LostBackend(clock=clock)
    backend.gone, backend.hangs = False, True
    async with gateway.session(backend=backend) as omipay:
        delivery = await begin(clock, omipay.receive_notification(notification(clock), shop.handle))
        await clock.advance(10)
        try:
            assert delivery.done()
        finally:
            delivery.cancel()


async def test_sessions_that_share_a_backend_share_the_guard(clock: ManualClock, gateway: Gateway, shop: Shop) -> None:
    """Two sessions of one merchant in one loop run the handler once; another merchant's order is another order."""
    gateway.on("TR1", PAID)
    backend = MemoryBackend(clock=clock)
    async with gateway.session(backend=backend) as one, gateway.session(backend=backend) as two:
        check_answer(await one.receive_notification(notification(clock), shop.handle), 200)
        reply = await two.receive_notification(notification(clock), shop.handle)
        check_answer(reply, 200)
        assert not reply.ran
    assert shop.fulfilled == ["TR1"]


async def test_a_claim_of_another_process_is_called_what_it_is(
    clock: ManualClock, gateway: Gateway, shop: Shop
) -> None:
    """That its handler still runs is not known, and not said: the process may have died less than a lease ago."""
    gateway.on("TR1", PAID)
    backend = MemoryBackend(clock=clock)
    shop.go.clear()
    async with gateway.session(backend=backend) as one, gateway.session(backend=backend) as two:
        first = await begin(clock, one.receive_notification(notification(clock), shop.handle))
        second = await begin(clock, two.receive_notification(notification(clock), shop.handle, timeout=4))
        await clock.advance(3.9)
        assert not second.done()
        await clock.advance(0.1)
        reply = await outcome(second)
        check_answer(reply, 503)
        assert isinstance(reply.error, BackendError)
        assert "another process holds the claim" in str(reply.error)
        assert reply.order is not None
        shop.go.set()
        check_answer(await outcome(first), 200)
    assert shop.fulfilled == ["TR1"]
