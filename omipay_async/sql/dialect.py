"""What SQLite and PostgreSQL do differently: expressions, and how a transaction begins and ends."""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import DateTime, func, literal, literal_column
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection, Table
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from omipay_async.clock import Clock


_DRIVER_BEGINS: Final = "omipay_driver_begins"
"""The key in a connection's ``info``: whether its driver begins the next transaction when one ends (PEP 249)."""


class Dialect:
    """One of the two databases, and what differs between them."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._clock = clock
        self.is_sqlite: Final = engine.dialect.name == "sqlite"
        self.options: Final = {} if self.is_sqlite else {"isolation_level": "READ COMMITTED"}

    def machine_time(self) -> datetime:
        """The time of this machine."""
        return datetime.fromtimestamp(self._clock.time_ms() / 1000, UTC)

    def now(self, plus: timedelta = timedelta(0)) -> Any:
        """The database's time, as an expression. SQLite's clock is this machine's."""
        if self.is_sqlite:
            return literal(self.machine_time() + plus, DateTime(timezone=True))
        # Not clock_timestamp(): no index is used for a value that may change within a statement.
        now = func.statement_timestamp(type_=DateTime(timezone=True))
        # In seconds: a day of an interval has 23 or 25 hours when the clocks of the server's time zone are changed.
        return now + literal_column("interval '1 second'") * plus.total_seconds() if plus else now

    def insert(self, table: Table) -> Any:
        """An INSERT that can have an ON CONFLICT clause."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    async def begin(self, connection: AsyncConnection) -> None:
        """Begin a transaction that writes. PostgreSQL needs no statement for that; SQLite's is the one writer then."""
        if not self.is_sqlite:
            return
        driver = await _driver(connection)
        connection.info[_DRIVER_BEGINS] = driver.in_transaction
        await connection.begin()
        if driver.in_transaction:  # begun by an event handler of the engine, or on a connection that all share
            await connection.exec_driver_sql("COMMIT")
        await connection.exec_driver_sql("BEGIN IMMEDIATE")

    async def commit(self, connection: AsyncConnection) -> None:
        """Commit what ``begin`` began. A driver that was told to autocommit does nothing if it is asked to."""
        await connection.commit()
        if not self.is_sqlite:
            return
        driver = await _driver(connection)
        if driver.in_transaction and not connection.info[_DRIVER_BEGINS]:
            await connection.exec_driver_sql("COMMIT")

    async def take_back(self, connection: AsyncConnection) -> None:
        """Roll back on SQLite what was not committed, before the connection returns to its pool.

        SQLAlchemy does not if it was told to skip that for a driver that autocommits, and such a driver may not either.
        The next one to use the connection would commit what a handler wrote that has failed.
        """
        if not self.is_sqlite:
            return
        with contextlib.suppress(SQLAlchemyError, sqlite3.Error, ValueError):  # of one that is closed, or broken
            driver = await _driver(connection)
            if driver.in_transaction:
                await driver.rollback()
            if driver.in_transaction and not connection.info.get(_DRIVER_BEGINS, True):
                await driver.execute("ROLLBACK")


def or_update(insert: Any, values: Mapping[str, Any], *, where: Any = None) -> Any:
    """``insert``, which sets ``values`` instead if the row exists already, and if ``where`` is true of it."""
    return insert.on_conflict_do_update(index_elements=list(insert.table.primary_key), set_=values, where=where)


def has_no_transaction(connection: Connection) -> bool:
    """Whether the database has ended the transaction of an open connection, as its driver knows without asking it."""
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite":
        return not driver.in_transaction
    return not (driver.is_closed() or driver.is_in_transaction())


async def _driver(connection: AsyncConnection) -> Any:
    return (await connection.get_raw_connection()).driver_connection
