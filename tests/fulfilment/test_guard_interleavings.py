"""A model of the once-guard: sessions on one store, with stalls, lost answers, crashes and cancellations at every step.

Each interleaving is one integer, its seed, which a failure prints. With ``OMIPAY_SEED=N`` in the environment this file
plays it again, with ``OMIPAY_INTERLEAVINGS=N`` it plays as many as one likes. Whatever happens,

- the handler never runs beside itself (time passes while two are at work) while its lease holds;
- it never begins after its success was recorded, nor again in a session in which it succeeded;
- no order is held for longer than a lease after the last thing that was carried out for it, and a session that is alone
  is not held up by what it asked itself.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import pytest

from omipay_async.clock import call_later
from omipay_async.errors import BackendError
from omipay_async.fulfilment.backends import MemoryBackend
from omipay_async.fulfilment.guard import OnceGuard, StillRunning
from omipay_async.testing import ManualClock
from tests.support.fulfilment_doubles import KEY, ORDER

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from omipay_async.models import Order

LEASE_S: Final = 30.0
LATEST_S: Final = 60.0
"""What is carried out late is carried out within this time."""
WAYS: Final = ("well", "refused", "slow question", "slow answer", "lost", "lost, silent", "late", "late, silent")
UNANSWERED: Final = ("refused", "lost", "lost, silent", "late", "late, silent")
SEEDS: Final = int(os.environ.get("OMIPAY_INTERLEAVINGS", "10000"))
A_CHUNK: Final = 500


class World:
    """One interleaving."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.clock = ManualClock(auto=True)
        self.store = MemoryBackend(lease=LEASE_S, clock=self.clock)
        self.trouble = self.random.choice([0.1, 0.3, 0.6])
        self.failing = self.random.choice([0.1, 0.3, 0.8])
        """How often a handler fails, which releases its order."""
        self.starts = self.random.choice([(0, 0, 0.5, 10, 29.9, 30, 45), (0, 0.5, 1, 2, 5)])
        self.ways = self.random.choice([WAYS, WAYS, UNANSWERED[3:]])
        self.sessions = [Session(self) for _ in range(self.random.randint(1, 3))]
        self.running: dict[object, tuple[Session, float]] = {}
        self.late: list[Callable[[], Coroutine[Any, Any, Any]]] = []
        self.broken: list[str] = []
        self.seen: Counter[str] = Counter()

    async def play(self) -> None:
        """Deliver, break, and see to it that all is well in the end."""
        self.deliveries = [self.start(session) for session in self.sessions for _ in range(self.random.randint(1, 3))]
        self.start_spoiling(self.deliveries)
        while left := [delivery for delivery in self.deliveries if not delivery.done()]:
            await asyncio.wait(left)
        self.trouble = 0.0
        for session in self.sessions:
            session.outage = (0.0, 0.0)
            await session.guard.drain(3600)  # handlers whose callers have left
        if len(self.sessions) == 1:
            await self.catch_up()
        else:
            await self.clock.sleep(LATEST_S + LEASE_S)
        for session in self.sessions:
            if not session.dead:
                await self.deliver_at_last(session)

    async def catch_up(self) -> None:
        """Carry out at once what would have been carried out later."""
        while self.late:
            await self.late.pop(0)()

    async def catch_up_under(self, session: Session) -> None:
        """Carry out at once what is late, now that a handler has begun, and let another session be asked for it."""
        await self.clock.sleep(0.5)
        await self.catch_up()
        others = [other for other in self.sessions if other is not session and not other.dead]
        if others:
            other = self.random.choice(others)
            self.deliveries.append(other.begin(self.deliver(other, 0, wait_timeout=1, fails=False)))

    def start(self, session: Session) -> asyncio.Task[None]:
        """A delivery, somewhen."""
        after, fails = self.random.choice(self.starts), self.random.random() < self.failing
        wait_timeout = self.random.choice([0, 1, 10])
        return session.begin(self.deliver(session, after, wait_timeout, fails))

    async def deliver(self, session: Session, after: float, wait_timeout: float, fails: bool) -> None:
        """One delivery: how it ends is the gateway's business."""
        await self.clock.sleep(after)

        async def handler(order: Order) -> None:
            await self.handle(session, fails)

        try:
            self.seen[f"ran {await session.guard.run(ORDER, handler, wait_timeout=wait_timeout)}"] += 1
        except (BackendError, StillRunning, ZeroDivisionError) as error:
            self.seen[type(error).__name__] += 1

    async def deliver_at_last(self, session: Session) -> None:
        """When all is well again, the next delivery is answered."""

        async def handler(order: Order) -> None:
            await self.handle(session, fails=False)

        try:
            await session.guard.run(ORDER, handler, wait_timeout=0)
        except (BackendError, StillRunning) as error:
            self.broken.append(f"the last delivery was answered {type(error).__name__}")

    async def handle(self, session: Session, fails: bool) -> None:
        """Fulfil the order, and look around."""
        if KEY in self.store._done:
            self.broken.append("the handler began after its success was recorded")
        if session.succeeded:
            self.broken.append("the handler began again in the session in which it had succeeded")
        me = object()
        self.running[me] = (session, self.clock.monotonic())
        try:
            if self.late and self.random.random() < 0.5:
                await self.catch_up_under(session)
            for _ in range(self.random.randint(0, 3)):
                await self.clock.sleep(self.random.choice([0, 1, 12, 40]))
                self.look_around(me)
            if fails:
                raise ZeroDivisionError
            session.succeeded = True
        finally:
            self.running.pop(me, None)

    def look_around(self, me: object) -> None:
        """Two that have been at work since before now run beside each other."""
        now = self.clock.monotonic()
        at_work = [who for who, (session, since) in self.running.items() if not session.dead and since < now]
        if me in at_work and len(at_work) > 1:
            self.broken.append("the handler ran beside itself")

    def start_spoiling(self, deliveries: list[asyncio.Task[None]]) -> None:
        """Cancel some deliveries and kill some sessions, each after so many steps of the loop at some time."""
        for delivery in deliveries:
            if self.random.random() < 0.25:
                self.later(delivery.cancel)
        for session in self.sessions[1:]:
            if self.random.random() < 0.2:
                self.later(session.crash)

    def later(self, do: Callable[[], object]) -> None:
        """Somewhen, and then some steps later."""
        steps = self.random.randint(0, 25)

        def step(left: int) -> None:
            if left:
                asyncio.get_running_loop().call_soon(step, left - 1)
            else:
                do()

        call_later(self.clock, self.random.choice([0, 0, 0.5, 1, 10, 20, 30, 31]), lambda: step(steps))


