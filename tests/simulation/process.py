"""A simulated process: a group of tasks with a fence around it, which can be killed at any of its steps.

Whatever a process does outside of itself (a request, a statement, a handler's work) calls ``step()`` first. The steps
are counted, and the seed decides at which of them the process is killed. After that its code has no effect any more:
each further step waits for ever, its connections to the database are cut, and its tasks are cancelled.
"""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Coroutine

    from .store import InlineConnection
    from .world import World

current: contextvars.ContextVar[Process | None] = contextvars.ContextVar("simulated_process", default=None)
"""The process that this code runs in; None: the world outside, such as the gateway."""


def context_of(process: Process | None) -> contextvars.Context:
    """A new context for code that runs in ``process``."""
    context = contextvars.copy_context()
    context.run(current.set, process)
    return context


def spawn(process: Process | None, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """A task in ``process``."""
    return asyncio.get_running_loop().create_task(work, context=context_of(process))


class OwnedTask(asyncio.Task[Any]):
    """A task that its process knows. It replaces ``asyncio.Task`` while a world runs."""

    def __init__(self, work: Coroutine[Any, Any, Any], **options: Any) -> None:
        context = options.get("context")
        self.owner = current.get() if context is None else context.get(current)
        super().__init__(work, **options)
        if self.owner is not None:
            self.owner.adopt(self)


def owning_factory(
    loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], context: contextvars.Context | None = None
) -> OwnedTask:
    """The task factory of the loop."""
    return OwnedTask(work, loop=loop, context=context)


class Process:
    """A process from its start to its end or its crash."""

    def __init__(self, world: World, name: str, crash_at: int | None) -> None:
        self.world = world
        self.name = name
        self.alive = True
        self.steps = 0
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self.connections: dict[InlineConnection, None] = {}
        self.files: list[sqlite3.Connection] = []
        """What connections that were closed had open: for the next ones."""
        self.open_replies = 0
        world.record.processes.append(self)
        self.crash_at = crash_at

    def __repr__(self) -> str:
        return self.name

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """A task of this process."""
        self.tasks[task] = None
        task.add_done_callback(lambda done: self.tasks.pop(done, None) and None)

    async def step(self, what: str) -> None:
        """Return if the process is alive; otherwise wait for ever."""
        if self.alive:
            self.steps += 1
            if self.steps == self.crash_at:
                self.world.trace(self.name, f"crashes at step {self.steps}, {what}")
                self.kill()
        if not self.alive:
            await self.hang()

    async def hang(self) -> None:
        """Wait for ever, or until the world ends."""
        if self.world.is_over:
            raise asyncio.CancelledError
        await asyncio.get_running_loop().create_future()

    def kill(self) -> None:
        """End as by kill -9."""
        if not self.alive:
            return
        self.alive = False
        self.world.crashes += 1
        for connection in list(self.connections):
            connection.cut()
        self.close_files()
        for task in list(self.tasks):
            task.cancel()
        self.world.died(self)

    def close_files(self) -> None:
        """Close the files that are kept for later connections."""
        while self.files:
            self.files.pop().close()
