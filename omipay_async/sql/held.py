"""Holds connections for longer than one transaction of ours takes: for a handler, or for a listener.

Opening one, each use of it and closing it are tasks of their own, which go on if the caller leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final, TypeVar

from omipay_async.errors import BackendError

from .failures import DATABASE_ERRORS, repeated, translated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager, AsyncExitStack

    from sqlalchemy.ext.asyncio import AsyncConnection

    from .tasks import Tasks

T = TypeVar("T")

_ENDING_S: Final = 5.0
"""How long a cancelled transaction may take to end: SQLAlchemy closes its connection then, for up to two seconds."""


class HeldConnections:
    """The connections of one database that are held.

    Args:
        tasks: What runs the work on them.
        connect: Opens a connection, which returns to its pool at the end.
    """

    def __init__(self, tasks: Tasks, connect: Callable[[], AbstractAsyncContextManager[AsyncConnection]]) -> None:
        self._tasks = tasks
        self._connect = connect
        self._using: dict[AsyncConnection, asyncio.Task[Any]] = {}
        """The task that uses a connection. It may go on after its caller has left."""

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
        opening = self._tasks.start(lambda: repeated(lambda: self._opened(first)))
        try:
            with translated(BackendError):
                _, connection, result = await self._tasks.result(opening, BackendError)
            yield connection, result
        finally:
            # Closed even if the caller has left: otherwise the connection would never return to its pool.
            closing = self._tasks.start(lambda: self._closed(opening, end))
            if opening.done():
                await asyncio.wait((closing,))

    async def _opened(
        self, first: Callable[[AsyncConnection], Awaitable[T]]
    ) -> tuple[AsyncExitStack, AsyncConnection, T]:
        async with contextlib.AsyncExitStack() as stack:
            connection = await stack.enter_async_context(self._connect())
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
            async with self._tasks.timeout(), stack:
                if end is not None:
                    await end(connection, result)

    async def run_on(self, connection: AsyncConnection, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Return what ``work`` returns on a connection that is held. Raises ``BackendError`` after five seconds."""
        task = self._tasks.start(lambda: work(connection))
        self._using[connection] = task
        task.add_done_callback(lambda _: self._using.pop(connection, None))
        return await self._tasks.result(task, BackendError)
