"""Sends requests over connections of our own, and opens them: name, addresses in turn, TLS. It leaks no sockets.

``loop.create_connection`` could do all of this, but with ``happy_eyeballs_delay`` it loses sockets when it is cancelled
(seen in CPython 3.11.7), and with ``ssl`` if it is cancelled at its beginning. So the addresses are tried here, those
of both families alternately, each a quarter of a second after the previous one or when that has failed. The first
address that connects is used (RFC 8305). ``start_tls`` then begins TLS on the open connection.

If TLS fails there, the next connection tries that address last. On some paths only small packets arrive, and a balancer
may accept connections for a server that is down: the address connects, and nothing can be sent to it.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from typing import TYPE_CHECKING, Any, Final

import attrs
import httpx

from .attempt import Step
from .connection import Connection
from .names import leave_unused, look_up
from .requests import address_of
from .tls import ssl_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

    from .attempt import Attempt
    from .exchange import RawHeaders, Reply

_NEXT_ADDRESS_S: Final = 0.25
_MOST_FAILED: Final = 100
"""How many addresses are remembered, since a name may have others each day."""


@attrs.frozen(repr=False)
class Address:
    """One address of a host, as the system's resolver returns it."""

    family: int
    sockaddr: tuple[Any, ...]


class Network:
    """The connections of a session in one event loop, all with one TLS context.

    Args:
        verify: What the context is made of. That reads files, which only a node with https needs.
    """

    def __init__(self, verify: ssl.SSLContext | str | bool) -> None:
        self._verify = verify
        self._context: ssl.SSLContext | None = None
        self.connections: set[Connection] = set()
        """Those that are open."""
        self._failed: dict[Address, None] = {}
        """The addresses at which TLS has failed, in the order of their last failures."""

    def context_for(self, address: httpx.URL) -> ssl.SSLContext | None:
        """The TLS context for the server of ``address``; None if it is plain HTTP.

        Raises:
            ConfigurationError: its certificates cannot be read.
        """
        if address.scheme != "https":
            return None
        if self._context is None:
            self._context = ssl_context(self._verify)
        return self._context

    async def exchange(self, attempt: Attempt, method: bytes, headers: RawHeaders) -> Reply:
        """Send a request over the attempt's connection, or a new one if it has none that is usable. Returns the reply.

        Raises:
            httpx.TransportError: there is no connection, or no reply.
            TooLateError: its time to be sent is over, or the attempt has ended; nothing was sent.
        """
        address = address_of(attempt)
        connection = attempt.connection
        if connection is not None:
            await connection.catch_up()
            if not connection.is_usable():
                connection.abort()
                connection = None
        if connection is None:
            connection = await self._new_connection(attempt, address)
        else:
            connection.give_up_unless_acknowledged(attempt.connect_s)
        # No await from here to the write: what was found out about the connection is still true.
        attempt.scope.watch(connection.count_received)
        try:
            attempt.begin_sending()
        except BaseException:
            connection.abort()  # nobody else does, if the attempt has ended
            raise
        return await connection.send(method, attempt.target(address.raw_path), headers)

    async def _new_connection(self, attempt: Attempt, address: httpx.URL) -> Connection:
        attempt.connection = None
        attempt.begin_connecting()
        connection = attempt.connection = await self.connect(address, attempt)
        attempt.sign()  # again, if connecting took long
        if await connection.has_spoken():
            raise httpx.ConnectError("the server sent something before the request")
        return connection

    async def connect(self, address: httpx.URL, attempt: Attempt | None = None) -> Connection:
        """Open a new connection to the server of ``address``, and note each step in ``attempt``.

        Raises:
            httpx.ConnectError: there is no such name, nothing listens there, or the certificate is not trusted.
        """
        context = self.context_for(address)
        host = address.raw_host.decode("ascii")
        try:
            _note(attempt, Step.NAME)
            addresses = await addresses_of(host, address.port or (80 if context is None else 443), self._failed)
            _note(attempt, Step.ADDRESS)
            sock, used = await open_socket(addresses)
            connection = Connection(sock, self.connections.discard, tls=context is not None)
            await asyncio.get_running_loop().create_connection(lambda: connection, sock=sock)
            if context is not None:
                _note(attempt, Step.TLS)
                await self._start_tls(connection, context, host, used)
        except (OSError, ValueError) as error:  # a ValueError is raised for a wrong name
            message = f"{type(error).__name__}: {error}"
            raise httpx.ConnectError(message) from error
        self.connections.add(connection)
        return connection

    async def _start_tls(self, connection: Connection, context: ssl.SSLContext, host: str, used: Address) -> None:
        try:
            await connection.start_tls(context, host)
        except BaseException:  # a handshake that hangs is cancelled
            self._failed.pop(used, None)
            self._failed[used] = None
            if len(self._failed) > _MOST_FAILED:
                del self._failed[next(iter(self._failed))]
            raise
        self._failed.pop(used, None)

    async def aclose(self) -> None:
        """Close every connection over which no request is under way, and return when their sockets are closed."""
        unused = [connection for connection in self.connections if not connection.is_busy]
        for connection in unused:
            connection.abort()
        if unused:
            await asyncio.wait([connection.gone for connection in unused])
        await leave_unused()

    def abandon(self) -> None:
        """Close every connection, from another event loop than theirs, which may be closed or run in another thread."""
        for connection in tuple(self.connections):
            try:
                connection.loop.call_soon_threadsafe(connection.abort)
            except RuntimeError:  # it is closed
                connection.abort()


