"""The once-guard: at least once, never beside itself, never after a recorded success."""

from __future__ import annotations

import asyncio
import functools
import gc
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from omipay_async import fulfilment
from omipay_async.backends import Claim, MemoryBackend
from omipay_async.codes import OrderStatus
from omipay_async.errors import BackendError, InvalidRequest
from omipay_async.fulfilment import OnceGuard, StillRunning, checked_handler
from omipay_async.models import Order
from omipay_async.signing import SystemClock
from omipay_async.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from omipay_async.backends import Backend
    from omipay_async.signing import Clock

ORDER = Order(order_no="TR1", status=OrderStatus.PAID, out_order_no="A-1", currency="AUD", amount=450)
KEY = "123456:TR1"


class FaultyBackend(MemoryBackend):
    """A backend in memory whose methods fail, lie or hang when told: ``faults[method]`` is asked first."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(lease=30, clock=clock)
        self.faults: dict[str, Callable[[], Any]] = {}
        self.asked: list[str] = []

    async def _fault(self, method: str) -> Any:
        self.asked.append(method)
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


async def gone() -> None:
    """A backend that cannot be reached."""
    raise BackendError("no backend")


async def hanging() -> None:
    """A backend that never answers."""
    await asyncio.Event().wait()


async def no() -> bool:
    """A backend that denies."""
    return False


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


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def backend(clock: ManualClock) -> FaultyBackend:
    return FaultyBackend(clock)


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def guard(backend: Backend, clock: ManualClock) -> OnceGuard:
    return OnceGuard(backend, clock, "123456")


@pytest.fixture
def elsewhere(backend: Backend, clock: ManualClock) -> OnceGuard:
    """The guard of another process with the same backend."""
    return OnceGuard(backend, clock, "123456")


async def begin(guard: OnceGuard, handler: Any, patience: float | None = 10) -> asyncio.Task[bool]:
    """A run that has gone as far as it can."""
    run = asyncio.create_task(guard.run(ORDER, handler, patience=patience))
    for _ in range(10):
        await asyncio.sleep(0)
    return run


# -- once -----------------------------------------------------------------------------------------------------------


async def test_a_success_is_recorded_and_never_repeated(guard: OnceGuard, elsewhere: OnceGuard, shop: Shop) -> None:
    """The second delivery finds the order fulfilled, whichever process it reaches."""
    shop.go.set()
    assert await guard.run(ORDER, shop, patience=10) is True
    assert await guard.run(ORDER, shop, patience=10) is False
    assert await elsewhere.run(ORDER, shop, patience=0) is False
    assert shop.started == 1


async def test_a_failure_is_raised_and_the_next_delivery_runs_again(
    guard: OnceGuard, elsewhere: OnceGuard, shop: Shop
) -> None:
    """A handler that raised has not fulfilled anything: its own exception comes out, and the order is free."""
    shop.go.set()
    shop.fail = [ValueError("no stock")]
    with pytest.raises(ValueError, match="no stock"):
        await guard.run(ORDER, shop, patience=10)
    assert await elsewhere.run(ORDER, shop, patience=0) is True
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


async def test_patience_bounds_the_wait_and_not_the_handler(guard: OnceGuard, shop: Shop, clock: ManualClock) -> None:
    """A duplicate is told that the handler still runs; the handler's own caller waits as long as it takes."""
    leader, joiner = await begin(guard, shop, patience=1), await begin(guard, shop, patience=5)
    await clock.advance(4.9)
    assert not joiner.done()
    await clock.advance(0.1)
    with pytest.raises(StillRunning):
        await joiner
    await clock.advance(1000)
    shop.go.set()
    assert await leader is True


async def test_without_patience_nothing_is_waited_for(guard: OnceGuard, shop: Shop, clock: ManualClock) -> None:
    """Patience 0 asks once, patience None for ever."""
    leader, eager, calm = [await begin(guard, shop, patience) for patience in (0, 0, None)]
    with pytest.raises(StillRunning):
        await eager
    await clock.advance(100_000)
    assert not calm.done()
    shop.go.set()
    assert (await leader, await calm) == (True, False)


async def test_orders_and_merchants_do_not_stand_in_each_others_way(
    guard: OnceGuard, backend: Backend, shop: Shop, clock: ManualClock
) -> None:
    """The guard is per order of a merchant: the same number of another merchant is another order."""
    first = await begin(guard, shop)
    other = mock.AsyncMock()
    assert await OnceGuard(backend, clock, "999999").run(ORDER, other, patience=0) is True
    other.assert_awaited_once_with(ORDER)
    shop.go.set()
    assert await first is True


# -- other processes ------------------------------------------------------------------------------------------------


