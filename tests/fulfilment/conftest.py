"""A once-guard over a backend that can fail, its twin in another process, and a shop that counts its runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from omipay_async.fulfilment.guard import OnceGuard
from omipay_async.testing import ManualClock
from tests.support.fulfilment_doubles import FaultyBackend, Shop

if TYPE_CHECKING:
    from omipay_async.fulfilment.backends import Backend


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
