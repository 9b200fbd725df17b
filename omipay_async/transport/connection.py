"""One HTTP/1.1 connection of our own: an asyncio protocol whose replies h11 reads.

httpx's own connections do not show every byte as it arrives. This one does, in plain TCP and under TLS, for three
reasons:

- *What was sent.* ``send`` writes the whole request in one call. Before it, nothing can have reached the server; after
  it, everything may have.
- *What arrived without a request.* A byte that arrives while no request is under way, even a single line break, is not
  a reply to anything. It closes the connection, so that no later request can take it for its own reply. The same is
  true of bytes that follow a reply, bytes that arrive before the first request, and the beginning of a TLS record.
- *Whether the connection is still open.* ``is_usable`` also looks into the socket, which may contain bytes, or the
  end of the stream, that the event loop has not delivered yet; ``has_spoken`` does so before the first request. The
  request is then written without an await in between. On Windows bytes do not wait in the socket, but in the event
  loop, which gets a chance to deliver them first (``catch_up``); what arrives in that moment is not seen there.

The states, and what ends them:

=========  =============================  =========================================================
state      meaning                        ended by
=========  =============================  =========================================================
FRESH      connected, nothing was sent    ``send`` (to BUSY)
BUSY       one request is under way       a complete reply (to IDLE, or to CLOSED if it is the last)
IDLE       may be used again              ``send`` (to BUSY), any byte (to CLOSED)
CLOSED     cannot be used any more        nothing
=========  =============================  =========================================================

From every state ``abort`` leads to CLOSED, and so does the loss of the connection. If a request fails or is cancelled,
the caller aborts the connection. Closing is abrupt, as in httpx: it does not wait for the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import functools
import os
import re
import select
import socket
from asyncio.proactor_events import BaseProactorEventLoop
from typing import TYPE_CHECKING, Final, cast

import h11
import httpx

from .exchange import Exchange, after_target
from .tls_records import LONGEST_RECORD, TLSRecords

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from .exchange import RawHeaders, Reply

_PROTOCOLS: Final = ("http/1.1",)
"""What is offered in the TLS handshake (ALPN)."""
_TARGET: Final = re.compile(rb"[!-~]+")
_READ_AT_ONCE: Final = 32 * 1024
"""Bytes. Without a buffer of the protocol's, asyncio makes a new one of 256 KiB for every read.

Under TLS the buffer has room for all that has arrived, and for a record whose first part arrived before: what does not
fit is lost if the server closes.
"""
_MOST_READS: Final = 10
"""How often the event loop may read before the first request, since a new TLS session sends things such as tickets."""
_ACKNOWLEDGED_S: Final = 3.0
_TURNS_BEHIND: Final = 2
"""Asyncio's event loop of Windows learns in one turn what has arrived and was written, and acts on it in the next."""


class ConnectionState(enum.Enum):
    """The states of a connection."""

    FRESH = enum.auto()
    BUSY = enum.auto()
    IDLE = enum.auto()
    CLOSED = enum.auto()


