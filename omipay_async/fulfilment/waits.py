"""Waits for the order with an ``out_order_no`` to be confirmed as paid, in this process or in another one.

A confirmed order is found however early it was confirmed, since it is remembered: here, and as a note in the backend
and in the journal if they keep notes. A wait looks at once, whenever it is woken, and after pauses, since it may have
missed the wake-up of another process. If the last look is late, the wait ends as much later.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from omipay_async.clock import in_turns, last_try_s, retrieve_exception, wait
from omipay_async.errors import OmipayError, Outcome, PollTimeout, SessionClosed
from omipay_async.log import logger, order_fields
from omipay_async.models import Order
from omipay_async.text import bare, printable

from .memory import remember
from .notes import NOTE_KIND

if TYPE_CHECKING:
    from collections.abc import Iterator

    from omipay_async.calls.lifecycle import Lifecycle
    from omipay_async.clock import Clock

    from .notes import Notes
    from .wakeups import WakeUps

_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 5.0


class Waits:
    """The waits of one session, and the confirmed orders that it remembers for them.

    Args:
        notes: Those of the backend and of the journal, where other processes remember orders.
    """

    def __init__(self, *, notes: list[Notes], clock: Clock, life: Lifecycle, wake_ups: WakeUps) -> None:
        self._notes = notes
        self._clock = clock
        self._life = life
        self._wake_ups = wake_ups
        self._remembered: OrderedDict[str, tuple[float, Order]] = OrderedDict()
        self._waiters: dict[str, set[asyncio.Future[None]]] = {}
        self._warned = False
        wake_ups.subscribe(self._wake, kind=NOTE_KIND)

    def remember(self, order: Order) -> None:
        """Remember a confirmed order for a quarter of an hour, and end the waits for its ``out_order_no``."""
        number = order.out_order_no
        if number is None:
            if not self._warned:
                self._warned = True
                logger.warning(
                    "order %s: the gateway's answer has no out_order_no, so wait_for_notification cannot find it",
                    printable(order.order_no),
                    extra=order_fields(order),
                )
            return
        number = bare(number)
        remember(self._remembered, number, order, now=self._clock.monotonic())
        self._wake(number)

    def _wake(self, out_order_no: str) -> None:
        for waiter in self._waiters.get(out_order_no, ()):
            _end(waiter)

    async def wait(self, out_order_no: str, timeout: float | None) -> Order:
        """Return the confirmed order with this ``out_order_no`` as soon as there is one.

        Raises:
            PollTimeout: there was none within ``timeout`` seconds.
            SessionClosed: the session was closed meanwhile.
        """
        self._wake_ups.listen()
        last_error: OmipayError | None = None
        for seconds in _periods(timeout):
            found = await self._look_for(out_order_no, seconds)
            if isinstance(found, Order):
                return found
            last_error = found or last_error
        raise _timeout(out_order_no, timeout, last_error)

    async def _look_for(self, out_order_no: str, seconds: float) -> Order | OmipayError | None:
        """Look for an order at once, and then again and again for ``seconds``.

        Returns the order; or the last error of the backend or the journal; or None if they have answered each time.
        """
        number = bare(out_order_no)
        until = self._clock.monotonic() + seconds
        pause = _FIRST_PAUSE_S
        last_error: OmipayError | None = None
        while True:
            with self._waiter(number) as woken:
                left = until - self._clock.monotonic()
                found = self._remembered_order(number) or await self._noted(number, left, woken)
                if isinstance(found, Order):
                    return found
                last_error = found or last_error
                if self._life.closed:
                    raise closed_while_waiting(out_order_no)
                left = until - self._clock.monotonic()
                if left <= 0:
                    return last_error
                await wait(self._clock, (woken,), min(pause, left))
                pause = min(2 * pause, _LONGEST_PAUSE_S)

    @contextlib.contextmanager
    def _waiter(self, out_order_no: str) -> Iterator[asyncio.Future[None]]:
        """A future that is done once the order was confirmed here, another process has noted it, or all waits end."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(out_order_no, set()).add(waiter)
        try:
            yield waiter
        finally:
            waiters = self._waiters.get(out_order_no, set())
            waiters.discard(waiter)
            if not waiters:
                self._waiters.pop(out_order_no, None)

    def _remembered_order(self, out_order_no: str) -> Order | None:
        expires_at, order = self._remembered.get(out_order_no, (0.0, None))
        return order if expires_at > self._clock.monotonic() else None

    async def _noted(self, out_order_no: str, left: float, woken: asyncio.Future[None]) -> Order | OmipayError | None:
        """The order as another process noted it, or why that is not known; None if there is no note, or no answer yet.

        A backend that hangs does not hold up who is woken meanwhile, by a confirmation here or the end of the session.
        """
        if left <= 0 or self._life.closed:
            return None
        finding = asyncio.create_task(self._find_note(out_order_no, left))
        finding.add_done_callback(retrieve_exception)
        try:
            await wait(self._clock, (finding, woken))
        finally:
            finding.cancel()
        return finding.result() if finding.done() else None

    async def _find_note(self, out_order_no: str, left: float) -> Order | OmipayError | None:
        """The order in a note of the backend or the journal. An error counts only if neither has it."""
        failure: OmipayError | None = None
        for notes in self._notes:
            try:
                if (order := await notes.find(out_order_no, left)) is not None:
                    return order
            except OmipayError as error:
                failure = error
        return failure

    # -- the end ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End the waits, because the session was closed: some now, the others in later turns of the event loop."""
        in_turns([waiter for waiters in self._waiters.values() for waiter in waiters], _end)

    def leave_loop(self) -> None:
        """Forget the waits of an event loop that has ended."""
        self._waiters.clear()


def _periods(timeout: float | None) -> tuple[float, ...]:
    """How long to look, and then how long the last look may take, which begins late if the event loop was blocked."""
    if timeout is None:
        return (math.inf,)
    last_look_s = last_try_s(timeout)
    return timeout - last_look_s, last_look_s


def _end(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def closed_while_waiting(out_order_no: str) -> SessionClosed:
    """The error of a wait in a session that is closed, before it began or meanwhile."""
    message = f"{out_order_no}: this session was closed before an order with this out_order_no was confirmed"
    return SessionClosed(message, outcome=Outcome.UNKNOWN)


def _timeout(out_order_no: str, timeout: float | None, last_error: OmipayError | None) -> PollTimeout:
    message = (
        f"{out_order_no}: no order with this out_order_no was confirmed within {timeout:g} s; "
        "nobody knows yet whether it was paid"
    )
    return PollTimeout(message, out_order_no=out_order_no, last_error=last_error)
