"""Which order is queried next for the notifications that wait, and which of them are refused. No I/O.

Whoever saw one signature of the merchant can post any number of bodies with it, and each body needs a question to the
gateway. So that strangers can take nothing from the shop but the slots that are set aside for confirmations:

- **bodies for one order share one question at a time.** A body that comes while a question is under way waits for the
  next one, so that none is judged by an answer that is older than itself;
- **bodies stand in lines by their signature**, and the lines take turns. One signature has one question under way at
  most. A captured signature is one line, however often it is used; a genuine notification has a nonce of its own,
  stands alone, and is next;
- **no more than so many bodies wait.** When there are more, the longest line loses the last that joined it, which is
  answered at once.
"""

from __future__ import annotations

import asyncio
import copy
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import attrs

from omipay_async.errors import OmipayError, TransportError

from .leases import wait

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from omipay_async.clock import Clock
    from omipay_async.models import Order

    Ask = Callable[[str, float], Awaitable[Order]]

MOST_WAITING: Final = 1_000
"""Bodies that wait for a question to begin."""
_ENDPOINT: Final = "QueryOrder"


@attrs.frozen(eq=False)
class _Body:
    order_no: str
    signature: str
    deadline: float
    answer: asyncio.Future[Order]
    """Set once: a body either waits, or belongs to one question, and leaves both when its answer is set."""


@attrs.define(eq=False)
class _Line:
    """The bodies of one signature that wait."""

    bodies: dict[_Body, None] = attrs.field(factory=dict)
    orders: dict[str, int] = attrs.field(factory=dict)
    """How many of them each order has."""

    def add(self, body: _Body) -> None:
        self.bodies[body] = None
        self.orders[body.order_no] = self.orders.get(body.order_no, 0) + 1

    def remove(self, body: _Body) -> None:
        del self.bodies[body]
        self.orders[body.order_no] -= 1
        if not self.orders[body.order_no]:
            del self.orders[body.order_no]


@attrs.define(eq=False)
class _Question:
    """A question that is under way, whose turn it was, and who waits for its answer."""

    signature: str
    bodies: dict[_Body, None]
    task: asyncio.Task[Order] | None = None


class Confirmations:
    """Asks ``ask(order_no, seconds)`` for the bodies of notifications, ``at_once`` questions at a time."""

    def __init__(self, ask: Ask, clock: Clock, *, at_once: int) -> None:
        self._ask = ask
        self._clock = clock
        self._at_once = at_once
        self.forget()

    def forget(self) -> None:
        """Begin anew: whatever was under way belonged to an event loop that is gone."""
        self._lines: OrderedDict[str, _Line] = OrderedDict()
        self._waiting: dict[str, dict[_Body, None]] = {}
        self._waiting_count = 0
        self._under_way: dict[str, _Question] = {}

    @property
    def waiting(self) -> int:
        """How many bodies wait for a question to begin."""
        return self._waiting_count

    async def confirm(self, order_no: str, signature: str, timeout: float) -> Order:
        """What the gateway reports of an order, in answer to a question that begins after this call.

        Raises:
            TransportError: no question could be begun, or none was answered, within ``timeout`` seconds.
            OmipayError: as the question ended.
        """
        answer: asyncio.Future[Order] = asyncio.get_running_loop().create_future()
        body = _Body(order_no, signature, self._clock.monotonic() + timeout, answer)
        self._join(body)
        self._begin_what_may()
        try:
            await wait(self._clock, (answer,), timeout)
            if not answer.done():
                message = "the order was not confirmed in time: too much is under way, or the gateway does not answer"
                raise TransportError(message, endpoint=_ENDPOINT)
            return answer.result()
        finally:
            self._leave(body)

    def refuse_others(self, signature: str, order_no: str, error: Callable[[], Exception]) -> None:
        """Let the bodies that wait with this signature for other orders fail: the gateway is not queried for them."""
        line = self._lines.get(signature)
        for body in () if line is None else tuple(line.bodies):
            if body.order_no.upper() != order_no.upper():
                self._step_out(body)
                body.answer.set_exception(error())

    # -- waiting ------------------------------------------------------------------------------------------------------

    def _join(self, body: _Body) -> None:
        if self._waiting_count >= MOST_WAITING:
            self._make_room_for(body)
        self._lines.setdefault(body.signature, _Line()).add(body)
        self._waiting.setdefault(body.order_no, {})[body] = None
        self._waiting_count += 1

    def _make_room_for(self, body: _Body) -> None:
        longest = max(self._lines.values(), key=lambda line: len(line.bodies))
        own = self._lines.get(body.signature)
        error = TransportError("too many notifications wait to be confirmed", endpoint=_ENDPOINT)
        if len(longest.bodies) <= (0 if own is None else len(own.bodies)) + 1:
            raise error
        last = next(reversed(longest.bodies))
        self._step_out(last)
        last.answer.set_exception(error)

    def _step_out(self, body: _Body) -> None:
        line = self._lines[body.signature]
        line.remove(body)
        if not line.bodies:
            del self._lines[body.signature]
        bodies = self._waiting[body.order_no]
        del bodies[body]
        if not bodies:
            del self._waiting[body.order_no]
        self._waiting_count -= 1

    def _leave(self, body: _Body) -> None:
        if body in self._waiting.get(body.order_no, {}):
            self._step_out(body)
        question = self._under_way.get(body.order_no)
        if question is not None and body in question.bodies:
            del question.bodies[body]
            if not question.bodies and question.task is not None:
                question.task.cancel()  # no caller waits for it any more
        if body.answer.done():
            body.answer.exception()  # retrieved, also if the caller was cancelled

    # -- asking -------------------------------------------------------------------------------------------------------

    def _begin_what_may(self) -> None:
        while len(self._under_way) < self._at_once and (turn := self._next()) is not None:
            self._begin(*turn)

    def _next(self) -> tuple[str, str] | None:
        """The signature whose turn it is, and the order that is queried for it."""
        busy = {question.signature for question in self._under_way.values()}
        for signature, line in self._lines.items():
            if signature in busy:
                continue
            for order_no in line.orders:
                if order_no not in self._under_way:
                    self._lines.move_to_end(signature)
                    return signature, order_no
        return None

    def _begin(self, signature: str, order_no: str) -> None:
        bodies = dict(self._waiting[order_no])
        for body in bodies:
            self._step_out(body)
        question = self._under_way[order_no] = _Question(signature, bodies)
        limit = max(body.deadline for body in bodies) - self._clock.monotonic()
        # Made directly, because a loop's task factory may run tasks before they are known.
        question.task = asyncio.Task(_query(self._ask, order_no, max(limit, 0.001)), loop=asyncio.get_running_loop())
        question.task.add_done_callback(lambda task: self._answered(order_no, question, task))

    def _answered(self, order_no: str, question: _Question, task: asyncio.Task[Order]) -> None:
        error = None if task.cancelled() else task.exception()
        if self._under_way.get(order_no) is not question:
            return  # forgotten
        del self._under_way[order_no]
        for body in question.bodies:
            if task.cancelled():
                body.answer.set_exception(TransportError("the question was given up", endpoint=_ENDPOINT))
            elif error is None:
                body.answer.set_result(task.result())
            else:
                # Each gets an error of its own: one that is raised in many tasks would collect their tracebacks.
                body.answer.set_exception(copy.copy(error) if isinstance(error, OmipayError) else _as_exception(error))
        self._begin_what_may()


async def _query(ask: Ask, order_no: str, seconds: float) -> Order:
    return await ask(order_no, seconds)


def _as_exception(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else RuntimeError(type(error).__name__)
