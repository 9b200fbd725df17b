"""Runs a handler and records its success in one transaction.

The once-guard lets a handler run *at least* once: a process can die between the handler's commit and the record of its
success, and a lease can be lost while a handler blocks the event loop. Here the record is part of the handler's own
transaction, so a second run finds it.

    begin, lock this order --> is it done? --> savepoint --> the handler's statements
        --> release the savepoint --> record it as done --> commit

The lock does not depend on the lease. On PostgreSQL it is an advisory lock of the transaction and not a lock on the
order's row, which the renewals of the claim write meanwhile. SQLite has only one writer: from ``BEGIN IMMEDIATE`` on
nobody else writes, so nobody can take the claim either, and it need not be renewed.

A process that stands still inside of its handler, because it is stopped or blocks its event loop, loses the lease but
not the lock. Nobody knows when it goes on, so the next owner waits for the lock for four seconds, and its delivery is
then answered 503. It does not take the lock away: the process that stands still may commit when it goes on.

The record must not be committed without the handler's statements. A handler may end the transaction by mistake, and
SQLite may roll it back by itself, for example when the disk is full; a handler that catches that error does not notice.
What follows then belongs to another transaction, in which our savepoint does not exist: releasing it fails, and nothing
is recorded. A commit by the handler, as a method or as a statement, is refused before it takes effect, because the
handler's statements would be repeated.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import time
from typing import TYPE_CHECKING, Final

from sqlalchemy import event, func, select, true
from sqlalchemy.exc import DBAPIError

from omipay_async.errors import BackendError
from omipay_async.fulfilment.handlers import handler_error
from omipay_async.fulfilment.runs import call_and_await, running_key

from .dialect import has_no_transaction
from .engines import BUSY_S
from .failures import (
    DATABASE_ERRORS,
    STATEMENT_ERRORS,
    is_lost,
    is_rolled_back,
    reason,
    repeated,
    translated,
    translation,
)
from .tables import ORDER, is_order, order_key, split_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

    from omipay_async.errors import InvalidRequest
    from omipay_async.models import Order

    from .claims import Claims
    from .database import Database

    TransactionalHandler = Callable[[Order, AsyncConnection], Awaitable[object]]

_FIRST_PAUSE_S: Final = 0.02
_LONGEST_PAUSE_S: Final = 1.0
_LOCK_S: Final = BUSY_S
"""How long the next owner of an order waits for its lock, if the last one has lost the lease but not the lock."""
_SAVEPOINT: Final = "omipay_effect"
_SETTINGS: Final = ("search_path", "role")
"""What a handler may set for its transaction (``SET LOCAL``), as shops do whose tenants have a schema or a role each.
The record would be written into another table of the same name."""
_COMMIT: Final = re.compile(r"(?:\s|;|--[^\n]*\n|/\*.*?\*/)*+(?:COMMIT|END)\b", re.IGNORECASE | re.DOTALL)
"""A statement that commits, after any comments. (``*+`` never goes back: each comment would double the time.)"""


class Effects:
    """Runs handlers in transactions that record their success."""

    def __init__(self, database: Database, claims: Claims) -> None:
        self._database = database
        self._claims = claims
        self._locked: set[tuple[str, str]] = set()

    def needs_no_lease(self, key: str) -> bool:
        """Whether a handler of this process holds the lock of ``key``, so that its lease need not be renewed."""
        return split_key(key) in self._locked

    async def run(self, order: Order, handler: TransactionalHandler) -> None:
        """Run ``handler(order, connection)`` and commit it with the record; do nothing if the order is done already."""
        key = running_key()
        if key is None:
            message = (
                "a session must run a transactional handler: give it to receive_notification, fulfil, settle or run"
            )
            raise handler_error(message)
        m_number = split_key(key)[0]
        row = m_number, order_key(order.order_no)
        await repeated(lambda: self._run_locked(row, order, handler), is_rolled_back)

    async def _run_locked(self, row: tuple[str, str], order: Order, handler: TransactionalHandler) -> None:
        """Run the handler under the order's lock.

        Raises:
            BackendError: another process held the lock for four seconds.
        """
        deadline = time.monotonic() + _LOCK_S
        pause = _FIRST_PAUSE_S
        while True:
            # Each attempt is a new transaction, because that sees what others committed, at every level of isolation.
            begun = self._database.held.begun(lambda c: self._try_lock(c, row))
            async with self._database.writer, begun as (connection, is_locked):
                if is_locked:
                    return await self._run(connection, row, order, handler)
            left = deadline - time.monotonic()
            if left <= 0:
                raise _locked_elsewhere(order)
            await asyncio.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _try_lock(self, connection: AsyncConnection, row: tuple[str, str]) -> bool:
        """Begin a transaction, and take the order's lock for it. False: another transaction has the lock."""
        await self._database.dialect.begin(connection)
        if self._database.dialect.is_sqlite:
            return True
        locking = select(func.pg_try_advisory_xact_lock(lock_number(row)))
        return bool((await connection.execute(locking)).scalar_one())

    async def _run(
        self, connection: AsyncConnection, row: tuple[str, str], order: Order, handler: TransactionalHandler
    ) -> None:
        with translated(BackendError):
            settings = await self._database.held.run_on(connection, lambda c: self._settings_unless_done(c, row))
        if settings is None:
            return
        if self._database.dialect.is_sqlite:
            self._locked.add(row)
        try:
            with self._database.inside_effect(), _commits_refused(connection, order):
                await call_and_await(lambda: handler(order, connection))
            await self._record(connection, row, order, settings)
        except STATEMENT_ERRORS as error:
            if is_lost(error):
                message = f"order {order.order_no}: the connection was lost while its handler ran: {reason(error)}"
                raise BackendError(message) from None
            raise
        finally:
            self._locked.discard(row)

    async def _settings_unless_done(
        self, connection: AsyncConnection, row: tuple[str, str]
    ) -> Mapping[str, str] | None:
        """The settings of this transaction; None if a success is recorded, and the handler must not run.

        If it is to run, this sets the savepoint by which the transaction is recognised later.
        """
        names = () if self._database.dialect.is_sqlite else _SETTINGS
        done_at = select(ORDER.c.done_at).where(is_order(*row)).scalar_subquery()
        query = select(done_at, *(func.current_setting(name) for name in names))
        recorded, *values = (await connection.execute(query)).one()
        if recorded is not None:
            return None
        await connection.exec_driver_sql(f"SAVEPOINT {_SAVEPOINT}")
        return dict(zip(names, values, strict=True))

    async def _record(
        self, connection: AsyncConnection, row: tuple[str, str], order: Order, settings: Mapping[str, str]
    ) -> None:
        async def record(connection: AsyncConnection) -> None:
            await _check_same_transaction(connection, order)
            if settings:
                restored = (func.set_config(name, value, true()) for name, value in settings.items())
                await connection.execute(select(*restored))
            await connection.execute(self._claims.recording(row))
            await self._database.dialect.commit(connection)

        try:
            await self._database.held.run_on(connection, record)
        except DATABASE_ERRORS as error:
            if is_rolled_back(error):
                raise
            raise translation(BackendError, error) from None


