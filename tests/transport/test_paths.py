"""Paths through the network that look open and are not: a session leaves them for another one."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import pytest

from omipay_async import NotSent, RetryPolicy
from omipay_async.testing import ManualClock
from omipay_async.transport import network
from omipay_async.transport.connection import Connection

from .behaviours import ACCEPT_CLOSE, ACCEPT_HANG
from .client import open_session, query, resolves_to, scan
from .server import Gateway, always

if TYPE_CHECKING:
    import ssl

    from .conftest import Certified

ONCE = RetryPolicy(attempts=1)
LIMIT = getattr(socket, "TCP_USER_TIMEOUT", None)

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])


# -- a kept connection whose path is gone -----------------------------------------------------------------------------


@pytest.mark.skipif(LIMIT is None, reason="Linux only")
async def test_a_kept_connection_must_acknowledge_the_next_read_soon(wired: Gateway, certified: Certified) -> None:
    """Within three seconds, or a third of a shorter time. A new connection has no such limit."""
    async with open_session(wired, verify=certified.client) as omipay:
        limits = []
        for timeout_s in (30, 30, 3, 6, 30):
            await query(omipay, "OM-1", timeout_s)
            assert omipay._client._network is not None
            (connection,) = omipay._client._network.connections
            limits.append(connection._socket.getsockopt(socket.IPPROTO_TCP, LIMIT or 0))
    assert limits == [0, 3000, 1000, 2000, 3000]
    assert wired.connections == 1


@pytest.mark.parametrize("option", [None, 0x7FFF])
async def test_systems_without_that_limit(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, option: int | None
) -> None:
    """Whether Python does not know it, or the kernel: connections are kept all the same."""
    if option is None:
        monkeypatch.delattr(socket, "TCP_USER_TIMEOUT", raising=False)
    else:
        monkeypatch.setattr(socket, "TCP_USER_TIMEOUT", option, raising=False)
    async with open_session(gateway, retry=ONCE) as omipay:
        for _ in range(2):
            await query(omipay, "OM-1")
    assert gateway.connections == 1


# -- an address that connects, and no more ----------------------------------------------------------------------------


async def test_an_address_at_which_tls_fails_is_tried_last(
    secure: Gateway, gateway: Gateway, certified: Certified, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The repeat goes to the other address, and so do the calls after it."""
    gateway.script = always(ACCEPT_CLOSE)
    resolves_to(monkeypatch, ("127.0.0.1", gateway.port), ("127.0.0.1", secure.port))
    async with open_session(secure, verify=certified.client) as omipay:
        for number in ("A-1", "A-2", "A-3"):
            await scan(omipay, number)
    assert secure.numbers == ["A-1", "A-2", "A-3"]
    assert gateway.connections == 1


async def test_an_address_at_which_tls_hangs_is_tried_last(
    secure: Gateway, gateway: Gateway, certified: Certified, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where large packets are lost: whatever ends the handshake, the next call goes to the other address."""
    gateway.script, begun, own = always(ACCEPT_HANG), asyncio.Event(), Connection.start_tls

    async def start_tls(connection: Connection, context: ssl.SSLContext, host: str) -> None:
        begun.set()
        await own(connection, context, host)

    monkeypatch.setattr(Connection, "start_tls", start_tls)
    resolves_to(monkeypatch, ("127.0.0.1", gateway.port), ("127.0.0.1", secure.port))
    async with open_session(secure, verify=certified.client, retry=ONCE) as omipay:
        hanging = asyncio.ensure_future(scan(omipay, "A-1"))
        await begun.wait()
        hanging.cancel()
        await asyncio.wait([hanging])
        await scan(omipay, "A-2")
    assert (secure.numbers, gateway.connections) == (["A-2"], 1)


async def test_an_address_that_works_again_is_not_last_any_more(
    secure: Gateway, certified: Certified, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was out of order for a moment."""
    own = Connection.start_tls

    async def start_tls(connection: Connection, context: ssl.SSLContext, host: str) -> None:
        monkeypatch.setattr(Connection, "start_tls", own)
        connection.abort()
        raise ConnectionResetError

    monkeypatch.setattr(Connection, "start_tls", start_tls)
    async with open_session(secure, verify=certified.client, retry=ONCE) as omipay:
        with pytest.raises(NotSent):
            await scan(omipay, "A-1")
        assert omipay._client._network is not None
        assert len(omipay._client._network._failed) == 1
        await scan(omipay, "A-2")
        assert len(omipay._client._network._failed) == 0


async def test_addresses_at_which_tls_fails_are_tried_in_turn(
    certified: Certified, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that failed last comes last. A name may have new addresses every day, so few are remembered."""
    monkeypatch.setattr(network, "_MOST_FAILED", 2)
    tried: list[int] = []
    async with contextlib.AsyncExitStack() as stack:
        gateways = [await stack.enter_async_context(Gateway(script=always(ACCEPT_CLOSE))) for _ in range(4)]
        first, second, third, fourth = (("127.0.0.1", gateway.port) for gateway in gateways)
        url = f"https://127.0.0.1:{gateways[0].port}/omipay/api"
        omipay = await stack.enter_async_context(open_session(url, verify=certified.client, retry=ONCE))
        for addresses in ([first, second], [first, second], [first, second], [third], [second, fourth]):
            resolves_to(monkeypatch, *addresses)
            before = [gateway.connections for gateway in gateways]
            with pytest.raises(NotSent):
                await scan(omipay, "A-1")
            after = [gateway.connections for gateway in gateways]
            tried += [place for place in range(4) if after[place] > before[place]]
    assert tried == [0, 1, 0, 2, 1]


# -- what the error says ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hangs", "said"),
    [
        ("_resolved", "the gateway's name was not looked up"),
        ("_connected", "nothing answers at the gateway's address"),
        ("Connection.start_tls", "the gateway's address accepts connections, but no TLS"),
    ],
)
async def test_the_step_that_took_too_long_is_told(
    secure: Gateway, certified: Certified, monkeypatch: pytest.MonkeyPatch, hangs: str, said: str
) -> None:
    """For whoever has to find out what is wrong with the network."""
    hanging, clock = asyncio.Event(), ManualClock()

    async def hang(*hung: object) -> None:
        hanging.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            if isinstance(hung[0], Connection):
                hung[0].abort()

    monkeypatch.setattr(f"omipay_async.transport.network.{hangs}", hang)
    async with open_session(secure, verify=certified.client, retry=ONCE, clock=clock) as omipay:
        asked = asyncio.ensure_future(query(omipay, "OM-1"))
        await hanging.wait()
        await clock.advance(5)
        with pytest.raises(NotSent, match=f"^QueryOrder: no connection in time, {said} \\("):
            await asked
