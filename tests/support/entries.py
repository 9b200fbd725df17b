"""Entries and orders for the books, and what tests do with the database of the books."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from omipay_async.journal import JournalEntry, JournalOutcome
from omipay_async.models import Order

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncConnection

    from omipay_async import AsyncOmipay
    from omipay_async.sql import Books

M = "123456"
_ids = itertools.count(1)


def entry(
    out_order_no: str | None = "T1", *, m_number: str = M, seconds: float = 30, age: float = 0, **fields: Any
) -> JournalEntry:
    """A charge that began ``age`` seconds ago and may take ``seconds``."""
    began = datetime.now(UTC) - timedelta(seconds=age)
    defaults: dict[str, Any] = {
        "id": f"call-{next(_ids)}",
        "m_number": m_number,
        "endpoint": "MakeScanOrder",
        "out_order_no": out_order_no,
        "amount": 450,
        "currency": "AUD",
        "started_at": began,
        "until": began + timedelta(seconds=seconds),
    }
    return JournalEntry(**{**defaults, **fields})


def order(order_no: str = "TR1", out_order_no: str | None = "T1", status: str = "PAID", **fields: Any) -> Order:
    """An order as QueryOrder reports it."""
    defaults: dict[str, Any] = {"currency": "AUD", "amount": 450}
    return Order(order_no=order_no, status=status, out_order_no=out_order_no, **{**defaults, **fields})


DONE, NOT_DONE, UNKNOWN = JournalOutcome.DONE, JournalOutcome.NOT_DONE, JournalOutcome.UNKNOWN


def engine_url(url: str) -> str:
    """A database's URL for an engine of the test's own, which has to name the driver."""
    return url.replace("://", "+aiosqlite://" if url.startswith("sqlite") else "+asyncpg://")


async def execute(books: Books, statement: str, **values: Any) -> list[Any]:
    """Run a statement on the database of ``books``, commit it, and return its rows."""
    async with books._database._engine.connect() as connection:
        result = await connection.execute(text(statement), values)
        rows = list(result.all()) if result.returns_rows else []
        await connection.commit()
        return rows


@contextlib.asynccontextmanager
async def held_connection(books: Books) -> AsyncIterator[AsyncConnection]:
    """A connection of ``books`` on which a test holds locks."""

    async def first(_: AsyncConnection) -> None:
        """Do nothing."""

    async with books._database.held.begun(first) as (connection, _):
        yield connection


async def until_blocked(connection: AsyncConnection, transactions: int = 1) -> None:
    """Wait until so many transactions of PostgreSQL wait for a lock of another one."""
    count = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    async with asyncio.timeout(30):
        while (await connection.execute(count)).scalar_one() < transactions:
            await asyncio.sleep(0.01)


async def make_due(books: Books) -> None:
    """Make every order that waits due now."""
    await execute(books, "UPDATE omipay_order SET due_at = '2020-01-01 00:00:00.000000' WHERE due_at IS NOT NULL")


async def sold(omipay: AsyncOmipay, books: Books, count: int = 1) -> list[str]:
    """Orders that were made and written down, as a journal does; all due now."""
    numbers = []
    for number in range(count):
        made = await omipay.make_qr_order(
            order_name="Tea", amount=450, currency="AUD", out_order_no=f"T{number}", platform="WECHATPAY"
        )
        await books.closing(entry(f"T{number}", outcome=DONE, order_no=made.order_no))
        numbers.append(made.order_no)
    await make_due(books)
    return numbers
