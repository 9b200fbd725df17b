"""For aiohttp.web: the notify_url as a request handler, and a session for the life of the app.

    app.cleanup_ctx.append(session_context(AsyncOmipay.from_env))
    app.router.add_post("/omipay/notify", notification_handler(OMIPAY, fulfil))

Every handler finds the session in ``request.config_dict[OMIPAY]``. Needs the extra ``aiohttp``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

try:
    from aiohttp import web
except ImportError as error:
    message = f'omipay_async.aiohttp needs aiohttp: pip install "omipay-async[aiohttp]" ({error})'
    raise ImportError(message) from error

from .asgi.bodies import BodyCutOff, answer
from .asgi.common import name_taken, resolve_session, session_finder
from .errors import ConfigurationError
from .fulfilment.handlers import checked_handler
from .session import AsyncOmipay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from .models import Order

__all__ = ["OMIPAY", "notification_handler", "session_context"]

OMIPAY: Final = web.AppKey("OMIPAY", AsyncOmipay)
"""Where ``session_context`` keeps the session: ``app[OMIPAY]``, in sub-applications ``request.config_dict[OMIPAY]``."""


def session_context(
    factory: Callable[[], AsyncOmipay | Awaitable[AsyncOmipay]], key: web.AppKey[AsyncOmipay] = OMIPAY
) -> Callable[[web.Application], AsyncIterator[None]]:
    """For ``app.cleanup_ctx``: keeps the session that ``factory()`` returns as ``app[key]``, and closes it at the end.

    ``factory`` is sync or async, for example ``AsyncOmipay.from_env``. For several merchants add a context for each,
    with its own key (``PERTH = web.AppKey("PERTH", AsyncOmipay)``). Sub-applications find the session in
    ``request.config_dict[key]``.

    Raises:
        ConfigurationError: ``key`` is not an ``AppKey``, or ``app[key]`` is taken when the app starts.
    """
    if not isinstance(key, web.AppKey):
        raise ConfigurationError("key must be an aiohttp.web.AppKey")
    if isinstance(factory, web.Application):
        raise ConfigurationError("session_context takes a factory: write session_context(AsyncOmipay.from_env)")

    async def context(app: web.Application) -> AsyncIterator[None]:
        kept = app.get(key)
        if kept is not None and not kept.is_closed:  # a closed one is from an earlier run of this app
            raise name_taken(f"app[{key!r}]", "session_context(factory, key=...)")
        async with await resolve_session(factory) as omipay:
            app[key] = omipay
            yield

    return context


def notification_handler(
    omipay: AsyncOmipay | web.AppKey[AsyncOmipay] | Callable[..., Any],
    handler: Callable[[Order], Awaitable[object]],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A handler for ``web.post(path, ...)``: it confirms, runs ``await handler(order)`` once, and answers. CN 3.9.

    The first argument is a session, its ``AppKey`` (``OMIPAY``), or a function, sync or async, that returns the session
    and gets the request if it takes an argument. ``AsyncOmipay.receive_notification`` describes what the handler may
    rely on. The raw bytes are passed on; a body that its Content-Type declares as GBK is passed on in UTF-8. A body
    over 64 KiB is answered with 413 and FAIL before it is read to its end.

    Raises:
        InvalidRequest: ``handler`` cannot be called with the order alone.
        ConfigurationError: the first argument is something else.
    """
    checked_handler(handler, "order")
    find = _finder(omipay)

    async def notify(request: web.Request) -> web.Response:
        session = await resolve_session(find, request)
        answered = await answer(session, handler, _chunks(request), request.headers)
        reply = answered.reply
        response = web.Response(status=reply.status, body=reply.body, headers=reply.headers)
        if answered.close:
            response.force_close()
        return response

    return notify


async def _chunks(request: web.Request) -> AsyncIterator[bytes]:
    try:
        if request.content.at_eof():
            yield await request.read()  # a middleware has read the body, and it is kept there
            return
        async for chunk in request.content.iter_any():
            yield chunk
    except (web.RequestPayloadError, ConnectionError):
        raise BodyCutOff from None


def _finder(omipay: Any) -> Callable[[web.Request], Any]:
    if isinstance(omipay, web.AppKey):
        return lambda request: _kept(request, omipay)
    what = "must be a session, its AppKey, or a function that returns the open session for a request"
    return session_finder("omipay", omipay, what)


def _kept(request: web.Request, key: web.AppKey[AsyncOmipay]) -> AsyncOmipay:
    if key not in request.config_dict:
        message = f"app[{key!r}] is missing: app.cleanup_ctx.append(session_context(factory)) keeps a session there"
        raise ConfigurationError(message)
    return request.config_dict[key]