async def test_another_process_waits_for_the_lease_with_growing_pauses(
    guard: OnceGuard, elsewhere: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock
) -> None:
    """It learns of the success within a second, without asking the backend a hundred times."""
    first = await begin(guard, shop)
    second = await begin(elsewhere, shop)
    await clock.advance(8)
    assert 5 < backend.asked.count("claim") < 20
    shop.go.set()
    assert await first is True
    await clock.advance(1)
    assert second.done()
    assert await second is False
    assert shop.started == 1


async def test_another_process_gives_up_when_its_patience_ends(
    guard: OnceGuard, elsewhere: OnceGuard, shop: Shop, clock: ManualClock
) -> None:
    """To be told FAIL is right: the gateway delivers again."""
    first = await begin(guard, shop)
    second = await begin(elsewhere, shop, patience=3)
    patient = await begin(elsewhere, shop, patience=None)
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
    run = await begin(guard, handler, patience=60)
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
        await elsewhere.run(ORDER, shop, patience=0)
    assert backend.asked.count("renew") == 360
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
    """Who took over meanwhile keeps the order; the sleeper is cancelled and its caller told."""
    first = await begin(guard, shop)
    clock._now += 100
    assert await backend.claim(KEY, "successor") is Claim.MINE
    await clock.advance(0)
    with pytest.raises(BackendError, match="lost"):
        await first
    assert shop.ended == ["cancelled"]
    assert await backend.finish(KEY, "successor")


# -- a backend that fails -------------------------------------------------------------------------------------------


async def test_without_a_claim_no_handler_runs(guard: OnceGuard, backend: FaultyBackend, shop: Shop) -> None:
    """Backend gone: BackendError, and nothing was run."""
    backend.faults["claim"] = gone
    with pytest.raises(BackendError):
        await guard.run(ORDER, shop, patience=10)
    assert shop.started == 0


async def test_a_backend_that_hangs_is_given_a_third_of_the_lease(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock
) -> None:
    """A silent backend is a failed one, not a wait without end."""
    backend.faults["claim"] = hanging
    run = await begin(guard, shop)
    await clock.advance(9.9)
    assert not run.done()
    await clock.advance(0.1)
    with pytest.raises(BackendError, match="in time"):
        await run
    assert shop.started == 0


@pytest.mark.parametrize("fault", [gone, hanging])
async def test_a_passing_failure_to_renew_is_ridden_out(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock, fault: Any
) -> None:
    """A backend that comes back before the lease lapses has interrupted nothing."""
    backend.faults["renew"] = fault
    run = await begin(guard, shop)
    await clock.advance(24)
    backend.faults.clear()
    await clock.advance(100)
    shop.go.set()
    assert await run is True
    assert shop.ended == ["done"]


@pytest.mark.parametrize("fault", [gone, hanging])
async def test_a_lease_that_can_no_longer_be_proven_stops_the_handler(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock, fault: Any
) -> None:
    """When the lease may have lapsed another may run: this one is cancelled by then, and not a moment later."""
    backend.faults["renew"] = fault
    run = await begin(guard, shop)
    await clock.advance(29.9)
    assert not run.done()
    await clock.advance(0.1)
    with pytest.raises(BackendError, match="may run again"):
        await run
    assert shop.ended == ["cancelled"]


async def test_a_lease_that_was_taken_stops_the_handler(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock
) -> None:
    """``renew`` says False: cancelled at once, and the new owner's claim stays untouched."""
    backend.faults["renew"] = no
    run = await begin(guard, shop)
    await clock.advance(10)
    with pytest.raises(BackendError):
        await run
    assert shop.ended == ["cancelled"]
    assert "release" not in backend.asked


async def test_a_success_whose_record_failed_is_recorded_at_the_next_delivery(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop
) -> None:
    """The caller is not told of a success that nobody else knows of; the handler is not run again for it here."""
    shop.go.set()
    backend.faults["finish"] = gone
    with pytest.raises(BackendError):
        await guard.run(ORDER, shop, patience=10)
    with pytest.raises(BackendError):
        await guard.run(ORDER, shop, patience=10)
    backend.faults.clear()
    assert await guard.run(ORDER, shop, patience=10) is False
    assert await backend.claim(KEY, "anybody") is Claim.DONE
    assert shop.started == 1


async def test_another_process_runs_again_what_was_not_recorded(
    guard: OnceGuard, elsewhere: OnceGuard, backend: FaultyBackend, shop: Shop
) -> None:
    """At least once: a success that was not recorded did not happen for the others."""
    shop.go.set()
    backend.faults["finish"] = gone
    with pytest.raises(BackendError):
        await guard.run(ORDER, shop, patience=10)
    backend.faults.clear()
    assert await elsewhere.run(ORDER, shop, patience=10) is True
    assert shop.started == 2
    assert await guard.run(ORDER, shop, patience=10) is False


