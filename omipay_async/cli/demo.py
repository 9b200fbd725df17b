"""``omipay demo``: the main job on the embedded sandbox, told as a timeline, and checked at its end.

A shop sells by QR code, hears of the payment, sells by scanning a code, and gives a part back. Its clock jumps over
every wait: right here, where nothing but the sandbox in memory is waited for.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

import attrs
from starlette.requests import Request
from starlette.responses import Response

from omipay_async.codes import Currency, Platform, RefundStatus
from omipay_async.errors import OmipayError
from omipay_async.sandbox import Fault, PaymentCode, Sandbox
from omipay_async.testing import ManualClock

from .exit_codes import Exit
from .formatting import elapsed, in_words, money, plain
from .runner import complain

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from omipay_async.models import Order
    from omipay_async.session import AsyncOmipay

    from .runner import Run

_QR_AMOUNT: Final = 1230
_SCAN_AMOUNT: Final = 450
_REFUND_AMOUNT: Final = 430
_WORTH_A_WORD_S: Final = 600.0
"""A pause that is as long as this is told in words."""
_STEP_OF_A_REFUND_S: Final = 8 * 3600.0
_MEANINGS: Final[dict[str, str]] = {
    RefundStatus.Applied: ": the refund was requested",
    RefundStatus.MerchantConfirmed: ": the shop's side agreed",
    RefundStatus.OrganizationConfirmed: ": WeChat confirmed the request",
    RefundStatus.OrganizationPayback: ": WeChat says that it has paid the money back",
    RefundStatus.Closed: ": the money has arrived",
}


@attrs.define
class Shop:
    """A merchant's program, as small as it can be, and the world that it lives in."""

    run: Run
    clock: ManualClock
    sandbox: Sandbox
    omipay: AsyncOmipay
    fulfilled: list[str] = attrs.field(factory=list)
    told: list[dict[str, Any]] = attrs.field(factory=list)
    last: float = 0.0
    """When the last line was told, on the demo's clock."""

    def tell(self, what: str) -> None:
        """One line of the timeline."""
        now = self.clock.monotonic()
        if now - self.last >= _WORTH_A_WORD_S:
            self.run.say(f"{'':>9}  ... {in_words(now - self.last)} later ...")
        self.last = now
        self.told.append({"at_s": now, "what": what})
        self.run.say(f"{elapsed(now):>9}  {what}")

    async def fulfil(self, order: Order) -> None:
        """What a merchant does once for each paid order."""
        self.fulfilled.append(order.order_no)
        self.tell(f"handler: {order.out_order_no} is paid, {money(order.amount, order.currency)}: goods are shipped")

    async def notify_url(
        self, scope: MutableMapping[str, Any], receive: Callable[..., Any], send: Callable[..., Any]
    ) -> None:
        """The merchant's own web app: it has one page, which the gateway posts notifications to."""
        body = await Request(scope, receive).body()
        reply = await self.omipay.receive_notification(body, self.fulfil)
        done = "confirmed by QueryOrder, handler ran" if reply.ran else "handler had run before, not again"
        answer = done if reply.error is None else plain(reply.error)
        self.tell(f"notification: {answer}; answered {reply.status}")
        await Response(reply.body, reply.status, dict(reply.headers))(scope, receive, send)

    # -- the acts ---------------------------------------------------------------------------------------------------

    async def sell_by_qr_code(self) -> str:
        """A customer scans the shop's code; the notification of it comes twice."""
        order = await self.omipay.make_qr_order(
            order_name="Two coffees and a cake",
            amount=_QR_AMOUNT,
            currency=Currency.AUD,
            out_order_no="WEB-1001",
            platform=Platform.WECHATPAY,
            notify_url="http://shop.test/omipay/notify",
        )
        self.tell(f"MakeQROrder: order {order.order_no}, {money(_QR_AMOUNT, 'AUD')}; its code is shown:")
        self.run.say(order.qr_terminal())
        customer = asyncio.create_task(self._customer(order.order_no, order.qrcode or ""))
        await self._paid(order)
        await customer
        await self.sandbox.settle()
        return order.order_no

    async def _customer(self, order_no: str, code: str) -> None:
        await self.clock.sleep(7)
        await self.sandbox.customer.scans(code)
        self.tell("customer: scans the code")
        await self.clock.sleep(6)
        self.tell("customer: pays")
        await self.sandbox.customer.pays(order_no)

    async def sell_by_scanning(self) -> None:
        """The till scans the customer's code, and the customer types a password first."""
        order = await self.omipay.make_scan_order(
            order_name="Flat white",
            amount=_SCAN_AMOUNT,
            currency=Currency.AUD,
            out_order_no="TILL-2001",
            qrcode=PaymentCode.PAID_AFTER_QUERIES,
            pos_no="till-1",
        )
        self.tell(f"MakeScanOrder: USERPAYING, {money(_SCAN_AMOUNT, 'AUD')}: the customer types a password")
        await self._paid(order)

    async def _paid(self, order: Any) -> None:
        paid = await self.omipay.poll_until_paid(order, on_status=lambda seen: self.tell(f"QueryOrder: {seen.status}"))
        self.tell(f"paid: {money(paid.amount, paid.currency)} as {money(paid.pay_amount, paid.pay_currency)}")

    async def give_back(self, order_no: str) -> RefundStatus | str:
        """A part goes back, in the days that this takes."""
        receipt = await self.omipay.refund(order_no=order_no, out_refund_no="R-3001", amount=_REFUND_AMOUNT)
        self.tell(f"Refund: {receipt.refund_no}, {money(_REFUND_AMOUNT, 'AUD')} of it, accepted")
        office = asyncio.create_task(self._back_office(receipt.refund_no))
        refund = await self.omipay.poll_until_refunded(
            receipt,
            timeout=7 * 86_400,
            interval=_STEP_OF_A_REFUND_S,
            on_status=lambda seen: self.tell(f"QueryRefund: {seen.status}{_MEANINGS.get(seen.status, '')}"),
        )
        await office
        return refund.status

    async def _back_office(self, refund_no: str) -> None:
        status = RefundStatus.Applied
        while not status.is_final:
            await self.clock.sleep(_STEP_OF_A_REFUND_S)
            status = await self.sandbox.advance_refund(refund_no)


