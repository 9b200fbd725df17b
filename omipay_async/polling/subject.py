"""The state of every poll, and how an instant, an answer or an error changes it. No I/O.

A *subject* is one order or one refund. A *waiter* is one poll of it. The polls of one subject share each question, and
each compares the answer with what it expects. What can happen to a waiter:

======================  ===========================================================================================
its first instant       the subject is asked about before all repeats
its last instant        the subject is asked about once more; if that is late, the deadline moves by as much
its deadline            it ends with ``PollTimeout``, after an answer that has arrived already
an answer, not final    becomes the latest state
an answer, final        becomes the latest state, and settles the waiter: nothing changes that any more
an answer, wrong sale   is not accepted: a temporary error of this waiter alone
a temporary error       is stored as ``last_error``
a lasting error         ends it with this error
the session is closed   it ends with ``SessionClosed``
======================  ===========================================================================================
"""

from __future__ import annotations

import contextvars
import copy
import enum
import math
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import attrs

from omipay_async.errors import (
    APIError,
    GatewayError,
    InvalidReply,
    LookupFailed,
    OmipayError,
    PollTimeout,
    SessionClosed,
    TransportError,
)
from omipay_async.log import log_fields, logger
from omipay_async.protocol.expectation import contradiction
from omipay_async.text import printable

from .scheduler import Schedule, Scheduled

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine, Mapping

    from omipay_async.models import Order, Refund
    from omipay_async.protocol.endpoints import Endpoint


S = TypeVar("S", bound="Order | Refund")
"""The state that answers a question."""


@attrs.frozen(eq=False, repr=False)
class Topic(Generic[S]):
    """One kind of subject: orders or refunds."""

    kind: Literal["order", "refund"]
    endpoint: Endpoint[S]
    fields: Mapping[str, type]
    """The fields in which an answer must agree with what a poll expects, and their types."""
    ask: Callable[[str, float], Coroutine[Any, Any, S]]
    """Asks the gateway about a number, within so many seconds."""
    failed: Callable[[S], OmipayError]
    """The error of a final state that is a failure."""

    def closed(self, number: str) -> SessionClosed:
        """The error of a poll in a session that is closed, before it began or meanwhile."""
        numbers: dict[str, Any] = {f"{self.kind}_no": number}
        what = f"{self.kind} {number}: this session was closed before anything final was seen; ask again later"
        return SessionClosed(what, **numbers)


def is_temporary(error: BaseException, primary_node: str) -> bool:
    """Whether ``error`` is temporary. An unknown order is, if the second node answered: it may not have it yet."""
    if isinstance(error, LookupFailed):
        return error.node is not None and error.node != primary_node
    if isinstance(error, TransportError | InvalidReply | GatewayError):
        return True
    return type(error) is APIError  # USERPAYING, or a code that is in no document


class Subject(Scheduled, Generic[S]):
    """One order or refund that is waited for."""

    __slots__ = ("context", "expired", "has_logged_error", "is_outdated", "number", "question", "topic", "waiters")

    def __init__(self, topic: Topic[S], number: str) -> None:
        self.topic = topic
        self.number = number
        self.context = contextvars.copy_context()
        """The context of its first poll: in it, hooks and tracers find the web request that a question is for."""
        self.waiters: list[Waiter[S]] = []
        """A dictionary, in which each could be found, would need more memory."""
        self.question: asyncio.Future[S] | None = None
        """The question that is under way."""
        self.is_outdated = False
        """Whether the question that is under way may be answered from before a payment, so that another must follow."""
        self.has_logged_error = False
        """Whether a temporary error was logged, which is done once."""
        self.expired: list[Waiter[S]] | None = None
        """Waiters whose time is over, but which have not ended yet. (A list for each subject would need memory.)"""

    def join(self, waiter: Waiter[S]) -> None:
        """Add a waiter."""
        waiter.index = len(self.waiters)
        self.waiters.append(waiter)

    def leave(self, waiter: Waiter[S]) -> None:
        """Remove a waiter. The last in the list takes its place."""
        last = self.waiters.pop()
        if last is not waiter:
            self.waiters[waiter.index] = last
            last.index = waiter.index

    @property
    def deadline(self) -> float:
        """When the last of those who wait now gives up."""
        return max(waiter.schedule.deadline for waiter in self.waiters)

    @property
    def interval(self) -> float:
        """The shortest interval of those who want another question; infinity if nobody does."""
        return min((waiter.schedule.interval for waiter in self.waiters if waiter.wants_more), default=math.inf)

    @property
    def needs_question(self) -> bool:
        """Whether a waiter needs the answer to a question that begins now."""
        return any(waiter.instant <= Instant.DEADLINE for waiter in self.waiters)

    def receive(self, state: S) -> None:
        """Deliver the gateway's answer to every waiter."""
        for waiter in self.waiters:
            waiter.receive(state)

    def note_error(self, error: OmipayError) -> None:
        """Store a temporary error: the next question may be answered."""
        if not self.has_logged_error and any(waiter.instant is not Instant.EXPIRED for waiter in self.waiters):
            self.has_logged_error = True
            text = "%s %s: polling goes on after an error: %s"
            logger.warning(text, self.topic.kind, printable(self.number), error, extra=self.log_fields())
        for waiter in self.waiters:
            waiter.last_error = error

    def log_fields(self) -> dict[str, str | None]:
        """What a log record about this subject has besides its text."""
        return log_fields(
            endpoint=self.topic.endpoint.name, order_no=self.number if self.topic.kind == "order" else None
        )

    def fail(self, error: BaseException) -> None:
        """End every waiter with an error: another question would not help."""
        for waiter in self.waiters:
            waiter.end_with(error)


