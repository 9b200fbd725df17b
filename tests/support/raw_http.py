"""HTTP over a real socket without an HTTP library, for requests that none would send; and a double of the session."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Self

from omipay_async.models import Order
from omipay_async.protocol.notifications import NotificationReply, failure, success

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ORDER = Order(order_no="TR1", status="PAID", out_order_no="A-1", currency="AUD", amount=450)
SUCCESS = b'{"return_code": "SUCCESS"}'
FAIL = b'{"return_code": "FAIL"}'


class Session:
    """A double of the session for the adapters: it keeps the bodies that it gets, and answers as a test has set it."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.error: Exception | None = None
        self.opened = self.closed = 0

    async def __aenter__(self) -> Self:
        self.opened += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        self.closed += 1

    @property
    def is_closed(self) -> bool:
        """Whether it was closed as often as it was opened."""
        return self.closed == self.opened

    async def receive_notification(
        self, body: bytes, handler: Callable[[Order], Awaitable[object]]
    ) -> NotificationReply:
        """Run the handler and answer SUCCESS, or answer FAIL."""
        self.bodies.append(body)
        if self.error is not None:
            return failure(503, self.error)
        await handler(ORDER)
        return success(ORDER, ran=True)


class Answer:
    """A parsed HTTP response."""

    def __init__(self, received: bytes) -> None:
        head, _, self.body = received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        self.status = int(first.split(" ")[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


async def exchange(port: int, *pieces: bytes, path: str = "/omipay/notify", headers: str = "") -> Answer:
    """POST the pieces as they are, and return what is answered before the server hangs up.

    Unless ``headers`` say otherwise the length is that of the pieces, and the connection closes after the answer.
    """
    headers = headers or f"Content-Length: {sum(map(len, pieces))}\r\nConnection: close\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"POST {path} HTTP/1.1\r\nHost: shop\r\n{headers}\r\n".encode())
        with contextlib.suppress(ConnectionError):  # the server may have answered and hung up
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
        return await answer(reader)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def answer(reader: asyncio.StreamReader) -> Answer:
    """The answer, without waiting for the connection to end."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(Answer(head).headers["content-length"])
    return Answer(head + await reader.readexactly(length))


def chunked(*pieces: bytes) -> list[bytes]:
    """The pieces in the chunked transfer encoding, without the last chunk that would end it."""
    return [f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces]


class Handler:
    """A handler that remembers what it was called with."""

    def __init__(self) -> None:
        self.orders: list[Any] = []

    async def __call__(self, order: Order) -> None:
        """Fulfil the order."""
        self.orders.append(order)
