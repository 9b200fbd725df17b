"""The once-guard when answers of the backend are lost: this session can go on at once, and no other session can."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from omipay_async.clock import SystemClock
from omipay_async.errors import BackendError
from omipay_async.fulfilment import leases
from omipay_async.fulfilment.backends import Claim
from omipay_async.fulfilment.guard import OnceGuard
from omipay_async.fulfilment.leases import Unsettled
from omipay_async.fulfilment.memory import MemoryBackend
from omipay_async.fulfilment.runs import StillRunning, running_key
from omipay_async.models import Order
from tests.support.fulfilment_doubles import KEY, ORDER, Shop, begin
from tests.support.untyped import untyped

if TYPE_CHECKING:
    from collections.abc import Callable

    from omipay_async.testing import ManualClock


class LateBackend(MemoryBackend):
    """Carries out each request. It does not answer the methods in ``lost``, and carries out those in ``late`` later."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(lease=30, clock=clock)
        self.lost: list[str] = []
        self.late: list[str] = []
        self.stalled: list[Callable[[], Any]] = []

    async def _answer(self, method: str, do: Callable[[], Any]) -> Any:
        if method in self.late:
            self.late.remove(method)
            self.stalled.append(do)
            raise BackendError("stalled")
        answer = await do()
        if method in self.lost:
            self.lost.remove(method)
            raise BackendError("no answer")
        return answer

    async def claim(self, key: str, owner: str) -> Claim:
        """As in memory, if the answer arrives."""
        ask = super().claim
        answer: Claim = await self._answer("claim", lambda: ask(key, owner))
        return answer

    async def renew(self, key: str, owner: str) -> bool:
        """As in memory, if the answer arrives."""
        ask = super().renew
        return bool(await self._answer("renew", lambda: ask(key, owner)))

    async def finish(self, key: str, owner: str) -> bool:
        """As in memory, if the answer arrives."""
        ask = super().finish
        return bool(await self._answer("finish", lambda: ask(key, owner)))

    async def release(self, key: str, owner: str) -> None:
        """As in memory, if the answer arrives."""
        ask = super().release
        await self._answer("release", lambda: ask(key, owner))

    async def catch_up(self) -> None:
        """Carry out the requests that are late."""
        while self.stalled:
            await self.stalled.pop(0)()


@pytest.fixture
def backend(clock: ManualClock) -> LateBackend:
    return LateBackend(clock)


@pytest.fixture
def shop() -> Shop:
    shop = Shop()
    shop.go.set()
    return shop


@pytest.mark.parametrize("when", ["lost", "late"])
async def test_after_a_claim_whose_answer_was_lost_the_same_session_may_run_at_once(
    guard: OnceGuard, elsewhere: OnceGuard, backend: LateBackend, shop: Shop, when: str
) -> None:
    """That holds whether the claim was carried out then or later; other sessions wait for the end of the lease."""
    getattr(backend, when).append("claim")
    with pytest.raises(BackendError):
        await guard.run(ORDER, shop, wait_timeout=0)
    await backend.catch_up()
    with pytest.raises(StillRunning):
        await elsewhere.run(ORDER, shop, wait_timeout=0)
    assert await guard.run(ORDER, shop, wait_timeout=0) is True
    assert shop.started == 1


@pytest.mark.parametrize("when", ["lost", "late"])
async def test_after_a_release_whose_answer_was_lost_the_same_session_may_run_at_once(
    guard: OnceGuard, elsewhere: OnceGuard, backend: LateBackend, shop: Shop, when: str
) -> None:
    """If the release is carried out while that handler runs, no other session gets the order."""
    getattr(backend, when).append("release")
    shop.fail = [ValueError("no stock")]
    with pytest.raises(ValueError, match="no stock"):
        await guard.run(ORDER, shop, wait_timeout=0)
    shop.go.clear()
    run = await begin(guard, shop, wait_timeout=0)
    await backend.catch_up()
    with pytest.raises(StillRunning):
        await elsewhere.run(ORDER, shop, wait_timeout=0)
    shop.go.set()
    assert await run is True


async def test_after_a_renewal_that_was_carried_out_late_the_same_session_may_run_at_once(
    guard: OnceGuard, backend: LateBackend, shop: Shop, clock: ManualClock
) -> None:
    """The renewal took the order for a run that has ended: the next run of this session releases it."""
    backend.late = ["renew"] * 20
    shop.go.clear()
    run = await begin(guard, shop)
    await clock.advance(30)
    with pytest.raises(BackendError, match="lost"):
        await run
    backend.late.clear()
    await backend.catch_up()
    shop.go.set()
    assert await guard.run(ORDER, shop, wait_timeout=0) is True


