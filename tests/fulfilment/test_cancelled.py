"""The once-guard and cancellation: never swallowed, and no order stays held by somebody who is gone."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any
from unittest import mock

import anyio
import pytest

from omipay_async.clock import SystemClock
from omipay_async.errors import BackendError
from omipay_async.fulfilment.backends import Claim, MemoryBackend
from omipay_async.fulfilment.guard import OnceGuard, StillRunning
from omipay_async.testing import ManualClock
from tests.support.fulfilment_doubles import KEY, ORDER, FaultyBackend, Shop, Stubborn, begin, gone, hanging, no
from tests.support.untyped import untyped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from omipay_async.models import Order


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
    assert await elsewhere.run(ORDER, shop, wait_timeout=0) is True


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
    """The caller does not wait; the answer that comes too late is given back, and no handler runs."""
    answer = asyncio.Event()

    async def late() -> None:
        await answer.wait()

    backend.faults["claim"] = late
    run = await begin(guard, shop)
    run.cancel()
    await clock.advance(0)
    assert run.cancelled()
    answer.set()
    await guard.drain(1)
    assert backend.requests == ["claim", "release"]
    assert shop.started == 0
    assert await backend.claim(KEY, "the next") is Claim.MINE


@pytest.mark.parametrize("method", ["claim", "finish", "release"])
async def test_a_cancelled_caller_does_not_wait_for_a_backend_that_hangs(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock, method: str
) -> None:
    """It leaves once its handler has ended; no time need pass."""
    backend.faults[method] = hanging
    if method == "finish":
        shop.go.set()
    run = await begin(guard, shop)
    run.cancel()
    await clock.advance(0)
    assert run.cancelled()
    assert backend.requests[-1] == method
    assert shop.running == 0
    await clock.advance(10)
    assert not guard._runs


async def test_a_success_is_recorded_although_its_caller_left(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock
) -> None:
    """Cancelled while the success is recorded: that goes on in the background, and the handler never runs again."""
    backend.faults["finish"] = lambda: clock.sleep(5)
    shop.go.set()
    run = await begin(guard, shop)
    run.cancel()
    await clock.advance(0)
    assert run.cancelled()
    await clock.advance(5)
    assert await backend.claim(KEY, "anybody") is Claim.DONE


async def test_a_success_that_is_still_to_be_recorded_is_not_freed_by_a_caller_who_leaves(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock
) -> None:
    """The next delivery is cut off while it asks: it records all the same, and gives nothing back."""
    backend.faults["finish"] = gone
    shop.go.set()
    with pytest.raises(BackendError):
        await guard.run(ORDER, shop, wait_timeout=10)
    backend.faults = {"finish": lambda: clock.sleep(5)}
    run = await begin(guard, shop)
    run.cancel()
    await clock.advance(5)
    assert run.cancelled()
    backend.faults.clear()
    assert "release" not in backend.requests
    assert await backend.claim(KEY, "anybody") is Claim.DONE
    assert shop.started == 1


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
    asked = len(backend.requests)
    await clock.advance(100)
    assert len(backend.requests) == asked


async def test_a_timeout_around_the_call_works_as_everywhere(guard: OnceGuard, shop: Shop) -> None:
    """``asyncio.timeout`` sees its own cancellation again: nothing swallowed it."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await guard.run(ORDER, shop, wait_timeout=None)
    assert shop.ended == ["cancelled"]


async def test_a_cancel_scope_around_the_call_works_as_everywhere(guard: OnceGuard, shop: Shop) -> None:
    """anyio repeats its cancellation until the block is left: the handler cleans up once, and the scope ends."""
    with anyio.move_on_after(0.05) as scope:
        await guard.run(ORDER, shop, wait_timeout=None)
    assert scope.cancelled_caught
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
        await guard.run(ORDER, stubborn, wait_timeout=0)
    with pytest.raises(StillRunning):
        await elsewhere.run(ORDER, stubborn, wait_timeout=0)
    stubborn.go.set()
    assert await guard.run(ORDER, stubborn, wait_timeout=1) is False
    assert stubborn.started == 1


async def test_a_handler_that_refuses_to_stop_does_not_hide_its_lost_lease(
    guard: OnceGuard, backend: FaultyBackend, stubborn: Stubborn, clock: ManualClock
) -> None:
    """The caller learns after a grace that the claim was lost; here, no second run starts beside the first."""
    backend.faults["renew"] = no
    run = await begin(guard, stubborn)
    await clock.advance(14.9)
    assert not run.done()
    await clock.advance(0.1)
    with pytest.raises(BackendError, match="lost"):
        await run
    with pytest.raises(StillRunning):
        await guard.run(ORDER, stubborn, wait_timeout=0)
    stubborn.go.set()
    await guard.drain(1)
    assert stubborn.started == 1


async def test_a_caller_that_leaves_after_the_lease_was_lost_is_cancelled(
    guard: OnceGuard, backend: FaultyBackend, stubborn: Stubborn, clock: ManualClock
) -> None:
    """The handler was cancelled already: the caller's own cancellation comes out, after the grace."""
    backend.faults["renew"] = no
    run = await begin(guard, stubborn)
    await clock.advance(12)
    run.cancel()
    await clock.advance(0)
    await clock.advance(4.9)
    assert not run.done()
    await clock.advance(0.1)
    assert run.cancelled()


async def test_a_handler_cancelled_from_within_is_a_failure_like_any_other(guard: OnceGuard) -> None:
    """Its CancelledError is not the caller's: a sweep over many orders goes on."""

    async def cancels_itself(order: Order) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="not by its caller"):
        await guard.run(ORDER, cancels_itself, wait_timeout=10)


async def test_a_failure_after_the_caller_left_is_not_reported_as_forgotten(
    guard: OnceGuard, backend: FaultyBackend, clock: ManualClock, stubborn: Stubborn
) -> None:
    """asyncio's "exception was never retrieved" would print what nobody can act on."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    backend.faults["finish"] = gone
    run = await begin(guard, stubborn)
    run.cancel()
    await clock.advance(0)
    await clock.advance(5)
    stubborn.go.set()
    await guard.drain(1)
    del run
    gc.collect()
    await asyncio.sleep(0)
    assert "finish" in backend.requests
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
    assert asyncio.run(guard.run(ORDER, mock.AsyncMock(), wait_timeout=0)) is True
    for task in forgotten:  # they never ended, which is the point, and asyncio warns of that
        untyped(task)._log_destroy_pending = False


def test_a_loop_that_was_closed_over_a_handler_does_not_hold_the_session() -> None:
    """Closing it in a new loop waits for nothing that will never end."""
    clock = ManualClock()
    guard = OnceGuard(FaultyBackend(clock), clock, "123456")
    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin(guard, Shop()))
    forgotten = asyncio.all_tasks(loop)
    loop.close()
    asyncio.run(guard.drain(60))
    for task in forgotten:
        untyped(task)._log_destroy_pending = False


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
    assert "release" in backend.requests
