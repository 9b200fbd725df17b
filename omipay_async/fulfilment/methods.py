"""The session's methods for notifications and fulfilment, with their documentation. ``receiver`` does the work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from omipay_async.protocol.notifications import SealedBody

if TYPE_CHECKING:
    from collections.abc import Mapping

    from omipay_async.models import Notification, Order
    from omipay_async.protocol.expectation import HasOrderNo
    from omipay_async.protocol.notifications import NotificationReply

    from .handlers import Handler
    from .receiver import NotificationReceiver

    Body = bytes | bytearray | str | Mapping[str, Any]


class NotificationMethods:
    """The methods for notifications and paid orders. They call the session's ``NotificationReceiver``.

    Each that is given a body hides it at once: no frame of a traceback may show its signature (see ``text``).
    """

    _receiver: NotificationReceiver

    def parse_notification(self, body: Body, *, max_age: float | None = 300.0) -> Notification:
        """Check the signature, age and nonce of a notification, and return what it says. CN 3.9, EN 2.6.

        **It proves nothing about payment**: the signature does not cover the body, so whoever saw one signature of this
        merchant can send any body with it. Use ``receive_notification`` or ``confirm_notification``.

        ``body`` is what was received: bytes, text, or the JSON object as a mapping. ``max_age`` is how many seconds the
        notification's time may differ from now, in both directions; None for any.

        Raises:
            MalformedNotification, InvalidSignature, ReflectedNotification, StaleNotification: the body must not be
                believed. Answer 4xx.
            InvalidRequest: a wrong ``max_age``.
            SessionClosed: the session was closed.
        """
        sealed = SealedBody(body)
        del body
        return self._receiver.parse(sealed, max_age)

    async def confirm_notification(self, body: Body, *, timeout: float | None = None) -> Order:
        """Return the order that a notification names, **as the gateway itself reports it**. CN 3.9.

        The signature is checked and QueryOrder is sent. The order must be paid, and its number, ``out_order_no``,
        currency and amount must agree with the body; a field that either side leaves out is not compared. This ends
        the polls of the order and the waits for its ``out_order_no``, with a shared backend in other processes too. The
        age of the notification does not matter, because repeats may come late. Bodies for one order share a question to
        the gateway; ``timeout``, in seconds, limits the wait for it (the session's ``timeout`` if it is None).

        Raises:
            MalformedNotification, InvalidSignature, ReflectedNotification: the body must not be believed.
            ReplayedNotification: its signature was confirmed for another order before; the gateway was not asked.
            UnconfirmedNotification: the gateway does not confirm the body, or does not know the order.
            TransportError: the gateway did not answer, so nothing is known about the order. (``InvalidReply`` and
                ``GatewayError`` likewise.) Answer 503: the gateway delivers again.
            JournalError: the confirmation could not be written down in the session's journal.
        """
        sealed = SealedBody(body)
        del body
        return await self._receiver.confirm(sealed, timeout)

    async def receive_notification(self, body: Body, handler: Handler, *, timeout: float = 10.0) -> NotificationReply:
        """Do all that a ``notify_url`` has to do: confirm, run ``await handler(order)`` once, and answer. CN 3.9.

        ``timeout`` limits the confirmation, in seconds, and not the handler. There is an answer for every body: send
        its ``status``, ``body`` and ``headers``. It is

        - SUCCESS (200) only after the handler has succeeded, now or before;
        - FAIL (4xx) for a body that must not be believed;
        - FAIL (5xx), so that the gateway delivers again, if the gateway, the backend or the journal did not answer, if
          the handler raised (``reply.error``; logged with its traceback), or if the handler is still running.

        The handler runs *at least* once for each paid order, never twice at the same time while its lease holds, and
        never after its success was recorded. Let it be one transaction that inserts ``order.order_no`` under a unique
        key that ignores case. A handler that blocks the event loop for longer than the backend's lease looks dead to
        other processes: run blocking code in ``asyncio.to_thread``. If this is cancelled, so is the handler that it
        began, and the next delivery runs it again.

        Raises:
            InvalidRequest: the handler cannot be called, or ``timeout`` is wrong. (That a handler is not async may
                show only when it is called: then each delivery is answered 500.)
        """
        sealed = SealedBody(body)
        del body
        return await self._receiver.receive(sealed, handler, timeout)

    async def fulfil(self, order_no: str | HasOrderNo, handler: Handler, *, timeout: float | None = None) -> Order:
        """Ask the gateway about an order and, if it is paid, run ``await handler(order)`` under the once-guard. CN 3.8.

        Use it after a poll, and in a sweep over your own unpaid orders, because a notification is delivered three
        times only. Returns the order, paid or not: look at ``is_paid``. ``timeout`` limits the question to the gateway,
        in seconds (the session's ``timeout`` if it is None). Run blocking code in ``asyncio.to_thread``. If this is
        cancelled, so is the handler that it began, and the next call runs it again.

        ``order_no`` is an order's number or, as for ``poll_until_paid``, an order object: then an answer about another
        sale, whose ``out_order_no``, currency or amount are not those of the object, is an ``InvalidReply``.

        Raises:
            LookupFailed: the gateway does not know the order, or it is another merchant's.
            BackendError: nobody knows whether the handler may run, or its success could not be recorded. Call it again.
            JournalError: the confirmation could not be written down; the handler did not run.
            SessionClosed: the session was closed before the handler could begin; call it again in an open one.
            Exception: what the handler raised; the next call runs it again.
        """
        return await self._receiver.fulfil(order_no, handler, timeout)

    async def wait_for_notification(self, out_order_no: str, *, timeout: float | None = 60.0) -> Order:
        """Wait until the order with this ``out_order_no`` is confirmed as paid. For a till, after ``OutcomeUnknown``.

        The order may be confirmed by a notification, ``fulfil`` or ``settle``, in this session or, with a shared
        backend or journal that is a ``NoteKeeper``, in any other. It may have been confirmed before this call, since
        that is remembered for ten minutes at least. What QueryOrder reports counts, never the body of a notification.
        This call sends nothing to the gateway: if the order has no ``notify_url``, no notification ends it. If the
        gateway leaves ``out_order_no`` out of its answers, no wait ends, and that is logged once as a WARNING.
        ``timeout`` is in seconds, None for ever. CN 3.9.

        Raises:
            PollTimeout: no such order was confirmed in time; it carries ``out_order_no``. The customer may have paid
                all the same: do not charge again, but look into the back office.
            SessionClosed: the session was closed meanwhile.
            InvalidRequest: a wrong ``out_order_no`` or ``timeout``.
        """
        return await self._receiver.wait(out_order_no, timeout)
