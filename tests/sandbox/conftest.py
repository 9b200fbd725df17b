"""A sandbox on a manual clock, and a client that is written without the package."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from omipay_async.sandbox import Sandbox
from omipay_async.testing import ManualClock

from .raw import RawClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def clock() -> ManualClock:
    """2016-12-27 10:55:30 in Sydney, the time in the documents' examples."""
    return ManualClock(1_482_796_530)


@pytest.fixture
async def sandbox(clock: ManualClock) -> AsyncIterator[Sandbox]:
    async with Sandbox(clock=clock, seed=1) as sandbox:
        yield sandbox


@pytest.fixture
async def raw(sandbox: Sandbox, clock: ManualClock) -> AsyncIterator[RawClient]:
    client = RawClient(sandbox, clock)
    async with client.http:
        yield client
