"""The programs of the page on books, run as printed: a till, a worker that is killed and restarted, a back office."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import create_engine

from omipay_async.sandbox import TOY_M_NUMBER, TOY_SECRET_KEY, PaymentCode, Sandbox
from omipay_async.sql import Books, metadata
from tests.support.entries import execute, make_due
from tests.support.markdown import DOCS, ROOT, blocks, save_files
from tests.support.postgres_server import PostgresServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PAGE = DOCS / "books.md"


class Reader:
    """Somebody who saved the page's programs in a folder and runs them against a sandbox."""

    def __init__(self, folder: Path, sandbox: Sandbox, base_url: str) -> None:
        self.folder = folder
        self.sandbox = sandbox
        self.books_url = f"sqlite:///{folder / 'omipay.db'}"
        self._environment = {
            **os.environ,
            "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
            "OMIPAY_BASE_URL": base_url,
            "OMIPAY_M_NUMBER": TOY_M_NUMBER,
            "OMIPAY_SECRET_KEY": TOY_SECRET_KEY,
        }

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        pipe, environment = asyncio.subprocess.PIPE, {**self._environment, "OMIPAY_BOOKS_URL": self.books_url}
        return await asyncio.create_subprocess_exec(
            sys.executable, *arguments, cwd=self.folder, env=environment, stdout=pipe, stderr=pipe
        )

    async def run(self, *arguments: str) -> str:
        process = await self.start(*arguments)
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return out.decode()


@pytest.fixture
async def reader(tmp_path: Path) -> AsyncIterator[Reader]:
    save_files(PAGE, tmp_path)
    async with Sandbox() as sandbox, sandbox.serve() as base_url:
        yield Reader(tmp_path, sandbox, base_url)


async def outbox(books: Books) -> list[Any]:
    return [tuple(row) for row in await execute(books, "SELECT sale, amount FROM outbox")]


async def test_the_programs_of_the_page_run_as_printed(reader: Reader) -> None:
    """A till charges, a worker fulfils, is killed and restarted; a lost charge shows in the back office."""
    await reader.run("create.py")
    await reader.run("create.py")
    assert "PAID" in await reader.run("till.py", "T1", PaymentCode.PAID)
    assert "Nobody knows" in await reader.run("till.py", "T2", PaymentCode.SYSTEM_ERROR_ACTED)
    async with Books(reader.books_url) as books:
        for sale in (1, 2):
            worker = await reader.start("worker.py")
            async with asyncio.timeout(60):
                while len(await outbox(books)) < sale:
                    assert worker.returncode is None
                    await make_due(books)
                    await asyncio.sleep(0.1)
            worker.kill()
            await worker.communicate()
            if sale == 1:
                await reader.run("till.py", "T3", PaymentCode.PAID)
        assert await outbox(books) == [("T1", 450), ("T3", 450)]
    office = await reader.run("office.py")
    assert "MakeScanOrder T2 450" in office
    assert "T2" in await reader.run("-m", "omipay_async", "books")


async def test_the_programs_of_the_page_create_their_tables_in_postgresql_too(reader: Reader) -> None:
    """The page offers both databases, and every program reads where the books are from one variable."""
    with PostgresServer() as server:
        reader.books_url = server.database()
        await reader.run("create.py")
        assert "PAID" in await reader.run("till.py", "T1", PaymentCode.PAID)
        async with Books(reader.books_url) as books:
            assert await outbox(books) == []


async def test_the_orms_handler_is_part_of_the_transaction(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its commit ends a savepoint only."""
    from omipay_async.clock import SystemClock
    from omipay_async.fulfilment.guard import OnceGuard
    from tests.support.entries import M, order

    monkeypatch.syspath_prepend(reader.folder)
    import orm  # type: ignore[import-not-found]  # the reader's

    async with Books(reader.books_url) as books:
        await books.create_tables()
        await execute(books, "CREATE TABLE outbox (sale TEXT, amount BIGINT)")
        guard = OnceGuard(books, SystemClock(), M)
        assert await guard.run(order(), books.transactional(orm.ship), wait_timeout=5) is True
        assert await outbox(books) == [("T1", 0)]
    del sys.modules["orm"]


def test_every_program_of_the_page_is_a_file_that_is_run() -> None:
    """Otherwise nobody would notice that a program of the page no longer works."""
    files = {block.file for block in blocks(PAGE)}
    assert files == {"shop.py", "create.py", "till.py", "worker.py", "orm.py", "office.py"}


def test_a_migration_that_alembic_writes_imports_nothing_of_ours() -> None:
    """It holds the lines that the page shows, makes the tables, and leaves nothing to migrate."""
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        written_ops = produce_migrations(context, metadata).upgrade_ops
        assert written_ops is not None
        code = render_python_code(written_ops)
        assert "omipay_async" not in code
        shown = next(block.code for block in blocks(PAGE, "") if "create_table" in block.code)
        written = {line.strip() for line in code.splitlines()}
        for line in shown.splitlines():
            assert line in written or line == "...", line
        import sqlalchemy as sa

        lines = "\n".join(line.strip() for line in code.splitlines())
        exec(lines, {"op": Operations(context), "sa": sa})
        left = produce_migrations(context, metadata).upgrade_ops
        assert left is not None
        assert left.is_empty()
    engine.dispose()
