"""The gateway's ledger: its orders, refunds, calls and notifications. No I/O, no event loop.

Tests read it: how often was this number acted on, how much was paid, was anybody charged twice? Delayed outcomes are
applied lazily: whatever reads an order first applies those that are due.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final

import attrs

from omipay_async.codes import OrderStatus, RefundStatus

from .lifecycle import ORDER_LIFE, REFUND_LIFE, path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from decimal import Decimal

    from omipay_async.clock import Clock
    from omipay_async.language import Sentence

    from .payment_codes import DelayedOutcome


KEPT_OF_STRANGERS: Final = 1000
"""How many calls are kept at least of callers who did not prove to be a merchant."""


@attrs.define
class Order:
    """An order as the gateway keeps it. Amounts are in minor units, ``..._ms`` in milliseconds since the epoch."""

    order_no: str
    m_number: str
    endpoint: str
    out_order_no: str
    order_name: str
    currency: str
    amount: int
    platform: str
    pay_currency: str
    pay_amount: int
    rate: Decimal
    """1 ``currency`` in ``pay_currency``."""
    aud_rate: Decimal
    """1 ``currency`` in Australian dollars, in which Omipay settles, when the order was made."""
    created_ms: int
    created_s: float
    """When it was made, by the monotonic clock."""
    language: str = ""
    """The language of the order's call; empty if it had none."""
    notify_url: str = ""
    return_to: str = ""
    """``redirect_url`` or ``return_url``: where the browser goes after payment."""
    status: OrderStatus = OrderStatus.READY
    paid_ms: int | None = None
    delayed: DelayedOutcome | None = None
    queries: int = 0

    @property
    def is_paid(self) -> bool:
        """Whether the customer's money has moved."""
        return self.status.is_paid


@attrs.define
class Refund:
    """A refund as the gateway keeps it. ``amount`` is in minor units, ``..._ms`` in milliseconds since the epoch."""

    refund_no: str
    m_number: str
    order_no: str
    out_refund_no: str
    currency: str
    amount: int
    created_ms: int
    status: RefundStatus = RefundStatus.Applied
    closed_ms: int | None = None


@attrs.frozen
class Call:
    """One request to an endpoint, what was replied, and what was wrong with it if it was refused."""

    at_ms: int
    endpoint: str
    method: str
    fields: dict[str, str]
    """Its parameters, without ``sign``, ``nonce_str`` and what is a customer's secret."""
    error_code: str | None = None
    remarks: tuple[Sentence, ...] = ()
    """Remarks for developers; as strings they are English."""
    acted: bool = False
    """Whether an order or a refund was made."""
    faults: tuple[str, ...] = ()
    """Those that were applied to it."""
    order_no: str | None = None
    refund_no: str | None = None
    reply: Mapping[str, Any] = attrs.field(factory=dict)
    """What the gateway replied, before a fault changed it, with secrets masked; empty if a fault stopped the call."""
    is_stranger: bool = False
    """Whether the caller did not prove to be a merchant."""
    number: int = 0
    """Its place among all calls, counted from 1."""


@attrs.frozen
class Delivery:
    """One try to deliver a notification. ``answer`` says what came back, ``accepted`` whether it was SUCCESS."""

    at_ms: int
    order_no: str
    url: str
    number: int
    """1, 2 or 3; 0 for one that was sent by a button of the dashboard."""
    accepted: bool
    answer: str
    body: Mapping[str, Any] = attrs.field(factory=dict)
    """What was sent, with the signature masked."""
    answer_body: str = ""
    """The beginning of what the merchant's program answered."""