async def test_an_owner_whose_claim_is_carried_out_again_is_released_again(
    guard: OnceGuard, backend: LateBackend, shop: Shop
) -> None:
    """A claim that was released may be made once more by a request that is carried out late."""
    backend.late = ["claim"]
    with pytest.raises(BackendError):
        await guard.run(ORDER, shop, wait_timeout=0)
    shop.fail = [ValueError("no stock")]
    with pytest.raises(ValueError, match="no stock"):
        await guard.run(ORDER, shop, wait_timeout=0)
    await backend.catch_up()
    assert await guard.run(ORDER, shop, wait_timeout=0) is True


@pytest.mark.parametrize("when", ["lost", "late"])
async def test_a_success_whose_record_was_not_answered_is_recorded_at_the_next_delivery(
    guard: OnceGuard, backend: LateBackend, shop: Shop, when: str
) -> None:
    """The handler does not run again, here or elsewhere."""
    getattr(backend, when).append("finish")
    with pytest.raises(BackendError):
        await guard.run(ORDER, shop, wait_timeout=0)
    assert await guard.run(ORDER, shop, wait_timeout=0) is False
    await backend.catch_up()
    assert await backend.claim(KEY, "anybody") is Claim.DONE
    assert shop.started == 1


async def test_nothing_is_remembered_of_an_order_that_another_process_has_fulfilled(
    guard: OnceGuard, elsewhere: OnceGuard, backend: LateBackend, shop: Shop
) -> None:
    """The claim that was not answered does not matter any more."""
    backend.late = ["claim"]
    with pytest.raises(BackendError):
        await guard.run(ORDER, shop, wait_timeout=0)
    assert await elsewhere.run(ORDER, shop, wait_timeout=0) is True
    assert await guard.run(ORDER, shop, wait_timeout=0) is False
    assert len(guard._unsettled) == 0


def test_only_so_many_unanswered_owners_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest owners of an order, and the oldest orders, are forgotten first."""
    monkeypatch.setattr(leases, "_MOST_KEYS", 3)
    monkeypatch.setattr(leases, "_MOST_OWNERS", 2)
    unsettled = Unsettled()
    for key in "abcd":
        for owner in "123":
            assert unsettled.add_owner(key, owner)
            assert not unsettled.add_owner(key, owner)
    assert [unsettled.owners(key) for key in "abcd"] == [(), ("2", "3"), ("2", "3"), ("2", "3")]
    unsettled.remove_owner("b", "2")
    unsettled.remove_owner("b", "3")
    unsettled.remove_owner("a", "1")
    assert len(unsettled) == 2


@pytest.mark.parametrize("number", ["tr1", "Tr1", "TR1"])
async def test_an_order_is_one_however_its_number_is_spelt(guard: OnceGuard, shop: Shop, number: str) -> None:
    """A gateway that ignores case confirms each spelling, but the handler runs once."""
    assert await guard.run(ORDER, shop, wait_timeout=0) is True
    spelt = Order(order_no=number, status="PAID", out_order_no="A-1", currency="AUD", amount=450)
    assert await guard.run(spelt, shop, wait_timeout=0) is False


# -- handlers that block the event loop -------------------------------------------------------------------------------


@pytest.mark.parametrize("then", ["ends", "goes on"])
async def test_a_handler_that_blocks_the_loop_for_longer_than_its_lease_is_logged(
    caplog: pytest.LogCaptureFixture, then: str
) -> None:
    """A WARNING names the order and the seconds, whether the handler has ended by then or goes on."""
    guard = OnceGuard(MemoryBackend(lease=0.05), SystemClock(), "123456")

    async def blocking(order: Order) -> None:
        await asyncio.sleep(0)
        time.sleep(0.12)  # blocks on purpose
        if then == "goes on":
            await asyncio.sleep(0.02)

    assert await guard.run(ORDER, blocking, wait_timeout=0) is True
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    message = record.getMessage()
    assert "TR1" in message
    assert "asyncio.to_thread" in message
    assert any(f" 0.{tenths} s " in message for tenths in range(1, 10))


# -- task factories, keys --------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="asyncio starts tasks eagerly from 3.12 on")
async def test_with_eager_tasks_a_handler_that_asks_for_its_own_order_gets_an_error(
    guard: OnceGuard, shop: Shop
) -> None:
    """The error comes at once, and other handlers run as with ordinary tasks."""
    asyncio.get_running_loop().set_task_factory(untyped(asyncio).eager_task_factory)  # from 3.12

    async def fulfil(order: Order) -> None:
        await guard.run(order, fulfil, wait_timeout=None)

    async with asyncio.timeout(60):
        with pytest.raises(BackendError, match="its own handler"):
            await guard.run(ORDER, fulfil, wait_timeout=None)
    assert await asyncio.gather(*(guard.run(ORDER, shop, wait_timeout=1) for _ in range(3))) == [True, False, False]


async def test_running_key_names_the_order_whose_handler_runs(guard: OnceGuard) -> None:
    """Backends that record a success in the handler's own transaction need it."""
    keys = [running_key()]

    async def handler(order: Order) -> None:
        keys.append(running_key())

    assert await guard.run(ORDER, handler, wait_timeout=0) is True
    assert keys == [None, KEY]
