"""Whatever bytes a server sends, in pieces of any size: a connection of our own, without sockets.

Each example is an exchange, drawn from its number: a reply of any framing, well made or not, followed by nothing, by
bytes that nobody asked for, or by the end. It is brought to connections in several ways of cutting it. A thousand
examples here. By hand, as many as are wanted: ``OMIPAY_FUZZ=1000000 pytest tests/transport/test_wire_fuzz.py``.
"""

from __future__ import annotations

import enum
import os
import random
import select
import socket
from typing import TYPE_CHECKING, Any, Final

import attrs
import httpx
import pytest

from omipay_async.transport import exchange
from omipay_async.transport.connection import Connection
from tests.support.network import SilentSocket, deliver
from tests.support.untyped import untyped

if TYPE_CHECKING:
    from collections.abc import Iterable

EXAMPLES: Final = int(os.environ.get("OMIPAY_FUZZ", "1000"))
LIMIT: Final = 60
"""Stands for ``LARGEST_REPLY``, so that replies that are too large are small."""
HEADERS: Final = ((b"Host", b"gateway.example"),)
SECOND: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond"
NOISE: Final = [
    b"\r",
    b"\n",
    b"\0",
    b":",
    b" ",
    b"0",
    b"\xff",
    b"HTTP/1.1 ",
    b"\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n",
]
SURPLUS: Final = [b"\n", b"\r\n", b"\0", b"x", b"0\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", SECOND]


