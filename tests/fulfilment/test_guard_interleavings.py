"""The once-guard under faults at every await of some scenarios, and under faults at random in ten thousand others.

What may never happen is in ``tests.support.guard_model``, what is played in ``tests.support.guard_faults``, which also
plays many more by hand: ``python -m tests.support.guard_faults --seeds 1000000``, or ``--faults 2``. A failure prints
the names of interleavings; ``python -m tests.support.guard_faults NAME`` plays one again.
"""

from __future__ import annotations

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

SEEDS: Final = 10_000
A_CHUNK: Final = 500
CHUNKS: Final = [range(first, first + A_CHUNK) for first in range(0, SEEDS, A_CHUNK)]
EVERYTHING: Final = {"ran True", "ran False", "BackendError", "StillRunning", "ZeroDivisionError"}


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", "omipay_async")


def seen_in(played: Iterable[tuple[str, World]]) -> Counter[str]:
    """How the deliveries ended of interleavings in which nothing was broken."""
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
    """Each kind of fault at each question to the store; cancellation, crash and stop before each turn of the loop."""
    seen = seen_in(one_fault_everywhere(name))
    assert seen["played"] == len(list(faults_after(play(name), 0))) > 200


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_handler_is_guarded_wherever_two_things_go_wrong(name: str) -> None:
    """Some hundred pairs in each scenario; all of the shortest one have been played by hand, and many of the others."""
    assert seen_in(two_faults_everywhere(name, random.Random(1), firsts=300, seconds=1))["played"] > 250


@pytest.mark.parametrize(
    "name",
    [
        "failing/q0=refused-much-later/q2=refused",  # a claim that comes late holds up the record of a success
        "long/t13=stop35:0",  # a process is stopped from its claim to its handler for longer than the lease
        "long/q1=slow-answer/t18=cut-off:0",  # a lease is counted from the answer to its last renewal
    ],
)
def test_what_was_once_wrong_stays_right(name: str) -> None:
    """Interleavings in which something was broken, or would be if a line of the guard were different."""
    assert play_again(name).broken == []


@pytest.mark.parametrize("seeds", CHUNKS, ids=lambda seeds: f"seeds {seeds.start}-{seeds.stop - 1}")
def test_the_handler_is_guarded_whatever_goes_wrong(seeds: range) -> None:
    """Never beside itself, never after a recorded success, never held up for longer than a lease."""
    assert set(seen_in(at_random(seeds))) == {*EVERYTHING, "played"}  # everything that may happen happens


@pytest.mark.parametrize("name", ["seed/7", "two/q2=lost/t31=stop5:1", "failing/q3=much-later/t40=cancel:1"])
def test_an_interleaving_can_be_played_again(name: str) -> None:
    """Its name is enough: the same questions are asked before the same turns, and the deliveries end alike."""
    first, second = play_again(name), play_again(name)
    assert (first.questions, first.turns, first.seen) == (second.questions, second.turns, second.seen)
    assert first.questions


def test_the_name_of_a_fault_says_all_of_it() -> None:
    """Whatever can happen, a printed name leads back to it."""
    faults = [fault for _, fault in faults_after(play("crowd"), 0)]
    assert [Fault.parse(str(fault)) for fault in faults] == faults
    assert {fault.way for fault in faults} == {*WAYS, ""}
    assert {fault.happens for fault in faults} == {"", "cancel", "crash", "cut-off", "stop0", "stop5", "stop35"}
