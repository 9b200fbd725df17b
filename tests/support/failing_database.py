"""A database that fails once, at the n-th statement or commit: each kind of failure at each place."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

from .untyped import untyped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from omipay_async.sql import Books


async def without_durability(books: Books) -> None:
    """Let SQLite not wait for the disk, for a test that commits thousands of times and kills no process."""
    if books._database.dialect.is_sqlite:
        engine = books._database._engine

        @event.listens_for(engine.sync_engine, "connect")
        def prepare(connection: Any, _: object) -> None:
            connection.cursor().execute("PRAGMA synchronous=OFF")

        await engine.dispose()


SQLITE_FAILURES = ("the disk is full", "the disk is full, and all is taken back")
POSTGRES_FAILURES = ("lost before it", "lost after it", "taken back")


class FailingDatabase:
    """Counts statements and commits over the engine of ``books``, and lets one of them fail."""

    def __init__(self, books: Books, failure: str, place: int) -> None:
        self._engine = books._database._engine.sync_engine
        self._failure = failure
        self._left = place
        self.statement = ""
        """The statement that failed; empty if there were not so many."""

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """While open, the failure may happen."""
        dialect = self._engine.dialect
        commit = dialect.do_commit

        def failing_commit(connection: Any) -> None:
            if self._is_the_place("COMMIT"):
                self._fail(connection, lambda: commit(connection))
            commit(connection)

        event.listen(self._engine, "do_execute", self._execute)
        untyped(dialect).do_commit = failing_commit
        try:
            yield
        finally:
            untyped(dialect).do_commit = commit
            event.remove(self._engine, "do_execute", self._execute)

    def _execute(self, cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        dialect = self._engine.dialect
        if self._is_the_place(statement):
            self._fail(cursor._adapt_connection, lambda: dialect.do_execute(cursor, statement, parameters, context))
        return False

    def _is_the_place(self, statement: str) -> bool:
        self._left -= 1
        if self._left == -1:
            self.statement = statement
        return self._left == -1

    def _fail(self, connection: Any, ask: Any) -> None:
        dbapi = untyped(self._engine.dialect.dbapi)
        match self._failure:
            case "the disk is full":
                raise dbapi.OperationalError("database or disk is full")
            case "the disk is full, and all is taken back":
                connection.rollback()
                raise dbapi.OperationalError("database or disk is full")
            case "lost before it" | "lost after it":
                if self._failure == "lost after it":
                    ask()
                connection.driver_connection.terminate()
                raise dbapi.InterfaceError("connection is closed")
            case "taken back":
                raising = "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$"
                connection.cursor().execute(raising)
