"""A test's clock that jumps over waits makes no jumps while books that were given it work with their database."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from omipay_async.clock import held
from omipay_async.sandbox import PaymentCode, Sandbox
from omipay_async.sql import Books
from omipay_async.testing import ManualClock

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from omipay_async import Order


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(auto=True)


async def test_a_charge_with_books_is_sent_and_settled(url: str, clock: ManualClock) -> None:
    """The call's time is not jumped over while it is written down, nor the sweep's while a handler works."""
    worked: list[Any] = []

    async def handler(order: Order, connection: AsyncConnection) -> None:
        before = clock.monotonic()
        asleep = asyncio.create_task(clock.sleep(3600))
        await asyncio.to_thread(lambda: None)
        worked.append((order.out_order_no, clock.monotonic() - before))
        asleep.cancel()

    async with (
        Books(url, clock=clock) as books,
        Sandbox(clock=clock) as sandbox,
        sandbox.session(journal=books, backend=books) as omipay,
    ):
        await books.create_tables()
        scan = await omipay.make_scan_order(
            order_name="Tea",
            amount=450,
            currency="AUD",
            out_order_no="T1",
            qrcode=PaymentCode.PAID_AFTER_QUERIES,
            pos_no="till-1",
        )
        await omipay.settle(scan, books.transactional(handler))
        assert await books.unresolved(in_flight=True) == []
    assert worked == [("T1", 0.0)]


def test_a_clock_that_makes_no_jumps_needs_no_holding() -> None:
    """A clock of the user's own has only what the protocol asks for."""

    class OwnClock:
        def time_ms(self) -> int:
            return 0

        def monotonic(self) -> float:
            return 0.0

        async def sleep(self, seconds: float) -> None:
            """Not at all."""

    with held(OwnClock()) as holding:
        assert holding is None
