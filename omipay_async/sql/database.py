"""Runs the transactions of the books: each within a time limit, again if nothing was done, with one clear error.

A transaction is a function of a connection, and may be run again: all statements of the books can be repeated. It runs
in a task of its own, so that a caller that is cancelled or whose time is up leaves at once, while the task returns its
connection to the pool; ``aclose`` waits for such tasks.

The thread in which SQLite works cannot be cancelled. So with SQLite an abandoned task goes on until it has become the
writer, and then ends without having written. With PostgreSQL an abandoned task is cancelled, except while it connects:
asyncpg would leave a future whose exception asyncio logs, and the next transaction can use the connection.

SQLite has one writer at a time. The writers of this process wait for a lock of our own, which is fair and cheap, so the
database's own lock is only contended by other processes.

An engine of the user may have one connection that all share, as SQLAlchemy's engines for a database in memory have.
Whoever returns it rolls back what others have begun on it, so there is a lock for it, for readers too.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import random
import weakref
from typing import TYPE_CHECKING, Any, Final, TypeVar

import asyncpg
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from omipay_async.clock import held, retrieve
from omipay_async.errors import BackendError, ConfigurationError, JournalError, OmipayError

from .engines import Dialect, begin_immediately, checked_engine, dispose, made_engine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from contextlib import AsyncExitStack

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from omipay_async.clock import Clock

T = TypeVar("T")
DatabaseError = type[BackendError] | type[JournalError]

ANSWER_S: Final = 5.0
"""How long a transaction may take, with connecting and all repeats."""
_ENDING_S: Final = 5.0
"""How long a cancelled transaction may take to end: SQLAlchemy closes its connection then, for up to two seconds."""
_ATTEMPTS: Final = 4
_LONGEST_REASON: Final = 200
STATEMENT_ERRORS: Final = (DBAPIError, asyncpg.InternalClientError)
"""What a statement may raise. SQLAlchemy 2.0 does not translate the second one: asyncpg raises it, before it sends
anything, on a connection that the server is closing."""
DATABASE_ERRORS: Final = (
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)
"""The errors of a database that is lost, full, wrong or overloaded. (A ``TimeoutError`` is an ``OSError``.)"""
_FOREIGN_STATEMENTS: Final = (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)
"""A connection does not have a statement that was prepared on it, or has one of another process: a pooler gave another
connection of the server."""
_ROLLED_BACK: Final = frozenset({"40001", "40P01"})
"""PostgreSQL's serialization failure and deadlock."""

_within_effect: Final[contextvars.ContextVar[object]] = contextvars.ContextVar("omipay_books_effect", default=None)


class NotConnectedError(SQLAlchemyError):
    """A driver cannot use the host or an option of the URL; ``orig`` is why."""

    def __init__(self, orig: Exception) -> None:
        super().__init__(str(orig))
        self.orig = orig


