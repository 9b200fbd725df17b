"""The once-guard: at least once, never beside itself, never after a recorded success."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from omipay_async.errors import BackendError
from omipay_async.fulfilment import guard as guard_module
from omipay_async.fulfilment.backends import Claim
from omipay_async.fulfilment.guard import OnceGuard, StillRunning
from omipay_async.testing import ManualClock
from tests.support.fulfilment_doubles import KEY, ORDER, FaultyBackend, Shop, begin

if TYPE_CHECKING:
    from omipay_async.fulfilment.backends import Backend
    from omipay_async.models import Order


# -- once -----------------------------------------------------------------------------------------------------------


async def test_a_success_is_recorded_and_never_repeated(guard: OnceGuard, elsewhere: OnceGuard, shop: Shop) -> None:
    """The second delivery finds the order fulfilled, whichever process it reaches."""
    shop.go.set()
    assert await guard.run(ORDER, shop, wait_timeout=10) is True
    assert await guard.run(ORDER, shop, wait_timeout=10) is False
    assert await elsewhere.run(ORDER, shop, wait_timeout=0) is False
    assert shop.started == 1


async def test_a_failure_is_raised_and_the_next_delivery_runs_again(
    guard: OnceGuard, elsewhere: OnceGuard, shop: Shop
) -> None:
    """A handler that raised has not fulfilled anything: its own exception comes out, and the order is free."""
    shop.go.set()
    shop.fail = [ValueError("no stock")]
    with pytest.raises(ValueError, match="no stock"):
        await guard.run(ORDER, shop, wait_timeout=10)
    assert await elsewhere.run(ORDER, shop, wait_timeout=0) is True
    assert shop.started == 2


async def test_concurrent_duplicates_share_one_run(guard: OnceGuard, shop: Shop, clock: ManualClock) -> None:
    """A poll and two notifications that arrive together: one handler, one True."""
    runs = [await begin(guard, shop) for _ in range(3)]
    await clock.advance(1)
    shop.go.set()
    assert sorted(await asyncio.gather(*runs)) == [False, False, True]
    assert shop.started == 1


async def test_a_joiner_takes_the_turn_after_a_failure(guard: OnceGuard, shop: Shop, clock: ManualClock) -> None:
    """The failure is the leader's; who waited with it tries itself, and the third shares that success."""
    shop.fail = [ValueError("once")]
    runs = [await begin(guard, shop) for _ in range(3)]
    await clock.advance(1)
    shop.go.set()
    first, second, third = await asyncio.gather(*runs, return_exceptions=True)
    assert isinstance(first, ValueError)
    assert sorted([second, third], key=bool) == [False, True]
    assert shop.started == 2


async def test_wait_timeout_bounds_the_wait_and_not_the_handler(
    guard: OnceGuard, shop: Shop, clock: ManualClock
) -> None:
    """A duplicate learns that the handler still runs; the handler's own caller waits as long as it takes."""
    leader, joiner = await begin(guard, shop, wait_timeout=1), await begin(guard, shop, wait_timeout=5)
    await clock.advance(4.9)
    assert not joiner.done()
    await clock.advance(0.1)
    with pytest.raises(StillRunning):
        await joiner
    await clock.advance(1000)
    shop.go.set()
    assert await leader is True


async def test_without_a_wait_timeout_nothing_is_waited_for(guard: OnceGuard, shop: Shop, clock: ManualClock) -> None:
    """A ``wait_timeout`` of 0 does not wait, None waits for ever."""
    leader, eager, patient = [await begin(guard, shop, wait_timeout) for wait_timeout in (0, 0, None)]
    with pytest.raises(StillRunning):
        await eager
    await clock.advance(3600)
    assert not patient.done()
    shop.go.set()
    assert (await leader, await patient) == (True, False)


async def test_orders_and_merchants_do_not_stand_in_each_others_way(
    guard: OnceGuard, backend: Backend, shop: Shop, clock: ManualClock
) -> None:
    """The guard is per order of a merchant: the same number of another merchant is another order."""
    first = await begin(guard, shop)
    other = mock.AsyncMock()
    assert await OnceGuard(backend, clock, "999999").run(ORDER, other, wait_timeout=0) is True
    other.assert_awaited_once_with(ORDER)
    shop.go.set()
    assert await first is True


