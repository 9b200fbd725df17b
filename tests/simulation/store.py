"""SQLite without threads: the real database and the real driver's interface, in the simulation's loop and time.

One engine serves all processes of all worlds, so that statements are compiled once; which database file and which
process a new connection belongs to is looked up when it is made. What a process opened it keeps for its next
connection, as a pool would: opening a file and reading its tables would cost more than all statements.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import os
import shutil
import sqlite3
import tempfile
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import aiosqlite
from sqlalchemy import Column, Integer, MetaData, String, Table
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from omipay_async.sql import metadata
from tests.support.untyped import untyped

from .loop import VirtualLoop
from .process import Process, current, spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_BUSY_S: Final = 4.0
_SLOW: Final = frozenset({"execute", "executemany", "commit", "rollback"})
"""What reaches the file; fetching and closing do not wait."""

EFFECT: Final = Table(
    "effect",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("order_no", String, nullable=False),
    Column("out_order_no", String),
    Column("amount", Integer),
)
"""The effects of payments. The table accepts a second row for an order, because the books have to prevent that."""


class InlineConnection(aiosqlite.Connection):
    """A connection whose thread is a task of its process. As with a thread, cancelling the caller does not stop it."""

    def __init__(self, path: str, process: Process | None) -> None:
        super().__init__(functools.partial(_connect, path), 64)
        self._process = process
        self._jobs: deque[tuple[asyncio.Future[Any], Callable[[], Any], str]] = deque()
        self._working = False

    def __await__(self) -> Generator[Any, None, aiosqlite.Connection]:
        return self._connect().__await__()

    async def _connect(self) -> aiosqlite.Connection:
        if self._process is not None:
            await self._process.step("connecting to the database")
            self._process.connections[self] = None
            self._connection = self._process.files.pop() if self._process.files else self._connector()
        else:
            self._connection = self._connector()
        return self

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not self._running or self._connection is None:
            if self._process is not None and not self._process.alive:
                await self._process.hang()
            message = "Connection closed"
            raise ValueError(message)
        name = fn.__name__
        job = functools.partial(fn, *args, **kwargs)
        if self._process is None or not (name in _SLOW or self._working) or self._is_idle(name):
            return job()
        done = asyncio.get_running_loop().create_future()
        self._jobs.append((done, job, name))
        if not self._working:
            self._working = True
            spawn(self._process, self._work(self._process))
        return await done

    def _is_idle(self, name: str) -> bool:
        """Whether there is nothing to roll back, so that no statement is needed."""
        return name == "rollback" and not (self._working or untyped(self._connection).in_transaction)

    async def _work(self, process: Process) -> None:
        try:
            while self._jobs:
                done, job, name = self._jobs.popleft()
                try:
                    result = await self._run(process, job, name)
                except (sqlite3.Error, ValueError) as error:
                    if not done.done():
                        done.set_exception(error)
                else:
                    if not done.done():
                        done.set_result(result)
        finally:
            self._working = False

    async def _run(self, process: Process, job: Callable[[], Any], name: str) -> Any:
        if name in _SLOW:
            await process.step(name)
            await process.world.chaos.at_the_store()
        until = process.world.loop.time() + _BUSY_S
        while True:
            try:
                return job()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or process.world.loop.time() >= until:
                    raise
            await asyncio.sleep(0.05)
            await process.step("waiting for the writer")

    def stop(self) -> None:
        """Close at once. A connection that is in use, or that a killed process had, is really closed."""
        self._running = False
        connection, self._connection = self._connection, None
        if self._process is not None:
            self._process.connections.pop(self, None)
        if connection is None:
            return
        if self._process is None or not self._process.alive or connection.in_transaction:
            connection.close()
        else:
            self._process.files.append(connection)

    def cut(self) -> None:
        """End with the process: what was not committed is lost."""
        self.stop()
        self._jobs.clear()

    async def close(self) -> None:
        """Close when the statement under way has ended."""
        if self._working:
            await self._execute(_nothing)
        self.stop()


def _nothing() -> None:
    """The job that closing waits for: it is done after all earlier ones."""


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=0, check_same_thread=False)
    connection.execute("PRAGMA synchronous=OFF")  # the machine itself never fails here
    return connection


_template: list[str] = []


def _connection(*_: object, **__: object) -> InlineConnection:
    process = current.get()
    return InlineConnection(_template[0] if process is None else process.world.path, process)


@functools.cache
def engine() -> AsyncEngine:
    """The engine of all processes."""
    return create_async_engine(
        "sqlite+aiosqlite:///simulated.db", connect_args={"async_creator_fn": _connection}, poolclass=NullPool
    )


def _folder() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def new_database() -> str:
    """The path of a new database that has its tables."""
    if not _template:
        folder = tempfile.mkdtemp(prefix="omipay-simulation-", dir=_folder())
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        _template.append(str(Path(folder) / "template.db"))
        loop = VirtualLoop()
        loop.run_until_complete(_make_tables())
        loop.close()
    handle, path = tempfile.mkstemp(prefix="omipay-simulation-", suffix=".db", dir=Path(_template[0]).parent)
    os.close(handle)
    shutil.copyfile(_template[0], path)
    return path


async def _make_tables() -> None:
    async with engine().connect() as connection:
        await connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        await connection.run_sync(metadata.create_all)
        await connection.run_sync(EFFECT.metadata.create_all)
        await connection.commit()


def remove_database(path: str) -> None:
    """Remove a database and what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm"):
        Path(path + suffix).unlink(missing_ok=True)
