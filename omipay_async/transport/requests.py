"""Builds the request of an attempt, for each of the ways to the gateway. A transport sends it: no I/O of its own.

The URL of a request is signed for a transport that the user gave. Its ``repr`` leaves the parameters out, but not that
of the URL itself. So whoever sends it builds it in the same expression: no frame of a traceback may show it (see
``text``).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

import attrs
import httpx

from omipay_async._version import __version__
from omipay_async.text import plain_text

from .attempt import ATTEMPT
from .httpcore_reports import trace_given, trace_httpx

if TYPE_CHECKING:
    from collections.abc import Callable

    from .attempt import Attempt
    from .exchange import RawHeaders

_AFTERWARDS_S: Final = 60.0
"""How many seconds more than we a transport that the user gave waits for a reply. When a process that was stopped goes
on, its event loop calls the timers that are due before it reads what lies in the socket: the transport must not give up
in between.
"""


@attrs.frozen(eq=False, repr=False)
class Route:
    """A transport of httpx's kind, and how the request of an attempt is built for it."""

    transport: httpx.AsyncBaseTransport
    request_of: Callable[[Attempt], httpx.Request]
    through_client: bool
    """Whether a client sends a request first, since one is patched. Over its transport the signed one is sent."""

    async def send(self, attempt: Attempt) -> httpx.Response:
        """Build the request, which is signed already, and send it."""
        return await self.transport.handle_async_request(self.request_of(attempt))

    async def aclose(self) -> None:
        """Close the transport. It fails only here if the transport, such as a mock, has no such method."""
        await self.transport.aclose()


HEADERS: Final = httpx.Headers(
    {
        "Accept": "application/json",
        "Accept-Encoding": "identity",  # a small compressed body could become larger than LARGEST_REPLY
        "Content-Type": "application/json",  # CN 2.1, although the body is empty
        "User-Agent": f"omipay-async/{__version__}",
    }
)
"""What every request has."""


def method_and_headers(attempt: Attempt) -> tuple[bytes, RawHeaders]:
    """What our own connections need besides the target."""
    method = attempt.endpoint.method
    return method.encode(), _headers(method, attempt.node.base_url, closes=attempt.moves_money)


def unsigned_request(attempt: Attempt) -> httpx.Request:
    """The request as others may see it: it is never sent."""
    return _bare(attempt, address_of(attempt), closes=attempt.moves_money)


def request_for_watched_transport(attempt: Attempt) -> httpx.Request:
    """The request that programs see which have patched httpx, over our own connections: its URL is not signed."""
    request = unsigned_request(attempt)
    request.extensions = {
        ATTEMPT: attempt,
        "target": _target(attempt),
        "trace": functools.partial(trace_httpx, attempt),
    }
    return request


def request_for_httpcore(attempt: Attempt) -> httpx.Request:
    """The request over httpx's own transport, through a proxy perhaps: its URL is not signed."""
    request = _bare(attempt, address_of(attempt), closes=True)
    request.extensions = TargetOnce(target=_target(attempt), trace=functools.partial(trace_httpx, attempt))
    return request


def request_for_given_transport(attempt: Attempt) -> httpx.Request:
    """The request with its whole URL and with time limits, for a transport that the user gave."""
    url = httpx.URL(f"{attempt.node.base_url}{attempt.endpoint.path}?{plain_text(attempt.signed_query)}")
    left = max(0.001, attempt.until - attempt.clock.monotonic())
    connect = min(attempt.connect_s, 0.9 * left)  # before our own deadline, whose end would prove nothing
    request = _bare(attempt, url, closes=True, kind=_SignedRequest)
    times = {"connect": connect, "read": left + _AFTERWARDS_S, "write": left + _AFTERWARDS_S, "pool": connect}
    request.extensions = {"timeout": times, "trace": functools.partial(trace_given, attempt), ATTEMPT: attempt}
    request.read()  # some transports want its content, which is empty
    return request


def _bare(
    attempt: Attempt, url: httpx.URL, *, closes: bool, kind: type[httpx.Request] = httpx.Request
) -> httpx.Request:
    # Given complete headers and a stream, httpx makes a request in a sixth of the time.
    method = attempt.endpoint.method
    headers = list(_headers(method, attempt.node.base_url, closes=closes))
    return kind(method, url, headers=headers, stream=httpx.ByteStream(b""))


@functools.lru_cache(maxsize=64)
def _headers(method: str, base_url: str, *, closes: bool) -> RawHeaders:
    more = [(b"Content-Length", b"0")] if method == "POST" else []
    more += [(b"Connection", b"close")] if closes else []
    return ((b"Host", to_url(base_url).netloc), *more, *HEADERS.raw)


class _SignedRequest(httpx.Request):
    """A request whose URL is signed. Transports write its ``repr`` into their logs, and it shows in their frames."""

    def __repr__(self) -> str:
        return f"<Request({self.method!r}, {str(self.url.copy_with(query=None))!r})>"


class TargetOnce(dict[str, Any]):
    """Request extensions whose ``target`` is found only once.

    httpcore looks for it first when it makes the real request. For a proxy it makes a second request, CONNECT, from the
    same extensions, which would contain the signed target in clear text instead of the gateway's address.
    """

    was_found = False

    def __contains__(self, key: object) -> bool:
        if key == "target":
            first, self.was_found = not self.was_found, True
            return first
        return super().__contains__(key)


def address_of(attempt: Attempt) -> httpx.URL:
    """The URL of an attempt's endpoint, without parameters."""
    return to_url(attempt.node.base_url, attempt.endpoint.path)


@functools.lru_cache(maxsize=64)
def to_url(base_url: str, path: str = "") -> httpx.URL:
    """The URL of a node, or of an endpoint of it."""
    # Parsing a URL takes as long as signing ten requests.
    return httpx.URL(base_url + path)


def can_be_asked(base_url: str) -> bool:
    """Whether httpx can send a request to a node."""
    try:
        return bool(to_url(base_url).host)
    except (httpx.InvalidURL, ValueError):  # a ValueError is raised for a wrong international name
        return False


def _target(attempt: Attempt) -> bytes:
    return attempt.target(address_of(attempt).raw_path)