class Transport:
    """What asyncio gives a protocol, as far as a connection uses it. Its end is told of when the protocol returns."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closing = False

    def write(self, data: bytes) -> None:
        """Send."""
        self.written.append(data)

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self.closing

    def abort(self) -> None:
        """Close."""
        self.closing = True

    def pause_reading(self) -> None:
        """Before TLS."""


class Peer:
    """A server, and the one connection to it."""

    def __init__(self, sock: SilentSocket | socket.socket | None = None, *, tls: bool) -> None:
        self.closed = 0
        self.transport = Transport()
        self.connection = Connection(untyped(sock or SilentSocket()), self._lost, tls=tls)
        self.connection.connection_made(untyped(self.transport))

    def _lost(self, _: Connection) -> None:
        self.closed += 1

    def _notify(self) -> None:
        if self.transport.closing and not self.connection.gone.done():
            self.connection.connection_lost(None)

    def says(self, pieces: Iterable[bytes]) -> None:
        """Bring these pieces, one by one, until the connection is closed."""
        for piece in pieces:
            if self.transport.closing:
                return
            deliver(self.connection, piece)
            self._notify()

    def ends(self) -> None:
        """Say nothing more."""
        if not self.transport.closing and not self.connection.eof_received():
            self.transport.closing = True
        self._notify()

    def abort(self) -> None:
        """Close our end."""
        self.connection.abort()
        self._notify()


class Framing(enum.Enum):
    """How the length of a body is given."""

    LENGTH = "Content-Length"
    CHUNKED = "chunked"
    TO_THE_END = "until the connection ends"
    NONE = "a status that has no body"


@attrs.frozen
class FuzzedReply:
    """One exchange as the server sends it."""

    sent: bytes
    """Everything that comes after the request."""
    ends: bool
    """Whether the server then says that it is all."""
    tls: bool
    status: int
    body: bytes
    is_well_made: bool
    """Whether it is the whole reply, and as HTTP wants it."""
    has_surplus: bool
    """Whether a reply that is well made is followed by bytes that nobody asked for."""
    keeps: bool
    """Whether the connection may be used again after such a reply."""


def drawn(chance: random.Random) -> FuzzedReply:
    """A reply, which may be corrupted."""
    framing = chance.choice([Framing.LENGTH, Framing.LENGTH, Framing.CHUNKED, Framing.CHUNKED, *Framing])
    status = chance.choice([204, 304] if framing is Framing.NONE else [200, 200, 200, 201, 404, 502])
    body = b"" if framing is Framing.NONE else chance.randbytes(chance.choice([0, 1, 7, 30, 60, 61, 90]))
    closes, old = chance.random() < 0.2, chance.random() < 0.1 and framing is not Framing.CHUNKED
    head = [b"HTTP/1.%d %d %s" % (not old, status, chance.choice([b"OK", b"", b"Not \xe4 thing"]))]
    head += chance.sample(
        [b"Content-Type: application/json", b"Date: never", b"X:", b"x-y: a:b \t"], chance.randint(0, 3)
    )
    if closes:
        head.insert(chance.randint(1, len(head)), b"Connection: close")
    framed = _framed(chance, framing, body, head)
    line_end = chance.choice([b"\r\n", b"\r\n", b"\n"])
    interim = b"".join(
        chance.choices([b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Hints\r\nLink: </>\r\n\r\n"], k=2)
    )
    whole = interim + line_end.join([*head, b"", b""]) + framed
    ends = chance.random() < 0.3 or framing is Framing.TO_THE_END
    surplus = chance.random() < 0.2 and framing is not Framing.TO_THE_END
    sent = whole + chance.choice(SURPLUS) if surplus else whole
    corrupted = _corrupted(chance, sent) if chance.random() < 0.5 else sent
    keeps = not (closes or old or ends or surplus or len(body) > LIMIT or framing is Framing.TO_THE_END)
    return FuzzedReply(corrupted, ends, chance.random() < 0.5, status, body, corrupted == sent, surplus, keeps)


def _framed(chance: random.Random, framing: Framing, body: bytes, head: list[bytes]) -> bytes:
    """The body as it is sent. What is said of it is added to ``head``."""
    if framing is Framing.LENGTH:
        head.insert(chance.randint(1, len(head)), b"Content-Length: %d" % len(body))
    if framing is not Framing.CHUNKED:
        return body
    head.insert(
        chance.randint(1, len(head)), chance.choice([b"Transfer-Encoding: chunked", b"transfer-encoding:\tChunked"])
    )
    chunks = [
        b"%x%s\r\n%s\r\n" % (len(piece), chance.choice([b"", b"", b";a=b"]), piece)
        for piece in cut(body, _places(chance, body))
    ]
    return b"".join([*chunks, b"0\r\n", chance.choice([b"", b"", b"Trailer: x\r\n"]), b"\r\n"])


def _corrupted(chance: random.Random, sent: bytes) -> bytes:
    """These bytes with something changed, added, left out or cut off."""
    at = chance.randint(0, len(sent))
    upto = min(len(sent), at + chance.choice([0, 1, 1, 3]))
    return chance.choice(
        [
            sent[:at],
            sent[:at] + chance.choice(NOISE) + sent[upto:],
            sent[:at] + chance.randbytes(chance.randint(1, 4)) + sent[upto:],
            sent[:at] + sent[upto:],
            sent[at:],
        ]
    )


def _places(chance: random.Random, data: bytes) -> list[int]:
    return sorted(chance.randint(0, len(data)) for _ in range(chance.randint(0, 5)))


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """``data`` cut at these places, without empty pieces, since an event loop delivers none."""
    pieces = [data[begin:end] for begin, end in zip([0, *places], [*places, len(data)], strict=True)]
    return [piece for piece in pieces if piece]


def live(wire: FuzzedReply, pieces: list[bytes]) -> tuple[Any, bool]:
    """The result of a request that is answered with ``pieces``, and whether the connection may be used again."""
    peer = Peer(tls=wire.tls)
    reply = peer.connection.send(b"GET", b"/first", HEADERS)
    peer.says(pieces)
    if wire.ends:
        peer.ends()
    usable = peer.connection.is_idle and peer.connection.is_usable()
    outcome = _outcome(reply) if reply.done() else None
    if usable:
        assert outcome is not None
        _check_second(peer)
    elif outcome is None:
        peer.abort()
        assert isinstance(reply.exception(), httpx.ReadError)
    else:
        _check_closed(peer)
    peer.abort()
    assert peer.closed == 1
    return outcome, usable


def _outcome(reply: Any) -> Any:
    """Comparable. An error's message may quote the last piece; what is too large is there in part."""
    error = reply.exception()
    if error is not None:
        assert isinstance(error, httpx.TransportError)
        return type(error), str(error) != ""
    found = reply.result()
    return found.status, found.headers, "too large" if len(found.body) > LIMIT else found.body


