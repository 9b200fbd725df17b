"""The sandbox as a transport of httpx, without a port. It is imported late, because it needs httpx."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from .asgi import ConnectionDropped

if TYPE_CHECKING:
    from starlette.types import ASGIApp


class SandboxTransport(httpx.AsyncBaseTransport):
    """Sends each request to an ASGI app; a dropped connection is the error that a real one would be."""

    any_loop = True
    """It holds no connection: a session may use it from one event loop after another."""

    def __init__(self, app: ASGIApp) -> None:
        self._inner = httpx.ASGITransport(app=app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The app's answer. Raises httpx.ReadError if the sandbox drops the connection."""
        try:
            return await self._inner.handle_async_request(request)
        except ConnectionDropped as dropped:
            # As on a real connection, the error does not tell whether the gateway acted.
            message = "the connection ended before an answer came"
            raise httpx.ReadError(message, request=request) from dropped
