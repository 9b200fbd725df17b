"""The once-guard over a backend that breaks its contract: whatever it raises, the caller gets a clear error."""

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


@pytest.mark.parametrize("fault", [broken, giving_up, not_async])
async def test_a_claim_that_ends_in_any_other_way_is_an_error(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, monkeypatch: pytest.MonkeyPatch, fault: Any
) -> None:
    """What a backend raises, when it is called or when it is awaited, is a BackendError, and no handler runs."""
    monkeypatch.setattr(backend, "claim", lambda key, owner: fault())
    with pytest.raises(BackendError, match="the backend"):
        await guard.run(ORDER, shop, wait_timeout=10)
    assert shop.started == 0


async def test_what_a_backend_raised_is_the_cause_of_the_error(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop
) -> None:
    """The author of the backend can find the mistake; its own text, which may contain secrets, is in no message."""
    backend.faults["claim"] = broken
    with pytest.raises(BackendError, match="KeyError") as caught:
        await guard.run(ORDER, shop, wait_timeout=10)
    assert isinstance(caught.value.__cause__, KeyError)
    assert "secret" not in str(caught.value)


async def test_an_error_of_this_package_is_raised_unchanged(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop
) -> None:
    """A backend that connects at its first use may find only then that its options are wrong."""

    async def misconfigured() -> None:
        raise ConfigurationError("no url")

    backend.faults["claim"] = misconfigured
    with pytest.raises(ConfigurationError, match="no url"):
        await guard.run(ORDER, shop, wait_timeout=10)


async def test_a_renewal_that_raises_such_an_error_stops_the_handler(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock
) -> None:
    """The error is raised after the handler has ended, and the order is free."""

    async def misconfigured() -> None:
        raise ConfigurationError("no url")

    backend.faults["renew"] = misconfigured
    run = await begin(guard, shop)
    await clock.advance(10)
    with pytest.raises(ConfigurationError):
        await run
    assert shop.ended == ["cancelled"]
    assert await backend.claim(KEY, "the next") is Claim.MINE


async def test_a_backend_without_the_attribute_lease_has_the_usual_one(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock
) -> None:
    """It is thirty seconds, and is renewed after ten."""
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
