"""The session's own connections over real sockets, plain and TLS, on both event loops."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from omipay_async import InvalidReply, NotSent, OutcomeUnknown, RetryPolicy, TransportError
from omipay_async.protocol.reply import LARGEST_REPLY
from omipay_async.transport import network
from omipay_async.transport.connection import Connection
from omipay_async.transport.network import Address, Network, addresses_of, open_socket
from tests.support.waiting import until

from . import behaviours
from .behaviours import ACT_CLOSE, HEALTHY, SILENCE, SURPLUS, Behaviour, Gap, message
from .client import open_session, query, resolves_to, scan
from .server import Gateway, always, black_hole, in_turn, refusing_port, settled, url_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from omipay_async import AsyncOmipay

    from .conftest import Certified

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])

ONCE = RetryPolicy(attempts=1)
FIRST_TRY: dict[str, Any] = {"retry": ONCE}


@pytest.fixture
async def omipay(wired: Gateway, certified: Certified) -> AsyncIterator[AsyncOmipay]:
    """A session that repeats nothing."""
    async with open_session(wired, verify=certified.client, **FIRST_TRY) as omipay:
        yield omipay


# -- what came unasked ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("behaviour", SURPLUS, ids=str)
async def test_bytes_after_a_reply_answer_nothing(wired: Gateway, omipay: AsyncOmipay, behaviour: Behaviour) -> None:
    """The next read goes over another connection, whichever buffer the surplus is in."""
    wired.script = in_turn(behaviour)
    assert (await omipay.query_order("OM-1")).order_no == "OM-1"
    if behaviour.gap in (Gap.SEGMENT, Gap.PAUSE):
        await until(lambda: wired.open_connections == 0, "the connection to be closed")
    assert (await omipay.query_order("OM-2")).order_no == "OM-2"
    assert wired.connections == 2


@pytest.mark.asyncio(loop_factories=["asyncio", "uvloop", "proactor"])
@pytest.mark.parametrize("said", [b"\r\n", b"H", message(b"", "408 Request Timeout")], ids=["CRLF", "a byte", "408"])
@pytest.mark.parametrize("noticed", [True, False])
async def test_a_byte_on_an_idle_connection_ends_it(
    wired: Gateway, omipay: AsyncOmipay, said: bytes, noticed: bool
) -> None:
    """Whether the event loop has delivered it, or it is still in the socket when the next read is sent."""
    await query(omipay, "OM-1")
    wired.say_at_once(said)
    if noticed:
        await until(lambda: wired.open_connections == 0, "the connection to be closed")
    assert (await omipay.query_order("OM-2")).order_no == "OM-2"
    assert wired.connections == 2


@pytest.mark.parametrize("noticed", [True, False])
async def test_a_connection_that_the_server_ended_is_not_used(
    wired: Gateway, omipay: AsyncOmipay, noticed: bool
) -> None:
    """Even if the end is still in the socket: the read is sent once, over another connection."""
    await query(omipay, "OM-1")
    wired.hang_up_at_once()
    if noticed:
        await until(lambda: wired.open_connections == 0, "the connection to be closed")
    assert (await omipay.query_order("OM-2")).order_no == "OM-2"
    assert wired.numbers == ["OM-1", "OM-2"]


async def test_small_packets_leave_at_once(wired: Gateway, omipay: AsyncOmipay) -> None:
    """No request waits for the acknowledgement of the previous one."""
    await query(omipay, "OM-1")
    assert omipay._client._network is not None
    (connection,) = omipay._client._network.connections
    assert connection._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_reads_keep_their_connection_and_money_travels_alone(wired: Gateway, omipay: AsyncOmipay) -> None:
    """Each money call has a new connection, which is closed after the reply."""
    for number in ("1", "2", "3"):
        await query(omipay, f"OM-{number}")
        await scan(omipay, f"A-{number}")
        await until(lambda: wired.open_connections == 1, "the money call's connection to be closed")
    assert wired.connections == 1 + 3
    closes = {request.number[0]: request.headers.get("connection") for request in wired.requests}
    assert closes == {"O": None, "A": "close"}


# -- replies of every form --------------------------------------------------------------------------------------------

BODY = b'{"return_code": "SUCCESS", "result_code": "PAID", "order_no": "OM-1", "currency": "AUD", "amount": 100}'
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(
    b"%x\r\n%b\r\n" % (len(part), part) for part in (BODY[:7], BODY[7:50], BODY[50:])
)
FORMS = {
    "by length": (message(BODY), True),
    "chunked": (CHUNKED + b"0\r\n\r\n", True),
    "chunked, with a trailer": (CHUNKED + b"0\r\nDate: x\r\n\r\n", True),
    "to the end": (b"HTTP/1.1 200 OK\r\n\r\n" + BODY, False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY), False),
    "after three interim replies": (b"HTTP/1.1 102 Processing\r\n\r\n" * 3 + message(BODY), True),
    "closing": (message(BODY, "200 OK", "Connection: close"), False),
}


@pytest.mark.parametrize("form", FORMS)
async def test_replies_of_every_form(wired: Gateway, omipay: AsyncOmipay, form: str) -> None:
    """They are read whole, and the connection is kept only if it can be used again."""
    said, kept = FORMS[form]
    ends = behaviours.Ends.KEPT if kept else behaviours.Ends.CLOSED
    wired.script = in_turn(Behaviour(form, says=lambda _: said, ends=ends))
    order = await omipay.query_order("OM-1")
    assert (order.is_paid, order.amount) == (True, 100)
    await query(omipay, "OM-2")
    assert wired.connections == (1 if kept else 2)


@pytest.mark.parametrize(
    "said",
    [
        CHUNKED,
        message(BODY)[:-1],
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n" + message(BODY),
        b"",
    ],
    ids=["no last chunk", "too short", "200 KB of headers", "two lengths", "switched", "nothing"],
)
async def test_no_whole_reply(wired: Gateway, omipay: AsyncOmipay, said: bytes) -> None:
    """A money call is unknown, a read got no answer, and the connection is not used again."""
    wired.script = always(Behaviour("broken", says=lambda _: said, ends=behaviours.Ends.CLOSED))
    with pytest.raises(TransportError):
        await query(omipay, "OM-1")
    with pytest.raises(OutcomeUnknown):
        await scan(omipay, "A-1")
    wired.script = always(HEALTHY)
    await query(omipay, "OM-2")


async def test_no_more_than_a_mebibyte_is_read(wired: Gateway, omipay: AsyncOmipay) -> None:
    """A longer reply is cut off, and its connection is closed."""
    endless = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (LARGEST_REPLY + 1)
    wired.script = always(Behaviour("endless", says=lambda _: endless, ends=behaviours.Ends.HANGS))
    with pytest.raises(InvalidReply, match="it is longer than 1048576 bytes"):
        await query(omipay, "OM-1")
    await settled(wired)


# -- connecting -------------------------------------------------------------------------------------------------------


def open_files() -> int:
    """How many files this process has open."""
    return len([*Path("/proc/self/fd").iterdir()])


async def test_an_address_that_is_silent_costs_a_quarter_of_a_second(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one is tried beside it, and the first socket is closed."""
    before = open_files()
    with black_hole() as port:
        resolves_to(monkeypatch, ("127.0.0.1", port), ("127.0.0.1", gateway.port))
        async with open_session(gateway, **FIRST_TRY) as omipay:
            began = time.monotonic()
            await scan(omipay, "A-1")
            assert 0.2 < time.monotonic() - began < 5  # an attempt would have ten seconds
    await settled(gateway)
    await until(lambda: open_files() <= before, "every socket to be closed")


