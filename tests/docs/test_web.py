"""The programs of the page on web frameworks, run as printed: an order is made, paid, notified and fulfilled."""

from __future__ import annotations

import importlib
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import test_utils

from omipay_async import AsyncOmipay
from omipay_async.asgi import get_omipay, notification_app, session_app
from omipay_async.sandbox import Sandbox
from omipay_async.testing import ManualClock
from tests.support.asgi_server import Client, Server
from tests.support.markdown import DOCS, blocks, save_files
from tests.support.raw_http import Handler, Session
from tests.support.untyped import untyped

from .programs import needs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator
    from pathlib import Path

    Post = Callable[[str, bytes], Awaitable[tuple[int, bytes]]]

PAGE = DOCS / "web.md"
ASGI = {"fastapi": "fastapi_app", "starlette": "starlette_app", "litestar": "litestar_app", "quart": "quart_app"}
OF_DEV_WEB = ("litestar", "quart")


def each(frameworks: Iterable[str]) -> list[Any]:
    """The frameworks as parameters of a test. Some of them may not be here."""
    return [pytest.param(name, marks=needs(name)) if name in OF_DEV_WEB else name for name in frameworks]


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A gateway in memory, which ``AsyncOmipay.from_env()`` leads to."""
    sandbox = Sandbox(clock=ManualClock(auto=True), seed=1)

    def from_env(**options: Any) -> AsyncOmipay:
        return sandbox.session(notify_url="http://shop.test/omipay/notify", **options)

    monkeypatch.setattr(AsyncOmipay, "from_env", from_env)
    return sandbox


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The page's modules, saved as a reader saves them."""
    names = {path.stem for path in save_files(PAGE, tmp_path)}
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("shop")
    for name in names:
        sys.modules.pop(name, None)


async def sell(post: Post, sandbox: Sandbox, shop: Any, notify: tuple[str, ...]) -> None:
    """Make an order, let the customer pay, and let the gateway notify: forged once, then by each address."""
    status, body = await post("/orders/A-1", b"")
    assert status in {200, 201}, body
    assert json.loads(body)["qrcode"]
    (order,) = sandbox.ledger.orders.values()
    assert (await post(notify[0], sandbox.notification(order.order_no)))[0] == 409  # not paid
    await sandbox.customer.pays(order.order_no)
    for path in notify:
        answered = await post(path, sandbox.notification(order.order_no))
        assert (answered[0], json.loads(answered[1])) == (200, {"return_code": "SUCCESS"})
    assert shop.fulfilled == ["A-1"]


def posting(app: Any) -> Post:
    """Requests to an ASGI app."""

    async def post(path: str, body: bytes) -> tuple[int, bytes]:
        client = Client(app, **HTTP)
        return await client.post(body, path=path, raw_path=path.encode(), headers=headers(body)), client.body

    return post


HTTP: dict[str, Any] = {"query_string": b"", "root_path": "", "scheme": "http", "server": ("shop.test", 80)}
HTTP |= {"client": ("127.0.0.1", 1), "asgi": {"version": "3.0"}}


def headers(body: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"shop.test"), (b"content-length", str(len(body)).encode())]


BOTH = ("/omipay/notify", "/omipay/notify/")


@pytest.mark.parametrize("framework", each(ASGI))
async def test_the_program_sells(framework: str, sandbox: Sandbox, shop: Any) -> None:
    """The session is there from the start to the end, and the notify_url answers with and without a slash."""
    app = importlib.import_module(ASGI[framework]).app
    async with sandbox, Server(app, {}):
        await sell(posting(app), sandbox, shop, BOTH)


@pytest.fixture
def django_views(shop: Any) -> Iterator[Any]:
    """Django, set up for the page's views: once in a process."""
    django: Any = importlib.import_module("django")
    from django.conf import settings
    from django.urls import clear_url_caches, path

    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["shop.test"], ROOT_URLCONF="tests.docs.urls", MIDDLEWARE=[CSRF], LOGGING={})
        django.setup()
    views = importlib.import_module("django_views")
    urls = type(sys)("tests.docs.urls")
    untyped(urls).urlpatterns = [path("orders/<number>", views.order), path("view/notify", views.notify)]
    sys.modules["tests.docs.urls"] = urls
    clear_url_caches()
    yield views
    del sys.modules["tests.docs.urls"]
    clear_url_caches()


CSRF = "django.middleware.csrf.CsrfViewMiddleware"


@needs("django")
async def test_the_program_sells_in_django(sandbox: Sandbox, shop: Any, django_views: Any) -> None:
    """With CSRF protection on; by the route before Django, and by a view."""
    app = importlib.import_module("django_asgi").application
    async with sandbox, Server(app, {}) as server:
        await sell(posting(app), sandbox, shop, (*BOTH, "/view/notify"))
        assert server.said == ["lifespan.startup.complete"]


