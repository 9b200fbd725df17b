"""Notifications and fulfilment as methods of the session (CN 3.9): ask the gateway, guard the handler, answer.

The order of things: the body is parsed and its signature checked, the gateway is asked, pollers are woken, the handler
runs under the once-guard, and only then the gateway is told SUCCESS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from omipay_async.errors import (
    BackendError,
    LookupFailed,
    MalformedNotification,
    NotificationError,
    OmipayError,
    SessionClosed,
    TransportError,
    UnconfirmedNotification,
)
from omipay_async.events import Event, Events, logger
from omipay_async.protocol import notifications, validation
from omipay_async.protocol.endpoints import QUERY_ORDER

from .guard import OnceGuard, StillRunning, checked_handler

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from omipay_async.calls.executor import CallExecutor
    from omipay_async.calls.lifecycle import Lifecycle
    from omipay_async.models import Notification, Order
    from omipay_async.polling.service import PollingService
    from omipay_async.protocol.decoding import ReplyDecoder
    from omipay_async.protocol.notifications import NotificationReply, SealedBody

    from .backends import Backend

    Body = bytes | bytearray | str | Mapping[str, Any]
    Handler = Callable[[Order], Awaitable[object]]


class ReceivingMethods:
    """What a session does with notifications."""

    _m_number: str
    _backend: Backend
    _caller: CallExecutor
    _events: Events
    _guard: OnceGuard
    _life: Lifecycle
    _polling: PollingService

    if TYPE_CHECKING:  # of the session

        async def query_order(self, order_no: str, *, timeout: float | None = None) -> Order: ...
        def _decoder(self) -> ReplyDecoder: ...

    def parse_notification(self, body: Body, *, max_age: float | None = 300.0) -> Notification:
        """What a notification says, once its signature, age and nonce are checked. CN 3.9, EN 2.6.

        **It proves nothing about payment**: the signature covers no byte of the body, and whoever saw one signature of
        this merchant can put it under any body. Use ``receive_notification`` or ``confirm_notification``.

        ``body`` is what was received (bytes, text, or the JSON object as a mapping); ``max_age`` in seconds, in both
        directions, None for any.

        Raises:
            MalformedNotification, InvalidSignature, ReflectedNotification, StaleNotification
        """
        sealed = notifications.SealedBody(body)
        del body  # no frame shows the signature
        if max_age is not None:
            validation.seconds("max_age", max_age)
        self._life.ensure_open()
        notification = self._parse(sealed)
        notifications.check_age(notification, self._caller.gateway_time.time_ms(), max_age)
        return notification

    def _parse(self, sealed: SealedBody) -> Notification:
        return notifications.parse(
            sealed,
            credentials=self._caller.credentials,
            issued=getattr(self._caller.nonces, "issued", None),
            decoder=self._decoder(),
        )

    async def confirm_notification(self, body: Body, *, timeout: float | None = None) -> Order:
        """The order that a notification speaks of, **as the gateway itself tells it**: paid, and as the body claims.

        The signature is checked, then QueryOrder is asked; number, ``out_order_no``, currency and amount must agree
        (what either side leaves out does not disagree). Whoever polls this order, here or in another process, is woken.
        Repeats may come late: age does not matter here.

        Raises:
            MalformedNotification, InvalidSignature, ReflectedNotification: the body is not to be believed.
            UnconfirmedNotification: the gateway does not bear it out, or does not know the order.
            TransportError: the gateway could not be asked: no verdict. (``InvalidReply``, ``GatewayError`` likewise.)
        """
        sealed = notifications.SealedBody(body)
        del body  # no frame shows the signature
        return await self._confirmed(sealed, timeout)

    async def _confirmed(self, sealed: SealedBody, timeout: float | None) -> Order:
        self._life.ensure_open()
        notification = self._parse(sealed)
        try:
            order = await self.query_order(notification.order_no, timeout=timeout)
        except LookupFailed as error:
            order, node = None, error.node
        if order is None:
            if node != self._caller.nodes.primary.name:
                message = "only the second node could be asked, and it does not know this order yet"
                raise TransportError(message, endpoint=QUERY_ORDER.name)
            raise UnconfirmedNotification("the gateway does not know this order, or says that it is another merchant's")
        notifications.compare(notification, order)
        self._wake(order)
        return order

    def _wake(self, order: Order) -> None:
        self._polling.confirmed(order)
        self._guard.wake(order.order_no)

    async def receive_notification(self, body: Body, handler: Handler, *, timeout: float = 10.0) -> NotificationReply:
        """The whole duty of a ``notify_url`` in one call: confirm, run ``await handler(order)`` once, answer.

        ``timeout`` bounds the confirmation, in seconds, not the handler. Whatever the body is, an answer comes back:
        send its ``status``, ``body`` and ``headers``. SUCCESS only after the handler succeeded, now or before; 4xx and
        FAIL for a body that is not to be believed; 5xx and FAIL, so that the gateway delivers again, where the gateway
        or the backend could not be asked, where the handler raised (``reply.error``; logged with its traceback), or
        where it is still running.

        The handler runs *at least* once for each paid order, never beside itself, never after its success was recorded:
        let it be one transaction that inserts ``order.order_no`` under a unique key.

        Raises:
            InvalidRequest: for a handler that cannot be called, or a wrong ``timeout``. (One that is not async shows
                when it is called: the answer is 500 then, each time.)
        """
        sealed = notifications.SealedBody(body)
        del body  # no frame shows the signature
        checked_handler(handler)
        limit = validation.seconds("timeout", timeout, above=True)
        began = self._caller.clock.monotonic()
        reply = await self._received(sealed, handler, limit)
        if reply.error is not None and isinstance(reply.error, NotificationError):
            notifications.log_refusal(reply.error)
        self._events.emit(
            Event(
                "notification",
                duration_s=self._caller.clock.monotonic() - began,
                error=None if reply.error is None else type(reply.error).__name__,
                order_no=None if reply.order is None else reply.order.order_no,
                out_order_no=None if reply.order is None else reply.order.out_order_no,
            )
        )
        return reply

    async def _received(self, sealed: SealedBody, handler: Handler, limit: float) -> NotificationReply:
        began = self._caller.clock.monotonic()
        try:
            order = await self._confirmed(sealed, limit)
        except NotificationError as error:
            status = 409 if isinstance(error, UnconfirmedNotification) else 403
            return notifications.failure(400 if isinstance(error, MalformedNotification) else status, error)
        except OmipayError as error:
            logger.warning("a notification could not be confirmed, the gateway is to deliver it again: %s", error)
            return notifications.failure(503, error)
        wait_timeout = max(0.0, began + limit - self._caller.clock.monotonic())
        try:
            ran = await self._run_once(order, handler, wait_timeout)
        except (BackendError, SessionClosed) as error:
            logger.warning("order %s: the handler did not run or is not recorded: %s", order.order_no, error)
            return notifications.failure(503, error, order)
        except StillRunning as running:
            return notifications.failure(503, BackendError(_why_not_run(running)), order)
        except Exception as error:  # noqa: BLE001 - the handler is the user's; whatever it raises means FAIL
            logger.exception("order %s: the handler raised; the next delivery runs it again", order.order_no)
            return notifications.failure(500, error, order)
        return notifications.success(order, ran=ran)

    async def fulfil(self, order_no: str, handler: Handler, *, timeout: float | None = None) -> Order:
        """Ask the gateway about an order and, if it is paid, run ``await handler(order)`` under the once-guard.

        For the end of a poll, and for a sweep over your own unpaid orders: a notification is delivered three times
        only. Returns the order, paid or not: look at ``is_paid``. ``timeout`` bounds the question, in seconds.

        Raises:
            BackendError: whether the handler may run is not known, or its success could not be recorded.
            Exception: what the handler raised; the next call runs it again.
        """
        checked_handler(handler)
        order = await self.query_order(order_no, timeout=timeout)
        if order.is_paid:
            self._wake(order)
            await self._run_once(order, handler, None)
        return order

    async def _run_once(self, order: Order, handler: Handler, wait_timeout: float | None) -> bool:
        with self._life.in_use():
            return await self._guard.run(order, handler, wait_timeout=wait_timeout)


def _why_not_run(running: StillRunning) -> str:
    if running.here:
        return "the handler is still running for an earlier delivery"
    return (
        "another process holds the claim on this order: its handler has not ended, "
        "or that process died less than a lease ago"
    )
