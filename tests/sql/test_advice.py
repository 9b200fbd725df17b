"""What the error of a database says to the person who has to do something about it."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from omipay_async.errors import BackendError, JournalError
from omipay_async.sql import Books
from omipay_async.sql.failures import reason
from tests.support.entries import M, execute

KEY = f"{M}:TR1"


def test_a_time_limit_of_the_database_is_named() -> None:
    """A pool's or a driver's own may come first, and its error has no text."""
    assert reason(TimeoutError()) == "TimeoutError: it did not answer in time"


def test_an_error_without_a_text_is_named() -> None:
    """Its type is its name: errors of asyncpg and of the system may have nothing else."""
    assert reason(ConnectionResetError()) == "ConnectionResetError"


async def test_a_file_that_is_not_a_database_is_named(tmp_path: Any) -> None:
    """The error contains SQLite's message."""
    path = tmp_path / "omipay.db"
    path.write_text("This is not a database. " * 500)
    async with Books(f"sqlite:///{path}") as books:
        with pytest.raises(JournalError, match="not a database"):
            await books.create_tables()


async def test_a_file_in_a_folder_that_does_not_exist_says_how_a_path_is_written(tmp_path: Any) -> None:
    """``sqlite:///srv/shop.db``, without a fourth slash, is a file in a folder of the folder that one is in."""
    async with Books(f"sqlite:///{tmp_path}/srv/shop.db") as books:
        with pytest.raises(JournalError, match=r"unable to open .* four slashes: sqlite:////srv"):
            await books.create_tables()


async def test_a_database_without_the_tables_may_be_the_wrong_one(tmp_path: Any) -> None:
    """A tool that is started in another folder, or without the environment of the shop, makes a new file."""
    async with Books(f"sqlite:///{tmp_path}/new.db") as books:
        with pytest.raises(JournalError, match=r"\(call create_tables\(\) once; or is this another database"):
            await books.unresolved()


@pytest.mark.parametrize("kind", [asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError])
def test_what_a_pooler_does_to_prepared_statements_has_its_option_named(kind: type[asyncpg.PostgresError]) -> None:
    """A connection does not have a statement, or has one of another process."""
    assert "behind PgBouncer add ?prepared_statement_cache_size=0" in reason(kind("statement s1"))
    assert reason(asyncpg.PostgresError("statement s1")) == "PostgresError: statement s1"


async def test_a_statement_that_a_pooler_has_lost_is_an_error_that_says_what_to_set(postgres: Books) -> None:
    """PgBouncer may give another connection of the server, on which the statement was not prepared."""
    await postgres.note(KEY, "text")
    await execute(postgres, "DEALLOCATE ALL")
    with pytest.raises(BackendError, match=r"does not exist \(behind PgBouncer .*prepared_statement_cache_size=0"):
        await postgres.note(KEY, "text")
