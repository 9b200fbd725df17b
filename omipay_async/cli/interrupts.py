"""Ctrl-C: it cancels the work of a command, however often it is pressed, and so lets the end of a call be reported."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

T = TypeVar("T")


def run_until_interrupted(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run ``work`` in an event loop of its own, and cancel it at each Ctrl-C.

    Asyncio cancels it only at the first one. At the next it raises KeyboardInterrupt in whatever runs at that moment:
    then the end of a money call may not be reported, or the event loop forgets what it was to call, and waits for ever.
    """
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        task = loop.create_task(work())
        if not _cancels_at_ctrl_c(loop, task):
            return runner.run(_awaited(task))
        try:
            return loop.run_until_complete(task)
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
        finally:
            loop.remove_signal_handler(signal.SIGINT)


def _cancels_at_ctrl_c(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> bool:
    """Let Ctrl-C cancel a task, if the event loop can do that, and if Ctrl-C is neither ignored nor somebody else's."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return False
    try:
        loop.add_signal_handler(signal.SIGINT, task.cancel)
    except (NotImplementedError, RuntimeError):  # on Windows; in another thread than the first
        return False
    return True


@contextlib.contextmanager
def ctrl_c_ignored() -> Iterator[None]:
    """While open, Ctrl-C does nothing."""
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # in another thread than the first, where Ctrl-C does not arrive
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


async def _awaited(task: asyncio.Task[T]) -> T:
    return await task
