"""The sandbox without its interfaces: one object with the gateway, its ledger, its faults and its notifications."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from omipay_async.clock import SystemClock
from omipay_async.codes import OrderStatus, RefundStatus

from . import arguments
from .customer import Customer
from .faults import Faults
from .gateway import Gateway
from .ledger import Ledger
from .live import LiveStreams
from .merchants import TOY_M_NUMBER, TOY_SECRET_KEY, Merchant
from .notifications import signed
from .notifier import Notifier
from .replies import encode
from .swaps import ReplySwaps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp

    from omipay_async.clock import Clock


class SandboxCore:
    """The gateway itself. :class:`.Sandbox` adds the interfaces: ASGI, a socket, a session in memory."""

    def __init__(
        self,
        m_number: str = TOY_M_NUMBER,
        secret_key: str = TOY_SECRET_KEY,
        clock: Clock | None = None,
        *,
        seed: int | str | None = None,
        app: ASGIApp | None = None,
        notify_delay: float = 0.0,
        notify_interval: float = 5.0,
        notify_same_signature: bool = False,
        oddities: bool = False,
        repeat_finds_order: bool = True,
    ) -> None:
        self.clock: Clock = SystemClock() if clock is None else clock
        self.merchant = _merchant(m_number, secret_key)
        self.ledger = Ledger(self.clock)
        self.gateway = Gateway(
            self.clock,
            self.ledger,
            {self.merchant.m_number: self.merchant},
            random.Random(seed),
            repeat_finds_order=repeat_finds_order,
        )
        self.faults = Faults(random.Random(seed))
        self.customer = Customer(self.ledger)
        self.notifier = Notifier(
            self.gateway,
            self.faults,
            app=arguments.app(app),
            delay=arguments.number("notify_delay", notify_delay),
            interval=arguments.number("notify_interval", notify_interval),
            same_signature=notify_same_signature,
            oddities=oddities,
        )
        self.ledger.on_added = self.notifier.added
        self.ledger.on_paid = self.notifier.paid
        self.ledger.on_delayed = self.notifier.delayed
        self.oddities = oddities
        self.live = LiveStreams()
        self.swaps = ReplySwaps(self.clock)

    def __repr__(self) -> str:
        return f"<Sandbox of merchant {self.merchant.m_number}>"

    async def aclose(self) -> None:
        """Stop delivering notifications. The ledger is kept."""
        await self.notifier.aclose()

    # -- the gateway's side -----------------------------------------------------------------------------------------

    @property
    def app(self) -> ASGIApp | None:
        """The ASGI app that receives the notifications; None: they go over HTTP.

        It gets those of every order that has a ``notify_url``, whatever its host. :data:`APP_NOTIFY_URL`, which
        ``session()`` gives its orders by default, leads to ``/omipay/notify`` of the app.
        """
        return self.notifier.app

    @app.setter
    def app(self, app: ASGIApp | None) -> None:
        self.notifier.app = arguments.app(app)

    def add_merchant(self, m_number: str, secret_key: str) -> Merchant:
        """Add a merchant. Merchants do not see the orders of each other."""
        merchant = _merchant(m_number, secret_key)
        self.gateway.merchants[merchant.m_number] = merchant
        return merchant

    async def settle(self) -> None:
        """Wait until every notification that was begun is delivered, or has failed three times.

        With a ``ManualClock`` that does not advance by itself, advance it meanwhile: the second and third try wait for
        it.
        """
        self.ledger.apply_due()
        await self.notifier.settle()

    async def move_order(self, order_no: str, status: OrderStatus | str) -> None:
        """Let an order go to ``status``, such as SETTLED once it is paid.

        Raises KeyError for an unknown order, ValueError for an unknown status, and :class:`IllegalMove` if there is no
        way to it from the order's present status.
        """
        self.ledger.move_order(self.ledger.find_order(order_no), OrderStatus(status))

    async def advance_refund(self, refund_no: str, status: RefundStatus | str | None = None) -> RefundStatus:
        """Let a refund go on by one step, or step by step to ``status``. Returns the status that it has then.

        Raises KeyError for an unknown refund, ValueError for an unknown status, and :class:`IllegalMove` if there is no
        way to that status.
        """
        refund = self.ledger.find_refund(refund_no)
        self.ledger.move_refund(refund, None if status is None else RefundStatus(status))
        return refund.status

    # -- notifications for unit tests -------------------------------------------------------------------------------

    def sign_notification(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """``fields`` with a ``nonce_str``, a ``timestamp`` and the right ``sign``: a notification for a unit test.

        A nonce, a timestamp or a signature that is among ``fields`` stays as it is.
        """
        return signed(self.gateway, self.merchant.m_number, fields)

    def notification(self, order_no: str, **changes: Any) -> bytes:
        """The body of the notification for an order, with a new and valid signature.

        ``changes`` replace any of its fields but ``order_no``.

        Raises KeyError for an unknown order.
        """
        return encode(self.notifier.body(self.ledger.find_order(order_no), changes))


def _merchant(m_number: str, secret_key: str) -> Merchant:
    return Merchant(arguments.text("m_number", m_number), arguments.text("secret_key", secret_key))
