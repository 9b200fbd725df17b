"""The one place with network I/O, and the only one that knows httpx: connections, requests, exceptions.

A request is signed at the moment it leaves, below everything that logs, follows redirects or keeps cookies, and on our
own transports the signed target is not even on the request: it travels in ``extensions["target"]``, which only the
connection reads. So neither httpx's log nor a tracer that reads ``request.url`` ever sees a signature.

What a failure proves:

- On our own transports, httpcore's trace events tell whether sending has begun. Before that nothing was sent.
- Otherwise the exception must tell. httpx's connect errors are believed, except where ``__cause__`` says otherwise: the
  aiohttp transport calls a hang-up after the request a ``ConnectTimeout`` too.
- Everything else may have reached the gateway.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import logging
import math
import re
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final

import attrs
import httpx

from omipay_async.errors import ConfigurationError, NotSent, TransportError
from omipay_async.protocol.redaction import excerpt
from omipay_async.protocol.reply import LARGEST_REPLY, Received

from .attempt import Attempt, Failed, Node, Progress, TooLateError, cut_short, too_late
from .cancellation import ScopeCancelled
from .failures import Failure
from .pool import ConnectionPool
from .quirks import TargetOnce, keep_replies_out_of_the_log, our_request, surplus, with_query
from .tls import ssl_context

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from .proxies import Proxies

_KEEPALIVE_S: Final = 30.0
_LONGEST_KEEPALIVE_S: Final = 60.0
"""After this long without an answer no transport has a kept-alive connection left."""
_FRESH_S: Final = 2.0
"""Money rides no connection that was idle for longer: one that the server is about to close ends in OutcomeUnknown."""


@attrs.define(eq=False)
class Slot:
    """The right to have one request under way, and on our own transports the connection that goes with it."""

    transport: httpx.AsyncBaseTransport | None = None
    proxy: Any = attrs.field(default=None, repr=False)
    """Which proxy that connection goes through."""
    idle_since: float = 0.0


class HTTPClient:
    """The slots with their connections, and the ``httpx.AsyncClient`` of the session."""

    def __init__(
        self,
        *,
        size: int,
        user_agent: str,
        transport: httpx.AsyncBaseTransport | None,
        proxies: Proxies,
        verify: ssl.SSLContext | str | bool,
    ) -> None:
        if transport is not None and not isinstance(transport, httpx.AsyncBaseTransport):
            raise ConfigurationError("transport must be an httpx.AsyncBaseTransport")
        keep_replies_out_of_the_log()
        self._size = size
        self._given = transport
        self._verify = verify
        self._proxies = proxies
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False
        self._answered: dict[str, float] = {}
        self._headers = httpx.Headers(
            {
                "Accept": "application/json",
                "Accept-Encoding": "identity",  # a compressed bomb would pass LARGEST_REPLY
                "Content-Type": "application/json",  # CN 2.1, although the body is empty
                "User-Agent": user_agent,
            }
        )
        self._complete_headers: dict[tuple[str, str], httpx.Headers] = {}
        self.slots: ConnectionPool[Slot] = self._new_slots()
        self._unsigned = _Unsigned(self)
        self.http = httpx.AsyncClient(transport=self._unsigned, headers=self._headers)

    def _new_slots(self) -> ConnectionPool[Slot]:
        return ConnectionPool([Slot() for _ in range(self._size)])

    def move_to_another_loop(self) -> None:
        """Forget every connection: they belong to the loop that was used before.

        Raises:
            ConfigurationError: the connections are those of a transport that the user gave.
        """
        given = self._given
        loop_free = isinstance(given, httpx.MockTransport | httpx.ASGITransport) or getattr(given, "any_loop", False)
        if given is not None and not loop_free:
            message = "transport belongs to the event loop that it was first used in: use one session for each loop"
            raise ConfigurationError(message)
        self._closing = set()
        self._answered.clear()
        self.slots = self._new_slots()
        self._unsigned.forget()

    async def exchange(self, slot: Slot, trip: Attempt) -> Received | Failed:
        """Send the request, and return the reply or what its absence proves.

        What is raised is a cancellation, or what the set-up or the nonce provider raised before anything was sent.
        """
        response: httpx.Response | None = None
        whole = False
        transport = self._own_transport(slot, trip) if self._given is None else self._given
        request = self._request(trip, slot.proxy)
        quiet = our_request.set(True)
        try:
            with trip.scope:
                trip.progress = Progress.HANDED_OVER
                response = await transport.handle_async_request(request)
                received = await _read(response, trip.node)
                whole = received.complete and not self._closed and not surplus(slot.transport)
                self._answered[trip.node.base_url] = trip.clock.monotonic()
                return received
        except ScopeCancelled as ended:
            return cut_short(trip, ended.why)
        except TooLateError:
            return too_late(trip.endpoint)
        except Exception as error:  # noqa: BLE001 - a transport that the user gives may raise anything; money may have moved
            return _failed(trip, error, certain=not self._may_be_a_second_try(trip, error))
        finally:
            our_request.reset(quiet)
            if whole:
                slot.idle_since = trip.clock.monotonic()
            else:
                self._discard(slot, trip, response)

    def _may_be_a_second_try(self, trip: Attempt, error: Exception) -> bool:
        # aiohttp repeats a GET by itself when a kept-alive connection drops: that its second try was refused proves
        # nothing of the first.
        source = type(error.__cause__).__module__.partition(".")[0]
        if source != "aiohttp" or trip.method != "GET":
            return False
        return trip.clock.monotonic() - self._answered.get(trip.node.base_url, -math.inf) < _LONGEST_KEEPALIVE_S

    def _request(self, trip: Attempt, proxy: object) -> httpx.Request:
        address = _address(trip.node.base_url, trip.path)
        if self._given is None:
            request = self._bare_request(trip, address)
            target = f"{_target(trip.node.base_url, trip.path)}?{trip.signed_query()}".encode()
            kind = dict if proxy is None else TargetOnce
            request.extensions = kind(target=target, trace=trip.trace)
            return request
        url = with_query(address, trip.signed_query())
        left = max(0.001, trip.until - trip.clock.monotonic())
        connect = min(trip.connect_s, 0.9 * left)  # before our own deadline: its end would prove nothing
        timeout = {"connect": connect, "read": left, "write": left, "pool": connect}
        request = self._bare_request(trip, url)
        request.extensions = {"timeout": timeout}
        request.read()  # some transports want its content, which is empty
        return request

    def _bare_request(self, trip: Attempt, url: httpx.URL) -> httpx.Request:
        # With its headers complete and its stream given, httpx has nothing to work out: a sixth of the time.
        key = trip.method, trip.node.base_url
        headers = self._complete_headers.get(key)
        if headers is None:
            length = [("Content-Length", "0")] if trip.method == "POST" else []
            headers = httpx.Headers([("Host", url.netloc.decode()), *length, *self._headers.multi_items()])
            self._complete_headers[key] = headers
        return httpx.Request(trip.method, url, headers=headers, stream=httpx.ByteStream(b""))

    # -- connections ------------------------------------------------------------------------------------------------

    def _own_transport(self, slot: Slot, trip: Attempt) -> httpx.AsyncBaseTransport:
        address = _address(trip.node.base_url, trip.path)
        proxy = self._proxies.of(address)
        stale = trip.send_by is not None and trip.clock.monotonic() - slot.idle_since > _FRESH_S
        if slot.transport is not None and (stale or slot.proxy != proxy):
            self._discard(slot, trip, None)
        if slot.transport is None:
            slot.transport, slot.proxy = self.new_transport(address, connections=1), proxy
        return slot.transport

    def new_transport(self, address: httpx.URL, *, connections: int) -> httpx.AsyncBaseTransport:
        """The user's transport, or a new one of our own for ``address``."""
        if self._given is not None:
            return self._given
        return httpx.AsyncHTTPTransport(
            verify=ssl_context(self._verify),
            limits=httpx.Limits(max_connections=connections, keepalive_expiry=_KEEPALIVE_S),
            proxy=self._proxies.of(address),
        )

    def _discard(self, slot: Slot, trip: Attempt, response: httpx.Response | None) -> None:
        # After an exception or a cancellation a connection is of no use, and httpx's pool may be in any state.
        if self._given is None and slot.transport is not None:
            self._close(slot.transport.aclose())
            slot.transport = None
        if trip.progress is Progress.CONNECTING and trip.connection is not None:
            self._close(trip.connection.aclose())
        if response is not None:
            self._close(response.aclose())

    def distrust(self, slot: Slot) -> None:
        """Close the connection of ``slot``: over it came what cannot be the reply to what was asked."""
        if slot.transport is not None:
            self._close(slot.transport.aclose())
            slot.transport = None

    def _close(self, closing: Coroutine[Any, Any, None]) -> None:
        # Beside, not here: whoever was cancelled must not wait, and a cancelled task could not.
        task = asyncio.get_running_loop().create_task(_closed(closing))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def close(self) -> None:
        """Keep no connection from now on: each is closed when its request ends."""
        self._closed = True

    async def aclose(self) -> None:
        """Close every connection."""
        self.close()
        for slot in self.slots.idle:
            if slot.transport is not None:
                await _closed(slot.transport.aclose())
                slot.transport = None
        here = asyncio.get_running_loop()
        await asyncio.gather(*(task for task in self._closing if task.get_loop() is here))
        await _closed(self.http.aclose())


