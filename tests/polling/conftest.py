"""A session with a scripted gateway, on a clock that stands still; nothing is repeated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.shared_backend import Channel, SharedBackend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from omipay_async import AsyncOmipay, Event
    from omipay_async.testing import ManualClock
    from tests.support.scripted_gateway import Gateway


@pytest.fixture
async def omipay(gateway: Gateway, events: list[Event]) -> AsyncIterator[AsyncOmipay]:
    async with gateway.session(on_event=events.append) as omipay:
        yield omipay


@pytest.fixture
def channel() -> Channel:
    return Channel()


@pytest.fixture
def backend(channel: Channel, clock: ManualClock) -> SharedBackend:
    return SharedBackend(channel, clock)
