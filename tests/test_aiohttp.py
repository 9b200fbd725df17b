"""The aiohttp adapter over a real socket, served by aiohttp.web."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import sys
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiohttp import web

from omipay_async import AsyncOmipay
from omipay_async.aiohttp import OMIPAY, notification_handler, session_context
from omipay_async.errors import BackendError, ConfigurationError, InvalidRequest
from omipay_async.sandbox import Sandbox
from tests.support.untyped import untyped

from .support.raw_http import FAIL, ORDER, SUCCESS, Handler, Session, chunked, exchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@contextlib.asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[int]:
    """The port on which aiohttp serves ``app``."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def shop(session: Any, handler: Any) -> web.Application:
    app = web.Application()
    app.router.add_post("/omipay/notify", notification_handler(session, handler))
    return app


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def handler() -> Handler:
    return Handler()


@pytest.fixture
async def port(session: Session, handler: Handler) -> AsyncIterator[int]:
    async with served(shop(session, handler)) as port:
        yield port


async def test_the_raw_bytes_reach_the_session_and_its_answer_the_gateway(
    port: int, session: Session, handler: Handler
) -> None:
    """No framework has read and rewritten them; the answer is the documented JSON."""
    body = b'{"order_no" : "TR1",\t"x":"\xe6\xb5\x8b\\u8bd5"}\n'
    answered = await exchange(port, body[:10], body[10:])
    assert (answered.status, answered.body) == (200, SUCCESS)
    assert answered.headers["content-type"] == "application/json"
    assert session.bodies == [body]
    assert handler.orders == [ORDER]


async def test_a_failure_is_passed_on(port: int, session: Session) -> None:
    """Status and FAIL, so that the gateway delivers again."""
    session.error = BackendError("no backend")
    answered = await exchange(port, b"{}")
    assert (answered.status, answered.body) == (503, FAIL)


async def test_a_chunked_body_is_read_to_its_end(port: int, session: Session) -> None:
    """A gateway behind a proxy may send one; 64 KiB are not too long."""
    pieces = chunked(b"x" * 65_000, b"y" * 536)
    answered = await exchange(
        port, *pieces, b"0\r\n\r\n", headers="Transfer-Encoding: chunked\r\nConnection: close\r\n"
    )
    assert answered.status == 200
    assert session.bodies == [b"x" * 65_000 + b"y" * 536]


@pytest.mark.parametrize("length", ["65537", "9" * 19])
async def test_a_body_that_announces_its_length_is_refused_unread(port: int, session: Session, length: str) -> None:
    """413 and FAIL before a byte of it was sent, and the connection ends."""
    answered = await exchange(port, headers=f"Content-Length: {length}\r\n")
    assert (answered.status, answered.body) == (413, FAIL)
    assert answered.headers["connection"] == "close"
    assert session.bodies == []


async def test_a_body_without_end_is_refused_as_soon_as_it_is_too_long(port: int, session: Session) -> None:
    """Chunked, never ended: the answer comes while the sender still sends."""
    answered = await exchange(port, *chunked(*[b"x" * 4096] * 17), headers="Transfer-Encoding: chunked\r\n")
    assert (answered.status, answered.body) == (413, FAIL)
    assert answered.headers["connection"] == "close"
    assert session.bodies == []


async def test_a_body_in_a_broken_encoding_is_refused(port: int, session: Session) -> None:
    """400, by the server or by us, whoever sees it first; the session never does."""
    answered = await exchange(port, *chunked(b"{"), b"no length\r\n", headers="Transfer-Encoding: chunked\r\n")
    assert answered.status == 400
    assert session.bodies == []


