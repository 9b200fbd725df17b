"""Our own transport: an ``httpx.AsyncHTTPTransport`` whose connection pool is replaced.

So programs that patch ``httpx.AsyncHTTPTransport.handle_async_request`` (OpenTelemetry's instrumentation, pytest-httpx)
see the session's requests. (``patched_client`` is for programs that patch ``httpx.AsyncClient``, and ``client`` uses
httpx's own transport while methods of httpcore are patched.) While nothing is patched, ``exchange`` sends the same
request over the same connections without httpx's objects, which take longer to make than to send.

``_pool`` is the one private name of httpx that is used here; a test fails if httpx renames it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpcore
import httpx

from .attempt import ATTEMPT
from .requests import address_of

if TYPE_CHECKING:
    import ssl

    from .attempt import Attempt
    from .connection import RawHeaders, Reply
    from .network import Network


class HTTPTransport(httpx.AsyncHTTPTransport):
    """Sends the requests of a session over connections of ``network``."""

    _pool: Any

    def __init__(self, network: Network, context: ssl.SSLContext) -> None:
        super().__init__(verify=context)
        self._pool = _Pool(network, context)

    async def exchange(self, attempt: Attempt, method: bytes, headers: RawHeaders) -> Reply:
        """Send a request over a connection of our own, and return the reply. httpx does not see it.

        Raises:
            httpx.TransportError: there is no connection, or no reply.
            TooLateError: it is a money call, and its time to be sent is over; nothing was sent.
        """
        pool: _Pool = self._pool
        return await pool.exchange(attempt, method, headers)


class _Pool:
    """What httpx needs of a connection pool. The attempt of a request holds the connection that it uses."""

    def __init__(self, network: Network, context: ssl.SSLContext) -> None:
        self._network = network
        self._context = context

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        reply = await self.exchange(request.extensions[ATTEMPT], request.method, tuple(request.headers))
        return httpcore.Response(reply.status, headers=reply.headers, content=reply.body)

    async def exchange(self, attempt: Attempt, method: bytes, headers: RawHeaders) -> Reply:
        address = address_of(attempt)
        connection = attempt.connection
        if connection is not None and not connection.is_usable():
            connection.abort()
            connection = None
        if connection is None:
            attempt.connection = None
            attempt.begin_connecting()
            connection = await self._network.connect(attempt.node.base_url, address, self._context)
            attempt.connection = connection
            attempt.sign()  # again, if connecting took long
            if await connection.has_spoken():
                raise httpx.ConnectError("the server sent something before the request")
        # No await from here to the write: what was found out about the connection is still true.
        attempt.scope.watch(connection.count_received)
        attempt.begin_sending()
        return await connection.send(method, attempt.target(address.raw_path), headers)

    async def aclose(self) -> None:
        await self._network.aclose()
