"""The once-guard with a fault at every await of some scenarios, and with random faults in three thousand others.

``tests.support.guard_model`` checks what must never happen. ``tests.support.guard_faults`` has the scenarios and plays
many more by hand: ``python -m tests.support.guard_faults --seeds 1000000``, or ``--faults 2``. A failure prints the
names of interleavings, and ``python -m tests.support.guard_faults NAME`` plays one again.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.guard_faults import (
    SCENARIOS,
    WAYS,
    Fault,
    at_random,
    faults_after,
    one_fault_everywhere,
    play,
    play_again,
    two_faults_everywhere,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.support.guard_model import World

SEEDS: Final = 3 * int(os.environ.get("OMIPAY_FUZZ", "1000"))
"""Of the mistakes that were put into the guard on purpose, the first 300 found each one that ten thousand found."""
A_CHUNK: Final = 500
CHUNKS: Final = [range(first, first + A_CHUNK) for first in range(0, SEEDS, A_CHUNK)]
EVERYTHING: Final = {"ran True", "ran False", "BackendError", "StillRunning", "ZeroDivisionError"}


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", "omipay_async")


def seen_in(played: Iterable[tuple[str, World]]) -> Counter[str]:
    """How the deliveries of these interleavings ended. Fails if a rule was broken in any of them."""
    seen: Counter[str] = Counter()
    broken = []
    for name, world in played:
        seen.update(world.seen)
        seen["played"] += 1
        if world.broken:
            broken.append(f"{name}: {world.broken[0]}")
    assert not broken, f"{len(broken)} of {seen['played']} interleavings: " + "\n".join(broken[:10])
    return seen


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_handler_is_guarded_wherever_one_thing_goes_wrong(name: str) -> None:
    """Each kind of fault at each request to the store, and a cancellation, crash or stop before each loop iteration."""
    seen = seen_in(one_fault_everywhere(name))
    assert seen["played"] == len(list(faults_after(play(name), 0))) > 200


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_handler_is_guarded_wherever_two_things_go_wrong(name: str) -> None:
    """Some hundred pairs of faults in each scenario."""
    assert seen_in(two_faults_everywhere(name, random.Random(1), firsts=150, seconds=2))["played"] > 250


@pytest.mark.parametrize(
    "name",
    [
        "failing/q0=refused-much-later/q2=refused",  # a claim that comes late holds up the record of a success
        "long/t13=stop35:0",  # a process is stopped from its claim to its handler for longer than the lease
        "long/q1=slow-answer/t18=cut-off:0",  # a lease is counted from the answer to its last renewal
    ],
)
def test_interleavings_that_once_broke_a_rule_do_not_any_more(name: str) -> None:
    """Or that would break one if a line of the guard were different."""
    assert play_again(name).broken == []


@pytest.mark.parametrize("seeds", CHUNKS, ids=lambda seeds: f"seeds {seeds.start}-{seeds.stop - 1}")
def test_the_handler_is_guarded_whatever_goes_wrong(seeds: range) -> None:
    """It never runs twice at the same time or after a recorded success, and no delivery waits longer than a lease."""
    assert set(seen_in(at_random(seeds))) == {*EVERYTHING, "played"}  # everything that may happen happens


@pytest.mark.parametrize("name", ["seed/7", "two/q2=lost/t31=stop5:1", "failing/q3=much-later/t40=cancel:1"])
def test_an_interleaving_can_be_played_again(name: str) -> None:
    """Its name is enough: the requests, the loop iterations and the ends of the deliveries are the same."""
    first, second = play_again(name), play_again(name)
    assert (first.questions, first.turns, first.seen) == (second.questions, second.turns, second.seen)
    assert first.questions


def test_a_fault_can_be_read_from_its_name() -> None:
    """That holds for every kind of fault."""
    faults = [fault for _, fault in faults_after(play("crowd"), 0)]
    assert [Fault.parse(str(fault)) for fault in faults] == faults
    assert {fault.way for fault in faults} == {*WAYS, ""}
    assert {fault.happens for fault in faults} == {"", "cancel", "crash", "cut-off", "stop0", "stop5", "stop35"}
