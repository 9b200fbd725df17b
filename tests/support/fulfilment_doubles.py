"""Doubles for the tests of the once-guard: a backend that fails as a test has set it, and handlers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from omipay_async.codes import OrderStatus
from omipay_async.errors import BackendError
from omipay_async.fulfilment.backends import Claim
from omipay_async.fulfilment.memory import MemoryBackend
from omipay_async.models import Order

if TYPE_CHECKING:
    from omipay_async.clock import Clock
    from omipay_async.fulfilment.guard import OnceGuard

ORDER = Order(order_no="TR1", status=OrderStatus.PAID, out_order_no="A-1", currency="AUD", amount=450)
KEY = "123456:TR1"

Fault = Callable[[], Any] | float
"""What a method does first: a function that is awaited and whose result, unless None, is returned; or a delay in s."""


class FaultyBackend(MemoryBackend):
    """A backend in memory whose methods do first what ``faults[method]`` says, and which notes its requests."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(lease=30, clock=clock)
        self.faults: dict[str, Fault] = {}
        self.requests: list[str] = []
        self.woken: list[str] = []

    async def _fault(self, method: str) -> Any:
        self.requests.append(method)
        fault = self.faults.get(method)
        if callable(fault):
            return await fault()
        return None if fault is None else await self._clock.sleep(fault)

    async def claim(self, key: str, owner: str) -> Claim:
        """As in memory, after the fault."""
        fault = await self._fault("claim")
        return await super().claim(key, owner) if fault is None else fault

    async def renew(self, key: str, owner: str) -> bool:
        """As in memory, after the fault."""
        fault = await self._fault("renew")
        return await super().renew(key, owner) if fault is None else fault

    async def finish(self, key: str, owner: str) -> bool:
        """As in memory, after the fault."""
        fault = await self._fault("finish")
        return await super().finish(key, owner) if fault is None else fault

    async def release(self, key: str, owner: str) -> None:
        """As in memory, after the fault."""
        await self._fault("release")
        await super().release(key, owner)

    async def wake(self, key: str) -> None:
        """As in memory, after the fault."""
        self.woken.append(key)
        await self._fault("wake")


async def gone() -> None:
    """Fail as a backend that cannot be reached."""
    raise BackendError("no backend")


async def broken() -> None:
    """Raise what a backend must not raise."""
    raise KeyError("a secret")


async def giving_up() -> None:
    """Raise a cancellation, as a backend does whose own time limit is one."""
    raise asyncio.CancelledError


def not_async() -> bool:
    """Return an answer that cannot be awaited."""
    return True


async def hanging() -> None:
    """Never answer."""
    await asyncio.Event().wait()


async def forgetful() -> Any:
    """Forget to await what does the work."""
    return hanging()


async def no() -> bool:
    """Answer that another owner holds the lease."""
    return False


async def yes() -> bool:
    """Answer that it was done."""
    return True


async def mine() -> Claim:
    """Answer each claim with MINE."""
    return Claim.MINE


async def busy() -> Claim:
    """Answer each claim with BUSY."""
    return Claim.BUSY


class Shop:
    """A handler that counts its runs, waits until ``go`` is set, and raises what is in ``fail``."""

    def __init__(self) -> None:
        self.started = 0
        self.running = 0
        self.ended: list[str] = []
        self.go = asyncio.Event()
        self.fail: list[Exception] = []

    async def __call__(self, order: Order) -> None:
        """Fulfil the order."""
        assert order is ORDER
        self.started += 1
        self.running += 1
        assert self.running == 1, "the handler runs twice at the same time"
        try:
            await self.go.wait()
            if self.fail:
                raise self.fail.pop(0)
            self.ended.append("done")
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        finally:
            self.running -= 1


class Stubborn:
    """A handler that ignores its cancellation, and ends once ``go`` is set."""

    def __init__(self) -> None:
        self.started = 0
        self.go = asyncio.Event()

    async def __call__(self, order: Order) -> None:
        """Fulfil the order."""
        self.started += 1
        while not self.go.is_set():
            try:
                await self.go.wait()
            except asyncio.CancelledError:
                continue


async def begin(guard: OnceGuard, handler: Any, wait_timeout: float | None = 10) -> asyncio.Task[bool]:
    """Begin a run, and return it when it can do nothing more before time passes."""
    run = asyncio.create_task(guard.run(ORDER, handler, wait_timeout=wait_timeout))
    for _ in range(10):
        await asyncio.sleep(0)
    return run
