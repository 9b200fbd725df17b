"""Our own transport: an ``httpx.AsyncHTTPTransport`` whose connection pool is replaced.

So programs that patch ``httpx.AsyncHTTPTransport.handle_async_request`` (OpenTelemetry's instrumentation, pytest-httpx)
see the session's requests. Where methods of httpcore are patched (by respx), our pool passes the request to httpcore's
pool: a test suite that mocks the gateway must never reach the real one.

``_pool`` is the one private name of httpx that is used here; a test fails if httpx renames it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import httpcore
import httpx

from .attempt import ATTEMPT

if TYPE_CHECKING:
    import ssl

    from .attempt import Attempt
    from .network import Network

_PATCHED_BY_MOCKS: Final = (httpcore.AsyncConnectionPool, httpcore.AsyncHTTPConnection)


class HTTPTransport(httpx.AsyncHTTPTransport):
    """Sends the requests of a session over connections of ``network``."""

    def __init__(self, network: Network, context: ssl.SSLContext) -> None:
        super().__init__(verify=context, limits=httpx.Limits(max_keepalive_connections=0))
        context.set_alpn_protocols(["http/1.1"])
        self._pool: Any = _Pool(self._pool, network, context)


class _Pool:
    """What httpx needs of a connection pool. The attempt of a request holds the connection that it uses."""

    def __init__(self, below: httpcore.AsyncConnectionPool, network: Network, context: ssl.SSLContext) -> None:
        self._below = below
        self._network = network
        self._context = context

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        if httpcore_is_patched():
            return await self._below.handle_async_request(request)
        attempt: Attempt = request.extensions[ATTEMPT]
        connection = attempt.connection
        if connection is not None and not connection.is_usable():
            connection.abort()
            connection = None
        if connection is None:
            attempt.connection = None
            attempt.begin_connecting()
            connection = await self._network.connect(attempt.node.base_url, request.url, self._context)
            attempt.connection = connection
            attempt.sign()  # again, if connecting took long
            if await connection.has_spoken():
                raise httpx.ConnectError("the server sent something before the request")
        # No await from here to the write: what was found out about the connection is still true.
        attempt.begin_sending()
        attempt.scope.watch(connection.count_received)
        reply = await connection.send(request.method, attempt.target(_path(request)), request.headers)
        return httpcore.Response(reply.status, headers=reply.headers, content=reply.body)

    async def aclose(self) -> None:
        await self._network.aclose()
        if self._below.connections:  # those of a mock; even to close an empty pool httpcore loads anyio
            await self._below.aclose()


def _path(request: httpcore.Request) -> bytes:
    return request.url.target.partition(b"?")[0]


def httpcore_is_patched() -> bool:
    """Whether the methods of httpcore were replaced by another program.

    A method of httpcore comes from the same module as the rest of its class. This holds even if this module is first
    imported while a mock is active.
    """
    return any(
        getattr(kind.handle_async_request, "__globals__", None) is not kind.__init__.__globals__
        for kind in _PATCHED_BY_MOCKS
    )
