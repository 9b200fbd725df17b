"""Runs the transactions of the books: within a time limit, again where ``failures`` allows it, with one clear error.

A transaction is a function of a connection, and may be run again. It runs in a task (``tasks``), so that its caller can
leave, and its errors are those of ``failures``.

SQLite has one writer at a time. The writers of this process wait for a lock of our own, which is fair and cheap, so the
database's own lock is only contended by other processes.

An engine of the user may have one connection that all share, as SQLAlchemy's engines for a database in memory have.
Whoever returns it rolls back what others have begun on it, so there is a lock for it, for readers too.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import time
import weakref
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import event
from sqlalchemy.pool import StaticPool

from omipay_async.clock import held

from .dialect import Dialect
from .engines import BUSY_S, checked_engine, dispose, made_engine
from .failures import DATABASE_ERRORS, NotConnectedError, is_server_full, repeated
from .held import HeldConnections
from .tasks import Tasks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from omipay_async.clock import Clock

    from .failures import DatabaseError

T = TypeVar("T")

_FULL_PAUSE_S: Final = 0.1
"""How long to wait before a server that had no connection left is asked for one again."""
_within_effect: Final[contextvars.ContextVar[object]] = contextvars.ContextVar("omipay_books_effect", default=None)


class Database:
    """The engine, made from a URL or given by the user, and the transactions that run on it."""

    def __init__(self, url_or_engine: str | AsyncEngine, clock: Clock) -> None:
        self._owned = isinstance(url_or_engine, str)
        engine = made_engine(url_or_engine) if isinstance(url_or_engine, str) else checked_engine(url_or_engine)
        self.dialect: Final = Dialect(engine, clock)
        self.tasks: Final = Tasks(clock, cancels=not self.dialect.is_sqlite)
        self.held: Final = HeldConnections(self.tasks, self._connection)
        self._clock = clock
        self._engine = engine
        self.writer: Final[AbstractAsyncContextManager[None]] = (
            asyncio.Lock() if self.dialect.is_sqlite else contextlib.nullcontext()
        )
        """While open, no other task of this process writes, if the database has only one writer."""
        self._sharing = asyncio.Lock() if isinstance(engine.pool, StaticPool) else None
        self._drivers: weakref.WeakSet[Any] = weakref.WeakSet()
        """asyncpg's objects for the connections of an engine of our own."""
        self._effects: set[object] = set()
        """The transactional handlers that run, each as the object that the context of what it calls has."""
        if self._owned and not self.dialect.is_sqlite:
            event.listen(engine.sync_engine, "connect", lambda new, _: self._drivers.add(new.driver_connection))

    def __repr__(self) -> str:
        url = self._engine.url
        secrets = [name for name in url.query if "pass" in name.lower()]  # asyncpg takes a password from the query too
        return url.difference_update_query(secrets).render_as_string(hide_password=True)

    async def aclose(self) -> None:
        """Wait for the transactions under way, and close the connections of an engine that was made from a URL."""
        try:
            await self.tasks.wait()
        finally:  # also if the event loop ends meanwhile, and cancels this
            if self._owned:
                with contextlib.suppress(*DATABASE_ERRORS):
                    await dispose(self._engine, self._drivers)

    def leave_to_parent(self) -> bool:
        """Forget the connections if this process is a fork and they are its parent's; return whether they are.

        Closing them would wait for SQLite's threads, which this process does not have, or end those of the other one.
        """
        if not self.tasks.are_of_parent:
            return False
        if self._owned:
            self._engine.sync_engine.dispose(close=False)
        return True

    # -- transactions -----------------------------------------------------------------------------------------------

    async def read(self, work: Callable[[AsyncConnection], Awaitable[T]], error: DatabaseError) -> T:
        """Return what ``work`` returns. Raises ``error`` after five seconds."""
        if self._sharing is not None and self._is_inside_effect():
            message = "a transactional handler has the engine's only connection: call this when that handler has ended"
            raise error(message)
        return await self.tasks.run(lambda: repeated(lambda: self._once(work)), error)

    async def write(
        self, work: Callable[[AsyncConnection], Awaitable[T]], error: DatabaseError, *, limit: float | None = None
    ) -> T:
        """Commit what ``work`` does, and return what it returns. Raises ``error`` after ``limit`` seconds, or five."""
        if self.dialect.is_sqlite and self._is_inside_effect():
            message = "a transactional handler is SQLite's only writer: call this when that handler has ended"
            raise error(message)
        return await self.tasks.run(lambda: repeated(lambda: self._once_written(work, limit)), error, limit)

    async def scalar(self, query: Any, error: DatabaseError) -> Any:
        """Return the first value of the first row that ``query`` finds; None if it finds none."""

        async def work(connection: AsyncConnection) -> Any:
            return (await connection.execute(query)).scalar()

        return await self.read(work, error)

    async def rows(self, query: Any, error: DatabaseError) -> Sequence[Any]:
        """Return every row that ``query`` finds, each as a mapping of its columns."""

        async def work(connection: AsyncConnection) -> Sequence[Any]:
            return (await connection.execute(query)).mappings().all()

        return await self.read(work, error)

    async def execute(self, statement: Any, error: DatabaseError, *, limit: float | None = None) -> None:
        """Commit what one statement does. Raises ``error`` after ``limit`` seconds."""
        await self.write(lambda connection: connection.execute(statement), error, limit=limit)

    async def _once(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        async with self._connection() as connection:
            return await work(connection)

    async def _once_written(self, work: Callable[[AsyncConnection], Awaitable[T]], limit: float | None) -> T:
        async with contextlib.AsyncExitStack() as stack:
            async with self.tasks.timeout(limit):
                await stack.enter_async_context(self.writer)
            self.tasks.check_wanted()  # otherwise it would wait for the writer, and the books could not be closed
            connection = await stack.enter_async_context(self._connection())
            await self.dialect.begin(connection)
            self.tasks.check_wanted()
            result = await work(connection)
            await self.dialect.commit(connection)
            return result

    # -- the one writer of SQLite ------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def inside_effect(self) -> Iterator[None]:
        """While open, a transactional handler runs: on SQLite it is the one writer, so it must not wait for another."""
        effect = object()
        token = _within_effect.set(effect)
        self._effects.add(effect)
        try:
            with held(self._clock):
                yield
        finally:
            self._effects.discard(effect)
            _within_effect.reset(token)

    def _is_inside_effect(self) -> bool:
        """Whether a handler that has not ended calls this. Tasks that it has started keep its context."""
        return _within_effect.get() in self._effects

    # -- connections ------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        """A connection, which returns to its pool whatever happens, also if nobody waits for it any more."""
        async with contextlib.AsyncExitStack() as stack:
            if self._sharing is not None:
                async with self.tasks.timeout():
                    await stack.enter_async_context(self._sharing)
            connection = await self._connect()
            stack.push_async_exit(connection)
            stack.push_async_callback(self.dialect.take_back, connection)
            await connection.rollback()  # a hook of the user's may have begun a transaction, at another level
            await connection.execution_options(**self.dialect.options)  # after those of the user's engine
            self.tasks.check_wanted()
            yield connection

    async def _connect(self) -> AsyncConnection:
        """A connection of the pool. If the server has none left, wait for one, as for one of a pool that is empty."""
        deadline = time.monotonic() + BUSY_S
        while True:
            try:
                with self.tasks.connecting():
                    return await self._engine.connect()
            except DATABASE_ERRORS as error:
                if not is_server_full(error) or time.monotonic() > deadline:
                    raise
            except (TypeError, ValueError, OverflowError) as error:  # of a host or an option that it cannot use
                raise NotConnectedError(error) from None
            await asyncio.sleep(_FULL_PAUSE_S)
            self.tasks.check_wanted()
