"""Receives notifications and fulfils orders (CN 3.9).

The steps of a notification:

1. The body is parsed, and its signature is checked.
2. The gateway is asked about the order.
3. Polls and waits are woken, and the journal writes the confirmation down.
4. The handler runs under the once-guard.
5. The gateway is answered SUCCESS.

``fulfil`` begins with the second step, ``settle`` with the third, and neither has the last.
"""

from __future__ import annotations

import functools
import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from omipay_async.errors import (
    BackendError,
    LookupFailed,
    MalformedNotification,
    NotificationError,
    OmipayError,
    Outcome,
    ReplayedNotification,
    SessionClosed,
    TransportError,
    UnconfirmedNotification,
)
from omipay_async.events import Event, Events
from omipay_async.log import log_fields, logger, order_fields
from omipay_async.protocol import notifications, validation
from omipay_async.protocol.endpoints import QUERY_ORDER
from omipay_async.protocol.expectation import ensure_same_sale, number_of

from .backends import one_spelling
from .handlers import checked_handler
from .runs import StillRunning, WatchedHandler, closed_before_running
from .waits import closed_while_waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from omipay_async.calls.gateway import Gateway
    from omipay_async.calls.lifecycle import Lifecycle
    from omipay_async.clock import Clock
    from omipay_async.models import Notification, Order
    from omipay_async.protocol.expectation import HasOrderNo
    from omipay_async.protocol.notifications import NotificationReply, SealedBody

    from .announcements import Announcements
    from .confirmations import Confirmations
    from .guard import OnceGuard
    from .handlers import Handler
    from .waits import Waits

_MOST_SIGNATURES: Final = 10_000
"""How many signatures of confirmed notifications are remembered. A stranger adds one only with a new signature."""
_STATUSES: Final[Mapping[type[NotificationError], int]] = {MalformedNotification: 400, UnconfirmedNotification: 409}
"""The HTTP statuses of refusals; of all others it is 403."""


