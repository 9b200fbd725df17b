"""FastAPI: the notify_url as a router, the session for the life of the app, the session as a dependency.

    app = FastAPI(lifespan=lifespan(AsyncOmipay.from_env))
    app.include_router(notification_route(get_omipay, fulfil))

    @app.post("/orders")
    async def order(omipay: OmipayDep): ...

Needs the extra ``fastapi``.
"""
# No `from __future__ import annotations`: FastAPI reads the signatures below, and one of them is made at run time.

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, get_args, get_origin

try:
    from fastapi import APIRouter, Depends, FastAPI, Request, Response
    from fastapi.requests import HTTPConnection
    from starlette.requests import ClientDisconnect
except ImportError:
    message = 'omipay_async.fastapi needs FastAPI: pip install "omipay-async[fastapi]"'
    raise ImportError(message) from None

from . import asgi
from .errors import ConfigurationError
from .fulfilment.guard import checked_handler
from .models import Order
from .protocol.notifications import NotificationReply
from .session import AsyncOmipay

__all__ = ["OmipayDep", "get_omipay", "lifespan", "notification_route"]


def lifespan(
    factory: Callable[[], AsyncOmipay | Awaitable[AsyncOmipay]],
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """A lifespan that keeps the session ``factory()`` returns on ``app.state.omipay``, and closes it at the end.

    ``factory`` is sync or async, ``AsyncOmipay.from_env`` for one. Within a lifespan of your own:
    ``async with lifespan(factory)(app): yield``.
    """

    @contextlib.asynccontextmanager
    async def context(app: FastAPI) -> AsyncIterator[None]:
        async with await asgi.made(factory) as omipay:
            app.state.omipay = omipay
            try:
                yield
            finally:
                del app.state.omipay

    return context


async def get_omipay(connection: HTTPConnection) -> AsyncOmipay:
    """The dependency behind ``OmipayDep``: the session on ``app.state.omipay``, for requests and WebSockets.

    Raises ``ConfigurationError`` where nobody put one there.
    """
    omipay = getattr(connection.app.state, "omipay", None)
    if omipay is None:
        message = "app.state.omipay is missing: FastAPI(lifespan=omipay_async.fastapi.lifespan(factory)) keeps it there"
        raise ConfigurationError(message)
    return omipay  # type: ignore[no-any-return]  # a state holds anything


OmipayDep = Annotated[AsyncOmipay, Depends(get_omipay)]
"""For the signature of an endpoint: ``async def pay(omipay: OmipayDep): ...``"""


def notification_route(
    omipay_or_dependency: AsyncOmipay | Callable[..., Any],
    handler: Callable[[Order], Awaitable[object]],
    path: str = "/omipay/notify",
) -> APIRouter:
    """A router whose ``POST path`` is a notify_url: it confirms, runs ``await handler(order)`` once, answers. CN 3.9.

    The first argument is a session, or a FastAPI dependency that returns one: ``get_omipay``, ``OmipayDep``, your own.
    See ``AsyncOmipay.receive_notification`` for what the handler may rely on. The raw bytes are passed on; bodies over
    64 KiB are answered 413 and FAIL before they are read whole.

    Raises ``InvalidRequest`` for a handler that cannot be called, ``ConfigurationError`` for any other first argument.
    """
    checked_handler(handler)
    dependency = _dependency(omipay_or_dependency)
    router = APIRouter()

    @router.post(path, include_in_schema=False)
    async def notify(request: Request, omipay: Annotated[Any, Depends(dependency)]) -> Response:
        try:
            body = await asgi.read(request.stream(), request.headers.get("content-length"))
        except asgi.BodyTooLarge:
            return _response(asgi.too_long(), request)
        except ClientDisconnect:
            return _response(asgi.cut_off(), request)
        return _response(await omipay.receive_notification(body, handler))

    return router


def _response(reply: NotificationReply, unread: Request | None = None) -> Response:
    response = Response(reply.body, reply.status, dict(reply.headers))
    if unread is not None and unread.scope["http_version"].startswith("1"):
        response.headers["Connection"] = "close"  # or the server goes on receiving what nobody reads
    return response


def _dependency(omipay: Any) -> Callable[..., Any]:
    if get_origin(omipay) is Annotated:
        omipay = next((part.dependency for part in get_args(omipay) if hasattr(part, "dependency")), None)
    elif hasattr(omipay, "receive_notification"):
        return _always(omipay)
    if not callable(omipay):
        message = "omipay_or_dependency must be a session or a FastAPI dependency that returns one"
        raise ConfigurationError(message)
    return omipay  # type: ignore[no-any-return]  # looked at above


def _always(omipay: Any) -> Callable[[], Awaitable[Any]]:
    async def session() -> Any:  # async, or FastAPI asks for it in a thread
        return omipay

    return session
