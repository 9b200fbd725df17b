"""The ASGI adapter: it reads raw bodies up to a limit, and keeps a session that lives as long as its app."""

from __future__ import annotations

import asyncio
import logging
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pytest

from omipay_async import AsyncOmipay
from omipay_async.asgi import bodies, get_omipay, notification_app, omipay_getter, session_app
from omipay_async.asgi.notify import NotificationApp
from omipay_async.errors import ConfigurationError
from tests.support.untyped import untyped

from .support.asgi_server import Client, Server
from .support.raw_http import FAIL, Handler, Session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, MutableMapping


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 1000


@pytest.mark.parametrize("declared", ["5", "65536"])
async def test_an_empty_body_with_a_length_was_read_by_a_middleware(declared: str) -> None:
    """Its length is not zero."""
    with pytest.raises(bodies.BodyTaken):
        await bodies.read(chunks(b""), declared)
    assert await bodies.read(chunks(b""), "0") == b""


@pytest.mark.parametrize("declared", [None, "5", "-5", "junk", "", "٣"])
async def test_a_short_body_is_read_whatever_its_declared_length_is(declared: str | None) -> None:
    """A wrong Content-Length does not matter."""
    assert await bodies.read(chunks(b"{", b"", b'"a"}'), declared) == b'{"a"}'


@pytest.mark.parametrize("declared", ["65537", "9" * 19, "9" * 5000])
async def test_a_declared_length_that_is_too_large_is_refused_before_anything_is_read(declared: str) -> None:
    """That holds also for a number with too many digits for Python."""
    with pytest.raises(bodies.BodyTooLarge):
        await bodies.read(endless(), declared)


@pytest.mark.parametrize("declared", [None, "10"])
async def test_the_bytes_that_are_read_are_limited(declared: str | None) -> None:
    """64 KiB are read and one more byte is not, whatever length was declared."""
    assert len(await bodies.read(chunks(b"x" * 65_535, b"x"), declared)) == 65_536
    with pytest.raises(bodies.BodyTooLarge):
        await bodies.read(chunks(b"x" * 65_536, b"x"), declared)
    with pytest.raises(bodies.BodyTooLarge):
        await bodies.read(endless(), declared)


# -- the notify_url ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "closed"), [("1.1", True), ("2", False)])
async def test_the_connection_is_closed_after_a_body_that_was_not_read_completely(
    session: Any, handler: Handler, version: str, closed: bool
) -> None:
    """The answer is 413 and FAIL; HTTP/2 does not have the header ``Connection``."""
    client = Client(notification_app(session, handler), http_version=version)
    assert (await client.post(b"x" * 65_537), client.body) == (413, FAIL)
    assert ("connection" in client.headers) is closed
    assert await client.post(headers=[(b"content-length", b"70000")]) == 413
    assert session.bodies == []


async def test_a_body_whose_sender_hangs_up_is_not_passed_on(session: Any, handler: Handler) -> None:
    """The answer is 400."""
    client = Client(notification_app(session, handler))
    assert (await client.post(), session.bodies) == (400, [])


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
async def test_other_methods_than_post_are_refused(session: Any, handler: Handler, method: str) -> None:
    """The answer is 405."""
    client = Client(notification_app(session, handler))
    assert await client.post(b"{}", method=method) == 405
    assert (client.headers["allow"], client.body, session.bodies) == ("POST", b"", [])


