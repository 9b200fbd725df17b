"""What the adapters for FastAPI, ASGI and aiohttp have in common: notifications over a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import sys
from typing import TYPE_CHECKING, Any

import fastapi
import pytest
from aiohttp import web

from omipay_async.aiohttp import OMIPAY, notification_handler, session_context
from omipay_async.asgi import bodies, notification_app
from omipay_async.errors import BackendError, InvalidRequest
from omipay_async.fastapi import get_omipay, lifespan, notification_route
from omipay_async.sandbox import Sandbox

from .support.frames import shown_by
from .support.raw_http import FAIL, ORDER, SUCCESS, Handler, Session, chunked, exchange
from .support.waiting import until
from .support.web_servers import served_by_aiohttp, served_by_uvicorn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from omipay_async import AsyncOmipay


@pytest.fixture(params=["aiohttp", "fastapi", "asgi"])
async def port(request: pytest.FixtureRequest, session: Any, handler: Handler) -> AsyncIterator[int]:
    """The port at which each adapter receives notifications."""
    if request.param == "aiohttp":
        app = web.Application()
        app.router.add_post("/omipay/notify", notification_handler(session, handler))
        server = served_by_aiohttp(app)
    elif request.param == "asgi":
        server = served_by_uvicorn(notification_app(session, handler))
    else:
        api = fastapi.FastAPI()
        api.include_router(notification_route(session, handler))
        server = served_by_uvicorn(api)
    async with server as port:
        yield port


async def test_the_raw_bytes_reach_the_session_and_its_answer_the_gateway(
    port: int, session: Session, handler: Handler
) -> None:
    """The framework does not change them. The answer is the documented JSON."""
    body = b'{"order_no" : "TR1",\t"x":"\xe6\xb5\x8b\\u8bd5"}\n'
    answered = await exchange(port, body[:10], body[10:])
    assert (answered.status, answered.body) == (200, SUCCESS)
    assert answered.headers["content-type"] == "application/json"
    assert session.bodies == [body]
    assert handler.orders == [ORDER]


async def test_a_failure_is_passed_on(port: int, session: Session) -> None:
    """The answer has its status and FAIL, so that the gateway delivers again."""
    session.error = BackendError("no backend")
    answered = await exchange(port, b"{}")
    assert (answered.status, answered.body) == (503, FAIL)


async def test_a_chunked_body_is_read_to_its_end(port: int, session: Session) -> None:
    """A gateway behind a proxy may send one. 64 KiB are not too long."""
    pieces = chunked(b"x" * 65_000, b"y" * 536)
    answered = await exchange(
        port, *pieces, b"0\r\n\r\n", headers="Transfer-Encoding: chunked\r\nConnection: close\r\n"
    )
    assert answered.status == 200
    assert session.bodies == [b"x" * 65_000 + b"y" * 536]


@pytest.mark.parametrize("length", ["65537", "9" * 18])
async def test_a_body_with_too_large_a_length_is_rejected_unread(port: int, session: Session, length: str) -> None:
    """The answer, 413 and FAIL, comes before a byte of the body was sent, and the connection is closed."""
    answered = await exchange(port, headers=f"Content-Length: {length}\r\n")
    assert (answered.status, answered.body) == (413, FAIL)
    assert answered.headers["connection"] == "close"
    assert session.bodies == []


async def test_a_body_without_end_is_rejected_as_soon_as_it_is_too_long(port: int, session: Session) -> None:
    """The body is chunked and never ends: the answer comes while the sender is still sending."""
    answered = await exchange(port, *chunked(*[b"x" * 4096] * 17), headers="Transfer-Encoding: chunked\r\n")
    assert (answered.status, answered.body) == (413, FAIL)
    assert answered.headers["connection"] == "close"
    assert session.bodies == []


async def test_a_sender_that_hangs_up_leaves_nothing_behind(
    port: int, session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    """A body that is cut off is not a notification, and causes no traceback in the log."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /omipay/notify HTTP/1.1\r\nHost: shop\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await until(lambda: caplog.records)
    assert [record.name for record in caplog.records] == ["omipay_async"]
    assert session.bodies == []


GBK = '{"order_no":"TR1","message":"支付成功"}'


def declared(body: bytes, content_type: str) -> str:
    """The headers of a body."""
    return f"Content-Length: {len(body)}\r\nConnection: close\r\nContent-Type: {content_type}\r\n"


