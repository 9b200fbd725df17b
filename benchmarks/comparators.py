"""The code that people write by hand, and another SDK. Each sends one signed request and reads the JSON.

None of it checks its input or the reply, knows a deadline, or tells a lost request from a refused one.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import importlib
import secrets
import time
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from omipay_async import AsyncOmipay

from .server import ROOT

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    Ask = Callable[[], Awaitable[object]]
    """Sends one request and returns its answer."""

M_NUMBER: Final = "000034"
SECRET_KEY: Final = "toy-key-for-benchmarks"
ORDER_NO: Final = "TR1812060010011263009795"
CONNECTIONS: Final = 100
"""httpx's own limit."""


def signed(params: dict[str, str]) -> dict[str, str]:
    """``params`` with the four parameters of the signature, as the documents' examples make them."""
    timestamp, nonce = str(int(time.time() * 1000)), secrets.token_hex(16)
    text = f"{M_NUMBER}&{timestamp}&{nonce}&{SECRET_KEY}"
    sign = hashlib.md5(text.encode()).hexdigest().upper()
    return {**params, "m_number": M_NUMBER, "timestamp": timestamp, "nonce_str": nonce, "sign": sign}


def session(server: str, **options: Any) -> AsyncOmipay:
    """A session with the canned gateway, on its own transports unless ``options`` say otherwise."""
    return AsyncOmipay(M_NUMBER, SECRET_KEY, base_url=server + ROOT, **options)


async def scan(omipay: AsyncOmipay) -> None:
    """Make a scan order, which the canned gateway answers as paid."""
    await omipay.make_scan_order(
        order_name="Flat white",
        amount=450,
        currency="AUD",
        out_order_no="T1-000231",
        qrcode="134567890123456789",
        pos_no="till-1",
    )


@contextlib.asynccontextmanager
async def ours(server: str, **options: Any) -> AsyncIterator[Ask]:
    """This library."""
    async with session(server, **options) as omipay:
        yield lambda: omipay.query_order(ORDER_NO)


@contextlib.asynccontextmanager
async def ours_over_aiohttp(server: str, **options: Any) -> AsyncIterator[Ask]:
    """This library over ``httpx_aiohttp``'s transport."""
    async with ours(server, transport=AiohttpTransport(), **options) as ask:
        yield ask


@contextlib.asynccontextmanager
async def naive_httpx(
    server: str, transport: httpx.AsyncBaseTransport | None = None, verify: ssl.SSLContext | bool = True
) -> AsyncIterator[Ask]:
    """``client.get(url, params=signed)`` and ``.json()``, without time limits: with many tasks all would be missed."""
    url = f"{server}{ROOT}/v2/QueryOrder"
    async with httpx.AsyncClient(timeout=None, transport=transport, verify=verify) as client:

        async def ask() -> object:
            response = await client.get(url, params=signed({"order_no": ORDER_NO}))
            return response.json()

        yield ask


@contextlib.asynccontextmanager
async def naive_httpx_in_turn(server: str) -> AsyncIterator[Ask]:
    """The naive code with a semaphore, so that only CONNECTIONS tasks at a time use httpx's pool."""
    turn = asyncio.Semaphore(CONNECTIONS)
    async with naive_httpx(server) as naive:

        async def ask() -> object:
            async with turn:
                return await naive()

        yield ask


class ConnectionList(httpx.AsyncBaseTransport):
    """Transports of one connection each, the last one used first, CONNECTIONS at most."""

    def __init__(self) -> None:
        context = httpx.create_ssl_context()
        limits = httpx.Limits(max_connections=1)
        self._all = [httpx.AsyncHTTPTransport(verify=context, limits=limits) for _ in range(CONNECTIONS)]
        self._idle: asyncio.LifoQueue[httpx.AsyncHTTPTransport] = asyncio.LifoQueue()
        for transport in self._all:
            self._idle.put_nowait(transport)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send over the connection that was used last."""
        transport = await self._idle.get()
        try:
            response = await transport.handle_async_request(request)
            await response.aread()
        finally:
            self._idle.put_nowait(transport)
        return response

    async def aclose(self) -> None:
        """Close every connection."""
        for transport in self._all:
            await transport.aclose()


@contextlib.asynccontextmanager
async def naive_over_connection_list(server: str) -> AsyncIterator[Ask]:
    """The naive code over a list of single-connection transports."""
    async with naive_httpx(server, ConnectionList()) as ask:
        yield ask


@contextlib.asynccontextmanager
async def naive_over_aiohttp(server: str) -> AsyncIterator[Ask]:
    """The naive code over ``httpx_aiohttp``'s transport."""
    async with naive_httpx(server, AiohttpTransport()) as ask:
        yield ask


@contextlib.asynccontextmanager
async def raw_aiohttp(server: str) -> AsyncIterator[Ask]:
    """``session.get(url, params=signed)`` and ``.json()``, without httpx."""
    url = f"{server}{ROOT}/v2/QueryOrder"
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as client:

        async def ask() -> object:
            async with client.get(url, params=signed({"order_no": ORDER_NO})) as response:
                return await response.json()

        yield ask


@contextlib.asynccontextmanager
async def openai(server: str) -> AsyncIterator[Ask]:
    """openai-python's async client, which also makes a typed value of a small JSON object, on its own route.

    It is httpx underneath, or since its 3.x a fork of it.

    Raises:
        ImportError: it is not installed; it is no dependency of anything here.
    """
    module: Any = importlib.import_module("openai")
    async with module.AsyncOpenAI(api_key="none", base_url=f"{server}/v1", max_retries=0) as client:
        yield lambda: client.models.retrieve("m")


OURS: Final = "omipay_async"
OURS_OVER_AIOHTTP: Final = "omipay_async over aiohttp"
NAIVE: Final = "naive httpx"
NAIVE_IN_TURN: Final = "naive httpx, semaphore"
NAIVE_OVER_A_LIST: Final = "naive over a list of connections"
NAIVE_OVER_AIOHTTP: Final = "naive over aiohttp's transport"
SIDES: Final[Mapping[str, Callable[[str], AbstractAsyncContextManager[Ask]]]] = {
    NAIVE: naive_httpx,
    OURS: functools.partial(ours, max_in_flight=CONNECTIONS),
    OURS_OVER_AIOHTTP: functools.partial(ours_over_aiohttp, max_in_flight=CONNECTIONS),
    NAIVE_IN_TURN: naive_httpx_in_turn,
    NAIVE_OVER_A_LIST: naive_over_connection_list,
    NAIVE_OVER_AIOHTTP: naive_over_aiohttp,
    "raw aiohttp": raw_aiohttp,
    "openai-python": openai,
}
"""The comparators by their names in the table. Each is opened with the server's address."""
