"""Waiting for money as methods of the session: polls on their boards, woken by whoever confirms an order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from omipay_async.codes import Safety
from omipay_async.errors import BackendError, OmipayError, Outcome, PaymentFailed, RefundFailed
from omipay_async.events import Event, logger
from omipay_async.fulfilment.backends import Listener
from omipay_async.protocol import validation
from omipay_async.protocol.endpoints import QUERY_ORDER, QUERY_REFUND
from omipay_async.transport.pool import Priority

from .poller import Poller, PollState, Schedule

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from omipay_async.calls.executor import CallExecutor
    from omipay_async.calls.gateway import Gateway
    from omipay_async.calls.lifecycle import Lifecycle
    from omipay_async.events import Events
    from omipay_async.fulfilment.backends import Backend
    from omipay_async.models import Order, Refund, RefundReceipt
    from omipay_async.protocol.endpoints import Endpoint
    from omipay_async.transport.client import HTTPClient

S = TypeVar("S", bound=PollState)


def _unless_failed(state: S, failed: Callable[[S], OmipayError]) -> S:
    if state.is_failed:
        raise failed(state)
    return state


class WaitingMethods:
    """What a session waits for."""

    _backend: Backend
    _caller: CallExecutor
    _events: Events
    _gateway: Gateway
    _life: Lifecycle
    _listening: asyncio.Task[None] | None
    _m_number: str
    _orders: Poller[Order]
    _refunds: Poller[Refund]
    _timeout: float
    _wire: HTTPClient

    async def poll_until_paid(
        self,
        order: object,
        *,
        first_wait: float = 5.0,
        interval: float = 5.0,
        timeout: float | None = 120.0,
        on_status: Callable[[Order], Awaitable[object] | object] | None = None,
    ) -> Order:
        """Wait until an order is paid: ``first_wait`` seconds, then QueryOrder, then every ``interval`` seconds.

        ``order`` is an order number or any order object; a ``ScanOrder`` that is paid already is asked for at once.
        After a restart: ``poll_until_paid(order_no, first_wait=0)``. ``timeout`` in seconds bounds it all (None: for
        ever). ``on_status(order)``, sync or async, is called on the first status seen and on each change; what it
        raises ends this poll. Passing trouble is ridden out. A confirmed notification ends the wait at once. CN 3.4(6).

        Raises:
            PaymentFailed: the order will not be paid (``.order``).
            PollTimeout: nothing final in time. The customer may still pay: ask ``query_order`` later.
            AuthenticationError, LookupFailed, ParameterError: asking again would not help.
            SessionClosed: with ``order_no``: the session was closed meanwhile.
        """
        number = getattr(order, "order_no", order)
        if getattr(order, "is_paid", False):
            first_wait = 0.0

        def failed(order: Order) -> PaymentFailed:
            return PaymentFailed(f"{order.order_no}: the order is {order.status}", order=order)

        return await self._poll(self._orders, number, first_wait, interval, timeout, on_status, failed)

    async def poll_until_refunded(
        self,
        refund: RefundReceipt | Refund | str,
        *,
        timeout: float | None,
        first_wait: float = 5.0,
        interval: float = 60.0,
        on_status: Callable[[Refund], Awaitable[object] | object] | None = None,
    ) -> Refund:
        """Wait until a refund has arrived, as ``poll_until_paid`` waits for an order; refunds take days. CN 3.11.

        ``refund`` is a refund number, a receipt or a refund. There is no default ``timeout`` (seconds; None: for ever).

        Raises:
            RefundFailed: the refund will not be paid out (``.refund``).
            PollTimeout, AuthenticationError, LookupFailed, ParameterError, SessionClosed: as ``poll_until_paid``.
        """
        number = getattr(refund, "refund_no", refund)

        def failed(refund: Refund) -> RefundFailed:
            return RefundFailed(f"{refund.refund_no}: the refund is {refund.status}", refund=refund)

        return await self._poll(self._refunds, number, first_wait, interval, timeout, on_status, failed)

    async def _poll(  # noqa: PLR0917 - the arguments of two public methods, handed on
        self,
        board: Poller[S],
        number: object,
        first_wait: float,
        interval: float,
        timeout: float | None,
        on_status: Callable[[S], object] | None,
        failed: Callable[[S], OmipayError],
        /,
    ) -> S:
        began = self._caller.clock.monotonic()
        error: BaseException | None = None
        try:
            schedule = Schedule(
                began,
                validation.seconds("first_wait", first_wait),
                validation.seconds("interval", interval, above=True),
                None if timeout is None else validation.seconds("timeout", timeout, above=True),
            )
            number = validation.text(board.kind, number)
            if on_status is not None and not callable(on_status):
                validation.refuse("on_status", "must be a function")
            state = await self._poll_as_guest(board, number, schedule, on_status)
            return _unless_failed(state, failed)
        except BaseException as caught:
            error = caught
            if isinstance(error, OmipayError) and not isinstance(error, PaymentFailed | RefundFailed):
                error.outcome = Outcome.UNKNOWN  # the order may be paid all the same
            raise
        finally:
            self._tell_poll(board, number, began, error)

    async def _poll_as_guest(
        self, board: Poller[S], number: str, schedule: Schedule, on_status: Callable[[S], object] | None
    ) -> S:
        with self._life.in_use():
            self._listen()
            return await board.poll(number, schedule, on_status)

    def _tell_poll(self, board: Poller[Any], number: object, began: float, error: BaseException | None) -> None:
        if self._events.wanted:
            unclear = None if error is None else Outcome.UNKNOWN
            event = Event(
                "poll",
                endpoint=QUERY_ORDER.name if board.kind == "order" else QUERY_REFUND.name,
                safety=Safety.READ,
                duration_s=self._caller.clock.monotonic() - began,
                error=None if error is None else type(error).__name__,
                outcome=getattr(error, "outcome", unclear),
                error_code=getattr(error, "error_code", None),
                order_no=number if board.kind == "order" and isinstance(number, str) else None,
            )
            self._events.emit(event)

    def _boards(self) -> tuple[Poller[Order], Poller[Refund]]:
        def board(kind: Literal["order", "refund"], endpoint: Endpoint, parameter: str) -> Any:
            return Poller(
                self._question(endpoint, parameter),
                kind=kind,
                clock=self._caller.clock,
                at_once=self._wire.slots.limits[Priority.POLL],
                timeout=self._timeout,
                primary_node=self._caller.nodes.primary.name,
            )

        return board("order", QUERY_ORDER, "order_no"), board("refund", QUERY_REFUND, "refund_no")

    def _question(self, endpoint: Endpoint, parameter: str) -> Callable[[str, float], Awaitable[Any]]:
        async def ask(number: str, timeout: float) -> Any:
            return await self._gateway.call(endpoint, {parameter: number}, timeout=timeout, priority=Priority.POLL)

        return ask

    # -- wake-ups from other processes ------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Be woken by other processes from the first poll on, where the backend is shared with some."""
        backend = self._backend
        listening = self._listening
        loop = asyncio.get_running_loop()
        deaf = listening is None or listening.done() or listening.get_loop() is not loop
        if deaf and isinstance(backend, Listener):
            self._listening = loop.create_task(self._hear(backend))

    async def _hear(self, listener: Listener) -> None:
        prefix = f"{self._m_number}:"

        def wake(key: str) -> None:
            if key.startswith(prefix):
                self._orders.wake(key.removeprefix(prefix))

        try:
            async with listener.listen(wake):
                await asyncio.get_running_loop().create_future()
        except BackendError as error:
            logger.warning("wake-ups from other processes cannot be heard, polls go on by interval: %s", error)

    async def _stop_listening(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None and listening.get_loop() is asyncio.get_running_loop():
            listening.cancel()
            await asyncio.wait([listening])