class _Unsigned(httpx.AsyncBaseTransport):
    """What ``AsyncOmipay.http`` sends through when it is used directly: nothing is signed, no slot is taken."""

    def __init__(self, wire: HTTPClient) -> None:
        self._wire = wire
        self._transports: dict[str, httpx.AsyncBaseTransport] = {}

    def forget(self) -> None:
        """Another event loop takes over."""
        self._transports.clear()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = f"{request.url.scheme}://{request.url.host}"
        if host not in self._transports:
            self._transports[host] = self._wire.new_transport(request.url, connections=10)
        return await self._transports[host].handle_async_request(request)

    async def aclose(self) -> None:
        given = [self._wire._given] if self._wire._given is not None else []  # noqa: SLF001 - one class in two parts
        for transport in {*self._transports.values(), *given}:
            await transport.aclose()


async def _closed(closing: Coroutine[Any, Any, None]) -> None:
    try:
        await closing
    except Exception as error:  # noqa: BLE001 - closing what failed may fail; nobody waits for it
        logging.getLogger("omipay_async").debug("closing a connection failed: %s", type(error).__name__)


def to_url(address: str) -> httpx.URL:
    """A URL, taken apart."""
    return httpx.URL(address)


def can_be_asked(address: str) -> bool:
    """Whether a URL can be sent to at all."""
    try:
        return bool(to_url(address).host)
    except (httpx.InvalidURL, ValueError):  # a ValueError is what is wrong with an international name
        return False


