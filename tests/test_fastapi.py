"""The FastAPI adapter: where its session comes from, which paths it answers, and bodies that were read before."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Any, cast

import fastapi
import pydantic
import pytest
from fastapi.testclient import TestClient
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount

from omipay_async import AsyncOmipay, Order, OrderStatus
from omipay_async.asgi import session_app
from omipay_async.errors import ConfigurationError
from omipay_async.fastapi import OmipayDep, get_omipay, lifespan, notification_route, omipay_dep

from .support.raw_http import SUCCESS, Handler, Session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


# -- where the session comes from -----------------------------------------------------------------------------------


async def found() -> Session:
    """A dependency that a user has written."""
    return FOUND


FOUND = Session()


@pytest.mark.parametrize(
    "dependency",
    [found, lambda: FOUND, Annotated[Any, fastapi.Depends(found)], fastapi.Depends(found), FOUND],
    ids=["function", "lambda", "annotated", "depends", "session"],
)
def test_the_session_may_come_from_a_dependency(dependency: Any, handler: Handler) -> None:
    """It may be a sync or async function, in ``Depends`` or an annotation, or the session itself."""
    FOUND.bodies.clear()
    app = fastapi.FastAPI()
    app.include_router(notification_route(dependency, handler, "/paid"))
    with TestClient(app) as client:
        assert client.post("/paid", content=b"{}").content == SUCCESS
    assert FOUND.bodies == [b"{}"]


def make(session: Session) -> Session:
    return session


async def make_later(session: Session) -> Session:
    return session


@pytest.mark.parametrize("make", [make, make_later])
@pytest.mark.parametrize("dependency", [get_omipay, OmipayDep])
def test_the_lifespan_keeps_the_session_and_closes_it(
    session: Session, handler: Handler, make: Any, dependency: Any
) -> None:
    """It is opened once, found by endpoints, WebSockets and the notification route, and closed when the app ends."""
    app = fastapi.FastAPI(lifespan=lifespan(lambda: make(session)))
    app.include_router(notification_route(dependency, handler))

    @app.get("/")
    async def endpoint(omipay: OmipayDep) -> dict[str, bool]:
        return {"same": cast("object", omipay) is session}

    @app.websocket("/socket")
    async def socket(websocket: fastapi.WebSocket, omipay: OmipayDep) -> None:
        await websocket.accept()
        await websocket.send_json(cast("object", omipay) is session)
        await websocket.close()

    with TestClient(app) as client:
        assert (session.opened, session.closed) == (1, 0)
        assert client.get("/").json() == {"same": True}
        assert client.post("/omipay/notify", content=b"{}").content == SUCCESS
        with client.websocket_connect("/socket") as connection:
            assert connection.receive_json() is True
    assert (session.opened, session.closed) == (1, 1)
    assert not hasattr(app.state, "omipay")


class Shown(pydantic.BaseModel):
    """What an endpoint shows of an order."""

    model_config = pydantic.ConfigDict(from_attributes=True)
    order_no: str
    status: OrderStatus | str
    amount: int


def test_an_endpoint_can_return_an_order_by_way_of_a_model_that_reads_attributes() -> None:
    """The guides do so."""
    app = fastapi.FastAPI()
    order = Order(order_no="TR1", status=OrderStatus.PAID, out_order_no=None, currency="AUD", amount=450)

    @app.get("/", response_model=Shown)
    async def endpoint() -> Order:
        return order

    assert TestClient(app).get("/").json() == {"order_no": "TR1", "status": "PAID", "amount": 450}


def keeping(session: Any, name: str = "omipay") -> Any:
    """The lifespan for a session that the test inspects."""
    return lifespan(lambda: session, name)


PerthDep = Annotated[Any, omipay_dep("perth").__metadata__[0]]


def test_several_merchants_in_one_app(session: Session, handler: Handler) -> None:
    """Each has its own name and its own dependency."""
    perth = Session()

    @contextlib.asynccontextmanager
    async def both(app: fastapi.FastAPI) -> AsyncIterator[None]:
        async with keeping(session)(app), keeping(perth, name="perth")(app):
            yield

    app = fastapi.FastAPI(lifespan=both)
    app.include_router(notification_route(OmipayDep, handler))
    app.include_router(notification_route(omipay_dep("perth"), handler, "/perth/notify"))

    @app.get("/")
    async def endpoint(sydney: OmipayDep, omipay: PerthDep) -> list[bool]:
        return [cast("object", sydney) is session, omipay is perth]

    with TestClient(app) as client:
        assert client.get("/").json() == [True, True]
        client.post("/omipay/notify", content=b"sydney")
        client.post("/perth/notify", content=b"perth")
    assert (session.bodies, perth.bodies) == ([b"sydney"], [b"perth"])
    assert (session.closed, perth.closed) == (1, 1)


@pytest.mark.parametrize("name", ["omipay", "perth"])
def test_a_second_session_under_one_name_is_refused_at_the_start(session: Session, name: str) -> None:
    """It would get the first merchant's notifications. The first session is closed, the second never made."""
    second = Session()

    @contextlib.asynccontextmanager
    async def both(app: fastapi.FastAPI) -> AsyncIterator[None]:
        async with keeping(session, name)(app), keeping(second, name)(app):
            yield

    with pytest.raises(ConfigurationError, match=f"app.state.{name}"), TestClient(fastapi.FastAPI(lifespan=both)):
        raise AssertionError("it started")
    assert (session.closed, second.opened) == (1, 0)


