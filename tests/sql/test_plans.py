"""No frequent statement scans a table: the query plans of both databases with twenty thousand orders."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event

from tests.support.entries import DONE, UNKNOWN, M, entry, execute, order

if TYPE_CHECKING:
    from collections.abc import Callable

    from omipay_async.sql import Books

MANY = 20_000
KEY = f"{M}:TR77"

FILL = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {many}) ",
    "postgres": "WITH n AS (SELECT generate_series(1, {many}) AS i) ",
}
# One call in a hundred is unresolved, one order in a hundred waits; the rest is closed, as in a shop of some age.
CALLS = """
INSERT INTO omipay_call (id, m_number, endpoint, out_order_no, amount, currency, started_at, until, expires_at, outcome,
                         closed_at)
{rows} SELECT 'id' || i, '123456', 'MakeQROrder', 'T' || i, 450, 'AUD', {then}, {then}, {then},
       CASE WHEN i % 100 = 0 THEN 'UNKNOWN' ELSE 'DONE' END, CASE WHEN i % 100 = 0 THEN NULL ELSE {then} END FROM n
"""
ORDERS = """
INSERT INTO omipay_order (m_number, key, order_no, out_order_no, made_at, due_at, closed_at, woken)
{rows} SELECT '123456', 'tr' || i, 'TR' || i, 'T' || i, {then}, CASE WHEN i % 100 = 0 THEN {then} ELSE NULL END,
       CASE WHEN i % 100 = 0 THEN NULL ELSE {then} END, i FROM n
"""


async def fill(books: Books, statement: str) -> None:
    is_sqlite = books._database.dialect.is_sqlite
    rows = FILL["sqlite" if is_sqlite else "postgres"].format(many=MANY)
    then = "'2026-01-01 00:00:00.000000'" if is_sqlite else "timestamptz '2026-01-01'"
    await execute(books, statement.format(rows=rows, then=then))


@pytest.fixture
async def filled(books: Books) -> Books:
    await fill(books, CALLS)
    await fill(books, ORDERS)
    await execute(books, "ANALYZE")
    return books


def frequent_calls(books: Books) -> dict[str, Callable[[], Any]]:
    """What is called for each charge, each notification, each second and each sweep."""
    call = entry("T77", id="id77")
    return {
        "opening": lambda: books.opening(call),
        "closing": lambda: books.closing(entry("T77", id="id77", outcome=DONE, order_no="TR77")),
        "confirmed": lambda: books.confirmed(M, order("TR77", "T77")),
        "unresolved": books.unresolved,
        "resolve": lambda: books.resolve("id100", UNKNOWN),
        "claim": lambda: books.claim(KEY, "me"),
        "finish": lambda: books.finish(KEY, "me"),
        "release": lambda: books.release(KEY, "me"),
        "note": lambda: books.note(f"{M}:out_order_no:T1", "text"),
        "noted": lambda: books.noted(f"{M}:out_order_no:T1"),
        "wake": lambda: books.wake(KEY),
        "sweep": lambda: books._due_orders.take(M, 8, paid_too=True),
        "sweep without handler": lambda: books._due_orders.take(M, 8, paid_too=False),
        "count": lambda: books._entries.count_unresolved(M),
        "waiting": lambda: books.waiting(limit=100),
        "prune": lambda: books.prune(timedelta(days=3650)),
        "listen": lambda: listened_once(books),
    }


async def listened_once(books: Books) -> None:
    async with books.listen(print):
        await asyncio.sleep(1.2 if books._database.dialect.is_sqlite else 0)


async def statements_of(books: Books, ask: Callable[[], Any]) -> list[tuple[str, Any]]:
    """The statements that ``ask`` sends to the database, with their values."""
    seen: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *more: Any) -> None:
        if "omipay_" in statement and "pg_notify" not in statement:
            seen.append((statement, parameters))

    engine = books._database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        await ask()
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return seen


async def plan_of(books: Books, statement: str, parameters: Any) -> str:
    """The database's plan for a statement."""
    explain = "EXPLAIN QUERY PLAN " if books._database.dialect.is_sqlite else "EXPLAIN "
    async with books._database._engine.connect() as connection:
        rows = (await connection.exec_driver_sql(explain + statement, parameters)).all()
        await connection.rollback()
    return "\n".join(str(row[-1]) for row in rows)


async def test_no_frequent_statement_scans_a_table(filled: Books) -> None:
    """Each uses an index, on both databases."""
    scanned = {}
    for name, ask in frequent_calls(filled).items():
        statements = await statements_of(filled, ask)
        assert statements or name in {"wake", "listen"}, name
        for statement, parameters in statements:
            plan = await plan_of(filled, statement, parameters)
            lines = [
                line for line in plan.splitlines() if "Seq Scan on omipay" in line or line.startswith("SCAN omipay")
            ]
            if any("USING" not in line for line in lines):
                scanned[name] = f"{statement}\n{plan}"
    assert scanned == {}


async def test_what_is_written_of_one_order_looks_at_no_other(books: Books) -> None:
    """SQLite has no statistics before ANALYZE, and would take the index of all orders that wait."""
    await fill(books, ORDERS)
    taken = (await books._due_orders.take(M, 1, paid_too=True))[0]
    once = {
        "postpone": lambda: books._due_orders.postpone(taken, is_unknown=False),
        "free": lambda: books._due_orders.free(M, [taken]),
        "release": lambda: books.release(KEY, "me"),
    }
    for name, ask in once.items():
        statements = await statements_of(books, ask)
        assert statements, name
        for statement, parameters in statements:
            assert "ix_omipay_order_due" not in await plan_of(books, statement, parameters), name


async def test_pruning_does_not_hold_the_database_for_long(books: Books) -> None:
    """It removes a thousand rows at once, however many there are: charges wait for one part only."""
    await fill(books, CALLS)
    later = {
        True: "datetime(closed_at, substr(id, 3) || ' seconds')",
        False: "closed_at + CAST(substr(id, 3) AS int) * interval '1 second'",
    }[books._database.dialect.is_sqlite]
    await execute(books, f"UPDATE omipay_call SET closed_at = {later} WHERE closed_at IS NOT NULL")
    removed: list[int] = []

    def note(_: Any, cursor: Any, statement: str, *more: Any) -> None:
        if statement.startswith("DELETE FROM omipay_call"):
            removed.append(cursor.rowcount)

    engine = books._database._engine.sync_engine
    event.listen(engine, "after_cursor_execute", note)
    assert await books.prune(timedelta(days=1)) == sum(removed) == MANY - MANY // 100
    event.remove(engine, "after_cursor_execute", note)
    assert max(removed) == 1_000


async def test_the_check_sees_a_scan(filled: Books) -> None:
    """A statement without an index is found."""
    statement = "SELECT count(*) FROM omipay_order WHERE status = 'X'"
    plan = await plan_of(filled, statement, ())
    assert "Seq Scan on omipay_order" in plan or "SCAN omipay_order" in plan
