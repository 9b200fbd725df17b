"""Books on SQLite and on a PostgreSQL server of the tests: each test that uses ``books`` runs on both."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_mock_engine, make_url

from omipay_async.sandbox import Sandbox
from omipay_async.sql import Books, metadata, tasks
from tests.support.postgres_server import PostgresServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from omipay_async import AsyncOmipay, Order


@pytest.fixture(autouse=True)
def _long_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a database is slow. A test of the time limit sets its own."""
    monkeypatch.setattr(tasks, "ANSWER_S", 60.0)


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def second_server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture
def fragile(second_server: PostgresServer) -> Iterator[PostgresServer]:
    """A server that a test may stop, freeze and restart."""
    second_server.repair()
    yield second_server
    second_server.repair()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'omipay.db'}"


@pytest.fixture
def postgres_url(server: PostgresServer) -> str:
    return server.database()


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """An empty database of each kind."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@functools.cache
def statements(dialect: str) -> str:
    """What ``create_tables`` does with an empty database, as a script: it takes a tenth of the time."""
    found: list[str] = []
    url = make_url(f"{dialect}://")
    own = url.get_dialect()()
    engine = create_mock_engine(url, lambda made, *_, **__: found.append(str(made.compile(dialect=own))))
    metadata.create_all(engine, checkfirst=False)
    return ";".join(found)


@pytest.fixture
def tables(request: pytest.FixtureRequest, url: str) -> None:
    """The tables of the books in the empty database."""
    if url.startswith("postgresql"):
        server: PostgresServer = request.getfixturevalue("server")
        server.run(statements("postgresql+asyncpg"))
        return
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.executescript(statements("sqlite"))


@pytest.fixture
async def books(url: str, tables: None) -> AsyncIterator[Books]:
    async with Books(url) as books:
        yield books


@pytest.fixture
async def other(url: str, books: Books) -> AsyncIterator[Books]:
    """The books of another process."""
    async with Books(url) as other:
        yield other


@pytest.fixture
async def postgres(fragile: PostgresServer) -> AsyncIterator[Books]:
    """Books on a PostgreSQL server that a test may stop."""
    async with Books(fragile.database()) as books:
        await books.create_tables()
        yield books


@pytest.fixture
async def sqlite(sqlite_url: str) -> AsyncIterator[Books]:
    async with Books(sqlite_url) as books:
        await books.create_tables()
        yield books


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
async def omipay(sandbox: Sandbox, books: Books) -> AsyncIterator[AsyncOmipay]:
    """A session whose backend is the books, and which has no journal."""
    async with sandbox.session(backend=books) as omipay:
        yield omipay


@pytest.fixture
def fulfilled() -> list[str]:
    return []


@pytest.fixture
def handler(fulfilled: list[str]) -> Any:
    async def fulfil(order: Order) -> None:
        fulfilled.append(order.order_no)

    return fulfil
