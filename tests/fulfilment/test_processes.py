"""Two processes of a shop with a real redis-server or PostgreSQL: one is notified, and the other one waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from omipay_async.sandbox import Sandbox
from omipay_async.sql import Books
from tests.support.postgres_server import PostgresServer
from tests.support.shop_process import ShopProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.asyncio(loop_scope="module")  # the processes serve all tests of this file


@pytest.fixture(scope="module")
def redis_url(server: RedisServer) -> str:
    return server.url


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    with PostgresServer() as server:
        yield server.database()


class Processes:
    """Two processes with sessions of one merchant, and a gateway at which an order of theirs was paid."""

    def __init__(self, sandbox: Sandbox, waiting: ShopProcess, notified: ShopProcess, order_no: str) -> None:
        self.sandbox, self.waiting, self.notified, self.order_no = sandbox, waiting, notified, order_no

    async def notify(self) -> None:
        """Deliver the gateway's notification to the process that does not wait."""
        result = await self.notified.call("receive_notification", self.sandbox.notification(self.order_no).decode())
        assert result == {"method": "receive_notification", **self.paid}

    @property
    def paid(self) -> dict[str, object]:
        """The order, as each process reports it."""
        return {"order_no": self.order_no, "out_order_no": self.number, "is_paid": True}

    @property
    def number(self) -> str | None:
        """Its ``out_order_no``."""
        return self.sandbox.ledger.orders[self.order_no].out_order_no


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["redis", "postgres"])
async def two(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Sandbox, ShopProcess, ShopProcess]]:
    """A gateway on a socket, and two processes."""
    url = request.getfixturevalue(f"{request.param}_url")
    if request.param == "postgres":
        async with Books(url) as books:
            await books.create_tables()
    async with Sandbox() as sandbox, sandbox.serve() as base_url:
        key = sandbox.merchant.secret_key
        async with ShopProcess(url, base_url, key) as waiting, ShopProcess(url, base_url, key) as notified:
            yield sandbox, waiting, notified


@pytest_asyncio.fixture(loop_scope="module")
async def processes(two: tuple[Sandbox, ShopProcess, ShopProcess], request: pytest.FixtureRequest) -> Processes:
    sandbox, waiting, notified = two
    waiting.ran.clear()
    notified.ran.clear()
    async with sandbox.session() as session:
        order = await session.make_qr_order(
            order_name="Tea", amount=450, currency="AUD", out_order_no=request.node.name, platform="WECHATPAY"
        )
    assert order.order_no
    await sandbox.customer.pays(order.order_no)
    return Processes(sandbox, waiting, notified, order.order_no)


async def test_a_wait_that_comes_first_ends_with_the_notification(processes: Processes) -> None:
    """``wait_for_notification`` in one process, the notification in the other."""
    await processes.waiting.begin("wait_for_notification", processes.number, timeout=60)
    await processes.notify()
    assert await processes.waiting.next() == {"method": "wait_for_notification", **processes.paid}


async def test_a_wait_that_comes_after_the_notification_ends_at_once(processes: Processes) -> None:
    """The confirmation is remembered in the backend, where both find it."""
    await processes.notify()
    result = await processes.waiting.call("wait_for_notification", processes.number, timeout=60)
    assert result == {"method": "wait_for_notification", **processes.paid}


@pytest.mark.parametrize("method", ["poll_until_paid", "settle"])
async def test_a_poll_ends_with_a_notification_in_another_process(processes: Processes, method: str) -> None:
    """It would have asked the gateway only after an hour. The handler runs once, in the process that was notified."""
    await processes.waiting.begin(method, processes.order_no, first_wait=3600, timeout=None)
    result = asyncio.create_task(processes.waiting.next())
    while not result.done():  # a notification before the poll has begun to listen is missed
        await processes.notify()
        await asyncio.sleep(0.05)
    assert await result == {"method": method, **processes.paid}
    assert (processes.notified.ran, processes.waiting.ran) == ([processes.order_no], [])


@pytest.mark.parametrize("method", ["poll_until_paid", "settle"])
async def test_a_poll_after_a_notification_in_another_process_runs_nothing_again(
    processes: Processes, method: str
) -> None:
    """The poll finds the order paid, and ``settle`` finds it fulfilled."""
    await processes.notify()
    result = await processes.waiting.call(method, processes.order_no, first_wait=0)
    assert result == {"method": method, **processes.paid}
    assert (processes.notified.ran, processes.waiting.ran) == ([processes.order_no], [])
