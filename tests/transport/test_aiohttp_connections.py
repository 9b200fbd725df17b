"""Connections of aiohttp: none of them serves two of our requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import httpx_aiohttp
import pytest
from opentelemetry.instrumentation.httpx import AsyncOpenTelemetryTransport

from omipay_async import AsyncOmipay, NotSent, OutcomeUnknown, RetryPolicy, TransportError
from omipay_async.transport.given_transports import make_safe

from .behaviours import Acts, Behaviour, Ends, message
from .client import Transport, open_session, query, scan
from .server import M_NUMBER, SECRET_KEY, always, in_turn

if TYPE_CHECKING:
    from .server import Gateway


class Subclass(httpx_aiohttp.AiohttpTransport):
    """A transport class of the user's own."""


def client() -> aiohttp.ClientSession:
    """A session with a pool that keeps connections."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(keepalive_timeout=60))


@pytest.mark.parametrize("kind", [httpx_aiohttp.AiohttpTransport, Subclass])
@pytest.mark.parametrize("made", ["by itself", "when asked", "before"])
async def test_aiohttp_keeps_no_connection_for_the_next_request(gateway: Gateway, kind: Any, made: str) -> None:
    """Although the server leaves it open, and whoever has made the aiohttp session."""
    options: dict[str, Any] = {}
    if made != "by itself":
        options["client"] = client if made == "when asked" else client()
    async with AsyncOmipay(M_NUMBER, SECRET_KEY, base_url=gateway.base_url, transport=kind(**options)) as omipay:
        await query(omipay, "OM-1")
        await scan(omipay, "A-1")
        await query(omipay, "OM-2")
    assert (gateway.connections, gateway.acts["A-1"]) == (3, 1)


class Plain(httpx.AsyncBaseTransport):
    """A transport of the user's that passes each request to another one."""

    def __init__(self, below: httpx.AsyncBaseTransport) -> None:
        self.below = below

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self.next().handle_async_request(request)

    def next(self) -> httpx.AsyncBaseTransport:
        """The other one."""
        return self.below

    async def aclose(self) -> None:
        await self.next().aclose()


class OneOfSeveral(Plain):
    """Which keeps several in a list."""

    def __init__(self, below: httpx.AsyncBaseTransport) -> None:
        self.several = [below]

    def next(self) -> httpx.AsyncBaseTransport:
        return self.several[0]


class ByName(Plain):
    """Which keeps them by name, beside a cache."""

    def __init__(self, below: httpx.AsyncBaseTransport) -> None:
        self.cache = dict.fromkeys(range(10_000))
        self.by_name = {"first": below}

    def next(self) -> httpx.AsyncBaseTransport:
        return self.by_name["first"]


class Slotted(httpx.AsyncBaseTransport):
    """Which has no dictionary of attributes."""

    __slots__ = ("below",)

    def __init__(self, below: httpx.AsyncBaseTransport) -> None:
        self.below = below

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self.below.handle_async_request(request)

    async def aclose(self) -> None:
        await self.below.aclose()


class OfAClient(httpx.AsyncBaseTransport):
    """Which sends everything with a client of its own."""

    def __init__(self, below: httpx.AsyncBaseTransport) -> None:
        self.client = httpx.AsyncClient(transport=below)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self.client.send(request)

    async def aclose(self) -> None:
        await self.client.aclose()


class OfItself(Plain):
    """Which leads to itself again."""

    def __init__(self, below: httpx.AsyncBaseTransport) -> None:
        super().__init__(below)
        self.itself = self


@pytest.mark.parametrize(
    "wrapper", [AsyncOpenTelemetryTransport, Plain, OneOfSeveral, ByName, Slotted, OfAClient, OfItself]
)
async def test_aiohttp_keeps_no_connection_behind_another_transport(gateway: Gateway, wrapper: Any) -> None:
    """A surplus reply on a connection that it kept would be taken for the answer to the next charge."""
    transport = wrapper(Plain(httpx_aiohttp.AiohttpTransport()))
    async with AsyncOmipay(M_NUMBER, SECRET_KEY, base_url=gateway.base_url, transport=transport) as omipay:
        await query(omipay, "OM-1")
        await scan(omipay, "A-1")
    assert (gateway.connections, gateway.acts["A-1"]) == (2, 1)


