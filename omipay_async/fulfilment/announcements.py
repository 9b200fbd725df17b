"""Announces orders that were confirmed as paid: to polls and waits, to other processes, and to the journal.

An order is confirmed when QueryOrder reports it as paid, whatever the question was asked for: a notification,
``fulfil`` or ``settle``. The confirmation ends the polls of that order and the waits for its ``out_order_no`` at once,
here and, with a shared backend, in every process. If the session has a journal, the confirmation is written down there
before the order's handler may run.

Other processes are notified in the background: nobody waits for that, and if it fails, their polls go on by interval.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import TYPE_CHECKING, Any

from omipay_async.answers import ask
from omipay_async.clock import drain, retrieve_exception
from omipay_async.errors import JournalError, OmipayError
from omipay_async.journal import JOURNAL_S
from omipay_async.log import logger, order_fields
from omipay_async.text import printable

from .backends import answer_limit_s
from .notes import note_key

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from omipay_async.clock import Clock
    from omipay_async.journal import Journal
    from omipay_async.models import Order

    from .backends import Backend
    from .notes import Notes
    from .waits import Waits


class Announcements:
    """The announcements of one session.

    Args:
        deliver_to_polls: Ends the polls of an order in this process.
        notes: Those of the backend and of the journal, where the waits of other processes find an order.
    """

    def __init__(
        self,
        *,
        backend: Backend,
        clock: Clock,
        m_number: str,
        deliver_to_polls: Callable[[Order], None],
        waits: Waits,
        notes: list[Notes],
        journal: Journal | None,
    ) -> None:
        self._backend = backend
        self._clock = clock
        self._m_number = m_number
        self._deliver_to_polls = deliver_to_polls
        self._waits = waits
        self._notes = notes
        self._journal = journal
        self._background: dict[tuple[str, str], asyncio.Task[None]] = {}
        """The tasks that notify other processes and write to the journal: at most one of each kind for each order."""

    async def announce(self, order: Order) -> None:
        """Notify everybody that an order is paid, and return once the journal has written that down.

        Raises:
            JournalError: the journal did not write it down.
        """
        self._deliver_to_polls(order)
        self._waits.remember(order)
        self._in_background("polls", order, self._wake_other_polls)
        for notes in self._notes:
            self._in_background(notes.who, order, functools.partial(self._note, notes))
        if self._journal is not None:
            writing = self._in_background("confirmation", order, functools.partial(self._write_down, self._journal))
            await asyncio.wait((writing,))
            writing.result()

    def _in_background(
        self, what: str, order: Order, do: Callable[[Order], Coroutine[Any, Any, None]]
    ) -> asyncio.Task[None]:
        key = (what, order.order_no)
        task = self._background.get(key)
        if task is None or task.done():
            task = self._background[key] = asyncio.Task(do(order))
            task.add_done_callback(lambda task: self._ended(key, task))
        return task

    def _ended(self, key: tuple[str, str], task: asyncio.Task[None]) -> None:
        if self._background.get(key) is task:
            del self._background[key]
        retrieve_exception(task)  # its caller may have been cancelled

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
        await ask(self._clock, lambda: self._backend.wake(key), answer_limit_s(self._backend))

    async def _write_down(self, journal: Journal, order: Order) -> None:
        try:
            await ask(self._clock, lambda: journal.confirmed(self._m_number, order), JOURNAL_S, who="the journal")
        except OmipayError as error:
            message = f"order {order.order_no}: its confirmation could not be written down: {error}"
            raise JournalError(message) from error.__cause__

    # -- waiting ------------------------------------------------------------------------------------------------------

    def leave_loop(self) -> None:
        """Forget the tasks of an event loop that has ended."""
        self._background.clear()

    async def drain(self, timeout: float) -> None:
        """Wait until other processes have been notified, ``timeout`` seconds at most."""
        await drain(self._clock, self._unfinished, timeout)

    def _unfinished(self) -> list[asyncio.Task[None]]:
        return [task for task in self._background.values() if not task.done()]


@contextlib.contextmanager
def _failure_logged(order: Order, what: str) -> Iterator[None]:
    """Log an error of the block instead of raising it. ``what`` says what follows from it."""
    try:
        yield
    except (OmipayError, ValueError) as error:
        logger.warning(
            "order %s: %s: %s",
            printable(order.order_no),
            what,
            error,
            extra=order_fields(order),
        )
