"""The life of a session: whether it is closed, in which event loop it is used, and by how many operations.

A session belongs to the event loop in which it was used last, and to none before its first use. Every component holds
``in_use()`` while one of its operations is under way. So a session that is used from another event loop can move there
if nothing is under way, and raises a clear error otherwise.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from omipay_async.clock import running_loop
from omipay_async.errors import ConfigurationError, SessionClosed

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import TracebackType


class Usage:
    """Counts what is under way in one event loop. A context manager that may be entered many times at once."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.count -= 1


class Lifecycle:
    """The life of one session.

    Args:
        leave_loop: Called before the session is used or closed in another event loop than before. What it raises
            keeps the session from being used there.
    """

    __slots__ = ("_leave_loop", "_loop", "_usage", "closed")

    def __init__(self, leave_loop: Callable[[], None]) -> None:
        self.closed = False
        """Whether the session was closed: then nothing may begin any more."""
        self._leave_loop = leave_loop
        self._loop: asyncio.AbstractEventLoop | None = None
        self._usage = Usage()

    def ensure_open(self) -> None:
        """Raise :class:`SessionClosed` if it was closed. Needs no running event loop."""
        if self.closed:
            raise SessionClosed

    def ensure_usable(self, closed: Callable[[], SessionClosed] = SessionClosed) -> None:
        """Check that something may be begun here and now.

        Raises:
            SessionClosed: it was closed. ``closed`` makes the error, which may say what to ask about later.
            ConfigurationError: it has calls, polls or handlers under way in another event loop; or no event loop of
                asyncio is running (one of trio is not enough).
        """
        if self.closed:
            raise closed()
        loop = running_loop()
        if self._loop is not loop:
            self._enter_loop(loop)

    def _enter_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not None:
            self._ensure_unused(self._loop)
            self._leave_loop()
            self._usage = Usage()
        self._loop = loop

    def _ensure_unused(self, loop: asyncio.AbstractEventLoop) -> None:
        # What was under way in a loop that is closed has ended with it.
        if self._usage.count and not loop.is_closed():
            message = "this session has calls under way in another event loop: use one session for each loop"
            raise ConfigurationError(message)

    def in_use(self, closed: Callable[[], SessionClosed] = SessionClosed) -> Usage:
        """Hold this (``with life.in_use():``) during an operation. Raises what ``ensure_usable`` raises."""
        self.ensure_usable(closed)
        return self._usage

    def close(self) -> None:
        """Let nothing begin any more. The session may have been used in another event loop than the one that runs now.

        Raises:
            ConfigurationError: something is under way in another event loop, and can be ended only there; or no event
                loop of asyncio is running. The session stays open.
        """
        here = running_loop()
        if self._loop is not None and self._loop is not here:
            self._ensure_unused(self._loop)
            with contextlib.suppress(ConfigurationError):  # that only keeps the session from being used here
                self._leave_loop()
        self.closed = True
