"""Notifications and fulfilment as methods of the session: what users read. ``receiver`` does the work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omipay_async.protocol.notifications import SealedBody

if TYPE_CHECKING:
    from omipay_async.models import Notification, Order
    from omipay_async.protocol.notifications import NotificationReply

    from .receiver import Body, Handler, NotificationReceiver


class NotificationMethods:
    """What a session does with notifications and with paid orders, by means of its ``NotificationReceiver``."""

    _receiver: NotificationReceiver

    def parse_notification(self, body: Body, *, max_age: float | None = 300.0) -> Notification:
        """What a notification says, once its signature, age and nonce are checked. CN 3.9, EN 2.6.

        **It proves nothing about payment**: the signature covers no byte of the body, and whoever saw one signature of
        this merchant can put it under any body. Use ``receive_notification`` or ``confirm_notification``.

        ``body`` is what was received (bytes, text, or the JSON object as a mapping); ``max_age`` in seconds, in both
        directions, None for any.

        Raises:
            MalformedNotification, InvalidSignature, ReflectedNotification, StaleNotification
        """
        sealed = SealedBody(body)
        del body  # no frame shows the signature
        return self._receiver.parse(sealed, max_age)

    async def confirm_notification(self, body: Body, *, timeout: float | None = None) -> Order:
        """The order that a notification names, **as the gateway itself reports it**: paid, and as the body claims.

        The signature is checked, then QueryOrder is sent; number, ``out_order_no``, currency and amount must agree
        (what either side leaves out does not disagree). Whoever polls this order, or waits for its ``out_order_no``,
        here or in another process, is woken. Repeats may come late: age does not matter here. Bodies for one order
        share a question, and ``timeout``, in seconds, bounds the wait for it.

        Raises:
            MalformedNotification, InvalidSignature, ReflectedNotification: the body is not to be believed.
            ReplayedNotification: its signature was confirmed for another order before; the gateway was not queried.
            UnconfirmedNotification: the gateway does not confirm it, or does not know the order.
            TransportError: the gateway could not be queried, so nothing is known. (``InvalidReply``, ``GatewayError``
                likewise.)
            JournalError: the confirmation could not be written down in the session's journal.
        """
        sealed = SealedBody(body)
        del body  # no frame shows the signature
        return await self._receiver.confirm(sealed, timeout)

    async def receive_notification(self, body: Body, handler: Handler, *, timeout: float = 10.0) -> NotificationReply:
        """All that a ``notify_url`` has to do, in one call: confirm, run ``await handler(order)`` once, answer. CN 3.9.

        ``timeout`` bounds the confirmation, in seconds, not the handler. Whatever the body is, an answer comes back:
        send its ``status``, ``body`` and ``headers``. SUCCESS only after the handler succeeded, now or before; 4xx and
        FAIL for a body that is not to be believed; 5xx and FAIL, so that the gateway delivers again, where the gateway,
        the backend or the journal did not answer, where the handler raised (``reply.error``; logged with its
        traceback), or where it is still running.

        The handler runs *at least* once for each paid order, never beside itself while its lease holds, never after its
        success was recorded: let it be one transaction that inserts ``order.order_no`` under a unique key that ignores
        case. A handler that blocks the event loop for longer than the backend's lease looks dead to other processes:
        run blocking code in ``asyncio.to_thread``.

        Raises:
            InvalidRequest: for a handler that cannot be called, or a wrong ``timeout``. (One that is not async shows
                when it is called: the answer is 500 then, each time.)
        """
        sealed = SealedBody(body)
        del body  # no frame shows the signature
        return await self._receiver.receive(sealed, handler, timeout)

    async def fulfil(self, order_no: str, handler: Handler, *, timeout: float | None = None) -> Order:
        """Ask the gateway about an order and, if it is paid, run ``await handler(order)`` under the once-guard.

        For the end of a poll, and for a sweep over your own unpaid orders: a notification is delivered three times
        only. Returns the order, paid or not: look at ``is_paid``. ``timeout`` bounds the question, in seconds. Run
        blocking code in ``asyncio.to_thread``.

        Raises:
            BackendError: whether the handler may run is not known, or its success could not be recorded.
            JournalError: the confirmation could not be written down; the handler did not run.
            Exception: what the handler raised; the next call runs it again.
        """
        return await self._receiver.fulfil(order_no, handler, timeout)

    async def wait_for_notification(self, out_order_no: str, *, timeout: float | None = 60.0) -> Order:
        """The order with this ``out_order_no``, as soon as it was confirmed as paid. For a till after OutcomeUnknown.

        The order may have been confirmed before this is called (that is remembered for ten minutes at least) or while
        it waits; by a notification, ``fulfil`` or ``settle``; in this process or, with a shared backend that is a
        ``NoteKeeper``, in any other. What QueryOrder reports counts, never a notification's body. This sends nothing to
        the gateway: an order without ``notify_url`` is never reported. A gateway that leaves ``out_order_no`` out of
        its answers wakes nobody, which is logged once as a WARNING. ``timeout`` in seconds, None for ever.

        Raises:
            PollTimeout: with ``out_order_no``: nothing was confirmed in time. The customer may have paid all the same:
                do not charge again, look into the back office.
            SessionClosed: the session was closed meanwhile.
            InvalidRequest: a wrong ``out_order_no`` or ``timeout``.
        """
        return await self._receiver.wait(out_order_no, timeout)
