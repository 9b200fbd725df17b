"""A served sandbox and a merchant's shop on real ports, in an event loop of their own beside the browser's test."""
# No `from __future__ import annotations`: FastAPI reads the signatures of the shop's endpoints.

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import attrs
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from omipay_async import AsyncOmipay, Currency, Language, Order, Platform
from omipay_async.fastapi import OmipayDep, get_omipay, lifespan, notification_route
from omipay_async.sandbox import Sandbox
from omipay_async.sandbox.server import serve

P = ParamSpec("P")
T = TypeVar("T")


@attrs.define
class Shop:
    """A merchant's whole program: a page that sells, a page that thanks, and a notify_url that fulfils."""

    app: FastAPI
    fulfilled: list[Order]
    thanked: list[float]
    """How long each visitor of the page that thanks had to wait, in seconds."""


def shop(factory: Callable[[], AsyncOmipay]) -> Shop:
    """The program, as its README would have it."""
    app = FastAPI(lifespan=lifespan(factory))
    fulfilled: list[Order] = []
    thanked: list[float] = []

    async def fulfil(order: Order) -> None:
        fulfilled.append(order)

    app.include_router(notification_route(get_omipay, fulfil))

    @app.get("/buy")
    async def buy(omipay: OmipayDep, request: Request, name: str = "Flat white") -> RedirectResponse:
        order = await omipay.make_qr_order(
            order_name=name,
            amount=450,
            currency=Currency.AUD,
            out_order_no="T1-000231",
            platform=Platform.ALIPAY,
            notify_url=f"{request.base_url}omipay/notify",
        )
        return RedirectResponse(omipay.pay_page_url(order, redirect_url=f"{request.base_url}thanks"), 303)

    @app.get("/thanks")
    async def thanks(seconds: float = 0.0) -> HTMLResponse:
        thanked.append(seconds)
        await asyncio.sleep(seconds)
        return HTMLResponse("<!doctype html><title>Shop</title><h1>Thank you</h1>")

    return Shop(app, fulfilled, thanked)


@attrs.define
class BrowserEnv:
    """What runs beside the browser. ``gateway`` and ``shop_url`` are the addresses, without a path."""

    portal: BlockingPortal
    sandbox: Sandbox
    omipay: AsyncOmipay
    gateway: str
    shop_url: str
    fulfilled: list[Order]
    thanked: list[float]

    @property
    def thanks(self) -> str:
        """The shop's page after payment."""
        return f"{self.shop_url}/thanks"

    @property
    def buy(self) -> str:
        """The shop's page that makes an order and sends the browser on to pay it."""
        return f"{self.shop_url}/buy"

    def do(self, act: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Await ``act(...)`` in the loop of the servers."""
        return self.portal.call(functools.partial(act, *args, **kwargs))

    def order(
        self, endpoint: str, out_order_no: str = "T1-000231", *, omipay: AsyncOmipay | None = None, **fields: Any
    ) -> Any:
        """Make an order through the shop's session, or another one: ``endpoint`` is the method's name."""
        needed = {"order_name": "Flat white", "amount": 450, "currency": Currency.AUD, "out_order_no": out_order_no}
        return self.do(getattr(omipay or self.omipay, endpoint), **{**needed, **fields})

    def status(self, order_no: str) -> str:
        """The status of an order at the gateway."""
        return self.sandbox.ledger.orders[order_no].status

    def only_order(self) -> str:
        """The number of the only order that there is."""
        (order_no,) = self.sandbox.ledger.orders
        return order_no


class ReplaceableApp:
    """A port's ASGI app, behind which each test puts its own: a server takes longer to stop than most tests take."""

    app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


@attrs.define
class Ports:
    """An event loop in a thread, and two real ports."""

    portal: BlockingPortal
    gateway: ReplaceableApp
    shop: ReplaceableApp
    gateway_url: str
    shop_url: str


@contextlib.contextmanager
def ports() -> Iterator[Ports]:
    """The ports, without apps behind them yet."""
    gateway, shop = ReplaceableApp(), ReplaceableApp()
    with contextlib.ExitStack() as stack:
        portal = stack.enter_context(start_blocking_portal())
        urls = [
            stack.enter_context(portal.wrap_async_context_manager(serve(app, "127.0.0.1", 0)))
            for app in (gateway, shop)
        ]
        yield Ports(portal, gateway, shop, *(url.removesuffix("/omipay/api") for url in urls))


@contextlib.contextmanager
def opened(ports: Ports, language: Language = Language.EN, **options: Any) -> Iterator[BrowserEnv]:
    """A gateway and a shop, which speaks ``language`` with it; ``options`` are those of the sandbox."""
    sandbox = Sandbox(**options)
    merchant = sandbox.merchant
    program = shop(
        lambda: AsyncOmipay(
            merchant.m_number, merchant.secret_key, base_url=f"{ports.gateway_url}/omipay/api", language=language
        )
    )
    ports.gateway.app, ports.shop.app = sandbox, program.app
    lifespan_of_shop = program.app.router.lifespan_context(program.app)
    with (
        ports.portal.wrap_async_context_manager(sandbox),
        ports.portal.wrap_async_context_manager(lifespan_of_shop),
    ):
        yield BrowserEnv(
            portal=ports.portal,
            sandbox=sandbox,
            omipay=program.app.state.omipay,
            gateway=ports.gateway_url,
            shop_url=ports.shop_url,
            fulfilled=program.fulfilled,
            thanked=program.thanked,
        )