@pytest.mark.parametrize("charset", ["GBK", '"gb18030"', "gb2312"])
async def test_a_body_in_gbk_is_read_where_it_is_declared(port: int, session: Session, charset: str) -> None:
    """The session gets it in UTF-8, as it gets a reply."""
    body = GBK.encode("gb18030")
    await exchange(port, body, headers=declared(body, f"application/json; charset={charset}"))
    assert session.bodies == [GBK.encode()]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (GBK.encode(), "application/json; charset=GBK"),
        (GBK.encode(), "application/json; charset=no-such-charset"),
        (GBK.encode(), "application/json; charset=latin-1"),
        (b'{"lone":"\xed\xa0\x80"}', "application/json; charset=GBK"),
        (GBK.encode("gbk"), "application/json"),
        (GBK.encode("gbk"), "application/json; charset=no-such-charset"),
        (b"{\xff}", "application/json; charset=GBK"),
    ],
)
async def test_otherwise_a_declared_charset_changes_nothing(
    port: int, session: Session, body: bytes, content_type: str
) -> None:
    """What is UTF-8 is taken as UTF-8, and what cannot be read is for the session to refuse."""
    await exchange(port, body, headers=declared(body, content_type))
    assert session.bodies == [body]


async def test_no_frame_of_an_adapter_shows_a_body(handler: Handler) -> None:
    """A tool that records the frames of an error of the session finds no signature in them."""

    class Failing(Session):
        async def receive_notification(self, body: bytes, handler: Any) -> Any:
            del body
            raise ZeroDivisionError

    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"sign":"CANARY"}'

    for headers in ({}, {"content-type": "text/plain; charset=gbk"}):
        session: Any = Failing()
        with pytest.raises(ZeroDivisionError) as failure:
            await bodies.answer(session, handler, chunks(), headers)
        frames = shown_by(failure.value)
        assert len(frames) == 1
        assert "CANARY" not in frames[0]


# -- the whole way --------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def in_aiohttp(sandbox: Sandbox, handler: Handler) -> AsyncIterator[tuple[int, AsyncOmipay]]:
    app = web.Application()
    app.router.add_post("/omipay/notify", notification_handler(OMIPAY, handler))
    app.cleanup_ctx.append(session_context(sandbox.session))
    async with served_by_aiohttp(app) as port:
        yield port, app[OMIPAY]


@contextlib.asynccontextmanager
async def in_fastapi(sandbox: Sandbox, handler: Handler) -> AsyncIterator[tuple[int, AsyncOmipay]]:
    app = fastapi.FastAPI(lifespan=lifespan(sandbox.session))
    app.include_router(notification_route(get_omipay, handler))
    async with served_by_uvicorn(app) as port:
        yield port, app.state.omipay


@pytest.mark.parametrize("shop", [in_aiohttp, in_fastapi])
async def test_a_payment_in_the_sandbox_reaches_the_handler_over_the_wire(shop: Any, handler: Handler) -> None:
    """The notification comes over HTTP, is confirmed and answered SUCCESS. A forged body runs no handler."""
    async with Sandbox() as sandbox, shop(sandbox, handler) as (port, omipay):
        order = await omipay.make_qr_order(
            order_name="Flat white",
            amount=450,
            currency="AUD",
            out_order_no="A-1",
            platform="WECHATPAY",
            notify_url=f"http://127.0.0.1:{port}/omipay/notify",
        )
        forged = await exchange(port, sandbox.notification(order.order_no, total_amount=1))
        assert (forged.status, forged.body) == (409, FAIL)
        await sandbox.customer.pays(order.order_no)
        await sandbox.settle()
        again = await exchange(port, sandbox.notification(order.order_no))
        assert (again.status, again.body) == (200, SUCCESS)
        gbk = sandbox.notification(order.order_no)[:-1] + ',"message":"支付成功"}'.encode("gbk")
        again = await exchange(port, gbk, headers=declared(gbk, "application/json; charset=GBK"))
        assert (again.status, again.body) == (200, SUCCESS)
    assert [fulfilled.order_no for fulfilled in handler.orders] == [order.order_no]


@pytest.mark.parametrize("framework", ["aiohttp", "fastapi"])
def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, framework: str) -> None:
    """The error contains what to install."""
    name = f"omipay_async.{framework}"
    monkeypatch.setattr(name, sys.modules[name])  # put back in the end, as the import system has it
    monkeypatch.setitem(sys.modules, framework, None)
    monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ImportError, match=rf"omipay-async\[{framework}\]"):
        importlib.import_module(name)


@pytest.mark.parametrize("adapter", [notification_handler, notification_route, notification_app])
@pytest.mark.parametrize("wrong", [None, "handler", lambda order, connection: None])
def test_what_is_not_a_handler_is_rejected_when_the_app_is_made(session: Any, adapter: Any, wrong: Any) -> None:
    """The error does not wait for the first notification."""
    with pytest.raises(InvalidRequest, match="handler"):
        adapter(session, wrong)
