"""One world from its seed: the gateway, the store, the processes, the faults, and the checks at the end."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import random
import secrets
import uuid
import warnings
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import attrs
from sqlalchemy.exc import SAWarning

from omipay_async.sandbox import Sandbox
from tests.support.untyped import untyped

from . import actors, invariants
from .chaos import Chaos, FaultRates
from .loop import MachineClock, StuckError, VirtualLoop
from .network import Network
from .process import OwnedTask, Process, context_of, owning_factory, spawn
from .record import Record, ViolationError
from .shop import Shop
from .store import new_database, remove_database

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST_S: Final = 90.0
"""How many virtual seconds there are faults."""
_HEALING_S: Final = (15.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 7200.0)
"""The pauses between the sweeps after the faults, so long that everything becomes due."""


@attrs.frozen
class Result:
    """The result of one seed."""

    seed: int
    violation: str | None
    """The rule that was broken, None if none was."""
    steps: int
    """How many lines the world's trace has, up to a violation."""
    trace: list[str] = attrs.field(repr=False)
    facts: dict[str, int] = attrs.field(factory=dict)
    """How much happened, so that a simulation in which nothing happens is noticed."""


class World:
    """Everything that a seed determines."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.loop = VirtualLoop()
        self.loop.set_task_factory(untyped(owning_factory))  # typeshed has it with keywords
        self.is_over = False
        self.crashes = 0
        self.lines: list[str] = []
        self.chaos = Chaos(self.chance, FaultRates.drawn(self.chance))
        self.machine = MachineClock(self.loop, skew_s=self.chaos.rates.skew_s)
        self.record = Record(self)
        self.path = new_database()
        self.sandbox = self._gateway()
        self.gateway = self.sandbox.transport()
        self.network = Network(self)
        self.captured: list[dict[str, Any]] = []
        """The bodies of notifications, which a stranger may have seen."""
        self.shops: dict[str, Shop] = {}
        """The present or last process of each name."""

    def _gateway(self) -> Sandbox:
        chance = self.chance
        sandbox = Sandbox(
            clock=MachineClock(self.loop),
            seed=chance.getrandbits(32),
            app=actors.notification_app(self),
            notify_delay=chance.choice([0.0, 0.05, 2.0]),
            notify_interval=chance.choice([1.0, 5.0]),
            notify_same_signature=chance.random() < 0.5,
            oddities=chance.random() < 0.3,
            repeat_finds_order=False,
        )
        for fault, probability in self.chaos.notification_faults().items():
            sandbox.faults.add(fault, probability=probability)
        added = sandbox.ledger.on_added

        def on_added(order: Any) -> None:
            added(order)
            actors.customer_of(self, order)

        sandbox.ledger.on_added = on_added
        return sandbox

    def trace(self, who: str, what: str) -> None:
        """Write down what happens."""
        self.lines.append(f"{self.loop.time():10.3f} {who}: {what}")

    def died(self, process: Process) -> None:
        """Keep the session of a killed process from warning that it was not closed."""
        shop = self.shops.get(process.name)
        if shop is not None and shop.process is process:
            shop.omipay._life.closed = True

    # -- the course of the world ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run with faults, then without, and then check everything."""
        outside = [spawn(None, work) for work in actors.outsiders(self)]
        runs = [spawn(None, self._run_until_done(name, work)) for name, work in actors.SCRIPTS.items()]
        await asyncio.wait(runs, timeout=_LONGEST_S)
        self.chaos.is_on = False
        self.sandbox.faults.clear()
        await _end([*outside, *runs])
        for shop in list(self.shops.values()):
            if shop.process.alive and not shop.closed:
                await self._end_of(shop)
        await self.sandbox.settle()
        self.trace("world", "the disorder is over")
        await self._sweep_until_settled()
        await self.sandbox.aclose()
        await invariants.check_end(self)

    async def _run_until_done(self, name: str, work: actors.Script) -> None:
        """Run a process, and start it again after each crash and each close until its script is done."""
        script = iter(work(self))
        for _ in range(4):
            shop = self.start(name)
            over = await self._run_once(shop, script)
            if over or not self.chaos.is_on:
                return
            await asyncio.sleep(self.chance.uniform(0, 6))

    async def _run_once(self, shop: Shop, script: Iterator[actors.Act]) -> bool:
        """Run a process until it ends. Returns whether its script is done."""
        acting = spawn(shop.process, actors.perform(shop, script))
        closing = self.chance.uniform(1, 40) if self.chaos.happens(self.chaos.rates.closings) else None
        await asyncio.wait((acting,), timeout=closing)
        if not shop.process.alive:
            return False
        over = acting.done()
        await self._end_of(shop)
        await asyncio.wait((acting,), timeout=60)
        if acting.done() and not acting.cancelled():
            acting.result()
        return over

    def start(self, name: str) -> Shop:
        """Start the process ``name`` anew."""
        process = Process(self, name, self.chaos.crash_step())
        self.trace(name, f"starts, to crash at step {process.crash_at}")
        shop = self.shops[name] = context_of(process).run(Shop, self, process)
        return shop

    async def _end_of(self, shop: Shop) -> None:
        """Close a session and its books, and check that nothing is left of them."""
        self.trace(shop.process.name, "is closed")
        closing = spawn(shop.process, shop.aclose())
        await asyncio.wait((closing,), timeout=60)
        if shop.process.alive:
            if not closing.done():
                self.record.violated(f"{shop.process}: closing the session has not ended after 60 seconds")
            closing.result()
            await invariants.check_closed(self, shop)

    async def _sweep_until_settled(self) -> None:
        """Sweep without faults until everything was due."""
        shop = self.start("healer")
        for pause in _HEALING_S:
            await asyncio.sleep(pause)
            await spawn(shop.process, shop.sweep())
        await self._end_of(shop)

    def end(self) -> None:
        """Close everything, whatever state it is in."""
        self.is_over = True
        for shop in self.shops.values():
            shop.omipay._life.closed = True
        for _ in range(200):
            tasks = asyncio.all_tasks(self.loop)
            if not tasks:
                break
            for task in tasks:
                task.cancel()
            with contextlib.suppress(StuckError):
                self.loop.run_until_complete(asyncio.sleep(0.01))
        for process in self.record.processes:
            for connection in list(process.connections):
                connection.cut()
            process.close_files()
        self.record.close()
        self.loop.close()
        remove_database(self.path)


