"""What a server says unasked: before the first request, and in half a TLS record. The server is a thread."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import ssl
import struct
import threading
from typing import TYPE_CHECKING, Any, Self

import httpx
import pytest

from omipay_async import (
    AsyncOmipay,
    NotSent,
    OmipayError,
    Outcome,
    OutcomeUnknown,
    PaymentDeclined,
    RetryPolicy,
    TransportError,
)
from omipay_async.transport.connection import Connection
from omipay_async.transport.tls_records import TLSRecords
from tests.support.network import deliver
from tests.support.proactor_loop import ProactorLoop
from tests.support.untyped import untyped

from .behaviours import message
from .client import open_session, query, scan
from .server import M_NUMBER, SECRET_KEY

if TYPE_CHECKING:
    from collections.abc import Callable

    from omipay_async.transport.exchange import Reply

    from .conftest import Certified

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
on_windows_too = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop", "proactor"])

DECLINED = message(b'{"return_code": "FAIL", "error_code": "NOT_ENOUGH"}')
READY = message(b'{"return_code": "SUCCESS", "result_code": "READY", "currency": "AUD", "amount": 450}')
PAID = message(b'{"return_code": "SUCCESS", "result_code": "PAID", "currency": "AUD", "amount": 450}')


class Peer:
    """The server's end of one connection. Its methods are called in the server's thread."""

    def __init__(self, sock: socket.socket, tls: ssl.SSLContext | None) -> None:
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = None if tls is None else tls.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def shake_hands(self) -> None:
        """Begin TLS."""
        if self._tls is not None:
            self._until_done(self._tls.do_handshake)

    def read_request(self) -> bytes:
        """One request, whole."""
        request = b""
        while b"\r\n\r\n" not in request:
            piece = self._read()
            if not piece:
                raise ConnectionError
            request += piece
        return request

    def _read(self) -> bytes:
        tls = self._tls
        return self._sock.recv(65536) if tls is None else self._until_done(lambda: tls.read(65536))

    def encoded(self, data: bytes) -> bytes:
        """``data`` as it is on the wire."""
        if self._tls is None:
            return data
        self._tls.write(data)
        return self._outgoing.read()

    def say(self, wire: bytes) -> None:
        """Send these bytes."""
        self._sock.sendall(wire)

    def leave(self, *, is_reset: bool) -> None:
        """Close the connection, with the end of TLS before it, or reset it."""
        if is_reset:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif self._tls is not None:
            with contextlib.suppress(ssl.SSLWantReadError):
                self._tls.unwrap()
            self._flush()
        self._sock.close()

    def _until_done(self, step: Callable[[], Any]) -> Any:
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                self._flush()
                piece = self._sock.recv(65536)
                if not piece:
                    raise ConnectionError from None
                self._incoming.write(piece)
            else:
                self._flush()
                return done

    def _flush(self) -> None:
        if piece := self._outgoing.read():
            self._sock.sendall(piece)


class Server:
    """Accepts connections in a thread, and lets ``script`` talk over each."""

    def __init__(self, script: Callable[[Peer], None], tls: ssl.SSLContext | None) -> None:
        self._script = script
        self._context = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        scheme = "http" if tls is None else "https"
        self.base_url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}/omipay/api"
        self.connections = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            sock.settimeout(5)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with sock, contextlib.suppress(OSError):
                peer = Peer(sock, self._context)
                peer.shake_hands()
                self._script(peer)


@pytest.fixture(params=["TCP", "TLS"])
def server_tls(request: pytest.FixtureRequest, certified: Certified) -> ssl.SSLContext | None:
    return certified.server if request.param == "TLS" else None


def look_after(monkeypatch: pytest.MonkeyPatch, event: threading.Event) -> None:
    """Let each new connection be looked at only after ``event``, without a turn of the event loop in between."""
    looks = Connection.has_spoken

    async def after_a_pause(connection: Connection) -> bool:
        await asyncio.sleep(0)  # uvloop writes the end of its handshake now
        event.wait(5)  # the program is busy, and the event loop reads nothing
        event.clear()
        loop = asyncio.get_running_loop()
        if isinstance(loop, ProactorLoop):
            loop.arrive()
        return await looks(connection)

    monkeypatch.setattr(Connection, "has_spoken", after_a_pause)


@on_windows_too
@pytest.mark.parametrize("call", [scan, query])
async def test_what_came_before_the_request_is_not_its_reply(
    server_tls: ssl.SSLContext | None, certified: Certified, monkeypatch: pytest.MonkeyPatch, call: Callable[..., Any]
) -> None:
    """A reply that lies in a new connection answers nothing: nothing is sent over it, so certainly nothing happened."""
    said, received = threading.Event(), []

    def speak_first(peer: Peer) -> None:
        peer.say(peer.encoded(DECLINED))
        said.set()
        received.append(peer.read_request())

    look_after(monkeypatch, said)
    with Server(speak_first, server_tls) as server:
        options: dict[str, Any] = {"verify": certified.client, "retry": RetryPolicy(attempts=2, base_delay=0.001)}
        async with open_session(server.base_url, **options) as omipay:
            with pytest.raises(NotSent, match="the server sent something before the request") as caught:
                await call(omipay, "A-1")
    assert caught.value.outcome is (Outcome.NOT_DONE if call is scan else None)
    assert server.connections == 2
    assert received == []


@on_windows_too
@pytest.mark.parametrize("call", [scan, query])
@pytest.mark.parametrize("is_reset", [False, True], ids=["closed", "reset"])
async def test_a_node_that_drops_a_new_connection_is_not_one_that_refused_it(
    server_tls: ssl.SSLContext | None,
    certified: Certified,
    monkeypatch: pytest.MonkeyPatch,
    call: Callable[..., Any],
    *,
    is_reset: bool,
) -> None:
    """Whenever it is noticed: the second node is not asked, and nobody knows what became of a money call."""
    left = threading.Event()

    def leave(peer: Peer) -> None:
        peer.leave(is_reset=is_reset)
        left.set()

    look_after(monkeypatch, left)
    with Server(leave, server_tls) as server, Server(leave, server_tls) as second:
        options: dict[str, Any] = {"verify": certified.client, "retry": RetryPolicy(attempts=1)}
        async with open_session(server.base_url, fallback=second.base_url, **options) as omipay:
            with pytest.raises(OmipayError) as caught:
                await call(omipay, "A-1")
    assert type(caught.value) is (OutcomeUnknown if call is scan else TransportError)
    assert (server.connections, second.connections) == (1, 0)


@on_windows_too
async def test_half_a_record_ends_an_idle_connection(certified: Certified) -> None:
    """The first half of a surplus reply has arrived under TLS: the next read goes over another connection."""
    wires: list[bytes] = []

    def say_too_much(peer: Peer) -> None:
        peer.read_request()
        wires.append(peer.encoded(READY))
        surplus = peer.encoded(PAID)
        peer.say(wires[-1] + surplus[: len(surplus) // 2])
        peer.read_request()
        peer.say(surplus[len(surplus) // 2 :])

    with Server(say_too_much, certified.server) as server:
        async with open_session(server.base_url, verify=certified.client) as omipay:
            for _ in range(3):
                assert (await omipay.query_order("OM-1")).status == "READY"
    assert server.connections == 3


@on_windows_too
async def test_whole_records_keep_a_connection(certified: Certified) -> None:
    """However their bytes are cut."""

    def say_slowly(peer: Peer) -> None:
        while True:
            peer.read_request()
            wire = peer.encoded(READY[:40]) + peer.encoded(READY[40:])
            for at in range(0, len(wire), 23):
                peer.say(wire[at : at + 23])

    with Server(say_slowly, certified.server) as server:
        async with open_session(server.base_url, verify=certified.client) as omipay:
            for _ in range(3):
                assert (await omipay.query_order("OM-1")).status == "READY"
    assert server.connections == 1


@on_windows_too
async def test_a_request_is_written_in_the_moment_in_which_it_is_sent(
    server_tls: ssl.SSLContext | None, certified: Certified, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not later, behind the end of a TLS handshake: a process that is stopped meanwhile would send a charge late."""
    received, sends = threading.Event(), Connection.send

    def answer(peer: Peer) -> None:
        peer.read_request()
        received.set()
        peer.say(peer.encoded(DECLINED))

    def send_and_block(connection: Connection, *request: Any) -> asyncio.Future[Reply]:
        reply = sends(connection, *request)
        assert received.wait(5)
        return reply

    monkeypatch.setattr(Connection, "send", send_and_block)
    with Server(answer, server_tls) as server:
        async with open_session(server.base_url, verify=certified.client) as omipay:
            with pytest.raises(PaymentDeclined):
                await scan(omipay, "A-1")