async def test_a_sender_that_hangs_up_leaves_nothing_behind(
    port: int, session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    """A cut-off body is no notification, and no traceback in the log."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /omipay/notify HTTP/1.1\r\nHost: shop\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    async with asyncio.timeout(10):
        while not caplog.records:  # the server has no event for it
            await asyncio.sleep(0.005)
    assert [record.name for record in caplog.records] == ["omipay_async"]
    assert session.bodies == []


# -- where the session comes from -----------------------------------------------------------------------------------


async def later(session: Session) -> Session:
    return session


@pytest.mark.parametrize("find", [lambda session: session, later])
async def test_the_session_may_be_found_for_each_request(session: Session, handler: Handler, find: Any) -> None:
    """By a function, sync or async, that is given the request: several merchants in one app."""
    async with served(shop(lambda request: find(session), handler)) as port:
        assert (await exchange(port, b"{}")).body == SUCCESS
    assert session.bodies == [b"{}"]


@pytest.mark.parametrize("make", [lambda session: session, later])
async def test_the_context_keeps_the_session_and_closes_it(session: Session, handler: Handler, make: Any) -> None:
    """Opened once, found under OMIPAY in sub-applications too, closed when the app ends."""
    app, payments = web.Application(), shop(OMIPAY, handler)
    app.cleanup_ctx.append(session_context(lambda: make(session)))
    app.add_subapp("/payments", payments)
    async with served(app) as port:
        assert (session.opened, session.closed) == (1, 0)
        assert cast("object", app[OMIPAY]) is session
        assert (await exchange(port, b"{}", path="/payments/omipay/notify")).body == SUCCESS
    assert (session.opened, session.closed) == (1, 1)


async def test_several_merchants_live_in_one_app(session: Session, handler: Handler) -> None:
    """Each under a key of its own."""
    perth, key = Session(), web.AppKey("PERTH", AsyncOmipay)
    app = shop(OMIPAY, handler)
    app.router.add_post("/perth", notification_handler(key, handler))
    app.cleanup_ctx.append(session_context(lambda: cast("Any", session)))
    app.cleanup_ctx.append(session_context(lambda: cast("Any", perth), key))
    async with served(app) as port:
        await exchange(port, b"sydney")
        await exchange(port, b"perth", path="/perth")
    assert (session.bodies, perth.bodies) == ([b"sydney"], [b"perth"])
    assert (session.closed, perth.closed) == (1, 1)


async def test_a_second_session_under_one_key_is_refused_at_the_start(session: Session, handler: Handler) -> None:
    """It would take the first merchant's notifications; the first one is closed, the second never made."""
    second, app = Session(), shop(OMIPAY, handler)
    app.cleanup_ctx.append(session_context(lambda: cast("Any", session)))
    app.cleanup_ctx.append(session_context(lambda: cast("Any", second)))
    runner = web.AppRunner(app)
    with pytest.raises(ConfigurationError, match="OMIPAY"):
        await runner.setup()
    await app.cleanup()
    assert (session.closed, second.opened) == (1, 0)


@pytest.mark.parametrize("key", ["omipay", None])
def test_a_key_is_an_app_key(key: Any) -> None:
    """A plain string would be found by nobody."""
    with pytest.raises(ConfigurationError, match="key"):
        session_context(cast("Any", Session), key)


# -- bodies that somebody has read already ----------------------------------------------------------------------------


def reading(read: str) -> Any:
    """A middleware that reads the body, as one that writes an audit log does."""

    @web.middleware
    async def middleware(request: web.Request, handler: Any) -> Any:
        await attrgetter(read)(request)()
        return await handler(request)

    return middleware


@pytest.mark.parametrize(("read", "status"), [("read", 200), ("text", 200), ("post", 200), ("content.read", 500)])
@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
async def test_a_body_that_was_read_already_is_taken_from_where_it_is_kept(
    caplog: pytest.LogCaptureFixture, read: str, status: int, content_type: str
) -> None:
    """What aiohttp keeps is used; what is kept nowhere is an error that says what to do, and not a forged body."""

    session = Session()
    app = shop(session, Handler())
    app.middlewares.append(reading(read))
    body = b'{"order_no": "TR1"}'
    headers = f"Content-Length: {len(body)}\r\nContent-Type: {content_type}\r\nConnection: close\r\n"
    async with served(app) as port:
        answered = await exchange(port, body, headers=headers)
    assert (answered.status, session.bodies) == (status, [body] if status == 200 else [])
    assert ("middleware" in caplog.text) is (status == 500)


async def test_a_forgotten_context_is_named(handler: Handler, caplog: pytest.LogCaptureFixture) -> None:
    """The error in the log says what to write, where a KeyError would say nothing."""
    async with served(shop(OMIPAY, handler)) as port:
        assert (await exchange(port, b"{}")).status == 500
    (record,) = caplog.records
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ConfigurationError)
    assert "session_context" in str(record.exc_info[1])


@pytest.mark.parametrize("wrong", [None, "session"])
def test_what_is_neither_session_nor_key_is_refused_when_the_app_is_made(wrong: Any, handler: Handler) -> None:
    """Not at the first notification."""
    with pytest.raises(ConfigurationError, match="omipay"):
        notification_handler(wrong, handler)


@pytest.mark.parametrize("wrong", [None, "handler"])
def test_what_is_no_handler_is_refused_when_the_app_is_made(session: Any, wrong: Any) -> None:
    """Not at the first notification."""
    with pytest.raises(InvalidRequest, match="handler"):
        notification_handler(session, wrong)


@pytest.fixture
def without_aiohttp(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    adapter = sys.modules["omipay_async.aiohttp"]
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    monkeypatch.delitem(sys.modules, "omipay_async.aiohttp")
    yield
    untyped(sys.modules["omipay_async"]).aiohttp = adapter  # as the import system has it


def test_a_missing_extra_is_named(without_aiohttp: None) -> None:
    """The error says what to install."""
    with pytest.raises(ImportError, match=r"omipay-async\[aiohttp\]"):
        importlib.import_module("omipay_async.aiohttp")


# -- the whole road -------------------------------------------------------------------------------------------------


async def test_a_payment_in_the_sandbox_reaches_the_handler_over_the_wire(handler: Handler) -> None:
    """Order, payment, notification over HTTP, QueryOrder, handler, SUCCESS; a forged body reaches nothing."""
    async with Sandbox() as sandbox:
        app = shop(OMIPAY, handler)
        app.cleanup_ctx.append(session_context(sandbox.session))
        async with served(app) as port:
            order = await app[OMIPAY].make_qr_order(
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
    assert [fulfilled.order_no for fulfilled in handler.orders] == [order.order_no]
