"""A shop's effect in the books' database: a row in a table without a unique key, so that only the books prevent two."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from omipay_async.clock import SystemClock
from omipay_async.fulfilment.guard import OnceGuard

from .entries import M, execute, order

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncConnection

    from omipay_async.models import Order
    from omipay_async.sql import Books

ORDER = order()
INSERT = text("INSERT INTO outbox (order_no) VALUES (:order_no)")


async def create_outbox(books: Books) -> None:
    """The shop's own table."""
    await execute(books, "CREATE TABLE outbox (order_no TEXT)")


async def ship(order: Order, connection: AsyncConnection) -> None:
    """The shop's handler."""
    await connection.execute(INSERT, {"order_no": order.order_no})


async def ship_and_fail(order: Order, connection: AsyncConnection) -> None:
    """A handler that fails after its statements."""
    await ship(order, connection)
    raise ValueError(order.order_no)


async def effects(books: Books) -> int:
    """How often the effect has happened."""
    rows = await execute(books, "SELECT count(*) FROM outbox")
    return int(rows[0][0])


async def run(books: Books, handler: Callable[[Order], Awaitable[object]], wait_timeout: float | None = 10) -> bool:
    """Run ``handler`` for the order under the once-guard. Returns whether it ran."""
    return await OnceGuard(books, SystemClock(), M).run(ORDER, handler, wait_timeout=wait_timeout)
