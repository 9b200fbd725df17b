"""Wake-ups from other sessions and processes: one subscription to a shared backend, and the subscribers that it calls.

A wake-up is a hint and not a proof: whoever is woken asks the gateway or reads the backend's notes. So nothing depends
on receiving one. When the subscription ends, for whatever reason, that is logged and it is made again after a pause,
which grows each time. Until then polls and waits go on by interval.
"""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, Final

from omipay_async.clock import wait
from omipay_async.errors import BackendError
from omipay_async.log import logger
from omipay_async.transport.cancellation import caller_was_cancelled

if TYPE_CHECKING:
    from collections.abc import Callable

    from omipay_async.clock import Clock

    from .backends import Listener

_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 60.0
"""After a subscription that lasted longer than this, the pauses begin with the first one again."""
_ENDING_S: Final = 5.0
"""How long a backend may take to end a subscription."""


class WakeUps:
    """The wake-ups of one merchant, from the first ``listen()`` until ``aclose()``.

    Without a ``listener`` no subscriber is ever called.
    """

    def __init__(self, listener: Listener | None, *, m_number: str, clock: Clock) -> None:
        self._listener = listener
        self._prefix = f"{m_number}:"
        self._clock = clock
        self._subscribers: list[tuple[str, Callable[[str], object]]] = []
        self._task: asyncio.Task[None] | None = None
        self._context = contextvars.copy_context()
        """The one in which the session was made."""

    def subscribe(self, on_wake: Callable[[str], object], *, kind: str = "") -> None:
        """Call ``on_wake(rest)`` for each wake-up of a key ``"{m_number}:{kind}{rest}"``.

        If the key begins with the longer ``kind`` of another subscriber, only that one is called. What it raises is
        logged, and the other subscribers are called all the same.
        """
        self._subscribers.append((self._prefix + kind, on_wake))

    def listen(self) -> None:
        """Listen in the running event loop from now on. Calling it again while it listens does nothing."""
        if self._listener is None:
            return
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done() or self._task.get_loop() is not loop:
            # The caller's context may belong to a web request, which this outlives.
            self._task = self._context.copy().run(loop.create_task, self._keep_listening(self._listener))

    async def aclose(self) -> None:
        """Stop listening, and return once the task has ended, after five seconds at most: the backend may hang."""
        task, self._task = self._task, None
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            await wait(self._clock, (task,), _ENDING_S)

    async def _keep_listening(self, listener: Listener) -> None:
        pause = _FIRST_PAUSE_S
        while True:
            began = self._clock.monotonic()
            reason = await self._listen_once(listener)
            if self._clock.monotonic() - began > _LONGEST_PAUSE_S:
                pause = _FIRST_PAUSE_S
            logger.warning(
                "wake-ups from other processes cannot be received, polls go on by interval; trying again in %g s: %s",
                pause,
                reason,
            )
            await self._clock.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _listen_once(self, listener: Listener) -> str:
        """Listen until the subscription ends, and return the reason."""
        try:
            async with listener.listen(self._dispatch):
                await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            if caller_was_cancelled():
                raise
            return "CancelledError"  # raised by a time limit inside of the backend
        except BackendError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - the backend is the user's: whatever it raises, this listens again
            return type(error).__name__  # without its text, which may contain a URL with a password
        return "the backend ended the subscription"

    def _dispatch(self, key: str) -> None:
        fitting = [prefix for prefix, _ in self._subscribers if key.startswith(prefix)]
        longest = max(fitting, key=len, default=None)
        for prefix, on_wake in self._subscribers:
            if prefix == longest:
                try:
                    on_wake(key.removeprefix(prefix))
                except Exception:  # noqa: BLE001 - whatever it raises, the other subscribers are to be called
                    logger.exception("a wake-up from another process could not be handled")
