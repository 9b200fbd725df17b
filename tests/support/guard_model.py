"""A model of the once-guard: sessions in several processes that share a store, with faults at any await.

A :class:`World` plays one interleaving of the deliveries of a :class:`Scenario`. A plan says what becomes of each
request to the store, and what happens to the processes before which iteration of the event loop. The world lists in
``broken`` what must not happen in any interleaving:

- the handler runs twice at the same time while its lease holds, or goes on after its lease has ended;
- it begins after its success was recorded, or again in a session in which it succeeded;
- a success is recorded although no handler succeeded, or a delivery is answered SUCCESS before it is recorded;
- the order is held for longer than a lease after the last request that was carried out for it, a session that is alone
  has to wait for its own requests, or the order is not fulfilled in the end;
- a session still remembers something of an order whose success is recorded, or an exception is lost.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import attrs

from omipay_async.errors import BackendError
from omipay_async.fulfilment.backends import Claim
from omipay_async.fulfilment.guard import OnceGuard
from omipay_async.fulfilment.memory import MemoryBackend
from omipay_async.fulfilment.runs import StillRunning

from .fulfilment_doubles import KEY, ORDER
from .virtual_loop import PROCESS, Stuck, VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping

    from omipay_async.models import Order

LEASE_S: Final = 30.0


@attrs.frozen
class Delivery:
    """One delivery of the order's notification, and what its handler does if it runs."""

    session: int = 0
    at: float = 0.0
    """Seconds after the start."""
    wait_timeout: float | None = 0.0
    takes: tuple[float, ...] = (2.0,)
    """Seconds between the awaits of the handler."""
    fails: bool = False
    stops_in: float = 0.0
    """Seconds that the handler needs to clean up when it is cancelled."""


@attrs.frozen
class Scenario:
    """The deliveries of an interleaving."""

    deliveries: tuple[Delivery, ...]

    @property
    def sessions(self) -> int:
        """How many sessions there are."""
        return 1 + max(delivery.session for delivery in self.deliveries)


@attrs.frozen
class Way:
    """What becomes of a request: the seconds until it is carried out and until its answer arrives, None for never."""

    carried_out: float | None = 0.0
    answered: float | None = 0.0
    raises: type[BaseException] | None = None
    """The error that arrives instead of an answer."""


class Plan(Protocol):
    """The faults of an interleaving."""

    def way(self, number: int, session: Session) -> Way:
        """What becomes of the request with this number, counted from 0 over all sessions."""
        ...

    def events(self, world: World) -> Mapping[int, Callable[[], object]]:
        """What is done before which iteration of the event loop."""
        ...