def test_an_app_may_start_again(session: Session) -> None:
    """Nothing is left of the first run."""
    app = fastapi.FastAPI(lifespan=keeping(session))
    for _ in range(2):
        with TestClient(app):
            pass
    assert (session.opened, session.closed) == (2, 2)


def test_mounted_applications_find_their_parents_session(session: Session, handler: Handler) -> None:
    """That holds at any depth and with routers. An application that has its own session keeps it."""
    parent, child, grandchild, other = (fastapi.FastAPI() for _ in range(4))
    parent.router.lifespan_context = cast("Any", keeping(session))
    own = Session()
    other.state.omipay = own
    for app in (child, grandchild, other):
        app.include_router(notification_route(OmipayDep, handler))
    child.mount("/grandchild", grandchild)
    parent.mount("/child", child)
    parent.router.routes.append(Mount("/group", routes=[Mount("/other", app=other)]))
    with TestClient(parent) as client:
        assert client.post("/child/omipay/notify", content=b"1").content == SUCCESS
        assert client.post("/child/grandchild/omipay/notify", content=b"2").content == SUCCESS
        assert client.post("/group/other/omipay/notify", content=b"3").content == SUCCESS
    assert (session.bodies, own.bodies) == ([b"1", b"2"], [b"3"])
    assert not hasattr(grandchild.state, "omipay")


def test_an_application_may_be_mounted_at_several_paths(session: Session, handler: Handler) -> None:
    """It finds the session at each of them, and its parent ends without an error."""
    parent, child = fastapi.FastAPI(lifespan=keeping(session)), fastapi.FastAPI()
    child.include_router(notification_route(OmipayDep, handler))
    for path in ("/sydney", "/perth"):
        parent.mount(path, child)
    with TestClient(parent) as client:
        assert client.post("/sydney/omipay/notify", content=b"1").content == SUCCESS
        assert client.post("/perth/omipay/notify", content=b"2").content == SUCCESS
    assert session.closed == 1


def test_a_lifespan_without_its_factory_says_how_it_is_written() -> None:
    """FastAPI calls it with the application."""
    app = fastapi.FastAPI(lifespan=cast("Any", lifespan))
    with pytest.raises(ConfigurationError, match=r"write FastAPI\(lifespan=lifespan\(AsyncOmipay"), TestClient(app):
        pass


def test_a_session_in_place_of_the_function_that_makes_it_is_named(session: Any) -> None:
    """The session would be closed when the app ends, and could not be opened for the next start."""
    with pytest.raises(ConfigurationError, match="factory must be a function"):
        TestClient(fastapi.FastAPI(lifespan=lifespan(session))).__enter__()


@pytest.mark.parametrize("where", ["lifespan", "dependency"])
def test_a_function_that_returns_nothing_is_named(handler: Handler, where: str) -> None:
    """A ``return`` was forgotten."""

    def nothing() -> Any: ...

    app = fastapi.FastAPI(lifespan=lifespan(nothing) if where == "lifespan" else None)
    app.include_router(notification_route(nothing, handler))
    with pytest.raises(ConfigurationError, match="returned None"), TestClient(app) as client:
        client.post("/omipay/notify", content=b"{}")


def wrapped(parent: fastapi.FastAPI, child: fastapi.FastAPI) -> None:
    parent.mount("/child", CORSMiddleware(child))


def with_middleware(parent: fastapi.FastAPI, child: fastapi.FastAPI) -> None:
    parent.router.routes.append(Mount("/child", child, middleware=[Middleware(GZipMiddleware)]))


def in_an_included_router(parent: fastapi.FastAPI, child: fastapi.FastAPI) -> None:
    router = fastapi.APIRouter()
    router.routes.append(Mount("/child", child))
    before = len(parent.routes)
    parent.include_router(router)
    if len(parent.routes) == before:  # older versions leave out what an included router mounts
        parent.router.routes.append(Mount("", router))


@pytest.mark.parametrize("late", [False, True], ids=["before the start", "after the start"])
@pytest.mark.parametrize("mount", [wrapped, with_middleware, in_an_included_router])
def test_a_mounted_application_finds_the_session_behind_whatever_is_around_it(
    session: Session, handler: Handler, mount: Callable[[fastapi.FastAPI, fastapi.FastAPI], None], *, late: bool
) -> None:
    """A request shows the router of the outermost application, whose session it is; nothing is left at the end."""
    parent, child = fastapi.FastAPI(lifespan=keeping(session)), fastapi.FastAPI()
    child.include_router(notification_route(OmipayDep, handler))
    if not late:
        mount(parent, child)
    with TestClient(parent) as client:
        if late:
            mount(parent, child)
        assert client.post("/child/omipay/notify", content=b"1").content == SUCCESS
    with pytest.raises(ConfigurationError, match="missing"):
        TestClient(parent).post("/child/omipay/notify", content=b"2")
    assert session.bodies == [b"1"]


