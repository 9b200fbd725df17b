"""Waiting until an order is paid or a refund has arrived (CN 3.4(6)): the schedule, pure, and its driver. No I/O.

One board serves every poll of a session. A poll that waits is a future and an entry in a heap; a request is made only
for what is due, the oldest first and a few at a time, so that ten thousand polls are ordinary and never go out in one
instant. Pollers of one order share each question: an answer is an answer for all of them.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import copy
import functools
import heapq
import inspect
import itertools
import math
from typing import TYPE_CHECKING, Final, Generic, Literal, Protocol, TypeVar

import attrs

from omipay_async.clock import call_later
from omipay_async.codes import ErrorCode
from omipay_async.errors import (
    APIError,
    GatewayError,
    InvalidReply,
    LookupFailed,
    OmipayError,
    Outcome,
    PollTimeout,
    SessionClosed,
    TransportError,
)
from omipay_async.events import logger
from omipay_async.transport.cancellation import CancelScope, ScopeCancelled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from omipay_async.clock import Clock, Timer


class PollState(Protocol):
    """An Order or a Refund: what a question is answered with."""

    @property
    def status(self) -> str:
        """The word of the status tables."""
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


@attrs.frozen
class Schedule:
    """When to ask. All in seconds, by one monotonic clock.

    First ``first_wait`` after the beginning, then ``interval`` after each answer. The last question comes a moment
    before the end, so that it can still be answered within the time limit, which bounds the whole poll.
    """

    began: float
    first_wait: float
    interval: float
    timeout: float | None

    @property
    def deadline(self) -> float:
        """When the poll is over."""
        return math.inf if self.timeout is None else self.began + self.timeout

    @property
    def last_question(self) -> float:
        """When to ask for the last time."""
        return math.inf if self.timeout is None else self.deadline - min(0.5, self.timeout / 20)

    def due(self, answered: float | None) -> float:
        """When to ask next, after the answer (or failure) at ``answered``; infinity if the last question was asked."""
        if answered is None:
            return min(self.began + self.first_wait, self.last_question)
        if answered >= self.last_question:
            return math.inf
        return min(answered + self.interval, self.last_question)


def passes(error: OmipayError, primary_node: str) -> bool:
    """Whether a poll rides ``error`` out: trouble of the moment, or a second node that does not know the order yet."""
    if isinstance(error, LookupFailed):
        return error.node is not None and error.node != primary_node
    if isinstance(error, TransportError | InvalidReply | GatewayError):
        return True
    return type(error) is APIError and not isinstance(error.error_code, ErrorCode)


class _Waiter(Generic[S]):
    """One caller who waits."""

    __slots__ = ("due", "error", "future", "news", "schedule", "settled", "watch")

    def __init__(self, watch: _Subject[S], schedule: Schedule) -> None:
        self.watch = watch
        self.schedule = schedule
        self.due = schedule.due(None)
        self.news: S | None = None
        self.error: Exception | None = None
        self.future: asyncio.Future[None] | None = None
        self.settled = False
        """Whether it was told a final state: then nothing more is asked for it."""

    def tell(self, news: S) -> None:
        if self.settled:
            return  # an answer from before a confirmed payment takes nothing back
        self.news = news
        self.settled = news.is_final
        self._wake()

    def answered(self, now: float) -> None:
        self.due = math.inf if self.settled else self.schedule.due(now)

    def fail(self, error: Exception) -> None:
        self.error = self.error or error
        self._wake()

    def expire(self) -> None:
        self.fail(_EXPIRED)

    def _wake(self) -> None:
        if self.future is not None and not self.future.done():
            self.future.set_result(None)


_EXPIRED: Final = PollTimeout("")


class _Subject(Generic[S]):
    """One order or refund that is waited for."""

    __slots__ = ("due", "number", "pollers", "question", "queued", "trouble", "woken")

    def __init__(self, number: str) -> None:
        self.number = number
        self.pollers: list[_Waiter[S]] = []
        self.due = math.inf
        self.question: asyncio.Task[None] | None = None
        self.trouble: OmipayError | None = None
        self.woken = False
        self.queued = False
        """Whether it waits for its turn to be asked about."""


class Poller(Generic[S]):
    """Everything that is waited for, and when it is asked about next."""

    def __init__(
        self,
        ask: Callable[[str, float], Awaitable[S]],
        *,
        kind: Literal["order", "refund"],
        clock: Clock,
        at_once: int,
        timeout: float,
        primary_node: str,
    ) -> None:
        self._ask = ask
        self.kind = kind
        self._clock = clock
        self._at_once = at_once
        self._timeout = timeout
        self._primary_node = primary_node
        self._watches: dict[str, _Subject[S]] = {}
        self._schedule: list[tuple[float, int, _Subject[S]]] = []
        self._order = itertools.count()
        self._ready: collections.deque[_Subject[S]] = collections.deque()
        self._asking = 0
        self._timer: Timer | None = None
        self._timer_due = math.inf

    async def poll(self, number: str, schedule: Schedule, on_status: Callable[[S], object] | None) -> S:
        """The first final state of ``number``.

        Raises:
            PollTimeout: after ``schedule``'s time.
            OmipayError: what is no passing trouble.
        """
        poller = self._join(number, schedule)
        expiry = None
        if schedule.timeout is not None:
            expiry = call_later(self._clock, schedule.deadline - self._clock.monotonic(), poller.expire)
        last: S | None = None
        try:
            while True:
                if poller.news is None and poller.error is None:
                    poller.future = asyncio.get_running_loop().create_future()
                    await poller.future
                news, poller.news = poller.news, None
                if news is None:
                    raise self._ending(poller, last)
                if on_status is not None and (last is None or news.status != last.status):
                    await self._tell(on_status, news, schedule)
                last = news
                if news.is_final:
                    return news
        finally:
            if expiry is not None:
                expiry.cancel()
            self._leave(poller)

    async def _tell(self, on_status: Callable[[S], object], news: S, schedule: Schedule) -> None:
        told = on_status(news)
        if inspect.isawaitable(told):
            left = None if schedule.timeout is None else schedule.deadline - self._clock.monotonic()
            # Past the time limit the poll ends as it would have without the callback.
            with contextlib.suppress(ScopeCancelled), CancelScope(self._clock, left):
                await told

    def _ending(self, poller: _Waiter[S], last: S | None) -> Exception:
        number = poller.watch.number
        if poller.error is _EXPIRED:
            seen = f"the last status was {last.status}" if last is not None else "no status was seen"
            what = f"{number}: nothing final within {poller.schedule.timeout:g} s, {seen}; ask again later"
            error: Exception = PollTimeout(what, last_error=poller.watch.trouble)
            setattr(error, self.kind, last)
        else:
            error = poller.error or SessionClosed()
            if isinstance(error, OmipayError):
                error = copy.copy(error)  # each poller raises one of its own
        if isinstance(error, OmipayError):
            error.outcome = Outcome.UNKNOWN
        if isinstance(error, PollTimeout | SessionClosed):
            setattr(error, f"{self.kind}_no", number)
        return error

    # -- who waits --------------------------------------------------------------------------------------------------

    def _join(self, number: str, schedule: Schedule) -> _Waiter[S]:
        watch = self._watches.get(number)
        if watch is None:
            watch = self._watches[number] = _Subject(number)
        poller = _Waiter(watch, schedule)
        watch.pollers.append(poller)
        if poller.due < watch.due and watch.question is None:
            self._enter(watch, poller.due)
        return poller

    def _leave(self, poller: _Waiter[S]) -> None:
        watch = poller.watch
        watch.pollers.remove(poller)
        if not watch.pollers:
            watch.due = math.inf
            self._watches.pop(watch.number, None)
            if watch.question is not None:
                watch.question.cancel()
        if not self._watches:
            # Nobody waits: no timer may outlive the event loop that it is of.
            self._schedule.clear()
            self._ready.clear()
            self._set_timer()

    def wake(self, number: str, news: S | None = None) -> None:
        """``number`` is said to be paid: end its polls with ``news`` if the gateway said so, else ask at once."""
        watch = self._watches.get(number)
        if watch is None:
            return
        if news is not None and news.is_final:
            for poller in watch.pollers:
                poller.tell(news)
            watch.due = math.inf
        elif watch.question is not None:
            watch.woken = True  # the question under way may have been answered before the payment
        else:
            self._enter(watch, self._clock.monotonic())

    def close(self) -> None:
        """End every poll with :class:`SessionClosed`."""
        for watch in self._watches.values():
            for poller in watch.pollers:
                poller.fail(SessionClosed(f"this session was closed while the {self.kind} was polled"))

    # -- what is due ------------------------------------------------------------------------------------------------

    def _enter(self, watch: _Subject[S], due: float) -> None:
        watch.due = due
        if due < math.inf:
            heapq.heappush(self._schedule, (due, next(self._order), watch))
            self._set_timer()

    def _set_timer(self) -> None:
        due = self._schedule[0][0] if self._schedule else math.inf
        if due == self._timer_due:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_due = due
        if due < math.inf:
            self._timer = call_later(self._clock, due - self._clock.monotonic(), self._look)

    def _look(self) -> None:
        self._timer, self._timer_due = None, math.inf
        now = self._clock.monotonic()
        while self._schedule and self._schedule[0][0] <= now:
            due, _, watch = heapq.heappop(self._schedule)
            if watch.due == due and watch.question is None and not watch.queued:  # else it was, or will be, asked
                watch.due = math.inf
                watch.queued = True
                self._ready.append(watch)
        self._set_timer()
        self._ask_what_is_ready()

    def _ask_what_is_ready(self) -> None:
        while self._ready and self._asking < self._at_once:
            watch = self._ready.popleft()
            watch.queued = False
            if watch.pollers:
                self._asking += 1
                watch.woken = False
                watch.question = asyncio.get_running_loop().create_task(self._question(watch))
                watch.question.add_done_callback(functools.partial(self._asked, watch))

    def _asked(self, watch: _Subject[S], _: asyncio.Task[None]) -> None:
        # Not in the task itself: one that is cancelled before its first step never gets to any clean-up.
        self._asking -= 1
        watch.question = None
        if watch.pollers:
            self._plan(watch)
        self._ask_what_is_ready()

    async def _question(self, watch: _Subject[S]) -> None:
        left = max(poller.schedule.deadline for poller in watch.pollers) - self._clock.monotonic()
        try:
            news = await self._ask(watch.number, min(self._timeout, max(left, 0.001)))
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait for the answer get it
            self._had_trouble(watch, error)
        else:
            for poller in watch.pollers:
                poller.tell(news)
        now = self._clock.monotonic()
        for poller in watch.pollers:
            poller.answered(now)

    def _had_trouble(self, watch: _Subject[S], error: Exception) -> None:
        if isinstance(error, OmipayError) and passes(error, self._primary_node):
            if watch.trouble is None:
                logger.warning("polling goes on through trouble: %s", error)
            watch.trouble = error
        else:
            for poller in watch.pollers:
                poller.fail(error)

    def _plan(self, watch: _Subject[S]) -> None:
        due = min(poller.due for poller in watch.pollers)
        self._enter(watch, min(due, self._clock.monotonic()) if watch.woken else due)
