"""Sessions that share a Redis: all of them learn of a notification to one, and what works without Redis."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest
import redis.asyncio

from omipay_async.errors import BackendError
from omipay_async.fulfilment.backends import Claim
from omipay_async.redis import RedisBackend
from omipay_async.sandbox import Sandbox
from tests.support.raw_http import Handler
from tests.support.redis_server import RedisServer, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from omipay_async import AsyncOmipay


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
async def here(server: RedisServer, sandbox: Sandbox) -> AsyncIterator[AsyncOmipay]:
    async with RedisBackend(server.url) as backend, sandbox.session(backend=backend) as session:
        yield session


@pytest.fixture
async def there(server: RedisServer, sandbox: Sandbox) -> AsyncIterator[AsyncOmipay]:
    """The session of another process."""
    async with RedisBackend(server.url) as backend, sandbox.session(backend=backend) as session:
        yield session


async def unpaid(omipay: AsyncOmipay) -> str:
    order = await omipay.make_qr_order(
        order_name="Tea", amount=450, currency="AUD", out_order_no="A-1", platform="WECHATPAY"
    )
    assert order.order_no
    return order.order_no


async def test_a_notification_there_ends_a_poll_here(sandbox: Sandbox, here: AsyncOmipay, there: AsyncOmipay) -> None:
    """The process that shows the QR code is often not the one that is notified."""
    order_no = await unpaid(here)
    poll = asyncio.create_task(here.poll_until_paid(order_no, first_wait=3600, timeout=None))
    await sandbox.customer.pays(order_no)
    handler = Handler()
    async with asyncio.timeout(60):
        while not poll.done():  # repeated until the poll has begun to listen
            reply = await there.receive_notification(sandbox.notification(order_no), handler)
            assert reply.status == 200
            await asyncio.sleep(0.01)
    assert (await poll).is_paid
    assert len(handler.orders) == 1


async def test_deliveries_to_two_processes_at_once_run_one_handler(
    sandbox: Sandbox, here: AsyncOmipay, there: AsyncOmipay
) -> None:
    """All deliveries are answered SUCCESS, and one of them ran the handler."""
    order_no = await unpaid(here)
    await sandbox.customer.pays(order_no)
    handler = Handler()
    replies = await asyncio.gather(
        *(
            session.receive_notification(sandbox.notification(order_no), handler)
            for session in (here, there, here, there)
        )
    )
    assert [reply.status for reply in replies] == [200] * 4
    assert sorted(reply.ran for reply in replies) == [False, False, False, True]
    assert len(handler.orders) == 1


async def test_without_redis_no_handler_runs_and_polls_go_on(sandbox: Sandbox) -> None:
    """The answer is 503 and FAIL, so that the gateway delivers again; ``fulfil`` raises BackendError."""
    handler = Handler()
    async with (
        RedisBackend(f"redis://127.0.0.1:{free_port()}") as backend,
        sandbox.session(backend=backend) as omipay,
    ):
        order_no = await unpaid(omipay)
        await sandbox.customer.pays(order_no)
        reply = await omipay.receive_notification(sandbox.notification(order_no), handler)
        assert (reply.status, reply.body) == (503, b'{"return_code": "FAIL"}')
        assert isinstance(reply.error, BackendError)
        with pytest.raises(BackendError):
            await omipay.fulfil(order_no, handler)
        assert (await omipay.poll_until_paid(order_no, first_wait=0, interval=0.01)).is_paid
    assert handler.orders == []


async def test_two_processes_use_no_connection_of_the_one_before_the_fork(
    redis_backend: RedisBackend, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each could read the answer to the other: a claim that was refused was granted.

    A client from a URL is made again. One that was given cannot be.
    """
    async with redis.asyncio.Redis.from_url(server.url) as client:
        given = RedisBackend(client)
        assert await given.claim("123456:TR1", "me") is Claim.MINE
        assert await redis_backend.claim("123456:TR2", "me") is Claim.MINE
        before = redis_backend._redis()
        monkeypatch.setattr(os, "getpid", lambda: -1)
        assert await redis_backend.claim("123456:TR2", "me") is Claim.MINE
        assert redis_backend._redis() is not before
        with pytest.raises(BackendError, match="was used before a fork"):
            await given.claim("123456:TR1", "me")
        await before.aclose()
        await redis_backend.aclose()