class Instant(enum.IntEnum):
    """The next instant of a waiter."""

    FIRST = 0
    LAST = 1
    DEADLINE = 2
    EXPIRED = 3
    """The deadline has passed."""
    NONE = 4
    """No instant comes any more: a final state or an error has settled the waiter."""


class End(enum.Enum):
    """Why a waiter ends without an error of a question."""

    TIME = enum.auto()
    """Its time is over."""
    CLOSED = enum.auto()
    """The session was closed."""


class Waiter(Generic[S]):
    """One poll that waits for its subject."""

    __slots__ = (
        "end",
        "expected",
        "future",
        "has_logged_rejection",
        "index",
        "instant",
        "last_error",
        "latest",
        "schedule",
        "subject",
    )

    def __init__(self, subject: Subject[S], schedule: Schedule, expected: Mapping[str, object]) -> None:
        self.subject = subject
        self.schedule = schedule
        self.expected = expected
        self.index = 0
        """Its place in the list of the subject, which sets this."""
        self.instant = Instant.FIRST
        self.latest: S | None = None
        """A state that the poll has not taken yet."""
        self.end: BaseException | End | None = None
        self.last_error: OmipayError | None = None
        self.has_logged_rejection = False
        """Whether an answer was about another sale, which is logged once."""
        self.future: asyncio.Future[None] | None = None
        """What the poll awaits."""

    # -- time ---------------------------------------------------------------------------------------------------------

    @property
    def next_time(self) -> float:
        """When its next instant comes; infinity if none does."""
        schedule = self.schedule
        return (schedule.first, schedule.last, schedule.deadline, math.inf, math.inf)[self.instant]

    @property
    def wants_more(self) -> bool:
        """Whether it wants the question to be repeated."""
        return self.instant <= Instant.LAST

    def pass_instant(self, now: float) -> Instant:
        """Go on to the following instant, since the next one has come. Returns the one that has passed."""
        passed = self.instant
        if passed is Instant.DEADLINE:
            self.instant = Instant.EXPIRED
        elif passed is Instant.FIRST and now < self.schedule.last:
            self.instant = Instant.LAST
        else:
            self.instant = Instant.DEADLINE
            self.schedule = self.schedule.with_last_question(now)
        return passed

    def question_ended(self, now: float) -> None:
        """Note that a question has ended: the next instant is the last question, or the deadline if it was that one.

        An answer read after the deadline may be from before something blocked the event loop: it is not the last.
        """
        if self.wants_more:
            is_last = self.schedule.last <= now < self.schedule.deadline
            self.instant = Instant.DEADLINE if is_last else Instant.LAST

    # -- answers ------------------------------------------------------------------------------------------------------

    @property
    def is_settled(self) -> bool:
        """Whether a final state or an error has ended the waiting."""
        return self.instant is Instant.NONE

    def receive(self, state: S) -> None:
        """Take an answer of the gateway about its subject."""
        if self.is_settled:
            return  # an answer that was given before a confirmed payment does not undo it
        wrong = contradiction(state, self.expected)
        if wrong is not None:
            self._reject(state, wrong)
            return
        self.latest = state
        if state.is_final:
            self.instant = Instant.NONE
        self._wake()

    def _reject(self, state: S, wrong: str) -> None:
        topic = self.subject.topic
        what = f"{topic.endpoint.name}: {topic.kind} {self.subject.number}: {wrong}"
        if not self.has_logged_rejection:
            self.has_logged_rejection = True
            logger.warning("%s; it is not accepted, polling goes on", what, extra=self.subject.log_fields())
        self.last_error = InvalidReply(what, endpoint=topic.endpoint.name, raw=state.raw)

    def end_with(self, end: BaseException | End) -> None:
        """End the waiting, unless a final state or an earlier reason has ended it already."""
        if not self.is_settled:
            self.instant = Instant.NONE
            self.end = End.CLOSED if isinstance(end, SessionClosed) else end
            self._wake()

    def _wake(self) -> None:
        if self.future is not None and not self.future.done():
            self.future.set_result(None)

    def take_latest(self) -> S | None:
        """Take the state that the poll has not seen yet."""
        latest, self.latest = self.latest, None
        return latest

    def failure(self, last: S | None) -> BaseException:
        """A new error for this poll to raise. ``last`` is the last state that it has seen."""
        topic, number = self.subject.topic, self.subject.number
        fields: dict[str, Any] = {f"{topic.kind}_no": number}
        if self.end is End.TIME:
            seen = "no status was seen" if last is None else f"the last status was {printable(last.status)}"
            what = f"{topic.kind} {number}: nothing final within {self.schedule.timeout:g} s, {seen}; ask again later"
            fields[topic.kind] = last
            return PollTimeout(what, last_error=self.last_error, **fields)
        if isinstance(self.end, OmipayError):
            return copy.copy(self.end)
        if isinstance(self.end, BaseException):
            return self.end
        return topic.closed(number)