async def test_the_memory_of_unrecorded_successes_is_bounded(
    backend: FaultyBackend, guard: OnceGuard, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backend that is away for days does not fill the memory."""
    monkeypatch.setattr(fulfilment, "_MOST_UNRECORDED", 2)
    backend.faults["finish"] = gone
    for number in range(5):
        order = Order(order_no=f"TR{number}", status="PAID", out_order_no=None, currency="AUD", amount=1)
        with pytest.raises(BackendError):
            await guard.run(order, mock.AsyncMock(), patience=10)
    assert list(guard._unrecorded) == ["123456:TR3", "123456:TR4"]


async def test_a_record_that_is_denied_is_no_success(guard: OnceGuard, backend: FaultyBackend, shop: Shop) -> None:
    """Another owner's lease holds when the handler ends: BackendError, not True."""
    shop.go.set()
    backend.faults["finish"] = no
    with pytest.raises(BackendError, match="lost"):
        await guard.run(ORDER, shop, patience=10)


@pytest.mark.parametrize("fault", [gone, hanging])
async def test_a_failed_release_hides_nothing(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock, fault: Any
) -> None:
    """The handler's own exception comes out; the claim lapses by itself."""
    shop.go.set()
    shop.fail = [ValueError("no stock")]
    backend.faults["release"] = fault
    run = await begin(guard, shop)
    await clock.advance(10)
    with pytest.raises(ValueError, match="no stock"):
        await run
    await clock.advance(20)
    assert await guard.run(ORDER, shop, patience=0) is True


async def test_a_backend_that_breaks_its_contract_does_not_leave_the_handler_running(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock
) -> None:
    """An exception that no backend may raise comes out as it is, after the handler was stopped."""

    async def broken() -> None:
        raise KeyError("renew")

    backend.faults["renew"] = broken
    run = await begin(guard, shop)
    await clock.advance(10)
    with pytest.raises(KeyError):
        await run
    assert shop.ended == ["cancelled"]


# -- cancellation ---------------------------------------------------------------------------------------------------


async def test_cancelling_the_caller_cancels_its_handler_and_frees_the_order(
    guard: OnceGuard, elsewhere: OnceGuard, shop: Shop, clock: ManualClock
) -> None:
    """When ``run`` has raised CancelledError the handler has ended and the next may run."""
    run = await begin(guard, shop)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert shop.ended == ["cancelled"]
    shop.go.set()
    assert await elsewhere.run(ORDER, shop, patience=0) is True


async def test_a_joiner_takes_over_from_a_cancelled_leader(guard: OnceGuard, shop: Shop, clock: ManualClock) -> None:
    """The first delivery's connection broke; the second, waiting already, carries on."""
    leader, joiner = await begin(guard, shop), await begin(guard, shop)
    leader.cancel()
    await clock.advance(0)
    assert leader.cancelled()
    shop.go.set()
    assert await joiner is True
    assert shop.started == 2


async def test_cancelling_a_joiner_leaves_the_handler_alone(guard: OnceGuard, shop: Shop, clock: ManualClock) -> None:
    """Who only waits takes nothing with it."""
    leader, joiner = await begin(guard, shop), await begin(guard, shop)
    joiner.cancel()
    await clock.advance(0)
    assert joiner.cancelled()
    shop.go.set()
    assert await leader is True


async def test_a_caller_cancelled_before_its_claim_is_answered_frees_what_it_claimed(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock
) -> None:
    """The answer that comes too late is given back, and no handler runs."""
    answer = asyncio.Event()

    async def late() -> None:
        await answer.wait()

    backend.faults["claim"] = late
    run = await begin(guard, shop)
    run.cancel()
    await clock.advance(0)
    answer.set()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert backend.asked == ["claim", "release"]
    assert shop.started == 0


async def test_a_caller_cancelled_while_another_process_runs_stops_asking(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock
) -> None:
    """No claim is made for somebody who is gone."""
    await backend.claim(KEY, "other process")
    run = await begin(guard, shop)
    await clock.advance(0.3)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    asked = len(backend.asked)
    await clock.advance(100)
    assert len(backend.asked) == asked


async def test_a_timeout_around_the_call_works_as_everywhere(guard: OnceGuard, shop: Shop) -> None:
    """``asyncio.timeout`` sees its own cancellation again: nothing swallowed it."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await guard.run(ORDER, shop, patience=None)
    assert shop.ended == ["cancelled"]


async def test_impatient_cancellation_changes_nothing(guard: OnceGuard, clock: ManualClock) -> None:
    """Cancelled twice, the caller still leaves only after its handler has cleaned up."""
    cleaning = asyncio.Event()
    cleaned = []

    async def tidy(order: Order) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await cleaning.wait()
            cleaned.append(order)

    run = await begin(guard, tidy)
    for _ in range(3):
        run.cancel()
        await clock.advance(0)
    assert not run.done()
    cleaning.set()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert cleaned == [ORDER]


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


@pytest.fixture
async def stubborn() -> AsyncIterator[Stubborn]:
    handler = Stubborn()
    yield handler
    handler.go.set()


async def test_a_handler_that_refuses_to_stop_does_not_hold_its_cancelled_caller(
    guard: OnceGuard, elsewhere: OnceGuard, stubborn: Stubborn, clock: ManualClock
) -> None:
    """The caller leaves after a grace; the handler, still alive, keeps its lease, and its success counts."""
    run = await begin(guard, stubborn)
    run.cancel()
    await clock.advance(0)
    await clock.advance(5)
    assert run.cancelled()
    await clock.advance(100)
    with pytest.raises(StillRunning):
        await guard.run(ORDER, stubborn, patience=0)
    with pytest.raises(StillRunning):
        await elsewhere.run(ORDER, stubborn, patience=0)
    stubborn.go.set()
    assert await guard.run(ORDER, stubborn, patience=1) is False
    assert stubborn.started == 1


async def test_a_handler_that_refuses_to_stop_does_not_hide_its_lost_lease(
    guard: OnceGuard, backend: FaultyBackend, stubborn: Stubborn, clock: ManualClock
) -> None:
    """The caller learns after a grace that the claim was lost; here, no second run starts beside the first."""
    backend.faults["renew"] = no
    run = await begin(guard, stubborn)
    await clock.advance(15)
    with pytest.raises(BackendError, match="lost"):
        await run
    with pytest.raises(StillRunning):
        await guard.run(ORDER, stubborn, patience=0)
    stubborn.go.set()
    await guard.drain(1)
    assert stubborn.started == 1


async def test_a_handler_cancelled_from_within_is_a_failure_like_any_other(guard: OnceGuard) -> None:
    """Its CancelledError is not the caller's: a sweep over many orders goes on."""

    async def cancels_itself(order: Order) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="cancelled from within"):
        await guard.run(ORDER, cancels_itself, patience=10)


