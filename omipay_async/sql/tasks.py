"""Runs what is asked of the database in tasks of its own, each within a time limit, so that its caller can leave.

A caller that is cancelled or whose time is up leaves at once. Its task is then *abandoned*: it returns its connection
to the pool, and ``aclose`` waits for it.

The thread in which SQLite works cannot be cancelled. So with SQLite an abandoned task goes on until it has become the
writer, and then ends without having written (``check_wanted``). With PostgreSQL an abandoned task is cancelled, except
while it connects: asyncpg would leave a future whose exception asyncio logs, and the next transaction can use the
connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Any, Final, TypeVar

from omipay_async.clock import held, retrieve_exception, running_loop
from omipay_async.errors import ConfigurationError

from .failures import translated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from omipay_async.clock import Clock

    from .failures import DatabaseError

T = TypeVar("T")

ANSWER_S: Final = 5.0
"""How long a transaction may take, with connecting and all repeats."""


class Tasks:
    """The tasks that use one database, all in one event loop.

    Args:
        clock: It is held while one of them works.
        cancels: Whether a task that is abandoned is cancelled.
    """

    def __init__(self, clock: Clock, *, cancels: bool) -> None:
        self.under_way: set[asyncio.Task[Any]] = set()
        self._clock = clock
        self._cancels = cancels
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process: int | None = None
        self._abandoned: set[asyncio.Task[Any] | None] = set()
        self._connecting: set[asyncio.Task[Any] | None] = set()

    # -- for callers --------------------------------------------------------------------------------------------------

    async def run(self, work: Callable[[], Awaitable[T]], error: DatabaseError, limit: float | None = None) -> T:
        """Return what ``work`` returns, which runs in a task. Raises ``error`` after ``limit`` seconds."""
        with translated(error):
            return await self.result(self.start(work), error, limit)

    def start(self, work: Callable[[], Awaitable[T]]) -> asyncio.Task[T]:
        """Begin a task. It goes on when its caller leaves."""
        self.check_loop()
        task = asyncio.create_task(self._with_clock_held(work))
        self.under_way.add(task)
        task.add_done_callback(self._ended)
        return task

    async def result(self, task: asyncio.Task[T], error: DatabaseError, limit: float | None = None) -> T:
        """Return the result of a task, which is abandoned after ``limit`` seconds; by default five."""
        limit = ANSWER_S if limit is None else limit
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

    async def wait(self) -> None:
        """Wait until none is under way, for five seconds at most."""
        if self.under_way:
            await asyncio.wait(self.under_way, timeout=ANSWER_S)

    def check_loop(self) -> None:
        """Raise :class:`ConfigurationError` if this was used in another event loop, or before a fork."""
        loop = running_loop()
        if self._loop is None:
            self._loop = loop
            self._process = os.getpid()
        elif self._loop is not loop:
            message = "these books were used in another event loop before: make Books for each event loop"
            raise ConfigurationError(message)
        elif self.are_of_parent:
            raise ConfigurationError("these books were used before a fork: make Books after it, in each process")

    @property
    def are_of_parent(self) -> bool:
        """Whether they ran in the parent of this process, which is a fork."""
        return self._process not in {None, os.getpid()}

    async def _with_clock_held(self, work: Callable[[], Awaitable[T]]) -> T:
        """A test's clock cannot see a wait for a database, and makes no jumps meanwhile."""
        with held(self._clock):
            return await work()

    def _abandon(self, task: asyncio.Task[Any]) -> None:
        if task.done():
            return
        self._abandoned.add(task)
        if self._cancels and task not in self._connecting:
            task.cancel()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.under_way.discard(task)
        self._abandoned.discard(task)
        retrieve_exception(task)  # its caller may have left

    # -- inside of a task ---------------------------------------------------------------------------------------------

    def check_wanted(self) -> None:
        """Raise an error if the current task was abandoned."""
        if asyncio.current_task() in self._abandoned:
            raise ConnectionAbortedError

    @contextlib.contextmanager
    def connecting(self) -> Iterator[None]:
        """While open, the current task is not cancelled if it is abandoned."""
        task = asyncio.current_task()
        self._connecting.add(task)
        try:
            yield
        finally:
            self._connecting.discard(task)

    def timeout(self, limit: float | None = None) -> asyncio.Timeout:
        """A block that may take ``limit`` seconds; by default as long as a transaction."""
        return asyncio.timeout(ANSWER_S if limit is None else limit)
