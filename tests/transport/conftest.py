"""A gateway for each test, and each test for both transports that asks for one."""

from __future__ import annotations

import asyncio
import importlib
import ssl
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.support.proactor_loop import ProactorLoop

from .client import Transport
from .server import Gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    """A gateway that behaves well, on a real socket."""
    async with Gateway() as gateway:
        yield gateway


@pytest.fixture(params=[Transport.OWN, Transport.AIOHTTP], ids=str)
def transport(request: pytest.FixtureRequest) -> Transport:
    """The session's own connections, then aiohttp's."""
    return Transport(request.param)


@dataclass(frozen=True)
class Certified:
    """What both sides of a TLS connection need."""

    server: ssl.SSLContext
    client: ssl.SSLContext


@pytest.fixture(scope="session")
def certified() -> Certified:
    """A certificate for 127.0.0.1, and the authority that has signed it."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    return Certified(server, client)


@pytest.fixture
async def secure(certified: Certified) -> AsyncIterator[Gateway]:
    """A gateway that behaves well, over TLS."""
    async with Gateway(tls=certified.server) as gateway:
        yield gateway


@pytest.fixture(params=["TCP", "TLS"])
async def wired(request: pytest.FixtureRequest, certified: Certified) -> AsyncIterator[Gateway]:
    """A gateway that behaves well, in plain TCP and over TLS."""
    async with Gateway(tls=certified.server if request.param == "TLS" else None) as gateway:
        yield gateway


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """asyncio's own event loop, and for tests that ask for them uvloop's, if it is installed, and that of Windows."""
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    marker = item.get_closest_marker("asyncio")
    wanted = () if marker is None else marker.kwargs.get("loop_factories", ())
    if "proactor" in wanted:
        factories["proactor"] = ProactorLoop
    if "uvloop" in wanted and find_spec("uvloop") is not None:
        factories["uvloop"] = importlib.import_module("uvloop").new_event_loop
    return factories
