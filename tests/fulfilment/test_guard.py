"""The once-guard runs a handler at least once, never twice at the same time, never after a recorded success."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from omipay_async.errors import BackendError
from omipay_async.fulfilment import guard as guard_module
from omipay_async.fulfilment.backends import Claim
from omipay_async.fulfilment.guard import OnceGuard
from omipay_async.fulfilment.runs import StillRunning
from omipay_async.testing import ManualClock
from tests.support.fulfilment_doubles import KEY, ORDER, FaultyBackend, Shop, begin

if TYPE_CHECKING:
    from omipay_async.fulfilment.backends import Backend
    from omipay_async.models import Order


# -- once -----------------------------------------------------------------------------------------------------------


async def test_a_success_is_recorded_and_never_repeated(guard: OnceGuard, elsewhere: OnceGuard, shop: Shop) -> None:
    """A second delivery finds the order fulfilled, in this process and in others."""
    shop.go.set()
    assert await guard.run(ORDER, shop, wait_timeout=10) is True
    assert await guard.run(ORDER, shop, wait_timeout=10) is False
    assert await elsewhere.run(ORDER, shop, wait_timeout=0) is False
    assert shop.started == 1


async def test_a_failure_is_raised_and_the_next_delivery_runs_the_handler_again(
    guard: OnceGuard, elsewhere: OnceGuard, shop: Shop
) -> None:
    """A handler that raised has not fulfilled the order: its exception is raised, and the order is free."""
    shop.go.set()
    shop.fail = [ValueError("no stock")]
    with pytest.raises(ValueError, match="no stock"):
        await guard.run(ORDER, shop, wait_timeout=10)
    assert await elsewhere.run(ORDER, shop, wait_timeout=0) is True
    assert shop.started == 2


async def test_concurrent_duplicates_share_one_run(guard: OnceGuard, shop: Shop, clock: ManualClock) -> None:
    """Of three callers at the same time one runs the handler and gets True."""
    runs = [await begin(guard, shop) for _ in range(3)]
    await clock.advance(1)
    shop.go.set()
    assert sorted(await asyncio.gather(*runs)) == [False, False, True]
    assert shop.started == 1


async def test_callers_at_the_same_time_share_the_answer_that_another_process_has_succeeded(
    guard: OnceGuard, elsewhere: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock
) -> None:
    """The backend is asked once for all of them."""
    shop.go.set()
    await elsewhere.run(ORDER, shop, wait_timeout=0)
    backend.requests.clear()
    backend.faults["claim"] = 1.0
    runs = [await begin(guard, shop) for _ in range(3)]
    await clock.advance(5)
    assert await asyncio.gather(*runs) == [False] * 3
    assert backend.requests == ["claim"]


async def test_a_caller_that_waited_runs_the_handler_after_a_failure(
    guard: OnceGuard, shop: Shop, clock: ManualClock
) -> None:
    """The first caller gets the failure, one of the others runs the handler again, and the third shares its success."""
    shop.fail = [ValueError("once")]
    runs = [await begin(guard, shop) for _ in range(3)]
    await clock.advance(1)
    shop.go.set()
    first, second, third = await asyncio.gather(*runs, return_exceptions=True)
    assert isinstance(first, ValueError)
    assert sorted([second, third], key=bool) == [False, True]
    assert shop.started == 2


async def test_wait_timeout_limits_the_wait_and_not_the_handler(
    guard: OnceGuard, shop: Shop, clock: ManualClock
) -> None:
    """A second caller gets StillRunning after its time; the first one waits for the handler as long as it takes."""
    first, second = await begin(guard, shop, wait_timeout=1), await begin(guard, shop, wait_timeout=5)
    await clock.advance(4.9)
    assert not second.done()
    await clock.advance(0.1)
    with pytest.raises(StillRunning):
        await second
    await clock.advance(1000)
    shop.go.set()
    assert await first is True


async def test_a_caller_may_wait_not_at_all_or_without_a_limit(
    guard: OnceGuard, shop: Shop, clock: ManualClock
) -> None:
    """A ``wait_timeout`` of 0 does not wait, None waits for ever."""
    first, without_wait, without_limit = [await begin(guard, shop, wait_timeout) for wait_timeout in (0, 0, None)]
    with pytest.raises(StillRunning):
        await without_wait
    await clock.advance(3600)
    assert not without_limit.done()
    shop.go.set()
    assert (await first, await without_limit) == (True, False)


async def test_the_same_number_of_another_merchant_is_another_order(
    guard: OnceGuard, backend: Backend, shop: Shop, clock: ManualClock
) -> None:
    """Its handler may run at the same time, although both merchants share a backend."""
    first = await begin(guard, shop)
    other = mock.AsyncMock()
    assert await OnceGuard(backend, clock, "999999").run(ORDER, other, wait_timeout=0) is True
    other.assert_awaited_once_with(ORDER)
    shop.go.set()
    assert await first is True


async def test_only_so_many_callers_wait_for_one_handler(
    guard: OnceGuard, shop: Shop, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more is refused at once; callers without a time limit, which are the shop's own, are not counted."""
    monkeypatch.setattr(guard_module, "_MOST_WAITING", 2)
    first, *others = [await begin(guard, shop) for _ in range(3)]
    sweep = await begin(guard, shop, wait_timeout=None)
    with pytest.raises(StillRunning):
        await asyncio.wait_for(await begin(guard, shop), 10)
    others.pop().cancel()
    sweep.cancel()
    await clock.advance(0)
    others.append(await begin(guard, shop))
    with pytest.raises(StillRunning):
        await asyncio.wait_for(await begin(guard, shop), 10)  # one place was free, and no more
    shop.go.set()
    assert await asyncio.gather(first, *others) == [True, False, False]


