"""aiohttp.web: the notify_url as a request handler, the session for the life of the app.

    app.cleanup_ctx.append(session_context(AsyncOmipay.from_env))
    app.router.add_post("/omipay/notify", notification_handler(OMIPAY, fulfil))

Any handler has the session as ``request.config_dict[OMIPAY]``. Needs the extra ``aiohttp``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

try:
    from aiohttp import web
except ImportError:
    message = 'omipay_async.aiohttp needs aiohttp: pip install "omipay-async[aiohttp]"'
    raise ImportError(message) from None

from . import asgi
from .errors import ConfigurationError
from .fulfilment.guard import checked_handler
from .session import AsyncOmipay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from .models import Order
    from .protocol.notifications import NotificationReply

__all__ = ["OMIPAY", "notification_handler", "session_context"]

OMIPAY: Final = web.AppKey("OMIPAY", AsyncOmipay)
"""Where ``session_context`` keeps the session: ``app[OMIPAY]``, in sub-applications ``request.config_dict[OMIPAY]``."""


def session_context(
    factory: Callable[[], AsyncOmipay | Awaitable[AsyncOmipay]],
) -> Callable[[web.Application], AsyncIterator[None]]:
    """For ``app.cleanup_ctx``: keeps the session that ``factory()`` returns as ``app[OMIPAY]``, closes it at the end.

    ``factory`` is sync or async, ``AsyncOmipay.from_env`` for one.
    """

    async def context(app: web.Application) -> AsyncIterator[None]:
        async with await asgi.made(factory) as omipay:
            app[OMIPAY] = omipay
            yield

    return context


def notification_handler(
    omipay: AsyncOmipay | web.AppKey[AsyncOmipay] | Callable[[web.Request], Any],
    handler: Callable[[Order], Awaitable[object]],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A handler for ``web.post(path, ...)``: it confirms, runs ``await handler(order)`` once, and answers. CN 3.9.

    The first argument is a session, the ``AppKey`` of one (``OMIPAY``), or a function, sync or async, that finds it for
    a request. See ``AsyncOmipay.receive_notification`` for what the handler may rely on. The raw bytes are passed on;
    bodies over 64 KiB are answered 413 and FAIL before they are read whole.

    Raises ``InvalidRequest`` for a handler that cannot be called, ``ConfigurationError`` for any other first argument.
    """
    checked_handler(handler)
    find = _finder(omipay)

    async def notify(request: web.Request) -> web.Response:
        session = await asgi.made(find, request)
        try:
            body = await asgi.read(request.content.iter_any(), request.headers.get("Content-Length"))
        except asgi.BodyTooLarge:
            return _closing(asgi.too_long())
        except (web.RequestPayloadError, ConnectionError):
            return _closing(asgi.cut_off())
        return _response(await session.receive_notification(body, handler))

    return notify


def _finder(omipay: Any) -> Callable[[web.Request], Any]:
    if isinstance(omipay, web.AppKey):
        return lambda request: _kept(request, omipay)
    if hasattr(omipay, "receive_notification"):
        return lambda _: omipay
    if not callable(omipay):
        message = "omipay must be a session, the AppKey of one, or a function that finds it for a request"
        raise ConfigurationError(message)
    return omipay  # type: ignore[no-any-return]  # looked at above


def _kept(request: web.Request, key: web.AppKey[AsyncOmipay]) -> AsyncOmipay:
    if key not in request.config_dict:
        message = f"app[{key!r}] is missing: app.cleanup_ctx.append(session_context(factory)) keeps a session there"
        raise ConfigurationError(message)
    return request.config_dict[key]


def _response(reply: NotificationReply) -> web.Response:
    return web.Response(status=reply.status, body=reply.body, headers=reply.headers)


def _closing(reply: NotificationReply) -> web.Response:
    response = _response(reply)
    response.force_close()
    return response
