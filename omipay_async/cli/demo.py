"""``omipay demo``: a shop's payments on the embedded sandbox, printed as a timeline and checked at the end.

The shop charges the code that a customer shows, refunds a part, sells by QR code and is notified of the payment. Then a
reply is lost and the program ends: its books contain the charge, and the notification resolves it.

The demo's clock jumps over every wait, since only the sandbox in memory is waited for. While the books are open it
moves only when the demo advances it, since their database works in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
from starlette.requests import Request
from starlette.responses import Response

from omipay_async.codes import Currency, Platform, RefundStatus
from omipay_async.errors import ConfigurationError, OmipayError, OutcomeUnknown
from omipay_async.language import Sentence, sentence
from omipay_async.sandbox import Fault, PaymentCode, Sandbox
from omipay_async.sql import Books
from omipay_async.testing import ManualClock

from .exit_codes import Exit
from .formatting import elapsed, in_words, money, plain
from .runner import complain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.types import Receive, Scope, Send

    from omipay_async.models import Order, Refund, ScanOrder
    from omipay_async.new_orders import QROrder
    from omipay_async.session import AsyncOmipay

    from .runner import Run

_QR_AMOUNT: Final = 1230
_SCAN_AMOUNT: Final = 450
_REFUND_AMOUNT: Final = 200
_LOST_AMOUNT: Final = 620
_NOTIFY_URL: Final = "http://shop.test/omipay/notify"
_LOST_NUMBER: Final = "TILL-2002"
_TYPES_A_PASSWORD_S: Final = 10.0
"""After this time ``PaymentCode.PAID_AFTER_SECONDS`` is paid."""
_LONGEST_ANSWER_S: Final = 10.0
_LONG_PAUSE_S: Final = 600.0
"""A pause of at least this length gets a line of its own."""
_STEP_OF_A_REFUND_S: Final = 8 * 3600.0
_MEANINGS: Final[dict[str, str]] = {
    RefundStatus.Applied: sentence(": the refund was requested"),
    RefundStatus.MerchantConfirmed: sentence(": the merchant agreed"),
    RefundStatus.OrganizationConfirmed: sentence(": WeChat confirmed the request"),
    RefundStatus.OrganizationPayback: sentence(": WeChat reports that it has paid the money back"),
    RefundStatus.Closed: sentence(": the money has arrived"),
}


@attrs.define
class Shop:
    """A small program of a merchant, with the gateway and the customers around it."""

    run: Run
    clock: ManualClock
    sandbox: Sandbox
    omipay: AsyncOmipay
    fulfilled: list[str] = attrs.field(factory=list)
    timeline: list[dict[str, Any]] = attrs.field(factory=list)
    last: float = 0.0
    """The time of the last line, on the demo's clock."""

    def report(self, what: Sentence) -> None:
        """Add one line to the timeline."""
        now = self.clock.monotonic()
        if now - self.last >= _LONG_PAUSE_S:
            self.run.say(sentence("           ... {} later ...", in_words(now - self.last)))
        self.last = now
        self.timeline.append({"at_s": now, "what": what})
        self.run.say(sentence("{:>9}  {}", elapsed(now), what))

    async def fulfil(self, order: Order) -> None:
        """The work that a merchant does once for each paid order."""
        self.fulfilled.append(order.order_no)
        amount = money(order.amount, order.currency)
        self.report(sentence("handler: {} is paid, {}: goods are shipped", order.out_order_no, amount))

    async def notify_url(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The merchant's web app, whose only page receives the gateway's notifications."""
        body = await Request(scope, receive).body()
        reply = await self.omipay.receive_notification(body, self.fulfil)
        done = sentence("the handler had run before, and was not run again")
        if reply.ran:
            done = sentence("confirmed by QueryOrder, and the handler ran")
        answer = done if reply.error is None else plain(reply.error)
        self.report(sentence("notification: {}; answered {}", answer, reply.status))
        await Response(reply.body, reply.status, dict(reply.headers))(scope, receive, send)

    # -- the steps --------------------------------------------------------------------------------------------------

    async def sell_by_scanning(self) -> str:
        """Charge the code that a customer shows; the customer types a password first."""
        order = await self.omipay.make_scan_order(
            order_name="Flat white",
            amount=_SCAN_AMOUNT,
            currency=Currency.AUD,
            out_order_no="TILL-2001",
            qrcode=PaymentCode.PAID_AFTER_QUERIES,
            pos_no="till-1",
        )
        amount = money(_SCAN_AMOUNT, "AUD")
        self.report(sentence("MakeScanOrder: USERPAYING, {}: the customer types a password", amount))
        await self._paid(order)
        return order.order_no

    async def _paid(self, order: ScanOrder | QROrder) -> None:
        paid = await self.omipay.poll_until_paid(order, on_status=self._report_order)
        amounts = (money(paid.amount, paid.currency), money(paid.pay_amount, paid.pay_currency))
        self.report(sentence("paid: {} as {}", *amounts))

    def _report_order(self, seen: Order) -> None:
        self.report(sentence("QueryOrder: {}", seen.status))

    async def give_back(self, order_no: str) -> RefundStatus | str:
        """Refund a part, and wait for the days that this takes."""
        receipt = await self.omipay.refund(order_no=order_no, out_refund_no="R-3001", amount=_REFUND_AMOUNT)
        self.report(sentence("Refund: {}, {} of it, accepted", receipt.refund_no, money(_REFUND_AMOUNT, "AUD")))
        office = asyncio.create_task(self._back_office(receipt.refund_no))
        refund = await self.omipay.poll_until_refunded(
            receipt,
            timeout=7 * 86_400,
            interval=_STEP_OF_A_REFUND_S,
            on_status=self._report_refund,
        )
        await office
        return refund.status

    def _report_refund(self, seen: Refund) -> None:
        self.report(sentence("QueryRefund: {}{}", seen.status, _MEANINGS.get(seen.status, "")))

    async def _back_office(self, refund_no: str) -> None:
        status = RefundStatus.Applied
        while not status.is_final:
            await self.clock.sleep(_STEP_OF_A_REFUND_S)
            status = await self.sandbox.advance_refund(refund_no)

    async def sell_by_qr_code(self) -> str:
        """Let a customer pay a QR order whose notification comes twice."""
        order = await self.omipay.make_qr_order(
            order_name="Two coffees and a cake",
            amount=_QR_AMOUNT,
            currency=Currency.AUD,
            out_order_no="WEB-1001",
            platform=Platform.WECHATPAY,
            notify_url=_NOTIFY_URL,
        )
        self.report(sentence("MakeQROrder: order {}, {}; its code is shown:", order.order_no, money(_QR_AMOUNT, "AUD")))
        self.run.draw(order.qr_terminal())
        customer = asyncio.create_task(self._customer(order.order_no, order.qrcode or ""))
        await self._paid(order)
        await customer
        await self.sandbox.settle()
        return order.order_no

    async def _customer(self, order_no: str, code: str) -> None:
        await self.clock.sleep(7)
        await self.sandbox.customer.scans(code)
        self.report(sentence("customer: scans the code"))
        await self.clock.sleep(6)
        self.report(sentence("customer: pays"))
        await self.sandbox.customer.pays(order_no)

    async def crash(self, books_file: Path) -> int:
        """Lose the reply to a charge, end the program, and read its books. Returns how many calls stay unresolved."""
        self.clock.auto = False
        self.sandbox.faults.add(Fault.DROP_REPLY, endpoint="MakeScanOrder", times=1)
        async with self._till(books_file) as books:
            await books.create_tables()
            self.report(sentence("books: the next charge is written down before it is sent"))
            await self._lost_charge()
        self.report(sentence("crash: the program of the till ends here, and starts again"))
        async with self._till(books_file) as books:
            unresolved = await books.unresolved()
            for entry in unresolved:
                what = (entry.endpoint, entry.out_order_no, money(entry.amount, entry.currency), entry.outcome)
                line = sentence("books: {} unresolved: {} {}, {}, {}. Do not scan again for this sale")
                self.report(line.filled(len(unresolved), *what))
            await self._notification()
            left = len(await books.unresolved())
            line = sentence("books: {} unresolved: {} is known to be paid, and its goods were shipped once")
            self.report(line.filled(left, _LOST_NUMBER))
            return left

    async def _lost_charge(self) -> None:
        try:
            await self.omipay.make_scan_order(
                order_name="Birthday cake",
                amount=_LOST_AMOUNT,
                currency=Currency.AUD,
                out_order_no=_LOST_NUMBER,
                qrcode=PaymentCode.PAID_AFTER_SECONDS,
                pos_no="till-1",
                notify_url=_NOTIFY_URL,
            )
        except OutcomeUnknown as error:
            line = sentence("MakeScanOrder: the reply was lost ({}). Nobody knows whether the customer was charged")
            self.report(line.filled(type(error).__name__))

    async def _notification(self) -> None:
        """Let the customer type the password, and wait until the notification was answered."""
        seen = len(self.sandbox.ledger.deliveries)
        await self.clock.advance(_TYPES_A_PASSWORD_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_ANSWER_S):  # the books work in a thread, which takes real time
                while len(self.sandbox.ledger.deliveries) == seen:  # noqa: ASYNC110 - the ledger has no event to wait for
                    await asyncio.sleep(0.005)

    @contextlib.asynccontextmanager
    async def _till(self, books_file: Path) -> AsyncIterator[Books]:
        """A program with books, from its start to its end."""
        async with (
            Books(f"sqlite:///{books_file}", clock=self.clock) as books,
            self.sandbox.session(journal=books, backend=books) as omipay,
        ):
            self.omipay = omipay
            yield books


def demo(run: Run) -> Exit:
    """Run the demo, and return whether it ended as expected."""
    return asyncio.run(play(run, _set_up))


async def _set_up(sandbox: Sandbox) -> None:
    # CN 3.9 promises that nothing is delivered after SUCCESS. But answers get lost, so a shop must accept repeats.
    sandbox.faults.add(Fault.NOTIFICATION_DUPLICATE, times=1)


async def play(run: Run, set_up: Callable[[Sandbox], Awaitable[None]]) -> Exit:
    """Run the demo on a sandbox that ``set_up`` has prepared."""
    began = time.perf_counter()
    clock = ManualClock(auto=True)
    run.say(
        sentence(
            "A shop against the embedded sandbox: no network, and no real money. Its clock jumps over every wait.\n"
        )
    )
    async with Sandbox(clock=clock, seed="demo") as sandbox, sandbox.session() as omipay:
        shop = Shop(run, clock, sandbox, omipay)
        sandbox.app = shop.notify_url
        await set_up(sandbox)
        try:
            problem = await _all_steps(shop)
        except ConfigurationError:  # of this machine, such as one without time zones
            raise
        except OmipayError as error:
            problem = plain(f"{type(error).__name__}: {error}")
    return _conclude(shop, problem, time.perf_counter() - began)


async def _all_steps(shop: Shop) -> str:
    """Run the steps in their order. Returns what did not end as expected."""
    scanned = await shop.sell_by_scanning()
    refund = await shop.give_back(scanned)
    shown = await shop.sell_by_qr_code()
    with tempfile.TemporaryDirectory(prefix="omipay-demo-") as folder:
        unresolved = await shop.crash(Path(folder) / "books.db")
    return _differs(shop, shown, refund, unresolved)


def _differs(shop: Shop, shown: str, refund: str, unresolved: int) -> str:
    """What did not end as expected; empty if everything did. The gateway's ledger counts."""
    ledger = shop.sandbox.ledger
    lost = [order.order_no for order in ledger.orders.values() if order.out_order_no == _LOST_NUMBER]
    expected = {
        "fulfilled": ([shown, *lost], shop.fulfilled),
        "paid": (_SCAN_AMOUNT + _QR_AMOUNT + _LOST_AMOUNT, ledger.paid_total()),
        "refunded": (_REFUND_AMOUNT, ledger.refunded_total()),
        "refund": (RefundStatus.Closed, refund),
        "charged twice": ([], ledger.charged_twice()),
        "unresolved": (0, unresolved),
    }
    return "; ".join(f"{name} is {found}, not {right}" for name, (right, found) in expected.items() if right != found)


def _conclude(shop: Shop, problem: str, took_s: float) -> Exit:
    run, ledger = shop.run, shop.sandbox.ledger
    passed, paid, refunded = shop.clock.monotonic(), ledger.paid_total(), ledger.refunded_total()
    if run.json:
        document = {"ok": not problem, "paid": paid, "refunded": refunded, "currency": "AUD", "timeline": shop.timeline}
        run.show(document | ({"message": problem} if problem else {}))
    totals = (money(paid, "AUD"), money(refunded, "AUD"))
    run.say(sentence("\nThe gateway's ledger: {} paid, {} of it refunded.", *totals))
    times = (in_words(passed), took_s)
    run.say(sentence("{} passed on the demo's clock, {:.1f} seconds on yours.", *times))
    if problem:
        complain(sentence("the demo did not end as expected: {}", problem))
        return Exit.REFUSED
    return Exit.DONE
