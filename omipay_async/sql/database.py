"""Asks the database: each question is bounded in time, is repeated if nothing was done, and fails with one clear error.

Each question is a function of a connection that is run within a transaction of its own, and may be run again: all
statements of the books can be repeated. It runs in a task beside its caller, so that a caller who is cancelled or whose
time is up leaves at once, while the task gives its connection back; ``aclose`` waits for such tasks.

Cancelling cannot reach into the thread that SQLite works in. So there an abandoned task goes on to the point where it
has become the writer, and then leaves without having written. On PostgreSQL an abandoned task is cancelled, but not
while it connects: asyncpg then leaves a future behind whose exception asyncio logs, and the next question can use the
connection.

SQLite has one writer at a time. Writers of this process wait for a lock of our own, which is fair and cheap;
the database's own lock is left for other processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import random
from typing import TYPE_CHECKING, Any, Final, TypeVar

import asyncpg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from omipay_async.errors import BackendError, ConfigurationError, JournalError

from .engines import Dialect, begin_immediately, checked_engine, made_engine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from contextlib import AsyncExitStack

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from omipay_async.clock import Clock

T = TypeVar("T")
DatabaseError = type[BackendError] | type[JournalError]

ANSWER_S: Final = 5.0
"""How long any question may take, connecting and repeating included."""
_ENDING_S: Final = 5.0
"""How long a cancelled question may take to end: SQLAlchemy closes its connection then, for up to two seconds."""
_ATTEMPTS: Final = 4
_LONGEST_REASON: Final = 200
DATABASE_ERRORS: Final = (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError)
"""What a lost, full, wrong or overloaded database raises. (A ``TimeoutError`` is an ``OSError``.)"""
_TAKEN_BACK: Final = frozenset({"40001", "40P01"})
"""PostgreSQL's serialization failure and deadlock."""

_within_effect: Final[contextvars.ContextVar[object]] = contextvars.ContextVar("omipay_books_effect", default=None)


class Database:
    """The engine, made or given, and how it is asked."""

    def __init__(self, url_or_engine: str | AsyncEngine, clock: Clock) -> None:
        self._owned = isinstance(url_or_engine, str)
        engine = made_engine(url_or_engine) if isinstance(url_or_engine, str) else checked_engine(url_or_engine)
        self.dialect: Final = Dialect(engine, clock)
        self._engine = engine.execution_options(**self.dialect.options)
        self._writing = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asking: set[asyncio.Task[Any]] = set()
        self._abandoned: set[asyncio.Task[Any] | None] = set()
        self._connecting: set[asyncio.Task[Any] | None] = set()
        self._using: dict[AsyncConnection, asyncio.Task[Any]] = {}
        """What asks over a connection that is held. It may outlive whoever asked."""

    def __repr__(self) -> str:
        return self._engine.url.render_as_string(hide_password=True)

    async def aclose(self) -> None:
        """Wait for questions under way, and close the connections of an engine that was made from a URL."""
        if self._asking:
            await asyncio.wait(self._asking, timeout=ANSWER_S)
        if self._owned:
            with contextlib.suppress(*DATABASE_ERRORS):
                await self._engine.dispose()

    # -- questions --------------------------------------------------------------------------------------------------

    async def read(self, work: Callable[[AsyncConnection], Awaitable[T]], error: DatabaseError) -> T:
        """What ``work`` finds out, or ``error`` after five seconds."""
        return await self._ask(lambda: repeated(lambda: self._once(work)), error)

    async def write(
        self, work: Callable[[AsyncConnection], Awaitable[T]], error: DatabaseError, *, limit: float | None = None
    ) -> T:
        """What ``work`` returns, committed; or ``error`` after ``limit`` seconds."""
        if self.dialect.is_sqlite and _within_effect.get() is self:
            message = "SQLite has one writer, which is the transactional handler that asks for this: do it after it"
            raise error(message)
        limit = ANSWER_S if limit is None else limit
        return await self._ask(lambda: repeated(lambda: self._once_written(work, limit)), error, limit)

    async def _once(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        async with self._connection() as connection:
            return await work(connection)

    async def _once_written(self, work: Callable[[AsyncConnection], Awaitable[T]], limit: float) -> T:
        async with contextlib.AsyncExitStack() as stack:
            async with asyncio.timeout(limit):
                await stack.enter_async_context(self.writer())
            self._check_wanted()  # waiting for SQLite's one writer would hold up the closing of the books
            connection = await stack.enter_async_context(self._connection())
            await self.begin(connection)
            self._check_wanted()
            result = await work(connection)
            await connection.commit()
            return result

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        """A connection, which is given back whatever happens. The pool keeps it if it is no longer wanted."""
        task = asyncio.current_task()
        self._connecting.add(task)
        try:
            connection = await self._engine.connect()
        finally:
            self._connecting.discard(task)
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_exit(connection)
            self._check_wanted()
            yield connection

    def _check_wanted(self) -> None:
        if asyncio.current_task() in self._abandoned:
            raise ConnectionAbortedError

    @contextlib.asynccontextmanager
    async def writer(self) -> AsyncIterator[None]:
        """While open, no other writer of this process is at work, where the database has only one."""
        if not self.dialect.is_sqlite:
            yield
            return
        async with self._writing:
            yield

    async def _ask(self, ask: Callable[[], Awaitable[T]], error: DatabaseError, limit: float | None = None) -> T:
        with translated(error):
            return await self._result(self._started(ask), error, limit)

    def _started(self, ask: Callable[[], Awaitable[T]]) -> asyncio.Task[T]:
        self.check_loop()
        task = asyncio.create_task(_awaited(ask))
        self._asking.add(task)
        task.add_done_callback(self._asked)
        return task

    async def _result(self, task: asyncio.Task[T], error: DatabaseError, limit: float | None = None) -> T:
        limit = ANSWER_S if limit is None else limit
        try:
            await asyncio.wait((task,), timeout=limit)
        finally:
            self._abandon(task)
        if not task.done():
            message = f"the database did not answer within {limit:g} seconds"
            raise error(message)
        if task.cancelled():  # not by the caller, but by a driver whose connection was lost
            message = "the database was lost"
            raise error(message)
        return task.result()

    def _abandon(self, task: asyncio.Task[Any]) -> None:
        if task.done():
            return
        self._abandoned.add(task)
        if not self.dialect.is_sqlite and task not in self._connecting:
            task.cancel()

    def _asked(self, task: asyncio.Task[Any]) -> None:
        self._asking.discard(task)
        self._abandoned.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked may be gone

    def check_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            message = "these books were used in another event loop before: make Books for each event loop"
            raise ConfigurationError(message)

    # -- what lasts longer than a question --------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def connected(self, error: DatabaseError) -> AsyncIterator[AsyncConnection]:
        """A connection for as long as it is needed, which nobody else gets afterwards."""
        async with self.begun(_nothing, error, reusable=False) as (connection, _):
            yield connection

    @contextlib.asynccontextmanager
    async def begun(
        self, first: Callable[[AsyncConnection], Awaitable[T]], error: DatabaseError, *, reusable: bool = True
    ) -> AsyncIterator[tuple[AsyncConnection, T]]:
        """A connection and what ``first`` returned over it. A connection on which that fails is replaced.

        On leaving, what was not committed is taken back.
        """
        opening = self._started(lambda: repeated(lambda: self._opened(first)))
        try:
            with translated(error):
                _, connection, result = await self._result(opening, error)
            yield connection, result
        finally:
            # Closed even if the caller has left: a connection that is only dropped is lost to its pool.
            closing = self._started(lambda: self._closed(opening, reusable=reusable))
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
        self, opening: asyncio.Task[tuple[AsyncExitStack, AsyncConnection, Any]], *, reusable: bool
    ) -> None:
        """Close what was opened, also if it is opened only after its caller has left.

        Not beside a question that is still under way: of two tasks that close one connection of asyncpg, the second
        breaks off what the first is doing.
        """
        await asyncio.wait((opening,))
        if opening.cancelled() or opening.exception() is not None:
            return
        stack, connection, _ = opening.result()
        if (using := self._using.get(connection)) is not None:
            await asyncio.wait((using,), timeout=_ENDING_S)
        with contextlib.suppress(*DATABASE_ERRORS):
            async with asyncio.timeout(ANSWER_S), stack:
                if not reusable:
                    await connection.invalidate()

    async def on(
        self, connection: AsyncConnection, work: Callable[[AsyncConnection], Awaitable[T]], error: DatabaseError
    ) -> T:
        """What ``work`` returns or raises on a connection that is held, or ``error`` after five seconds."""
        task = self._started(lambda: work(connection))
        self._using[connection] = task
        task.add_done_callback(lambda _: self._using.pop(connection, None))
        return await self._result(task, error)

    async def begin(self, connection: AsyncConnection) -> None:
        """Begin a transaction that writes, if the database needs a statement for that."""
        if self.dialect.is_sqlite:
            await begin_immediately(connection)

    @contextlib.contextmanager
    def inside_effect(self) -> Iterator[None]:
        """What runs within is a transactional handler: on SQLite it is the one writer, and must wait for no other."""
        token = _within_effect.set(self)
        try:
            yield
        finally:
            _within_effect.reset(token)


