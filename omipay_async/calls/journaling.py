"""Writes money calls down in the user's journal: before they are sent, and when they have ended.

    wait for a slot -> opening() -> the request, perhaps repeated -> closing()

The call awaits ``opening``, within its own time limit; if that fails, nothing is sent. If it is slow, reads and
polls get the slot meanwhile, since a stalled database must not stop them. ``closing`` runs in a task of its own: a
cancelled call does not wait for it, any other call waits at most ``JOURNAL_S``. If nobody knows whether ``opening``
took effect (it hung, it failed only after the call's time, or the call was cancelled meanwhile), the entry is closed as
NOT_DONE in the background, since nothing was sent.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import attrs

from omipay_async.answers import answer_of, ask, failure_of
from omipay_async.clock import SystemClock, retrieve_exception, wait
from omipay_async.errors import JournalError, NotSent, OmipayError, Outcome
from omipay_async.journal import JOURNAL_S, JournalEntry, JournalOutcome
from omipay_async.transport.cancellation import CancelReason, CancelScope, ScopeCancelled
from omipay_async.transport.failures import Failed, Failure, not_sent, session_closed

from .observer import field_of, log_call

if TYPE_CHECKING:
    from collections.abc import Callable

    from omipay_async.clock import Clock
    from omipay_async.journal import Journal

    from .call_state import CallState

_WHO: Final = "the journal"
_SLOW_S: Final = 0.25
"""How long a call that waits for the opening of its entry keeps its slot."""


class CallJournal:
    """Keeps the journal of one session's money calls."""

    def __init__(self, journal: Journal, clock: Clock, m_number: str) -> None:
        self._journal = journal
        self._clock = clock
        self._m_number = m_number
        self._closing: set[asyncio.Task[None]] = set()

    async def open(self, call: CallState, when_slow: Callable[[], None]) -> Failed | None:
        """Write down that a call is about to be sent. If a failure is returned, it must not be sent.

        ``when_slow`` is called if the journal has not answered soon.
        """
        entry = self._entry_of(call)
        opening = asyncio.create_task(answer_of(lambda: self._journal.opening(entry), _WHO, JournalError))
        opening.add_done_callback(retrieve_exception)
        try:
            with CancelScope(self._clock, call.time_left(self._clock)) as call.scope:
                await wait(self._clock, (opening,), _SLOW_S)
                if not opening.done():
                    when_slow()
                    await asyncio.wait((opening,))
        except ScopeCancelled as ended:
            self._take_back(opening, entry, call)
            if ended.why is CancelReason.CLOSED:
                return session_closed()
            return _not_written(call, self._not_in_time())
        except BaseException:  # a cancellation; or the call's coroutine is closed, perhaps after its event loop
            if _loop_is_running():
                self._take_back(opening, entry, call)
            raise
        if (failure := failure_of(opening, _WHO, JournalError)) is not None:
            if call.time_left(self._clock) < 0:
                self._take_back(opening, entry, call)
            return _not_written(call, _as_journal_error(failure))
        call.entry = entry
        return None

    async def close(self, call: CallState, error: BaseException | None, result: Any = None) -> None:
        """Write down how a call ended. If this is cancelled, it goes on in the background."""
        if call.entry is not None:
            await asyncio.wait((self._start_closing(_closed_entry(call.entry, call, error, result), call),))

    def close_in_background(self, call: CallState, error: BaseException) -> None:
        """Write down that a call was cancelled, without waiting for it.

        The entry of a call whose coroutine is closed after its event loop stays open: no task can be started then.
        """
        if call.entry is not None and _loop_is_running():
            self._start_closing(_closed_entry(call.entry, call, error, None), call)

    async def drain(self) -> None:
        """Return once the entries that are being closed are closed; each takes at most ``JOURNAL_S``."""
        here = asyncio.get_running_loop()
        while tasks := [task for task in self._closing if not task.done() and task.get_loop() is here]:
            await asyncio.wait(tasks)

    def _not_in_time(self) -> JournalError:
        message = "the journal did not answer in time"
        if not isinstance(self._clock, SystemClock):  # a test's clock may jump over the time that a database takes
            message += "; books need the session's clock: Books(url, clock=clock)"
        return JournalError(message)

    def _take_back(self, opening: asyncio.Task[None], entry: JournalEntry, call: CallState) -> None:
        opening.cancel()
        closed = attrs.evolve(entry, outcome=JournalOutcome.NOT_DONE, error=NotSent.__name__)
        self._start_closing(closed, call, after=opening)

    def _start_closing(
        self, entry: JournalEntry, call: CallState, *, after: asyncio.Task[None] | None = None
    ) -> asyncio.Task[None]:
        task = asyncio.create_task(self._close(entry, call, after))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return task

    async def _close(self, entry: JournalEntry, call: CallState, after: asyncio.Task[None] | None) -> None:
        async def write() -> None:
            if after is not None:
                await asyncio.wait((after,))  # an entry that is not opened yet could not be found
            await answer_of(lambda: self._journal.closing(entry), _WHO, JournalError)

        try:
            await ask(self._clock, write, JOURNAL_S, who=_WHO, failed=JournalError)
        except OmipayError as failure:
            error = _as_journal_error(failure)
            text = f"the journal's entry {entry.id} stays open: it could not be closed as {entry.outcome}: {error}"
            outcome = None if entry.outcome is JournalOutcome.DONE else Outcome(str(entry.outcome))
            log_call(logging.ERROR, call.request, text, outcome=outcome, exc_info=error)

    def _entry_of(self, call: CallState) -> JournalEntry:
        request = call.request
        started = datetime.fromtimestamp(call.started_ms / 1000, UTC)
        return JournalEntry(
            id=secrets.token_hex(16),
            m_number=self._m_number,
            endpoint=request.endpoint.name,
            out_order_no=request.numbers.get("out_order_no"),
            out_refund_no=request.numbers.get("out_refund_no"),
            order_no=request.numbers.get("order_no"),
            refund_no=request.numbers.get("refund_no"),
            amount=request.amount,
            currency=request.currency,
            started_at=started,
            until=started + timedelta(seconds=call.timeout),
        )


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _as_journal_error(failure: OmipayError) -> JournalError:
    """``failure``, which ended a method of the journal, or a JournalError that is caused by it."""
    if isinstance(failure, JournalError):
        return failure
    error = JournalError(f"{_WHO} raised {type(failure).__name__}: {failure}")
    error.__cause__ = failure
    return error


def _not_written(call: CallState, error: JournalError) -> Failed:
    why = f"it could not be written down first: {error}"
    failed = not_sent(Failure.NO_JOURNAL, call.request.endpoint.name, why)
    failed.error.__cause__ = error
    return failed


def _closed_entry(entry: JournalEntry, call: CallState, error: BaseException | None, result: Any) -> JournalEntry:
    if error is not None:
        return attrs.evolve(
            entry,
            outcome=JournalOutcome(call.outcome_of(error) or Outcome.UNKNOWN),
            error=type(error).__name__,
            order_no=field_of(error, "order_no") or entry.order_no,
        )
    field = functools.partial(field_of, result)
    status = field("status")
    return attrs.evolve(
        entry,
        outcome=JournalOutcome.DONE,
        order_no=field("order_no") or entry.order_no,
        refund_no=field("refund_no") or entry.refund_no,
        status=None if status is None else str(status),
    )
