"""The sandbox as an httpx transport: no port, no server. Imported late, for only this module needs httpx."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from .asgi import ConnectionDropped

if TYPE_CHECKING:
    from .asgi import ASGIApp


class SandboxTransport(httpx.AsyncBaseTransport):
    """Sends each request into an ASGI app; a dropped connection looks as it does on a real one."""

    any_loop = True
    """It holds no connection: a session may use it from one event loop after another."""

    def __init__(self, app: ASGIApp) -> None:
        self._inner = httpx.ASGITransport(app=app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The app's answer. Raises httpx.ReadError where the sandbox drops the connection."""
        try:
            return await self._inner.handle_async_request(request)
        except ConnectionDropped as dropped:
            # Whether the gateway acted cannot be told from here, any more than on a socket.
            message = "the connection ended before an answer came"
            raise httpx.ReadError(message, request=request) from dropped
