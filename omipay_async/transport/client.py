"""Sends one attempt to the gateway and returns its reply, or the failure.

A request is signed at the moment it leaves, below everything that logs, follows redirects or keeps cookies. Where it is
an object of httpx, its URL is not signed: the signed target is in ``extensions["target"]``, which only the connection
reads. So neither httpx's log nor a tracer that reads ``request.url`` ever sees a signature. Only a transport that the
user gave gets the signed URL.

There are three ways to the gateway:

- Directly, over connections of our own (``network``). Reads keep theirs; **money travels alone**: each money call
  goes out on a connection over which nothing was sent before, and which is closed after its reply.
- Through a proxy, over httpx's own transport; and without a proxy while another program has patched httpcore, as respx
  does, or has replaced that transport: a test suite that mocks the gateway must never reach the real one.
- Over a transport that the user gave.

On the last two we cannot see what else arrives over a connection, so none is used twice: each request is sent with
``Connection: close``.

``exchange`` chooses the way, and each way has a method that keeps or closes what the request went over. (``patches``
describes the detours for programs that have patched httpx or httpcore.) On every way, ``_try`` signs the request and
turns whatever goes wrong into a failure, and ``sending`` sends what goes through objects of httpx.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from typing import TYPE_CHECKING, Any

import httpx

from omipay_async.errors import ConfigurationError
from omipay_async.protocol.reply import Received

from .attempt import Attempt, TooLateError
from .cancellation import ScopeCancelled, caller_was_cancelled
from .closing import Closing
from .evidence import cut_short, failed
from .failures import Failed, too_late
from .given_transports import make_safe
from .httpcore_reports import keep_replies_out_of_the_log
from .network import Network
from .patches import WatchedTransport, httpcore_is_patched, transport_is_patched, transport_is_replaced
from .pool import ConnectionPool
from .requests import (
    HEADERS,
    Route,
    address_of,
    method_and_headers,
    request_for_given_transport,
    request_for_httpcore,
    request_for_watched_transport,
)
from .sending import Sender
from .session_client import SessionClient, UnsignedTransport
from .tls import ssl_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine

    from .pool import Slot
    from .proxies import Proxies, Proxy

    Send = Callable[[Attempt], Coroutine[Any, Any, Received]]


class HTTPClient:
    """The slots with their connections, and the ``httpx.AsyncClient`` of the session."""

    def __init__(
        self,
        *,
        size: int,
        transport: httpx.AsyncBaseTransport | None,
        proxies: Proxies,
        verify: ssl.SSLContext | str | bool,
    ) -> None:
        if transport is not None and not isinstance(transport, httpx.AsyncBaseTransport):
            raise ConfigurationError("transport must be an httpx.AsyncBaseTransport")
        keep_replies_out_of_the_log()
        self._size = size
        self._given = transport
        self._over_given: set[Attempt] = set()
        """What is under way over the transport that the user gave. It is closed after the last of them, not before."""
        self._is_ending = False
        """Whether ``aclose`` has begun: then no connection is kept."""
        self._verify = verify
        self._proxies = proxies
        self._network: Network | None = None
        self._closing = Closing()
        self.pool = ConnectionPool(size)
        self._unsigned = UnsignedTransport(transport, self._proxies.of, self._httpx_transport)
        self.http = httpx.AsyncClient(transport=self._unsigned, headers=HEADERS)
        self._session_client = SessionClient(self.http, self._unsigned)
        self._sender = Sender(self._session_client, self._closing)

    def leave_loop(self) -> None:
        """Forget the connections of an event loop that has ended, or in which nothing is under way.

        Raises:
            ConfigurationError: the connections are those of a transport that the user gave.
        """
        given = self._given
        if given is not None and not _is_in_memory(given):
            message = "transport belongs to the event loop that it was first used in: use one session for each loop"
            raise ConfigurationError(message)
        if self._network is not None:
            self._network.abandon()
            self._network = None
        self._closing.forget()
        self._over_given = set()
        self.pool = ConnectionPool(self._size)
        self._unsigned.forget()

    # -- three ways to the gateway -----------------------------------------------------------------------------------

    async def exchange(self, slot: Slot, attempt: Attempt) -> Received | Failed:
        """Choose the way, send the request, and return the reply or the failure.

        It raises only what comes before anything is sent, from the set-up or the nonce provider, and cancellations.
        """
        if self._given is not None:
            return await self._exchange_over_given(self._given, attempt)
        through_client = self._session_client.any_is_patched()
        address = address_of(attempt)
        proxy = self._proxies.of(address)
        attempt.is_through_proxy = proxy is not None
        if attempt.is_through_proxy or httpcore_is_patched() or transport_is_replaced():
            # An exception or a cancellation may leave httpcore's pool in any state: each request has a pool of its own.
            route = Route(self._httpx_transport(proxy), request_for_httpcore, through_client)
            return await self._exchange_over_httpcore(route, attempt)
        network = self._network = self._network or Network(self._verify)
        network.context_for(address)  # raises what is wrong with the certificates, before anything is signed
        send = functools.partial(self._send_directly, network)
        if through_client or transport_is_patched():
            route = Route(WatchedTransport(network), request_for_watched_transport, through_client)
            send = functools.partial(self._sender.send, route)
        return await self._exchange_over_network(slot, attempt, send)

    async def _exchange_over_given(self, given: httpx.AsyncBaseTransport, attempt: Attempt) -> Received | Failed:
        through_client = not _is_in_memory(given) and self._session_client.any_is_patched()
        route = Route(given, request_for_given_transport, through_client)
        make_safe(given)
        under_way = self._over_given
        under_way.add(attempt)
        try:
            return await self._try(attempt, functools.partial(self._sender.send, route))
        finally:
            under_way.remove(attempt)
            if under_way is self._over_given and not under_way and self._is_ending:
                self._closing.begin(self.http.aclose)  # ``aclose`` was cancelled, and has left this

    async def _exchange_over_httpcore(self, route: Route, attempt: Attempt) -> Received | Failed:
        try:
            return await self._try(attempt, functools.partial(self._sender.send, route))
        finally:
            self._closing.begin(route.aclose)

    async def _exchange_over_network(self, slot: Slot, attempt: Attempt, send: Send) -> Received | Failed:
        if not attempt.moves_money:
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

    async def _send_directly(self, network: Network, attempt: Attempt) -> Received:
        reply = await network.exchange(attempt, *method_and_headers(attempt))
        return Received.of(reply.status, reply.headers, reply.body, attempt.node.name)

    def _keep(self, slot: Slot, attempt: Attempt) -> None:
        """Keep the connection over which a whole reply came, if another request may go over it."""
        connection = attempt.connection
        if connection is not None and connection.is_idle and not attempt.moves_money and not self._is_ending:
            slot.keep_connection(connection, attempt.node.base_url, attempt.clock)

    async def _try(self, attempt: Attempt, send: Send) -> Received | Failed:
        """Sign the request and send it. Whatever goes wrong with sending it becomes a failure."""
        attempt.sign()
        if attempt.is_too_late:
            return too_late(attempt.endpoint.name)
        handled = sys.exception()
        try:
            with attempt.scope:
                return await send(attempt)
        except ScopeCancelled as ended:
            return cut_short(attempt, ended.why)
        except TooLateError:
            return too_late(attempt.endpoint.name)
        except asyncio.CancelledError as error:
            if caller_was_cancelled():
                # The frames of the transport, and of what watches it, show the signed URL (see ``text``).
                error.__traceback__ = None
                raise
            return failed(attempt, error)  # of a future that the transport or the resolver awaited
        except Exception as error:  # noqa: BLE001 - a transport that the user gives may raise anything; money may have moved
            return failed(attempt, error, handled)
        finally:
            attempt.end()  # a program that has patched httpx may have shielded its request from the cancellation

    def _httpx_transport(self, proxy: Proxy | None) -> httpx.AsyncHTTPTransport:
        return httpx.AsyncHTTPTransport(verify=ssl_context(self._verify), proxy=proxy)

    # -- the end -----------------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Close every connection; one that is in use is closed when its request ends."""
        self._is_ending = True  # the session may be closed long before: handlers that may end use its client
        if self._network is not None:
            self._closing.begin(self._network.aclose)
        if not self._over_given:
            self._closing.begin(self.http.aclose)
        await self._closing.wait()


def _is_in_memory(transport: httpx.AsyncBaseTransport) -> bool:
    """Whether a transport answers by itself, without a connection: it belongs to no event loop, and needs no mock."""
    kinds = httpx.MockTransport | httpx.ASGITransport
    return isinstance(transport, kinds) or bool(getattr(transport, "any_loop", False))
