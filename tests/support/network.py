"""A network in memory below the session's connections, its own and httpx's: each byte that is sent is kept, each reply
is the test's own.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, cast

import httpcore
import httpx

from omipay_async.transport import network as own
from omipay_async.transport.connection import Connection

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Iterable, Mapping

    import pytest


def reply(body: Mapping[str, Any], *, then: bytes = b"") -> bytes:
    """A whole reply, and what the server says beyond it."""
    content = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b%b" % (len(content), content, then)


TUNNEL = b"HTTP/1.1 200 Connection established\r\n\r\n"
"""What a proxy answers to a CONNECT."""


class Stream:
    """One connection: each request gets the next reply."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.sent = b""
        self.closed = False

    def answer(self, sent: bytes) -> bytes:
        """What comes back at once."""
        self.sent += sent
        return self.network.replies.pop(0) if sent.endswith(b"\r\n\r\n") else b""


class ProtocolStream(Stream, asyncio.Transport):
    """A connection of the session's own: asyncio's transport, and the socket below it."""

    protocol: Connection

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send, and be answered, unless the reply is empty."""
        if answer := self.answer(bytes(data)):
            asyncio.get_running_loop().call_soon(self.protocol.data_received, answer)

    def abort(self) -> None:
        """Hang up."""
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def close(self) -> None:
        """Close the socket alone: the event loop is gone."""
        self.closed = True

    def is_closing(self) -> bool:
        """Whether we hung up."""
        return self.closed

    def recv(self, *_: int) -> bytes:
        """Nothing lies in the socket."""
        raise BlockingIOError


class BackendStream(Stream, httpcore.AsyncNetworkStream):
    """A connection of httpx's own."""

    _unread = b""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What has come."""
        read, self._unread = self._unread[:max_bytes], self._unread[max_bytes:]
        return read

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send, and be answered."""
        self._unread += self.answer(buffer)

    async def aclose(self) -> None:
        """Hang up."""
        self.closed = True

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Agree at once."""
        return self

    def get_extra_info(self, info: str) -> Any:
        """Nothing."""
        return None


class Network(httpcore.AsyncNetworkBackend):
    """Every connection that was opened, and the replies that are left."""

    def __init__(self, replies: Iterable[bytes] = (), connecting: Callable[[], object] = lambda: None) -> None:
        self.replies = list(replies)
        self.streams: list[Stream] = []
        self.connecting = connecting
        """Called while a connection is being opened."""
        self.tls_hangs = False
        self.connecting_hangs = False
        """Of connections of httpx's own."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Open a connection of httpx's own."""
        if self.connecting_hangs:
            await asyncio.get_running_loop().create_future()
        stream = BackendStream(self)
        self.streams.append(stream)
        return stream

    async def open_stream(self) -> ProtocolStream:
        """Open a connection of the session's own, TLS included."""
        self.connecting()
        stream = ProtocolStream(self)
        self.streams.append(stream)
        try:
            if self.tls_hangs:
                await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            stream.closed = True
            raise
        return stream

    def carries(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let all connections go over this network."""
        network = self

        class Transport(httpx.AsyncHTTPTransport):
            def __init__(self, **options: Any) -> None:
                super().__init__(**options)
                self._pool._network_backend = network

        class OwnNetwork(own.Network):
            async def connect(self, base_url: str, url: httpcore.URL, context: ssl.SSLContext) -> Connection:
                self._loop = asyncio.get_running_loop()
                stream = await network.open_stream()
                connection = Connection(cast("socket.socket", stream), base_url, self.connections.discard, tls=False)
                stream.protocol = connection
                connection.connection_made(stream)
                self.connections.add(connection)
                return connection

        monkeypatch.setattr(httpx, "AsyncHTTPTransport", Transport)
        monkeypatch.setattr(own, "Network", OwnNetwork)
