"""Who acts in a world: a till, a shop and a worker in their processes, and outside customers and strangers.

A script is a list of acts. A process performs two at a time; what a crash cut off is not taken up again: finding it is
what the books are for.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from omipay_async import OmipayError, Outcome, PaymentFailed, RefundFailed
from omipay_async.codes import Currency, Platform
from omipay_async.sandbox import IllegalMove, PaymentCode

from .process import spawn
from .shop import CALL_LIMIT_S, HANDLER_ERRORS, Shop

if TYPE_CHECKING:
    from omipay_async import NotificationReply
    from omipay_async.models import Order, ScanOrder
    from omipay_async.new_orders import QROrder

    from .world import World

Act = Callable[[Shop], Coroutine[Any, Any, None]]
Script = Callable[["World"], Iterable[Act]]

_POS_NO: Final = "till-1"
_POLL_S: Final = 20.0
_FULFIL_LIMIT_S: Final = 120.0
"""How long fulfilling may take, because another process may hold the claim, and the store may stall."""
_STANDS_STILL: Final = 0.5
_CODES: Final = (PaymentCode.PAID, PaymentCode.PAID, *PaymentCode)


async def perform(shop: Shop, script: Iterator[Act]) -> None:
    """Perform the acts of a script until it is done or the session is closed."""

    async def performer() -> None:
        for act in script:
            shop.world.trace(shop.process.name, f"begins {act.__name__}")
            acting = spawn(shop.process, act(shop))
            chaos = shop.world.chaos
            if chaos.happens(chaos.rates.cancellations):
                await asyncio.wait((acting,), timeout=chaos.chance.choice([0.0, 0.02, 0.3, 2.0, 12.0]))
                acting.cancel()
            await asyncio.wait((acting,))
            if not acting.cancelled():
                acting.result()
            if shop.closed:
                return

    await asyncio.gather(performer(), performer())


# -- the till ---------------------------------------------------------------------------------------------------------


async def scan_sale(shop: Shop) -> None:
    """Charge a payment code, and do what the README says to do for each result."""
    world = shop.world
    number, amount = world.record.number("S"), world.chance.choice([100, 450, 451])
    call = world.record.begun(number, shop.process)
    try:
        scan = await shop.waited(
            f"the scan order {number}",
            CALL_LIMIT_S,
            shop.omipay.make_scan_order(
                order_name="Coffee",
                amount=amount,
                currency=Currency.AUD,
                out_order_no=number,
                qrcode=world.chance.choice(_CODES),
                pos_no=_POS_NO,
            ),
        )
    except OmipayError as error:
        call.raised = error.outcome
        if error.outcome is Outcome.UNKNOWN:
            await _after_unknown(shop, number)
        return
    if scan.is_paid:
        shop.check_paid(scan, out_order_no=number)
    order = await _settled(shop, scan, number)
    if order is not None and world.chance.random() < 0.5:
        await _refund(shop, order)


async def _settled(shop: Shop, made: ScanOrder | QROrder, number: str) -> Order | None:
    """Wait for the money, and fulfil: in one of the ways that there are."""
    omipay, way = shop.omipay, shop.world.chance.choice(["settle", "settle", "poll and fulfil", "nothing"])
    try:
        if way == "nothing":
            return None
        if way == "settle":
            settling = omipay.settle(made, shop.handler, first_wait=1.0, interval=2.0, timeout=_POLL_S)
            order = await shop.waited(f"settling {number}", _POLL_S + _FULFIL_LIMIT_S, settling)
        else:
            polling = omipay.poll_until_paid(made, first_wait=1.0, interval=2.0, timeout=_POLL_S)
            order = await shop.waited(f"polling {number}", _POLL_S + 1, polling)
            shop.check_paid(order, out_order_no=number)
            return await _fulfilled(shop, order)
    except PaymentFailed as failed:
        known = shop.world.sandbox.ledger.orders[str(made.order_no)]
        if not known.status.is_failed:
            shop.world.record.violated(f"false NOT_DONE: {number} is {known.status}, said was {failed}")
        return None
    except (OmipayError, *HANDLER_ERRORS):
        return None
    shop.check_paid(order, out_order_no=number)
    shop.check_effect(order.order_no)
    return order


async def _fulfilled(shop: Shop, order: Order) -> Order | None:
    fulfilling = shop.omipay.fulfil(order.order_no, shop.handler)
    try:
        found = await shop.waited(f"fulfilling {order.order_no}", _FULFIL_LIMIT_S, fulfilling)
    except (OmipayError, *HANDLER_ERRORS):
        return None
    shop.check_effect(found.order_no)
    return found


async def _after_unknown(shop: Shop, number: str) -> None:
    waiting = shop.omipay.wait_for_notification(number, timeout=15)
    try:
        order = await shop.waited(f"waiting for {number}", 16, waiting)
    except OmipayError:
        return
    shop.world.record.counts["heard of by notification"] += 1
    shop.check_paid(order, out_order_no=number)
    await _fulfilled(shop, order)


async def _refund(shop: Shop, order: Order) -> None:
    world = shop.world
    number = world.record.number("R")
    call = world.record.begun(number, shop.process)
    amount = world.chance.choice([order.amount, 50])
    try:
        refunding = shop.omipay.refund(order_no=order.order_no, out_refund_no=number, amount=amount)
        receipt = await shop.waited(f"the refund {number}", CALL_LIMIT_S, refunding)
    except OmipayError as error:
        call.raised = error.outcome
        return
    polling = shop.omipay.poll_until_refunded(receipt, timeout=8, first_wait=0.5, interval=1)
    try:
        refund = await shop.waited(f"polling the refund {number}", 9, polling)
    except RefundFailed:
        is_wrong = not world.sandbox.ledger.refunds[receipt.refund_no].status.is_failed
    except OmipayError:
        return
    else:
        is_wrong = not refund.is_refunded or not world.sandbox.ledger.refunds[receipt.refund_no].status.is_refunded
    if is_wrong:
        world.record.violated(f"the refund {number} did not end as the poll of it said")


def _till(world: World) -> Iterable[Act]:
    return [scan_sale] * world.chance.randint(2, 5)


# -- the shop and the worker ------------------------------------------------------------------------------------------


async def qr_sale(shop: Shop) -> None:
    """Make a QR order; whether and when it is paid, the customer decides."""
    world = shop.world
    number, amount = world.record.number("Q"), world.chance.choice([100, 450])
    call = world.record.begun(number, shop.process)
    try:
        made = await shop.waited(
            f"the QR order {number}",
            CALL_LIMIT_S,
            shop.omipay.make_qr_order(
                order_name="Book",
                amount=amount,
                currency=Currency.AUD,
                out_order_no=number,
                platform=Platform.WECHATPAY,
            ),
        )
    except OmipayError as error:
        call.raised = error.outcome
        return
    await _settled(shop, made, number)


async def open_for_notifications(shop: Shop) -> None:
    """Only receive notifications for a while."""
    await asyncio.wait((shop.closing,), timeout=shop.world.chance.uniform(5, 40))


def _shop(world: World) -> Iterable[Act]:
    return [*([qr_sale] * world.chance.randint(1, 4)), open_for_notifications]


async def run_worker(shop: Shop) -> None:
    """Run the worker of the books for some time."""
    every = shop.world.chance.choice([2.0, 5.0])
    working = asyncio.ensure_future(shop.books.run(shop.omipay, shop.handler, every=every))
    try:
        await asyncio.wait((working,), timeout=shop.world.chance.uniform(10, 40))
    finally:
        working.cancel()
        await asyncio.wait((working,))
    if shop.process.alive and not working.cancelled() and not shop.closed:
        shop.world.record.violated(f"the worker ended by itself: {working.exception()!r}")


async def sweep_beside(shop: Shop) -> None:
    """Sweep at the same time as the worker."""
    await asyncio.sleep(shop.world.chance.uniform(3, 20))
    if not shop.closed:
        await shop.sweep()


def _worker(_: World) -> Iterable[Act]:
    return [run_worker, sweep_beside, run_worker]


SCRIPTS: Final[dict[str, Script]] = {"till": _till, "shop": _shop, "worker": _worker}

# -- outside ----------------------------------------------------------------------------------------------------------


def customer_of(world: World, order: Any) -> None:
    """Begin a customer for a QR order that was made."""
    if order.endpoint == "MakeQROrder" and world.chaos.is_on:
        spawn(None, _customer(world, order.order_no))


async def _customer(world: World, order_no: str) -> None:
    await asyncio.sleep(world.chance.choice([0.0, 1.0, 5.0, 15.0]))
    customer = world.sandbox.customer
    does = world.chance.choice([customer.pays, customer.pays, customer.pays, customer.declines, None])
    if does is not None:
        await does(order_no)


def outsiders(world: World) -> list[Coroutine[Any, Any, None]]:
    """What happens outside of the processes while there are faults."""
    return [_strangers(world), _jumping_clock(world), _standing_machine(world), _back_office(world)]


async def _standing_machine(world: World) -> None:
    """In some worlds stop the machine now and then, for less or more than a lease and than the time of a call."""
    chance = random.Random(f"standing still {world.seed}")
    while chance.random() < _STANDS_STILL:
        await asyncio.sleep(chance.uniform(0.5, 15))
        seconds = chance.choice([0.5, 2.5, 6.0, 12.0])
        world.trace("machine", f"stands still for {seconds:g} s")
        world.record.counts["stood still"] += 1
        world.loop.stand_still(seconds)


async def _jumping_clock(world: World) -> None:
    while world.chaos.rates.jumps:
        await asyncio.sleep(world.chance.uniform(5, 20))
        seconds = world.chance.choice([-90.0, -8.0, 8.0, 90.0])
        world.trace("clock", f"jumps by {seconds:g} s")
        world.machine.jump(seconds)


async def _back_office(world: World) -> None:
    """Let refunds go on to their next status."""
    while True:
        await asyncio.sleep(1.0)
        for refund in list(world.sandbox.ledger.refunds.values()):
            if not refund.status.is_final and world.chance.random() < 0.5:
                try:
                    await world.sandbox.advance_refund(refund.refund_no)
                except IllegalMove:
                    continue


async def _strangers(world: World) -> None:
    """Post forged notifications, captured ones, and ones with a signature of the merchant's own calls."""
    chance = world.chance
    while True:
        await asyncio.sleep(chance.uniform(0.5, 6))
        orders = list(world.sandbox.ledger.orders)
        order_no = chance.choice(orders) if orders else "TR404"
        body = {"return_code": "SUCCESS", "order_no": order_no, "currency": "AUD", "total_amount": 450}
        kind = chance.choice(["forged", "replayed", "reflected"])
        signature = {"nonce_str": "a" * 16, "timestamp": world.sandbox.clock.time_ms(), "sign": "0" * 32}
        if kind == "replayed" and world.captured:
            signature = _signature_of(chance.choice(world.captured))
        if kind == "reflected" and world.network.seen:
            signature = _signature_of(chance.choice(world.network.seen[-5:]))
        await _delivered(world, json.dumps({**body, **signature}).encode(), kind)