@contextlib.contextmanager
def _commits_refused(connection: AsyncConnection, order: Order) -> Iterator[None]:
    """While open, ``commit()`` rolls the transaction back instead, and it and the statement COMMIT raise an error.

    So does any statement that follows when the transaction has ended: it would be committed by itself, without a
    record, and again by the next run.
    """
    sync_connection = connection.sync_connection

    def refuse(committing: Connection) -> None:
        # SQLAlchemy itself does not roll back a transaction whose commit an event has prevented.
        committing.dialect.do_rollback(committing.connection)
        raise _ended_by_handler(order)

    def refuse_statement(executing: Connection, _cursor: object, statement: str, *_: object) -> None:
        if _COMMIT.match(statement):
            raise _ended_by_handler(order)
        if has_no_transaction(executing):
            raise _ended(order)

    event.listen(sync_connection, "commit", refuse)
    event.listen(sync_connection, "before_cursor_execute", refuse_statement)
    try:
        yield
    finally:
        event.remove(sync_connection, "commit", refuse)
        event.remove(sync_connection, "before_cursor_execute", refuse_statement)


async def _check_same_transaction(connection: AsyncConnection, order: Order) -> None:
    """Raise an error if the transaction is not the one in which the handler began."""
    if not connection.in_transaction():
        raise _ended_by_handler(order)
    try:
        await connection.exec_driver_sql(f"RELEASE SAVEPOINT {_SAVEPOINT}")
    except DBAPIError as error:
        if "savepoint" not in str(error.orig).lower():
            raise
        raise _ended(order) from None


def _ended_by_handler(order: Order) -> InvalidRequest:
    message = f"order {order.order_no}: its handler ended the transaction itself, nothing is recorded"
    return handler_error(message)


def _ended(order: Order) -> BackendError:
    message = (
        f"order {order.order_no}: the transaction was ended while its handler ran, by one of its statements or by the "
        "database; nothing is recorded"
    )
    return BackendError(message)


def _locked_elsewhere(order: Order) -> BackendError:
    message = (
        f"order {order.order_no}: another process has lost its claim, but its handler has not ended its transaction: "
        "that process is stopped, or its handler blocks the event loop. The order can be fulfilled once that has ended"
    )
    return BackendError(message)


def lock_number(row: tuple[str, str]) -> int:
    """The number of an order's advisory lock: 64 bits of a hash, which other programs are unlikely to use."""
    digest = hashlib.sha256("\0".join(("omipay", *row)).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