def test_the_session_of_an_asgi_wrapper_is_found(session: Any, handler: Handler) -> None:
    """``omipay_async.asgi.session_app`` keeps it in the scope."""
    app = fastapi.FastAPI()
    app.include_router(notification_route(OmipayDep, handler))
    with TestClient(session_app(app, lambda: session)) as client:
        assert client.post("/omipay/notify", content=b"{}").content == SUCCESS
    assert session.closed == 1


@pytest.mark.parametrize("path", ["/omipay/notify", "/omipay/notify/"])
@pytest.mark.parametrize("asked", ["/omipay/notify", "/omipay/notify/"])
def test_a_slash_at_the_end_causes_no_redirect(session: Any, handler: Handler, path: str, asked: str) -> None:
    """FastAPI would answer 307, and the notification would be lost."""
    app = fastapi.FastAPI()
    app.include_router(notification_route(session, handler, path))
    with TestClient(app, follow_redirects=False) as client:
        assert client.post(asked, content=b"{}").status_code == 200


def test_the_root_may_be_the_path(session: Any, handler: Handler) -> None:
    """The application is mounted only for this route."""
    app = fastapi.FastAPI()
    app.include_router(notification_route(session, handler, "/"))
    with TestClient(app) as client:
        assert client.post("/", content=b"{}").status_code == 200


@pytest.mark.parametrize("name", ["my shop", "", None])
def test_a_name_must_be_an_identifier(name: Any) -> None:
    """The name becomes that of an attribute."""
    with pytest.raises(ConfigurationError, match="name"):
        lifespan(cast("Any", Session), name)
    with pytest.raises(ConfigurationError, match="name"):
        omipay_dep(name)


def test_a_notification_is_posted(session: Any, handler: Handler) -> None:
    """GET is answered with 405, and the API's documentation does not contain the path."""
    app = fastapi.FastAPI()
    app.include_router(notification_route(session, handler))
    with TestClient(app) as client:
        assert client.get("/omipay/notify").status_code == 405
        assert "/omipay/notify" not in client.get("/openapi.json").text
    assert session.bodies == []


# -- bodies that somebody has read already ----------------------------------------------------------------------------


async def reads_body(request: fastapi.Request) -> None:
    await request.body()


async def reads_json(request: fastapi.Request) -> None:
    await request.json()


async def drains(request: fastapi.Request) -> None:
    async for _ in request.stream():
        pass


@pytest.mark.parametrize(("reader", "status"), [(reads_body, 200), (reads_json, 200), (drains, 500)])
@pytest.mark.parametrize("where", ["dependency", "middleware"])
def test_a_body_that_was_read_already_is_taken_from_where_it_is_kept(
    caplog: pytest.LogCaptureFixture, reader: Any, status: int, where: str
) -> None:
    """If Starlette has not kept it, the error describes what to do, and the body does not count as forged."""
    session: Any = Session()
    app = fastapi.FastAPI(dependencies=[fastapi.Depends(reader)] if where == "dependency" else [])
    if where == "middleware":

        @app.middleware("http")
        async def middleware(request: fastapi.Request, call_next: Any) -> Any:
            await reader(request)
            return await call_next(request)

    app.include_router(notification_route(session, Handler()))
    with TestClient(app) as client:
        answered = client.post("/omipay/notify", content=b'{"order_no": "TR1"}')
    assert (answered.status_code, session.bodies) == (status, [b'{"order_no": "TR1"}'] if status == 200 else [])
    assert ("middleware" in caplog.text) is (status == 500)


def test_a_forgotten_lifespan_is_named(handler: Handler) -> None:
    """The error contains what to write."""
    app = fastapi.FastAPI()
    app.include_router(notification_route(get_omipay, handler))
    with TestClient(app) as client, pytest.raises(ConfigurationError, match="lifespan"):
        client.post("/omipay/notify", content=b"{}")


@pytest.mark.parametrize("wrong", [None, "session", Annotated[Any, "no dependency"], AsyncOmipay, AsyncOmipay.from_env])
def test_what_is_neither_session_nor_dependency_is_rejected_when_the_app_is_made(wrong: Any, handler: Handler) -> None:
    """The error does not wait for the first notification."""
    with pytest.raises(ConfigurationError, match="omipay_or_dependency"):
        notification_route(wrong, handler)


@pytest.mark.parametrize("path", ["omipay/notify", " /omipay/notify", None, 5])
def test_a_path_that_no_request_can_have_is_rejected_when_the_app_is_made(
    session: Any, handler: Handler, path: Any
) -> None:
    """Each notification to it would be answered 404."""
    with pytest.raises(ConfigurationError, match="path must begin with a slash"):
        notification_route(session, handler, path)
