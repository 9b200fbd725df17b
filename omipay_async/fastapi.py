"""For FastAPI: the notify_url as a router, and a session for the life of the app, as a dependency of its endpoints.

    app = FastAPI(lifespan=lifespan(AsyncOmipay.from_env))
    app.include_router(notification_route(get_omipay, fulfil))

    @app.post("/orders")
    async def order(omipay: OmipayDep): ...

Needs the extra ``fastapi``.
"""
# No `from __future__ import annotations`: FastAPI evaluates the signatures below, and one is made at run time.

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, Final, cast, get_args, get_origin

try:
    from fastapi import APIRouter, Depends, FastAPI, Request, Response, params
    from fastapi.requests import HTTPConnection
    from starlette.requests import ClientDisconnect
except ImportError as error:
    message = f'omipay_async.fastapi needs FastAPI: pip install "omipay-async[fastapi]" ({error})'
    raise ImportError(message) from error

from . import options
from .asgi.bodies import BodyCutOff, BodyTaken, answer
from .asgi.common import checked_name, is_session, may_find_session, name_taken, not_none, resolve_session
from .errors import ConfigurationError
from .fulfilment.handlers import checked_handler
from .models import Order
from .session import AsyncOmipay

__all__ = ["OmipayDep", "get_omipay", "lifespan", "notification_route", "omipay_dep"]


