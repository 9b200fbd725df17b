"""The sandbox itself: the gateway that Omipay does not offer, as one object and as an ASGI app."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Self

from omipay_async.codes import OrderStatus, RefundStatus

from .clock import WallClock
from .customer import Customer
from .faults import Faults
from .gateway import Gateway
from .ledger import Ledger
from .merchants import TOY_M_NUMBER, TOY_SECRET_KEY, Merchant
from .notifier import Notifier, Signer
from .replies import encode
from .web import app

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    import httpx

    from omipay_async import AsyncOmipay

    from .clock import Clock
    from .notifier import ASGIApp


class Sandbox:
    """A whole Omipay gateway in memory: an ASGI app with every endpoint of the documents.

    ``clock`` is where its time comes from (None: the machine's), ``seed`` makes its numbers, nonces and faults the same
    in each run. Notifications go to each order's ``notify_url``: over HTTP, or into ``app``, an ASGI app; the first
    ``notify_delay`` seconds after payment, the others ``notify_interval`` seconds apart; ``notify_same_signature`` lets
    repeats carry the nonce and timestamp of the first. ``oddities`` writes every reply as odd as real ones have been.
    ``repeat_finds_order=False`` charges again when a scan order's ``out_order_no`` comes again.

    ``merchant`` holds what the merchant has registered, ``gateway.terms`` rates and limits: change them at will.
    ``ledger`` says what the gateway believes, ``faults`` lets things go wrong, ``customer`` pays or does not.
    """

    base_url = "http://sandbox.test/omipay/api"
    """The address for use in memory. Served or mounted, it answers under any host and prefix."""

    def __init__(
        self,
        m_number: str = TOY_M_NUMBER,
        secret_key: str = TOY_SECRET_KEY,
        *,
        clock: Clock | None = None,
        seed: int | str | None = None,
        app: ASGIApp | None = None,
        notify_delay: float = 0.0,
        notify_interval: float = 5.0,
        notify_same_signature: bool = False,
        oddities: bool = False,
        repeat_finds_order: bool = True,
    ) -> None:
        self._own_clock = clock
        self.clock: Clock = WallClock() if clock is None else clock
        self.merchant = Merchant(m_number, secret_key)
        self.ledger = Ledger(self.clock)
        self.gateway = Gateway(
            self.clock,
            self.ledger,
            {m_number: self.merchant},
            random.Random(seed),  # noqa: S311 - numbers of a toy; a seed is wanted
            repeat_finds_order=repeat_finds_order,
        )
        self.faults = Faults(random.Random(seed))  # noqa: S311 - likewise
        self.customer = Customer(self.ledger)
        self.notifier = Notifier(
            self.clock,
            self.ledger,
            self.faults,
            Signer(self.clock, self.gateway.nonce, lambda m_number: self.gateway.merchants[m_number].secret_key),
            app=app,
            delay=notify_delay,
            interval=notify_interval,
            same_signature=notify_same_signature,
            oddities=oddities,
        )
        self.ledger.on_paid = self.notifier.paid
        self.ledger.on_planned = self.notifier.planned
        self.oddities = oddities

    def __repr__(self) -> str:
        return f"<Sandbox of merchant {self.merchant.m_number}>"

    # -- running ----------------------------------------------------------------------------------------------------

    async def __call__(self, scope: app.Scope, receive: app.Receive, send: app.Send) -> None:
        """Answer as an ASGI app."""
        self.notifier.start()
        await app.respond(self, scope, receive, send)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Give up every notification that is not delivered yet. What the ledger says stays."""
        await self.notifier.aclose()

    def serve(self, host: str = "127.0.0.1", port: int = 0) -> AbstractAsyncContextManager[str]:
        """Serve it on a socket while the ``async with`` lasts, which yields the base URL. Port 0: any free one."""
        from .server import serve  # noqa: PLC0415 - uvicorn is wanted here alone

        return serve(self, host, port)

    def transport(self) -> httpx.AsyncBaseTransport:
        """The sandbox as a transport for httpx, without a port."""
        from .transport import SandboxTransport  # noqa: PLC0415 - importing the sandbox loads no httpx

        return SandboxTransport(self)

    def session(self, **options: Any) -> AsyncOmipay:
        """An ``AsyncOmipay`` that is wired to this sandbox in memory; ``options`` are the session's own."""
        # The one name of the client that the sandbox knows, and only here: its rules are written without the client.
        from omipay_async import AsyncOmipay  # noqa: PLC0415

        wired: dict[str, Any] = {
            "m_number": self.merchant.m_number,
            "secret_key": self.merchant.secret_key,
            "base_url": self.base_url,
        }
        if self._own_clock is not None:
            wired["clock"] = self._own_clock
        if "transport" not in options:
            options["transport"] = self.transport()
        return AsyncOmipay(**{**wired, **options})

    # -- the gateway's side -----------------------------------------------------------------------------------------

    @property
    def app(self) -> ASGIApp | None:
        """The ASGI app that receives the notifications; None: they go over HTTP."""
        return self.notifier.app

    @app.setter
    def app(self, app: ASGIApp | None) -> None:
        self.notifier.app = app

    def add_merchant(self, m_number: str, secret_key: str) -> Merchant:
        """A further merchant, whose orders the first may not see."""
        merchant = Merchant(m_number, secret_key)
        self.gateway.merchants[m_number] = merchant
        return merchant

    async def settle(self) -> None:
        """Return when every notification that was begun is delivered or given up.

        With a clock that somebody has to advance, somebody has to advance it for the tries after the first.
        """
        self.ledger.ripen()
        await self.notifier.settle()

    async def move_order(self, order_no: str, status: OrderStatus | str) -> None:
        """Let an order go to ``status``: SETTLED, once it is paid. Raises KeyError, ValueError."""
        self.ledger.move_order(self.ledger.orders[order_no], OrderStatus(status))

    async def advance_refund(self, refund_no: str, status: RefundStatus | str | None = None) -> RefundStatus:
        """Let a refund go on by one step, or to ``status`` through all that lie between. The status that it has then.

        Raises KeyError for an unknown refund, and :class:`IllegalMove` where there is no way.
        """
        refund = self.ledger.refunds[refund_no]
        self.ledger.move_refund(refund, None if status is None else RefundStatus(status))
        return refund.status

    # -- notifications for unit tests -------------------------------------------------------------------------------

    def sign_notification(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The fields with a ``nonce_str``, a ``timestamp`` and the right ``sign``: a notification for a unit test.

        A nonce, a timestamp or a signature that is among the fields stays as it is.
        """
        return self.notifier.signer.signed(self.merchant.m_number, fields)

    def notification(self, order_no: str, **changes: Any) -> bytes:
        """The body of the notification for an order, freshly and rightly signed, with some fields changed.

        Raises KeyError for an unknown order.
        """
        return encode(self.notifier.body(self.ledger.orders[order_no], changes))
