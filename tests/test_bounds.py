"""Memory does not grow with what strangers send: after many different requests no more of it is in use.

Blocks of memory are counted, which costs nothing. ``OMIPAY_STRANGERS=100000`` sends that many, and counts bytes too.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import sys
import tracemalloc
import zoneinfo
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import httpx
import pytest
from aiohttp import web
from fastapi import FastAPI

from omipay_async import AsyncOmipay, OmipayError, Order, RetryPolicy
from omipay_async.aiohttp import notification_handler
from omipay_async.asgi import notification_app
from omipay_async.fastapi import notification_route
from omipay_async.protocol.signing import signature
from omipay_async.sandbox import Sandbox, ledger

from .support.raw_http import answer
from .support.web_servers import served_by_aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

GIVEN: Final = os.environ.get("OMIPAY_STRANGERS")
STRANGERS: Final = int(GIVEN or 3000)
FIRST: Final = 1000
"""How many are sent before the memory is measured for the first time: caches with a limit are full by then."""
MOST_BLOCKS: Final = 600
"""How much the memory may grow: less than if a key and a value were kept of one sort in nine of 3,000."""
MOST_BYTES: Final = 100_000
KEY: Final = "0af61531c6c04ac4ac910d0cd59e6238"
M: Final = "000034"


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Pytest keeps what is logged, so nothing is."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(autouse=True)
def memory() -> Iterator[None]:
    if GIVEN:
        tracemalloc.start()
    yield
    tracemalloc.stop()


async def held() -> tuple[int, int]:
    """The blocks and bytes of memory that are in use when nothing is under way."""
    await asyncio.sleep(0.01)
    gc.collect()
    return sys.getallocatedblocks(), tracemalloc.get_traced_memory()[0]


async def assert_nothing_grows(
    send: Callable[[int], Awaitable[object]], *, first: int = FIRST, count: int = STRANGERS
) -> None:
    """Check that after ``count`` more different requests no more memory is in use than after the first ones."""
    for number in range(first):
        await send(number)
    before = await held()
    for number in range(first, first + count):
        await send(number)
    after = await held()
    assert after[0] - before[0] < MOST_BLOCKS
    assert after[1] - before[1] < MOST_BYTES


async def test_growth_is_found() -> None:
    """It is found if one short string is kept of each request."""
    kept: dict[str, str] = {}

    async def send(number: int) -> None:
        kept[f"key{number}"] = f"value{number}"

    with pytest.raises(AssertionError):
        await assert_nothing_grows(send)


# -- what the gateway says --------------------------------------------------------------------------------------------


def answered(number: int) -> httpx.Response:
    """A different reply for each number; the sorts of replies take turns."""
    sort = number % 7
    if sort == 0:
        raise httpx.ConnectError(f"no way {number}")
    if sort == 1:
        return httpx.Response(500 + number % 90, html=f"<p>{number}</p>")
    if sort == 2:
        return httpx.Response(
            200, json={"return_code": "FAIL", "error_code": f"CODE{number}", "error_msg": f"{number}"}
        )
    if sort == 3:
        return httpx.Response(200, json={f"key{number}": number}, headers={f"X-{number}": f"{number}"})
    if sort == 4:
        return httpx.Response(200, content=b"\xff" * (number % 50) + str(number).encode())
    fields = {"return_code": "SUCCESS", "result_code": f"STATE{number}", "currency": f"C{number}", "amount": number}
    if sort == 5:
        fields = {"return_code": "SUCCESS", "result_code": "READY", "currency": "AUD", "amount": number}
    return httpx.Response(200, json=fields | {f"more{number}": f"{number}"})


def number_of(request: httpx.Request) -> int:
    """The number at the end of the order's number, or of the endpoint's name."""
    name = request.url.params.get("order_no") or request.url.params.get("out_order_no") or request.url.path
    return int("".join(c for c in name if c.isdigit())[-7:] or 0)


@pytest.fixture
async def omipay() -> AsyncIterator[AsyncOmipay]:
    transport = httpx.MockTransport(lambda request: answered(number_of(request)))
    options: dict[str, Any] = {"base_url": "http://gateway.test/omipay/api", "retry": RetryPolicy(attempts=1)}
    async with AsyncOmipay(M, KEY, transport=transport, previous_secret_keys=["the key before"], **options) as omipay:
        yield omipay


async def never(order: Order) -> None:
    raise AssertionError(order.order_no)


# -- notifications ----------------------------------------------------------------------------------------------------


def body(number: int) -> bytes:
    """A different body for each number: not JSON, forged, captured, or correctly signed for an unknown order."""
    sort = number % 9
    if sort == 0:
        return b"\xff\xfe%d" % number
    if sort == 1:
        return b'{"a%d": %d}' % (number, number)
    if sort == 2:
        return b"[" * (number % 400)
    nonce = "captured" if sort == 3 else f"nonce{number}"
    key = f"key{number}" if sort == 4 else "the key before" if sort == 5 else KEY
    merchant = f"{number:06}" if sort == 6 else M
    timestamp = "1540426523000" if sort == 7 else NOW
    fields = {
        "return_code": "SUCCESS",
        "nonce_str": nonce,
        "timestamp": timestamp,
        "sign": signature(merchant, timestamp, nonce, key),
        "order_no": f"TR{number}",
        "out_order_no": f"T{number}",
        "currency": "AUD",
        "total_amount": number,
        f"field{number}": "x" * 200,
    }
    return json.dumps(fields).encode()


NOW: Final = "1700000000000"


async def test_a_session_keeps_nothing_of_the_notifications_of_strangers(omipay: AsyncOmipay) -> None:
    """They are not JSON, forged, captured, or correctly signed, and are about unknown orders and merchants."""
    seen: set[int] = set()

    async def send(number: int) -> None:
        seen.add((await omipay.receive_notification(body(number), never)).status)

    await assert_nothing_grows(send)
    assert seen == {400, 403, 409, 503}


@pytest.mark.parametrize("adapter", ["asgi", "fastapi"])
async def test_the_adapters_keep_nothing_of_the_requests_of_strangers(omipay: AsyncOmipay, adapter: str) -> None:
    """Bodies, lengths, headers, queries and paths differ each time, for several merchants in one program."""
    app: Any = notification_app(lambda scope: omipay, never)
    if adapter == "fastapi":
        app = FastAPI()
        app.include_router(notification_route(lambda: omipay, never, path="/notify"))

    async def send(number: int) -> None:
        path = f"/{number}" if number % 5 == 4 else "/notify"
        headers = [(f"x-{number}".encode(), b"1"), (b"cookie", b"c%d=1" % number)]
        if number % 3:
            headers.append((b"content-length", str(len(body(number)) + number % 2).encode()))
        await status_of(app, "POST", path, body(number), headers, query=f"n={number}")

    await assert_nothing_grows(send)


async def test_the_aiohttp_adapter_keeps_nothing_of_the_requests_of_strangers(omipay: AsyncOmipay) -> None:
    """Bodies, headers, queries and paths differ each time, over real connections."""
    app = web.Application()
    app.router.add_post("/notify", notification_handler(lambda _: omipay, never))
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    seen: set[int] = set()
    async with served_by_aiohttp(app) as port:

        async def send(number: int) -> None:
            nonlocal connection
            reader, writer = connection or await asyncio.open_connection("127.0.0.1", port)
            path = f"/{number}" if number % 5 == 4 else "/notify"
            writer.write(f"POST {path}?n={number} HTTP/1.1\r\nHost: shop\r\nX-{number}: 1\r\n".encode())
            writer.write(b"Content-Length: %d\r\n\r\n%b" % (len(body(number)), body(number)))
            answered = await answer(reader)
            seen.add(answered.status)
            connection = reader, writer
            if answered.headers.get("connection") == "close" or number % 50 == 49:
                connection = None
                writer.close()
                await writer.wait_closed()

        await assert_nothing_grows(send)
        if connection is not None:
            connection[1].close()
            await connection[1].wait_closed()
    assert seen == {400, 403, 404, 409, 503}


async def status_of(
    app: Any, method: str, path: str, content: bytes, headers: list[tuple[bytes, bytes]], *, query: str
) -> int:
    """The status with which an ASGI app answers a request."""
    status = 0
    left = [{"type": "http.request", "body": content, "more_body": False}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return left.pop(0) if left else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)

    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
    }
    scope |= {"path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": ""}
    scope |= {"headers": [(b"host", b"127.0.0.1"), *headers], "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 9)}
    await app({**scope, "state": {}}, receive, send)
    return status


# -- the sandbox ------------------------------------------------------------------------------------------------------


async def test_the_sandbox_keeps_a_bounded_number_of_the_requests_of_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are unsigned calls, unknown pages and orders, and unknown buttons of the dashboard."""
    monkeypatch.setattr(ledger, "KEPT_OF_STRANGERS", 100)
    async with Sandbox(M, KEY) as sandbox:

        async def send(number: int) -> None:
            sort = number % 4
            query = {"m_number": f"{number}", "order_no": f"TR{number}", "nonce_str": f"n{number}", "sign": f"{number}"}
            paths = ("/omipay/api/v2/QueryOrder", f"/omipay/api/v2/Nothing{number}", f"/pay/{number}", f"/{number}")
            headers = [(b"accept-language", b"l%d" % number), (b"cookie", b"c%d=1" % number)]
            method = "POST" if number % 8 < 4 else "GET"
            await status_of(sandbox, method, paths[sort], b"%d" % number, headers, query=urlencode(query))

        # From 100 to 200 of the newest calls are kept: after 100 more calls as many as at the first measurement.
        await assert_nothing_grows(send, first=1200, count=-(-STRANGERS // 400) * 400)


# -- the gateway, and configuration -----------------------------------------------------------------------------------


async def test_a_session_keeps_nothing_of_replies_and_paths(omipay: AsyncOmipay) -> None:
    """Endpoints, replies, errors, orders and headers differ each time, in reads and in money calls."""

    async def send(number: int) -> None:
        with contextlib.suppress(OmipayError):
            if number % 3 == 0:
                await omipay.call(f"Endpoint{number}", {f"key{number}": str(number)}, safety="READ")
            elif number % 3 == 1:
                await omipay.query_order(f"TR{number}")
            else:
                order: dict[str, Any] = {"order_name": f"{number}", "amount": number, "currency": "AUD"}
                await omipay.make_qr_order(**order, out_order_no=f"T{number}", platform="WECHATPAY")

    await assert_nothing_grows(send)


async def test_sessions_of_many_time_zones_leave_nothing_behind() -> None:
    """Merchants, keys and hosts differ each time, and there are fifty time zones."""
    zones = sorted(zoneinfo.available_timezones() - {"EST"})[::12]
    paid = {
        "return_code": "SUCCESS",
        "result_code": "PAID",
        "currency": "AUD",
        "amount": 1,
        "pay_time": "20260102030405",
    }

    async def send(number: int) -> None:
        options: dict[str, Any] = {"timezone": zones[number % len(zones)], "base_url": f"http://host{number}.test/api"}
        transport = httpx.MockTransport(lambda _: httpx.Response(200, json=paid))
        async with AsyncOmipay(f"{number:06}", f"key{number}", transport=transport, **options) as omipay:
            assert (await omipay.query_order(f"TR{number}")).pay_time

    # Python itself keeps the last eight zones, some of which are larger: it must be the same ones at each look.
    await assert_nothing_grows(send, first=3 * len(zones), count=-(-STRANGERS // (20 * len(zones))) * len(zones))


async def test_sessions_that_were_closed_leave_nothing_behind() -> None:
    """Merchants, keys, hosts and proxies differ each time, and there are time zones that do not exist."""

    async def send(number: int) -> None:
        options: dict[str, Any] = {
            "base_url": f"https://host{number}.test/omipay/api",
            "timezone": f"Nowhere/Zone{number}",
        }
        if number % 2:
            options["proxy"] = f"http://user{number}:word{number}@proxy{number}.test:3128"
        if number % 3 == 0:
            options["verify"] = f"/nowhere/{number}.pem"
        with contextlib.suppress(OmipayError):
            async with AsyncOmipay(f"{number:06}", f"key{number}", **options) as omipay:
                omipay.pay_page_url(f"https://host{number}.test/pay/{number}", redirect_url=f"https://{number}.test/")
                await omipay.receive_notification(body(number), never)

    await assert_nothing_grows(send, first=300, count=max(600, STRANGERS // 10))
