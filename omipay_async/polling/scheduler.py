"""Which order or refund is asked about next. Pure: it has no clock and does no I/O.

``Schedule`` contains the times at which one poll asks. ``Scheduler`` chooses between all polls when more questions are
due than may be under way at once:

1. First questions, and questions about orders that another process has reported as paid, go first, in the order in
   which they became due. If there are many of them, as after a restart, every second turn goes to the newest one, so
   that a customer who has just ordered does not wait behind thousands of older orders.
2. Last questions, before a poll's time is over, and repeats take turns.

Repeats follow a clock of their own, which goes at most as fast as they can be asked: it stands still while one of them
is overdue, and catches up while there is room. So under load every interval is stretched by the same factor, whether it
is a second or an hour, and no poll is left out. A repeat is never asked before its interval has really passed.
"""

from __future__ import annotations

import collections
import math
from typing import Final, Generic, TypeVar

import attrs

from omipay_async.clock import last_try_s

from .timetable import Timetable

_CATCH_UP_S: Final = 1.0
"""How far the clock of the repeats may jump forward for one of them, if there is room and its interval has passed."""
_TOLERANCE_S: Final = 1e-6
"""More than the rounding error of a sum of instants: at the time of ``next_time``, ``take`` must find something."""
_ROUNDS: Final = 4
"""There are many first questions when they fill more than this many rounds of the questions that may be under way."""


@attrs.frozen(eq=False, repr=False)
class Schedule:
    """When one poll asks. All times are in seconds, by one monotonic clock.

    It asks ``first_wait`` after its beginning, then ``interval`` after each answer. The last question comes a moment
    before the end, so that it can still be answered within the time limit of the poll.
    """

    interval: float
    timeout: float | None
    first: float
    """When to ask for the first time."""
    last: float
    """When to ask for the last time; infinity without a time limit."""
    deadline: float
    """When the poll is over; infinity without a time limit."""

    @classmethod
    def begin(cls, now: float, *, first_wait: float, interval: float, timeout: float | None) -> Schedule:
        """The schedule of a poll that begins ``now``."""
        if timeout is None:
            return cls(interval, None, now + first_wait, math.inf, math.inf)
        deadline = now + timeout
        last = deadline - last_try_s(timeout)
        return cls(interval, timeout, min(now + first_wait, last), last, deadline)

    def with_last_question(self, now: float) -> Schedule:
        """The schedule of a poll whose last question is asked ``now``: if it is late, the deadline moves by as much.

        The question is late if something has blocked the event loop, or if the process was stopped.
        """
        return attrs.evolve(self, last=now, deadline=self.deadline + (now - self.last))


class Scheduled:
    """What can be asked about."""

    __slots__ = ("due",)
    due: float
    """When its interval has really passed. The :class:`Scheduler` sets it where the question is repeated."""


T = TypeVar("T", bound=Scheduled)


class Scheduler(Generic[T]):
    """Chooses the next subject to ask about. At most ``max_concurrent`` questions are under way."""

    def __init__(self, max_concurrent: int) -> None:
        self._max_concurrent = max_concurrent
        self.under_way = 0
        self._first: collections.OrderedDict[T, None] = collections.OrderedDict()
        self._last: collections.OrderedDict[T, None] = collections.OrderedDict()
        self._repeats: Timetable[T] = Timetable()
        """By the clock of the repeats."""
        self._lag = 0.0
        """How many seconds the clock of the repeats is behind the real one."""
        self._newest_next = False
        self._repeat_next = True

    def ask_first(self, subject: T) -> None:
        """Let ``subject`` be asked about before all repeats."""
        self._first[subject] = None

    def ask_last(self, subject: T) -> None:
        """Let ``subject`` be asked about for the last time, before the time of a poll is over."""
        if subject not in self._first:
            self._last[subject] = None

    def repeat(self, subject: T, interval: float, now: float) -> None:
        """Let ``subject``, which was just answered, be asked about again after ``interval`` seconds."""
        clock = now - self._lag
        next_repeat = self._repeats.first(clock)
        subject.due = now + interval
        self._repeats.put(subject, (clock if next_repeat is None else next_repeat[0]) + interval)

    def discard(self, subject: T) -> None:
        """Remove ``subject``: no poll waits for it any more, or it is asked about now."""
        self._first.pop(subject, None)
        self._last.pop(subject, None)
        self._repeats.remove(subject)

    def take(self, now: float) -> T | None:
        """Take the subject to ask about now; None if nothing is due, or enough questions are under way."""
        if self.under_way >= self._max_concurrent:
            return None
        subject = self._first_question() if self._first else self._last_question_or_repeat(now)
        if subject is not None:
            self.discard(subject)
            self.under_way += 1
        return subject

    def question_ended(self) -> None:
        """Note that a question has ended, whether or not it was answered."""
        self.under_way -= 1

    def next_time(self, now: float) -> float:
        """When ``take`` will return another subject; infinity while enough questions are under way."""
        if self.under_way >= self._max_concurrent:
            return math.inf
        if self._first or self._last:
            return now
        following = self._next_repeat(now)
        return self._repeats.next_time() + self._lag - _CATCH_UP_S if following is None else following[1].due

    def _next_repeat(self, now: float) -> tuple[float, T] | None:
        return self._repeats.first(now - self._lag + _CATCH_UP_S + _TOLERANCE_S)

    def _first_question(self) -> T:
        are_many = len(self._first) > _ROUNDS * self._max_concurrent
        take_newest = are_many and self._newest_next
        self._newest_next = are_many and not take_newest
        return next(reversed(self._first)) if take_newest else next(iter(self._first))

    def _last_question_or_repeat(self, now: float) -> T | None:
        following = self._next_repeat(now)
        is_due = following is not None and following[1].due <= now
        if self._last and not (is_due and self._repeat_next):
            self._repeat_next = True
            return next(iter(self._last))
        if following is None or not is_due:
            return None
        self._repeat_next = False
        self._lag = max(0.0, now - following[0])
        return following[1]