async def _end(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            raise result


def _uuid(chance: random.Random) -> uuid.UUID:
    return uuid.UUID(int=chance.getrandbits(128))


def _token(chance: random.Random, count: int = 32) -> str:
    return chance.randbytes(count).hex()


@contextlib.contextmanager
def _all_from(seed: int) -> Iterator[None]:
    """Draw everything that is random in this program from ``seed``, and log nothing."""
    level = logging.root.manager.disable
    logging.disable()
    state, chance = random.getstate(), random.Random(-seed)
    random.seed(seed)
    with (
        mock.patch.object(uuid, "uuid4", functools.partial(_uuid, chance)),
        mock.patch.object(secrets, "token_hex", functools.partial(_token, chance)),
        mock.patch.object(asyncio, "Task", OwnedTask),
        warnings.catch_warnings(),
    ):
        # A killed process never returns its connections to SQLAlchemy's pool. ``invariants.check_closed`` looks after
        # those of other processes.
        warnings.simplefilter("ignore", SAWarning)
        try:
            yield
        finally:
            random.setstate(state)
            logging.disable(level)


def run(seed: int) -> Result:
    """Run the world of ``seed``."""
    gc.freeze()  # objects from before are not garbage of this world and need not be searched
    with _all_from(seed):
        result = _lived(seed)
        gc.collect()  # the garbage of this world is collected here and not in the next one
    gc.unfreeze()
    return result


def _lived(seed: int) -> Result:
    violation = None
    world = World(seed)
    try:
        world.loop.run_until_complete(world.run())
    except ViolationError as error:
        violation = str(error)
    except Exception as error:  # noqa: BLE001 - no exception is expected to leave a world
        violation = f"{type(error).__name__}: {error}"
        world.trace("world", violation)
    finally:
        world.end()
    violation = next(iter(world.record.violations), violation)
    return Result(seed, violation, len(world.lines), world.lines, world.record.facts(world.crashes))
