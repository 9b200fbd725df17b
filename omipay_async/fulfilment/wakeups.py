"""Wake-ups from other processes: one subscription to a shared backend, handed on to whoever waits for such keys.

A wake-up is a hint and not a fact: whoever is woken asks the gateway. So nothing depends on hearing one. When the
subscription ends, whatever ended it, that is logged and it is made again after a pause that grows each time; until then
everybody goes on by interval.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from omipay_async.errors import BackendError
from omipay_async.events import logger

from .backends import Listener

if TYPE_CHECKING:
    from collections.abc import Callable

    from omipay_async.clock import Clock

    from .backends import Backend

_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 60.0
"""A subscription that held for longer than this counts as a good one: the next pause is the first one again."""


class WakeUps:
    """The wake-ups of one merchant. It listens from the first ``listen()`` on, until ``aclose()``.

    A backend that is not shared by processes has no wake-ups: then nothing is ever called.
    """

    def __init__(self, backend: Backend, *, m_number: str, clock: Clock) -> None:
        self._listener = backend if isinstance(backend, Listener) else None
        self._prefix = f"{m_number}:"
        self._clock = clock
        self._subscribers: list[tuple[str, Callable[[str], object]]] = []
        self._task: asyncio.Task[None] | None = None

    def subscribe(self, on_wake: Callable[[str], object], *, kind: str = "") -> None:
        """Call ``on_wake(rest)`` for each wake-up of a key ``"{m_number}:{kind}{rest}"``.

        What it raises is logged and keeps nothing from the other subscribers.
        """
        self._subscribers.append((self._prefix + kind, on_wake))

    def listen(self) -> None:
        """Listen in the running event loop from now on. It may be called often: it does nothing while this listens."""
        if self._listener is None:
            return
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done() or self._task.get_loop() is not loop:
            self._task = loop.create_task(self._keep_listening(self._listener))

    async def aclose(self) -> None:
        """Stop listening, and return when nothing of it is left."""
        task, self._task = self._task, None
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            await asyncio.wait([task])

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
        """Listen until the subscription ends, and say why it ended."""
        try:
            async with listener.listen(self._dispatch):
                await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise
            return "CancelledError"  # a time limit of the backend's own
        except BackendError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - the backend is the user's: whatever it raises, this listens again
            return type(error).__name__  # and not its text, which may quote a URL with a password
        return "the backend ended the subscription"

    def _dispatch(self, key: str) -> None:
        for prefix, on_wake in self._subscribers:
            if key.startswith(prefix):
                try:
                    on_wake(key.removeprefix(prefix))
                except Exception:  # noqa: BLE001 - whatever it raises must not become the others' trouble
                    logger.exception("a wake-up from another process could not be handled")