@attrs.define
class Ledger:
    """The gateway's record of everything. Tests read it; only the gateway writes it. Amounts are in minor units.

    ``orders`` and ``refunds`` are those that were made, by the gateway's number. ``calls`` is every request to an
    endpoint, and ``deliveries`` every try to deliver a notification, oldest first.
    """

    clock: Clock = attrs.field(repr=False)
    calls: list[Call] = attrs.field(factory=list, repr=False)
    """Every request to an endpoint, oldest first."""
    deliveries: list[Delivery] = attrs.field(factory=list, repr=False)
    """Every try to deliver a notification, oldest first."""
    on_added: Callable[[Order], object] = attrs.field(default=lambda _: None, repr=False)
    """Called once for each order that is made."""
    on_paid: Callable[[Order], object] = attrs.field(default=lambda _: None, repr=False)
    """Called once for each order that becomes paid."""
    on_delayed: Callable[[Order], object] = attrs.field(default=lambda _: None, repr=False)
    """Called for each order whose customer will act after so many seconds."""
    _orders: dict[str, Order] = attrs.field(factory=dict, init=False, repr=False)
    _refunds: dict[str, Refund] = attrs.field(factory=dict, init=False, repr=False)
    _by_number: dict[str, list[Order]] = attrs.field(factory=lambda: defaultdict(list), init=False, repr=False)
    _by_order: dict[str, list[Refund]] = attrs.field(factory=lambda: defaultdict(list), init=False, repr=False)
    _calls_logged: int = attrs.field(default=0, init=False, repr=False)
    _strangers: int = attrs.field(default=0, init=False, repr=False)
    _moves: int = attrs.field(default=0, init=False, repr=False)
    _delayed: dict[str, tuple[Order, OrderStatus, float]] = attrs.field(factory=dict, init=False, repr=False)
    """The orders whose customers will act, each with its status after that, and how many seconds after it was made."""

    # -- reading ----------------------------------------------------------------------------------------------------

    @property
    def orders(self) -> dict[str, Order]:
        """Every order by ``order_no``, oldest first, as of now."""
        self.apply_due()
        return self._orders

    @property
    def refunds(self) -> dict[str, Refund]:
        """Every refund by ``refund_no``, oldest first."""
        return self._refunds

    def find_order(self, order_no: str) -> Order:
        """The order with this ``order_no``. Raises KeyError, which says whether it is an ``out_order_no``."""
        if order_no in self.orders:
            return self.orders[order_no]
        raise KeyError(_not_found("order", order_no, [order.order_no for order in self.orders_of(order_no)]))

    def find_refund(self, refund_no: str) -> Refund:
        """The refund with this ``refund_no``. Raises KeyError, which says whether it is an ``out_refund_no``."""
        if refund_no in self.refunds:
            return self.refunds[refund_no]
        made = [refund.refund_no for refund in self._refunds.values() if refund.out_refund_no == refund_no]
        raise KeyError(_not_found("refund", refund_no, made))

    def orders_of(self, out_order_no: str, m_number: str | None = None) -> list[Order]:
        """The orders with this ``out_order_no``, oldest first: more than one where a call was repeated.

        ``m_number`` leaves out those of other merchants.
        """
        self.apply_due()
        return [order for order in self._by_number.get(out_order_no, []) if m_number in {None, order.m_number}]

    def refunds_of(self, order_no: str) -> list[Refund]:
        """The refunds of one order, oldest first."""
        return list(self._by_order.get(order_no, []))

    def acted(self, number: str) -> int:
        """How many orders or refunds were made under this ``out_order_no`` or ``out_refund_no``."""
        refunds = sum(refund.out_refund_no == number for refund in self._refunds.values())
        return len(self.orders_of(number)) + refunds

    def received(self, number: str) -> int:
        """How many calls that create something came with this ``out_order_no`` or ``out_refund_no``, refused or not."""
        return sum(number in {call.fields.get("out_order_no"), call.fields.get("out_refund_no")} for call in self.calls)

    def paid_total(self, currency: str = "AUD") -> int:
        """What customers have paid for orders in ``currency``, in minor units; refunds are not subtracted."""
        return sum(order.amount for order in self.orders.values() if order.is_paid and order.currency == currency)

    def refunded_total(self, currency: str = "AUD") -> int:
        """The sum of all refunds that have not failed, in minor units."""
        return sum(r.amount for r in self._refunds.values() if not r.status.is_failed and r.currency == currency)

    def left_to_refund(self, order_no: str) -> int:
        """What of a paid order can still be refunded, in minor units. Raises KeyError for an unknown order."""
        going = sum(refund.amount for refund in self.refunds_of(order_no) if not refund.status.is_failed)
        return self.orders[order_no].amount - going

    def charged_twice(self) -> list[str]:
        """Every ``out_order_no`` under which a customer paid more than once."""
        paid = Counter((order.m_number, order.out_order_no) for order in self.orders.values() if order.is_paid)
        return [number for (_, number), times in paid.items() if times > 1]

    def refunded_twice(self) -> list[str]:
        """Every ``out_refund_no`` under which more than one refund was made that has not failed."""
        going = Counter((r.m_number, r.out_refund_no) for r in self._refunds.values() if not r.status.is_failed)
        return [number for (_, number), times in going.items() if times > 1]

    def refused(self) -> list[Call]:
        """The calls that were answered with an error, oldest first."""
        return [call for call in self.calls if call.error_code]

    @property
    def revision(self) -> tuple[int, ...]:
        """A value that changes whenever anything in the ledger changes."""
        self.apply_due()
        return (self._calls_logged, len(self.deliveries), len(self._orders), len(self._refunds), self._moves)

    # -- writing ----------------------------------------------------------------------------------------------------

    def add_order(self, order: Order) -> None:
        """Enter an order; one that is entered as paid counts as paid now."""
        self._orders[order.order_no] = order
        self._by_number[order.out_order_no].append(order)
        self.on_added(order)
        delayed = order.delayed
        if delayed is not None and delayed.seconds is not None:
            self._delayed[order.order_no] = (order, delayed.then, delayed.seconds)
            self.on_delayed(order)
        if order.is_paid:
            self._pay(order, order.created_ms)

    def add_refund(self, refund: Refund) -> None:
        """Enter a refund."""
        self._refunds[refund.refund_no] = refund
        self._by_order[refund.order_no].append(refund)

    def move_order(self, order: Order, status: OrderStatus, at_ms: int | None = None) -> None:
        """Let an order go to ``status``, through every status between.

        Raises :class:`IllegalMove` if ``ORDER_LIFE`` has no way to it.
        """
        for step in path(ORDER_LIFE, order.status, status):
            order.status = step
            self._moves += 1
            if step is OrderStatus.PAID:
                self._pay(order, self.clock.time_ms() if at_ms is None else at_ms)
        if status.is_final:
            self._delayed.pop(order.order_no, None)

    def move_refund(self, refund: Refund, status: RefundStatus | None = None) -> None:
        """Let a refund go on by one ordinary step, or to ``status`` through every status between.

        Raises :class:`IllegalMove` if ``REFUND_LIFE`` has no way to it.
        """
        for step in path(REFUND_LIFE, refund.status, status):
            refund.status = step
            self._moves += 1
        if refund.status is RefundStatus.Closed:
            refund.closed_ms = self.clock.time_ms()

    def count_query(self, order: Order) -> None:
        """Count a QueryOrder about ``order``: a customer who acts after so many queries acts now."""
        order.queries += 1
        delayed = order.delayed
        if delayed is None or delayed.queries is None or order.status.is_final:
            return
        if order.queries >= delayed.queries:
            self.move_order(order, delayed.then)

    def apply_due(self) -> None:
        """Apply the outcomes that are due: some customers pay or decline after some seconds."""
        now_s = self.clock.monotonic()
        for order, then, seconds in tuple(self._delayed.values()):
            if order.created_s + seconds <= now_s:
                self.move_order(order, then, order.created_ms + round(seconds * 1000))

    def log(self, call: Call) -> None:
        """Write down a call. Of the calls of strangers only the newest are kept."""
        self._calls_logged += 1
        self.calls.append(attrs.evolve(call, number=self._calls_logged))
        self._strangers += call.is_stranger
        if self._strangers > 2 * KEPT_OF_STRANGERS:
            self._forget_strangers()

    def delivered(self, delivery: Delivery) -> None:
        """Write down a try to deliver a notification."""
        self.deliveries.append(delivery)

    def _forget_strangers(self) -> None:
        # This runs rarely, so that logging a call costs little on average.
        surplus = self._strangers - KEPT_OF_STRANGERS
        kept = []
        for call in self.calls:
            if call.is_stranger and surplus:
                surplus -= 1
            else:
                kept.append(call)
        self.calls[:] = kept
        self._strangers = KEPT_OF_STRANGERS

    def _pay(self, order: Order, at_ms: int) -> None:
        order.paid_ms = at_ms
        self.on_paid(order)


def _not_found(kind: str, number: str, made: list[str]) -> str:
    own = f": this is the out_{kind}_no of {made[-1]}" if made else ""
    return f"there is no {kind} {number}{own}"
