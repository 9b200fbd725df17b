"""The interleavings of the once-guard that are played: with one fault and two faults at each place, and random ones.

``python -m tests.support.guard_faults --help`` plays them by hand, and plays one again whose name a failure printed.
A name is a scenario and its faults, such as ``failing/q2=lost/t41=cancel:0`` (the answer to request 2 is lost, and
delivery 0 is cancelled before iteration 41), or ``seed/N``.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import logging
import random
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Final, Self

import attrs

from omipay_async.errors import BackendError

from .guard_model import Delivery, Scenario, Way, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .guard_model import Session

# The guard waits 10 seconds for an answer, and 5 for that to a renewal; a lease lasts 30 seconds.
WAYS: Final = {
    "refused": Way(None, 0, BackendError),
    "unheard": Way(None, None),
    "gave-up": Way(None, 0, asyncio.CancelledError),
    "broken": Way(0, 0, KeyError),
    "lost": Way(0, 0, BackendError),
    "silent": Way(0, None),
    "slow": Way(4, 4),
    "slow-answer": Way(0, 4),
    "slower": Way(7, 7),
    "slower-answer": Way(0, 7),
    "late": Way(12, 12),
    "late-answer": Way(0, 12),
    "much-later": Way(35, 35),
    "refused-late": Way(12, 0, BackendError),
    "refused-much-later": Way(35, 0, BackendError),
}
STOPS_S: Final = (0, 5, 35)
"""How many seconds a process is stopped."""
CUT_OFF_S: Final = 50
"""How many seconds a process cannot reach the store."""
TO_SESSIONS: Final = ("crash", "cut-off", *(f"stop{seconds}" for seconds in STOPS_S))

SCENARIOS: Final = {
    "one": Scenario((Delivery(takes=(4, 4, 4)),)),
    "again": Scenario((Delivery(takes=(5,)), Delivery(at=15), Delivery(at=60))),
    "failing": Scenario((Delivery(fails=True), Delivery(at=3, wait_timeout=1), Delivery(at=40))),
    "at-once": Scenario((Delivery(takes=(12,), fails=True), Delivery(wait_timeout=20))),
    "two": Scenario((Delivery(), Delivery(session=1, wait_timeout=10))),
    "two-failing": Scenario((Delivery(fails=True), Delivery(session=1, at=1, wait_timeout=10))),
    "in-turn": Scenario((Delivery(fails=True), Delivery(session=1, at=14), Delivery(at=28))),
    "long": Scenario((Delivery(takes=(15, 15, 15)), Delivery(session=1, at=29, wait_timeout=20))),
    "cleaning-up": Scenario((Delivery(takes=(12,), stops_in=4), Delivery(session=1, at=10, wait_timeout=10))),
    "crowd": Scenario((Delivery(takes=(1,)), Delivery(1, 0.5, 5), Delivery(2, 0.5, 5), Delivery(0, 0.5, 5))),
}


@attrs.frozen
class Fault:
    """One fault: what becomes of a request, or what happens before an iteration of the event loop."""

    number: int
    """The number of the request (``way``) or of the iteration (``happens``)."""
    way: str = ""
    happens: str = ""
    to: int = 0
    """The delivery that is cancelled, or the session."""

    def __str__(self) -> str:
        return f"q{self.number}={self.way}" if self.way else f"t{self.number}={self.happens}:{self.to}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The fault whose ``str`` is ``text``."""
        number, _, what = text[1:].partition("=")
        if text[0] == "q":
            return cls(int(number), way=what)
        happens, _, to = what.partition(":")
        return cls(int(number), happens=happens, to=int(to))

    def happen(self, world: World) -> None:
        """Do what happens before an iteration of the event loop."""
        if self.happens == "cancel":
            world.cancel(self.to)
        elif self.happens == "cut-off":
            world.sessions[self.to].cut_off(CUT_OFF_S)
        elif self.happens == "crash":
            world.sessions[self.to].crash()
        else:
            world.sessions[self.to].stop(float(self.happens.removeprefix("stop")))


class Faults:
    """A plan with these faults only."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        self._ways = {fault.number: WAYS[fault.way] for fault in faults if fault.way}
        self._events = [fault for fault in faults if not fault.way]

    def way(self, number: int, session: Session) -> Way:
        """As usual, except for the faults."""
        return self._ways.get(number, Way())

    def events(self, world: World) -> Mapping[int, Callable[[], object]]:
        """What the faults do, by iteration."""
        return {fault.number: functools.partial(fault.happen, world) for fault in self._events}


class AtRandom:
    """A plan that a seed decides."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._trouble = self._random.choice([0.0, 0.1, 0.3, 0.6])
        self._ways = self._random.choice([tuple(WAYS), tuple(WAYS), ("late", "much-later", "refused-late", "silent")])
        began = self._random.choice([0.0, 2.0, 5.0, 9.0, 15.0])
        self._outages = [(began, began + self._random.choice([0.0, 0.0, 15.0, 40.0])) for _ in range(3)]
        """For each session the times between which none of its requests is answered."""

    def scenario(self) -> Scenario:
        """Some deliveries to some sessions."""
        draw = self._random.choice
        fails = draw([0.1, 0.3, 0.8])
        starts = draw([(0, 0, 0.5, 10, 29.9, 30, 45), (0, 0.5, 1, 2, 5)])
        return Scenario(
            tuple(
                Delivery(
                    session,
                    at=draw(starts),
                    wait_timeout=draw([0, 1, 10, None]),
                    takes=tuple(draw([0, 1, 12, 40]) for _ in range(self._random.randint(0, 3))),
                    fails=self._random.random() < fails,
                    stops_in=draw([0, 0, 0, 3, 8]),
                )
                for session in range(self._random.randint(1, 3))
                for _ in range(self._random.randint(1, 3))
            )
        )

    def way(self, number: int, session: Session) -> Way:
        """As usual, or with a fault."""
        world, draw = session.world, self._random
        index = world.sessions.index(session)
        began, ended = self._outages[index]
        if began <= world.loop.time() < ended:
            return WAYS[draw.choice(["refused", "lost", "silent", "unheard", "late", "refused-much-later"])]
        if draw.random() < self._trouble:
            way = WAYS[draw.choice(self._ways)]
            stretch = draw.uniform(0.3, 1.7)
            return attrs.evolve(
                way,
                carried_out=None if way.carried_out is None else way.carried_out * stretch,
                answered=None if way.answered is None else way.answered * stretch,
            )
        return Way()

    def events(self, world: World) -> Mapping[int, Callable[[], object]]:
        """Some cancellations, stops and crashes."""
        events: dict[int, Callable[[], object]] = {}
        for _ in range(self._random.choice([0, 0, 1, 2, 4])):
            happens = self._random.choice(["cancel", "cancel", *TO_SESSIONS])
            to = self._random.randrange(len(world.deliveries if happens == "cancel" else world.sessions))
            fault = Fault(self._random.randint(1, 150), happens=happens, to=to)
            events[fault.number] = functools.partial(fault.happen, world)
        return events