def _check_second(peer: Peer) -> None:
    """The next exchange gets its own reply, and nothing of the previous one."""
    reply = peer.connection.send(b"GET", b"/second", HEADERS)
    assert peer.transport.written[-1].startswith(b"GET /second HTTP/1.1\r\n")
    peer.says([SECOND])
    found = reply.result()
    assert (found.status, found.headers, found.body) == (200, [(b"Content-Length", b"6")], b"second")


def _check_closed(peer: Peer) -> None:
    """Nothing more is sent over a connection that ``is_usable`` rejects."""
    assert not peer.connection.is_idle
    assert not peer.connection.is_usable()


def check(number: int) -> str:
    """Check one example. Returns what it was, so that none is missing."""
    chance = random.Random(number)
    wire = drawn(chance)
    sent = wire.sent
    whole = live(wire, [sent] if sent else [])
    outcome, usable = whole
    ways = [_places(chance, sent), _places(chance, sent)]
    if number % 5 == 0:  # it is slow
        ways.append(list(range(1, len(sent))))
    for places in ways:
        pieces = cut(sent, places)
        assert live(wire, pieces) == whole, f"example {number}: {wire}, as {pieces}"
    if not wire.is_well_made:
        return "corrupted" if outcome is None or isinstance(outcome[0], int) else "refused"
    told = f"example {number}: {wire} came to {whole}"
    assert outcome is not None, told
    assert outcome[0] == wire.status, told
    assert outcome[2] == (wire.body if len(wire.body) <= LIMIT else "too large"), told
    assert usable == wire.keeps, told
    if wire.has_surplus:
        return "surplus"
    return "kept" if usable else "closed"


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "LARGEST_REPLY", LIMIT)


@pytest.mark.usefixtures("small_limit")
async def test_bytes_mean_the_same_in_pieces_of_any_size() -> None:
    """A reply or an ``httpx.TransportError``, the same for every cut. What is left over is not a reply."""
    begin = int(os.environ.get("OMIPAY_FUZZ_FIRST", "0"))
    seen = {check(number) for number in range(begin, begin + EXAMPLES)}
    assert seen == {"corrupted", "refused", "surplus", "kept", "closed"}


async def test_bytes_before_a_request_close_the_connection() -> None:
    """In plain TCP and under TLS, however many there are."""
    for number in range(EXAMPLES // 10):
        chance = random.Random(number)
        peer = Peer(tls=chance.random() < 0.5)
        data = chance.choice([*SURPLUS, *NOISE, chance.randbytes(3)])
        peer.says(cut(data, _places(chance, data)))
        assert not peer.connection.is_usable()
        with pytest.raises(httpx.RemoteProtocolError):
            peer.connection.send(b"GET", b"/", HEADERS)
        assert not peer.transport.written


@pytest.fixture(params=["select.poll", "Windows"])
def asking(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How a socket is asked whether it contains anything."""
    if request.param == "Windows":
        monkeypatch.delattr(select, "poll")


@pytest.mark.usefixtures("asking")
async def test_a_socket_that_is_closed_has_said_nothing() -> None:
    """The event loop has closed it since the server ended the connection: sending over it fails."""
    sock, server = socket.socketpair()
    peer = Peer(sock, tls=False)
    sock.close()
    server.close()
    assert not await peer.connection.has_spoken()
    assert not peer.connection.is_usable()


@pytest.mark.usefixtures("asking")
async def test_bytes_in_the_socket_prevent_the_next_request() -> None:
    """The event loop has not yet delivered what came after a reply."""
    sock, server = socket.socketpair()
    with sock, server:
        peer = Peer(sock, tls=False)
        reply = peer.connection.send(b"GET", b"/", HEADERS)
        peer.says([SECOND])
        assert reply.result().body == b"second"
        assert peer.connection.is_usable()
        server.send(b"\n")
        assert not peer.connection.is_usable()