class Database:
    """The engine, made from a URL or given by the user, and the transactions that run on it."""

    def __init__(self, url_or_engine: str | AsyncEngine, clock: Clock) -> None:
        self._owned = isinstance(url_or_engine, str)
        engine = made_engine(url_or_engine) if isinstance(url_or_engine, str) else checked_engine(url_or_engine)
        self.dialect: Final = Dialect(engine, clock)
        self._clock = clock
        self._engine = engine.execution_options(**self.dialect.options)
        self._writing = asyncio.Lock()
        self._sharing = asyncio.Lock() if isinstance(engine.pool, StaticPool) else None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._abandoned: set[asyncio.Task[Any] | None] = set()
        self._connecting: set[asyncio.Task[Any] | None] = set()
        self._using: dict[AsyncConnection, asyncio.Task[Any]] = {}
        """The task that uses a connection which is held. It may go on after its caller has left."""
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
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=ANSWER_S)
        if self._owned:
            with contextlib.suppress(*DATABASE_ERRORS):
                await dispose(self._engine, self._drivers)

    # -- transactions -----------------------------------------------------------------------------------------------

    async def read(self, work: Callable[[AsyncConnection], Awaitable[T]], error: DatabaseError) -> T:
        """Return what ``work`` returns. Raises ``error`` after five seconds."""
        if self._sharing is not None and self._is_inside_effect():
            message = "a transactional handler has the engine's only connection: call this when that handler has ended"
            raise error(message)
        return await self._run(lambda: repeated(lambda: self._once(work)), error, ANSWER_S)

    async def write(
        self, work: Callable[[AsyncConnection], Awaitable[T]], error: DatabaseError, *, limit: float | None = None
    ) -> T:
        """Commit what ``work`` does, and return what it returns. Raises ``error`` after ``limit`` seconds."""
        if self.dialect.is_sqlite and self._is_inside_effect():
            message = "a transactional handler is SQLite's only writer: call this when that handler has ended"
            raise error(message)
        limit = ANSWER_S if limit is None else limit
        return await self._run(lambda: repeated(lambda: self._once_written(work, limit)), error, limit)

    async def scalar(self, query: Any, error: DatabaseError) -> Any:
        """Return the first value of the first row that ``query`` finds; None if it finds none."""

        async def work(connection: AsyncConnection) -> Any:
            return (await connection.execute(query)).scalar()

        return await self.read(work, error)

    async def execute(self, statement: Any, error: DatabaseError, *, limit: float | None = None) -> None:
        """Commit what one statement does. Raises ``error`` after ``limit`` seconds."""
        await self.write(lambda connection: connection.execute(statement), error, limit=limit)

    async def _once(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        async with self._connection() as connection:
            return await work(connection)

    async def _once_written(self, work: Callable[[AsyncConnection], Awaitable[T]], limit: float) -> T:
        async with contextlib.AsyncExitStack() as stack:
            async with asyncio.timeout(limit):
                await stack.enter_async_context(self.writer())
            self._check_wanted()  # or it would wait for SQLite's one writer, and the books could not be closed
            connection = await stack.enter_async_context(self._connection())
            await self.begin(connection)
            self._check_wanted()
            result = await work(connection)
            await connection.commit()
            return result

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        """A connection, which returns to its pool whatever happens, also if nobody waits for it any more."""
        task = asyncio.current_task()
        async with contextlib.AsyncExitStack() as stack:
            if self._sharing is not None:
                async with asyncio.timeout(ANSWER_S):
                    await stack.enter_async_context(self._sharing)
            connection = await self._connect(task)
            stack.push_async_exit(connection)
            self._check_wanted()
            yield connection

    async def _connect(self, task: asyncio.Task[Any] | None) -> AsyncConnection:
        self._connecting.add(task)
        try:
            return await self._engine.connect()
        except DATABASE_ERRORS:
            raise
        except (TypeError, ValueError, OverflowError) as error:  # of a host or an option that it cannot use
            raise NotConnectedError(error) from None
        finally:
            self._connecting.discard(task)

    def _check_wanted(self) -> None:
        if asyncio.current_task() in self._abandoned:
            raise ConnectionAbortedError

    @contextlib.asynccontextmanager
    async def writer(self) -> AsyncIterator[None]:
        """While open, no other task of this process writes, if the database has only one writer."""
        if not self.dialect.is_sqlite:
            yield
            return
        async with self._writing:
            yield

    async def _run(self, work: Callable[[], Awaitable[T]], error: DatabaseError, limit: float) -> T:
        with translated(error):
            return await self._result(self._started(work), error, limit)

    def _started(self, work: Callable[[], Awaitable[T]]) -> asyncio.Task[T]:
        self.check_loop()
        task = asyncio.create_task(self._held(work))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def _result(self, task: asyncio.Task[T], error: DatabaseError, limit: float) -> T:
        try:
            await asyncio.wait((task,), timeout=limit)
        finally:
            self._abandon(task)
        if not task.done():
            message = f"the database did not answer within {limit:g} seconds"
            raise error(message)
        if task.cancelled():  # not by the caller, but by a driver whose connection was lost
            message = "the connection to the database was lost"
            raise error(message)
        return task.result()

    async def _held(self, work: Callable[[], Awaitable[T]]) -> T:
        """A test's clock cannot see a wait for a database, and makes no jumps meanwhile."""
        with held(self._clock):
            return await work()

    def _abandon(self, task: asyncio.Task[Any]) -> None:
        if task.done():
            return
        self._abandoned.add(task)
        if not self.dialect.is_sqlite and task not in self._connecting:
            task.cancel()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._abandoned.discard(task)
        retrieve(task)  # its caller may have left

    def check_loop(self) -> None:
        """Raise :class:`ConfigurationError` if this was used in another event loop before."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            message = "these books were used in another event loop before: make Books for each event loop"
            raise ConfigurationError(message)

    # -- connections that are held, by a handler or a listener -------------------------------------------------------

    @contextlib.asynccontextmanager
    async def begun(
        self,
        first: Callable[[AsyncConnection], Awaitable[T]],
        *,
        end: Callable[[AsyncConnection, T], Awaitable[object]] | None = None,
    ) -> AsyncIterator[tuple[AsyncConnection, T]]:
        """A connection, and what ``first`` returned on it. If that fails, it is repeated on another connection.

        On leaving, ``end`` is called with both, and what was not committed is rolled back.
        """
        opening = self._started(lambda: repeated(lambda: self._opened(first)))
        try:
            with translated(BackendError):
                _, connection, result = await self._result(opening, BackendError, ANSWER_S)
            yield connection, result
        finally:
            # Closed even if the caller has left: otherwise the connection would never return to its pool.
            closing = self._started(lambda: self._closed(opening, end))
            if opening.done():
                await asyncio.wait((closing,))

    async def _opened(
        self, first: Callable[[AsyncConnection], Awaitable[T]]
    ) -> tuple[AsyncExitStack, AsyncConnection, T]:
        async with contextlib.AsyncExitStack() as stack:
            connection = await stack.enter_async_context(self._connection())
            result = await first(connection)
            return stack.pop_all(), connection, result

    async def _closed(
        self,
        opening: asyncio.Task[tuple[AsyncExitStack, AsyncConnection, T]],
        end: Callable[[AsyncConnection, T], Awaitable[object]] | None,
    ) -> None:
        """Close what was opened, also if that happens only after the caller has left.

        It waits until no task uses the connection: if two tasks close one connection of asyncpg, the second interrupts
        the first.
        """
        await asyncio.wait((opening,))
        if opening.cancelled() or opening.exception() is not None:
            return
        stack, connection, result = opening.result()
        if (using := self._using.get(connection)) is not None:
            await asyncio.wait((using,), timeout=_ENDING_S)
        with contextlib.suppress(*DATABASE_ERRORS):
            async with asyncio.timeout(ANSWER_S), stack:
                if end is not None:
                    await end(connection, result)

    async def run_on(self, connection: AsyncConnection, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Return what ``work`` returns on a connection that is held. Raises ``BackendError`` after five seconds."""
        task = self._started(lambda: work(connection))
        self._using[connection] = task
        task.add_done_callback(lambda _: self._using.pop(connection, None))
        return await self._result(task, BackendError, ANSWER_S)

    async def begin(self, connection: AsyncConnection) -> None:
        """Begin a transaction that writes, if the database needs a statement for that."""
        if self.dialect.is_sqlite:
            await begin_immediately(connection)

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
        """Whether a handler calls this that has not ended. A task that it has started has its context for ever."""
        return _within_effect.get() in self._effects


async def repeated(
    work: Callable[[], Awaitable[T]],
    attempts: int = _ATTEMPTS,
    may_be_repeated: Callable[[Exception], bool] = lambda error: is_rolled_back(error) or is_lost(error),
) -> T:
    """Return what ``work`` returns. It is called again after failures that may be repeated."""
    for attempt in range(1, attempts):
        try:
            return await work()
        except STATEMENT_ERRORS as error:
            if not may_be_repeated(error):
                raise
        await asyncio.sleep(random.uniform(0, 0.02) * attempt)  # so that two do not meet again
    return await work()


def is_rolled_back(error: BaseException) -> bool:
    """Whether PostgreSQL rolled the transaction back because of another one, so that it may be repeated."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _ROLLED_BACK


def is_lost(error: BaseException) -> bool:
    """Whether the connection was lost. Nobody knows whether a commit that was under way took place."""
    return isinstance(error, asyncpg.InternalClientError) or getattr(error, "connection_invalidated", False)


@contextlib.contextmanager
def translated(kind: DatabaseError) -> Iterator[None]:
    """Raise ``kind``, with the reason, for each error of the database, and of what the user's engine calls."""
    try:
        yield
    except OmipayError:
        raise
    except DATABASE_ERRORS as error:
        raise translation(kind, error) from None  # the original contains objects of drivers, which do not pickle
    except Exception as error:
        # An engine may have hooks of the user, which may raise anything: an error whose text may contain a password.
        message = f"a request to the database failed: {type(error).__name__}"
        raise kind(message) from error


def translation(kind: DatabaseError, error: BaseException) -> BackendError | JournalError:
    """An error of this package for an error of the database."""
    return kind(f"a request to the database failed: {reason(error)}")


def reason(error: BaseException) -> str:
    """What went wrong, on one line of limited length. Databases do not quote passwords in their messages."""
    copied = getattr(error, "orig", None)  # SQLAlchemy's copy of a driver's error
    origin = error if copied is None else copied.__cause__ or copied
    text = "".join(c if c.isprintable() else " " for c in str(origin).partition("\n")[0])[:_LONGEST_REASON]
    if isinstance(origin, TimeoutError) and not text:
        text = "it did not answer in time"
    advice = ""
    if "no such table" in text or isinstance(origin, asyncpg.UndefinedTableError):
        advice = " (call create_tables() once)"
    elif isinstance(origin, _FOREIGN_STATEMENTS):
        advice = " (behind PgBouncer add ?prepared_statement_cache_size=0 to the URL: see the guide to the books)"
    return f"{type(origin).__name__}: {text}{advice}" if text else type(origin).__name__
