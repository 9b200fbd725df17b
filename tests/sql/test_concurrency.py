"""Concurrent transactions, which are repeated if they were rolled back, and machines whose clocks differ."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from sqlalchemy import event, text

from omipay_async.errors import BackendError, JournalError
from omipay_async.fulfilment.backends import Claim
from omipay_async.sql import Books
from omipay_async.testing import ManualClock
from tests.support.entries import DONE, UNKNOWN, M, entry, order, until_blocked

if TYPE_CHECKING:
    from collections.abc import Callable


KEY = f"{M}:TR1"


async def test_a_deadlock_is_repeated(postgres: Books) -> None:
    """PostgreSQL rolls one of two transactions back: it did nothing, so it is repeated."""
    await postgres.claim(f"{M}:A", "me")
    await postgres.claim(f"{M}:B", "me")
    met = asyncio.Barrier(2)
    attempts = 0

    def updating(*keys: str) -> Callable[[Any], Any]:
        async def work(connection: Any) -> None:
            nonlocal attempts
            attempts += 1
            first = attempts <= 2
            for key in keys:
                await connection.execute(text("UPDATE omipay_order SET owner = 'x' WHERE key = :key"), {"key": key})
                if first and key == keys[0]:
                    await met.wait()

        return work

    write = postgres._database.write
    await asyncio.gather(write(updating("a", "b"), BackendError), write(updating("b", "a"), BackendError))
    assert attempts >= 3  # on a busy machine they may deadlock again


async def attempts_at(books: Books, statement: str, match: str) -> int:
    """How often a transaction with a statement that fails was tried."""
    attempts = 0

    async def work(connection: Any) -> None:
        nonlocal attempts
        attempts += 1
        await connection.execute(text(statement))

    with pytest.raises(JournalError, match=match):
        await books._database.write(work, JournalError)
    return attempts


async def test_what_the_database_refuses_is_not_repeated(books: Books) -> None:
    """It would be refused again: only what another transaction or a lost connection has undone is repeated."""
    assert await attempts_at(books, "UPDATE omipay_order SET no_such_column = 1", "no_such_column") == 1


@pytest.mark.parametrize("first", ["closing", "confirmed"])
async def test_a_reply_and_its_notification_at_the_same_time_do_not_deadlock(postgres: Books, first: str) -> None:
    """Both lock the call's row before the order's, so no transaction is rolled back."""
    call = entry()
    await postgres.opening(call)
    await postgres.confirmed(M, order("TR1", "T9"))
    steps = {
        "closing": lambda: postgres.closing(attrs.evolve(call, outcome=DONE, order_no="TR1")),
        "confirmed": lambda: postgres.confirmed(M, order()),
    }
    sequence = [first, *(steps.keys() - {first})]
    began = 0
    engine = postgres._database._engine

    @event.listens_for(engine.sync_engine, "begin")
    def count(_: Any) -> None:
        nonlocal began
        began += 1

    async with engine.connect() as holding:
        await holding.execute(text("SELECT key FROM omipay_order FOR UPDATE"))
        waiting = []
        for name in sequence:
            waiting.append(asyncio.create_task(steps[name]()))
            await until_blocked(holding, len(waiting))  # by the order's row, or by the other
    await asyncio.gather(*waiting)
    assert began == 3  # nothing was repeated


async def test_two_orders_under_one_number_that_are_confirmed_at_the_same_time_resolve_two_calls(
    postgres: Books,
) -> None:
    """Two calls were sent under one number, and two processes learn of their orders at the same time."""
    for _ in range(2):
        await postgres.closing(entry(outcome=UNKNOWN))
    async with postgres._database._engine.connect() as holding:
        await holding.execute(text("SELECT id FROM omipay_call FOR UPDATE"))
        waiting = [asyncio.create_task(postgres.confirmed(M, order(number))) for number in ("TR1", "TR2")]
        await until_blocked(holding, len(waiting))
    await asyncio.gather(*waiting)
    assert await postgres.unresolved() == []


async def test_a_transaction_that_always_fails_is_not_repeated_for_ever(postgres: Books) -> None:
    """After some serialization failures it is an error."""
    statement = "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$"
    assert await attempts_at(postgres, statement, "no") == 5


async def test_machines_whose_clocks_differ_by_an_hour_may_share_the_books(postgres_url: str) -> None:
    """Leases, deadlines and schedules are by the database's clock; entries keep their own machine's times."""
    begun = datetime.now(UTC) + timedelta(hours=1)
    async with Books(postgres_url) as right, Books(postgres_url, clock=ManualClock(begun)) as fast:
        await right.create_tables()
        assert await fast.claim(KEY, "fast") is Claim.MINE
        assert await right.claim(KEY, "right") is Claim.BUSY
        live = entry("live", started_at=begun, until=begun + timedelta(seconds=30))
        dead = entry("dead", started_at=begun - timedelta(minutes=2), until=begun - timedelta(minutes=1))
        await fast.opening(live)
        await fast.opening(dead)
        assert await right.unresolved() == [dead]
        await fast.closing(entry("T3", outcome=DONE, order_no="TR3"))
        (waiting,) = await right.waiting()
        assert timedelta(seconds=0) < waiting.due_at - datetime.now(UTC) < timedelta(seconds=11)


async def test_books_on_sqlite_use_the_clock_that_they_were_given(sqlite_url: str) -> None:
    """So their leases and sweeps can be tested without waiting."""
    clock = ManualClock()
    async with Books(sqlite_url, lease=30, clock=clock) as books:
        await books.create_tables()
        assert await books.claim(KEY, "first") is Claim.MINE
        clock.advance(29.9)
        assert await books.claim(KEY, "second") is Claim.BUSY
        clock.advance(0.2)
        assert await books.claim(KEY, "second") is Claim.MINE
