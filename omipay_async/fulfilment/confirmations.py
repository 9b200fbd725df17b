"""Which order is queried next for the notifications that wait, and which of them are refused. No I/O.

Whoever saw one signature of the merchant can post any number of bodies with it, and each body needs a question to the
gateway. These rules keep strangers from using more than the slots that are set aside for confirmations:

- **Bodies for one order share one question at a time.** A body that arrives while a question is under way waits for the
  next one, because an answer that is older than a body may not confirm it.
- **Each signature has a queue, and the queues take turns.** One signature has one question under way at most. A
  captured signature has one queue, however often it is used. A genuine notification has its own nonce, so it is alone
  in its queue and is asked about next.
- **At most 1,000 bodies wait.** When one more arrives, the body that joined the longest queue last is refused at once.
"""

from __future__ import annotations

import asyncio
import copy
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

import attrs

from omipay_async.clock import LAST_TURNS, retrieve_exception, wait
from omipay_async.errors import OmipayError, TransportError
from omipay_async.protocol.endpoints import QUERY_ORDER

from .backends import one_spelling

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from omipay_async.clock import Clock
    from omipay_async.models import Order

    Ask = Callable[[str, float], Coroutine[Any, Any, Order]]

MOST_WAITING: Final = 1_000
"""How many bodies wait at most for a question to begin."""


@attrs.frozen(eq=False, repr=False)
class _Body:
    order_no: str
    signature: str
    deadline: float
    answer: asyncio.Future[Order]
    """Set once. Until then the body either waits or belongs to one question."""


@attrs.define(eq=False, repr=False)
class _Question:
    """A question that is under way, the signature that it was begun for, and the bodies that wait for its answer."""

    signature: str
    bodies: dict[_Body, None]
    task: asyncio.Task[Order]


class Confirmations:
    """Queries the gateway about the orders that the bodies of notifications name.

    Args:
        ask: Asks about an order within so many seconds.
        max_concurrent: How many questions are under way at most.
    """

    def __init__(self, ask: Ask, clock: Clock, *, max_concurrent: int) -> None:
        self._ask = ask
        self._clock = clock
        self._max_concurrent = max_concurrent
        self.leave_loop()

    def leave_loop(self) -> None:
        """Forget all bodies and questions: the event loop in which they were under way has ended."""
        self._waiting: dict[_Body, None] = {}
        """The bodies that no question is asked for yet."""
        self._queues: OrderedDict[str, dict[_Body, None]] = OrderedDict()
        """The same bodies by their signature. The signature whose turn is next comes first."""
        self._under_way: dict[str, _Question] = {}
        """The questions, by the number of the order."""

    async def query(self, order_no: str, signature: str, timeout: float) -> Order:
        """Return what the gateway reports of an order, in answer to a question that begins after this call.

        Raises:
            TransportError: no question was answered within ``timeout`` seconds, or too many bodies wait.
            OmipayError: what ``ask`` raised.
        """
        answer: asyncio.Future[Order] = asyncio.get_running_loop().create_future()
        body = _Body(order_no, signature, self._clock.monotonic() + timeout, answer)
        self._join(body)
        self._begin_questions()
        try:
            await wait(self._clock, (answer,), timeout)
            await self._last_turns(body)
            if not answer.done():
                raise _error(order_no, "not confirmed in time: too much is under way, or the gateway does not answer")
            return answer.result()
        finally:
            self._leave(body)

    async def _last_turns(self, body: _Body) -> None:
        """Let the event loop deliver the answer to a question under way.

        It may lie in the socket already, if something has blocked the event loop or stopped the process.
        """
        for _ in range(LAST_TURNS):
            question = self._under_way.get(body.order_no)
            if body.answer.done() or question is None or body not in question.bodies:
                break
            await asyncio.sleep(0)

    def refuse_others(self, signature: str, order_no: str, error: Callable[[str], Exception]) -> None:
        """End the wait of the bodies that have this signature and name other orders, without asking about them."""
        for body in tuple(self._queues.get(signature, ())):
            if one_spelling(body.order_no) != one_spelling(order_no):
                self._remove(body)
                body.answer.set_exception(error(body.order_no))

    # -- waiting ------------------------------------------------------------------------------------------------------

    def _join(self, body: _Body) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._make_room_for(body)
        self._waiting[body] = None
        self._queues.setdefault(body.signature, {})[body] = None

    def _make_room_for(self, body: _Body) -> None:
        longest = max(self._queues.values(), key=len)
        own = self._queues.get(body.signature, ())
        problem = "too many notifications wait to be confirmed"
        if len(longest) <= len(own) + 1:
            raise _error(body.order_no, problem)
        last = next(reversed(longest))
        self._remove(last)
        last.answer.set_exception(_error(last.order_no, problem))

    def _remove(self, body: _Body) -> None:
        del self._waiting[body]
        queue = self._queues[body.signature]
        del queue[body]
        if not queue:
            del self._queues[body.signature]

    def _leave(self, body: _Body) -> None:
        if body in self._waiting:
            self._remove(body)
        question = self._under_way.get(body.order_no)
        if question is not None and body in question.bodies:
            del question.bodies[body]
            if not question.bodies:
                question.task.cancel()  # nobody waits for its answer any more
        if body.answer.done():
            retrieve_exception(body.answer)  # its caller may have been cancelled

    # -- asking -------------------------------------------------------------------------------------------------------

    def _begin_questions(self) -> None:
        while len(self._under_way) < self._max_concurrent and (turn := self._next_turn()) is not None:
            self._begin(*turn)

    def _next_turn(self) -> tuple[str, str] | None:
        """The signature whose turn it is, and the order to ask about."""
        busy = {question.signature for question in self._under_way.values()}
        for signature, queue in self._queues.items():
            if signature in busy:
                continue
            for body in queue:
                if body.order_no not in self._under_way:
                    self._queues.move_to_end(signature)
                    return signature, body.order_no
        return None

    def _begin(self, signature: str, order_no: str) -> None:
        bodies = {body: None for body in self._waiting if body.order_no == order_no}
        for body in bodies:
            self._remove(body)
        limit = max(body.deadline for body in bodies) - self._clock.monotonic()
        # Created directly, because a loop's task factory may run a task before it is known here.
        task = asyncio.Task(self._ask(order_no, max(limit, 0.001)))
        question = self._under_way[order_no] = _Question(signature, bodies, task)
        task.add_done_callback(lambda task: self._answered(order_no, question, task))

    def _answered(self, order_no: str, question: _Question, task: asyncio.Task[Order]) -> None:
        error = None if task.cancelled() else task.exception()
        if self._under_way.get(order_no) is not question:
            return  # this belongs to an event loop that has ended: see leave_loop()
        del self._under_way[order_no]
        for body in question.bodies:
            if task.cancelled():
                body.answer.set_exception(_error(order_no, "the question was cancelled"))
            elif error is None:
                body.answer.set_result(task.result())
            else:
                # Each body gets its own copy: an error that is raised in many tasks collects their tracebacks.
                body.answer.set_exception(copy.copy(error) if isinstance(error, OmipayError) else _as_exception(error))
        self._begin_questions()


def _error(order_no: str, problem: str) -> TransportError:
    return TransportError(f"order {order_no}: {problem}", endpoint=QUERY_ORDER.name)


def _as_exception(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else RuntimeError(type(error).__name__)
