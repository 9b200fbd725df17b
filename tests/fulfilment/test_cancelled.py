"""The once-guard and cancellation: each caller gets its cancellation, and no order stays claimed for one who left."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from unittest import mock

import anyio
import pytest

from omipay_async.clock import SystemClock
from omipay_async.errors import BackendError
from omipay_async.fulfilment.backends import Claim
from omipay_async.fulfilment.guard import OnceGuard
from omipay_async.fulfilment.memory import MemoryBackend
from omipay_async.fulfilment.runs import StillRunning
from omipay_async.testing import ManualClock
from tests.support.fulfilment_doubles import KEY, ORDER, FaultyBackend, Shop, Stubborn, begin, busy, gone, hanging, no
from tests.support.untyped import untyped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator

    from omipay_async.models import Order
    from tests.support.fulfilment_doubles import Fault


async def begin_and_cancel(guard: OnceGuard, handler: Any, clock: ManualClock) -> asyncio.Task[bool]:
    """A run whose caller was cancelled as soon as the run could do nothing more before time passes."""
    run = await begin(guard, handler)
    run.cancel()
    await clock.advance(0)
    return run


# -- the caller leaves ------------------------------------------------------------------------------------------------


async def test_cancelling_the_caller_cancels_its_handler_and_frees_the_order(
    guard: OnceGuard, elsewhere: OnceGuard, shop: Shop, clock: ManualClock
) -> None:
    """When ``run`` has raised CancelledError the handler has ended, and another process may run it."""
    run = await begin(guard, shop)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert shop.ended == ["cancelled"]
    shop.go.set()
    assert await elsewhere.run(ORDER, shop, wait_timeout=0) is True


async def test_a_caller_that_waits_runs_the_handler_if_the_first_caller_is_cancelled(
    guard: OnceGuard, shop: Shop, clock: ManualClock
) -> None:
    """The connection of the first delivery broke; the second delivery, which waits already, takes over."""
    first, second = await begin(guard, shop), await begin(guard, shop)
    first.cancel()
    await clock.advance(0)
    assert first.cancelled()
    shop.go.set()
    assert await second is True
    assert shop.started == 2


async def test_cancelling_a_caller_that_only_waits_does_not_stop_the_handler(
    guard: OnceGuard, shop: Shop, clock: ManualClock
) -> None:
    """The handler belongs to the first caller."""
    first, second = await begin(guard, shop), await begin(guard, shop)
    second.cancel()
    await clock.advance(0)
    assert second.cancelled()
    shop.go.set()
    assert await first is True


class Leaving(NamedTuple):
    """A request that takes its time, at which the caller leaves, and what comes of it."""

    method: str
    fault: Fault
    requests: list[str]
    """The requests of the whole run."""
    ended: list[str]
    """How the handler ended, if it was begun."""
    claim: Claim
    """The answer to the claim of another owner after ten seconds."""


LEAVING: Final = [
    Leaving("claim", hanging, ["claim"], [], Claim.MINE),
    Leaving("claim", 5, ["claim", "release"], [], Claim.MINE),
    Leaving("finish", hanging, ["claim", "finish"], ["done"], Claim.BUSY),
    Leaving("finish", 5, ["claim", "finish"], ["done"], Claim.DONE),
    Leaving("release", hanging, ["claim", "release"], ["cancelled"], Claim.BUSY),
    Leaving("release", 5, ["claim", "release"], ["cancelled"], Claim.MINE),
]


@pytest.mark.parametrize("case", LEAVING, ids=lambda case: f"{case.method}-{getattr(case.fault, '__name__', 'slow')}")
async def test_a_cancelled_caller_does_not_wait_for_the_backend(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock, case: Leaving
) -> None:
    """It leaves at once. The request goes on in the background: a late claim is released, a success is recorded."""
    backend.faults[case.method] = case.fault
    if case.method == "finish":
        shop.go.set()
    run = await begin_and_cancel(guard, shop, clock)
    assert run.cancelled()
    assert backend.requests[-1] == case.method
    assert shop.running == 0
    await clock.advance(10)
    assert not guard._runs
    assert backend.requests == case.requests
    assert (shop.started, shop.ended) == (len(case.ended), case.ended)
    backend.faults.clear()
    assert await backend.claim(KEY, "another") is case.claim


async def test_the_order_of_a_success_that_is_not_recorded_yet_is_not_released(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock
) -> None:
    """The caller of the next delivery leaves while the success is recorded: that goes on all the same."""
    backend.faults["finish"] = gone
    shop.go.set()
    with pytest.raises(BackendError):
        await guard.run(ORDER, shop, wait_timeout=10)
    backend.faults = {"finish": 5}
    run = await begin_and_cancel(guard, shop, clock)
    await clock.advance(5)
    assert run.cancelled()
    backend.faults.clear()
    assert "release" not in backend.requests
    assert await backend.claim(KEY, "anybody") is Claim.DONE
    assert shop.started == 1


async def test_a_caller_that_is_cancelled_while_another_process_has_the_order_claims_no_more(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock
) -> None:
    """Nothing is claimed for a caller who left."""
    await backend.claim(KEY, "other process")
    run = await begin(guard, shop)
    await clock.advance(0.3)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    requests = list(backend.requests)
    await clock.advance(100)
    assert backend.requests == requests


async def within_asyncio_timeout(work: Coroutine[Any, Any, Any]) -> None:
    async with asyncio.timeout(0.05):
        await work


async def within_anyio_scope(work: Coroutine[Any, Any, Any]) -> None:
    with anyio.fail_after(0.05):
        await work


@pytest.mark.parametrize("limited", [within_asyncio_timeout, within_anyio_scope])
async def test_a_time_limit_around_the_call_works_as_usual(guard: OnceGuard, shop: Shop, limited: Any) -> None:
    """Both libraries get their own cancellation back; the handler cleans up once, however often anyio cancels."""
    with pytest.raises(TimeoutError):
        await limited(guard.run(ORDER, shop, wait_timeout=None))
    assert shop.ended == ["cancelled"]


async def test_a_caller_that_is_cancelled_again_still_waits_until_its_handler_has_cleaned_up(
    guard: OnceGuard, clock: ManualClock
) -> None:
    """More cancellations change nothing."""
    cleaning = asyncio.Event()
    cleaned = []

    async def cleans_up(order: Order) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await cleaning.wait()
            cleaned.append(order)

    run = await begin(guard, cleans_up)
    for _ in range(3):
        run.cancel()
        await clock.advance(0)
    assert not run.done()
    cleaning.set()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert cleaned == [ORDER]


async def test_a_handler_that_is_cancelled_by_somebody_else_has_failed(guard: OnceGuard) -> None:
    """The caller gets an error and not CancelledError, so that a sweep over many orders goes on."""

    async def cancels_itself(order: Order) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="not by its caller"):
        await guard.run(ORDER, cancels_itself, wait_timeout=10)


# -- handlers that do not stop ----------------------------------------------------------------------------------------


@pytest.fixture
async def stubborn() -> AsyncIterator[Stubborn]:
    handler = Stubborn()
    yield handler
    handler.go.set()


async def test_a_handler_that_does_not_stop_delays_its_cancelled_caller_for_five_seconds(
    guard: OnceGuard, elsewhere: OnceGuard, stubborn: Stubborn, clock: ManualClock
) -> None:
    """The handler goes on, its lease is renewed, and its success counts."""
    run = await begin_and_cancel(guard, stubborn, clock)
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


async def test_a_handler_that_does_not_stop_does_not_hide_that_its_lease_was_lost(
    guard: OnceGuard, backend: FaultyBackend, stubborn: Stubborn, clock: ManualClock
) -> None:
    """The caller gets the error after five seconds; no second run begins here while the first goes on."""
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


async def test_a_caller_that_is_cancelled_after_the_lease_was_lost_gets_its_cancellation(
    guard: OnceGuard, backend: FaultyBackend, stubborn: Stubborn, clock: ManualClock
) -> None:
    """The handler was cancelled before; the caller still waits for it for five seconds."""
    backend.faults["renew"] = no
    run = await begin(guard, stubborn)
    await clock.advance(12)
    run.cancel()
    await clock.advance(0)
    await clock.advance(4.9)
    assert not run.done()
    await clock.advance(0.1)
    assert run.cancelled()


async def test_asyncio_does_not_warn_of_a_run_that_fails_after_its_caller_left(
    guard: OnceGuard, backend: FaultyBackend, clock: ManualClock, stubborn: Stubborn, complaints: list[dict[str, Any]]
) -> None:
    """The warning "Task exception was never retrieved" would tell users of something that they cannot change."""
    backend.faults["finish"] = gone
    run = await begin_and_cancel(guard, stubborn, clock)
    await clock.advance(5)
    stubborn.go.set()
    await guard.drain(1)
    del run
    gc.collect()
    await asyncio.sleep(0)
    assert "finish" in backend.requests
    assert complaints == []


# -- event loops that end ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def closed_loop_with_a_handler(guard: OnceGuard) -> Iterator[None]:
    """An event loop was closed while a handler ran in it."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin(guard, Shop()))
    forgotten = asyncio.all_tasks(loop)
    loop.close()
    yield
    for task in forgotten:  # asyncio would warn that they never ended
        untyped(task)._log_destroy_pending = False


def test_an_order_whose_handler_ended_with_its_loop_is_free_after_the_lease() -> None:
    """The session goes on in another event loop, and does not wait for a task that will never end."""
    clock = ManualClock()
    guard = OnceGuard(MemoryBackend(clock=clock), SystemClock(), "123456")
    with closed_loop_with_a_handler(guard):
        clock.advance(31)
        assert asyncio.run(guard.run(ORDER, mock.AsyncMock(), wait_timeout=0)) is True


@pytest.mark.parametrize("waits", [False, True], ids=["a handler", "a wait for another process"])
def test_closing_does_not_wait_for_what_ended_with_its_loop(waits: bool) -> None:
    """``close`` and ``drain`` in another event loop return."""
    clock = ManualClock()
    backend = FaultyBackend(clock)
    if waits:
        backend.faults["claim"] = busy
    guard = OnceGuard(backend, clock, "123456")
    with closed_loop_with_a_handler(guard):
        guard.close()
        asyncio.run(guard.drain(60))


def test_an_event_loop_that_is_shut_down_frees_the_order() -> None:
    """``asyncio.run`` cancels every task in the end: the handler is stopped, and its claim is released at once."""
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
