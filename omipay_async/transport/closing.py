"""Closes connections in the background: a call that was cancelled does not wait for that, and no error of it counts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from omipay_async.log import logger

from .cancellation import caller_was_cancelled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_CLOSING_S: Final = 5.0
"""How long a connection may take to close before it is left to the garbage collection."""


class Closing:
    """The connections of a session that are being closed, each in a task of its own."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, close: Callable[[], Awaitable[None]]) -> None:
        """Let ``close`` run, and do not wait for it.

        If a call's coroutine is closed after its event loop, nothing can be closed any more.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        task = loop.create_task(_close_quietly(close))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def wait(self) -> None:
        """Wait until those of this event loop have been closed. If this is cancelled, their closing goes on."""
        here = asyncio.get_running_loop()
        if tasks := [task for task in self._tasks if task.get_loop() is here]:
            await asyncio.wait(tasks)

    def forget(self) -> None:
        """Forget those of the event loop that was used before."""
        self._tasks = set()


async def _close_quietly(close: Callable[[], Awaitable[None]]) -> None:
    """Wait until ``close`` has ended, or its time has. What it raises is logged, since nothing follows from it."""
    try:
        async with asyncio.timeout(_CLOSING_S):
            await close()
    except asyncio.CancelledError:
        if caller_was_cancelled():
            raise
    except Exception as error:  # noqa: BLE001 - a connection that has failed may fail to close in any way
        logger.debug("closing a connection failed: %s", type(error).__name__)
