"""The sandbox on a socket: uvicorn in the loop that is running, without its signal handlers."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
from typing import TYPE_CHECKING, Any

import attrs
import uvicorn

from .access import local_only
from .asgi import API, DROP, SURPLUS, ConnectionDropped

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from starlette.types import ASGIApp, Receive, Scope, Send


@contextlib.asynccontextmanager
async def serve(
    app: ASGIApp,
    host: str,
    port: int,
    *,
    allow_remote: bool = False,
    before_shutdown: Callable[[], object] = lambda: None,
) -> AsyncGenerator[str]:
    """Serve ``app``; yields the base URL.

    ``before_shutdown`` is called before the server waits for the requests that are under way.
    """
    config = uvicorn.Config(
        _with_faults(app if allow_remote else local_only(app)),
        log_level="warning",
        access_log=False,
        lifespan="off",
        date_header=False,
        http="h11",
        ws="none",
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    with listening(host, port) as listener:
        # Neither serve() nor run(): the program that embeds us keeps its signals.
        await server.startup(sockets=[listener])
        try:
            reached = _reached_at(host)
            name = f"[{reached}]" if ":" in reached else reached
            yield f"http://{name}:{listener.getsockname()[1]}{API}"
        finally:
            before_shutdown()
            await server.shutdown(sockets=[listener])


def _reached_at(host: str) -> str:
    """Where a client on this machine reaches what listens on ``host``, which may stand for all addresses it has."""
    with contextlib.suppress(ValueError):  # a name
        address = ipaddress.ip_address(host)
        if address.is_unspecified:
            return "127.0.0.1" if address.version == 4 else "::1"
    return host


def listening(host: str, port: int) -> socket.socket:
    """A listening socket on whose connections asyncio sends without delay.

    asyncio sets TCP_NODELAY on connections whose socket names TCP as its protocol. An accepted socket has the protocol
    of the listening one, which ``socket.create_server`` does not set: then the body of a reply, which is written after
    its headers, would wait about 40 ms for the peer's delayed acknowledgement.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # on Windows it would let two sandboxes listen on one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except BaseException:
        listener.close()
        raise
    return listener


def _with_faults(app: ASGIApp) -> ASGIApp:
    """An app that can end a connection without a byte and can send bytes after a reply, for the faults."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        # uvicorn does not give an app its connection, but the object that `send` is a method of has it.
        cycle: Any = getattr(send, "__self__")  # noqa: B009 - not a part of the type

        def add_surplus(data: bytes) -> None:
            cycle.transport = _TransportWithSurplus(cycle.transport, data)

        scope["extensions"] = {**scope.get("extensions", {}), DROP: {}, SURPLUS: add_surplus}
        try:
            await app(scope, receive, send)
        except ConnectionDropped:
            cycle.transport.abort()
            while not cycle.disconnected:  # noqa: ASYNC110 - one or two iterations, until uvicorn has noticed
                await asyncio.sleep(0)

    return call


@attrs.define
class _TransportWithSurplus:
    """A connection that sends ``surplus`` in one write with the end of the next reply."""

    _transport: asyncio.Transport
    _surplus: bytes

    def write(self, data: bytes) -> None:
        """Send ``data``. The headers of a reply are the first write, its body is the second."""
        is_body = not data.startswith(b"HTTP/1.1 ")
        surplus, self._surplus = (self._surplus, b"") if is_body and data else (b"", self._surplus)
        self._transport.write(data + surplus)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
