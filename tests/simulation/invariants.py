"""The rules that are checked when a process was closed, and at the end of a world."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from omipay_async import Outcome

from .process import OwnedTask

if TYPE_CHECKING:
    from .record import MoneyCall
    from .shop import Shop
    from .world import World

_GRACE_S = 30.0


async def check_closed(world: World, shop: Shop) -> None:
    """Check that nothing is left of a closed session once its callers have got their errors."""
    process, here = shop.process, asyncio.current_task()
    until = world.loop.time() + _GRACE_S
    while (left := [task for task in process.tasks if task is not here]) and world.loop.time() < until:
        await asyncio.sleep(0.5)
        if not process.alive:
            return
    if left:
        world.record.violated(f"{process} left tasks behind: {left}")
    if process.connections:
        world.record.violated(f"{process} left {len(process.connections)} connections to the database open")
    if process.open_replies:
        world.record.violated(f"{process} left {process.open_replies} replies open")


async def check_end(world: World) -> None:
    """Check what can be checked only when nothing happens any more."""
    await asyncio.sleep(2 * _GRACE_S)
    for call in world.record.calls.values():
        _check_call(world, call)
    for order in world.sandbox.ledger.orders.values():
        _check_order(world, order)
    _check_journal(world)
    _check_leaks(world)


def _check_call(world: World, call: MoneyCall) -> None:
    """Check a call: the gateway acted at most once, there is one event, and it does not deny what happened."""
    ledger, violated = world.sandbox.ledger, world.record.violated
    acted = ledger.acted(call.number)
    if acted > 1:
        violated(f"{call.number} was acted on {acted} times by one call")
    stands: list[Any] = [order for order in ledger.orders_of(call.number) if not order.status.is_failed]
    refunds = [refund for refund in ledger.refunds.values() if refund.out_refund_no == call.number]
    for said in (call.outcome, call.raised):
        if said is Outcome.NOT_DONE and (stands or refunds):
            violated(
                f"false NOT_DONE: {call.number} was acted on: {[str(made.status) for made in (*stands, *refunds)]}"
            )
    if call.process.alive and call.events != 1:
        violated(f"{call.number} was told of {call.events} times by events")


def _check_order(world: World, order: Any) -> None:
    """Check an order: it has one effect if it is paid and a process knows it, and none otherwise."""
    effects, violated = world.record.effects(order.order_no), world.record.violated
    if effects > 1:
        violated(f"{order.order_no} ({order.out_order_no}) took effect {effects} times")
    if effects and not order.is_paid:
        violated(f"{order.order_no} took effect and is {order.status}")
    rows = world.record.rows(
        "SELECT out_order_no FROM omipay_order WHERE order_no = ?1 "
        "UNION SELECT out_order_no FROM omipay_call WHERE order_no = ?1 AND out_refund_no IS NULL",
        order.order_no,
    )
    sales = {sale for (sale,) in rows}
    if order.order_no in world.record.written:
        sales.add(world.record.written[order.order_no])
    # After the replies to two order calls were swapped, the books have each order under the other's sale. A sweep acts
    # on neither, and tells a person.
    is_known = bool(sales & {None, order.out_order_no})
    if order.is_paid and is_known and not effects:
        violated(f"{order.order_no} ({order.out_order_no}) is paid and known, and never took effect")
    if order.is_paid and not is_known:
        world.record.counts["under another sale" if sales else "never heard of"] += 1


def _check_journal(world: World) -> None:
    """Check the books: no money moved without an entry, and no entry denies what happened."""
    ledger, violated = world.sandbox.ledger, world.record.violated
    entries = {
        out_refund_no or out_order_no: outcome
        for out_order_no, out_refund_no, outcome in world.record.rows(
            "SELECT out_order_no, out_refund_no, outcome FROM omipay_call"
        )
    }
    stands = {order.out_order_no for order in ledger.orders.values() if not order.status.is_failed}
    stands |= {refund.out_refund_no for refund in ledger.refunds.values()}
    made = {order.out_order_no for order in ledger.orders.values()} | stands
    for number in made - entries.keys():
        violated(f"{number} was acted on, and is not in the journal")
    for number in stands:
        if entries[number] == "NOT_DONE":
            violated(f"false NOT_DONE: the journal denies {number}, which was acted on")
    for number, outcome in entries.items():
        if outcome == "DONE" and number not in made:
            violated(f"false DONE: the journal has {number}, which was never acted on")


def _check_leaks(world: World) -> None:
    """Check that no tasks and timers are left, except those of processes that were killed."""
    here = asyncio.current_task()
    left = []
    for task in asyncio.all_tasks(world.loop):
        owner = task.owner if isinstance(task, OwnedTask) else None
        if task is not here and (owner is None or owner.alive):
            left.append(task)
    if left:
        world.record.violated(f"tasks are left: {left}")
    timers = world.loop.pending_timers()
    if timers and not world.crashes:
        world.record.violated(f"timers are left: {timers}")
