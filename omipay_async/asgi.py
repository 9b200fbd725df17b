"""Any ASGI framework: the notify_url as an app, and the session for the life of an app. No framework here.

    app = session_app(app, AsyncOmipay.from_env, routes={"/omipay/notify": notification_app(get_omipay, fulfil)})

``app`` is what Starlette, FastAPI, Litestar, Quart or Django gives; the result is served in its place. Its endpoints
have the session as ``scope["state"]["omipay"]``. Or mount ``notification_app`` where the framework takes an ASGI app.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final, NoReturn

import attrs

from .errors import ConfigurationError, MalformedNotification
from .fulfilment.guard import checked_handler
from .protocol.notifications import LARGEST_BODY, failure, log_refusal

if TYPE_CHECKING:
    from .models import Order
    from .protocol.notifications import NotificationReply
    from .session import AsyncOmipay

__all__ = ["get_omipay", "notification_app", "omipay_getter", "session_app"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

logger: Final = logging.getLogger("omipay_async")

CONTENT_TOO_LARGE: Final = 413
_DIGITS: Final = 18
"""Longer numbers are not even read: Python refuses some, and a body of such a length would never end."""
_BODY_TIMEOUT_S: Final = 10.0


class BodyTooLarge(Exception):  # noqa: N818 - what the body is
    """The body is longer than any notification: refused before it was read whole."""


class BodyCutOff(Exception):  # noqa: N818 - what happened to the body
    """The body ended before its end, or its encoding is broken."""


class BodyTaken(Exception):  # noqa: N818 - what happened to the body
    """Somebody in front of us has read the body, and it is kept nowhere."""


# -- the body, whatever the framework ---------------------------------------------------------------------------------


async def read(chunks: AsyncIterator[bytes], declared: str | None) -> bytes:
    """The whole body, raw: a framework that parses and writes it again breaks signatures.

    ``declared`` is the Content-Length, if there is one.

    Raises:
        BodyTooLarge: that, or what has come, is too much.
        BodyTaken: nothing has come, although the length says that there is something.
    """
    length = int(declared[: _DIGITS + 1]) if declared is not None and declared.isdecimal() else 0
    if length > LARGEST_BODY:
        raise BodyTooLarge
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > LARGEST_BODY:
            raise BodyTooLarge
    if length and not body:
        raise BodyTaken
    return bytes(body)


@attrs.frozen
class Answer:
    """What to answer, and whether the connection is to end because a rest of the body was not read."""

    reply: NotificationReply
    close: bool = False


async def answer(
    session: AsyncOmipay,
    handler: Callable[[Order], Awaitable[object]],
    chunks: AsyncIterator[bytes],
    declared: str | None,
    *,
    body_timeout: float = _BODY_TIMEOUT_S,
) -> Answer:
    """Read the body of a notification, let ``session`` receive it, and say what to answer.

    ``body_timeout`` bounds the reading, in seconds: a stream that somebody else has drained never ends on some servers.
    """
    try:
        async with asyncio.timeout(body_timeout):
            body = await read(chunks, declared)
    except BodyTooLarge:
        return Answer(_refused(CONTENT_TOO_LARGE, f"the body is longer than {LARGEST_BODY} bytes"), close=True)
    except BodyCutOff:
        return Answer(_refused(400, "the body could not be read to its end"), close=True)
    except BodyTaken:
        return Answer(_taken("came to us empty"))
    except TimeoutError:
        return Answer(_taken(f"did not come within {body_timeout:g} s"), close=True)
    return Answer(await session.receive_notification(body, handler))


def _refused(status: int, why: str) -> NotificationReply:
    error = MalformedNotification(why)
    log_refusal(error)
    return failure(status, error)


def _taken(what: str) -> NotificationReply:
    error = ConfigurationError(
        f"the body of a notification {what}: if a middleware reads it, let it use the framework's cached body "
        "(docs/web.md), or leave this path out"
    )
    logger.error("%s", error)
    return failure(500, error)


async def resolve_session(factory: Callable[..., Any], *arguments: Any) -> AsyncOmipay:
    """What ``factory``, sync or async, returns."""
    session = factory(*arguments)
    if inspect.isawaitable(session):
        session = await session
    return session  # type: ignore[no-any-return]  # the user's promise


# -- the notify_url ---------------------------------------------------------------------------------------------------


def notification_app(
    omipay_or_getter: AsyncOmipay | Callable[..., Any], handler: Callable[[Order], Awaitable[object]]
) -> ASGIApp:
    """An ASGI app that is a notify_url: it confirms, runs ``await handler(order)`` once, and answers. CN 3.9.

    The first argument is a session, or a function, sync or async, that returns one; it gets the ASGI scope if it takes
    an argument: ``get_omipay``, ``omipay_getter("sydney")``, your own. See ``AsyncOmipay.receive_notification`` for
    what the handler may rely on. The app answers POST at every path where it is mounted. The raw bytes are passed on;
    bodies over 64 KiB are answered 413 and FAIL before they are read whole.

    Raises:
        InvalidRequest: ``handler`` cannot be called.
        ConfigurationError: the first argument is neither a session nor a function.
    """
    return NotificationApp(omipay_or_getter, handler)


class NotificationApp:
    """See :func:`notification_app`. (An object, because Starlette's ``Route`` takes functions for endpoints.)"""

    def __init__(
        self,
        omipay_or_getter: Any,
        handler: Callable[[Order], Awaitable[object]],
        *,
        body_timeout: float = _BODY_TIMEOUT_S,
    ) -> None:
        self._handler = checked_handler(handler)
        self._getter = _getter(omipay_or_getter)
        self._body_timeout = body_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _empty_lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        elif scope["type"] != "http":
            message = f"a notify_url is asked over HTTP, not over {scope['type']}"
            raise ValueError(message)
        elif scope["method"] != "POST":
            await _respond(scope, send, 405, b"", {"Allow": "POST"})
        else:
            session = await resolve_session(self._getter, scope)
            declared = next((value for name, value in scope["headers"] if name.lower() == b"content-length"), None)
            answered = await answer(
                session,
                self._handler,
                _chunks(scope, receive),
                None if declared is None else declared.decode("latin-1"),
                body_timeout=self._body_timeout,
            )
            headers = dict(answered.reply.headers)
            if answered.close and scope.get("http_version", "1.1").startswith("1"):
                headers["Connection"] = "close"  # or the server goes on receiving what nobody reads
            await _respond(scope, send, answered.reply.status, answered.reply.body, headers)


async def _chunks(scope: Scope, receive: Receive) -> AsyncIterator[bytes]:
    kept = getattr(scope.get("_ls_connection_state"), "body", None)  # where Litestar keeps a body that it has read
    if isinstance(kept, bytes):
        yield kept
        return
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BodyCutOff
        yield message.get("body", b"")
        more = message.get("more_body", False)


async def _respond(scope: Scope, send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    sent = {"Content-Length": str(len(body))} | dict(headers)
    lines = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in sent.items()]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def _getter(omipay: Any) -> Callable[[Scope], Any]:
    if hasattr(omipay, "receive_notification") and not isinstance(omipay, type):
        return lambda _: omipay
    if not callable(omipay) or isinstance(omipay, type):
        message = "omipay_or_getter must be a session, or a function that returns one"
        raise ConfigurationError(message)
    return omipay if _takes_argument(omipay) else lambda _: omipay()


def _takes_argument(function: Callable[..., Any]) -> bool:
    positional = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.VAR_POSITIONAL,
    )
    return any(parameter.kind in positional for parameter in inspect.signature(function).parameters.values())


