"""Callers that are cancelled or whose time is up: nothing is written afterwards, and no connection is lost."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import anyio
import pytest

from omipay_async.clock import SystemClock
from omipay_async.errors import BackendError
from omipay_async.fulfilment.backends import Claim
from omipay_async.fulfilment.guard import OnceGuard
from omipay_async.fulfilment.memory import MemoryBackend
from omipay_async.sql import Books, tasks
from tests.support.entries import M, held_connection, order
from tests.support.waiting import until, until_idle

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from omipay_async.models import Order

KEY = f"{M}:TR1"


async def check_connections_returned(books: Books) -> None:
    """Each connection is in its pool once nothing uses it any more."""
    await until_idle(books)
    pool: Any = books._database._engine.pool
    assert pool.checkedout() == 0


def check_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Neither SQLAlchemy nor asyncio has logged anything, such as an exception that nobody retrieved."""
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name.startswith(("sqlalchemy", "asyncio"))] == []


async def test_a_cancelled_caller_does_not_wait_for_the_database(sqlite: Books, sqlite_url: str) -> None:
    """The connection returns to its pool in the background."""
    async with Books(sqlite_url) as other, held_connection(other) as connection:
        await other._database.dialect.begin(connection)
        asking = asyncio.create_task(sqlite.claim(KEY, "me"))
        await asyncio.sleep(0.1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert sqlite._database.tasks.under_way  # what was asked still waits
        await connection.commit()
    assert await sqlite.claim(KEY, "you") is not None


async def test_no_connection_is_lost_at_whatever_moment_a_caller_is_cancelled(
    url: str, books: Books, caplog: pytest.LogCaptureFixture
) -> None:
    """The moments are before, while and after the database answers; nothing is logged."""

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
    await check_connections_returned(books)
    check_not_logged(caplog)


async def test_a_connection_is_closed_only_after_the_statement_of_a_cancelled_caller(
    url: str, books: Books, caplog: pytest.LogCaptureFixture
) -> None:
    """Two tasks that use the connection at the same time would disturb each other.

    asyncpg then breaks off the request that cancels a statement, and asyncio logs an exception that nobody retrieved.
    """

    async def ship(order: Order, connection: Any) -> None: ...

    for number in range(10):
        guard = OnceGuard(books, SystemClock(), M)
        asking = asyncio.create_task(guard.run(order(f"TR{number}"), books.transactional(ship), wait_timeout=5))
        while not (asking.done() or books._database.held._using):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
    await until_idle(books)
    check_not_logged(caplog)


async def test_a_connection_stays_open_while_a_statement_uses_it_whose_caller_has_left(sqlite: Books) -> None:
    """On SQLite the statement goes on in its thread."""
    started, go, seen = asyncio.Event(), asyncio.Event(), list[bool]()

    async def work(connection: AsyncConnection) -> None:
        started.set()
        await go.wait()
        seen.append(connection.closed)

    async def use() -> None:
        async with held_connection(sqlite) as connection:
            await sqlite._database.held.run_on(connection, work)

    using = asyncio.create_task(use())
    await started.wait()
    using.cancel()
    for _ in range(30):
        await asyncio.sleep(0.001)  # the thread of SQLite's driver could close it
    go.set()
    await asyncio.wait([using])
    assert seen == [False]


async def test_what_was_begun_is_ended_on_its_own_connection(sqlite: Books) -> None:
    """With what its beginning returned, and while the connection is still open."""
    ended: list[tuple[AsyncConnection, str, bool]] = []

    async def first(_: AsyncConnection) -> str:
        return "begun"

    async def end(connection: AsyncConnection, result: str) -> None:
        ended.append((connection, result, connection.closed))

    async with sqlite._database.held.begun(first, end=end) as (connection, _):
        assert ended == []
    assert ended == [(connection, "begun", False)]


async def test_on_sqlite_nothing_is_written_after_the_caller_got_an_error(
    sqlite: Books, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller may have acted on the error."""
    monkeypatch.setattr(tasks, "ANSWER_S", 0.1)
    async with Books(sqlite_url) as other:
        async with held_connection(other) as connection:
            await other._database.dialect.begin(connection)
            with pytest.raises(BackendError):
                await sqlite.claim(KEY, "me")
            await connection.commit()
        monkeypatch.setattr(tasks, "ANSWER_S", 60.0)
        await until_idle(sqlite)
        assert await other.claim(KEY, "you") is Claim.MINE


async def test_a_caller_that_is_cancelled_before_its_transaction_has_begun_leaves_at_once(
    sqlite: Books, sqlite_url: str
) -> None:
    """SQLite's writer is another process: the connection is closed once it is open, and another handler can run."""

    async def ship(order: Order, connection: Any) -> None: ...

    guard = OnceGuard(MemoryBackend(), SystemClock(), M)  # so that the handler's transaction is the first
    async with Books(sqlite_url) as other, held_connection(other) as connection:
        await other._database.dialect.begin(connection)
        asking = asyncio.create_task(guard.run(order(), sqlite.transactional(ship), wait_timeout=5))
        await asyncio.sleep(0.2)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert sqlite._database.tasks.under_way
        await connection.commit()
    assert await guard.run(order(), sqlite.transactional(ship), wait_timeout=5) is True
    await check_connections_returned(sqlite)


async def test_books_whose_closing_is_cancelled_are_closed_in_the_background(
    books: Books, caplog: pytest.LogCaptureFixture
) -> None:
    """In a cancelled scope of anyio, each await is cancelled."""
    pool: Any = books._database._engine.pool
    async with books.listen(Mock()):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await books.aclose()
        await until(lambda: books._database._engine.pool is not pool, "a pool for what comes after the closing")
    assert scope.cancelled_caught
    assert (pool.checkedout(), pool.checkedin()) == (0, 0)
    assert caplog.records == []


def test_books_are_closed_when_their_event_loop_ends_meanwhile(sqlite_url: str) -> None:
    """It cancels the closing, which waits for a transaction."""

    async def main() -> tuple[Books, object]:
        async with Books(sqlite_url) as other, held_connection(other) as connection:
            await other._database.dialect.begin(connection)
            books = Books(sqlite_url)
            asking = asyncio.create_task(books.claim(KEY, "me"))
            await asyncio.sleep(0.1)
            closing = asyncio.create_task(books.aclose())
            await asyncio.sleep(0)
            assert not any(task.done() for task in (asking, closing))
            return books, books._database._engine.pool

    books, pool = asyncio.run(main())
    assert books._database._engine.pool is not pool  # as once its connections are closed
