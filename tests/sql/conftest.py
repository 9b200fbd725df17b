"""Books on SQLite and on a PostgreSQL of our own: each test that takes ``books`` runs on both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from omipay_async.sql import Books
from tests.support.postgres_server import PostgresServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with PostgresServer(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture
def fragile(tmp_path: Path) -> Iterator[PostgresServer]:
    """A server that the test may stop, freeze and restart."""
    with PostgresServer(tmp_path) as server:
        yield server


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'omipay.db'}"


@pytest.fixture
def postgres_url(server: PostgresServer) -> str:
    return server.database()


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """An empty database, one after the other of both kinds."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
async def books(url: str) -> AsyncIterator[Books]:
    async with Books(url) as books:
        await books.create_tables()
        yield books


@pytest.fixture
async def other(url: str, books: Books) -> AsyncIterator[Books]:
    """What another process would have."""
    async with Books(url) as other:
        yield other
