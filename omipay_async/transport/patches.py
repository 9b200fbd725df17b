"""For programs that have patched httpx or httpcore, tracers and mocks: they must see the session's requests.

A session needs neither library's objects to send a request, and makes none while nothing is patched. But without them,
a test suite that mocks the gateway would reach the real gateway. So what is sent depends on what is patched:

- the client: Sentry, Elastic APM, New Relic and Datadog do so, and mocks: pook, respx with ``using="httpx"``, vcrpy
  below 8, tests that replace ``AsyncClient.get``. Then ``send_through_client`` sends the request through an
  ``httpx.AsyncClient``. If only a method of ``omipay.http`` was replaced, or its transport, it is that client.
  (Elastic APM, which has patched httpcore too, would otherwise write down the signed URL that it sees there: it does so
  unless it has seen the request of a client.)
- the transport: OpenTelemetry's instrumentation and pytest-httpx replace
  ``httpx.AsyncHTTPTransport.handle_async_request``. Then ``WatchedTransport`` sends the request, over our own
  connections.
- httpcore: ``client`` uses httpx's own transport then.

``_pool`` and ``_transport`` are private names of httpx; a test fails if httpx renames one.
"""

from __future__ import annotations

import sys
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

import attrs
import httpx

from omipay_async.errors import ConfigurationError

from .attempt import ATTEMPT, Progress, SentAlreadyError

if TYPE_CHECKING:
    import httpcore

    from .attempt import Attempt
    from .network import Network
    from .requests import Route

_TRANSPORT_METHOD: Final = "handle_async_request"
"""How the transports of httpx, and the pools and connections of httpcore, send a request."""
_TRANSPORT: Final = httpx.AsyncHTTPTransport
_STEPS: Final = (
    "send",
    "_send_handling_auth",
    "_send_handling_redirects",
    "_send_single_request",
    "_transport_for_url",
)
"""What a client does to send a request, one method within the other."""
_ENTRIES: Final = ("get", "post", "request")
"""The methods of a client that programs call, which make a request and send it."""
_METHODS: Final = frozenset((*_STEPS, *_ENTRIES))
SIGNED: Final = "omipay_async_signed"
"""The extension of a request of the session's own client: the transport that sends the signed request in its place."""


def client_is_patched(own: SessionClient) -> bool:
    """Whether another program has replaced a method by which a client sends a request, or the class."""
    return own.is_patched or _is_patched(httpx.AsyncClient, *_STEPS, *_ENTRIES)


def transport_is_patched() -> bool:
    """Whether another program watches or mocks httpx's transports, as OpenTelemetry and pytest-httpx do."""
    return _is_patched(_TRANSPORT, _TRANSPORT_METHOD)


def httpcore_is_patched() -> bool:
    """Whether another program has replaced a method of httpcore that sends requests, as respx and Elastic APM do."""
    httpcore = sys.modules.get("httpcore")  # if nobody has imported it, nobody has patched it
    kinds = [getattr(httpcore, name, None) for name in ("AsyncConnectionPool", "AsyncHTTPConnection")]
    # Another thread may be importing it at this moment: then it does not have them yet.
    return any(kind is not None and _is_patched(kind, _TRANSPORT_METHOD) for kind in kinds)


def _is_patched(kind: Any, *methods: str) -> bool:
    """Whether one of the ``methods`` of ``kind`` was replaced by another program.

    A method of its own is a function of the same module as ``__init__``. This holds even if this module is first
    imported while a mock is active.
    """
    own = getattr(kind.__init__, "__globals__", None)  # a class may have been replaced by a function
    for name in methods:
        method = getattr(kind, name, None)
        if type(method) is not FunctionType or method.__globals__ is not own:
            return True
    return False


# -- through a client -------------------------------------------------------------------------------------------------


@attrs.frozen
class SessionClient:
    """The client that users reach as ``omipay.http``, and its transport."""

    http: httpx.AsyncClient
    transport: httpx.AsyncBaseTransport

    @property
    def is_patched(self) -> bool:
        """Whether this client has another method or transport, or (by ``instrument_client``) its transport has."""
        own = vars(self.http)
        if own.get("_transport") is not self.transport or _TRANSPORT_METHOD in vars(self.transport):
            return True
        return not own.keys().isdisjoint(_METHODS)


async def send_through_client(
    unsigned: httpx.Request, route: Route, attempt: Attempt, own: SessionClient
) -> httpx.Response:
    """Send the request of ``attempt`` over ``route``. What patched the client sees ``unsigned`` in its place."""
    signed = _Signed(route, attempt)
    more: dict[str, Any] = {"extensions": {SIGNED: signed}} if own.is_patched else {}
    client = own.http if more else httpx.AsyncClient(transport=signed)
    if _is_patched(httpx.AsyncClient, *_ENTRIES) or not vars(client).keys().isdisjoint(_ENTRIES):
        entry = client.get if unsigned.method == "GET" else client.post
        response = await entry(unsigned.url, headers=unsigned.headers, **more)
    else:
        unsigned.extensions |= more.get("extensions", {})
        response = await client.send(unsigned, stream=True)
    if signed.encoding is not None:
        response.headers["Content-Encoding"] = signed.encoding
    return response


class _Signed(httpx.AsyncBaseTransport):
    """Sends the signed request of an attempt, whatever request the client has."""

    def __init__(self, route: Route, attempt: Attempt) -> None:
        self._route = route
        self._attempt = attempt
        self._is_used = False
        self.encoding: str | None = None
        """The reply's ``Content-Encoding``, without which the client gets it: it would fail if that is wrong."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        del request  # it was to be seen, not to be sent
        if self._is_used and self._attempt.moves_money:
            raise SentAlreadyError("what has patched the client tried to send it once more")
        self._is_used = True
        response = await self._route.send(self._attempt)
        self._attempt.progress = Progress.SENT  # whatever is raised on the way back
        response.extensions = {}  # the server's words, which the client would log
        response.headers.pop("Location", None)  # the client would read it, and fail if it cannot be read
        self.encoding = response.headers.pop("Content-Encoding", None)
        return response


# -- through a transport ----------------------------------------------------------------------------------------------


class WatchedTransport(httpx.AsyncHTTPTransport):
    """A transport of httpx that sends the requests of a session over its own connections.

    Raises:
        ConfigurationError: httpcore, which every transport of httpx needs, cannot be loaded.
    """

    _pool: Any

    def __init__(self, network: Network) -> None:
        try:
            super().__init__(verify=network.context)
        except (ImportError, OSError) as error:  # such as too many open files
            message = f"httpcore, which sends the requests, cannot be loaded: {type(error).__name__}: {error}"
            raise ConfigurationError(message) from error
        self._pool = _Pool(network)


class _Pool:
    """What httpx needs of a connection pool. The attempt of a request holds the connection that it uses."""

    def __init__(self, network: Network) -> None:
        self._network = network

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        import httpcore  # httpx has loaded it, to make this request

        reply = await self._network.exchange(request.extensions[ATTEMPT], request.method, tuple(request.headers))
        return httpcore.Response(reply.status, headers=reply.headers, content=reply.body)

    async def aclose(self) -> None:
        """The connections are the session's: other requests go over them."""