class Connection(asyncio.BufferedProtocol):
    """One connection. ``closed`` is called once, when the socket is closed."""

    __slots__ = (
        "_acknowledged_ms",
        "_buffer",
        "_closed",
        "_exchange",
        "_is_readable",
        "_loop_is_behind",
        "_process",
        "_received",
        "_records",
        "_server_finished",
        "_socket",
        "_tls",
        "_transport",
        "gone",
        "loop",
        "state",
    )
    _transport: asyncio.Transport

    def __init__(self, sock: socket.socket, closed: Callable[[Connection], object], *, tls: bool) -> None:
        self.loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[None] = self.loop.create_future()
        """Done when the socket is closed."""
        self.state = ConnectionState.FRESH
        self._buffer = memoryview(bytearray(_READ_AT_ONCE))
        self._received = 0
        self._records: TLSRecords | None = None
        self._socket = sock
        self._is_readable = _readiness(sock)
        self._process = os.getpid()
        self._loop_is_behind = isinstance(self.loop, BaseProactorEventLoop)
        self._closed = closed
        self._tls = tls
        self._server_finished = False
        self._exchange: Exchange | None = None
        self._acknowledged_ms = 0
        """Within how long the system wants each request to be acknowledged. 0: within minutes."""

    # -- for its user -----------------------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether it may be used again, as far as the event loop has noticed."""
        return self.state is ConnectionState.IDLE

    @property
    def is_busy(self) -> bool:
        """Whether a request is under way."""
        return self.state is ConnectionState.BUSY

    def is_usable(self) -> bool:
        """Whether a request may be sent: the server has neither closed the connection nor sent anything.

        A fork of the process has the connection too, and each of them could read the reply to the other.
        """
        if self._process != os.getpid():
            return False
        return self._is_connected() and self._waiting_bytes() is None and not self._has_part_of_a_record()

    async def catch_up(self) -> None:
        """Let an event loop that works in the background deliver what has arrived, and end its last write.

        It writes nothing before it has noticed that, so a request would wait behind the end of a TLS handshake.
        """
        for _ in range(_TURNS_BEHIND if self._loop_is_behind else 0):
            await asyncio.sleep(0)

    def give_up_unless_acknowledged(self, seconds: float) -> None:
        """Let the next request fail if the server acknowledges none of it for ``seconds``, or for three seconds.

        A path that is gone, as after a change of networks, looks like an open connection. A server that takes long to
        reply acknowledges at once all the same. Linux knows of both; elsewhere this does nothing.
        """
        milliseconds = round(min(seconds, _ACKNOWLEDGED_S) * 1000) or 1
        if milliseconds == self._acknowledged_ms or not hasattr(socket, "TCP_USER_TIMEOUT"):
            return
        with contextlib.suppress(OSError):  # some systems that pass for Linux do not have it
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        self._acknowledged_ms = milliseconds

    async def has_spoken(self) -> bool:
        """Whether the server has sent anything before the first request: that could be taken for the reply to it."""
        await self.catch_up()
        for _ in range(_MOST_READS):
            if not (self._waiting_bytes() or self._has_part_of_a_record()):
                return self._received > 0
            await asyncio.sleep(0)  # the event loop has something to read; under TLS it may belong to the session
        return True

    def _waiting_bytes(self) -> bytes | None:
        """The first byte in the socket that the event loop has not read: ``b""`` at its end, None if there is none."""
        if not self._is_readable():
            return None
        try:
            return self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def _has_part_of_a_record(self) -> bool:
        return self._records is not None and not self._records.are_whole

    def _is_connected(self) -> bool:
        return self.state is not ConnectionState.CLOSED and not self._transport.is_closing()

    def send(self, method: bytes, target: bytes, headers: RawHeaders) -> asyncio.Future[Reply]:
        """Write a request without a body. The future that is returned gets its reply, or an ``httpx.TransportError``.

        Raises:
            httpx.LocalProtocolError: it is not a request; nothing was sent.
            httpx.RemoteProtocolError: the server has closed the connection; nothing was sent.
        """
        if not self._is_connected():
            raise httpx.RemoteProtocolError("the server closed the connection at once")
        if _TARGET.fullmatch(target) is None:
            raise httpx.LocalProtocolError("the target of a request must be visible ASCII characters")
        rest = after_target(method, headers)
        reply: asyncio.Future[Reply] = self.loop.create_future()
        self.state = ConnectionState.BUSY
        self._transport.write(b"".join((method, b" ", target, rest)))
        self._exchange = Exchange(reply)  # after the write, which must not be late: no reply comes before an await
        if self._server_finished:
            self.eof_received()
        return reply

    async def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Begin TLS with a server whose certificate must be ``host``'s. If that fails, the connection is closed."""
        plain = self._transport
        context.set_alpn_protocols(_PROTOCOLS)  # each time: the context may be the user's, who gave it to others too
        try:
            closed = plain.is_closing()  # uvloop has read the end already, and would log an error in its start_tls
            transport = None if closed else await self.loop.start_tls(plain, self, context, server_hostname=host)
        except BaseException:
            plain.abort()
            raise
        if transport is None or transport.is_closing():
            plain.abort()
            raise ConnectionResetError("the connection was closed in the TLS handshake")
        if transport.get_extra_info("ssl_object").selected_alpn_protocol() not in (None, *_PROTOCOLS):
            transport.abort()
            raise ConnectionAbortedError("another program has changed the protocols of the TLS context meanwhile")
        self._transport = transport
        self._records = TLSRecords.watch(plain)

    def count_received(self) -> int:
        """How many bytes have arrived so far."""
        return self._received

    def abort(self) -> None:
        """Close the connection at once, even if a request is under way, or if its event loop is closed."""
        self.state = ConnectionState.CLOSED
        if self.loop.is_closed():
            self._socket.close()
        elif not self.gone.done():
            self._transport.abort()

    # -- called by the event loop -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP has connected."""
        self._transport = cast("asyncio.Transport", transport)
        if self._tls:
            self._transport.pause_reading()  # the first bytes belong to the TLS handshake

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes are to be put. ``sizehint`` is how many encrypted bytes asyncio's TLS has."""
        if sizehint + LONGEST_RECORD > len(self._buffer):
            self._buffer = memoryview(bytearray(sizehint + LONGEST_RECORD))
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have arrived."""
        self._received += nbytes
        if self._exchange is None:
            self.abort()  # no request is under way
            return
        self._receive(self._exchange, bytes(self._buffer[:nbytes]))

    def eof_received(self) -> bool:
        """The server will send nothing more. Returning True keeps our half of a plain connection open."""
        self._server_finished = True
        if self.state is ConnectionState.FRESH and not self._tls:
            # It may still read: a request that is sent now may be acted on, although no reply can come.
            return True
        self._end_of_stream()
        return False

    def _end_of_stream(self) -> None:
        exchange = self._exchange
        if exchange is not None and not exchange.has_reply:
            self._fail(httpx.RemoteProtocolError("the server closed the connection before it had sent a reply"))
        elif exchange is not None:
            self._receive(exchange, b"")
        self.state = ConnectionState.CLOSED

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket was closed, by either side."""
        if exc is None and self.is_busy:
            self._end_of_stream()  # of TLS that ends without a close_notify, uvloop reports nothing else
        self.state = ConnectionState.CLOSED
        reason = getattr(exc, "reason", None)  # of TLS, such as that the server demands a certificate
        if type(exc) is OSError:  # the name of its class says nothing
            reason = exc.strerror
        why = "" if exc is None else f" ({': '.join(filter(None, (type(exc).__name__, reason)))})"
        self._fail(httpx.ReadError(f"the connection was lost{why}"))
        self.gone.set_result(None)
        self._closed(self)

    # -- the reply --------------------------------------------------------------------------------------------------

    def _receive(self, exchange: Exchange, arrived: bytes) -> None:
        try:
            if not exchange.receive(arrived):
                return
        except h11.RemoteProtocolError as error:
            self._fail(httpx.RemoteProtocolError(str(error)))
            return
        self.state = ConnectionState.IDLE if exchange.another_may_follow else ConnectionState.CLOSED
        self._exchange = None
        exchange.finish()

    def _fail(self, error: Exception) -> None:
        self.state = ConnectionState.CLOSED
        if self._exchange is not None:
            self._exchange.fail(error)
            self._exchange = None


def _readiness(sock: socket.socket) -> Callable[[], object]:
    """A function whose result is true if the socket has bytes, an end or an error. Asking costs less than reading."""
    poll = getattr(select, "poll", None)
    if poll is None:  # on Windows; elsewhere ``select`` cannot be asked about more than 1024 open files
        return lambda: sock.fileno() < 0 or select.select([sock], [], [], 0)[0]
    asked = poll()
    asked.register(sock, select.POLLIN)
    return functools.partial(asked.poll, 0)
