"""Receives wake-ups from other processes: by LISTEN on PostgreSQL, and by a query every second on SQLite.

One task listens for all sessions that use the books, as long as there is a listener. After a failure it connects again,
after pauses that grow; wake-ups in the meantime are missed, and polls go on by interval.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select, text

from omipay_async.errors import BackendError, OmipayError
from omipay_async.fulfilment.pauses import Pauses
from omipay_async.log import logger

from .claims import WAKE_CHANNEL
from .failures import translated
from .tables import ORDER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sqlalchemy.ext.asyncio import AsyncConnection

    from .database import Database

POLL_S: Final = 1.0
"""How often the rows of SQLite are read."""
HEARTBEAT_S: Final = 10.0
"""After this much silence a statement is sent to PostgreSQL, to learn whether the connection is still alive."""


class Listening:
    """Receives wake-ups and passes them on to every listener."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: dict[object, Callable[[str], object]] = {}
        self._task: asyncio.Task[None] | None = None
        self._attempted = asyncio.Event()

    @contextlib.asynccontextmanager
    async def listen(self, on_wake: Callable[[str], object]) -> AsyncIterator[None]:
        """While open, ``on_wake(key)`` is called for each wake-up. Entering waits for the first attempt to listen."""
        self._database.tasks.check_loop()
        token = object()
        self._listeners[token] = on_wake
        try:
            if self._task is None or self._task.done():
                self._attempted = asyncio.Event()
                self._task = asyncio.create_task(self._run(self._attempted))
            await self._attempted.wait()
            yield
        finally:
            del self._listeners[token]
            if not self._listeners:
                await self.stop()

    async def stop(self) -> None:
        """Stop listening."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))

    def _pass_on(self, key: str) -> None:
        # By the event loop, so that it reports what a listener raises and this task goes on.
        for on_wake in self._listeners.values():
            asyncio.get_running_loop().call_soon(on_wake, key)

    async def _run(self, attempted: asyncio.Event) -> None:
        listen = self._poll_sqlite if self._database.dialect.is_sqlite else self._listen_to_postgresql
        pauses = Pauses()

        def works() -> None:
            attempted.set()
            pauses.reset()

        while True:
            try:
                with translated(BackendError):  # whatever it is, this listens again
                    await listen(works)
            except OmipayError as error:
                if pauses.first:
                    logger.warning("wake-ups from other processes are missed: %s", error)
            finally:
                attempted.set()
            await asyncio.sleep(pauses.next())

    # -- PostgreSQL -------------------------------------------------------------------------------------------------

    async def _listen_to_postgresql(self, works: Callable[[], None]) -> None:
        """Listen until the connection is lost, and call ``works`` when it listens."""
        async with self._database.held.begun(_taken_from_pool, end=_terminated) as (connection, driver):
            lost = asyncio.Event()

            def received(_: object, __: int, ___: str, payload: str) -> None:
                self._pass_on(payload)

            def ended(_: object) -> None:
                lost.set()

            await self._database.held.run_on(connection, lambda _: driver.add_listener(WAKE_CHANNEL, received))
            driver.add_termination_listener(ended)
            try:
                works()
                while True:  # until the heartbeat of a lost connection fails
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(HEARTBEAT_S):
                            await lost.wait()
                    await self._database.held.run_on(connection, _heartbeat)
            finally:
                driver.remove_termination_listener(ended)

    # -- SQLite -----------------------------------------------------------------------------------------------------

    async def _poll_sqlite(self, works: Callable[[], None]) -> None:
        """Look for rows that were woken since the last look, and call ``works`` after each."""
        seen = await self._database.scalar(select(func.max(ORDER.c.woken)), BackendError) or 0
        while True:
            works()
            await asyncio.sleep(POLL_S)
            woken = select(ORDER.c.wake_key, ORDER.c.woken).where(ORDER.c.woken > seen).order_by(ORDER.c.woken)
            for row in await self._database.rows(woken, BackendError):
                seen = row["woken"]
                self._pass_on(row["wake_key"])


async def _taken_from_pool(connection: AsyncConnection) -> Any:
    """Take a connection out of its pool, which can replace it. Returns asyncpg's object for it.

    So it may be held for days, although the pool may have only one connection.
    """
    driver = (await connection.get_raw_connection()).driver_connection
    await connection.run_sync(lambda sync_connection: sync_connection.detach())
    return driver


async def _terminated(connection: AsyncConnection, driver: Any) -> None:
    """End a connection that is not its pool's any more, without asking the server."""
    driver.terminate()
    await connection.invalidate()


async def _heartbeat(connection: AsyncConnection) -> None:
    await connection.execute(text("SELECT 1"))
    await connection.commit()  # a transaction that stays open would receive nothing