def _signature_of(source: Any) -> dict[str, Any]:
    return {name: source[name] for name in ("nonce_str", "timestamp", "sign")}


def notification_app(world: World) -> Any:
    """The app that receives the gateway's notifications: the shop's process, if it is alive."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        world.captured.append(json.loads(body))
        status, answer = await _delivered(world, body, "notification")
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return app


async def _delivered(world: World, body: bytes, kind: str) -> tuple[int, bytes]:
    """Post a body to the shop's ``notify_url``."""
    shop = world.shops.get("shop")
    if shop is None or not shop.process.alive:
        return 502, b""
    receiving = spawn(shop.process, _received(shop, body))
    while not receiving.done() and shop.process.alive:
        await asyncio.wait((receiving,), timeout=1)
    if not receiving.done() or receiving.cancelled() or not shop.process.alive:
        return 502, b""
    reply = receiving.result()
    world.trace(shop.process.name, f"{kind}: {reply.status} {type(reply.error).__name__ if reply.error else ''}")
    return reply.status, reply.body


async def _received(shop: Shop, body: bytes) -> NotificationReply:
    receiving = shop.omipay.receive_notification(body, shop.handler)
    reply = await shop.waited("a notification", _FULFIL_LIMIT_S, receiving)
    if reply.status == 200 and reply.order is not None:
        shop.check_paid(reply.order)
        shop.check_effect(reply.order.order_no)
        shop.world.record.counts["notifications"] += 1
    return reply