@functools.lru_cache(maxsize=64)
def _address(base_url: str, path: str) -> httpx.URL:
    # Parsing a URL costs as much as signing a request ten times.
    return httpx.URL(base_url + path)


@functools.lru_cache(maxsize=64)
def _target(base_url: str, path: str) -> str:
    return _address(base_url, path).raw_path.decode()


async def _read(response: httpx.Response, node: Node) -> Received:
    if response.is_closed:  # made by a mock, or read already by a transport of the user's
        body, complete = response.content, len(response.content) <= LARGEST_REPLY
    else:
        body, complete = await _body(response)
        await response.aclose()
    headers = response.headers
    return Received(
        status=response.status_code,
        body=body[:LARGEST_REPLY],
        date=headers.get("date"),
        complete=complete,
        encoding=headers.get("content-encoding"),
        node=node.name,
        retry_after=headers.get("retry-after"),
        location=headers.get("location"),
    )


async def _body(response: httpx.Response) -> tuple[bytes, bool]:
    chunks, size = [], 0
    async for chunk in response.stream:  # type: ignore[union-attr]  # of an async transport
        chunks.append(chunk)
        size += len(chunk)
        if size > LARGEST_REPLY:
            return b"".join(chunks), False
    return b"".join(chunks), True


# -- what a failure proves --------------------------------------------------------------------------------------------


def _failed(trip: Attempt, error: Exception, *, certain: bool) -> Failed:
    said = _URL.sub("[URL]", excerpt(str(error), trip.secrets))
    what = f"{type(error).__name__}{': ' if said else ''}{said}"
    if trip.progress is Progress.CONNECTING or (certain and trip.progress is not Progress.SENT and never_sent(error)):
        message = f"{trip.endpoint}: not sent, {what}"
        return Failed(Failure.NEVER_SENT, NotSent(message, endpoint=trip.endpoint))
    message = f"{trip.endpoint}: no answer, {what}"
    return Failed(Failure.NO_ANSWER, TransportError(message, endpoint=trip.endpoint))


_URL: Final = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_NEVER_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)
# What is raised before a connection is there, by name: neither library need be imported, or installed, for this.
_CONNECTING: Final = {
    "aiohttp": frozenset(
        {
            "ClientConnectorError",
            "ConnectionTimeoutError",
            "ClientHttpProxyError",
            "InvalidURL",
            "NonHttpUrlClientError",
        }
    ),
    "httpcore": frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol"}),
}
_UNREACHABLE: Final = frozenset({errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN})


def never_sent(error: Exception) -> bool:
    """Whether ``error`` proves by itself that no byte of the request reached the gateway."""
    if not isinstance(error, _NEVER_SENT):
        return False
    cause = error.__cause__
    if cause is None and not error.__suppress_context__:
        cause = error.__context__
    return cause is None or _before_connected(cause)


def _before_connected(cause: BaseException) -> bool:
    names = _CONNECTING.get(type(cause).__module__.partition(".")[0])
    if names is not None:
        return any(kind.__name__ in names for kind in type(cause).__mro__)
    if isinstance(cause, socket.gaierror | ssl.SSLError):
        return True
    return isinstance(cause, OSError) and cause.errno in _UNREACHABLE