class Session:
    """One session in its own process. It is the backend between its guard and the store."""

    lease = LEASE_S

    def __init__(self, world: World) -> None:
        self.world = world
        self.dead = False
        self.was_stopped = False
        self.cut_off_until = 0.0
        self.succeeded = False
        self.proven_until = 0.0
        """Until when its lease certainly holds."""
        self.context = contextvars.copy_context()
        self.context.run(PROCESS.set, self)
        self.guard = OnceGuard(self, world.loop, "123456")

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin a task of this process."""
        return self.world.loop.create_task(work, context=self.context)

    def crash(self) -> None:
        """Kill the process: none of its tasks runs any more, and none cleans up."""
        self.dead = True
        self.world.loop.stop_process(self)

    def stop(self, seconds: float) -> None:
        """Stop the process for some seconds. With 0, everything else runs until it has to wait."""
        if not self.dead:
            self.was_stopped = True
            self.world.loop.stop_process(self)
            self.world.call_later(seconds, self._resume)

    def cut_off(self, seconds: float) -> None:
        """Let no request of this process reach the store for some seconds."""
        self.cut_off_until = self.world.loop.time() + seconds

    def _resume(self) -> None:
        if not self.dead:
            self.world.loop.resume_process(self)

    async def claim(self, key: str, owner: str) -> Any:
        """As the plan says."""
        return await self._ask_for_lease(self.world.store.claim, key, owner)

    async def renew(self, key: str, owner: str) -> Any:
        """As the plan says."""
        return await self._ask_for_lease(self.world.store.renew, key, owner)

    async def finish(self, key: str, owner: str) -> Any:
        """As the plan says."""
        if not self.succeeded:
            self.world.broken.append("a success was recorded that no handler had")
        return await self.world.ask(self, lambda: self.world.store.finish(key, owner))

    async def release(self, key: str, owner: str) -> None:
        """As the plan says."""
        await self.world.ask(self, lambda: self.world.store.release(key, owner))

    async def wake(self, key: str) -> None:
        """Do nothing: there are no polls."""

    async def _ask_for_lease(self, method: Callable[[str, str], Coroutine[Any, Any, Any]], key: str, owner: str) -> Any:
        asked = self.world.loop.time()
        answer = await self.world.ask(self, lambda: method(key, owner))
        if answer in {True, Claim.MINE}:
            self.proven_until = asked + LEASE_S
        return answer


class World:
    """One interleaving: a scenario with a plan."""

    def __init__(self, scenario: Scenario, plan: Plan) -> None:
        self.loop = VirtualLoop()
        self.store = MemoryBackend(lease=LEASE_S, clock=self.loop)
        self.sessions = [Session(self) for _ in range(scenario.sessions)]
        self.broken: list[str] = []
        self.seen: Counter[str] = Counter()
        self.cancelled: dict[int, float] = {}
        """Which deliveries were cancelled, and when."""
        self.questions: list[int] = []
        """The iteration of the event loop before which each request was made."""
        self.turns = 0
        """How many iterations it took until the last delivery was answered."""
        self._scenario = scenario
        self._plan: Plan | None = plan
        self._at_work: list[Session] = []
        self._late: dict[object, Callable[[], None]] = {}
        self._last_change = 0.0
        self._context = contextvars.copy_context()

    def play(self) -> list[str]:
        """Play it, and return the rules that were broken."""
        try:
            self.loop.run_until_complete(self._play())
        except Stuck:
            self.broken.append("something waits for ever")
        finally:
            self._end_everything()
        return self.broken

    async def _play(self) -> None:
        self.deliveries = [
            self.sessions[delivery.session].begin(self._deliver(number, delivery))
            for number, delivery in enumerate(self._scenario.deliveries)
        ]
        if self._plan is not None:
            self.loop.before_turn.update(self._plan.events(self))
        # The tasks of a process that was killed never end.
        while left := [task for task, session in self._with_sessions() if not (task.done() or session.dead)]:
            await asyncio.wait(left, timeout=60)
        self._look_at_ends()
        self.turns = self.loop.turns
        self._plan = None
        self.loop.before_turn.clear()
        alive = [session for session in self.sessions if not session.dead]
        for session in alive:
            await session.guard.drain(3600)  # for handlers whose callers have left
        for carry_out in tuple(self._late.values()):
            carry_out()
        if len(self.sessions) > 1 or not alive:
            await asyncio.sleep(max(0.0, self._last_change + LEASE_S + 0.001 - self.loop.time()))
        for session in alive or [Session(self)]:
            await session.begin(self._deliver_at_last(session))

    def _with_sessions(self) -> Iterator[tuple[asyncio.Task[None], Session]]:
        for task, delivery in zip(self.deliveries, self._scenario.deliveries, strict=True):
            yield task, self.sessions[delivery.session]

    def _look_at_ends(self) -> None:
        for number, task in enumerate(self.deliveries):
            if task.done() and (task.cancelled() or task.exception()) and number not in self.cancelled:
                self.broken.append("a delivery was cancelled, or ended with an error that is not for its caller")

    def cancel(self, number: int) -> None:
        """Cancel the caller of this delivery."""
        self.cancelled.setdefault(number, self.loop.time())
        self.deliveries[number].cancel()

    def _end_everything(self) -> None:
        """Close what killed processes have left open."""
        self.broken += self.loop.unhandled
        self._plan = None
        self.loop.set_exception_handler(lambda *_: None)
        self.loop.before_turn.clear()
        for session in self.sessions:
            self.loop.resume_process(session)
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks))
        self.loop.close()

    # -- deliveries ---------------------------------------------------------------------------------------------------

    async def _deliver(self, number: int, delivery: Delivery) -> None:
        """Deliver once, and note how that ends."""
        session = self.sessions[delivery.session]
        await asyncio.sleep(delivery.at)

        async def handler(order: Order) -> None:
            if self.cancelled.get(number, self.loop.time()) < self.loop.time() and not session.was_stopped:
                self.broken.append("the handler began for a caller that had left")
            await self._handle(session, delivery)

        try:
            ran = await session.guard.run(ORDER, handler, wait_timeout=delivery.wait_timeout)
        except (BackendError, StillRunning, ZeroDivisionError) as error:
            self.seen[type(error).__name__] += 1
            return
        self.seen[f"ran {ran}"] += 1
        if KEY not in self.store._done:
            self.broken.append("a delivery was answered with SUCCESS before the success was recorded")

    async def _deliver_at_last(self, session: Session) -> None:
        """Check that the next delivery after all faults is answered at once, and that nothing is left behind."""

        async def handler(order: Order) -> None:
            await self._handle(session, Delivery())

        try:
            await session.guard.run(ORDER, handler, wait_timeout=0)
        except (BackendError, StillRunning) as error:
            self.broken.append(f"the last delivery was answered with {type(error).__name__}")
            return
        await asyncio.sleep(0)
        if KEY not in self.store._done:
            self.broken.append("the order was not fulfilled")
        if len(session.guard._unsettled) or session.guard._runs:
            self.broken.append("something is remembered of an order that is done")

    async def _handle(self, session: Session, delivery: Delivery) -> None:
        if KEY in self.store._done:
            self.broken.append("the handler began after its success was recorded")
        if session.succeeded:
            self.broken.append("the handler began again in the session in which it had succeeded")
        self._look_for_others(session)
        self._at_work.append(session)
        try:
            for seconds in delivery.takes:
                try:
                    await asyncio.sleep(seconds)
                finally:  # also if it is cancelled, which may be too late
                    if self.loop.time() > session.proven_until and not (session.was_stopped or session.dead):
                        self.broken.append("the handler went on after its lease had ended")
            if delivery.fails:
                raise ZeroDivisionError
            session.succeeded = True
        except asyncio.CancelledError:
            await asyncio.sleep(delivery.stops_in)
            raise
        finally:
            self._at_work.remove(session)

    def _look_for_others(self, session: Session) -> None:
        now = self.loop.time()
        for other in self._at_work:
            if other is session or (now < other.proven_until and not other.dead):
                self.broken.append("the handler ran twice at the same time")

    # -- the store ----------------------------------------------------------------------------------------------------

    async def ask(self, session: Session, do: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Make a request to the store. What was sent to it is carried out even if the sender has died since."""
        way = Way()
        if self._plan is not None:
            cut_off = self.loop.time() < session.cut_off_until
            way = Way(None, None) if cut_off else self._plan.way(len(self.questions), session)
            self.questions.append(self.loop.turns)
        reply = self.loop.create_future()
        result: list[Any] = []

        def carry_out() -> None:
            if self._late.pop(reply, None) is not None:
                self._last_change = self.loop.time()
                result.append(_result(do()))

        def answer() -> None:
            if reply.done():
                return
            if way.raises is None:
                carry_out()  # if both are due at the same time
                reply.set_result(result[0])
            else:
                reply.set_exception(way.raises("from the store"))

        if way.carried_out is not None:
            self._late[reply] = carry_out
            self.call_later(way.carried_out, carry_out)
        if way.answered is not None:
            self.call_later(way.answered, answer)
        return await reply

    def call_later(self, seconds: float, callback: Callable[[], object]) -> None:
        """Call ``callback`` outside of all processes."""
        if seconds:
            self.loop.call_later(seconds, callback, context=self._context)
        else:
            self.loop.call_soon(callback, context=self._context)


def _result(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError(cast("object", work))