def _note(attempt: Attempt | None, step: Step) -> None:
    if attempt is not None:
        attempt.step = step


async def addresses_of(host: str, port: int, failed: Iterable[Address] = ()) -> list[Address]:
    """The addresses of ``host`` in the order to try them.

    Those that ``failed`` before come after the others, and the one that failed last comes last.

    Raises:
        OSError: ``host`` has none, or its name could not be looked up.
    """
    addresses = _alternating(await _resolved(host, port))
    rank = {address: place for place, address in enumerate(failed, 1)}
    return sorted(addresses, key=lambda address: rank.get(address, 0))


async def open_socket(addresses: list[Address]) -> tuple[socket.socket, Address]:
    """Connect a socket to the first of these addresses that answers, and return both.

    Raises:
        OSError: no address answers: of several failures the first one.
    """
    if len(addresses) == 1:
        return await _connected(addresses[0])
    return await _race(addresses)


async def _resolved(host: str, port: int) -> list[Address]:
    numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=numeric)  # an address needs no resolver
    except socket.gaierror:
        found = await look_up(host, port)
    return [Address(family, sockaddr) for family, _, _, _, sockaddr in found]


def _alternating(addresses: list[Address]) -> list[Address]:
    """``addresses``, but of each family in turn, so that a family that cannot be reached costs only one delay."""
    families: dict[int, list[Address]] = {}
    for address in addresses:
        families.setdefault(address.family, []).append(address)
    rounds = itertools.zip_longest(*families.values())
    return [address for one in rounds for address in one if address is not None]


async def _connected(address: Address) -> tuple[socket.socket, Address]:
    # The protocol is given because asyncio sets TCP_NODELAY only then.
    sock = socket.socket(address.family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address.sockaddr)
    except ConnectionResetError:
        pass  # it was accepted and dropped at once, which is not a refusal: the first use of the socket fails
    except BaseException:
        sock.close()
        raise
    return sock, address


async def _race(addresses: list[Address]) -> tuple[socket.socket, Address]:
    failures: list[BaseException] = []
    tries: set[asyncio.Task[tuple[socket.socket, Address]]] = set()
    waiting = list(reversed(addresses))
    try:
        while waiting or tries:
            if waiting:
                tries.add(asyncio.create_task(_connected(waiting.pop())))
            delay = _NEXT_ADDRESS_S if waiting else None
            done, tries = await asyncio.wait(tries, timeout=delay, return_when=asyncio.FIRST_COMPLETED)
            connected = [ended for ended in done if ended.exception() is None]
            if connected:
                tries.update(connected[1:])  # those that have connected at the same moment are not used
                return connected[0].result()
            failures += filter(None, (ended.exception() for ended in done))
    finally:
        for unused in tries:
            unused.add_done_callback(_close_late)
            unused.cancel()
    raise failures[0]


def _close_late(unused: asyncio.Task[tuple[socket.socket, Address]]) -> None:
    # It may have connected at the same moment as another one, or as the caller was cancelled.
    if not unused.cancelled() and unused.exception() is None:
        sock, _ = unused.result()
        sock.close()
