"""The instants of polls: in which order they come, and what is left of those that were removed."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, strategies as st

from omipay_async.polling.timetable import Timetable


def size(timetable: Timetable[Any]) -> int:
    """How many places in memory a timetable uses."""
    return len(timetable._heap) + len(timetable._entries)


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["add", "remove", "look"]), st.integers(0, 20), st.floats(0, 3)), max_size=80
    )
)
def test_a_timetable_is_a_sorted_list(steps: list[tuple[str, int, float]]) -> None:
    """Items come out in the order of their times, and ``next_time`` is never too late."""
    timetable: Timetable[int] = Timetable()
    model: dict[int, float] = {}
    now = 0.0
    for step, item, seconds in steps:
        if step == "add":
            model[item] = now + seconds
            timetable.put(item, model[item])
        elif step == "remove" and item in model:
            del model[item]
            timetable.remove(item)
        elif step == "look":
            now += seconds
            while (found := timetable.first(now)) is not None:
                time, due = found
                assert time == model[due] == min(model.values()) <= now
                timetable.remove(due)
                del model[due]
            assert timetable.next_time() > now
        assert all(timetable.next_time() <= time for time in model.values())
    for item in model:
        timetable.remove(item)
    assert (timetable.next_time(), size(timetable)) == (math.inf, 0)


spreads = pytest.mark.parametrize("spread", [0.00001, 0.01, 60], ids=["at once", "in minutes", "in days"])


class Counted:
    """An item that counts how often a dictionary was asked for one."""

    looked_for = 0

    def __hash__(self) -> int:
        Counted.looked_for += 1
        return id(self)


@spreads
def test_taking_an_item_out_costs_as_much_however_many_there_are(
    spread: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the end of a hundred thousand polls takes no longer for each than that of ten."""
    tidied: list[object] = []
    monkeypatch.setattr(Counted, "looked_for", 0)
    monkeypatch.setattr(heapq, "heapify", tidied.append)
    timetable: Timetable[Counted] = Timetable()
    timetable.first(0)
    items = [Counted() for _ in range(1000)]
    for place, item in enumerate(items):
        timetable.put(item, 0.1 + spread * place)
    for item in items:
        timetable.remove(item)
    assert Counted.looked_for < 10 * len(items)
    assert len(tidied) < 10


@spreads
def test_what_is_taken_out_of_a_timetable_leaves_nothing(spread: float) -> None:
    """Ten thousand items that come and go, with a few that stay, use the memory of a few."""
    timetable: Timetable[int] = Timetable()
    timetable.first(0)
    for item in range(10):
        timetable.put(-item - 1, 0.01 + item)
    for item in range(10_000):
        timetable.put(item, 0.1 + spread * item)
    for item in range(10_000):
        timetable.remove(item)
    assert size(timetable) < 300
    for item in range(10):
        timetable.remove(-item - 1)
    assert size(timetable) < 100
    assert timetable.next_time() == math.inf


def test_what_is_left_when_most_is_removed_still_comes_in_order() -> None:
    """Also after the timetable was tidied up."""
    timetable: Timetable[int] = Timetable()
    timetable.first(10)
    times = {item: (item * 7919 % 1000) / 1000 for item in range(400)}
    for item, time in times.items():
        timetable.put(item, time)
    for item in range(0, 400, 4):
        for gone in range(item, item + 3):
            del times[gone]
            timetable.remove(gone)
    found = []
    while (first := timetable.first(10)) is not None:
        found.append(first[1])
        timetable.remove(first[1])
    assert found == sorted(times, key=times.__getitem__)


def test_a_clock_may_begin_below_zero() -> None:
    """Its start is arbitrary, and no item is found too late."""
    timetable: Timetable[str] = Timetable()
    timetable.put("sooner", -0.1)
    timetable.put("later", 0.1)
    assert timetable.next_time() <= -0.1
    assert timetable.first(-0.1) == (-0.1, "sooner")
    timetable.remove("sooner")
    timetable.remove("later")
    assert timetable.next_time() == math.inf


def test_an_item_that_is_added_after_a_later_one_comes_before_it() -> None:
    """Even if the time of both has nearly come."""
    timetable: Timetable[str] = Timetable()
    timetable.put("later", 0.12)
    assert timetable.first(0.01) is None
    timetable.put("sooner", 0.05)
    assert timetable.next_time() == 0.05
    assert timetable.first(0.05) == (0.05, "sooner")


def test_an_item_that_is_put_at_another_time_leaves_its_first_one() -> None:
    """At infinity it is in no timetable any more."""
    timetable: Timetable[str] = Timetable()
    timetable.put("item", 3)
    timetable.put("item", 5)
    assert timetable.first(4) is None
    assert timetable.first(5) == (5, "item")
    timetable.put("item", math.inf)
    assert timetable.next_time() == math.inf
    assert size(timetable) == 0


def test_of_several_items_at_one_time_the_first_added_comes_first() -> None:
    """In the order in which they were added. One that is put again where it is keeps its place."""
    timetable: Timetable[str] = Timetable()
    for item in "cabc":
        timetable.put(item, 7)
    found: Counter[str] = Counter()
    while (first := timetable.first(7)) is not None:
        found[first[1]] = len(found)
        timetable.remove(first[1])
    assert found == {"c": 0, "a": 1, "b": 2}


def test_when_to_look_again_is_soon_known_after_thousands_were_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be too early then, but never too late, and what has come is still found."""
    timetable: Timetable[int] = Timetable()
    for item in range(2000):
        timetable.put(item, item)
    for item in range(1000):
        timetable.remove(item)
    with monkeypatch.context() as counting:
        popped: list[Any] = []
        counting.setattr(heapq, "heappop", popped.append)
        assert timetable.next_time() <= 1000
    assert len(popped) < 100
    assert timetable.first(1000) == (1000, 1000)
