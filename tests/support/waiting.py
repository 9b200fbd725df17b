"""Waits for what has no event: a test waits until something happens, not for time to pass."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from omipay_async.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable

    from omipay_async.redis import RedisBackend
    from omipay_async.sql import Books


async def until(condition: Callable[[], object], what: str = "the condition") -> None:
    """Return once ``condition()`` holds. It is asked for twenty seconds, and on a busy machine for longer."""
    for _ in range(20_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError(f"waited in vain for {what}")


async def until_idle(books: Books) -> None:
    """Return once nothing is asked of the database any more, also by callers that have left."""
    await until(lambda: not books._database.tasks.under_way, "the end of every task")


async def wake_until_received(backend: Books | RedisBackend, key: str, woken: asyncio.Queue[str]) -> None:
    """Wake the listeners of ``key`` again and again until one of them has received that."""
    async with asyncio.timeout(60):
        while woken.empty():
            with contextlib.suppress(BackendError):
                await backend.wake(key)
            await asyncio.sleep(0.02)
