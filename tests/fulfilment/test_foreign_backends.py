"""The once-guard over a backend that breaks its contract, and the wake-ups that it passes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from omipay_async.errors import BackendError, ConfigurationError
from omipay_async.fulfilment.backends import Claim
from tests.support.fulfilment_doubles import (
    KEY,
    ORDER,
    FaultyBackend,
    Shop,
    begin,
    broken,
    giving_up,
    mine,
    not_async,
    yes,
)

if TYPE_CHECKING:
    from omipay_async.fulfilment.guard import OnceGuard
    from omipay_async.testing import ManualClock

# -- a backend that breaks its contract -----------------------------------------------------------------------------

FOREIGN = [broken, giving_up, not_async]


@pytest.mark.parametrize("fault", FOREIGN)
async def test_a_claim_that_ends_in_any_other_way_is_no_claim(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, monkeypatch: pytest.MonkeyPatch, fault: Any
) -> None:
    """Whatever a backend raises, sooner or later, is a BackendError: no handler runs, and nobody is cancelled."""
    monkeypatch.setattr(backend, "claim", lambda key, owner: fault())
    with pytest.raises(BackendError, match="the backend"):
        await guard.run(ORDER, shop, wait_timeout=10)
    assert shop.started == 0


async def test_what_a_backend_raised_is_the_cause_of_what_the_caller_sees(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop
) -> None:
    """Whoever writes a backend finds the mistake; its own words, which may hold secrets, are in no message."""
    backend.faults["claim"] = broken
    with pytest.raises(BackendError, match="KeyError") as caught:
        await guard.run(ORDER, shop, wait_timeout=10)
    assert isinstance(caught.value.__cause__, KeyError)
    assert "secret" not in str(caught.value)


async def test_an_error_of_this_package_comes_out_as_it_is(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop
) -> None:
    """A backend made late may find its options wrong."""

    async def misconfigured() -> None:
        raise ConfigurationError("no url")

    backend.faults["claim"] = misconfigured
    with pytest.raises(ConfigurationError, match="no url"):
        await guard.run(ORDER, shop, wait_timeout=10)


async def test_a_renewal_that_raises_such_an_error_does_not_leave_the_handler_running(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock
) -> None:
    """It comes out after the handler was stopped, and the order is free."""

    async def misconfigured() -> None:
        raise ConfigurationError("no url")

    backend.faults["renew"] = misconfigured
    run = await begin(guard, shop)
    await clock.advance(10)
    with pytest.raises(ConfigurationError):
        await run
    assert shop.ended == ["cancelled"]
    assert await backend.claim(KEY, "the next") is Claim.MINE


async def test_a_backend_without_a_lease_is_given_the_usual_one(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock
) -> None:
    """Thirty seconds: renewed after ten."""
    del backend.lease
    backend.faults = dict.fromkeys(("claim", "renew", "finish"), yes)
    backend.faults["claim"] = mine
    run = await begin(guard, shop)
    await clock.advance(9.9)
    assert "renew" not in backend.requests
    await clock.advance(0.1)
    assert backend.requests[-1] == "renew"
    shop.go.set()
    assert await run is True
