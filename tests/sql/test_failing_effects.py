"""Transactional handlers while the database fails: their effect is neither lost nor doubled."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError, ProgrammingError

from omipay_async.clock import SystemClock
from omipay_async.errors import BackendError
from omipay_async.fulfilment.guard import OnceGuard
from omipay_async.fulfilment.memory import MemoryBackend
from omipay_async.sql import Books
from omipay_async.testing import ManualClock
from tests.support.entries import M, execute, order
from tests.support.shop_effects import INSERT, create_outbox, effects, run, ship

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from omipay_async.models import Order
    from tests.support.postgres_server import PostgresServer


@pytest.fixture
async def books(books: Books) -> Books:
    """Books in the same database as a shop's own table."""
    await create_outbox(books)
    return books


@pytest.mark.parametrize("when", ["claim", "renew", "commit", "finish"])
async def test_no_effect_is_lost_or_doubled_when_the_database_goes_down(fragile: PostgresServer, when: str) -> None:
    """At each moment of a run that is a BackendError, and once the database is back there is one effect."""
    url = fragile.database()
    async with Books(url) as books:
        await books.create_tables()
        await create_outbox(books)
        clock = ManualClock()

        async def ship_and_fail(order: Order, connection: Any) -> None:
            await ship(order, connection)
            if when in {"commit", "renew"}:
                fragile.stop()
            while when == "renew":  # until the lease has ended and the run is stopped
                clock.advance(1)
                await asyncio.sleep(0.01)

        class Fragile(Books):
            async def finish(self, key: str, owner: str) -> bool:
                if when == "finish":
                    fragile.stop()
                return await super().finish(key, owner)

        books.__class__ = Fragile
        if when == "claim":
            fragile.stop()
        with pytest.raises(BackendError):
            await OnceGuard(books, clock, M).run(order(), books.transactional(ship_and_fail), wait_timeout=5)
        fragile.start()
        books.__class__ = Books
        async with Books(url) as other:
            await execute(other, "UPDATE omipay_order SET lease_until = '2020-01-01'")
        await run(books, books.transactional(ship), wait_timeout=15)
        assert await execute(books, "SELECT order_no FROM outbox") == [("TR1",)]


async def test_connections_that_were_lost_before_a_handler_runs_are_replaced(
    postgres: Books, fragile: PostgresServer
) -> None:
    """Nothing was done on them, so the handler runs on a new one."""
    await create_outbox(postgres)
    engine = postgres._database._engine
    async with engine.connect(), engine.connect() as second:
        lost = (await second.execute(text("SELECT pg_backend_pid()"))).scalar()
    async with Books(fragile.url("books")) as other:
        await execute(other, "SELECT pg_terminate_backend(:pid)", pid=lost)

    assert await run(postgres, postgres.transactional(ship))
    assert await execute(postgres, "SELECT order_no FROM outbox") == [("TR1",)]


AGAIN = "INSERT INTO outbox (order_no) VALUES ('again')"


@pytest.mark.parametrize("statements", [["ROLLBACK"], ["ROLLBACK", "BEGIN"], ["ROLLBACK", AGAIN]], ids=str)
async def test_nothing_is_recorded_if_a_statement_of_the_handler_ended_the_transaction(
    books: Books, statements: list[str]
) -> None:
    """A recorded order is never fulfilled again, so the record is only committed with the handler's statements.

    Nor is any statement executed that would be committed without the record, again with each delivery.
    """

    async def wrong(order: Order, connection: AsyncConnection) -> None:
        await ship(order, connection)
        for statement in statements:
            await connection.exec_driver_sql(statement)

    with pytest.raises(BackendError, match="transaction was ended"):
        await run(books, books.transactional(wrong))
    assert await execute(books, "SELECT key FROM omipay_order WHERE done_at IS NOT NULL") == []
    assert await effects(books) == 0


async def test_nothing_is_recorded_if_sqlite_rolled_the_transaction_back(sqlite_url: str) -> None:
    """On a full disk SQLite rolls all statements back, and the handler may catch the error of the last one."""

    async def careless(order: Order, connection: AsyncConnection) -> None:
        await ship(order, connection)
        pages = (await connection.execute(text("PRAGMA page_count"))).scalar()
        await connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        with contextlib.suppress(OperationalError):
            await connection.execute(INSERT, {"order_no": "x" * 100_000})
        await connection.exec_driver_sql("PRAGMA max_page_count=1073741823")
        await connection.execute(text("INSERT INTO outbox (order_no) VALUES ('the rest')"))

    async with Books(sqlite_url) as books:
        await books.create_tables()
        await create_outbox(books)
        with pytest.raises(BackendError, match="by the database"):
            await run(books, books.transactional(careless))
        assert await effects(books) == 0
        assert await run(books, books.transactional(ship)) is True
        assert await effects(books) == 1


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
async def test_a_connection_that_is_lost_while_a_handler_runs_is_a_backend_error(url: str, books: Books) -> None:
    """Nothing was committed; the notification is answered 503 and delivered again."""

    async def cut_off(order: Order, connection: AsyncConnection) -> None:
        await ship(order, connection)
        pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar()
        await execute(books, "SELECT pg_terminate_backend(:pid)", pid=pid)
        await asyncio.sleep(0.05)
        await ship(order, connection)

    with pytest.raises(BackendError, match="lost while its handler ran"):
        await run(books, books.transactional(cut_off))
    assert await effects(books) == 0
    assert await run(books, books.transactional(ship)) is True


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
async def test_a_connection_lost_before_the_commit_is_a_backend_error(url: str, books: Books) -> None:
    """The handler has ended without an effect, and the next delivery makes it."""

    async def cut_off(order: Order, connection: AsyncConnection) -> None:
        await ship(order, connection)
        pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar()
        await execute(books, "SELECT pg_terminate_backend(:pid)", pid=pid)

    with pytest.raises(BackendError):
        await run(books, books.transactional(cut_off))
    assert await effects(books) == 0
    assert await run(books, books.transactional(ship)) is True
    assert await effects(books) == 1


async def test_there_is_no_effect_if_its_record_cannot_be_written(books: Books) -> None:
    """Neither is committed without the other, and the error gives the reason."""

    async def destroy(order: Order, connection: AsyncConnection) -> None:
        await ship(order, connection)
        await connection.execute(text("DROP TABLE omipay_order"))

    with pytest.raises(BackendError, match="omipay_order"):
        await run(books, books.transactional(destroy))
    assert await effects(books) == 0
    assert await run(books, books.transactional(ship)) is True


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
async def test_on_postgresql_an_error_that_a_handler_caught_fails_its_run(url: str, books: Books) -> None:
    """PostgreSQL executes nothing after it, so nothing is recorded."""

    async def careless(order: Order, connection: AsyncConnection) -> None:
        with contextlib.suppress(ProgrammingError):
            await connection.execute(text("SELECT * FROM nowhere"))

    with pytest.raises(BackendError, match="aborted"):
        await run(books, books.transactional(careless))
    assert await run(books, books.transactional(ship)) is True
    assert await effects(books) == 1


async def test_an_effect_is_found_by_a_backend_that_has_forgotten_it(books: Books) -> None:
    """The record does not depend on the once-guard's: a backend in memory forgets when its process ends."""
    for _ in range(2):
        guard = OnceGuard(MemoryBackend(), SystemClock(), M)
        assert await guard.run(order(), books.transactional(ship), wait_timeout=5) is True
    assert await effects(books) == 1
