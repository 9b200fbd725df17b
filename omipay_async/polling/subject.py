"""What is waited for, and who waits: the state of every poll, and the only code that changes it. No I/O.

A *subject* is one order or one refund. A *waiter* is one poll of it; polls of one subject share each question, and each
judges the answer for itself. What can happen to a waiter:

======================  ===========================================================================================
its first instant       the subject is asked about before all repeats
its last instant        the subject is asked about once more
its deadline            it ends: ``PollTimeout``
an answer, not final    it is the latest state
an answer, final        it is the latest state, and settles the waiter: nothing changes that any more
one of another sale     not taken: a temporary error of this waiter alone
a temporary error       it is remembered
a lasting error         it ends with this error
the session is closed   it ends: ``SessionClosed``
======================  ===========================================================================================
"""

from __future__ import annotations

import copy
import enum
import math
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

import attrs

from omipay_async.codes import ErrorCode
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
from omipay_async.events import logger
from omipay_async.protocol.redaction import printable

from .expectation import Expectation, contradiction
from .scheduler import Schedule, Scheduled

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine, Mapping

    from omipay_async.protocol.endpoints import Endpoint


class PollState(Protocol):
    """An Order or a Refund: what a question is answered with."""

    @property
    def status(self) -> str:
        """As in the status tables."""
        ...

    @property
    def raw(self) -> dict[str, Any]:
        """The reply as it came."""
        ...

    @property
    def is_failed(self) -> bool:
        """Whether it ends badly."""
        ...

    @property
    def is_final(self) -> bool:
        """Whether the poll ends."""
        ...


S = TypeVar("S", bound=PollState)


@attrs.frozen(eq=False)
class Topic(Generic[S]):
    """One kind of subjects, and those of it that are waited for now."""

    kind: Literal["order", "refund"]
    endpoint: Endpoint[S]
    fields: Mapping[str, type]
    """What an answer about the right sale agrees in."""
    ask: Callable[[str, float], Coroutine[Any, Any, S]]
    """Asks about a number, within so many seconds."""
    failed: Callable[[S], OmipayError]
    """The error of a final state that is a failure."""
    subjects: dict[str, Subject[S]] = attrs.field(factory=dict, init=False)


def is_temporary(error: BaseException, primary_node: str) -> bool:
    """Whether ``error`` is temporary: a second node, for one, may not know the order yet."""
    if isinstance(error, LookupFailed):
        return error.node is not None and error.node != primary_node
    if isinstance(error, TransportError | InvalidReply | GatewayError):
        return True
    return type(error) is APIError and not isinstance(error.error_code, ErrorCode)


class Subject(Scheduled, Generic[S]):
    """One order or refund that is waited for."""

    __slots__ = ("has_failed", "is_woken", "number", "question", "topic", "waiters")

    def __init__(self, topic: Topic[S], number: str) -> None:
        super().__init__()
        self.topic = topic
        self.number = number
        self.waiters: list[Waiter[S]] = []
        self.question: asyncio.Future[S] | None = None
        """The question that is under way."""
        self.is_woken = False
        """Whether it was reported as paid after the question that is under way began."""
        self.has_failed = False

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
    def is_settled(self) -> bool:
        """Whether there is nothing left to be asked for anybody."""
        return all(waiter.is_settled for waiter in self.waiters)

    def tell(self, state: S) -> None:
        """The gateway said this."""
        for waiter in self.waiters:
            waiter.tell(state)

    def note_error(self, error: OmipayError) -> None:
        """The question failed, and the next one may be answered."""
        if not self.has_failed:
            self.has_failed = True
            logger.warning("%s %s: polling goes on after an error: %s", self.topic.kind, self.number, error)
        for waiter in self.waiters:
            waiter.last_error = error

    def fail(self, error: BaseException) -> None:
        """The question failed, and asking again would not help."""
        for waiter in self.waiters:
            waiter.end_with(error)


class Instant(enum.IntEnum):
    """What a waiter waits for next, as far as time goes."""

    FIRST = 0
    LAST = 1
    DEADLINE = 2
    NONE = 3


