"""Lets Python 3.11 trace what comes after an ``await`` into which an exception was thrown and caught further in.

A task throws a future's exception, and each cancellation, into its coroutine. Where a coroutine further in catches it
and returns, Python 3.11 lets the outer ones go on without telling a trace function that they run again, and coverage
loses their lines (3.12 tells it). But a future raises its exception by itself in whoever goes on after awaiting it: a
task that is told to just go on does the same, and is traced.

Only for 3.11, and only while something traces: event loop policies are on their way out of asyncio.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator


class Resumed(Coroutine[Any, Any, Any]):
    """A task's coroutine: what its future is about to raise is not thrown in as well."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self._awaited: object = None

    def send(self, value: Any) -> Any:
        """Go on."""
        self._awaited = self._coroutine.send(value)
        return self._awaited

    def throw(self, error: Any, *rest: Any) -> Any:
        """Go on if that raises ``error`` too; a task that is cancelled as its future succeeds needs to be told."""
        if _raises(self._awaited, error):
            return self.send(None)
        self._awaited = self._coroutine.throw(error, *rest)
        return self._awaited

    def close(self) -> None:
        """End it."""
        self._coroutine.close()

    def __getattr__(self, name: str) -> Any:
        """``cr_running`` and its like: anyio cancels only a task whose coroutine shows that it has begun."""
        return getattr(self._coroutine, name)

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine.__await__()


def _raises(awaited: object, error: BaseException) -> bool:
    if not isinstance(awaited, asyncio.Future) or not awaited.done():
        return False
    return isinstance(error, asyncio.CancelledError) if awaited.cancelled() else awaited.exception() is error


class ResumingPolicy(asyncio.DefaultEventLoopPolicy):
    """Event loops whose tasks are ``Resumed``."""

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """One of them."""
        loop = super().new_event_loop()
        loop.set_task_factory(lambda loop, coroutine, **options: asyncio.Task(Resumed(coroutine), loop=loop, **options))
        return loop
