"""Runs a poll from the arguments of a method to the result or the error, and reports it as an event.

Every error of a poll has ``outcome`` UNKNOWN, whatever the failed call had, since the customer may still pay. Only
``PaymentFailed`` and ``RefundFailed``, which the gateway has confirmed, have ``outcome`` NOT_DONE.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from omipay_async.calls import outcomes
from omipay_async.codes import Safety
from omipay_async.errors import OmipayError, PaymentFailed, RefundFailed
from omipay_async.events import Event
from omipay_async.fulfilment.memory import forget_expired, remember
from omipay_async.protocol import validation
from omipay_async.protocol.endpoints import QUERY_ORDER, QUERY_REFUND
from omipay_async.protocol.expectation import ORDER_FIELDS, REFUND_FIELDS, expectation, number_of
from omipay_async.text import plain_text
from omipay_async.transport.pool import Priority

from .scheduler import Schedule
from .subject import S, Topic

if TYPE_CHECKING:
    from collections.abc import Callable

    from omipay_async.calls.gateway import Gateway
    from omipay_async.calls.lifecycle import Lifecycle
    from omipay_async.clock import Clock
    from omipay_async.events import Events
    from omipay_async.fulfilment.wakeups import WakeUps
    from omipay_async.models import Order, Refund

    from .poller import Poller


class PollingService:
    """The polls of one session."""

    def __init__(
        self,
        *,
        poller: Poller,
        gateway: Gateway,
        life: Lifecycle,
        events: Events,
        clock: Clock,
        wake_ups: WakeUps,
    ) -> None:
        self._poller = poller
        self._life = life
        self._events = events
        self._clock = clock
        self._wake_ups = wake_ups
        ask_order = gateway.question(QUERY_ORDER, "order_no", Priority.POLL)
        ask_refund = gateway.question(QUERY_REFUND, "refund_no", Priority.POLL)
        self.orders: Topic[Order] = Topic("order", QUERY_ORDER, ORDER_FIELDS, ask_order, _payment_failed)
        self.refunds: Topic[Refund] = Topic("refund", QUERY_REFUND, REFUND_FIELDS, ask_refund, _refund_failed)
        self._confirmed: OrderedDict[str, tuple[float]] = OrderedDict()
        """Until when it is remembered of an order that somebody has confirmed it: polls that begin then ask at once."""
        wake_ups.subscribe(self._wake)

    async def poll(
        self,
        topic: Topic[S],
        given: object,
        *,
        first_wait: float,
        interval: float,
        timeout: float | None,
        on_status: Callable[[S], object] | None,
    ) -> S:
        """Wait until ``given``, a number or an object that has one, is paid or refunded. Returns the final state.

        Raises:
            PaymentFailed, RefundFailed: the final state is a failure.
            OmipayError: everything else, with ``outcome`` UNKNOWN.
        """
        began = self._clock.monotonic()
        number = number_of(given, f"{topic.kind}_no")
        error: BaseException | None = None
        try:
            number = validation.text(topic.kind, number)
            at_once = getattr(given, "is_final", False) or (topic.kind == "order" and self._is_confirmed(number))
            schedule = _schedule(began, first_wait, interval, timeout, at_once=at_once)
            if on_status is not None and not callable(on_status):
                validation.reject("on_status", "must be a function")
            with self._life.in_use(functools.partial(topic.closed, number)):
                self._wake_ups.listen()
                expected = expectation(given, topic.fields)
                state = await self._poller.poll(topic, number, schedule, expected, on_status)
            if not state.is_failed:
                return state
            error = topic.failed(state)
        except OmipayError as caught:
            error = outcomes.restated(caught, outcomes.of_poll(caught))
        except BaseException as caught:
            error = caught
            raise
        finally:
            self._report(topic, given, number, began, error)
        raise error

    def _report(
        self, topic: Topic[Any], given: object, number: object, began: float, error: BaseException | None
    ) -> None:
        if not self._events.enabled:
            return
        self._events.emit(
            Event(
                "poll",
                endpoint=topic.endpoint.name,
                safety=Safety.READ,
                duration_s=self._clock.monotonic() - began,
                error=None if error is None else type(error).__name__,
                outcome=None if error is None else outcomes.of_poll(error),
                error_code=getattr(error, "error_code", None),
                order_no=_text(number if topic.kind == "order" else getattr(given, "order_no", None)),
                out_order_no=_text(getattr(given, "out_order_no", None)),
                out_refund_no=_text(getattr(given, "out_refund_no", None)),
            )
        )

    def deliver(self, order: Order) -> None:
        """End the polls of ``order``, which the gateway has confirmed as paid."""
        self._remember(order.order_no)
        self._poller.deliver(self.orders, order.order_no, order)

    def _wake(self, order_no: str) -> None:
        self._remember(order_no)
        self._poller.wake(self.orders, order_no)

    def _remember(self, order_no: str) -> None:
        remember(self._confirmed, order_no, now=self._clock.monotonic())

    def _is_confirmed(self, order_no: str) -> bool:
        forget_expired(self._confirmed, self._clock.monotonic())
        return order_no in self._confirmed


def _schedule(now: float, first_wait: float, interval: float, timeout: float | None, *, at_once: bool) -> Schedule:
    """The schedule of a poll that begins ``now``."""
    first_wait = validation.seconds("first_wait", first_wait)
    return Schedule.begin(
        now,
        first_wait=0.0 if at_once else first_wait,
        interval=validation.seconds("interval", interval, above=True),
        timeout=None if timeout is None else validation.seconds("timeout", timeout, above=True),
    )


def _payment_failed(order: Order) -> PaymentFailed:
    message = f"order {order.order_no} is {order.status} and will not be paid: a new attempt needs a new out_order_no"
    return PaymentFailed(message, order=order)


def _refund_failed(refund: Refund) -> RefundFailed:
    why = f"refund {refund.refund_no} is {refund.status} and will not be paid out: a new one needs a new out_refund_no"
    return RefundFailed(why, refund=refund)


def _text(value: object) -> str | None:
    return plain_text(value) if isinstance(value, str) else None
