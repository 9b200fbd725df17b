"""The transport of ``AsyncOmipay.http`` when it is used directly: it signs nothing and takes no slot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable

    from .proxies import Proxy


class UnsignedTransport(httpx.AsyncBaseTransport):
    """The user's transport, or transports of httpx: one for each proxy that the environment names.

    Args:
        given: The transport that the user gave; ``aclose`` closes it too.
        proxy_of: Returns the proxy that a URL is reached through, or None.
        new: Makes a transport for a proxy.
    """

    def __init__(
        self,
        given: httpx.AsyncBaseTransport | None,
        proxy_of: Callable[[httpx.URL], Proxy | None],
        new: Callable[[Proxy | None], httpx.AsyncBaseTransport],
    ) -> None:
        self._given = given
        self._proxy_of = proxy_of
        self._new = new
        self._transports: dict[Proxy | None, httpx.AsyncBaseTransport] = {}

    def forget(self) -> None:
        """Forget the transports, since they belong to the event loop that was used before."""
        self._transports.clear()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request unchanged."""
        if self._given is not None:
            return await self._given.handle_async_request(request)
        proxy = self._proxy_of(request.url)
        if proxy not in self._transports:
            self._transports[proxy] = self._new(proxy)
        return await self._transports[proxy].handle_async_request(request)

    async def aclose(self) -> None:
        """Close every transport."""
        for transport in [*self._transports.values(), *([] if self._given is None else [self._given])]:
            await transport.aclose()
