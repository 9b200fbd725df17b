"""The client that users reach as ``omipay.http``, and the requests that go through a client because one is patched.

Sentry, Elastic APM, New Relic and Datadog patch the methods of ``httpx.AsyncClient``, and so do mocks: pook, respx with
``using="httpx"``, vcrpy below 8, tests that replace ``AsyncClient.get``. Then each request goes through a client of its
own. If only a method of ``omipay.http`` was replaced, or its transport, it goes through that client. Either client gets
a request without a signature; what it gives to its transport is the signed one.

(Elastic APM patches httpcore too, and writes down the signed URL that it sees there, unless it has seen the request of
a client before.)

``_transport``, and the methods whose names begin like that, are private names of httpx: a test fails if it renames one.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import attrs
import httpx

from .attempt import SentAlreadyError
from .evidence import proves_unsent
from .patches import TRANSPORT_METHOD, WatchedMethods

if TYPE_CHECKING:
    from collections.abc import Callable

    from .attempt import Attempt
    from .proxies import Proxy
    from .requests import Route

_STEPS: Final = (
    "send",
    "_send_handling_auth",
    "_send_handling_redirects",
    "_send_single_request",
    "_transport_for_url",
)
"""The methods by which a client sends a request. Each calls the next one."""
_ENTRIES: Final = ("get", "post", "request")
"""The methods of a client that programs call, which make a request and send it."""
_METHODS: Final = (*_STEPS, *_ENTRIES)
_CLASS_METHODS: Final = WatchedMethods(*_METHODS)
_CLASS_ENTRIES: Final = WatchedMethods(*_ENTRIES)
_SIGNED: Final = "omipay_async_signed"
"""The extension of a request of the session's own client: the transport that sends the signed request in its place."""


@attrs.frozen(eq=False, repr=False)
class SessionClient:
    """The client that users reach as ``omipay.http``, with its transport."""

    http: httpx.AsyncClient
    transport: httpx.AsyncBaseTransport

    def any_is_patched(self) -> bool:
        """Whether another program watches or mocks this client, or every client."""
        return self._is_patched() or _CLASS_METHODS.are_replaced(httpx.AsyncClient)

    def _is_patched(self) -> bool:
        """Whether this client has another method or transport, or (by ``instrument_client``) its transport has."""
        own = vars(self.http)
        if own.get("_transport") is not self.transport or TRANSPORT_METHOD in vars(self.transport):
            return True
        return not own.keys().isdisjoint(_METHODS)

    async def send(self, unsigned: httpx.Request, route: Route, attempt: Attempt) -> httpx.Response:
        """Send the request of ``attempt`` over ``route``. What has patched a client sees ``unsigned`` in its place.

        It goes through this client if this one is patched; else through a new one, with the methods of the class.
        """
        signed = _Signed(route, attempt)
        try:
            response = await self._response(unsigned, signed)
        except Exception:
            signed.note_failure()
            raise
        if signed.encoding is not None:
            response.headers["Content-Encoding"] = signed.encoding
        return response

    async def _response(self, unsigned: httpx.Request, signed: _Signed) -> httpx.Response:
        options: dict[str, Any] = {}
        if self._is_patched():
            client, options["extensions"] = self.http, {_SIGNED: signed}  # by which its transport finds ``signed``
        else:
            client = httpx.AsyncClient(transport=signed)  # without extensions, which a mock of the class may not take
        if _CLASS_ENTRIES.are_replaced(httpx.AsyncClient) or not vars(client).keys().isdisjoint(_ENTRIES):
            entry = client.get if unsigned.method == "GET" else client.post
            return await entry(unsigned.url, headers=unsigned.headers, **options)
        unsigned.extensions |= options.get("extensions", {})
        return await client.send(unsigned, stream=True)


class UnsignedTransport(httpx.AsyncBaseTransport):
    """The transport of ``omipay.http``, which signs nothing and takes no slot.

    It is the user's, or transports of httpx: one for each proxy that the environment names.

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
        """Send the request unchanged, or the signed one of the session that it stands for."""
        if _SIGNED in request.extensions:
            signed: _Signed = request.extensions[_SIGNED]
            return await signed.handle_async_request(request)
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


class _Signed(httpx.AsyncBaseTransport):
    """Sends the signed request of an attempt, whatever request the client has."""

    def __init__(self, route: Route, attempt: Attempt) -> None:
        self._route = route
        self._attempt = attempt
        self._is_used = False
        self._may_have_arrived = False
        """Whether a transport may have sent the request, as far as its own errors tell."""
        self.encoding: str | None = None
        """The reply's ``Content-Encoding``. The client, which would fail if it is wrong, gets the reply without it."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        del request  # it was to be seen, not to be sent
        if self._is_used and self._attempt.moves_money:
            raise SentAlreadyError("what has patched the client tried to send it once more")
        self._is_used = True
        response = await self._response()
        self._attempt.note_sent()  # whatever is raised on the way back
        response.extensions = {}  # the server's words, which the client would log
        response.headers.pop("Location", None)  # the client would read it, and fail if it cannot be read
        self.encoding = response.headers.pop("Content-Encoding", None)
        return response

    async def _response(self) -> httpx.Response:
        attempt, handled, before = self._attempt, sys.exception(), self._may_have_arrived
        self._may_have_arrived = True
        try:
            return await self._route.send(attempt)
        except Exception as error:
            if proves_unsent(attempt, error, handled):
                self._may_have_arrived = before
            raise

    def note_failure(self) -> None:
        """Note whether the request may have arrived: the client failed, perhaps by an error of what patched it."""
        if self._may_have_arrived and self._attempt.may_have_arrived:
            self._attempt.note_sent()
