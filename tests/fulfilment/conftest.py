"""A session, a once-guard with a backend that can fail, a guard of another process, a shop, a real Redis."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio

from omipay_async.fulfilment.guard import OnceGuard
from omipay_async.redis import RedisBackend
from tests.support.fulfilment_doubles import FaultyBackend, Shop
from tests.support.redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from omipay_async import AsyncOmipay, Event
    from omipay_async.fulfilment.backends import Backend
    from omipay_async.testing import ManualClock
    from tests.support.scripted_gateway import Gateway


@pytest.fixture
async def omipay(gateway: Gateway, events: list[Event]) -> AsyncIterator[AsyncOmipay]:
    async with gateway.session(on_event=events.append) as omipay:
        yield omipay


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


@pytest.fixture
async def complaints() -> list[dict[str, Any]]:
    """What asyncio would log, such as exceptions that were never retrieved."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    return complaints


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
async def redis_backend(server: RedisServer) -> AsyncIterator[RedisBackend]:
    """A backend on an empty server."""
    async with redis.asyncio.Redis.from_url(server.url) as client:
        await client.flushall()
    async with RedisBackend(server.url) as backend:
        yield backend
