"""A process of a shop that is to be killed: it charges, refunds, receives notifications and sweeps until then."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from omipay_async.errors import OmipayError
from omipay_async.sandbox import PaymentCode
from omipay_async.session import AsyncOmipay
from omipay_async.sql import Books
from tests.support.untyped import untyped

if TYPE_CHECKING:
    from omipay_async.models import Order

LEASE_S = 1.0
CODES = (
    PaymentCode.PAID,
    PaymentCode.PAID,
    PaymentCode.PAID_AFTER_QUERIES,
    PaymentCode.NOT_ENOUGH,
    PaymentCode.SYSTEM_ERROR_ACTED,
)
IN_THE_WORKER = (
    "before opening",
    "after opening",
    "before closing",
    "after closing",
    "in the handler",
    "before its commit",
    "after its commit",
    "before finish",
    "after finish",
)
"""Where a worker kills itself. At the points ``AT_THE_GATEWAY`` the gateway kills it."""


class Death:
    """Kills this process when a point is passed for the n-th time."""

    def __init__(self, point: str, times: int) -> None:
        self.point = point
        self.left = times

    def __call__(self, point: str) -> None:
        if point == self.point:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class DyingBooks(Books):
    """Books that kill the process at these points."""

    death: Death

    async def opening(self, entry: Any) -> None:
        self.death("before opening")
        await super().opening(entry)
        self.death("after opening")

    async def closing(self, entry: Any) -> None:
        self.death("before closing")
        await super().closing(entry)
        self.death("after closing")

    async def finish(self, key: str, owner: str) -> bool:
        self.death("before finish")
        done = await super().finish(key, owner)
        self.death("after finish")
        return done


class Shop:
    """The shop that the process runs."""

    def __init__(self, omipay: AsyncOmipay, books: DyingBooks, port: int) -> None:
        self._omipay = omipay
        self._books = books
        self._notify_url = f"http://127.0.0.1:{port}/notify"
        self._paid: list[tuple[str, int]] = []
        self._number = 0
        self._random = random.Random()
        self._handling: set[AsyncConnection] = set()
        self.handler = books.transactional(self.ship)
        self._mark_commits()

    def _mark_commits(self) -> None:
        commit, death, handling = AsyncConnection.commit, self._books.death, self._handling

        async def marked(connection: AsyncConnection) -> None:
            of_a_handler = connection in handling
            if of_a_handler:
                death("before its commit")
            await commit(connection)
            if of_a_handler:
                death("after its commit")

        untyped(AsyncConnection).commit = marked  # this process is about to die

    async def ship(self, order: Order, connection: AsyncConnection) -> None:
        await connection.execute(text("INSERT INTO outbox (order_no) VALUES (:number)"), {"number": order.order_no})
        self._books.death("in the handler")
        self._handling.add(connection)
        self._paid.append((order.order_no, order.amount))

    def _new_number(self) -> str:
        self._number += 1
        return f"W{os.getpid()}-{self._number}-{os.urandom(4).hex()}"

    async def _charge(self) -> None:
        common: dict[str, Any] = {"order_name": "Tea", "amount": 100 + self._number, "currency": "AUD"}
        common |= {"out_order_no": self._new_number(), "notify_url": self._notify_url}
        if self._random.random() < 0.5:
            await self._omipay.make_scan_order(**common, qrcode=self._random.choice(CODES), pos_no="till-1")
        else:
            await self._omipay.make_qr_order(**common, platform="WECHATPAY")

    async def _refund(self) -> None:
        if self._paid:
            order_no, amount = self._paid.pop()
            await self._omipay.refund(order_no=order_no, out_refund_no=self._new_number(), amount=amount // 2)

    async def trade(self) -> None:
        """Charge and refund until the process is killed."""
        while True:
            with contextlib.suppress(OmipayError):
                await (self._refund() if self._random.random() < 0.3 else self._charge())

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one notification, which has its own connection."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = int(head.partition("content-length:")[2].split("\r\n")[0])
            reply = await self._omipay.receive_notification(await reader.readexactly(length), self.handler)
            lines = f"HTTP/1.1 {reply.status} X\r\nContent-Type: application/json\r\nConnection: close\r\n"
            writer.write(f"{lines}Content-Length: {len(reply.body)}\r\n\r\n".encode() + reply.body)
            await writer.drain()
        writer.close()


def main(base_url: str, database: str, port: int, point: str, times: int) -> None:
    """Run a worker until it is killed."""
    asyncio.run(_main(base_url, database, port, Death(point, times)))


async def _main(base_url: str, database: str, port: int, death: Death) -> None:
    books = DyingBooks(database, lease=LEASE_S)
    books.death = death
    async with books, session(base_url, books) as omipay:
        shop = Shop(omipay, books, port)
        async with await asyncio.start_server(shop.answer, "127.0.0.1", port):
            await asyncio.gather(shop.trade(), shop.trade(), books.run(omipay, shop.handler, every=0.2))


def session(base_url: str, books: Books) -> AsyncOmipay:
    """A session of the shop."""
    return AsyncOmipay("123456", "secret", base_url=base_url, journal=books, backend=books, timeout=10)
