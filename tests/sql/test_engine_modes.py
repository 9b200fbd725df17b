"""Transactions begin and end as the books say, whatever an engine of the user was told about them."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine

from omipay_async.errors import BackendError
from omipay_async.sql import Books
from tests.support.entries import engine_url, entry, execute
from tests.support.shop_effects import create_outbox, effects, run, ship, ship_and_fail

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from omipay_async.models import Order

AUTOCOMMIT = {"isolation_level": "AUTOCOMMIT"}


class AutocommittingConnection(sqlite3.Connection):
    """A connection as Python 3.12 has it with ``autocommit=True``: it does not end what a statement has begun."""

    def commit(self) -> None:
        """Do nothing."""

    def rollback(self) -> None:
        """Do nothing."""


class EndlessConnection(sqlite3.Connection):
    """A connection as Python 3.12 has it with ``autocommit=False``: when a transaction ends, the next one begins."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options | {"isolation_level": None})
        self.execute("BEGIN")

    def commit(self) -> None:
        """Commit, and begin the next one."""
        self.execute("COMMIT")
        self.execute("BEGIN")

    def rollback(self) -> None:
        """Roll back, and begin the next one."""
        self.execute("ROLLBACK")
        self.execute("BEGIN")


def always(url: str) -> AsyncEngine:
    return create_async_engine(url, execution_options=AUTOCOMMIT)


def copied(url: str) -> AsyncEngine:
    return create_async_engine(url).execution_options(**AUTOCOMMIT)


def skipping(url: str) -> AsyncEngine:
    engine = create_async_engine(url, **AUTOCOMMIT)
    engine.dialect.skip_autocommit_rollback = True  # an option since SQLAlchemy 2.0.43
    return engine


def hooked(url: str) -> AsyncEngine:
    engine = create_async_engine(url, execution_options=AUTOCOMMIT)

    @event.listens_for(engine.sync_engine, "engine_connect")
    def prepare(connection: Any) -> None:
        connection.exec_driver_sql("SELECT 1")  # begins a transaction

    return engine


def switched(url: str) -> AsyncEngine:
    engine = create_async_engine(url)

    @event.listens_for(engine.sync_engine, "engine_connect")
    def prepare(connection: Any) -> None:
        connection.execution_options(**AUTOCOMMIT)

    return engine


async def ship_after_the_end(order: Order, connection: AsyncConnection) -> None:
    """A handler whose transaction the database has ended, as SQLite does on a full disk."""
    await connection.exec_driver_sql("ROLLBACK")
    await ship(order, connection)


async def check(books: Books, other: Books) -> None:
    """What is written is committed, what fails is rolled back, and nobody else is locked out."""
    await books.create_tables()
    await create_outbox(books)
    await books.opening(entry())
    assert len(await other.unresolved(in_flight=True)) == 1
    with pytest.raises(ValueError, match="TR1"):
        await run(books, books.transactional(ship_and_fail))
    with pytest.raises(BackendError, match="transaction was ended"):
        await run(books, books.transactional(ship_after_the_end))
    await other.opening(entry("T2"))
    assert await effects(other) == 0
    assert await run(books, books.transactional(ship)) is True
    assert await effects(other) == 1
    assert len(await execute(other, "SELECT done_at FROM omipay_order WHERE done_at IS NOT NULL")) == 1


@pytest.mark.parametrize("make", [always, copied, skipping, hooked, switched])
async def test_an_engine_that_autocommits_does_not_split_a_transaction(
    url: str, make: Callable[[str], AsyncEngine]
) -> None:
    """What a handler wrote and the record that it succeeded are committed together, or rolled back together."""
    engine = make(engine_url(url))
    async with Books(engine) as books, Books(url) as other:
        await check(books, other)
    await engine.dispose()


@pytest.mark.parametrize("factory", [AutocommittingConnection, EndlessConnection])
async def test_the_autocommit_of_python_3_12_is_no_matter(sqlite_url: str, factory: type[sqlite3.Connection]) -> None:
    """The books commit what the driver does not commit when it is asked to."""
    arguments = {"factory": factory, "isolation_level": None}
    engine = create_async_engine(engine_url(sqlite_url), connect_args=arguments)
    async with Books(engine) as books, Books(sqlite_url) as other:
        await check(books, other)
    await engine.dispose()


async def test_what_others_write_on_a_connection_that_all_share_is_kept() -> None:
    """A test of a shop has one for its database in memory, and charges in the middle of a transaction of its own."""
    engine = create_async_engine("sqlite+aiosqlite://")
    async with Books(engine) as books:
        await books.create_tables()
        await create_outbox(books)
        async with engine.begin() as connection:
            await connection.exec_driver_sql("INSERT INTO outbox VALUES ('mine')")
            await books.opening(entry())
        assert await effects(books) == 1
    await engine.dispose()
