"""What the books keep in memory of questions that have ended: nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.support.entries import DONE, M, entry, order, sold
from tests.support.shop_effects import create_outbox, ship
from tests.support.waiting import until_idle

if TYPE_CHECKING:
    from omipay_async import AsyncOmipay
    from omipay_async.sandbox import Sandbox
    from omipay_async.sql import Books


async def check_nothing_left(books: Books) -> None:
    """Every question has ended, and nothing is remembered of it."""
    await until_idle(books)
    database = books._database
    assert database.tasks._abandoned == database.tasks._connecting == set()
    assert database.held._using == {}
    assert books._effects._locked == set()
    assert books._due_orders._at_work == {}


async def test_nothing_is_kept_of_what_was_asked(sandbox: Sandbox, omipay: AsyncOmipay, books: Books) -> None:
    """A worker asks for years: reads, writes, listeners, sweeps and handlers in transactions."""
    await create_outbox(books)
    (number,) = await sold(omipay, books)
    await sandbox.customer.pays(number)
    async with books.listen(lambda _: None):
        assert (await books.sweep(omipay, books.transactional(ship))).fulfilled == 1
    assert books._listening._listeners == {}
    await books.confirmed(M, order())
    assert await books.unresolved() == []
    await check_nothing_left(books)


@pytest.mark.parametrize("turns", range(12))
async def test_nothing_is_kept_of_what_its_caller_left(books: Books, turns: int) -> None:
    """Whenever it is cancelled, on its way to the database or back."""
    asking = asyncio.create_task(books.closing(entry(outcome=DONE, order_no="TR1")))
    for _ in range(turns):
        await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait((asking,))
    await check_nothing_left(books)
    await books.closing(entry(outcome=DONE, order_no="TR1"))
    assert [waiting.order_no for waiting in await books.waiting()] == ["TR1"]