# -- records ----------------------------------------------------------------------------------------------------------


class TLS(asyncio.BufferedProtocol):
    """What takes the bytes that are watched."""

    def __init__(self) -> None:
        self.buffer = bytearray(64)
        self.received = b""

    def get_buffer(self, sizehint: int) -> bytearray:
        """Return where the bytes go."""
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take them."""
        self.received += bytes(self.buffer[:nbytes])


def record(length: int, kind: int = 23) -> bytes:
    return bytes([kind, 3, 3]) + length.to_bytes(2) + b"x" * length


async def test_records_are_whole_at_their_ends_only() -> None:
    """In pieces of any size, and every byte is passed on."""
    for seed in range(200):
        chance = random.Random(seed)
        records, wire, ends = TLSRecords(below := TLS()), b"", {0}
        for _ in range(4):
            wire += record(chance.choice([0, 1, 5, 300]))
            ends.add(len(wire))
        at = 0
        while at < len(wire):
            step = chance.randint(1, 70)
            deliver(records, wire[at : at + step])
            at = min(len(wire), at + step)
            assert records.are_whole == (at in ends), f"seed {seed}: {at}"
        assert below.received == wire


async def test_the_longest_record_that_may_be_sent_is_whole_at_its_end() -> None:
    """RFC 5246 allows 2048 bytes more than the 16 KiB of its content."""
    records = TLSRecords(TLS())
    deliver(records, record(18_432))
    assert records.are_whole


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", record(1, kind=99), record(18_433)])
async def test_what_is_not_a_record_is_never_whole(head: bytes) -> None:
    """Whatever follows: such a connection is not kept."""
    records = TLSRecords(TLS())
    deliver(records, head + record(3) * 50)
    assert not records.are_whole


async def test_what_the_event_loop_tells_about_the_socket_is_passed_on() -> None:
    """TLS must learn of the end of the stream, of a lost connection, and when to stop writing."""
    told: list[object] = []

    class Listening(TLS):
        def eof_received(self) -> bool:
            told.append("end")
            return True

        def connection_lost(self, exc: Exception | None) -> None:
            told.append(exc)

        def pause_writing(self) -> None:
            told.append("pause")

        def resume_writing(self) -> None:
            told.append("resume")

    records, lost = TLSRecords(Listening()), OSError()
    records.pause_writing()
    records.resume_writing()
    assert records.eof_received() is True
    records.connection_lost(lost)
    assert told == ["pause", "resume", "end", lost]


async def test_an_event_loop_without_buffers_is_not_watched() -> None:
    """Then there is nothing to stand between."""

    class Plain(asyncio.Transport):
        def get_protocol(self) -> asyncio.BaseProtocol:
            return asyncio.Protocol()

    assert TLSRecords.watch(Plain()) is None


# -- transports of the user -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "returned",
    [200, {"return_code": "SUCCESS"}, (200, [], b"{}"), None, object()],
    ids=lambda value: type(value).__name__,
)
async def test_what_is_not_a_response_proves_nothing(returned: object) -> None:
    """A transport that returns it, as a wrong mock does, may have sent the money call: nobody knows."""

    class Wrong(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            response: httpx.Response = untyped(returned)
            return response

    options: dict[str, Any] = {"base_url": "http://gateway.test/omipay/api", "transport": Wrong()}
    async with AsyncOmipay(M_NUMBER, SECRET_KEY, **options) as omipay:
        with pytest.raises(OutcomeUnknown, match=f"the transport returned {type(returned).__name__}, not an httpx"):
            await scan(omipay, "A-1")
