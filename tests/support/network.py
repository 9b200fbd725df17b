"""A network in memory below the session's connections, its own and httpx's: each byte that is sent is kept, each reply
is the test's own.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any, cast

import httpcore

from omipay_async.transport import client, network as own
from omipay_async.transport.connection import Connection

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Iterable, Mapping

    import httpx
    import pytest

    from omipay_async.transport.attempt import Attempt
    from omipay_async.transport.tls_records import TLSRecords


def reply(body: Mapping[str, Any], *, then: bytes = b"") -> bytes:
    """A complete reply, and bytes that follow it."""
    content = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b%b" % (len(content), content, then)


TUNNEL = b"HTTP/1.1 200 Connection established\r\n\r\n"
"""The answer of a proxy to a CONNECT."""


class Stream:
    """One connection: each request gets the next reply."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.sent = b""
        self.closed = False

    def answer(self, sent: bytes) -> bytes:
        """The reply to a request."""
        self.sent += sent
        return self.network.replies.pop(0) if sent.endswith(b"\r\n\r\n") else b""


def deliver(protocol: Connection | TLSRecords, data: bytes) -> None:
    """Hand ``data`` to a protocol as an event loop does: through its buffer."""
    while data:
        buffer = protocol.get_buffer(-1)
        size = min(len(buffer), len(data))
        buffer[:size] = data[:size]
        protocol.buffer_updated(size)
        data = data[size:]


class SilentSocket:
    """A socket from which there is never anything to read."""

    _reader, _writer = os.pipe()

    def fileno(self) -> int:
        """For the operating system."""
        return self._reader

    def setsockopt(self, *_: int) -> None:
        """For the operating system."""


class ProtocolStream(SilentSocket, Stream, asyncio.Transport):
    """A connection of the session's own: asyncio's transport, and the socket below it."""

    protocol: Connection

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send, and receive the reply unless it is empty."""
        if answer := self.answer(bytes(data)):
            asyncio.get_running_loop().call_soon(deliver, self.protocol, answer)

    def abort(self) -> None:
        """Close the connection."""
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def close(self) -> None:
        """Close only the socket, because the event loop has ended."""
        self.closed = True

    def is_closing(self) -> bool:
        """Whether our side closed the connection."""
        return self.closed


class BackendStream(Stream, httpcore.AsyncNetworkStream):
    """A connection of httpx's own."""

    _unread = b""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """The bytes that have arrived."""
        read, self._unread = self._unread[:max_bytes], self._unread[max_bytes:]
        return read

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send, and receive the reply."""
        self._unread += self.answer(buffer)

    async def aclose(self) -> None:
        """Close the connection."""
        self.closed = True

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Finish the handshake at once."""
        return self

    def get_extra_info(self, info: str) -> Any:
        """There is no information."""
        return None


class Network(httpcore.AsyncNetworkBackend):
    """The connections that were opened, and the replies that are still to be given."""

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

    def replace_sockets(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let all connections go over this network."""
        network = self
        httpx_transport: Callable[..., Any] = client.HTTPClient._httpx_transport

        def over_this_network(*of_client: Any) -> Any:
            transport = httpx_transport(*of_client)
            transport._pool._network_backend = network
            return transport

        class OwnNetwork(own.Network):
            async def connect(self, address: httpx.URL, attempt: Attempt | None = None) -> Connection:
                stream = await network.open_stream()
                connection = Connection(cast("socket.socket", stream), self.connections.discard, tls=False)
                stream.protocol = connection
                connection.connection_made(stream)
                self.connections.add(connection)
                return connection

        monkeypatch.setattr(client.HTTPClient, "_httpx_transport", over_this_network)
        monkeypatch.setattr(client, "Network", OwnNetwork)
