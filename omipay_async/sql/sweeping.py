"""Sweeps: they ask about every order that has a number and is not settled, and fulfil those that are paid.

``due_orders`` says which orders are due; here they are asked about, several at a time.

A handler may hang. So ``Books.run`` waits for a sweep for a minute only, and then begins the next one at the same time,
which leaves out the orders that the first still works on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import attrs

from omipay_async.errors import (
    BackendError,
    ConfigurationError,
    JournalError,
    LookupFailed,
    OmipayError,
    SessionClosed,
)
from omipay_async.fulfilment.runs import WatchedHandler
from omipay_async.log import log_fields, logger
from omipay_async.protocol.expectation import ensure_same_sale
from omipay_async.text import printable

if TYPE_CHECKING:
    from omipay_async.fulfilment.handlers import Handler
    from omipay_async.models import Order
    from omipay_async.session import AsyncOmipay

    from .due_orders import DueOrders, TakenOrder
    from .entries import Entries

_WORKERS: Final = 8
"""How many orders a sweep works on at the same time."""
_LIMIT: Final = 1_000
"""The largest number of orders that a sweep of ``run`` asks about."""
_LONG_S: Final = 60.0
"""How long ``run`` waits for a sweep before it begins the next one."""
_MOST_SWEEPS: Final = 64
"""How many sweeps of one ``run`` may be under way at the same time."""
_AGAIN: Final = "order %s: the sweep asks again soon: %s"
_UNKNOWN: Final = (
    "order %s: the gateway does not know it; the sweep asks again when its age has doubled. "
    "If a person gave this number, give the right one (books.resolve): %s"
)


@attrs.frozen
class SweepReport:
    """What one sweep did, in numbers of orders. The log says what went wrong with which order."""

    fulfilled: int = 0
    """They are paid, and their handler has succeeded, now or before."""
    waiting: int = 0
    """They are neither paid nor failed yet, or they are paid and wait for a sweep that has a handler."""
    failed: int = 0
    """They will not be paid."""
    errors: int = 0
    """The gateway did not answer, or the handler raised: they are asked about again within a minute. Or the gateway has
    never known the order: it is asked about again when its age has doubled."""
    unresolved: int = 0
    """Money calls of this merchant whose results nobody knows: ``books.unresolved()`` lists them."""


class Sweeping:
    """Sweeps once, or again and again."""

    def __init__(self, orders: DueOrders, entries: Entries) -> None:
        self._orders = orders
        self._entries = entries

    async def run(self, omipay: AsyncOmipay, handler: Handler, pause: float) -> None:
        """Sweep again and again until this is cancelled, which cancels the sweeps."""
        under_way: set[asyncio.Task[SweepReport]] = set()
        try:
            while True:
                latest = asyncio.create_task(self.sweep(omipay, handler, _LIMIT))
                under_way.add(latest)
                await asyncio.wait((latest,), timeout=_LONG_S)
                if not latest.done():
                    self._warn_of_slow_handlers(omipay.m_number, "the next one begins")
                while len(under_way) == _MOST_SWEEPS and not any(sweep.done() for sweep in under_way):
                    self._warn_of_slow_handlers(omipay.m_number, "no more begin until one of them has ended")
                    await asyncio.wait(under_way, timeout=_LONG_S, return_when=asyncio.FIRST_COMPLETED)
                for ended in [sweep for sweep in under_way if sweep.done()]:
                    under_way.remove(ended)
                    _check_end(ended)
                await asyncio.sleep(pause)
        finally:
            for sweep in under_way:
                sweep.cancel()
            if under_way:
                await asyncio.wait(under_way)

    def _warn_of_slow_handlers(self, m_number: str, what_follows: str) -> None:
        logger.warning(
            "sweeps have not ended within %g s, and %s; orders that are worked on now: %s; does a handler hang?",
            _LONG_S,
            what_follows,
            printable(", ".join(self._orders.at_work(m_number)) or "none", limit=1000),
        )

    async def sweep(self, omipay: AsyncOmipay, handler: Handler | None, limit: int) -> SweepReport:
        """Ask about ``limit`` orders at most, several at a time."""
        if omipay.is_closed:  # if nothing is due, the session is not used and does not raise this itself
            raise SessionClosed
        sweep = _Sweep(self._orders, omipay, handler, limit)
        await sweep.run()
        unresolved = await self._entries.count_unresolved(omipay.m_number)
        return SweepReport(**sweep.counts, unresolved=unresolved)


class _Sweep:
    """One sweep under way."""

    def __init__(self, orders: DueOrders, omipay: AsyncOmipay, handler: Handler | None, limit: int) -> None:
        self._orders = orders
        self._omipay = omipay
        self._handler = handler
        self._left = limit
        self._held: list[TakenOrder] = []
        """The orders that were taken, and about which nothing is written down yet."""
        self._next: list[TakenOrder] = []
        self._taking = asyncio.Lock()
        self._is_ending = False
        self.counts = {"fulfilled": 0, "waiting": 0, "failed": 0, "errors": 0}

    async def run(self) -> None:
        """Work until nothing is due. If something fails, orders that are worked on may end, and no more are taken."""
        workers = [asyncio.create_task(self._work()) for _ in range(min(_WORKERS, self._left))]
        try:
            await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
            self._is_ending = True
            await asyncio.wait(workers, timeout=_LONG_S)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.wait(workers)
            errors = [error for worker in workers if not worker.cancelled() and (error := worker.exception())]
            if self._held:
                await self._free()
        if errors:
            raise errors[0]

    async def _free(self) -> None:
        try:
            await self._orders.free(self._omipay.m_number, self._held)
        except JournalError as error:
            logger.warning("what this sweep had taken is due again in a minute: %s", error)

    async def _work(self) -> None:
        while (taken := await self._take()) is not None:
            await self._ask(taken)
            self._held.remove(taken)
            self._orders.done_with(taken)

    async def _take(self) -> TakenOrder | None:
        async with self._taking:
            if self._is_ending:
                return None
            if not self._next and self._left > 0:
                await self._take_more()
            return self._next.pop() if self._next else None

    async def _take_more(self) -> None:
        count, paid_too = min(_WORKERS, self._left), self._handler is not None
        try:
            self._next = await self._orders.take(self._omipay.m_number, count, paid_too=paid_too)
        except JournalError:
            self._is_ending = True  # set here: otherwise the next worker would wait for the books for as long
            raise
        self._held += self._next
        self._left = self._left - len(self._next) if self._next else 0  # nothing more is due

    async def _ask(self, taken: TakenOrder) -> None:
        """Ask about one order, fulfil it if it is paid, and write down the result."""
        watched = None if self._handler is None else WatchedHandler(self._handler)
        try:
            order = await self._settled(taken, watched)
        except Exception as error:  # the handler is the user's; whatever it raises, it runs again
            if isinstance(error, SessionClosed) and self._omipay.is_closed:
                raise
            is_unknown = self._is_unknown(taken, watched, error)
            extra = log_fields(order_no=taken.order_no)
            if _is_a_fault_of(watched, error):
                text = "order %s: the handler raised; a sweep runs it again"
                logger.exception(text, printable(taken.order_no), extra=extra)
            else:
                logger.warning(_UNKNOWN if is_unknown else _AGAIN, printable(taken.order_no), error, extra=extra)
        else:
            self.counts[_counted_as(order, self._handler)] += 1
            return
        self.counts["errors"] += 1
        await self._orders.postpone(taken, is_unknown=is_unknown)

    def _is_unknown(self, taken: TakenOrder, watched: WatchedHandler | None, error: Exception) -> bool:
        """Whether the gateway has never known the order. (A handler may raise the same error, about something else.)"""
        if not isinstance(error, LookupFailed) or error.node != self._omipay.node:
            return False  # the second node may not have the order yet
        return not taken.has_status and (watched is None or not watched.has_begun)

    async def _settled(self, taken: TakenOrder, watched: WatchedHandler | None) -> Order:
        if watched is None:
            order = await self._omipay.query_order(taken.order_no)
            ensure_same_sale(order, taken)
        else:
            order = await self._omipay.fulfil(taken, watched)
        await self._orders.record_answer(taken, order)
        if order.is_paid and watched is not None:
            await self._orders.record_success(taken)
        return order


def _is_a_fault_of(watched: WatchedHandler | None, error: Exception) -> bool:
    """Whether the handler itself failed, and not its database, or its session because that was closed."""
    if not isinstance(error, OmipayError):
        return True
    return watched is not None and error is watched.raised and not isinstance(error, BackendError | SessionClosed)


def _check_end(sweep: asyncio.Task[SweepReport]) -> None:
    """Raise an error that ends the worker, and log one that ended only this sweep."""
    try:
        sweep.result()
    except (SessionClosed, ConfigurationError):
        raise
    except OmipayError as error:
        logger.warning("the sweep could not be finished: %s", error)


def _counted_as(order: Order, handler: Handler | None) -> str:
    if order.is_paid:
        return "waiting" if handler is None else "fulfilled"
    return "failed" if order.is_failed else "waiting"
