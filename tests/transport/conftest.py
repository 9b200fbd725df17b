"""A gateway for each test, and each test for both transports that asks for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .client import Transport
from .server import Gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    """A gateway in good order on a real socket."""
    async with Gateway() as gateway:
        yield gateway


@pytest.fixture(params=list(Transport), ids=str)
def transport(request: pytest.FixtureRequest) -> Transport:
    """httpx's own sockets, then aiohttp's."""
    return Transport(request.param)