class End(enum.Enum):
    """Why a waiter ends without an error of the gateway's."""

    TIME = enum.auto()
    CLOSED = enum.auto()


class Waiter(Generic[S]):
    """One poll that waits for its subject."""

    __slots__ = (
        "end",
        "expected",
        "future",
        "has_refused",
        "index",
        "instant",
        "last_error",
        "latest",
        "listed_at",
        "schedule",
        "subject",
    )

    def __init__(self, subject: Subject[S], schedule: Schedule, expected: Expectation) -> None:
        self.subject = subject
        self.schedule = schedule
        self.expected = expected
        self.index = 0
        """Its place among the waiters of the subject, which moves it."""
        self.instant = Instant.FIRST
        self.listed_at: float | None = None
        """Where it stands in the timetable of the poller, which sets this."""
        self.latest: S | None = None
        """A state that the poll has not seen yet."""
        self.end: BaseException | End | None = None
        self.last_error: OmipayError | None = None
        self.has_refused = False
        """Whether an answer was about another sale, which is logged once."""
        self.future: asyncio.Future[None] | None = None
        """What the poll awaits."""

    # -- time ---------------------------------------------------------------------------------------------------------

    @property
    def next_time(self) -> float:
        """When its next instant comes."""
        schedule = self.schedule
        return (schedule.first, schedule.last, schedule.deadline, math.inf)[self.instant]

    @property
    def wants_more(self) -> bool:
        """Whether it wants the question to be repeated."""
        return self.instant <= Instant.LAST

    def pass_instant(self) -> Instant:
        """The next instant has come. Which one that was."""
        passed = self.instant
        if passed is Instant.DEADLINE:
            self.end_with(End.TIME)
        elif passed is Instant.FIRST and self.schedule.first < self.schedule.last:
            self.instant = Instant.LAST
        else:
            self.instant = Instant.DEADLINE
        return passed

    def asked(self, now: float) -> None:
        """A question about its subject has ended: the first one was asked, and in the end the last one too."""
        if self.wants_more:
            self.instant = Instant.LAST if now < self.schedule.last else Instant.DEADLINE

    # -- news ---------------------------------------------------------------------------------------------------------

    @property
    def is_settled(self) -> bool:
        """Whether a final state or an error has ended the waiting."""
        return self.instant is Instant.NONE

    def tell(self, state: S) -> None:
        """The gateway said this of its subject."""
        if self.is_settled:
            return  # an answer from before a confirmed payment takes nothing back
        wrong = contradiction(state, self.expected, self.subject.topic.fields)
        if wrong is not None:
            self._refuse(state, wrong)
            return
        self.latest = state
        if state.is_final:
            self.instant = Instant.NONE
        self._wake()

    def _refuse(self, state: S, wrong: str) -> None:
        topic = self.subject.topic
        what = f"{topic.endpoint.name}: {topic.kind} {self.subject.number}: the answer is about another sale, {wrong}"
        if not self.has_refused:
            self.has_refused = True
            logger.warning("%s; it is not taken, polling goes on", what)
        self.last_error = InvalidReply(what, endpoint=topic.endpoint.name, raw=state.raw)

    def end_with(self, end: BaseException | End) -> None:
        """Nothing more is waited for. The first reason counts, and a final state counts before all reasons."""
        if not self.is_settled:
            self.instant = Instant.NONE
            self.end = End.CLOSED if isinstance(end, SessionClosed) else end
            self._wake()

    def _wake(self) -> None:
        if self.future is not None and not self.future.done():
            self.future.set_result(None)

    def take_latest(self) -> S | None:
        """The state that the poll has not seen yet."""
        latest, self.latest = self.latest, None
        return latest

    def failure(self, last: S | None) -> BaseException:
        """What the poll raises; each poll an error of its own. ``last`` is the last state that it has seen."""
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
        what = f"{topic.kind} {number}: this session was closed while it was polled; ask again later"
        return SessionClosed(what, **fields)