async def test_a_body_that_a_middleware_has_read_is_an_error_that_says_what_to_do(
    session: Any, handler: Handler, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer is 500 and FAIL within a limited time, and an ERROR is logged."""

    async def never() -> Any:
        await asyncio.Event().wait()

    app = NotificationApp(session, handler, body_timeout=0.01)
    client = Client(app)
    await app(client.http("/", "POST"), never, client.send)
    assert client.sent[0]["status"] == 500
    assert await client.post(b"", headers=[(b"Content-Length", b"5")]) == 500
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert all("middleware" in record.getMessage() for record in caplog.records)
    assert session.bodies == []


async def test_a_body_that_comes_too_slowly_is_its_senders_fault(
    session: Any, handler: Handler, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer is 400, and no ERROR is logged, which any stranger could cause."""
    parts = [{"type": "http.request", "body": b"{", "more_body": True}]

    async def slowly() -> Any:
        if not parts:
            await asyncio.Event().wait()
        return parts.pop()

    app = NotificationApp(session, handler, body_timeout=0.01)
    client = Client(app)
    await app(client.http("/", "POST"), slowly, client.send)
    started, ended = client.sent
    assert (started["status"], ended["body"]) == (400, FAIL)
    assert (b"connection", b"close") in started["headers"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert session.bodies == []


async def test_it_may_be_served_by_itself(session: Any, handler: Handler) -> None:
    """It answers a lifespan, closes WebSockets, and raises an error for unknown kinds of connections."""
    app = notification_app(session, handler)
    server = Server(app)
    async with server:
        assert server.said == ["lifespan.startup.complete"]
    client = Client(app)
    await app({"type": "websocket"}, server.receive, client.send)
    assert client.sent == [{"type": "websocket.close", "code": 1000}]
    with pytest.raises(ValueError, match="telegraph"):
        await app({"type": "telegraph"}, server.receive, client.send)


async def test_the_session_may_be_found_for_each_request(session: Any, handler: Handler) -> None:
    """The function may be sync or async, and gets the scope if it takes an argument."""

    async def later() -> Any:
        return session

    async def later_by_scope(scope: Any) -> Any:
        return scope["mine"]

    class Finder:
        def find(self, scope: Any) -> Any:
            return scope["mine"]

    of_scope = (lambda scope: scope["mine"], later_by_scope, Finder().find, itemgetter("mine"))
    for getter in (lambda: session, later, *of_scope):
        assert await Client(notification_app(getter, handler)).post(b"{}", mine=session) == 200
    assert len(session.bodies) == 6


async def test_a_class_may_find_the_session_that_it_keeps(session: Any, handler: Handler) -> None:
    """A method of a class of sessions need not open one, as ``from_env`` does."""

    class Shop(AsyncOmipay):
        @classmethod
        def current(cls) -> Any:
            return session

    assert await Client(notification_app(Shop.current, handler)).post(b"{}") == 200
    with pytest.raises(ConfigurationError, match="omipay_or_getter must be a session, or a function"):
        notification_app(untyped(Shop.from_env), handler)


@pytest.mark.parametrize("wrong", [None, "session", AsyncOmipay, AsyncOmipay.from_env])
def test_an_argument_that_is_neither_session_nor_getter_is_refused(wrong: Any, handler: Handler) -> None:
    """The error comes when the app is made, and not at the first notification."""
    with pytest.raises(ConfigurationError, match="omipay_or_getter must be a session, or a function"):
        notification_app(wrong, handler)


# -- the session ------------------------------------------------------------------------------------------------------


class App:
    """An app with a lifespan, which notes its requests."""

    def __init__(self, *, fails: str = "") -> None:
        self.fails = fails
        self.seen: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            self.seen.append(scope["state"]["omipay"])
            await send({"type": "http.response.start", "status": 204, "headers": []})
            return
        for phase in ("startup", "shutdown"):
            self.seen.append((await receive())["type"])
            if self.fails == phase:
                await send({"type": f"lifespan.{phase}.failed", "message": "broken"})
                raise OSError(phase)
            await send({"type": f"lifespan.{phase}.complete"})


@pytest.mark.parametrize("state", [None, {}])
async def test_the_session_lives_as_long_as_the_app(session: Any, state: Any) -> None:
    """It is opened before the app starts, is in the state of each request, and is closed after the app has ended."""
    app = App()
    whole = session_app(app, lambda: session)
    server = Server(whole, state)
    async with server:
        assert (session.opened, session.closed) == (1, 0)
        assert server.scope["state"]["omipay"] is session
        assert await Client(whole).post(b"{}") == 204
        assert await Client(whole).post(b"{}", state={"other": 1}) == 204
    assert app.seen == ["lifespan.startup", session, session, "lifespan.shutdown"]
    assert server.said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert (session.opened, session.closed) == (1, 1)


async def test_the_end_is_reported_to_the_server_after_the_session_was_closed(session: Any) -> None:
    """The server may stop the event loop then."""
    server = Server(session_app(App(), lambda: session))
    told_when_closed: list[int] = []
    said = server.send

    async def send(message: MutableMapping[str, Any]) -> None:
        told_when_closed.append(session.closed)
        await said(message)

    untyped(server).send = send
    async with server:
        pass
    assert told_when_closed == [0, 1]


async def raising(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("only HTTP")  # as Django does


async def silent(scope: Any, receive: Any, send: Any) -> None:
    pass


async def answering(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": []})


@pytest.mark.parametrize("app", [raising, silent, answering])
async def test_an_app_without_lifespan_has_a_session_too(session: Any, app: Any) -> None:
    """It may raise, return or answer something else when it gets a lifespan."""
    server = Server(session_app(app, lambda: session))
    async with server:
        assert (session.opened, session.closed) == (1, 0)
    assert server.said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert session.closed == 1


@pytest.mark.parametrize("phase", ["startup", "shutdown"])
async def test_a_failure_of_the_app_is_reported_to_the_server(session: Any, phase: str) -> None:
    """The session is closed."""
    server = Server(session_app(App(fails=phase), lambda: session))
    with pytest.raises(OSError, match=phase):
        async with server:
            assert phase == "shutdown"
    assert session.closed == 1
    assert server.said == (["lifespan.startup.failed"] if phase == "startup" else ["lifespan.startup.complete"])


async def test_an_app_that_reports_that_it_failed_to_start_says_nothing_more(session: Any) -> None:
    """It may return then, without an exception: the server expects no message about its end."""

    async def app(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    server = Server(session_app(app, lambda: session))
    async with server:
        pass
    assert (server.said, server.failure) == (["lifespan.startup.failed"], "no database")
    assert session.closed == 1


async def test_a_session_that_cannot_be_made_fails_the_start() -> None:
    """The server gets the reason."""

    def factory() -> Any:
        raise ConfigurationError("OMIPAY_M_NUMBER is not set")

    server = Server(session_app(App(), factory))
    with pytest.raises(ConfigurationError):
        async with server:
            raise AssertionError("it started")
    assert (server.said, server.failure) == (["lifespan.startup.failed"], "OMIPAY_M_NUMBER is not set")


def test_a_handler_in_place_of_a_route_s_app_is_refused(handler: Handler) -> None:
    """The error does not wait for the first notification."""
    for wrong in (handler, None):
        with pytest.raises(ConfigurationError, match=r"^routes\['/n'\] must be .* such as notification_app\("):
            session_app(App(), untyped(Session), {"/n": untyped(wrong)})


async def test_a_second_session_under_one_name_is_refused_at_the_start(session: Any) -> None:
    """It would replace the other merchant's; under another name both exist."""
    inner = session_app(App(), untyped(Session), name="omipay")
    with pytest.raises(ConfigurationError, match=r'scope\["state"\]\["omipay"\]'):
        async with Server(session_app(inner, lambda: session)):
            raise AssertionError("it started")
    assert session.closed == 1
    perth = Session()
    whole = session_app(session_app(App(), untyped(lambda: perth), name="perth"), lambda: session)
    async with Server(whole) as server:
        assert server.scope["state"] == {"omipay": session, "perth": perth}


def test_on_a_server_without_lifespan_the_first_request_opens_the_session(session: Any, handler: Handler) -> None:
    """It is opened once for concurrent requests and closed with the event loop; another loop gets another session."""
    made: list[Session] = []

    async def factory() -> Any:
        await asyncio.sleep(0)
        made.append(Session())
        return made[-1]

    whole = session_app(App(), factory, {"/omipay/notify": notification_app(get_omipay, handler)})

    async def serve() -> None:
        statuses = await asyncio.gather(*(Client(whole).post(b"{}") for _ in range(3)))
        assert statuses == [200] * 3
        assert (made[-1].opened, made[-1].closed, len(made[-1].bodies)) == (1, 0, 3)

    for number in (1, 2):
        asyncio.run(serve())
        assert [session.closed for session in made] == [1] * number


async def test_routes_are_answered_with_or_without_a_slash_and_before_the_app(session: Any, handler: Handler) -> None:
    """No router redirects them, and a root path that the server adds to the path is removed."""
    app = App()
    whole = session_app(app, lambda: session, {"/omipay/notify": notification_app(get_omipay, handler)})
    async with Server(whole):
        for path, root in [
            ("/omipay/notify", ""),
            ("/omipay/notify/", ""),
            ("/shop/omipay/notify", "/shop"),
            ("/shop/omipay/notify", "/shop/"),
            ("/omipay/notify/", "/shop"),
        ]:
            assert await Client(whole).post(b"{}", path=path, root_path=root) == 200
        for path in ("/omipay", "/omipay/notify/more", "/omipay/notifyx", "/", "/shop/omipay/notify"):
            assert await Client(whole).post(b"{}", path=path, root_path="/shops") == 204
    assert len(session.bodies) == 5


async def test_a_getter_that_returns_nothing_is_named(handler: Handler) -> None:
    """A ``return`` was forgotten."""

    async def later() -> Any: ...

    for getter in (lambda: None, later):
        with pytest.raises(ConfigurationError, match="returned None"):
            await Client(notification_app(getter, handler)).post(b"{}")


async def test_a_getter_that_finds_no_session_says_what_to_do(handler: Handler) -> None:
    """The error names the place where the session should be."""
    for getter, name in ((get_omipay, "omipay"), (omipay_getter("perth"), "perth")):
        with pytest.raises(ConfigurationError, match=f'session_app.*name="{name}"'):
            await Client(notification_app(getter, handler)).post(b"{}")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("app", {"app": None}),
        ("factory", {"factory": Session()}),
        ("routes", {"routes": ["/omipay/notify"]}),
        ("routes", {"routes": {"omipay/notify": silent}}),
        ("routes", {"routes": {b"/omipay/notify": silent}}),
        ("routes", {"routes": {"/omipay/notify": None}}),
        ("name", {"name": "my shop"}),
        ("name", {"name": None}),
    ],
)
def test_wrong_arguments_are_refused_when_the_app_is_made(name: str, arguments: dict[str, Any]) -> None:
    """The error names the argument."""
    with pytest.raises(ConfigurationError, match=f"^{name}"):
        session_app(**untyped({"app": silent, "factory": Session} | arguments))
