"""For programs that have patched httpx or httpcore, tracers and mocks: they must see the session's requests.

A session needs neither library's objects to send a request, and makes none while nothing is patched. But without them,
a test suite that mocks the gateway would reach the real gateway. So what is sent depends on what is patched:

- a client: ``session_client`` sends the request through one, unless the user gave a transport that answers by itself.
- the transport: OpenTelemetry's instrumentation and pytest-httpx replace
  ``httpx.AsyncHTTPTransport.handle_async_request``. Then ``WatchedTransport`` sends the request, over our own
  connections.
- httpcore, or the name ``httpx.AsyncHTTPTransport``: ``client`` uses the class of this name then.

``_pool`` is a private name of httpx; a test fails if httpx renames it.
"""

from __future__ import annotations

import functools
import operator
import ssl
import sys
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

import httpx

from omipay_async.errors import ConfigurationError

from .attempt import ATTEMPT

if TYPE_CHECKING:
    import httpcore
    from httpx import AsyncHTTPTransport as _Transport

    from .network import Network
else:
    # Not by its name in httpx, which a mock may have already.
    _Transport = next(
        (
            kind
            for kind in httpx.AsyncBaseTransport.__subclasses__()
            if (kind.__module__, kind.__name__) == ("httpx", "AsyncHTTPTransport")
        ),
        httpx.AsyncHTTPTransport,
    )

TRANSPORT_METHOD: Final = "handle_async_request"
"""How the transports of httpx, and the pools and connections of httpcore, send a request."""
TRANSPORT: Final = _Transport
"""httpx's own class, also while a mock is in its place."""
_LIBRARIES: Final = ("httpx", "httpcore")


class WatchedMethods:
    """Methods of a class of httpx or httpcore that other programs replace, to see or to mock requests.

    A method is the library's own if it is a function of the same module of the library as ``__init__``. So a mock is
    noticed even if it was active before this module was imported, and if it has replaced ``__init__`` too. Methods that
    were found to be the library's own are remembered, since each request asks.
    """

    def __init__(self, *names: str) -> None:
        self._of = operator.attrgetter("__init__", *names)
        self._own: tuple[Any, ...] = ()

    def are_replaced(self, kind: Any) -> bool:
        """Whether another program has replaced one of them, ``__init__``, or ``kind`` itself."""
        try:
            found = self._of(kind)
        except AttributeError:
            return True
        if self._own and all(map(operator.is_, found, self._own)):
            return False
        own = getattr(found[0], "__globals__", {})
        if own.get("__name__", "").partition(".")[0] not in _LIBRARIES:
            return True
        if any(type(method) is not FunctionType or method.__globals__ is not own for method in found):
            return True
        self._own = found
        return False


_TRANSPORT_METHODS: Final = WatchedMethods(TRANSPORT_METHOD)
_HTTPCORE_METHODS: Final = {
    name: WatchedMethods(TRANSPORT_METHOD) for name in ("AsyncConnectionPool", "AsyncHTTPConnection")
}


def transport_is_patched() -> bool:
    """Whether another program watches or mocks httpx's transports, as OpenTelemetry and pytest-httpx do."""
    return _TRANSPORT_METHODS.are_replaced(TRANSPORT)


def transport_is_replaced() -> bool:
    """Whether another program has put a mock in the place of the class ``httpx.AsyncHTTPTransport``."""
    return httpx.AsyncHTTPTransport is not TRANSPORT


def httpcore_is_patched() -> bool:
    """Whether another program has replaced a method of httpcore that sends requests, as respx and Elastic APM do."""
    httpcore = sys.modules.get("httpcore")  # if nobody has imported it, nobody has patched it
    for name, methods in _HTTPCORE_METHODS.items():
        # Another thread may be importing it at this moment: then it does not have the class yet.
        kind = getattr(httpcore, name, None)
        if kind is not None and methods.are_replaced(kind):
            return True
    return False


@functools.cache
def _trusts_nobody() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class WatchedTransport(_Transport):
    """A transport of httpx that sends the requests of a session over its own connections.

    Raises:
        ConfigurationError: httpcore, which every transport of httpx needs, cannot be loaded.
    """

    _pool: Any

    def __init__(self, network: Network) -> None:
        try:
            super().__init__(verify=_trusts_nobody())  # for the pool that is replaced
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
