"""A session that lives as long as an ASGI app, and routes that are answered before the app."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from omipay_async.fulfilment.handlers import call_error
from omipay_async.log import logger
from omipay_async.options import reject

from .common import checked_name, name_taken, resolve_session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
    from contextlib import AbstractAsyncContextManager

    from omipay_async.session import AsyncOmipay

    from .common import ASGIApp, Receive, Scope, Send


def session_app(
    app: ASGIApp,
    factory: Callable[[], AsyncOmipay | Awaitable[AsyncOmipay]],
    routes: Mapping[str, ASGIApp] | None = None,
    *,
    name: str = "omipay",
) -> ASGIApp:
    """Wrap ``app`` with a session that lives as long as the app.

    The session is what ``factory()``, sync or async, returns, such as ``AsyncOmipay.from_env``. Each request and
    WebSocket has it in ``scope["state"][name]``. It is opened before ``app`` starts and closed after it has ended, also
    if the app does not support lifespan (Django). On a server that does not support it, the session is opened by the
    first request and closed with the event loop. Daphne, for example, ends without closing that.

    ``routes`` maps paths to ASGI apps, such as ``notification_app(get_omipay, handler)``, which answer HTTP requests to
    exactly this path instead of ``app``, with or without a slash at its end. Nothing is redirected, and no middleware
    of ``app`` sees the request. For several merchants wrap the app once for each, with different names.

    Raises:
        ConfigurationError: an argument is wrong. At the start of the app: ``name`` is in use already.
    """
    return SessionApp(app, factory, routes, name)


class SessionApp:
    """See :func:`session_app`."""

    def __init__(
        self, app: ASGIApp, factory: Callable[[], Any], routes: Mapping[str, ASGIApp] | None, name: str
    ) -> None:
        for argument, value in (("app", app), ("factory", factory)):
            if not callable(value):
                reject(argument, "must be callable")
        self._app = app
        self._factory = factory
        self._name = checked_name(name)
        self._routes = _checked_routes(routes)
        self._session: Any = None
        self._opening = asyncio.Lock()
        self._life: AbstractAsyncContextManager[None] | None = None
        """On a server without lifespan: what keeps the session open until the event loop ends."""

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
        async with contextlib.AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self._open_session(scope.setdefault("state", {})))
            except Exception as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                raise
            last = await _AppLifespan(startup, receive, send).run(self._app, scope)
        if last is not None:
            await send(last)

    async def _open_without_lifespan(self) -> None:
        async with self._opening:
            if self._session is None:
                # asyncio.run closes the async generators when it ends the event loop. Not every server does (Daphne).
                self._life = self._open_session({})
                await self._life.__aenter__()

    @contextlib.asynccontextmanager
    async def _open_session(self, state: MutableMapping[str, Any]) -> AsyncIterator[None]:
        """Keep a session open, and remember it here and in ``state``."""
        if state.get(self._name) is not None:
            raise name_taken(f'scope["state"]["{self._name}"]', "session_app(..., name=...)")
        async with await resolve_session(self._factory) as session:
            self._session = state[self._name] = session
            try:
                yield
            finally:
                self._session, self._opening = None, asyncio.Lock()  # another event loop may use this later


class _AppLifespan:
    """The lifespan of the wrapped app. Its last message is kept, and sent after the session was closed."""

    def __init__(self, startup: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        self._startup: MutableMapping[str, Any] | None = startup
        self._server_receive = receive
        self._server_send = send
        self._is_supported = False
        self._last: MutableMapping[str, Any] | None = {"type": "lifespan.shutdown.complete"}

    async def run(self, app: ASGIApp, scope: Scope) -> MutableMapping[str, Any] | None:
        """Run it, also if the app does not support it. Returns the last message, if it is still to be sent."""
        try:
            await app(scope, self._receive, self._send)
        except Exception as error:
            if self._is_supported:
                raise
            logger.info("the app does not support lifespan (%s): the session is kept without it", type(error).__name__)
        if not self._is_supported:
            await self._server_send({"type": "lifespan.startup.complete"})
            await self._server_receive()
        return self._last

    async def _receive(self) -> MutableMapping[str, Any]:
        startup, self._startup = self._startup, None
        return await self._server_receive() if startup is None else startup

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        if not message["type"].startswith("lifespan."):
            raise ValueError("the app answered a lifespan with a message of HTTP")
        self._is_supported = True
        if message["type"].startswith("lifespan.shutdown."):
            self._last = message
            return
        await self._server_send(message)
        if message["type"] == "lifespan.startup.failed":  # the server expects no more
            self._last = None


def _checked_routes(routes: object) -> dict[str, ASGIApp]:
    if routes is None:
        return {}
    if not isinstance(routes, Mapping):
        reject("routes", "must be a mapping of paths to ASGI apps")
    for path, app in routes.items():
        if not isinstance(path, str) or not path.startswith("/"):
            reject("routes", "must have paths as keys, each with a slash at its beginning")
        if not callable(app) or call_error(app, ("scope", "receive", "send")) is not None:
            reject(f"routes[{path!r}]", "must be an ASGI app, such as notification_app(get_omipay, handler)")
    return {_without_slash(path): app for path, app in routes.items()}


def _without_slash(path: str) -> str:
    return path.rstrip("/") or "/"


def _route_path(scope: Scope) -> str:
    """The path of the request within the app: servers differ in whether ``path`` begins with ``root_path``."""
    path, root = scope["path"], scope.get("root_path", "").rstrip("/")
    inside = root and (path == root or path.startswith(f"{root}/"))
    return _without_slash(path[len(root) :] if inside else path)
