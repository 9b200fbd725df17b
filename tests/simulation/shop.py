"""The program of one process: a session with books, a transactional handler, and calls with a checked time limit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import insert
from sqlalchemy.exc import SQLAlchemyError

from omipay_async import AsyncOmipay, OmipayError
from omipay_async.sandbox.notifier import APP_NOTIFY_URL
from omipay_async.sql import Books

from .network import SimulatedTransport
from .store import EFFECT, engine

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from sqlalchemy.ext.asyncio import AsyncConnection

    from omipay_async.journal import JournalEntry
    from omipay_async.models import Order

    from .process import Process
    from .world import World

T = TypeVar("T")

TIMEOUT_S: Final = 10.0
CALL_LIMIT_S: Final = TIMEOUT_S + 5.0 + 1.0
"""How long a call may take: its own time, closing its entry in the journal, and some more."""


class HandlerFailedError(Exception):
    """The error that a handler raises now and then."""


HANDLER_ERRORS: Final = (HandlerFailedError, SQLAlchemyError)
"""The errors of handlers, failed statements included, which ``settle`` and ``fulfil`` raise."""


class _WatchedBooks(Books):
    """Books that note which orders they reported as written down: these are checked in the end."""

    world: World
    process: Process

    async def closing(self, entry: JournalEntry) -> None:
        await super().closing(entry)
        if entry.order_no and not entry.out_refund_no and self.process.alive:
            self.world.record.written[entry.order_no] = entry.out_order_no

    async def confirmed(self, m_number: str, order: Order) -> None:
        await super().confirmed(m_number, order)
        if self.process.alive:
            self.world.record.written[order.order_no] = order.out_order_no


class Shop:
    """A running process of the merchant."""

    def __init__(self, world: World, process: Process) -> None:
        self.world = world
        self.process = process
        self.closing: asyncio.Future[None] = world.loop.create_future()
        self.books = _WatchedBooks(engine(), lease=5.0, clock=world.machine)
        self.books.world, self.books.process = world, process
        merchant = world.sandbox.merchant
        self.omipay = AsyncOmipay(
            merchant.m_number,
            merchant.secret_key,
            base_url=world.sandbox.base_url,
            timeout=TIMEOUT_S,
            max_in_flight=4,
            clock=world.machine,
            journal=self.books,
            backend=self.books,
            notify_url=APP_NOTIFY_URL,
            on_event=lambda event: world.record.on_event(process, event),
            transport=SimulatedTransport(world, process),
        )
        self.handler = self.books.transactional(self._handle)

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self.closing.done()

    async def aclose(self) -> None:
        """Close the session and the books."""
        self.closing.set_result(None)
        await self.omipay.aclose()
        await self.books.aclose()

    async def _handle(self, order: Order, connection: AsyncConnection) -> None:
        """The shop's handler."""
        world = self.world
        await self.process.step("in a handler")
        known = world.sandbox.ledger.orders.get(order.order_no)
        wrong = known is None or not known.is_paid or order.amount != known.amount
        if wrong or (known is not None and order.out_order_no not in {None, known.out_order_no}):
            self.world.record.violated(
                f"false PAID: a handler was given {order.order_no}, which is not paid or another"
            )
        values = {"order_no": order.order_no, "out_order_no": order.out_order_no, "amount": order.amount}
        await connection.execute(insert(EFFECT).values(values))
        if world.chaos.happens(world.chaos.rates.handler_fails):
            raise HandlerFailedError
        await asyncio.sleep(world.chance.choice([0.0, 0.0, 0.2, 3.0]))
        world.record.counts["handlers"] += 1

    async def waited(self, what: str, limit: float, work: Awaitable[T]) -> T:
        """The result of ``work``, which has to end within ``limit`` seconds in which the machine runs."""
        loop, allowed, task = self.world.loop, limit, asyncio.ensure_future(work)
        try:
            while allowed > 0 and not task.done():
                stood_still_s = loop.stood_still_s
                await asyncio.wait((task,), timeout=allowed)
                allowed = loop.stood_still_s - stood_still_s
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait((task,), timeout=limit)
                self._check_ended(task, what, limit)
        if not self.process.alive:
            await self.process.hang()
        return task.result()

    def _check_ended(self, task: asyncio.Future[Any], what: str, limit: float) -> None:
        current = asyncio.current_task()
        was_cancelled = current is not None and current.cancelling()
        if self.process.alive and not (was_cancelled and task.done()):
            self.world.record.violated(f"{self.process}: {what} has not ended after {limit:g} seconds")

    def check_paid(self, order: Any, *, out_order_no: str | None = None) -> None:
        """Check that an order that the library reports as paid is paid."""
        known = self.world.sandbox.ledger.orders.get(order.order_no)
        wrong = known is None or not known.is_paid
        if known is not None and out_order_no is not None and known.out_order_no != out_order_no:
            wrong = True
        if wrong:
            self.world.record.violated(f"false PAID: {order.order_no} of {out_order_no} is {known and known.status}")
        self.world.record.counts["paid"] += 1

    def check_effect(self, order_no: str) -> None:
        """Check that an order that the library reports as fulfilled has its effect."""
        found = self.world.record.effects(order_no)
        if found != 1:
            self.world.record.violated(f"{order_no} is said to be fulfilled, and has {found} effects")

    async def sweep(self) -> None:
        """Sweep once."""
        try:
            report = await self.waited("a sweep", 300, self.books.sweep(self.omipay, self.handler))
        except OmipayError as error:
            self.world.trace(self.process.name, f"the sweep ended early: {type(error).__name__}")
        else:
            self.world.trace(self.process.name, f"{report}")
