"""The aiohttp adapter over a real socket, served by aiohttp.web."""

from __future__ import annotations

from operator import attrgetter
from typing import Any, cast

import pytest
from aiohttp import web

from omipay_async import AsyncOmipay
from omipay_async.aiohttp import OMIPAY, notification_handler, session_context
from omipay_async.errors import ConfigurationError

from .support.raw_http import SUCCESS, Handler, Session, chunked, exchange
from .support.web_servers import served_by_aiohttp


def shop(session: Any, handler: Any) -> web.Application:
    app = web.Application()
    app.router.add_post("/omipay/notify", notification_handler(session, handler))
    return app


async def test_a_body_in_a_broken_encoding_is_rejected(session: Session, handler: Handler) -> None:
    """The server or the adapter answers 400, and the body never reaches the session."""
    async with served_by_aiohttp(shop(session, handler)) as port:
        answered = await exchange(port, *chunked(b"{"), b"no length\r\n", headers="Transfer-Encoding: chunked\r\n")
    assert answered.status == 400
    assert session.bodies == []


# -- where the session comes from -----------------------------------------------------------------------------------


async def later(session: Session) -> Session:
    return session


@pytest.mark.parametrize("find", [lambda session: session, later])
async def test_the_session_may_be_found_for_each_request(session: Session, handler: Handler, find: Any) -> None:
    """The function may be sync or async, and gets the request if it takes an argument."""
    for finder in (lambda request: find(session), lambda: find(session)):
        async with served_by_aiohttp(shop(finder, handler)) as port:
            assert (await exchange(port, b"{}")).body == SUCCESS
    assert session.bodies == [b"{}", b"{}"]


@pytest.mark.parametrize("make", [lambda session: session, later])
async def test_the_context_keeps_the_session_and_closes_it(session: Session, handler: Handler, make: Any) -> None:
    """It is opened once, found under OMIPAY in sub-applications too, and closed when the app ends."""
    app, payments = web.Application(), shop(OMIPAY, handler)
    app.cleanup_ctx.append(session_context(lambda: make(session)))
    app.add_subapp("/payments", payments)
    async with served_by_aiohttp(app) as port:
        assert (session.opened, session.closed) == (1, 0)
        assert cast("object", app[OMIPAY]) is session
        assert (await exchange(port, b"{}", path="/payments/omipay/notify")).body == SUCCESS
    assert (session.opened, session.closed) == (1, 1)


async def test_several_merchants_in_one_app(session: Session, handler: Handler) -> None:
    """Each has its own key."""
    perth, key = Session(), web.AppKey("PERTH", AsyncOmipay)
    app = shop(OMIPAY, handler)
    app.router.add_post("/perth", notification_handler(key, handler))
    app.cleanup_ctx.append(session_context(lambda: cast("Any", session)))
    app.cleanup_ctx.append(session_context(lambda: cast("Any", perth), key))
    async with served_by_aiohttp(app) as port:
        await exchange(port, b"sydney")
        await exchange(port, b"perth", path="/perth")
    assert (session.bodies, perth.bodies) == ([b"sydney"], [b"perth"])
    assert (session.closed, perth.closed) == (1, 1)


async def test_a_second_session_under_one_key_is_refused_at_the_start(session: Session, handler: Handler) -> None:
    """It would get the first merchant's notifications. The first session is closed, the second never made."""
    second, app = Session(), shop(OMIPAY, handler)
    app.cleanup_ctx.append(session_context(lambda: cast("Any", session)))
    app.cleanup_ctx.append(session_context(lambda: cast("Any", second)))
    runner = web.AppRunner(app)
    with pytest.raises(ConfigurationError, match="OMIPAY"):
        await runner.setup()
    await app.cleanup()
    assert (session.closed, second.opened) == (1, 0)


async def test_one_context_may_serve_several_apps(handler: Handler) -> None:
    """Each has its own session, as the apps of a suite's tests have, and an app beside its sub-application."""
    context = session_context(lambda: cast("Any", Session()))
    for _ in range(2):
        app, payments = shop(OMIPAY, handler), shop(OMIPAY, handler)
        app.cleanup_ctx.append(context)
        payments.cleanup_ctx.append(context)
        app.add_subapp("/payments", payments)
        async with served_by_aiohttp(app) as port:
            await exchange(port, b"parent", path="/omipay/notify")
            await exchange(port, b"payments", path="/payments/omipay/notify")
            kept = [cast("Session", each[OMIPAY]) for each in (app, payments)]
            assert [(each.bodies, each.is_closed) for each in kept] == [([b"parent"], False), ([b"payments"], False)]
        assert all(each.is_closed for each in kept)


@pytest.mark.filterwarnings("ignore:Changing state of started or joined application:DeprecationWarning")
async def test_an_app_may_start_again(session: Session, handler: Handler) -> None:
    """The session of its first run is closed by then."""
    app = shop(OMIPAY, handler)
    app.cleanup_ctx.append(session_context(lambda: cast("Any", session)))
    for _ in range(2):
        async with served_by_aiohttp(app) as port:
            assert (await exchange(port, b"{}")).body == SUCCESS
    assert (session.opened, session.closed) == (2, 2)


@pytest.mark.parametrize("key", ["omipay", None])
def test_a_key_is_an_app_key(key: Any) -> None:
    """A plain string is rejected."""
    with pytest.raises(ConfigurationError, match="key"):
        session_context(cast("Any", Session), key)


# -- bodies that somebody has read already ----------------------------------------------------------------------------


def reading(read: str) -> Any:
    """A middleware that reads the body, as an audit log does."""

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
    """If aiohttp has not kept it, the error describes what to do, and the body does not count as forged."""

    session = Session()
    app = shop(session, Handler())
    app.middlewares.append(reading(read))
    body = b'{"order_no": "TR1"}'
    headers = f"Content-Length: {len(body)}\r\nContent-Type: {content_type}\r\nConnection: close\r\n"
    async with served_by_aiohttp(app) as port:
        answered = await exchange(port, body, headers=headers)
    assert (answered.status, session.bodies) == (status, [body] if status == 200 else [])
    assert ("middleware" in caplog.text) is (status == 500)


async def test_a_forgotten_context_is_named(handler: Handler, caplog: pytest.LogCaptureFixture) -> None:
    """The error in the log contains what to write."""
    async with served_by_aiohttp(shop(OMIPAY, handler)) as port:
        assert (await exchange(port, b"{}")).status == 500
    (record,) = caplog.records
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ConfigurationError)
    assert "session_context" in str(record.exc_info[1])


@pytest.mark.parametrize("wrong", [None, "session", AsyncOmipay, AsyncOmipay.from_env])
def test_what_is_neither_session_nor_key_is_rejected_when_the_app_is_made(wrong: Any, handler: Handler) -> None:
    """The error does not wait for the first notification."""
    with pytest.raises(ConfigurationError, match="omipay"):
        notification_handler(wrong, handler)


def test_a_context_without_its_factory_says_how_it_is_written() -> None:
    """aiohttp calls it with the application."""
    context: Any = session_context
    with pytest.raises(ConfigurationError, match=r"write session_context\(AsyncOmipay\.from_env\)"):
        context(web.Application())
