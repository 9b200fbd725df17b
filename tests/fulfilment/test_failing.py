"""The once-guard when the backend fails: what is not known is not run, and never passed off as done."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from omipay_async.errors import BackendError
from omipay_async.fulfilment import leases
from omipay_async.fulfilment.backends import Claim
from omipay_async.fulfilment.guard import OnceGuard, StillRunning
from omipay_async.models import Order
from tests.support.fulfilment_doubles import KEY, ORDER, FaultyBackend, Shop, begin, gone, hanging, no

if TYPE_CHECKING:
    from omipay_async.testing import ManualClock

# -- a backend that fails -------------------------------------------------------------------------------------------


async def test_without_a_claim_no_handler_runs(guard: OnceGuard, backend: FaultyBackend, shop: Shop) -> None:
    """Backend gone: BackendError, and nothing was run."""
    backend.faults["claim"] = gone
    with pytest.raises(BackendError):
        await guard.run(ORDER, shop, wait_timeout=10)
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


async def test_a_last_attempt_to_renew_does_not_outlast_the_lease(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock
) -> None:
    """A backend that falls silent just before the lapse is not waited for beyond it."""
    backend.faults["renew"] = gone
    run = await begin(guard, shop)
    await clock.advance(26)
    backend.faults["renew"] = hanging
    await clock.advance(3.9)
    assert not run.done()
    await clock.advance(0.1)
    assert run.done()
    with pytest.raises(BackendError, match="may run again"):
        await run


async def test_a_lease_counts_from_the_question_and_not_from_the_answer(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock
) -> None:
    """The backend may have begun to count when claim or renewal reached it, however late its answer came."""
    backend.faults = {"claim": lambda: clock.sleep(9), "renew": lambda: clock.sleep(4)}
    run = await begin(guard, shop)
    await clock.advance(14.5)
    backend.faults["renew"] = gone
    await clock.advance(25.4)
    assert not run.done()
    await clock.advance(0.1)
    assert run.done()
    with pytest.raises(BackendError, match="may run again"):
        await run


async def test_a_backend_that_did_not_answer_is_no_longer_asked(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock
) -> None:
    """The question is cancelled, and how it ends then does not matter any more."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    ended = []

    async def hanging() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise BackendError("interrupted") from None

    backend.faults["claim"] = hanging
    run = await begin(guard, shop)
    await clock.advance(10)
    with pytest.raises(BackendError, match="in time"):
        await run
    del run
    gc.collect()
    await asyncio.sleep(0)
    assert ended == ["cancelled"]
    assert not complaints


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
    assert "release" not in backend.requests


async def test_a_success_whose_record_failed_is_recorded_at_the_next_delivery(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop
) -> None:
    """The caller gets no success that nobody else knows of; the handler is not run again for it here."""
    shop.go.set()
    backend.faults["finish"] = gone
    with pytest.raises(BackendError):
        await guard.run(ORDER, shop, wait_timeout=10)
    with pytest.raises(BackendError):
        await guard.run(ORDER, shop, wait_timeout=10)
    backend.faults.clear()
    assert await guard.run(ORDER, shop, wait_timeout=10) is False
    assert await backend.claim(KEY, "anybody") is Claim.DONE
    assert shop.started == 1


async def test_another_process_runs_what_was_not_recorded_once_the_lease_has_lapsed(
    guard: OnceGuard, elsewhere: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock
) -> None:
    """At least once, but not at once: until then this process may still record its success."""
    shop.go.set()
    backend.faults["finish"] = gone
    with pytest.raises(BackendError):
        await guard.run(ORDER, shop, wait_timeout=10)
    backend.faults.clear()
    assert "release" not in backend.requests
    with pytest.raises(StillRunning):
        await elsewhere.run(ORDER, shop, wait_timeout=0)
    await clock.advance(30)
    assert await elsewhere.run(ORDER, shop, wait_timeout=0) is True
    assert shop.started == 2
    assert await guard.run(ORDER, shop, wait_timeout=0) is False
    assert not len(guard._unsettled)


async def test_a_success_that_is_being_recorded_may_be_crowded_out_of_memory(
    backend: FaultyBackend, guard: OnceGuard, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More records under way than are remembered: each is made, and each caller gets True."""
    monkeypatch.setattr(leases, "_MOST_KEYS", 1)
    backend.faults["finish"] = lambda: clock.sleep(1)
    orders = [Order(order_no=f"TR{n}", status="PAID", out_order_no=None, currency="AUD", amount=1) for n in range(3)]
    runs = [asyncio.create_task(guard.run(order, mock.AsyncMock(), wait_timeout=10)) for order in orders]
    await clock.advance(1)
    assert await asyncio.gather(*runs) == [True] * 3
    assert not len(guard._unsettled)


async def test_the_memory_of_unrecorded_successes_is_bounded(
    backend: FaultyBackend, guard: OnceGuard, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backend that is away for days does not fill the memory."""
    monkeypatch.setattr(leases, "_MOST_KEYS", 2)
    backend.faults["finish"] = gone
    for number in range(5):
        order = Order(order_no=f"TR{number}", status="PAID", out_order_no=None, currency="AUD", amount=1)
        with pytest.raises(BackendError):
            await guard.run(order, mock.AsyncMock(), wait_timeout=10)
    assert list(guard._unsettled._unrecorded) == ["123456:TR3", "123456:TR4"]
    assert len(guard._unsettled) == 4


async def test_a_record_that_is_denied_is_no_success(guard: OnceGuard, backend: FaultyBackend, shop: Shop) -> None:
    """Another owner's lease holds when the handler ends: BackendError, not True."""
    shop.go.set()
    backend.faults["finish"] = no
    with pytest.raises(BackendError, match="lost"):
        await guard.run(ORDER, shop, wait_timeout=10)


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
    assert await guard.run(ORDER, shop, wait_timeout=0) is True
