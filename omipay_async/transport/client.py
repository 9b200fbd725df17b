"""Sends one attempt to the gateway and returns its reply, or the failure.

A request is signed at the moment it leaves, below everything that logs, follows redirects or keeps cookies. On our own
transports the URL of the request is not signed: the signed target is in ``extensions["target"]``, which only the
connection reads. So neither httpx's log nor a tracer that reads ``request.url`` ever sees a signature.

There are three ways to the gateway:

- Directly, over connections of our own (``network``). Reads keep theirs; **money travels alone**: each money call
  goes out on a connection over which nothing was sent before, and which is closed after its reply.
- Through a proxy, over httpx's own transport; and without a proxy while another program has patched httpcore, such as
  respx: a test suite that mocks the gateway must never reach the real one.
- Over a transport that the user gave.

On the last two we cannot see what else arrives over a connection, so none is used twice: each request is sent with
``Connection: close``.
"""

from __future__ import annotations

import asyncio
import functools
import math
import sys
from typing import TYPE_CHECKING, Any, Final

import httpx

from omipay_async.errors import ConfigurationError
from omipay_async.events import logger
from omipay_async.protocol.reply import LARGEST_REPLY, Received

from .attempt import Attempt, Progress, TooLateError
from .cancellation import ScopeCancelled, caller_was_cancelled
from .evidence import cut_short, failed
from .failures import Failed, too_late
from .network import Network
from .other_transports import (
    calls_an_app,
    is_in_memory,
    keep_no_connection,
    keep_replies_out_of_the_log,
    our_request,
)
from .patches import (
    WatchedTransport,
    client_is_patched,
    httpcore_is_patched,
    send_through_client,
    transport_is_patched,
)
from .pool import ConnectionPool, Slot
from .requests import Requests, Route, address_of
from .tls import ssl_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Coroutine

    from .proxies import Proxies, Proxy

_LONGEST_KEEPALIVE_S: Final = 60.0
"""No transport keeps a connection alive for longer than this without an answer."""
_CLOSING_S: Final = 5.0
"""How long a connection may take to close before it is left to the garbage collection."""


