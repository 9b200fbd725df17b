"""Lets polls wait, asks the gateway when a question is due, and delivers the answers (CN 3.4(6)).

One poller serves every poll of a session. A poll that waits is a future, an entry in a timetable and a place in a list
of its subject. There is one timer for all polls, and one task for each of the few questions that are under way. So a
hundred thousand waiting polls cost almost nothing, and a cancelled poll leaves nothing behind.

The end of the session, or a deadline that many polls share, is handled for a few hundred polls in one turn of the event
loop, so that other tasks get their turns in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import math
from typing import TYPE_CHECKING, Any, Final

from omipay_async.clock import AT_A_TIME, LAST_TURNS, call_later, in_turns
from omipay_async.errors import OmipayError
from omipay_async.transport.cancellation import CancelScope, ScopeCancelled

from .scheduler import Scheduler
from .subject import End, Instant, S, Subject, Topic, Waiter, is_temporary
from .timetable import Timetable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from omipay_async.calls.lifecycle import Lifecycle
    from omipay_async.clock import Clock, Timer

    from .scheduler import Schedule

_SHORTEST_QUESTION_S: Final = 0.001


class Poller:
    """The polls of a session, and the questions that they ask."""

    def __init__(
        self,
        *,
        life: Lifecycle,
        clock: Clock,
        max_concurrent: int,
        timeout: float,
        primary_node: str,
    ) -> None:
        self._life = life
        self._clock = clock
        self._max_concurrent = max_concurrent
        self._timeout = timeout
        self._primary_node = primary_node
        self._all_ended = asyncio.Event()
        """Set once every poll was ended because the session is closed."""
        self.leave_loop()

    def leave_loop(self) -> None:
        """Forget every poll: the event loop in which they waited has ended."""
        self._subjects: dict[str, dict[str, Subject[Any]]] = {"order": {}, "refund": {}}
        """By their kind, and by their numbers."""
        self._scheduler: Scheduler[Subject[Any]] = Scheduler(self._max_concurrent)
        self._instants: Timetable[Waiter[Any]] = Timetable()
        self._timer: Timer | None = None  # one that was set ended with its event loop
        self._timer_due = math.inf

    async def poll(
        self,
        topic: Topic[S],
        number: str,
        schedule: Schedule,
        expected: Mapping[str, object],
        on_status: Callable[[S], object] | None,
    ) -> S:
        """Wait for the first final state of ``number``, and return it.

        Raises:
            PollTimeout: the time of ``schedule`` is over.
            OmipayError: an error that is not temporary.
        """
        waiter = self._join(topic, number, schedule, expected)
        last: S | None = None
        try:
            while True:
                if waiter.latest is None and waiter.end is None:
                    waiter.future = asyncio.get_running_loop().create_future()
                    await waiter.future
                state = waiter.take_latest()
                if state is None:
                    raise waiter.failure(last)
                if on_status is not None and (last is None or state.status != last.status):
                    await self._call_on_status(on_status, state, waiter.schedule)
                last = state
                if state.is_final:
                    return state
        finally:
            self._leave(waiter)

    async def _call_on_status(self, on_status: Callable[[S], object], state: S, schedule: Schedule) -> None:
        result = on_status(state)
        if inspect.isawaitable(result):
            left = None if schedule.timeout is None else schedule.deadline - self._clock.monotonic()
            # Past the time limit the poll ends as it would have without the callback.
            with contextlib.suppress(ScopeCancelled), CancelScope(self._clock, left):
                await result

    # -- who waits ----------------------------------------------------------------------------------------------------

    def _join(self, topic: Topic[S], number: str, schedule: Schedule, expected: Mapping[str, object]) -> Waiter[S]:
        subjects = self._subjects[topic.kind]
        subject = subjects.get(number)
        if subject is None:
            subject = subjects[number] = Subject(topic, number)
        waiter = Waiter(subject, schedule, expected)
        subject.join(waiter)
        self._instants.put(waiter, waiter.next_time)
        self._set_timer()
        return waiter

    def _leave(self, waiter: Waiter[Any]) -> None:
        subject = waiter.subject
        subjects = self._subjects[subject.topic.kind]
        if subjects.get(subject.number) is not subject:
            return  # it belongs to an event loop that has ended
        subject.leave(waiter)
        self._instants.remove(waiter)
        if subject.waiters:
            return
        del subjects[subject.number]
        self._scheduler.discard(subject)
        if subject.question is not None:
            subject.question.cancel()
        if not any(self._subjects.values()):
            self._drop_timer()  # a timer must not outlive its event loop

    def deliver(self, topic: Topic[S], number: str, state: S) -> None:
        """Deliver a ``state`` that the gateway has confirmed in answer to another question than that of a poll."""
        subject = self._subjects[topic.kind].get(number)
        if subject is None:
            return
        subject.receive(state)
        for waiter in subject.waiters:
            self._instants.put(waiter, waiter.next_time)
        if not subject.needs_question:
            self._scheduler.discard(subject)

    def wake(self, topic: Topic[S], number: str) -> None:
        """Ask about ``number`` at once, since another process has reported it as paid."""
        subject = self._subjects[topic.kind].get(number)
        if subject is None:
            return
        if subject.question is not None:
            subject.is_outdated = True  # the gateway may have answered the question under way before the payment
        elif subject.needs_question:
            self._scheduler.ask_first(subject)
            self._set_timer()

    # -- what is due --------------------------------------------------------------------------------------------------

    def _set_timer(self) -> None:
        """Set the timer to when something is due next. If it is too early, ``_handle_due`` sets it again.

        The time is read here: a question that was just begun may have run already, and blocked the event loop.
        """
        now = self._clock.monotonic()
        due = min(self._instants.next_time(), self._scheduler.next_time(now))
        if due < self._timer_due:
            self._drop_timer()
            self._timer = call_later(self._clock, due - now, self._handle_due)
            self._timer_due = due

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_due = None, math.inf

    def _handle_due(self) -> None:
        self._timer, self._timer_due = None, math.inf
        now = self._clock.monotonic()
        for _ in range(AT_A_TIME):
            found = self._instants.first(now)
            if found is None:
                break
            self._pass_instant(found[1], now)
        self._ask(now)

    def _pass_instant(self, waiter: Waiter[Any], now: float) -> None:
        subject = waiter.subject
        was_blocked = waiter.schedule.deadline <= now
        passed = waiter.pass_instant(now)
        self._instants.put(waiter, waiter.next_time)
        if passed is Instant.DEADLINE:
            self._expire(waiter)
        elif subject.question is not None:
            # The question under way will do, unless the event loop was blocked for so long that its answer may be old.
            subject.is_outdated = subject.is_outdated or was_blocked
        elif passed is Instant.FIRST:
            self._scheduler.ask_first(subject)
        else:
            self._scheduler.ask_last(subject)

    def _expire(self, waiter: Waiter[Any]) -> None:
        """End a waiter whose time is over; if a question is under way, after some turns of the event loop.

        The reply may lie in the socket already, if something has blocked the event loop.
        """
        subject = waiter.subject
        if subject.expired is None:
            subject.expired = [waiter]
            self._expire_later(subject, subject.expired, LAST_TURNS)
        else:
            subject.expired.append(waiter)

    def _expire_later(self, subject: Subject[Any], expired: list[Waiter[Any]], turns: int) -> None:
        if subject.question is not None and turns:
            asyncio.get_running_loop().call_soon(self._expire_later, subject, expired, turns - 1)
        else:
            subject.expired = None
            in_turns(expired, lambda waiter: waiter.end_with(End.TIME))

    def _ask(self, now: float) -> None:
        loop = asyncio.get_running_loop()
        while (subject := self._scheduler.take(now)) is not None:
            subject.is_outdated = False
            limit = min(self._timeout, max(subject.deadline - now, _SHORTEST_QUESTION_S))
            ask = subject.topic.ask(subject.number, limit)
            # The context of its first poll: the one that runs here is that of whichever poll set the timer.
            subject.question = subject.context.copy().run(loop.create_task, ask)
            # As a callback, since a task that is cancelled before its first step runs no code, not even a ``finally``.
            ended = functools.partial(self._question_ended, subject)
            subject.question.add_done_callback(ended, context=subject.context)
        self._set_timer()

    def _question_ended(self, subject: Subject[S], question: asyncio.Future[S]) -> None:
        subject.question = None
        self._scheduler.question_ended()
        if not question.cancelled():
            self._deliver_answer(subject, question)
        if not self._life.closed:
            now = self._clock.monotonic()
            if subject.waiters:
                self._plan(subject, now)
            self._ask(now)

    def _deliver_answer(self, subject: Subject[S], question: asyncio.Future[S]) -> None:
        error = question.exception()
        if error is None:
            subject.receive(question.result())
        elif isinstance(error, OmipayError) and is_temporary(error, self._primary_node):
            subject.note_error(error)
        else:
            subject.fail(error)

    def _plan(self, subject: Subject[Any], now: float) -> None:
        for waiter in subject.waiters:
            waiter.question_ended(now)
            self._instants.put(waiter, waiter.next_time)
        if subject.is_outdated and subject.needs_question:
            self._scheduler.ask_first(subject)
        elif (interval := subject.interval) < math.inf:
            self._scheduler.repeat(subject, interval, now)

    # -- the end ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Begin to end every poll with ``SessionClosed``: some now, the others in later turns of the event loop."""
        self._drop_timer()
        in_turns(self._all_waiters(), lambda waiter: waiter.end_with(End.CLOSED), self._all_ended.set)

    def _all_waiters(self) -> Iterator[Waiter[Any]]:
        for subjects in self._subjects.values():
            for subject in list(subjects.values()):
                yield from list(subject.waiters)

    async def wait_closed(self) -> None:
        """Return once every poll was ended, after ``close()``."""
        await self._all_ended.wait()
