"""Orders that were confirmed as paid: who is notified of them, and where they are remembered.

An order is confirmed when QueryOrder reports it as paid, whatever the question was asked for: a notification,
``fulfil`` or ``settle``. The confirmation ends the polls of that order and the waits for its ``out_order_no`` at once,
here and, with a shared backend, in every process. It is remembered for ten minutes at least, so that it does not matter
whether the confirmation or the wait comes first: here, and as a note in the backend and in the journal if they keep
notes. If the session has a journal, the confirmation is written down there before the order's handler may run.

Other processes are notified in the background: nobody waits for that, and if it fails, their polls go on by interval.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from omipay_async.clock import drain, last_try_s, retrieve, wait
from omipay_async.errors import JournalError, OmipayError, Outcome, PollTimeout, SessionClosed
from omipay_async.events import log_fields, logger
from omipay_async.text import bare, printable

from .backends import NOTES_KEPT_S, NoteKeeper, ask, forget_expired, lease_of
from .notes import KIND, Notes, note_key

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from omipay_async.calls.lifecycle import Lifecycle
    from omipay_async.clock import Clock
    from omipay_async.journal import Journal
    from omipay_async.models import Order
    from omipay_async.protocol.conversion import ModelConverter

    from .backends import Backend
    from .wakeups import WakeUps

_JOURNAL_S: Final = 5.0
"""How long the journal may take to write a confirmation down."""
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 5.0
"""How long a wait pauses before it looks for a note again, since it may have missed the wake-up."""


class ConfirmedOrders:
    """The confirmed orders that one session knows of.

    Args:
        wake_polls: Ends the polls of an order in this process.
        converter: Reads the orders that other processes remember.
    """

    def __init__(
        self,
        *,
        backend: Backend,
        clock: Clock,
        m_number: str,
        life: Lifecycle,
        wake_ups: WakeUps,
        wake_polls: Callable[[Order], None],
        converter: Callable[[], ModelConverter],
        journal: Journal | None,
    ) -> None:
        self._backend = backend
        new_notes = functools.partial(
            Notes, clock=clock, m_number=m_number, limit_s=lease_of(backend) / 3, converter=converter
        )
        self._notes: list[Notes] = []
        if isinstance(backend, NoteKeeper):
            self._notes.append(new_notes(backend, who="the backend"))
        if isinstance(journal, NoteKeeper) and journal is not backend:
            self._notes.append(new_notes(journal, who="the journal"))
        self._clock = clock
        self._m_number = m_number
        self._wake_ups = wake_ups
        self._wake_polls = wake_polls
        self._journal = journal
        self._life = life
        self._remembered: OrderedDict[str, tuple[float, Order]] = OrderedDict()
        self._waiters: dict[str, set[asyncio.Future[None]]] = {}
        self._background: dict[tuple[str, str], asyncio.Task[None]] = {}
        """The tasks that notify other processes and write to the journal: at most one of each kind for each order."""
        self._warned = False
        wake_ups.subscribe(self._wake, kind=KIND)

    # -- notifying ----------------------------------------------------------------------------------------------------

    async def announce(self, order: Order) -> None:
        """Notify everybody that an order is paid, and return once the journal has written that down.

        Raises:
            JournalError: the journal did not write it down.
        """
        self._wake_polls(order)
        self._remember(order)
        self._in_background("polls", order, self._wake_other_polls)
        for notes in self._notes:
            self._in_background(notes.who, order, functools.partial(self._note, notes))
        if self._journal is not None:
            writing = self._in_background("confirmation", order, functools.partial(self._write_down, self._journal))
            await asyncio.wait((writing,))
            writing.result()

    def _remember(self, order: Order) -> None:
        number = order.out_order_no
        if number is None:
            if not self._warned:
                self._warned = True
                logger.warning(
                    "order %s: the gateway's answer has no out_order_no, so wait_for_notification cannot find it",
                    printable(order.order_no),
                    extra=log_fields(order_no=order.order_no),
                )
            return
        number = bare(number)
        now = self._clock.monotonic()
        forget_expired(self._remembered, now)
        self._remembered[number] = (now + NOTES_KEPT_S, order)
        self._remembered.move_to_end(number)
        self._wake(number)

    def _wake(self, out_order_no: str) -> None:
        for waiter in self._waiters.get(out_order_no, ()):
            if not waiter.done():
                waiter.set_result(None)

    def _in_background(
        self, what: str, order: Order, do: Callable[[Order], Coroutine[Any, Any, None]]
    ) -> asyncio.Task[None]:
        key = (what, order.order_no)
        task = self._background.get(key)
        if task is None or task.done():
            task = self._background[key] = asyncio.Task(do(order), loop=asyncio.get_running_loop())
            task.add_done_callback(lambda task: self._ended(key, task))
        return task

    def _ended(self, key: tuple[str, str], task: asyncio.Task[None]) -> None:
        if self._background.get(key) is task:
            del self._background[key]
        retrieve(task)  # its caller may have been cancelled

    async def _wake_other_polls(self, order: Order) -> None:
        with _failure_logged(order, "other processes were not woken, their polls go on by interval"):
            await self._wake_others(f"{self._m_number}:{order.order_no}")

    async def _note(self, notes: Notes, order: Order) -> None:
        if order.out_order_no is None:
            return
        with _failure_logged(order, f"wait_for_notification of other processes does not learn of it from {notes.who}"):
            await notes.write(order, order.out_order_no)
            await self._wake_others(note_key(self._m_number, order.out_order_no))

    async def _wake_others(self, key: str) -> None:
        await ask(self._clock, lambda: self._backend.wake(key), lease_of(self._backend) / 3)

    async def _write_down(self, journal: Journal, order: Order) -> None:
        try:
            await ask(self._clock, lambda: journal.confirmed(self._m_number, order), _JOURNAL_S, who="the journal")
        except OmipayError as error:
            message = f"order {order.order_no}: its confirmation could not be written down: {error}"
            raise JournalError(message) from error.__cause__

    # -- waiting ------------------------------------------------------------------------------------------------------

    async def wait(self, out_order_no: str, timeout: float | None) -> Order:
        """Return the confirmed order with this ``out_order_no`` as soon as there is one.

        Raises:
            PollTimeout: there was none within ``timeout`` seconds.
            SessionClosed: the session was closed meanwhile.
        """
        last_look_s = 0.0 if timeout is None else last_try_s(timeout)
        until = math.inf if timeout is None else self._clock.monotonic() + timeout - last_look_s
        is_last = False
        pause = _FIRST_PAUSE_S
        last_error: OmipayError | None = None
        self._wake_ups.listen()
        number = bare(out_order_no)
        while True:
            with self._waiter(number) as woken:
                now = self._clock.monotonic()
                if now >= until and not is_last:  # the last look has its time, also if something has blocked the loop
                    is_last, until = True, now + last_look_s
                found = self._remembered_order(number) or await self._noted(number, until - now, woken)
                if isinstance(found, OmipayError):
                    last_error = found
                elif found is not None:
                    return found
                if self._life.closed:
                    raise closed_while_waiting(out_order_no)
                left = until - self._clock.monotonic()
                if left <= 0 and is_last:
                    raise _timeout(out_order_no, timeout, last_error)
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
        """The order as another process noted it; None if there is no note, none that can be read, or no answer yet.

        A backend that hangs does not hold up who is woken meanwhile, by a confirmation here or the end of the session.
        """
        if left <= 0:
            return None
        finding = asyncio.create_task(self._find_note(out_order_no, left))
        finding.add_done_callback(retrieve)
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
        """End the waits, because the session was closed."""
        for out_order_no in tuple(self._waiters):
            self._wake(out_order_no)

    def leave_loop(self) -> None:
        """Forget the waits and tasks of an event loop that has ended."""
        self._background.clear()
        self._waiters.clear()

    async def drain(self, timeout: float) -> None:
        """Wait until other processes have been notified, ``timeout`` seconds at most."""
        here = asyncio.get_running_loop()

        def unfinished() -> list[asyncio.Task[None]]:
            return [task for task in self._background.values() if task.get_loop() is here and not task.done()]

        await drain(self._clock, unfinished, timeout)


@contextlib.contextmanager
def _failure_logged(order: Order, what: str) -> Iterator[None]:
    """Log ``what`` follows if the block fails, instead of raising its error."""
    try:
        yield
    except (OmipayError, ValueError) as error:
        logger.warning(
            "order %s: %s: %s",
            printable(order.order_no),
            what,
            error,
            extra=log_fields(order_no=order.order_no, out_order_no=order.out_order_no),
        )


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