def lifespan(
    factory: Callable[[], AsyncOmipay | Awaitable[AsyncOmipay]], name: str = "omipay"
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """A lifespan that keeps the session that ``factory()`` returns as ``app.state.<name>``, and closes it at the end.

    ``factory`` is sync or async, for example ``AsyncOmipay.from_env``. Sub-applications find it wherever they are
    mounted, and those that no middleware wraps get it on their state too. In a lifespan of your own:
    ``async with lifespan(factory)(app): yield``; with several merchants:
    ``async with lifespan(sydney, "sydney")(app), lifespan(perth, "perth")(app): yield``.

    Raises:
        ConfigurationError: ``name`` is not an identifier, or ``app.state.<name>`` is taken when the app starts.
    """
    checked_name(name)
    if isinstance(factory, FastAPI):
        raise ConfigurationError("lifespan takes a factory: write FastAPI(lifespan=lifespan(AsyncOmipay.from_env))")

    @contextlib.asynccontextmanager
    async def context(app: FastAPI) -> AsyncIterator[None]:
        if getattr(app.state, name, None) is not None:
            raise name_taken(f"app.state.{name}", "lifespan(factory, name=...)")
        async with await resolve_session(factory) as omipay:
            # A mounted app has no reference to its parent, and its own lifespan is not run.
            # It may be mounted at several paths.
            apps = dict.fromkeys([app, *(inner for inner in _mounted(app) if getattr(inner.state, name, None) is None)])
            for each in apps:
                setattr(each.state, name, omipay)
            place = id(app.router), name
            _by_router[place] = omipay
            try:
                yield
            finally:
                del _by_router[place]
                for each in apps:
                    delattr(each.state, name)

    return context


_by_router: Final[dict[tuple[int, str], AsyncOmipay]] = {}
"""The sessions that are kept now, by the identity of the application's router (it cannot be hashed) and by name.

A request that a mounted application answers has that application in its scope, and the router of the outermost one. So
a session is found behind any middleware, in what was mounted after the start, and in what an included router mounts.
"""


def _mounted(app: Any) -> Iterator[Any]:
    """The applications that are mounted in ``app``, at any depth."""
    for route in getattr(app, "routes", None) or ():
        inner = getattr(route, "app", None)
        if hasattr(inner, "state") and hasattr(inner, "routes"):
            yield inner
        if inner is not None:
            yield from _mounted(inner if hasattr(inner, "routes") else route)


def _getter(name: str) -> Callable[[HTTPConnection], Awaitable[AsyncOmipay]]:
    async def get(connection: HTTPConnection) -> AsyncOmipay:
        """The session that ``lifespan`` keeps. Raises ``ConfigurationError`` if there is none."""
        scope = connection.scope
        kept = getattr(connection.app.state, name, None) or _by_router.get((id(scope.get("router")), name))
        kept = kept or (scope.get("state") or {}).get(name)
        if kept is None:
            options = "" if name == "omipay" else f", name={name!r}"
            message = f"app.state.{name} is missing: FastAPI(lifespan=omipay_async.fastapi.lifespan(factory{options}))"
            raise ConfigurationError(f"{message} keeps the session there")
        return cast("AsyncOmipay", kept)

    return get


get_omipay: Final = _getter("omipay")
"""The dependency behind ``OmipayDep``: the session on ``app.state.omipay``, for requests and WebSockets.

It finds the session that ``lifespan`` keeps, in mounted sub-applications too, and the one that ``session_app`` of
``omipay_async.asgi`` keeps. It raises ``ConfigurationError`` if there is none.
"""

OmipayDep = Annotated[AsyncOmipay, Depends(get_omipay)]
"""For the signature of an endpoint: ``async def pay(omipay: OmipayDep): ...``"""


def omipay_dep(name: str) -> Any:
    """``OmipayDep`` for the session that ``lifespan(factory, name)`` keeps: an ``Annotated`` for signatures.

    A ``name`` that is not an identifier is a ConfigurationError.
    For a type checker write it out: ``PerthDep = Annotated[AsyncOmipay, omipay_dep("perth").__metadata__[0]]``.
    """
    return Annotated[AsyncOmipay, Depends(_getter(checked_name(name)))]


def notification_route(
    omipay_or_dependency: AsyncOmipay | Callable[..., Any],
    handler: Callable[[Order], Awaitable[object]],
    path: str = "/omipay/notify",
) -> APIRouter:
    """A router whose ``POST path`` is a notify_url: it confirms, runs ``await handler(order)`` once, answers. CN 3.9.

    The first argument is a session, or a FastAPI dependency that returns one: ``get_omipay``, ``OmipayDep``,
    ``omipay_dep("sydney")``, or your own, in ``Depends`` or not (pyright accepts ``get_omipay``, but not
    ``OmipayDep``). ``AsyncOmipay.receive_notification`` describes what the handler may rely on. The raw bytes are
    passed on; a body that its Content-Type declares as GBK is passed on in UTF-8. A body over 64 KiB is answered with
    413 and FAIL before it is read to its end. The path works with and without a slash at its end, since the gateway may
    not follow the redirect that FastAPI would answer with.

    Raises:
        InvalidRequest: ``handler`` cannot be called with the order alone.
        ConfigurationError: the first argument is something else, or ``path`` does not begin with a slash.
    """
    checked_handler(handler, "order")
    dependency = _dependency(omipay_or_dependency)
    _check_path(path)
    router = APIRouter()

    async def notify(request: Request, omipay: Annotated[Any, Depends(dependency)]) -> Response:
        answered = await answer(not_none(omipay), handler, _chunks(request), request.headers)
        return Response(answered.reply.body, answered.reply.status, answered.headers(request.scope["http_version"]))

    bare = path.rstrip("/")
    for each in dict.fromkeys((path, bare, f"{bare}/")) if bare else (path,):
        router.add_api_route(each, notify, methods=["POST"], include_in_schema=False)
    return router


def _check_path(path: object) -> None:
    if not isinstance(path, str) or path[:1] not in {"", "/"}:  # it may be empty in a router that has a prefix
        options.reject("path", "must begin with a slash, such as /omipay/notify")


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():  # what `await request.body()` has cached, if it was called
            yield chunk
    except ClientDisconnect:
        raise BodyCutOff from None
    except RuntimeError:  # the stream was read directly, or as a form: Starlette does not keep the bytes then
        raise BodyTaken from None


def _dependency(omipay: Any) -> Callable[..., Any]:
    if get_origin(omipay) is Annotated:
        omipay = next((part for part in get_args(omipay) if isinstance(part, params.Depends)), None)
    if isinstance(omipay, params.Depends):
        omipay = omipay.dependency
    elif is_session(omipay):
        return _always(omipay)
    if not may_find_session(omipay):
        message = "omipay_or_dependency must be a session or a FastAPI dependency that returns the open one: get_omipay"
        raise ConfigurationError(message)
    return cast("Callable[..., Any]", omipay)


def _always(omipay: Any) -> Callable[[], Awaitable[Any]]:
    async def session() -> Any:  # async, since FastAPI calls sync dependencies in a thread
        return omipay

    return session
