"""The sandbox on a socket: uvicorn in the loop that is running, without its signal handlers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import uvicorn

from .web.app import API, ConnectionDropped

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from .web.app import ASGIApp, Receive, Scope, Send


@contextlib.asynccontextmanager
async def serve(app: ASGIApp, host: str, port: int) -> AsyncGenerator[str]:
    """Serve ``app``; yields the base URL."""
    config = uvicorn.Config(
        _dropping(app), log_level="warning", access_log=False, lifespan="off", date_header=False, http="h11", ws="none"
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    with socket.create_server((host, port), family=_family(host)) as listener:
        # Neither serve() nor run(): the program that embeds us keeps its signals.
        await server.startup(sockets=[listener])
        try:
            name = f"[{host}]" if ":" in host else host
            yield f"http://{name}:{listener.getsockname()[1]}{API}"
        finally:
            await server.shutdown(sockets=[listener])


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _dropping(app: ASGIApp) -> Any:
    """An app whose dropped connections are dropped on the socket too: not a byte is answered."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        scope["extensions"] = {**scope.get("extensions", {}), "omipay.drop": {}}
        try:
            await app(scope, receive, send)
        except ConnectionDropped:
            # uvicorn gives an app no way to end a connection; its cycle, whose method `send` is, holds the socket.
            cycle: Any = getattr(send, "__self__")  # noqa: B009 - not a part of the type
            cycle.transport.abort()
            while not cycle.disconnected:  # noqa: ASYNC110 - a turn or two of the loop, until the socket is told gone
                await asyncio.sleep(0)

    return call