async def test_no_more_than_so_many_callers_wait_for_one_handler(
    guard: OnceGuard, shop: Shop, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Repeats of one delivery are refused at once beyond that; a caller without a time limit is not a stranger."""
    monkeypatch.setattr(guard_module, "_MOST_WAITING", 2)
    leader, *joiners = [await begin(guard, shop) for _ in range(3)]
    one_too_many, sweep = await begin(guard, shop), await begin(guard, shop, wait_timeout=None)
    assert one_too_many.done()
    with pytest.raises(StillRunning):
        await one_too_many
    joiners.pop().cancel()
    sweep.cancel()
    await clock.advance(0)
    joiners.append(await begin(guard, shop))
    shop.go.set()
    assert await asyncio.gather(leader, *joiners) == [True, False, False]


# -- other processes ------------------------------------------------------------------------------------------------


async def test_another_process_waits_for_the_lease_with_growing_pauses(
    guard: OnceGuard, elsewhere: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock
) -> None:
    """It learns of the success within a second, without asking the backend a hundred times."""
    first = await begin(guard, shop)
    second = await begin(elsewhere, shop)
    await clock.advance(8)
    assert 5 < backend.requests.count("claim") < 20
    shop.go.set()
    assert await first is True
    await clock.advance(1)
    assert second.done()
    assert await second is False
    assert shop.started == 1


async def test_another_process_gives_up_when_its_wait_timeout_ends(
    guard: OnceGuard, elsewhere: OnceGuard, shop: Shop, clock: ManualClock
) -> None:
    """The delivery is answered FAIL then, and the gateway delivers again."""
    first = await begin(guard, shop)
    second = await begin(elsewhere, shop, wait_timeout=3)
    patient = await begin(elsewhere, shop, wait_timeout=None)
    await clock.advance(3)
    with pytest.raises(StillRunning):
        await second
    assert not patient.done()
    shop.go.set()
    assert await first is True
    await clock.advance(1)
    assert await patient is False


async def test_the_death_of_an_owner_passes_the_order_on(
    guard: OnceGuard, backend: Backend, clock: ManualClock
) -> None:
    """A process that died inside its handler holds the order for one lease."""
    assert await backend.claim(KEY, "the dead") is Claim.MINE
    handler = mock.AsyncMock()
    run = await begin(guard, handler, wait_timeout=60)
    await clock.advance(29)
    assert not handler.called
    await clock.advance(2)
    assert await run is True


async def test_a_handler_that_is_alive_keeps_its_lease(
    guard: OnceGuard, elsewhere: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock
) -> None:
    """However long it takes: an hour is 120 leases."""
    first = await begin(guard, shop)
    await clock.advance(3600)
    with pytest.raises(StillRunning):
        await elsewhere.run(ORDER, shop, wait_timeout=0)
    assert backend.requests.count("renew") == 360
    shop.go.set()
    assert await first is True
    assert shop.started == 1


async def test_a_process_that_was_stopped_longer_than_its_lease_goes_on_if_nobody_took_over(
    guard: OnceGuard, shop: Shop, backend: FaultyBackend, clock: ManualClock
) -> None:
    """A suspended machine or a blocked loop is no death as long as no other process thinks so."""
    first = await begin(guard, shop)
    clock._now += 100  # time passed, and nothing ran
    await clock.advance(1)
    shop.go.set()
    assert await first is True
    assert shop.ended == ["done"]


async def test_a_process_that_was_stopped_does_not_run_beside_its_successor(
    guard: OnceGuard, shop: Shop, backend: FaultyBackend, clock: ManualClock
) -> None:
    """Who took over meanwhile keeps the order; the sleeper is cancelled and its caller gets an error."""
    first = await begin(guard, shop)
    clock._now += 100
    assert await backend.claim(KEY, "successor") is Claim.MINE
    await clock.advance(0)
    with pytest.raises(BackendError, match="lost"):
        await first
    assert shop.ended == ["cancelled"]
    assert await backend.finish(KEY, "successor")


class SleepsAfterClaim(FaultyBackend):
    """The machine sleeps once the first claim is answered: the lease ends, and the monotonic clock stands still."""

    slept = False

    def __init__(self, clock: ManualClock, elsewhere: ManualClock) -> None:
        super().__init__(elsewhere)
        self.here, self.elsewhere = clock, elsewhere

    async def claim(self, key: str, owner: str) -> Claim:
        """As in memory; the first owner sleeps for an hour, in which another process fulfils the order."""
        claim = await super().claim(key, owner)
        if not self.slept:
            self.slept = True
            self.here.shift(3600)
            await self.elsewhere.advance(3600)
            other = OnceGuard(self, self.elsewhere, "123456")
            assert await other.run(ORDER, mock.AsyncMock(), wait_timeout=0) is True
        return claim


async def test_a_machine_that_slept_between_its_claim_and_its_handler_does_not_run_it(clock: ManualClock) -> None:
    """The lease is over by the wall clock, and what another process did meanwhile is not done again."""
    guard = OnceGuard(SleepsAfterClaim(clock, ManualClock()), clock, "123456")
    handler = mock.AsyncMock()
    with pytest.raises(BackendError, match="ended before the handler could begin"):
        await guard.run(ORDER, handler, wait_timeout=0)
    assert await guard.run(ORDER, handler, wait_timeout=0) is False
    assert not handler.called


async def test_a_machine_that_slept_in_the_middle_of_its_handler_says_so(
    guard: OnceGuard, shop: Shop, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A WARNING names the seconds; the handler goes on, because nobody took the order meanwhile."""
    run = await begin(guard, shop)
    clock.shift(3600)
    await clock.advance(10)
    assert "TR1" in caplog.text
    assert "3610.0 s" in caplog.text
    shop.go.set()
    assert await run is True


# -- drain ----------------------------------------------------------------------------------------------------------


async def test_drain_waits_for_running_handlers(guard: OnceGuard, shop: Shop, clock: ManualClock) -> None:
    """Closing a session lets handlers end and record their success."""
    run = await begin(guard, shop)
    closing = asyncio.create_task(guard.drain(60))
    await clock.advance(0)
    await clock.advance(10)
    assert not closing.done()
    shop.go.set()
    await closing
    assert run.done()
    await guard.drain(60)


async def test_drain_is_bounded(guard: OnceGuard, shop: Shop, clock: ManualClock) -> None:
    """A handler that takes longer is left to go on."""
    run = await begin(guard, shop)
    closing = asyncio.create_task(guard.drain(60))
    await clock.advance(0)
    await clock.advance(60)
    assert closing.done()
    shop.go.set()
    assert await run is True


async def test_a_handler_may_close_the_session(guard: OnceGuard) -> None:
    """``drain`` does not wait for the handler that called it."""

    async def closes(order: Order) -> None:
        await guard.drain(60)

    assert await guard.run(ORDER, closes, wait_timeout=10) is True