async def test_a_failure_after_the_caller_left_is_not_reported_as_forgotten(
    guard: OnceGuard, clock: ManualClock, shop: Shop
) -> None:
    """asyncio's "exception was never retrieved" would print what nobody can act on."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    async def fails_when_cancelled(order: Order) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("rollback failed") from None

    run = await begin(guard, fails_when_cancelled)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    del run
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []


def test_a_loop_that_was_closed_over_a_handler_does_not_hold_the_order() -> None:
    """The session goes on in a new loop: the order waits for its lease, not for a task that will never run."""
    clock = ManualClock()
    guard = OnceGuard(MemoryBackend(clock=clock), SystemClock(), "123456")
    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin(guard, Shop()))
    forgotten = asyncio.all_tasks(loop)
    loop.close()
    clock.advance(31)
    assert asyncio.run(guard.run(ORDER, mock.AsyncMock(), patience=0)) is True
    for task in forgotten:  # they were never told to end, which is the point, and asyncio complains of
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # a private switch


def test_shutting_the_loop_down_frees_the_order() -> None:
    """``asyncio.run`` cancels every task: the handler is stopped and its claim given back; no lease is waited for."""
    clock = ManualClock()
    backend = FaultyBackend(clock)
    shops = []

    async def main() -> None:
        shops.append(Shop())
        await begin(OnceGuard(backend, clock, "123456"), shops[0])
        await clock.advance(0)

    asyncio.run(main())
    assert shops[0].ended == ["cancelled"]
    assert "release" in backend.asked


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

    assert await guard.run(ORDER, closes, patience=10) is True


# -- handlers -------------------------------------------------------------------------------------------------------


def sync_handler(order: Order) -> None:
    raise AssertionError("it was called")


class SyncObject:
    def __call__(self, order: Order) -> None:
        raise AssertionError("it was called")


@pytest.mark.parametrize(
    "handler",
    [sync_handler, functools.partial(sync_handler), SyncObject(), Shop, lambda order: None, print, None, "handler"],
)
async def test_a_handler_that_is_not_async_is_refused_unrun(guard: OnceGuard, handler: Any) -> None:
    """Calling it would run it outside the guard; the error names the argument."""
    with pytest.raises(InvalidRequest, match="handler") as caught:
        await guard.run(ORDER, handler, patience=10)
    assert caught.value.parameter == "handler"


async def test_every_async_callable_is_a_handler(shop: Shop) -> None:
    """Functions, methods, partials of them, objects, and the mocks of tests."""

    async def function(order: Order, *, database: object = None) -> None: ...

    partial = functools.partial(functools.partial(function, database=1), database=2)
    for handler in (function, shop.__call__, partial, shop, mock.AsyncMock()):
        assert checked_handler(handler) is handler
