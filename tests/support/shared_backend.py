"""A backend in memory that several processes share: a wake-up reaches the listeners of all of them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from omipay_async.fulfilment.memory import MemoryBackend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from omipay_async.clock import Clock


class Channel:
    """What the processes share: the open subscriptions, and the times at which subscriptions were made."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[str], object]] = []
        self.subscriptions: list[float] = []


class SharedBackend(MemoryBackend):
    """One process's backend on a channel. ``failures`` end its next subscriptions, one each."""

    def __init__(self, channel: Channel, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.failures: list[BaseException] = []
        self._channel = channel

    async def wake(self, key: str) -> None:
        """Call every listener."""
        for on_wake in list(self._channel.listeners):
            on_wake(key)

    @contextlib.asynccontextmanager
    async def listen(self, on_wake: Callable[[str], object]) -> AsyncIterator[None]:
        """Receive every wake-up while open."""
        self._channel.subscriptions.append(self._clock.monotonic())
        if self.failures:
            raise self.failures.pop(0)
        self._channel.listeners.append(on_wake)
        try:
            yield
        finally:
            await asyncio.sleep(0)
            self._channel.listeners.remove(on_wake)
