"""What a payment brings about, and the record that it was brought about, in one transaction.

The once-guard lets a handler run *at least* once: a process can die between the handler's commit and the record of its
success, and a lease can be lost over a handler that blocks. Here the record is part of the handler's own transaction,
and whoever comes second finds it.

    begin, be alone with this order --> is it done? --> the handler's statements --> done --> commit

Being alone does not rest on a lease. On PostgreSQL it is an advisory lock of the transaction, not a lock on the
order's row, which the renewals of the claim write meanwhile. SQLite has one writer anyway: from ``BEGIN IMMEDIATE`` on
nobody else writes, so nobody can take the claim either, and a renewal of it has nothing to write.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from omipay_async.errors import BackendError, InvalidRequest
from omipay_async.fulfilment.guard import running_key

from .database import TROUBLES, is_lost, is_taken_back, reason, translation
from .tables import ORDER, order_key, split_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncConnection

    from omipay_async.models import Order

    from .claims import Claims
    from .database import Database

    TransactionalHandler = Callable[[Order, AsyncConnection], Awaitable[object]]

_ATTEMPTS: Final = 5
_FIRST_PAUSE_S: Final = 0.02
_LONGEST_PAUSE_S: Final = 1.0


class Effects:
    """Runs handlers in transactions that record their success."""

    def __init__(self, database: Database, claims: Claims) -> None:
        self._database = database
        self._claims = claims
        self._alone: set[tuple[str, str]] = set()

    def needs_no_lease(self, key: str) -> bool:
        """Whether a handler of this process keeps everybody from taking ``key``, whatever its lease is."""
        return split_key(key) in self._alone

    async def run(self, order: Order, handler: TransactionalHandler) -> None:
        """Run ``handler(order, connection)`` and commit it with the record; or nothing, if the record is there."""
        key = running_key()
        if key is None:
            message = "a transactional handler is run by a session: give it to receive_notification, fulfil or sweep"
            raise InvalidRequest(message, parameter="handler")
        m_number = split_key(key)[0]
        row = m_number, order_key(order.order_no)
        for _ in range(_ATTEMPTS - 1):
            try:
                return await self._alone_with(row, order, handler)
            except DBAPIError as error:
                if not is_taken_back(error):
                    raise
        return await self._alone_with(row, order, handler)

    async def _alone_with(self, row: tuple[str, str], order: Order, handler: TransactionalHandler) -> None:
        pause = _FIRST_PAUSE_S
        while True:
            # Each attempt is a new transaction: what the other committed is then seen on every level of isolation.
            begun = self._database.begun(lambda c: self._is_alone(c, row), BackendError)
            async with self._database.writer(), begun as (connection, is_alone):
                if is_alone:
                    return await self._run(connection, row, order, handler)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _is_alone(self, connection: AsyncConnection, row: tuple[str, str]) -> bool:
        await self._database.begin(connection)
        if self._database.dialect.is_sqlite:
            return True
        locking = select(func.pg_try_advisory_xact_lock(lock_number(row)))
        return bool((await connection.execute(locking)).scalar())

    async def _run(
        self, connection: AsyncConnection, row: tuple[str, str], order: Order, handler: TransactionalHandler
    ) -> None:
        if await self._database.on(connection, lambda c: _is_done(c, row), BackendError):
            return
        transaction = connection.sync_connection.get_transaction()  # type: ignore[union-attr]  # it is connected
        if self._database.dialect.is_sqlite:
            self._alone.add(row)
        try:
            with self._database.inside_effect():
                await _called(handler, order, connection)
            if transaction is None or not transaction.is_active:
                message = f"order {order.order_no}: its handler ended the transaction itself, nothing is recorded"
                raise InvalidRequest(message, parameter="handler")
            await self._record(connection, row)
        except DBAPIError as error:
            if is_lost(error):
                message = f"order {order.order_no}: the database was lost in its handler: {reason(error)}"
                raise BackendError(message) from None
            raise
        finally:
            self._alone.discard(row)

    async def _record(self, connection: AsyncConnection, row: tuple[str, str]) -> None:
        async def record() -> None:
            await connection.execute(self._claims.recorded(row))
            await connection.commit()

        try:
            await self._database.bounded(record, BackendError)
        except TROUBLES as error:
            if is_taken_back(error):
                raise
            raise translation(BackendError, error) from None


async def _is_done(connection: AsyncConnection, row: tuple[str, str]) -> bool:
    m_number, key = row
    asking = select(ORDER.c.done_at).where(ORDER.c.m_number == m_number, ORDER.c.key == key)
    return (await connection.execute(asking)).scalar() is not None


async def _called(handler: TransactionalHandler, order: Order, connection: AsyncConnection) -> None:
    result: Any = handler(order, connection)
    if not inspect.isawaitable(result):
        message = "handler must be async: it returned nothing that can be awaited"
        raise InvalidRequest(message, parameter="handler")
    await result


def lock_number(row: tuple[str, str]) -> int:
    """The number of an order's advisory lock: 64 bits of a hash, which others hardly use."""
    digest = hashlib.sha256("\0".join(("omipay", *row)).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