class Session:
    """One session, as a backend that stands between its guard and the store."""

    lease = LEASE_S

    def __init__(self, world: World) -> None:
        self.world = world
        self.dead = False
        self.succeeded = False
        began = world.random.choice([0.0, 2.0, 5.0, 9.0, 15.0])
        self.outage = (began, began + world.random.choice([0.0, 0.0, 15.0, 40.0]))
        """From when to when nothing that it asks is answered."""
        self.tasks: set[asyncio.Task[None]] = set()
        self.guard = OnceGuard(self, world.clock, "123456")

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Work that dies with this session."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def crash(self) -> None:
        """Nothing of it is carried out any more, and nothing is cleaned up."""
        self.dead = True
        for task in tuple(self.tasks):
            task.cancel()

    async def claim(self, key: str, owner: str) -> Any:
        """As the world lets it."""
        return await self._ask(lambda: self.world.store.claim(key, owner))

    async def renew(self, key: str, owner: str) -> Any:
        """As the world lets it."""
        return await self._ask(lambda: self.world.store.renew(key, owner))

    async def finish(self, key: str, owner: str) -> Any:
        """As the world lets it."""
        return await self._ask(lambda: self.world.store.finish(key, owner))

    async def release(self, key: str, owner: str) -> None:
        """As the world lets it."""
        await self._ask(lambda: self.world.store.release(key, owner))

    async def wake(self, key: str) -> None:
        """Nobody polls here."""

    async def _ask(self, do: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        world = self.world
        if self.dead:
            await asyncio.Event().wait()
        way = world.random.choice(world.ways) if world.random.random() < world.trouble else "well"
        if self.outage[0] <= world.clock.monotonic() < self.outage[1]:
            way = world.random.choice(UNANSWERED)
        for _ in range(world.random.randint(0, 2)):
            await asyncio.sleep(0)
        if way == "refused":
            raise BackendError(way)
        if way.startswith("late"):
            self._do_later(do)
        elif way == "slow question":
            try:
                await world.clock.sleep(world.random.uniform(0, 12))
            except asyncio.CancelledError:
                self._do_later(do)  # it is on its way
                raise
            return await do()
        else:
            answer = await do()
            if way == "slow answer":
                await world.clock.sleep(world.random.uniform(0, 12))
            if not way.startswith("lost"):
                return answer
        if way.endswith("silent"):
            await asyncio.Event().wait()
        raise BackendError(way)

    def _do_later(self, do: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        late = self.world.late
        late.append(do)

        def now() -> None:
            if do in late:
                late.remove(do)
                asyncio.ensure_future(do())  # noqa: RUF006 - the store answers at once

        call_later(self.world.clock, self.world.random.uniform(0, LATEST_S), now)


def play(seeds: range) -> Counter[str]:
    """Play some interleavings; what happened in them."""
    seen: Counter[str] = Counter()

    async def main() -> None:
        for seed in seeds:
            world = World(seed)
            await world.play()
            assert not world.broken, f"OMIPAY_SEED={seed}: {world.broken[0]}"
            seen.update(world.seen)

    asyncio.run(main())
    return seen


if "OMIPAY_SEED" in os.environ:
    CHUNKS = [range(int(os.environ["OMIPAY_SEED"]), int(os.environ["OMIPAY_SEED"]) + 1)]
else:
    CHUNKS = [range(first, min(first + A_CHUNK, SEEDS)) for first in range(0, SEEDS, A_CHUNK)]


@pytest.mark.parametrize("seeds", CHUNKS, ids=lambda seeds: f"seeds {seeds.start}-{seeds.stop - 1}")
def test_the_handler_is_guarded_whatever_happens(seeds: range, caplog: pytest.LogCaptureFixture) -> None:
    """Never beside itself, never after a recorded success, never held up for longer than a lease."""
    caplog.set_level("CRITICAL", "omipay_async")
    seen = play(seeds)
    if len(seeds) == A_CHUNK:  # the interleavings are worth playing: everything that may happen happens
        assert set(seen) == {"ran True", "ran False", "BackendError", "StillRunning", "ZeroDivisionError"}
