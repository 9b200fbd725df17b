"""A handler on PostgreSQL may work in the schema and with the role of a tenant: the record is that of the books."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from omipay_async.clock import SystemClock
from omipay_async.fulfilment.guard import OnceGuard
from omipay_async.fulfilment.memory import MemoryBackend
from omipay_async.sql import Books
from tests.support.entries import M, engine_url, execute
from tests.support.shop_effects import ORDER, create_outbox, effects

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from omipay_async.models import Order


@pytest.mark.parametrize("setting", ["LOCAL search_path TO tenant", "LOCAL ROLE pg_read_all_data"])
async def test_a_handler_may_set_the_schema_and_the_role_of_its_transaction(postgres_url: str, setting: str) -> None:
    """Its success is recorded beside its order, and not in a table of the same name that a tenant has."""
    engine = create_async_engine(engine_url(postgres_url), pool_size=1, max_overflow=0)
    async with Books(engine) as books:
        await books.create_tables()
        await create_outbox(books)
        for statement in ("DROP SCHEMA IF EXISTS tenant CASCADE", "CREATE SCHEMA tenant"):
            await execute(books, statement)
        await execute(books, "CREATE TABLE tenant.omipay_order (LIKE public.omipay_order INCLUDING ALL)")

        async def ship(order: Order, connection: AsyncConnection) -> None:
            await connection.execute(text("INSERT INTO outbox VALUES (:number)"), {"number": order.order_no})
            await connection.execute(text(f"SET {setting}"))

        for _ in range(2):  # the second process does not know what the first one has done
            guard = OnceGuard(MemoryBackend(), SystemClock(), M)
            await guard.run(ORDER, books.transactional(ship), wait_timeout=10)
        assert await effects(books) == 1
        assert await execute(books, "SELECT count(*) FROM omipay_order WHERE done_at IS NOT NULL") == [(1,)]
        assert await execute(books, "SELECT count(*) FROM tenant.omipay_order") == [(0,)]
    await engine.dispose()
