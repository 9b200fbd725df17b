"""The notify_url as an ASGI app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from omipay_async.errors import ConfigurationError
from omipay_async.fulfilment.handlers import checked_handler

from .bodies import BODY_TIMEOUT_S, BodyCutOff, answer
from .common import resolve_session, session_finder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from omipay_async.models import Order
    from omipay_async.session import AsyncOmipay

    from .common import ASGIApp, Receive, Scope, Send


def notification_app(
    omipay_or_getter: AsyncOmipay | Callable[..., Any], handler: Callable[[Order], Awaitable[object]]
) -> ASGIApp:
    """An ASGI app for a notify_url: it confirms, runs ``await handler(order)`` once, and answers. CN 3.9.

    The first argument is a session, or a function, sync or async, that returns one, such as ``get_omipay``,
    ``omipay_getter("sydney")`` or your own. The function gets the ASGI scope if it takes an argument.
    ``AsyncOmipay.receive_notification`` describes what the handler may rely on. The app answers POST requests to every
    path below the one where it is mounted. The raw bytes are passed on; a body that its Content-Type declares as GBK is
    passed on in UTF-8. A body over 64 KiB is answered with 413 and FAIL before it is read to its end.

    Raises:
        InvalidRequest: ``handler`` cannot be called with the order alone.
        ConfigurationError: the first argument is neither a session nor a function.
    """
    return NotificationApp(omipay_or_getter, handler)


class NotificationApp:
    """See :func:`notification_app`. (It is an object because Starlette's ``Route`` treats functions as endpoints.)"""

    def __init__(
        self,
        omipay_or_getter: Any,
        handler: Callable[[Order], Awaitable[object]],
        *,
        body_timeout: float = BODY_TIMEOUT_S,
    ) -> None:
        self._handler = checked_handler(handler, "order")
        what = "must be a session, or a function that returns the one that is open"
        self._getter = session_finder("omipay_or_getter", omipay_or_getter, what)
        self._body_timeout = body_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _empty_lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        elif scope["type"] != "http":
            message = f"a notify_url is called over HTTP, not over {scope['type']}"
            raise ValueError(message)
        elif scope["method"] != "POST":
            await _respond(scope, send, 405, b"", {"Allow": "POST"})
        else:
            session = await resolve_session(self._getter, scope)
            answered = await answer(
                session, self._handler, _chunks(receive), _headers(scope), body_timeout=self._body_timeout
            )
            headers = answered.headers(scope.get("http_version", "1.1"))
            await _respond(scope, send, answered.reply.status, answered.reply.body, headers)


async def _empty_lifespan(receive: Receive, send: Send) -> None:
    for phase in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{phase}.complete"})


def _headers(scope: Scope) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.lower().decode("latin-1"), value.decode("latin-1"))
    return headers


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
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


def omipay_getter(name: str = "omipay") -> Callable[[Mapping[str, Any]], AsyncOmipay]:
    """A function that returns the session that ``session_app(..., name=name)`` keeps in an ASGI scope.

    The function raises ``ConfigurationError`` if there is no session.
    """

    def get(scope: Mapping[str, Any]) -> AsyncOmipay:
        """The session that ``session_app`` keeps in this scope. Raises ``ConfigurationError`` if there is none."""
        session = (scope.get("state") or {}).get(name)
        if session is None:
            message = (
                f'scope["state"]["{name}"] is missing: omipay_async.asgi.session_app(app, factory, name="{name}") '
                "keeps a session there"
            )
            raise ConfigurationError(message)
        return cast("AsyncOmipay", session)

    return get


get_omipay: Final = omipay_getter()
"""Returns the session in ``scope["state"]["omipay"]``: ``notification_app(get_omipay, handler)``."""