class OfASession(httpx.AsyncBaseTransport):
    """A transport of another package, or of the user's own: it sends everything with a session of aiohttp."""

    def __init__(self) -> None:
        self._session = client()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        async with self._session.request(request.method, str(request.url)) as response:
            return httpx.Response(response.status, content=await response.read())

    async def aclose(self) -> None:
        await self._session.close()


@pytest.mark.parametrize("is_behind", [False, True])
async def test_a_session_of_aiohttp_keeps_no_connection(gateway: Gateway, *, is_behind: bool) -> None:
    """Whose transport it is."""
    transport = Plain(OfASession()) if is_behind else OfASession()
    async with AsyncOmipay(M_NUMBER, SECRET_KEY, base_url=gateway.base_url, transport=transport) as omipay:
        await query(omipay, "OM-1")
        await scan(omipay, "A-1")
    assert (gateway.connections, gateway.acts["A-1"]) == (2, 1)


async def test_a_session_of_aiohttp_sends_no_charge_to_where_a_redirect_leads(gateway: Gateway) -> None:
    """The gateway has acted on it already. Whatever else uses the session follows redirects as before."""
    redirect = message(b"", "307 Temporary Redirect", "Location: /elsewhere?timestamp=1&nonce_str=n&sign=s")
    gateway.script = always(Behaviour("act and redirect", says=lambda _: redirect))
    transport = OfASession()
    async with AsyncOmipay(M_NUMBER, SECRET_KEY, base_url=gateway.base_url, transport=transport) as omipay:
        for number in ("A-1", "A-2"):
            with pytest.raises(OutcomeUnknown):
                await scan(omipay, number)
        assert (gateway.acts, len(gateway.requests)) == ({"A-1": 1, "A-2": 1}, 2)
        gateway.script = in_turn(Behaviour("redirect", acts=Acts.NO, says=lambda _: redirect))
        response = await transport.handle_async_request(
            httpx.Request("POST", f"{gateway.base_url}/v2/QueryOrder?timestamp=1&nonce_str=n&sign=s")
        )
    assert (response.status_code, len(gateway.requests)) == (200, 4)


@pytest.mark.parametrize(("kind", "refusal"), [(httpx_aiohttp.AiohttpTransport, NotSent), (OfASession, TransportError)])
async def test_a_refused_connection_may_be_that_of_the_second_try_of_aiohttp(
    gateway: Gateway, kind: Any, refusal: type[TransportError]
) -> None:
    """It repeats a read when a connection is dropped: the gateway has received the first one all the same."""

    def refuse_the_next(_: bytes) -> bytes:
        gateway.refuse()
        return b""

    gateway.script = always(Behaviour("refuse the next", says=refuse_the_next, ends=Ends.CLOSED))
    retry = RetryPolicy(attempts=1)
    async with AsyncOmipay(M_NUMBER, SECRET_KEY, base_url=gateway.base_url, transport=kind(), retry=retry) as omipay:
        with pytest.raises(TransportError) as received:
            await query(omipay, "OM-1")
        with pytest.raises(TransportError) as refused:
            await query(omipay, "OM-2")
    assert gateway.numbers == ["OM-1"]
    assert [type(received.value), type(refused.value)] == [TransportError, refusal]


async def test_a_pool_that_keeps_nothing_or_is_gone_is_left_alone() -> None:
    """Like every other transport."""
    make_safe(httpx.MockTransport(lambda _: httpx.Response(200)))
    transport = httpx_aiohttp.AiohttpTransport(
        client=lambda: aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True))
    )
    make_safe(transport)
    make_safe(transport)
    await transport.aclose()
    make_safe(transport)


@pytest.mark.parametrize("kind", [Transport.AIOHTTP, Transport.HTTPX])
async def test_each_request_has_connection_close(gateway: Gateway, kind: Transport) -> None:
    """Reads and money calls: we cannot see what else arrives over a connection of the user's transport."""
    async with open_session(gateway, kind) as omipay:
        await query(omipay, "OM-1")
        await scan(omipay, "A-1")
    assert [request.headers.get("connection") for request in gateway.requests] == ["close", "close"]
