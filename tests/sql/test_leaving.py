"""Callers who leave, and questions that are given up: nothing is written afterwards, and no connection is lost."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import TYPE_CHECKING, Any

import pytest

from omipay_async.clock import SystemClock
from omipay_async.errors import BackendError
from omipay_async.fulfilment.backends import Claim, MemoryBackend
from omipay_async.fulfilment.guard import OnceGuard
from omipay_async.sql import Books, database
from tests.support.entries import M, order

if TYPE_CHECKING:
    from omipay_async.models import Order

KEY = f"{M}:TR1"


async def test_a_caller_who_is_cancelled_leaves_at_once(sqlite: Books, sqlite_url: str) -> None:
    """Whatever the database does; the connection is given back beside."""
    async with Books(sqlite_url) as other, other._database.connected(BackendError) as connection:
        await other._database.begin(connection)
        asking = asyncio.create_task(sqlite.claim(KEY, "me"))
        await asyncio.sleep(0.1)
        began = time.monotonic()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert time.monotonic() - began < 0.5
        await connection.commit()
    assert await sqlite.claim(KEY, "you") is not None


async def test_callers_who_leave_at_any_moment_take_no_connection_with_them(
    url: str, books: Books, caplog: pytest.LogCaptureFixture
) -> None:
    """Cancelled before, while and after the database answers: every connection is given back, and nothing is logged."""

    async def hang(order: Order, connection: Any) -> None:
        await asyncio.Event().wait()

    def run(number: int) -> Any:
        guard = OnceGuard(books, SystemClock(), M)
        return guard.run(order(f"TR{number}"), books.transactional(hang), wait_timeout=5)

    for number in range(40):
        asking = asyncio.create_task(run(number) if number % 2 else books.claim(f"{M}:C{number}", "me"))
        await asyncio.sleep(number / 4000)
        asking.cancel()
        await asyncio.wait([asking])
    async with asyncio.timeout(10):
        while books._database._asking:
            await asyncio.wait(books._database._asking)
    pool: Any = books._database._engine.pool
    assert pool.checkedout() == 0
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name.startswith(("sqlalchemy", "asyncio"))] == []


async def test_a_caller_who_leaves_during_a_question_of_its_transaction_disturbs_nothing(
    url: str, books: Books, caplog: pytest.LogCaptureFixture
) -> None:
    """The connection is closed after that question has ended. Of two tasks that close it, one would disturb the other.

    asyncpg then breaks off the request that cancels a statement, and asyncio logs an exception that nobody retrieved.
    """

    async def ship(order: Order, connection: Any) -> None: ...

    for number in range(10):
        guard = OnceGuard(books, SystemClock(), M)
        asking = asyncio.create_task(guard.run(order(f"TR{number}"), books.transactional(ship), wait_timeout=5))
        while not (asking.done() or books._database._using):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
    async with asyncio.timeout(10):
        while books._database._asking:
            await asyncio.wait(books._database._asking)
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name.startswith(("sqlalchemy", "asyncio"))] == []


async def test_what_was_given_up_on_sqlite_is_not_written_afterwards(
    sqlite: Books, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its caller got an error, and may have acted on it."""
    monkeypatch.setattr(database, "ANSWER_S", 0.1)
    async with Books(sqlite_url) as other:
        async with other._database.connected(BackendError) as connection:
            await other._database.begin(connection)
            with pytest.raises(BackendError):
                await sqlite.claim(KEY, "me")
            await connection.commit()
        monkeypatch.setattr(database, "ANSWER_S", 5.0)
        await asyncio.gather(*sqlite._database._asking, return_exceptions=True)
        assert await other.claim(KEY, "you") is Claim.MINE


async def test_a_caller_who_leaves_before_its_transaction_has_begun_leaves_at_once(
    sqlite: Books, sqlite_url: str
) -> None:
    """SQLite's writer is somebody else: the connection is closed once it is there, and another handler can run."""

    async def ship(order: Order, connection: Any) -> None: ...

    guard = OnceGuard(MemoryBackend(), SystemClock(), M)  # no question to the database before the transaction's
    async with Books(sqlite_url) as other, other._database.connected(BackendError) as connection:
        await other._database.begin(connection)
        asking = asyncio.create_task(guard.run(order(), sqlite.transactional(ship), wait_timeout=5))
        await asyncio.sleep(0.2)
        began = time.monotonic()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert time.monotonic() - began < 1
        await connection.commit()
    assert await guard.run(order(), sqlite.transactional(ship), wait_timeout=5) is True
    while sqlite._database._asking:
        await asyncio.wait(sqlite._database._asking)
    pool: Any = sqlite._database._engine.pool
    assert pool.checkedout() == 0