async def test_an_address_that_refuses_costs_nothing(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one is tried at once. If all fail, nothing was sent, and the error is that of the first one."""
    monkeypatch.setattr(network, "_NEXT_ADDRESS_S", 60)
    with refusing_port() as port:
        refused = ("127.0.0.1", port.getsockname()[1])
        resolves_to(monkeypatch, refused, ("127.0.0.1", gateway.port))
        async with open_session(gateway, **FIRST_TRY) as omipay:
            await scan(omipay, "A-1")
            resolves_to(monkeypatch, refused, ("255.255.255.255", 443))
            with pytest.raises(NotSent, match="ConnectionRefusedError"):
                await scan(omipay, "A-2")
    assert gateway.numbers == ["A-1"]


async def test_the_last_address_is_waited_for_when_the_others_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """However late they did."""
    failed, go, last = asyncio.Event(), asyncio.Event(), socket.socket()

    async def connected(address: Address) -> tuple[socket.socket, Address]:
        if address.sockaddr[1] == 1:
            await failed.wait()
            raise ConnectionRefusedError
        await go.wait()
        return last, address

    monkeypatch.setattr(network, "_connected", connected)
    monkeypatch.setattr(network, "_NEXT_ADDRESS_S", 0)
    resolves_to(monkeypatch, ("127.0.0.1", 1), ("127.0.0.1", 2))
    opening = asyncio.ensure_future(open_socket(await addresses_of("gateway.test", 443)))
    for event in (failed, go):
        await asyncio.sleep(0.01)
        assert not opening.done()
        event.set()
    with (await opening)[0] as opened:
        assert opened is last


async def test_of_two_addresses_that_connect_at_once_one_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would close the other."""
    go, sockets = asyncio.Event(), [socket.socket() for _ in range(2)]
    waiting = list(sockets)

    async def connected(address: Address) -> tuple[socket.socket, Address]:
        await go.wait()
        return waiting.pop(), address

    monkeypatch.setattr(network, "_connected", connected)
    monkeypatch.setattr(network, "_NEXT_ADDRESS_S", 0)
    resolves_to(monkeypatch, ("127.0.0.1", 1), ("127.0.0.1", 2))
    opening = asyncio.ensure_future(open_socket(await addresses_of("gateway.test", 443)))
    while len(asyncio.all_tasks()) < 4:
        await asyncio.sleep(0)
    go.set()
    with (await opening)[0] as opened:
        await until(lambda: sum(sock.fileno() < 0 for sock in sockets) == 1, "the other socket to be closed")
        assert opened.fileno() > 0


async def test_an_address_that_fails_as_another_connects_is_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a connection, so nothing went wrong."""
    go, sock, complaints = asyncio.Event(), socket.socket(), list[dict[str, Any]]()

    async def connected(address: Address) -> tuple[socket.socket, Address]:
        await go.wait()
        if address.sockaddr[1] == 1:
            raise ConnectionRefusedError
        return sock, address

    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    monkeypatch.setattr(network, "_connected", connected)
    monkeypatch.setattr(network, "_NEXT_ADDRESS_S", 0)
    for addresses in ([1, 2], [2, 1]):
        resolves_to(monkeypatch, *(("127.0.0.1", port) for port in addresses))
        go.clear()
        opening = asyncio.ensure_future(open_socket(await addresses_of("gateway.test", 443)))
        while len(asyncio.all_tasks()) < 4:
            await asyncio.sleep(0)
        go.set()
        assert (await opening)[0] is sock
        await until(lambda: len(asyncio.all_tasks()) == 1, "every task to end")
        await asyncio.sleep(0)
    sock.close()
    assert complaints == []


@pytest.mark.parametrize("after_s", [0, 0.01, 0.3])
async def test_cancelled_while_connecting(gateway: Gateway, monkeypatch: pytest.MonkeyPatch, after_s: float) -> None:
    """Whichever addresses are being tried: no socket is left, and the event loop reports nothing."""
    before, complaints = open_files(), list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    with black_hole() as port, black_hole() as other:
        resolves_to(monkeypatch, ("127.0.0.1", port), ("127.0.0.1", other), ("127.0.0.1", port))
        async with open_session(gateway, **FIRST_TRY) as omipay:
            calls = [asyncio.ensure_future(scan(omipay, f"A-{index}")) for index in range(5)]
            await asyncio.sleep(after_s)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
    await until(lambda: open_files() <= before, "every socket to be closed")
    assert complaints == []


async def test_cancelled_at_every_step(wired: Gateway, certified: Certified) -> None:
    """After however many turns of the event loop, TLS included: no socket is left, and the next call works."""
    before = open_files()
    async with open_session(wired, verify=certified.client, **FIRST_TRY) as omipay:
        for turns in range(30):
            call = asyncio.ensure_future(scan(omipay, f"A-{turns}"))
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        await scan(omipay, "after")
    await settled(wired)
    await until(lambda: open_files() <= before, "every socket to be closed")
    assert max(wired.acts.values()) == 1


@pytest.mark.parametrize("behaviour", [*behaviours.BEFORE_READING, ACT_CLOSE], ids=str)
async def test_nothing_is_left_of_a_connection_that_failed(gateway: Gateway, behaviour: Behaviour) -> None:
    """Neither a socket nor a task."""
    before, tasks = open_files(), asyncio.all_tasks()
    gateway.script = always(behaviour)
    async with open_session(gateway, **FIRST_TRY) as omipay:
        for index in range(20):
            with pytest.raises(OutcomeUnknown):
                await scan(omipay, f"A-{index}")
    await until(lambda: open_files() <= before, "every socket to be closed")
    await until(lambda: asyncio.all_tasks() <= tasks, "every task to end")


async def test_a_read_that_timed_out_leaves_no_connection_to_answer_late(wired: Gateway, certified: Certified) -> None:
    """A late reply must not answer the next read."""
    wired.script = in_turn(SILENCE)
    async with open_session(wired, verify=certified.client, retry=RetryPolicy(attempts=1)) as omipay:
        with pytest.raises(TransportError):
            await omipay.query_order("OM-1", timeout=0.2)
        await until(lambda: wired.open_connections == 0, "the connection to be closed")
        assert (await omipay.query_order("OM-2")).order_no == "OM-2"


async def test_tls_failures_are_never_sent(gateway: Gateway, certified: Certified) -> None:
    """A server without TLS, and one with the certificate of another."""
    gateway.script = always(behaviours.NO_TLS)
    async with open_session(url_of(gateway.port, "https"), verify=certified.client, **FIRST_TRY) as omipay:
        with pytest.raises(NotSent, match="SSL"):
            await scan(omipay, "A-1")
    async with Gateway(tls=certified.server) as secure, open_session(secure, **FIRST_TRY) as omipay:
        with pytest.raises(NotSent, match="CERTIFICATE_VERIFY_FAILED"):
            await scan(omipay, "A-1")
        name = f"https://localhost:{secure.port}/omipay/api"
        async with open_session(name, verify=certified.client, **FIRST_TRY) as elsewhere:
            with pytest.raises(NotSent, match="CERTIFICATE_VERIFY_FAILED"):
                await scan(elsewhere, "A-2")
        assert not secure.requests


async def test_what_is_not_a_target_is_not_sent(gateway: Gateway, certified: Certified) -> None:
    """A line break in it would begin another request."""
    network = Network(certified.client)
    connection = await network.connect(httpx.URL(gateway.base_url))
    for target in (b"/a b", b"/a\r\nX: y", b"/\xc3\xa4", b""):
        with pytest.raises(httpx.LocalProtocolError, match="visible ASCII"):
            connection.send(b"GET", target, ((b"Host", b"127.0.0.1"),))
    await connection.send(
        b"GET", b"/omipay/api/v2/QueryOrder?order_no=1&timestamp=1&nonce_str=1&sign=1", ((b"Host", b"x"),)
    )
    await network.aclose()
    assert len(gateway.requests) == 1


async def test_a_connection_that_ends_in_its_tls_handshake_is_not_used(
    gateway: Gateway, certified: Certified, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop may return one that is closing already. Nothing is sent over it."""
    sock, _ = await open_socket(await addresses_of("127.0.0.1", gateway.port))
    connection = Connection(sock, id, tls=True)
    transport, _ = await asyncio.get_running_loop().create_connection(lambda: connection, sock=sock)

    async def closing(*_: object, **__: object) -> asyncio.Transport:
        transport.abort()
        return transport

    monkeypatch.setattr(connection, "loop", SimpleNamespace(start_tls=closing))
    with pytest.raises(ConnectionResetError):
        await connection.start_tls(certified.client, "127.0.0.1")
    await connection.gone


async def test_tls_does_not_begin_on_a_connection_that_is_closed(gateway: Gateway, certified: Certified) -> None:
    """uvloop reads the end of a connection before TLS begins, and would log an error then."""
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    connection = Connection((await open_socket(await addresses_of("127.0.0.1", gateway.port)))[0], id, tls=True)
    await asyncio.get_running_loop().create_connection(lambda: connection, sock=connection._socket)
    connection.abort()
    with pytest.raises(ConnectionResetError):
        await connection.start_tls(certified.client, "127.0.0.1")
    assert not complaints
