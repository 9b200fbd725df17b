"""The polls as methods of the session, with the documentation for users. ``service`` does the work."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from omipay_async.models import Order, Refund, RefundReceipt
    from omipay_async.protocol.expectation import HasOrderNo

    from .service import PollingService


class PollMethods:
    """The methods that poll. They need a ``PollingService``."""

    _polling: PollingService

    async def poll_until_paid(
        self,
        order: str | HasOrderNo,
        *,
        first_wait: float = 5.0,
        interval: float = 5.0,
        timeout: float | None = 120.0,
        on_status: Callable[[Order], Awaitable[object] | object] | None = None,
    ) -> Order:
        """Wait until an order is paid: ``first_wait`` seconds, then QueryOrder, then again ``interval`` seconds later.

        ``order`` is an order number, or any object that has an ``order_no``. Returns the paid ``Order``. ``timeout``
        limits the whole call, in seconds (None: no limit). A temporary error does not end the wait; a confirmed
        notification ends it at once. An order that is final already is asked about at once, and so is one that was
        confirmed in the last quarter of an hour, as far as this session has learnt that. After a restart:
        ``poll_until_paid(order_no, first_wait=0)``. CN 3.4(6).

        The last question comes half a second before the end (a twentieth of a ``timeout`` below ten seconds). If the
        event loop is blocked at that time, it comes as soon as the loop is free, and has as much time for its answer.

        ``on_status(order)``, sync or async, is called with the first status that is seen and with each change. What it
        raises ends this poll only.

        An answer whose ``out_order_no``, currency or amount are not those of the order object is about another sale: it
        is not accepted, but logged, and stored as ``last_error``.

        Raises:
            PaymentFailed: the order will not be paid (``.order``). After every other error nobody knows: ``outcome``
                is UNKNOWN.
            PollTimeout: nothing final was seen in time. The customer may still pay: ask ``query_order`` later.
            AuthenticationError, LookupFailed, ParameterError: another try would not help.
            SessionClosed: the session was closed before or meanwhile; ``order_no`` is the number to ask about later.
        """
        return await self._polling.poll(
            self._polling.orders, order, first_wait=first_wait, interval=interval, timeout=timeout, on_status=on_status
        )

    async def poll_until_refunded(
        self,
        refund: RefundReceipt | Refund | str,
        *,
        timeout: float | None,
        first_wait: float = 5.0,
        interval: float = 60.0,
        on_status: Callable[[Refund], Awaitable[object] | object] | None = None,
    ) -> Refund:
        """Wait until a refund has arrived, as ``poll_until_paid`` waits for an order. CN 3.11.

        ``refund`` is a refund number, a receipt or a refund. Returns the ``Refund`` that has arrived. ``timeout``, in
        seconds, has no default, since refunds take days (None: no limit); ``first_wait``, ``interval`` and
        ``on_status`` are as for ``poll_until_paid``. An answer with another ``out_refund_no`` than the receipt's is not
        accepted.

        Raises:
            RefundFailed: the refund will not be paid out (``.refund``).
            PollTimeout, AuthenticationError, LookupFailed, ParameterError, SessionClosed: as ``poll_until_paid``, with
                ``refund_no``.
        """
        return await self._polling.poll(
            self._polling.refunds,
            refund,
            first_wait=first_wait,
            interval=interval,
            timeout=timeout,
            on_status=on_status,
        )