class NotificationReceiver:
    """Parses, confirms and receives the notifications of one session, and fulfils its orders.

    Args:
        parse: Parses a body, and checks its signature and how many seconds old it is at most (None: any age).
        confirmations: Asks the gateway about the orders that notifications name.
        announcements: Tells everybody about confirmed orders.
        primary_node: The name of the node that knows every order of this merchant.
    """

    def __init__(
        self,
        *,
        parse: Callable[[SealedBody, float | None], Notification],
        gateway: Gateway,
        confirmations: Confirmations,
        announcements: Announcements,
        waits: Waits,
        guard: OnceGuard,
        life: Lifecycle,
        events: Events,
        clock: Clock,
        primary_node: str,
    ) -> None:
        self._parse = parse
        self._gateway = gateway
        self._confirmations = confirmations
        self._announcements = announcements
        self._waits = waits
        self._guard = guard
        self._life = life
        self._events = events
        self._clock = clock
        self._primary_node = primary_node
        self._confirmed_for: OrderedDict[str, str] = OrderedDict()
        """The order that each signature was confirmed for, by the fingerprint of the signature."""

    def parse(self, body: SealedBody, max_age: float | None) -> Notification:
        """Return what a body says, if its signature is valid and it is not too old."""
        if max_age is not None:
            with validation.with_outcome(None):
                max_age = validation.seconds("max_age", max_age)
        self._life.ensure_open()
        return self._parse(body, max_age)

    # -- confirming ---------------------------------------------------------------------------------------------------

    async def confirm(self, body: SealedBody, timeout: float | None) -> Order:
        """Return the order that a body names, as the gateway reports it."""
        with validation.with_outcome(None):
            limit = self._gateway.limit(timeout)
        with self._life.in_use():
            return await self._confirm(self._parse(body, None), limit)

    async def _confirm(self, notification: Notification, limit: float) -> Order:
        signature = _fingerprint(notification)
        self._check_replay(signature, notification.order_no)
        order = await self._ask(notification.order_no, signature, limit)
        self._check_replay(signature, notification.order_no)  # again: another body may have been confirmed meanwhile
        notifications.compare(notification, order)
        self._remember_signature(signature, order.order_no)
        await self._announcements.announce(order)
        return order

    async def _ask(self, order_no: str, signature: str, limit: float) -> Order:
        try:
            return await self._confirmations.query(order_no, signature, limit)
        except LookupFailed as error:
            node = error.node
        if node != self._primary_node:
            message = f"order {order_no}: only the second node could be reached, and it does not know this order yet"
            raise TransportError(message, endpoint=QUERY_ORDER.name)
        message = f"the gateway does not know order {order_no}, or says that it is another merchant's"
        raise UnconfirmedNotification(message)

    def _check_replay(self, signature: str, order_no: str) -> None:
        confirmed_for = self._confirmed_for.get(signature)
        if confirmed_for is not None and confirmed_for != one_spelling(order_no):
            raise _replayed(order_no)

    def _remember_signature(self, signature: str, order_no: str) -> None:
        self._confirmed_for[signature] = one_spelling(order_no)
        self._confirmed_for.move_to_end(signature)
        if len(self._confirmed_for) > _MOST_SIGNATURES:
            self._confirmed_for.popitem(last=False)
        self._confirmations.refuse_others(signature, order_no, _replayed)

    # -- receiving ----------------------------------------------------------------------------------------------------

    async def receive(self, body: SealedBody, handler: Handler, timeout: float) -> NotificationReply:
        """Confirm a notification, run the handler once, and return the answer."""
        with validation.with_outcome(None):
            checked_handler(handler)
            limit = validation.seconds("timeout", timeout, above=True)
        began = self._clock.monotonic()
        reply = await self._received(body, handler, limit)
        self._events.emit(
            Event(
                "notification",
                duration_s=self._clock.monotonic() - began,
                error=None if reply.error is None else type(reply.error).__name__,
                order_no=None if reply.order is None else reply.order.order_no,
                out_order_no=None if reply.order is None else reply.order.out_order_no,
            )
        )
        return reply

    async def _received(self, body: SealedBody, handler: Handler, limit: float) -> NotificationReply:
        began = self._clock.monotonic()
        order_no = None  # of a body whose signature is valid
        try:
            with self._life.in_use():
                notification = self._parse(body, None)
                order_no = notification.order_no
                order = await self._confirm(notification, limit)
        except NotificationError as error:
            notifications.log_refusal(error, order_no)
            return notifications.failure(_STATUSES.get(type(error), 403), error)
        except OmipayError as error:
            text = "a notification could not be confirmed, so the gateway is to deliver it again: %s"
            logger.warning(text, error, extra=log_fields(order_no=order_no))
            return notifications.failure(503, error)
        wait_timeout = max(0.0, began + limit - self._clock.monotonic())
        return await self._run_handler(order, WatchedHandler(handler), wait_timeout)

    async def _run_handler(self, order: Order, watched: WatchedHandler, wait_timeout: float) -> NotificationReply:
        try:
            with self._life.in_use(functools.partial(closed_before_running, order.order_no)):
                ran = await self._guard.run(order, watched, wait_timeout=wait_timeout)
        except (BackendError, SessionClosed) as error:
            logger.warning(
                "order %s: the handler did not run, or failed, or is not recorded: %s",
                order.order_no,
                error,
                exc_info=error is watched.raised,
                extra=order_fields(order),
            )
            return notifications.failure(503, error, order)
        except StillRunning as running:
            return notifications.failure(503, BackendError(f"order {order.order_no}: {running}"), order)
        except Exception as error:  # noqa: BLE001 - the handler is the user's; whatever it raises means FAIL
            text = "order %s: the handler raised; the next delivery runs it again"
            logger.exception(text, order.order_no, extra=order_fields(order))
            return notifications.failure(500, error, order)
        return notifications.success(order, ran=ran)

    # -- fulfilling ---------------------------------------------------------------------------------------------------

    async def fulfil(self, subject: str | HasOrderNo, handler: Handler, timeout: float | None) -> Order:
        """Ask the gateway about an order and, if it is paid, run the handler once."""
        with validation.with_outcome(None):
            checked_handler(handler)
        values = {"order_no": number_of(subject, "order_no")}
        order: Order = await self._gateway.call(QUERY_ORDER, values, timeout=timeout)
        ensure_same_sale(order, subject)
        if order.is_paid:
            await self.fulfil_paid(order, handler)
        return order

    async def fulfil_paid(self, order: Order, handler: Handler) -> None:
        """Run the handler once for an order that the gateway has just reported as paid."""
        with self._life.in_use(functools.partial(closed_before_running, order.order_no)):
            await self._announcements.announce(order)
            await self._guard.run(order, handler, wait_timeout=None)

    async def wait(self, out_order_no: str, timeout: float | None) -> Order:
        """Wait until the order with this ``out_order_no`` is confirmed."""
        with validation.with_outcome(Outcome.UNKNOWN):
            number = validation.text("out_order_no", out_order_no)
            limit = None if timeout is None else validation.seconds("timeout", timeout, above=True)
        with self._life.in_use(functools.partial(closed_while_waiting, number)):
            return await self._waits.wait(number, limit)

    # -- the end ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End the waits for notifications and for the claims of other processes, because the session was closed."""
        self._waits.close()
        self._guard.close()

    def leave_loop(self) -> None:
        """Forget what was under way in an event loop that has ended."""
        self._confirmations.leave_loop()
        self._announcements.leave_loop()
        self._waits.leave_loop()

    async def drain(self, timeout: float) -> None:
        """Wait until no handler runs and until other processes were notified, ``timeout`` seconds at most for each."""
        await self._guard.drain(timeout)
        await self._announcements.drain(timeout)


def _fingerprint(notification: Notification) -> str:
    """A hash of the nonce, which is different for each signature. No frame shows the nonce itself (see ``text``)."""
    return hashlib.sha256(str(notification.raw["nonce_str"]).encode(errors="replace")).hexdigest()


def _replayed(order_no: str) -> ReplayedNotification:
    message = f"order {order_no}: the signature of this notification was confirmed for another order before"
    return ReplayedNotification(message)
