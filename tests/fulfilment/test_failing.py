"""The once-guard over a backend that fails: a request whose result nobody knows is never taken for a success."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import pytest

from omipay_async.errors import BackendError
from omipay_async.fulfilment import leases
from omipay_async.fulfilment.backends import Claim
from omipay_async.fulfilment.runs import StillRunning
from omipay_async.models import Order
from tests.support.fulfilment_doubles import (
    KEY,
    ORDER,
    FaultyBackend,
    Shop,
    begin,
    broken,
    giving_up,
    gone,
    hanging,
    no,
)

if TYPE_CHECKING:
    from omipay_async.fulfilment.guard import OnceGuard
    from omipay_async.testing import ManualClock
    from tests.support.fulfilment_doubles import Fault

UNANSWERED: Final = [gone, broken, giving_up, hanging]
"""The faults after which nobody knows whether the backend carried a request out."""


def orders(count: int) -> list[Order]:
    return [Order(order_no=f"TR{n}", status="PAID", out_order_no=None, currency="AUD", amount=1) for n in range(count)]


# -- claims -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", UNANSWERED)
async def test_without_a_claim_no_handler_runs(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock, fault: Fault
) -> None:
    """A claim that fails or is not answered raises BackendError."""
    backend.faults["claim"] = fault
    run = await begin(guard, shop)
    await clock.advance(10)
    with pytest.raises(BackendError):
        await run
    assert shop.started == 0


async def test_a_backend_that_hangs_has_a_third_of_the_lease_to_answer(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock
) -> None:
    """After that the request has failed: nobody waits for it without end."""
    backend.faults["claim"] = hanging
    run = await begin(guard, shop)
    await clock.advance(9.9)
    assert not run.done()
    await clock.advance(0.1)
    with pytest.raises(BackendError, match="in time"):
        await run
    assert shop.started == 0


async def test_a_request_that_was_not_answered_in_time_is_cancelled(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock, complaints: list[dict[str, Any]]
) -> None:
    """How it ends after that does not matter: asyncio does not warn of its exception."""
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


# -- renewals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", UNANSWERED)
async def test_a_handler_goes_on_if_the_backend_fails_only_for_a_while(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock, fault: Fault
) -> None:
    """The lease is renewed as soon as the backend answers again, before it ends."""
    backend.faults["renew"] = fault
    run = await begin(guard, shop)
    await clock.advance(24)
    backend.faults.clear()
    await clock.advance(100)
    shop.go.set()
    assert await run is True
    assert shop.ended == ["done"]


LOST: Final[dict[str, tuple[dict[float, dict[str, Fault]], float, int]]] = {
    "each renewal fails": ({0: {"renew": gone}}, 30, 8),
    "each renewal breaks the contract": ({0: {"renew": broken}}, 30, 8),
    "each renewal is cancelled by the backend": ({0: {"renew": giving_up}}, 30, 8),
    "no renewal is answered": ({0: {"renew": hanging}}, 30, 3),
    "the last renewal is not answered": ({0: {"renew": gone}, 26: {"renew": hanging}}, 30, 8),
    "the claim and a renewal are answered late": ({0: {"claim": 9, "renew": 4}, 14.5: {"renew": gone}}, 40, 9),
    "another owner has the order": ({0: {"renew": no}}, 10, 1),
}
"""The faults from some seconds on, the second at which the lease is lost, and how many renewals are requested."""


@pytest.mark.parametrize(("faults", "lost_at", "renewals"), LOST.values(), ids=LOST)
async def test_a_handler_is_stopped_when_its_lease_may_have_ended(
    guard: OnceGuard,
    backend: FaultyBackend,
    shop: Shop,
    clock: ManualClock,
    *,
    faults: dict[float, dict[str, Fault]],
    lost_at: float,
    renewals: int,
) -> None:
    """Another process may run it then, so it is cancelled at that moment and not before, and releases nothing.

    A lease counts from the request: the backend may have begun to count then, however late its answer comes.
    """
    (_, backend.faults), *later = faults.items()
    run = await begin(guard, shop)
    for second, following in later:
        await clock.advance(second - clock.monotonic())
        backend.faults = following
    await clock.advance(lost_at - 0.1 - clock.monotonic())
    assert not run.done()
    await clock.advance(0.1)
    assert run.done()
    with pytest.raises(BackendError, match="may run again"):
        await run
    assert shop.ended == ["cancelled"]
    assert "release" not in backend.requests
    assert backend.requests.count("renew") == renewals


# -- records ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", UNANSWERED)
async def test_a_success_that_could_not_be_recorded_is_recorded_at_the_next_delivery(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock, fault: Fault
) -> None:
    """Until then each caller gets BackendError; this process does not run the handler again."""
    shop.go.set()
    backend.faults["finish"] = fault
    for _ in range(2):
        run = await begin(guard, shop)
        await clock.advance(10)
        with pytest.raises(BackendError):
            await run
    backend.faults.clear()
    assert await guard.run(ORDER, shop, wait_timeout=10) is False
    assert await backend.claim(KEY, "anybody") is Claim.DONE
    assert shop.started == 1


async def test_another_process_runs_what_was_not_recorded_once_the_lease_has_ended(
    guard: OnceGuard, elsewhere: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock
) -> None:
    """It does not run it before, because this process may still record its success."""
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


async def test_a_record_that_is_refused_is_an_error(guard: OnceGuard, backend: FaultyBackend, shop: Shop) -> None:
    """If another owner holds the lease when the handler ends, the caller gets BackendError and not True."""
    shop.go.set()
    backend.faults["finish"] = no
    with pytest.raises(BackendError, match="lost"):
        await guard.run(ORDER, shop, wait_timeout=10)


async def test_more_successes_may_be_recorded_at_a_time_than_are_remembered(
    backend: FaultyBackend, guard: OnceGuard, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is recorded, and each caller gets True."""
    monkeypatch.setattr(leases, "_MOST_KEYS", 1)
    backend.faults["finish"] = 1
    runs = [asyncio.create_task(guard.run(order, mock.AsyncMock(), wait_timeout=10)) for order in orders(3)]
    await clock.advance(1)
    assert await asyncio.gather(*runs) == [True] * 3
    assert not len(guard._unsettled)


async def test_only_so_many_unrecorded_successes_are_remembered(
    backend: FaultyBackend, guard: OnceGuard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backend that cannot be reached for days does not fill the memory."""
    monkeypatch.setattr(leases, "_MOST_KEYS", 2)
    backend.faults["finish"] = gone
    for order in orders(5):
        with pytest.raises(BackendError):
            await guard.run(order, mock.AsyncMock(), wait_timeout=10)
    assert list(guard._unsettled._unrecorded) == ["123456:TR3", "123456:TR4"]
    assert len(guard._unsettled) == 4


# -- releases ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", UNANSWERED)
async def test_a_release_that_fails_does_not_hide_why_the_handler_failed(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock, fault: Fault
) -> None:
    """The handler's own exception is raised, and the order is free when the lease has ended."""
    shop.go.set()
    shop.fail = [ValueError("no stock")]
    backend.faults["release"] = fault
    run = await begin(guard, shop)
    await clock.advance(10)
    with pytest.raises(ValueError, match="no stock"):
        await run
    await clock.advance(20)
    assert await guard.run(ORDER, shop, wait_timeout=0) is True