class HTTPClient:
    """The slots with their connections, and the ``httpx.AsyncClient`` of the session.

    Args:
        is_closed: Returns whether the session was closed: then no connection is kept.
    """

    def __init__(
        self,
        *,
        size: int,
        user_agent: str,
        transport: httpx.AsyncBaseTransport | None,
        proxies: Proxies,
        verify: ssl.SSLContext | str | bool,
        is_closed: Callable[[], bool],
    ) -> None:
        if transport is not None and not isinstance(transport, httpx.AsyncBaseTransport):
            raise ConfigurationError("transport must be an httpx.AsyncBaseTransport")
        keep_replies_out_of_the_log()
        self._size = size
        self._given = transport
        self._verify = verify
        self._proxies = proxies
        self._network: Network | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._is_closed = is_closed
        self._answered: dict[str, float] = {}
        self._requests = Requests(user_agent)
        self.pool: ConnectionPool[Slot] = self._new_pool()
        self._unsigned = UnsignedTransport(transport, self._proxies.of, self._httpx_transport)
        self.http = httpx.AsyncClient(transport=self._unsigned, headers=self._requests.headers)

    def _new_pool(self) -> ConnectionPool[Slot]:
        return ConnectionPool([Slot() for _ in range(self._size)])

    def move_to_another_loop(self) -> None:
        """Forget every connection, since they belong to the event loop that was used before.

        Raises:
            ConfigurationError: the connections are those of a transport that the user gave.
        """
        given = self._given
        if given is not None and not is_in_memory(given):
            message = "transport belongs to the event loop that it was first used in: use one session for each loop"
            raise ConfigurationError(message)
        if self._network is not None:
            self._network.abandon()
            self._network = None
        self._closing = set()
        self.pool = self._new_pool()
        self._unsigned.forget()

    # -- three ways to the gateway -----------------------------------------------------------------------------------

    async def exchange(self, slot: Slot, attempt: Attempt) -> Received | Failed:
        """Send the request, and return the reply or the failure.

        It raises only what comes before anything is sent, from the set-up or the nonce provider, and cancellations.
        """
        if self._given is not None:
            keep_no_connection(self._given)
            return await self._exchange_over(Route(self._given, self._requests.for_given_transport), attempt)
        proxy = self._proxies.of(address_of(attempt))
        if proxy is None and not httpcore_is_patched():
            return await self._exchange_directly(slot, attempt)
        return await self._exchange_over_httpcore(proxy, attempt)

    async def _exchange_directly(self, slot: Slot, attempt: Attempt) -> Received | Failed:
        if self._network is None:
            self._network = Network(ssl_context(self._verify))
        if transport_is_patched() or client_is_patched():
            route = Route(WatchedTransport(self._network), self._requests.for_watched_transport)
            send = functools.partial(self._send_over, route)
        else:
            send = functools.partial(self._send_directly, self._network)
        if not attempt.travels_alone:
            attempt.connection = slot.take_connection(attempt.node.base_url, attempt.clock)
        try:
            got = await self._try(attempt, send)
            if isinstance(got, Received):
                self._keep(slot, attempt)
        finally:
            connection = attempt.connection
            if connection is not None and connection is not slot.connection:
                connection.abort()
        return got

    def _keep(self, slot: Slot, attempt: Attempt) -> None:
        """Keep the connection over which a whole reply came, if another request may go over it."""
        connection = attempt.connection
        if connection is not None and connection.is_idle and not attempt.travels_alone and not self._is_closed():
            slot.keep_connection(connection, attempt.clock)

    async def _exchange_over_httpcore(self, proxy: Proxy | None, attempt: Attempt) -> Received | Failed:
        # An exception or a cancellation may leave httpcore's pool in any state: each request has a pool of its own.
        transport = self._httpx_transport(proxy)
        try:
            return await self._exchange_over(Route(transport, self._requests.for_httpcore), attempt)
        finally:
            self._close(transport.aclose)

    async def _exchange_over(self, route: Route, attempt: Attempt) -> Received | Failed:
        try:
            return await self._try(attempt, functools.partial(self._send_over, route))
        finally:
            if attempt.progress is not Progress.SENT and attempt.stream is not None:
                self._close(attempt.stream.aclose)

    async def _try(
        self, attempt: Attempt, send: Callable[[Attempt], Coroutine[Any, Any, Received]]
    ) -> Received | Failed:
        """Sign the request and send it. Whatever goes wrong with sending it becomes a failure."""
        attempt.sign()
        if attempt.is_too_late:
            return too_late(attempt.endpoint.name)
        handled = sys.exception()
        try:
            with attempt.scope:
                attempt.progress = Progress.HANDED_OVER
                return await send(attempt)
        except ScopeCancelled as ended:
            return cut_short(attempt, ended.why)
        except TooLateError:
            return too_late(attempt.endpoint.name)
        except asyncio.CancelledError as error:
            if caller_was_cancelled():
                raise
            return failed(attempt, error)  # of a future that the transport or the resolver awaited
        except Exception as error:  # noqa: BLE001 - a transport that the user gives may raise anything; money may have moved
            certain = not self._may_be_a_second_try(attempt, error)
            return failed(attempt, error, handled=handled, certain=certain)

    async def _send_directly(self, network: Network, attempt: Attempt) -> Received:
        reply = await network.exchange(attempt, *self._requests.head(attempt))
        return Received.of(reply.status, reply.headers, reply.body, attempt.node.name)

    async def _send_over(self, route: Route, attempt: Attempt) -> Received:
        before = our_request.get()  # True in a transport that makes a call of another session first
        our_request.set(True)
        try:
            response = _checked(await self._response(route, attempt))
            attempt.progress = Progress.SENT  # whatever happens while the reply is read
            body = await self._body(response, attempt)
        finally:
            our_request.set(before)  # a token could not be reset if the coroutine is closed in another context
        self._answered[attempt.node.base_url] = attempt.clock.monotonic()
        return Received.of(response.status_code, response.headers.raw, body, attempt.node.name)

    async def _response(self, route: Route, attempt: Attempt) -> httpx.Response:
        if client_is_patched() and not is_in_memory(route.transport):
            return await send_through_client(self._requests.unsigned(attempt), route, attempt)
        if calls_an_app(route.transport):
            attempt.begin_sending()  # an httpx.ConnectError may come from a request that the app itself makes
        return await route.send(attempt)

    async def _body(self, response: httpx.Response, attempt: Attempt) -> bytes:
        if response.is_closed:  # it was made by a mock, or the user's transport has read it
            return response.content
        try:
            return await _limited_body(response, attempt)
        finally:
            self._close(response.aclose)  # it may fail or hang, but the reply has been read

    def _may_be_a_second_try(self, attempt: Attempt, error: Exception) -> bool:
        # aiohttp repeats a GET by itself when a kept-alive connection is dropped. If its second try is refused, its
        # first one may have arrived all the same.
        source = type(error.__cause__).__module__.partition(".")[0]
        if source != "aiohttp" or attempt.endpoint.method != "GET":
            return False
        return attempt.clock.monotonic() - self._answered.get(attempt.node.base_url, -math.inf) < _LONGEST_KEEPALIVE_S

    def _httpx_transport(self, proxy: Proxy | None) -> httpx.AsyncHTTPTransport:
        return httpx.AsyncHTTPTransport(verify=ssl_context(self._verify), proxy=proxy)

    # -- the end -----------------------------------------------------------------------------------------------------

    def _close(self, close: Callable[[], Awaitable[None]]) -> None:
        # In a task of its own: a cancelled call must not wait for it.
        task = asyncio.get_running_loop().create_task(_closed(close))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def aclose(self) -> None:
        """Close every connection; one that is in use is closed when its request ends."""
        if self._network is not None:
            await _closed(self._network.aclose)
        here = asyncio.get_running_loop()
        await asyncio.gather(*(task for task in self._closing if task.get_loop() is here))
        await _closed(self.http.aclose)


def _checked(response: object) -> httpx.Response:
    if not isinstance(response, httpx.Response):
        message = f"the transport returned {type(response).__name__}, not an httpx.Response"
        raise TypeError(message)
    return response


async def _closed(close: Callable[[], Awaitable[None]]) -> None:
    try:
        async with asyncio.timeout(_CLOSING_S):
            await close()
    except asyncio.CancelledError:
        if caller_was_cancelled():
            raise
    except Exception as error:  # noqa: BLE001 - a connection that has failed may fail to close in any way
        logger.debug("closing a connection failed: %s", type(error).__name__)


async def _limited_body(response: httpx.Response, attempt: Attempt) -> bytes:
    """The body, of which no more is read once it is too long."""
    chunks: list[bytes] = []
    size = 0
    attempt.scope.watch(chunks.__len__)  # while there are more of them, the reply is still arriving
    async for chunk in response.stream:  # type: ignore[union-attr]  # of an async transport
        chunks.append(chunk)
        size += len(chunk)
        if size > LARGEST_REPLY:
            break
    return b"".join(chunks)


class UnsignedTransport(httpx.AsyncBaseTransport):
    """The transport of ``HTTPClient.http``, which signs nothing and takes no slot.

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
