"""Deliveries while the backend cannot be reached, hangs, or is shared with another session."""

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
    """A backend that cannot be reached, or hangs."""

    gone = True
    hangs = False

    async def claim(self, key: str, owner: str) -> Claim:
        """As in memory, if it can be reached."""
        if self.gone:
            raise BackendError("the backend cannot be reached")
        return await super().claim(key, owner)

    async def wake(self, key: str) -> None:
        """Fail or hang."""
        if self.hangs:
            await asyncio.Event().wait()
        if self.gone:
            raise BackendError("the backend cannot be reached")


async def test_without_the_backend_no_handler_runs(
    clock: ManualClock, gateway: Gateway, shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody knows whether it ran elsewhere: the answer is 503, ``fulfil`` raises BackendError, and polls are woken."""
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
        assert not any(record.exc_info for record in caplog.records)  # the handler is not to blame
        with pytest.raises(BackendError):
            await omipay.fulfil("TR1", shop.handle)
        assert (shop.fulfilled, shop.running) == ([], 0)
        backend.gone = False
        check_answer(await omipay.receive_notification(notification(clock), shop.handle), 200)
    assert shop.fulfilled == ["TR1"]


async def test_a_backend_that_does_not_wake_others_does_not_delay_the_answer(
    clock: ManualClock, gateway: Gateway, shop: Shop
) -> None:
    """Other processes are woken in the background."""
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
    """Two sessions of one merchant run the handler once."""
    gateway.on("TR1", PAID)
    backend = MemoryBackend(clock=clock)
    async with gateway.session(backend=backend) as one, gateway.session(backend=backend) as two:
        check_answer(await one.receive_notification(notification(clock), shop.handle), 200)
        reply = await two.receive_notification(notification(clock), shop.handle)
        check_answer(reply, 200)
        assert not reply.ran
    assert shop.fulfilled == ["TR1"]


async def test_an_order_that_another_process_has_claimed_is_answered_503(
    clock: ManualClock, gateway: Gateway, shop: Shop
) -> None:
    """The error does not say that the handler runs there, because that process may have died less than a lease ago."""
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
