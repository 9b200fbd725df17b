"""Replies that are longer than what is read at once, over real sockets, on both event loops."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from omipay_async import OutcomeUnknown, RetryPolicy, ScanOrder
from tests.support.waiting import until

from .behaviours import message
from .client import open_session, scan
from .server import url_of

if TYPE_CHECKING:
    import ssl

    from .conftest import Certified

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])


class HastyServer:
    """Answers one money call with a long reply and closes the connection at once, whether or not anybody reads."""

    def __init__(self, length: int, context: ssl.SSLContext | None) -> None:
        self._reply = message(
            b'{"return_code": "SUCCESS", "refund_no": "RF1"}'.ljust(length), "200 OK", "Connection: close"
        )
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.asked = threading.Event()
        self.base_url = url_of(self._listener.getsockname()[1], "http" if context is None else "https")
        self.thread = threading.Thread(target=self._answer)

    def _answer(self) -> None:
        with self._listener, self._listener.accept()[0] as plain:
            connection = plain if self._context is None else self._context.wrap_socket(plain, server_side=True)
            with connection:
                connection.recv(65_536)
                self.asked.set()
                connection.sendall(self._reply)


@pytest.mark.parametrize("length", [50_000, 250_000, 600_000])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
async def test_a_long_reply_is_read_to_its_end_although_the_server_has_closed(
    certified: Certified, length: int, tls: bool
) -> None:
    """All of it is in the socket before the first byte is read, and so is the end."""
    server = HastyServer(length, certified.server if tls else None)
    server.thread.start()
    async with open_session(server.base_url, verify=certified.client, retry=RetryPolicy(attempts=1)) as omipay:
        refunding = asyncio.create_task(omipay.refund(order_no="TR1", out_refund_no="R-1", amount=1))
        await until(server.asked.is_set, "the request to arrive")
        server.thread.join(5)  # the event loop stands still
        assert (await refunding).refund_no == "RF1"


@pytest.mark.parametrize("cut", [0, 1])
async def test_a_reply_that_ends_with_its_connection(certified: Certified, cut: int) -> None:
    """Without a ``close_notify`` it counts all the same if it is whole, and not if its last byte is missing."""
    body = b'{"return_code": "SUCCESS", "order_no": "OM-1"}'
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        plain, _ = listener.accept()
        with certified.server.wrap_socket(plain, server_side=True) as secure:
            while not secure.recv(65536).endswith(b"\r\n\r\n"):
                pass
            secure.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + body[: len(body) - cut])

    port = listener.getsockname()[1]
    answering = asyncio.create_task(asyncio.to_thread(answer))
    async with open_session(f"https://127.0.0.1:{port}/omipay/api", verify=certified.client) as omipay:
        (ended,) = await asyncio.gather(scan(omipay, "A-1"), return_exceptions=True)
    await answering
    listener.close()
    assert type(ended) is (OutcomeUnknown if cut else ScanOrder)
