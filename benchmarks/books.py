"""What a money call costs with books on SQLite and PostgreSQL, compared with a call without books."""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from omipay_async.sql import Books
from tests.support.postgres_server import PostgresServer, binaries

from . import comparators, server
from .measure import in_turn
from .report import Row

if TYPE_CHECKING:
    from .measure import Block, Effort

_SIDES = {"SQLite": "one machine", "PostgreSQL": "several machines"}


async def money_calls(effort: Effort) -> list[Row]:
    """How many milliseconds longer ``make_scan_order`` takes with books, which are written before and after it."""
    calls = effort.of(100, 20)
    async with contextlib.AsyncExitStack() as stack:
        gateway = stack.enter_context(server.running())
        urls: dict[str, str | None] = {"no books": None}
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        urls["SQLite"] = f"sqlite:///{Path(folder) / 'omipay.db'}"
        if binaries() is not None:
            urls["PostgreSQL"] = stack.enter_context(PostgresServer()).database()
        sides = {name: await _side(stack, gateway, url, calls) for name, url in urls.items()}
        for block in sides.values():
            await block()
        figures = await in_turn(sides, effort.of(9, 1))
    medians = figures.medians()
    return [
        Row(
            f"a money call with books in {name} ({_SIDES[name]}), wall time added",
            medians[name] - medians["no books"],
            "ms",
            sides={side: medians[side] for side in ("no books", name)},
            sides_unit="ms",
            note="Two commits for each call. PostgreSQL here without fsync, on loopback." if name != "SQLite" else "",
        )
        for name in sides
        if name != "no books"
    ]


async def _side(stack: contextlib.AsyncExitStack, gateway: str, url: str | None, calls: int) -> Block:
    books = None
    if url is not None:
        books = await stack.enter_async_context(Books(url))
        await books.create_tables()
    omipay = await stack.enter_async_context(comparators.session(gateway, journal=books))

    async def block() -> float:
        began = time.perf_counter()
        for _ in range(calls):
            await comparators.scan(omipay)
        return (time.perf_counter() - began) / calls * 1000

    return block