def play(name: str, faults: tuple[Fault, ...] = ()) -> World:
    """Play a scenario with faults."""
    world = World(SCENARIOS[name], Faults(faults))
    world.play()
    return world


def play_seed(seed: int) -> World:
    """Play the interleaving that a seed draws."""
    plan = AtRandom(seed)
    world = World(plan.scenario(), plan)
    world.play()
    return world


def play_again(name: str) -> World:
    """Play the interleaving with this name."""
    scenario, *faults = name.split("/")
    return play_seed(int(faults[0])) if scenario == "seed" else play(scenario, tuple(map(Fault.parse, faults)))


def faults_after(world: World, turn: int) -> Iterator[tuple[int, Fault]]:
    """Every fault that can happen after an iteration of what was played, with the iteration at which it happens."""
    for number, asked in enumerate(world.questions):
        if asked > turn:
            for way in WAYS:
                yield asked, Fault(number, way=way)
    for at in range(turn + 1, world.turns + 1):
        for delivery in range(len(world.deliveries)):
            yield at, Fault(at, happens="cancel", to=delivery)
        for session in range(len(world.sessions)):
            for happens in TO_SESSIONS:
                yield at, Fault(at, happens=happens, to=session)


def one_fault_everywhere(name: str) -> Iterator[tuple[str, World]]:
    """A scenario with each fault in turn."""
    for _, fault in faults_after(play(name), 0):
        yield f"{name}/{fault}", play(name, (fault,))


def two_faults_everywhere(
    name: str, draw: random.Random, *, firsts: int | None = None, seconds: int | None = None
) -> Iterator[tuple[str, World]]:
    """A scenario with each fault in turn, and with each fault that can happen after it.

    Or, where that is too many, with so many drawn ones as the first, and as the second of each.
    """
    for turn, first in _drawn(list(faults_after(play(name), 0)), draw, firsts):
        for _, second in _drawn(list(faults_after(play(name, (first,)), turn)), draw, seconds):
            yield f"{name}/{first}/{second}", play(name, (first, second))


def _drawn(faults: list[tuple[int, Fault]], draw: random.Random, number: int | None) -> list[tuple[int, Fault]]:
    return faults if number is None else draw.sample(faults, min(number, len(faults)))


def at_random(seeds: range) -> Iterator[tuple[str, World]]:
    """The interleavings that the seeds draw."""
    for seed in seeds:
        yield f"seed/{seed}", play_seed(seed)


def main() -> int:
    """Play what the arguments name, and report it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="play this interleaving again")
    parser.add_argument("--seeds", type=int, default=0, metavar="N", help="play N interleavings with faults at random")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first of them, or what is drawn with")
    parser.add_argument("--faults", type=int, choices=(1, 2), help="play each scenario with so many faults, everywhere")
    parser.add_argument("--seconds", type=int, metavar="N", help="with two faults: only N drawn ones after each first")
    parser.add_argument("--scenario", choices=SCENARIOS, action="append", help="only this one")
    options = parser.parse_args()
    logging.getLogger("omipay_async").setLevel(logging.CRITICAL)
    played: Counter[str] = Counter()
    broken = 0
    began = time.monotonic()

    def everything() -> Iterator[tuple[str, World]]:
        yield from ((name, play_again(name)) for name in options.names)
        yield from at_random(range(options.first, options.first + options.seeds))
        for name in (options.scenario or SCENARIOS) if options.faults else ():
            if options.faults == 1:
                yield from one_fault_everywhere(name)
            else:
                yield from two_faults_everywhere(name, random.Random(options.first), seconds=options.seconds)

    for name, world in everything():
        played[name.partition("/")[0]] += 1
        if world.broken:
            broken += 1
            print(f"{name}: {'; '.join(dict.fromkeys(world.broken))}", flush=True)
        if played.total() % 10_000 == 0:
            print(f"{played.total()} played, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    print(f"{dict(played)}: {played.total()} interleavings in {time.monotonic() - began:.0f} s, {broken} broken")
    return min(broken, 1)


if __name__ == "__main__":
    sys.exit(main())