async def _nothing(_: AsyncConnection) -> None:
    """Ask nothing."""


async def repeated(
    ask: Callable[[], Awaitable[T]],
    attempts: int = _ATTEMPTS,
    may_be_repeated: Callable[[DBAPIError], bool] = lambda error: is_taken_back(error) or is_lost(error),
) -> T:
    """What ``ask`` returns, asked again after failures that may be repeated."""
    for attempt in range(1, attempts):
        try:
            return await ask()
        except DBAPIError as error:
            if not may_be_repeated(error):
                raise
        await asyncio.sleep(random.uniform(0, 0.02) * attempt)  # so that two do not meet again
    return await ask()


async def _awaited(ask: Callable[[], Awaitable[T]]) -> T:
    return await ask()


def is_taken_back(error: BaseException) -> bool:
    """Whether PostgreSQL took the transaction back because of another, so that it may be tried again."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _TAKEN_BACK


def is_lost(error: BaseException) -> bool:
    """Whether the connection was lost: nobody knows what became of a commit that was under way."""
    return isinstance(error, DBAPIError) and error.connection_invalidated


@contextlib.contextmanager
def translated(kind: DatabaseError) -> Iterator[None]:
    """Raise ``kind`` for whatever goes wrong with the database, with its reason."""
    try:
        yield
    except DATABASE_ERRORS as error:
        raise translation(kind, error) from None  # the original holds drivers' objects, which do not pickle


def translation(kind: DatabaseError, error: BaseException) -> BackendError | JournalError:
    """What went wrong with the database, as an error of ours."""
    return kind(f"a request to the database failed: {reason(error)}")


def reason(error: BaseException) -> str:
    """What went wrong, on one line of bounded length. Databases quote no passwords in their messages."""
    copied = getattr(error, "orig", None)  # SQLAlchemy's copy of a driver's error
    origin = error if copied is None else copied.__cause__ or copied
    text = "".join(c if c.isprintable() else " " for c in str(origin).partition("\n")[0])[:_LONGEST_REASON]
    missing = " (was create_tables() called?)" if "no such table" in text or "does not exist" in text else ""
    return f"{type(origin).__name__}: {text}{missing}" if text else type(origin).__name__