def omipay_getter(name: str = "omipay") -> Callable[[Scope], AsyncOmipay]:
    """A function that finds the session which ``session_app(..., name=name)`` keeps in an ASGI scope.

    Raises ``ConfigurationError``, when it is asked, where nobody put one there.
    """

    def get(scope: Scope) -> AsyncOmipay:
        session = (scope.get("state") or {}).get(name)
        if session is None:
            message = (
                f'scope["state"]["{name}"] is missing: omipay_async.asgi.session_app(app, factory, name="{name}") '
                "keeps a session there"
            )
            raise ConfigurationError(message)
        return session  # type: ignore[no-any-return]  # a state holds anything

    return get


get_omipay: Final = omipay_getter()
"""The session in ``scope["state"]["omipay"]``: ``notification_app(get_omipay, handler)``."""


# -- the session ------------------------------------------------------------------------------------------------------


def session_app(
    app: ASGIApp,
    factory: Callable[[], AsyncOmipay | Awaitable[AsyncOmipay]],
    routes: Mapping[str, ASGIApp] | None = None,
    *,
    name: str = "omipay",
) -> ASGIApp:
    """``app``, with a session that lives as long as it: in ``scope["state"][name]`` of each request and WebSocket.

    The session is what ``factory()``, sync or async, returns, ``AsyncOmipay.from_env`` for one. It is opened before
    ``app`` starts and closed after it has ended. An app that knows no lifespan (Django) gets one all the same; on a
    server that knows none the session is opened by the first request and closed with the event loop.

    ``routes`` maps paths to ASGI apps, such as ``notification_app(get_omipay, handler)``, that answer HTTP requests to
    exactly this path instead of ``app``, with or without a slash at its end: nothing is redirected, and no middleware
    of ``app`` sees the request. Several merchants: wrap once for each, under names of their own.

    Raises:
        ConfigurationError: an argument will not do; at the start of the app, that ``name`` is taken.
    """
    return SessionApp(app, factory, routes, name)


