"""What the tests of the once-guard are made with: a backend that fails when told, handlers of every temper."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from omipay_async.codes import OrderStatus
from omipay_async.errors import BackendError
from omipay_async.fulfilment.backends import Claim, MemoryBackend
from omipay_async.models import Order

if TYPE_CHECKING:
    from collections.abc import Callable

    from omipay_async.clock import Clock
    from omipay_async.fulfilment.guard import OnceGuard

ORDER = Order(order_no="TR1", status=OrderStatus.PAID, out_order_no="A-1", currency="AUD", amount=450)
KEY = "123456:TR1"


class FaultyBackend(MemoryBackend):
    """A backend in memory whose methods fail, lie or hang when told: ``faults[method]`` is asked first."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(lease=30, clock=clock)
        self.faults: dict[str, Callable[[], Any]] = {}
        self.requests: list[str] = []
        self.woken: list[str] = []

    async def _fault(self, method: str) -> Any:
        self.requests.append(method)
        fault = self.faults.get(method)
        return None if fault is None else await fault()

    async def claim(self, key: str, owner: str) -> Claim:
        """As told, else as in memory."""
        fault = await self._fault("claim")
        return await super().claim(key, owner) if fault is None else fault

    async def renew(self, key: str, owner: str) -> bool:
        """As told, else as in memory."""
        fault = await self._fault("renew")
        return await super().renew(key, owner) if fault is None else fault

    async def finish(self, key: str, owner: str) -> bool:
        """As told, else as in memory."""
        fault = await self._fault("finish")
        return await super().finish(key, owner) if fault is None else fault

    async def release(self, key: str, owner: str) -> None:
        """As told, else as in memory."""
        await self._fault("release")
        await super().release(key, owner)

    async def wake(self, key: str) -> None:
        """As told, else as in memory."""
        self.woken.append(key)
        await self._fault("wake")


async def gone() -> None:
    """A backend that cannot be reached."""
    raise BackendError("no backend")


async def broken() -> None:
    """A backend that breaks its contract: it raises what no backend may."""
    raise KeyError("a secret of its own")


async def giving_up() -> None:
    """A backend whose own time limits come out as cancellations."""
    raise asyncio.CancelledError


def not_async() -> bool:
    """A backend whose answer cannot be awaited."""
    return True


async def hanging() -> None:
    """A backend that never answers."""
    await asyncio.Event().wait()


async def no() -> bool:
    """A backend that denies."""
    return False


async def yes() -> bool:
    """A backend that does as it is asked."""
    return True


async def mine() -> Claim:
    """A backend that gives the claim to whoever asks."""
    return Claim.MINE


class Shop:
    """A handler that counts, waits until told, and fails when told."""

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
        assert self.running == 1, "the handler runs beside itself"
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
    """A handler that swallows its cancellation and goes on."""

    def __init__(self) -> None:
        self.started = 0
        self.go = asyncio.Event()

    async def __call__(self, order: Order) -> None:
        """Go on until told, whatever happens."""
        self.started += 1
        while not self.go.is_set():
            try:
                await self.go.wait()
            except asyncio.CancelledError:
                continue


async def begin(guard: OnceGuard, handler: Any, wait_timeout: float | None = 10) -> asyncio.Task[bool]:
    """A run that has gone as far as it can."""
    run = asyncio.create_task(guard.run(ORDER, handler, wait_timeout=wait_timeout))
    for _ in range(10):
        await asyncio.sleep(0)
    return run
