"""A network in memory below httpx's own connections: each byte that is sent is kept, each reply is the test's own."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpcore
import httpx

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Mapping

    import pytest


def reply(body: Mapping[str, Any], *, then: bytes = b"") -> bytes:
    """A whole reply, and what the server says beyond it."""
    content = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b%b" % (len(content), content, then)


TUNNEL = b"HTTP/1.1 200 Connection established\r\n\r\n"
"""What a proxy answers to a CONNECT."""


class Stream(httpcore.AsyncNetworkStream):
    """One connection: each request gets the next reply."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.sent = b""
        self.closed = False
        self._unread = b""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What has come."""
        read, self._unread = self._unread[:max_bytes], self._unread[max_bytes:]
        return read

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send, and be answered."""
        self.sent += buffer
        if buffer.endswith(b"\r\n\r\n"):
            self._unread += self.network.replies.pop(0)

    async def aclose(self) -> None:
        """Hang up."""
        self.closed = True

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Agree at once, or never."""
        if self.network.tls_hangs:
            await asyncio.get_running_loop().create_future()
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

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Open a connection."""
        self.connecting()
        self.streams.append(Stream(self))
        return self.streams[-1]

    def carries(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let all connections of httpx's own go over this network."""
        network = self

        class Transport(httpx.AsyncHTTPTransport):
            def __init__(self, **options: Any) -> None:
                super().__init__(**options)
                self._pool._network_backend = network

        monkeypatch.setattr(httpx, "AsyncHTTPTransport", Transport)