def demo(run: Run) -> Exit:
    """Tell the story, and say whether it ended as told."""
    return asyncio.run(play(run, _set_up))


async def _set_up(sandbox: Sandbox) -> None:
    # The gateway delivers until it hears SUCCESS, and a receiver has to bear that it does so once more (CN 3.9).
    sandbox.faults.add(Fault.NOTIFICATION_DUPLICATE, times=1)


async def play(run: Run, set_up: Callable[[Sandbox], Awaitable[None]]) -> Exit:
    """The story, on a sandbox that ``set_up`` has prepared."""
    began = time.perf_counter()
    clock = ManualClock(auto=True)
    run.say("A shop against the embedded sandbox: no network, and no real money. Its clock jumps over every wait.\n")
    async with Sandbox(clock=clock, seed="demo") as sandbox, sandbox.session() as omipay:
        shop = Shop(run, clock, sandbox, omipay)
        sandbox.app = shop.notify_url
        await set_up(sandbox)
        try:
            # The acts of the story, in order; a further one goes here.
            order_no = await shop.sell_by_qr_code()
            await shop.sell_by_scanning()
            status = await shop.give_back(order_no)
        except OmipayError as error:
            trouble = plain(f"{type(error).__name__}: {error}")
        else:
            trouble = _differs(shop, order_no, status)
    return _conclude(shop, trouble, time.perf_counter() - began)


def _differs(shop: Shop, order_no: str, refund: str) -> str:
    """What did not end as told; empty if all did. The gateway's ledger has the last word."""
    ledger = shop.sandbox.ledger
    expected = {
        "fulfilled": ([order_no], shop.fulfilled),
        "paid": (_QR_AMOUNT + _SCAN_AMOUNT, ledger.paid_total()),
        "refunded": (_REFUND_AMOUNT, ledger.refunded_total()),
        "refund": (RefundStatus.Closed, refund),
        "charged twice": ([], ledger.charged_twice()),
    }
    return "; ".join(f"{name} is {found}, not {told}" for name, (told, found) in expected.items() if told != found)


def _conclude(shop: Shop, trouble: str, took_s: float) -> Exit:
    run, ledger = shop.run, shop.sandbox.ledger
    passed, paid, refunded = shop.clock.monotonic(), ledger.paid_total(), ledger.refunded_total()
    if run.json:
        document = {"ok": not trouble, "paid": paid, "refunded": refunded, "currency": "AUD", "timeline": shop.told}
        run.show(document | ({"message": trouble} if trouble else {}))
    run.say(f"\nThe gateway's ledger: {money(paid, 'AUD')} paid, {money(refunded, 'AUD')} of it given back.")
    run.say(f"{in_words(passed)} passed on the demo's clock, {took_s:.1f} seconds on yours.")
    if trouble:
        complain(f"the demo did not end as told: {trouble}")
        return Exit.REFUSED
    return Exit.DONE
