"""One connection of our own, and a server that acts step by step: what is noticed before the event loop runs."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
import time
from typing import TYPE_CHECKING, cast

import httpx
import pytest

from omipay_async.transport.exchange import Exchange
from omipay_async.transport.network import Network
from tests.support.untyped import untyped
from tests.support.waiting import until

from .client import open_session, query

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from omipay_async.transport.connection import Connection
    from omipay_async.transport.exchange import Reply

    from .conftest import Certified
    from .server import Gateway

HEADERS = ((b"Host", b"127.0.0.1"),)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server that accepts when the test calls ``accept``."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def network(certified: Certified) -> Network:
    return Network(certified.client)


async def connected(network: Network, listener: socket.socket) -> tuple[Connection, socket.socket]:
    """A new connection, and the server's end of it."""
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    connection = await network.connect(httpx.URL(url))
    return connection, listener.accept()[0]


async def test_a_program_may_have_more_than_1024_open_files(network: Network, listener: socket.socket) -> None:
    """``select`` cannot be asked about files with larger numbers."""
    resource = pytest.importorskip("resource", reason="Windows limits the number of files in another way")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as until_end:
        until_end.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
        for _ in range(1100):
            until_end.callback(os.close, os.dup(listener.fileno()))
        connection, peer = await connected(network, listener)
        assert connection.is_usable()
        peer.send(b"x")
        await until(lambda: not connection.is_usable(), "the byte to arrive")
        connection.abort()
        peer.close()


async def test_a_reset_that_lies_in_the_socket_is_seen(network: Network, listener: socket.socket) -> None:
    """Before the event loop has delivered it."""
    connection, peer = await connected(network, listener)
    assert connection.is_usable()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    time.sleep(0.01)  # the kernel has it, and nobody's event loop ran
    assert not connection.is_usable()
    await network.aclose()


async def test_a_fork_asks_over_no_connection_of_its_parent(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the two could read the reply to the other: an order that nobody has paid was PAID."""
    async with open_session(gateway) as omipay:
        for process in (1, 1, 2, 2):
            monkeypatch.setattr(os, "getpid", lambda process=process: process)
            await query(omipay, "OM-1")
    assert gateway.connections == 2


@pytest.mark.parametrize(
    ("url", "port"),
    [("https://gateway.test", 443), ("http://gateway.test", 80), ("https://gateway.test:8443", 8443)],
)
async def test_which_name_and_port_are_connected_to(
    network: Network, monkeypatch: pytest.MonkeyPatch, url: str, port: int
) -> None:
    """The name as it is, and the port of the address, or the standard one of its scheme."""
    asked: list[tuple[str, int]] = []

    def look_up(host: str, port: int, *_: object, **__: object) -> None:
        asked.append((host, port))
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(httpx.ConnectError, match="gaierror"):
        await network.connect(httpx.URL(url))
    assert asked == [("gateway.test", port)] * 2  # the first time as an address, which would need no resolver


async def test_nothing_is_sent_over_a_connection_that_is_closed(network: Network, listener: socket.socket) -> None:
    """By us or by the server."""
    connection, peer = await connected(network, listener)
    connection.abort()
    with peer:
        with pytest.raises(httpx.RemoteProtocolError, match="closed the connection at once"):
            connection.send(b"GET", b"/", HEADERS)
        await connection.gone
        assert peer.recv(100) == b""


async def test_a_server_that_closed_its_half_may_still_read(network: Network, listener: socket.socket) -> None:
    """A request is still sent to it, and fails because no reply can come."""
    connection, peer = await connected(network, listener)
    with peer:
        peer.shutdown(socket.SHUT_WR)
        await until(lambda: not connection.is_usable(), "the end to arrive")
        await until(lambda: connection._server_finished, "the event loop to deliver it")
        with pytest.raises(httpx.RemoteProtocolError, match="closed the connection before it had sent a reply"):
            await connection.send(b"GET", b"/asked", HEADERS)
        await network.aclose()
        assert peer.recv(100).startswith(b"GET /asked HTTP/1.1\r\n")


async def test_why_tls_has_ended_is_told(network: Network, listener: socket.socket) -> None:
    """In TLS 1.3 a server that demands a certificate refuses the connection when the request is on its way."""
    connection, peer = await connected(network, listener)
    reply = connection.send(b"GET", b"/", HEADERS)
    alert = ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required")
    alert.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    untyped(connection)._transport._force_close(alert)  # as asyncio's TLS does
    with peer, pytest.raises(httpx.ReadError, match=r"lost \(SSLError: TLSV13_ALERT_CERTIFICATE_REQUIRED\)$"):
        await reply
    await network.aclose()


async def test_a_request_is_written_before_its_reader_is_made(
    network: Network, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So as little as possible lies between the last look at the clock and the write: a charge must not leave late."""
    connection, peer = await connected(network, listener)
    make, arrived = Exchange.__init__, list[bytes]()

    def after_the_write(exchange: Exchange, reply: asyncio.Future[Reply]) -> None:
        peer.settimeout(5)
        arrived.append(peer.recv(100))
        make(exchange, reply)

    monkeypatch.setattr(Exchange, "__init__", after_the_write)
    with peer:
        connection.send(b"GET", b"/asked", HEADERS).cancel()
        assert arrived == [b"GET /asked HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"]
        await network.aclose()


async def test_a_reply_is_not_printed(network: Network, listener: socket.socket) -> None:
    """It may repeat a signature. Asyncio logs what a task waits for if its event loop is closed at that moment."""
    connection, peer = await connected(network, listener)
    waited_for = connection.send(b"GET", b"/", HEADERS)
    peer.sendall(b"HTTP/1.1 302 Found\r\nLocation: /?sign=8516A3\r\nContent-Length: 11\r\n\r\nsign=8516A3")
    assert (await waited_for).body == b"sign=8516A3"
    assert "status=302" in repr(waited_for)
    assert "8516A3" not in repr(waited_for)
    peer.close()
    await network.aclose()


async def test_a_connection_that_is_closed_is_forgotten(network: Network, listener: socket.socket) -> None:
    """By us or by the server: a session that lives for years keeps no trace of it."""
    ours, peer = await connected(network, listener)
    theirs, other_peer = await connected(network, listener)
    assert network.connections == {ours, theirs}
    ours.abort()
    other_peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    other_peer.close()
    with peer:
        await ours.gone
        await theirs.gone  # it was reset
    assert network.connections == set()


def test_the_connections_of_another_thread_may_close_meanwhile(network: Network) -> None:
    """Its event loop runs while a session is moved to this one, and may be closed at any moment."""
    aborted: list[object] = []

    class Other:
        """A connection, and its event loop."""

        def __init__(self, *, is_closed: bool) -> None:
            self.loop, self._is_closed = self, is_closed

        def call_soon_threadsafe(self, callback: Callable[[], object]) -> None:
            if self._is_closed:
                raise RuntimeError("Event loop is closed")
            network.connections.clear()
            callback()

        def abort(self) -> None:
            aborted.append(self)

    others = {Other(is_closed=False), Other(is_closed=True), Other(is_closed=False)}
    network.connections |= cast("set[Connection]", others)
    network.abandon()
    assert set(aborted) == others