async def test_the_program_sells_in_aiohttp(sandbox: Sandbox, shop: Any) -> None:
    """Over a socket."""
    app = importlib.import_module("aiohttp_app").app
    async with sandbox, test_utils.TestClient(test_utils.TestServer(app)) as client:

        async def post(path: str, body: bytes) -> tuple[int, bytes]:
            async with client.post(path, data=body) as answered:
                return answered.status, await answered.read()

        await sell(post, sandbox, shop, ("/omipay/notify",))


def test_every_program_of_the_page_is_run() -> None:
    """Each printed program is known to a test."""
    files = {block.file for block in blocks(PAGE)}
    known = {f"{name}.py" for name in [*ASGI.values(), "shop", "aiohttp_app", "django_asgi", "django_views"]}
    assert files == known


# -- within the frameworks' own routes --------------------------------------------------------------------------------


async def test_starlette_takes_it_as_a_route(shop: Any) -> None:
    """``Route``, as the page says; ``Mount`` would redirect."""
    from starlette.applications import Starlette
    from starlette.routing import Mount, Route

    session: Any = Session()
    notify = notification_app(session, Handler())
    post = posting(Starlette(routes=[Route("/omipay/notify", notify, methods=["POST"]), Mount("/mounted", notify)]))
    assert (await post("/omipay/notify", b"{}"))[0] == 200
    assert (await post("/mounted", b"{}"))[0] == 307


@needs("litestar")
async def test_litestar_takes_it_as_a_route() -> None:
    """As the page says."""
    from litestar import Litestar, asgi

    session: Any = Session()
    notify: Any = notification_app(get_omipay, Handler())
    mounted = asgi("/omipay/notify", copy_scope=True)(notify.__call__)
    app = session_app(Litestar([mounted]), lambda: session)
    async with Server(app, {}):
        for path in BOTH:
            assert (await posting(app)(path, b"{}"))[0] == 200
    assert (session.bodies, session.closed) == ([b"{}"] * 2, 1)


@pytest.mark.parametrize("framework", each(["starlette", "litestar", "quart"]))
async def test_a_middleware_that_keeps_the_body_does_no_harm(framework: str) -> None:
    """A request class of the framework reads the body before a view of the user's own passes it on."""
    session: Any = Session()
    app = await WITH_READERS[framework](session)
    async with Server(app, {}):
        assert (await posting(app)("/omipay/notify", b'{"order_no": "TR1"}'))[0] in {200, 201}
    assert session.bodies == [b'{"order_no": "TR1"}']


async def starlette_with_a_reader(session: Any) -> Any:
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.routing import Route

    async def read(request: Any, call_next: Any) -> Any:
        await request.json()
        return await call_next(request)

    route = Route("/omipay/notify", notification_app(session, Handler()), methods=["POST"])
    return Starlette(routes=[route], middleware=[Middleware(BaseHTTPMiddleware, dispatch=read)])


async def litestar_with_a_reader(session: Any) -> Any:
    from litestar import Litestar, Request, post

    def reader(app: Any) -> Any:
        async def middleware(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                await Request[Any, Any, Any](scope, receive).body()
            await app(scope, receive, send)

        return middleware

    async def notify(request: Request[Any, Any, Any]) -> dict[str, Any]:
        reply = await session.receive_notification(await request.body(), Handler())
        return dict(json.loads(reply.body))

    return Litestar([post("/omipay/notify")(notify)], middleware=[reader])


async def quart_with_a_reader(session: Any) -> Any:
    quart: Any = importlib.import_module("quart")
    app = quart.Quart("shop")

    async def read() -> None:
        await quart.request.get_data()

    async def notify() -> Any:
        reply = await session.receive_notification(await quart.request.get_data(), Handler())
        return reply.body, reply.status, dict(reply.headers)

    app.before_request(read)
    app.post("/omipay/notify")(notify)
    return app


WITH_READERS: Any = {
    "starlette": starlette_with_a_reader,
    "litestar": litestar_with_a_reader,
    "quart": quart_with_a_reader,
}


@needs("quart")
async def test_quart_keeps_the_session_beside_its_own_state() -> None:
    """With a before_serving hook of the user's, which runs while the session is open."""
    quart: Any = importlib.import_module("quart")
    session: Any = Session()
    app = quart.Quart("shop")
    app.asgi_app = session_app(app.asgi_app, lambda: session)
    opened: list[int] = []

    async def before() -> None:
        opened.append(session.opened)

    app.before_serving(before)
    async with Server(app, {}):
        pass
    assert (opened, session.closed) == ([1], 1)