class SessionApp:
    """See :func:`session_app`."""

    def __init__(
        self, app: ASGIApp, factory: Callable[[], Any], routes: Mapping[str, ASGIApp] | None, name: str
    ) -> None:
        for argument, value in (("app", app), ("factory", factory)):
            if not callable(value):
                _refuse(argument, "must be callable")
        self._app = app
        self._factory = factory
        self._name = checked_name(name)
        self._routes = _checked_routes(routes)
        self._session: Any = None
        self._opening = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the app, or a route."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        if self._session is None:
            await self._open_without_lifespan()
        scope.setdefault("state", {})[self._name] = self._session
        app = self._routes.get(_route_path(scope), self._app) if scope["type"] == "http" else self._app
        await app(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        startup = await receive()
        try:
            opened = await self._open(scope.setdefault("state", {}))
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        try:
            last = await _run_lifespan(self._app, scope, startup, receive, send)
        finally:
            self._session = None
            await opened.aclose()
        await send(last)

    async def _open(self, state: MutableMapping[str, Any]) -> contextlib.AsyncExitStack:
        if state.get(self._name) is not None:
            raise name_taken(f'scope["state"]["{self._name}"]', "session_app(..., name=...)")
        opened = contextlib.AsyncExitStack()
        self._session = state[self._name] = await opened.enter_async_context(await resolve_session(self._factory))
        return opened

    async def _open_without_lifespan(self) -> None:
        async with self._opening:
            if self._session is None:
                # Whoever ends an event loop in order (asyncio.run, every server) closes its generators.
                self._life = self._life_of_session()
                await anext(self._life)

    async def _life_of_session(self) -> AsyncIterator[None]:
        async with await resolve_session(self._factory) as session:
            self._session = session
            try:
                yield
            finally:
                self._session, self._opening = None, asyncio.Lock()  # another event loop may be next


async def _run_lifespan(
    app: ASGIApp, scope: Scope, startup: MutableMapping[str, Any], receive: Receive, send: Send
) -> MutableMapping[str, Any]:
    """Run the app's own lifespan, or one for an app that knows none; return the last message, which is to be sent."""
    waiting = [startup]
    last: MutableMapping[str, Any] = {"type": "lifespan.shutdown.complete"}
    said: list[str] = []

    async def hand_on() -> MutableMapping[str, Any]:
        return waiting.pop() if waiting else await receive()

    async def listen(message: MutableMapping[str, Any]) -> None:
        nonlocal last
        if not message["type"].startswith("lifespan."):
            raise ValueError("an answer to HTTP where a lifespan was offered")
        said.append(message["type"])
        if message["type"].startswith("lifespan.shutdown."):
            last = message  # after the session was closed
        else:
            await send(message)

    try:
        await app(scope, hand_on, listen)
    except Exception as error:
        if said:
            raise
        logger.info("the app knows no lifespan (%s): the session has one", type(error).__name__)
    if not said:
        await send({"type": "lifespan.startup.complete"})
        await receive()
    return last


async def _empty_lifespan(receive: Receive, send: Send) -> None:
    for phase in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{phase}.complete"})


def _checked_routes(routes: Any) -> dict[str, ASGIApp]:
    if routes is None:
        return {}
    if not isinstance(routes, Mapping):
        _refuse("routes", "must be a mapping of paths to ASGI apps")
    for path, app in routes.items():
        if not isinstance(path, str) or not path.startswith("/"):
            _refuse("routes", "must have paths as keys, each with a slash at its beginning")
        if not callable(app):
            _refuse(f"routes[{path!r}]", "must be an ASGI app")
    return {_without_slash(path): app for path, app in routes.items()}


def _without_slash(path: str) -> str:
    return path.rstrip("/") or "/"


def _route_path(scope: Scope) -> str:
    """The path that the app was asked for: servers differ in whether ``path`` begins with ``root_path``."""
    path, root = scope["path"], scope.get("root_path", "").rstrip("/")
    inside = root and (path == root or path.startswith(f"{root}/"))
    return _without_slash(path[len(root) :] if inside else path)


# -- what the adapters share ------------------------------------------------------------------------------------------


def checked_name(name: object) -> str:
    """``name`` if an attribute can be called so."""
    if not isinstance(name, str) or not name.isidentifier():
        _refuse("name", "must be a name, such as omipay_sydney")
    return name


def name_taken(place: str, remedy: str) -> ConfigurationError:
    """For a second session where there is one already: it would replace the first merchant's."""
    return ConfigurationError(
        f"{place} holds something already: give each merchant's session a name of its own, {remedy}"
    )


def _refuse(name: str, what: str) -> NoReturn:
    message = f"{name} {what}"
    raise ConfigurationError(message)