# -- other processes ------------------------------------------------------------------------------------------------


async def test_another_process_claims_again_with_growing_pauses(
    guard: OnceGuard, elsewhere: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock
) -> None:
    """It learns of the success within a second, and claims less than twenty times in eight seconds."""
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
    """It gets StillRunning then; a caller without a limit goes on waiting."""
    first = await begin(guard, shop)
    second = await begin(elsewhere, shop, wait_timeout=3)
    without_limit = await begin(elsewhere, shop, wait_timeout=None)
    await clock.advance(3)
    with pytest.raises(StillRunning):
        await second
    assert not without_limit.done()
    shop.go.set()
    assert await first is True
    await clock.advance(1)
    assert await without_limit is False


async def test_the_order_of_a_process_that_died_is_free_after_its_lease(
    guard: OnceGuard, backend: Backend, clock: ManualClock
) -> None:
    """Then the next process runs the handler."""
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
    """It is renewed every ten seconds, for as long as the handler takes."""
    first = await begin(guard, shop)
    await clock.advance(3600)
    with pytest.raises(StillRunning):
        await elsewhere.run(ORDER, shop, wait_timeout=0)
    assert backend.requests.count("renew") == 360
    shop.go.set()
    assert await first is True
    assert shop.started == 1


async def test_a_process_that_stood_still_for_longer_than_its_lease_goes_on_if_no_other_has_claimed(
    guard: OnceGuard, shop: Shop, backend: FaultyBackend, clock: ManualClock
) -> None:
    """Its first renewal afterwards succeeds, so the handler may end."""
    first = await begin(guard, shop)
    clock._now += 100  # time passed, and nothing ran
    await clock.advance(1)
    shop.go.set()
    assert await first is True
    assert shop.ended == ["done"]


async def test_a_process_that_stood_still_stops_its_handler_if_another_has_claimed(
    guard: OnceGuard, shop: Shop, backend: FaultyBackend, clock: ManualClock
) -> None:
    """The other process keeps the order; this caller gets an error."""
    first = await begin(guard, shop)
    clock._now += 100
    assert await backend.claim(KEY, "successor") is Claim.MINE
    await clock.advance(0)
    with pytest.raises(BackendError, match=r"^order TR1: the claim was lost"):
        await first
    assert shop.ended == ["cancelled"]
    assert await backend.finish(KEY, "successor")


class SleepsAfterClaim(FaultyBackend):
    """A machine that sleeps for an hour once its first claim is answered; its monotonic clock stands still."""

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
    """By the wall clock the lease has ended, and another process has fulfilled the order meanwhile."""
    guard = OnceGuard(SleepsAfterClaim(clock, ManualClock()), clock, "123456")
    handler = mock.AsyncMock()
    with pytest.raises(BackendError, match=r"^order TR1: its claim ended before the handler could begin"):
        await guard.run(ORDER, handler, wait_timeout=0)
    assert await guard.run(ORDER, handler, wait_timeout=0) is False
    assert not handler.called


async def test_a_machine_that_slept_while_its_handler_ran_logs_a_warning(
    guard: OnceGuard, shop: Shop, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """It names the seconds; the handler goes on, because no other process has claimed the order."""
    run = await begin(guard, shop)
    clock.shift(3600)
    await clock.advance(10)
    assert "TR1" in caplog.text
    assert caplog.records[0].__dict__["omipay_order_no"] == "TR1"
    assert "3610.0 s" in caplog.text
    shop.go.set()
    assert await run is True


# -- drain ----------------------------------------------------------------------------------------------------------


async def test_drain_waits_for_running_handlers(guard: OnceGuard, shop: Shop, clock: ManualClock) -> None:
    """A session that is closed lets its handlers end and record their success."""
    run = await begin(guard, shop)
    closing = asyncio.create_task(guard.drain(60))
    await clock.advance(0)
    await clock.advance(10)
    assert not closing.done()
    shop.go.set()
    await closing
    assert run.done()
    await guard.drain(60)


async def test_drain_waits_no_longer_than_its_timeout(guard: OnceGuard, shop: Shop, clock: ManualClock) -> None:
    """A handler that takes longer goes on."""
    run = await begin(guard, shop)
    closing = asyncio.create_task(guard.drain(60))
    await clock.advance(0)
    await clock.advance(60)
    assert closing.done()
    shop.go.set()
    assert await run is True


async def test_a_handler_may_close_the_session(guard: OnceGuard) -> None:
    """``drain`` does not wait for the handler that calls it."""

    async def closes(order: Order) -> None:
        await guard.drain(60)

    assert await guard.run(ORDER, closes, wait_timeout=10) is True
