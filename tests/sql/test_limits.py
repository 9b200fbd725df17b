"""How much the books take: the largest amounts, limits from the smallest to the largest, and words of any length."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from omipay_async.errors import InvalidRequest, JournalError
from omipay_async.sql import Books, SweepReport, database as database_module, tasks
from tests.support.entries import DONE, UNKNOWN, M, entry, execute, held_connection, order, sold

if TYPE_CHECKING:
    from omipay_async import AsyncOmipay


@pytest.mark.parametrize("amount", [1, 2**63 - 1])
async def test_the_largest_amount_resolves_its_call(books: Books, amount: int) -> None:
    """Whatever both databases can hold is compared."""
    await books.closing(entry(outcome=UNKNOWN, amount=amount))
    await books.confirmed(M, order(amount=amount))
    assert await books.unresolved() == []
    assert [waiting.amount for waiting in await books.waiting()] == [amount]


@pytest.mark.parametrize("limit", [1, 2, 1_000_000])
async def test_a_limit_is_from_one_order_to_a_million(omipay: AsyncOmipay, books: Books, limit: int) -> None:
    """Sweeps and lists take the same limits."""
    await sold(omipay, books, 3)
    assert len(await books.waiting(limit=limit)) == min(limit, 3)
    assert await books.sweep(omipay, None, limit=limit) == SweepReport(waiting=min(limit, 3))


async def test_the_orders_that_are_due_next_are_listed_first(books: Books) -> None:
    """A limit leaves out those with more time."""
    await books.closing(entry(outcome=DONE, order_no="TR1"))
    lost = entry("T2", outcome=UNKNOWN)
    await books.closing(lost)
    await books.resolve(lost, DONE, order_no="TR2")  # asked about by the next sweep, not in ten seconds
    assert [waiting.order_no for waiting in await books.waiting()] == ["TR2", "TR1"]
    assert [waiting.order_no for waiting in await books.waiting(limit=1)] == ["TR2"]


@pytest.mark.parametrize("limit", [0, -1, 1_000_001, "5", None, 2.0])
async def test_any_other_limit_is_refused(omipay: AsyncOmipay, books: Books, limit: object) -> None:
    """The error names it, and comes before the database is asked."""
    for question in (books.waiting(limit=limit), books.sweep(omipay, None, limit=limit)):  # type: ignore[arg-type]  # on purpose
        with pytest.raises(InvalidRequest, match="limit") as caught:
            await question
        assert caught.value.parameter == "limit"


async def test_a_new_report_counts_nothing() -> None:
    """A program that adds reports up may begin with one."""
    assert SweepReport() == SweepReport(fulfilled=0, waiting=0, failed=0, errors=0, unresolved=0)


async def test_opening_may_wait_for_as_long_as_its_call_may_take(
    sqlite: Books, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything else has five seconds, here a tenth of one: it is another process that writes meanwhile."""
    monkeypatch.setattr(tasks, "ANSWER_S", 0.1)
    async with Books(sqlite_url) as other, held_connection(other) as connection:
        await other._database.dialect.begin(connection)
        opening = asyncio.create_task(sqlite.opening(entry(seconds=30)))
        await asyncio.sleep(0.3)
        await connection.commit()
        await opening


async def test_a_server_without_a_free_connection_is_waited_for(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a connection of a pool: ten charges share two connections. After four seconds it is an error."""
    async with Books(postgres_url) as owner, Books(postgres_url.replace("books@", "narrow@")) as books:
        await owner.create_tables()
        await execute(owner, "DROP ROLE IF EXISTS narrow")
        await execute(owner, "CREATE ROLE narrow LOGIN CONNECTION LIMIT 2")
        await execute(owner, "GRANT ALL ON SCHEMA public TO narrow")
        await execute(owner, "GRANT ALL ON ALL TABLES IN SCHEMA public TO narrow")
        await asyncio.gather(*(books.opening(entry(f"T{number}")) for number in range(10)))
        assert len(await books.unresolved(in_flight=True)) == 10
        await books.aclose()
        await execute(owner, "ALTER ROLE narrow CONNECTION LIMIT 0")
        monkeypatch.setattr(database_module, "BUSY_S", 0)
        with pytest.raises(JournalError, match="TooManyConnectionsError"):
            await books.unresolved()
        await execute(owner, "DROP OWNED BY narrow")
        await execute(owner, "DROP ROLE narrow")
