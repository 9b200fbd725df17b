"""The once-guard over a backend that breaks its contract: whatever it raises, the caller gets a clear error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest import mock

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
    forgetful,
    giving_up,
    mine,
    not_async,
    yes,
)

if TYPE_CHECKING:
    from omipay_async.fulfilment.guard import OnceGuard
    from omipay_async.testing import ManualClock


@pytest.mark.parametrize("fault", [broken, giving_up, not_async, forgetful])
async def test_a_claim_that_ends_in_any_other_way_is_an_error(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, monkeypatch: pytest.MonkeyPatch, fault: Any
) -> None:
    """What a backend raises, when it is called or when it is awaited, is a BackendError, and no handler runs."""
    monkeypatch.setattr(backend, "claim", lambda key, owner: fault())
    with pytest.raises(BackendError, match="the backend"):
        await guard.run(ORDER, shop, wait_timeout=10)
    assert shop.started == 0


async def test_a_backend_that_is_not_async_is_told_so(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says what is wrong with it, and not only that there was a TypeError."""
    monkeypatch.setattr(backend, "claim", lambda key, owner: not_async())
    with pytest.raises(BackendError, match="the backend returned bool, which cannot be awaited"):
        await guard.run(ORDER, shop, wait_timeout=10)


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


@pytest.mark.parametrize("answer", [None, True, False, 1, "", "mine", "FREE", [Claim.MINE], Claim])
async def test_an_answer_that_is_not_a_claim_lets_no_handler_run(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    """Only the answer MINE proves that the order is this session's. Nobody knows what another answer means."""
    monkeypatch.setattr(backend, "claim", mock.AsyncMock(return_value=answer))
    with pytest.raises(BackendError, match=f"with {type(answer).__name__}, which is not a Claim"):
        await guard.run(ORDER, shop, wait_timeout=10)
    assert shop.started == 0


async def test_a_claim_may_be_answered_with_the_value_of_the_enum(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backend may keep its answers as text."""
    monkeypatch.setattr(backend, "claim", mock.AsyncMock(return_value="DONE"))
    assert await guard.run(ORDER, shop, wait_timeout=10) is False
    assert shop.started == 0


@pytest.mark.parametrize("answer", [None, "0", "True", 2, -1, 1.0])
async def test_an_answer_that_is_not_a_bool_records_no_success(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    """Nobody knows whether it was recorded. The next run records it, and does not run the handler again."""
    shop.go.set()
    with monkeypatch.context() as patched:
        patched.setattr(backend, "finish", mock.AsyncMock(return_value=answer))
        with pytest.raises(BackendError, match=f"with {type(answer).__name__}, which is not a bool"):
            await guard.run(ORDER, shop, wait_timeout=10)
    assert await guard.run(ORDER, shop, wait_timeout=10) is False
    assert await backend.claim(KEY, "the next") is Claim.DONE
    assert shop.started == 1


@pytest.mark.parametrize("answer", [1, 0])
async def test_an_answer_may_be_one_or_zero(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, monkeypatch: pytest.MonkeyPatch, answer: int
) -> None:
    """Many databases have no other values for true and false."""
    shop.go.set()
    monkeypatch.setattr(backend, "finish", mock.AsyncMock(return_value=answer))
    if answer:
        assert await guard.run(ORDER, shop, wait_timeout=10) is True
    else:
        with pytest.raises(BackendError, match="the claim was lost"):
            await guard.run(ORDER, shop, wait_timeout=10)


async def test_a_renewal_with_an_odd_answer_does_not_keep_the_claim(
    guard: OnceGuard, backend: FaultyBackend, shop: Shop, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handler is stopped when its claim may have ended."""
    monkeypatch.setattr(backend, "renew", mock.AsyncMock(return_value="OK"))
    run = await begin(guard, shop)
    for _ in range(40):
        await clock.advance(1)
    with pytest.raises(BackendError, match="the claim was lost"):
        await run
    assert shop.ended == ["cancelled"]
