"""Which order is asked about next, without a loop and a gateway: order, fairness and limits."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from omipay_async.polling.scheduler import Schedule, Scheduled, Scheduler
from omipay_async.polling.subject import Subject, Waiter
from tests.support.untyped import untyped


class Order(Scheduled):
    """A subject to ask about."""

    __slots__ = ("name",)

    def __init__(self, name: str = "") -> None:
        super().__init__()
        self.name = name


def take_all(scheduler: Scheduler[Order], now: float = 0.0) -> list[str]:
    """The names of all that can be taken now, each answered at once."""
    names = []
    while (order := scheduler.take(now)) is not None:
        scheduler.question_ended()
        names.append(order.name)
    return names


# -- one poll ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first_wait", "timeout", "instants"),
    [
        (5, 120, (105, 219.5, 220)),
        (5, 2, (101.9, 101.9, 102)),
        (0, 8, (100, 107.6, 108)),
        (5, None, (105, math.inf, math.inf)),
    ],
)
def test_schedule_of_a_poll(first_wait: float, timeout: float | None, instants: tuple[float, float, float]) -> None:
    """The last question comes half a second, or a twentieth of the time, before the end. The first is never later."""
    schedule = Schedule.begin(100, first_wait=first_wait, interval=3, timeout=timeout)
    assert (schedule.first, schedule.last, schedule.deadline) == pytest.approx(instants)


@pytest.mark.parametrize(("ended", "following"), [(4, 11.5), (11.4, 11.5), (11.5, 12), (11.9, 12)])
def test_a_question_that_ends_at_the_last_instant_is_the_last(ended: float, following: float) -> None:
    """A question that ended before is followed by another one."""
    schedule = Schedule.begin(0, first_wait=5, interval=5, timeout=12)
    waiter: Waiter[Any] = Waiter(Subject(untyped(None), "TR1"), schedule, {})
    waiter.question_ended(ended)
    assert waiter.next_time == following


# -- who goes first ---------------------------------------------------------------------------------------------------


def test_new_orders_go_before_everything_and_last_questions_take_turns_with_repeats() -> None:
    """A first question goes next, however many repeats are overdue."""
    scheduler: Scheduler[Order] = Scheduler(2)
    for number in range(3):
        scheduler.repeat(Order(f"repeat{number}"), 1 + number / 10, 0)
        scheduler.ask_last(Order(f"last{number}"))
    for number in range(3):
        scheduler.ask_first(Order(f"new{number}"))
    taken = [scheduler.take(100), scheduler.take(100)]
    assert [order.name for order in taken if order] == ["new0", "new1"]
    assert scheduler.take(100) is None
    assert scheduler.next_time(100) == math.inf
    scheduler.question_ended()
    scheduler.question_ended()
    assert scheduler.next_time(100) == 100
    assert take_all(scheduler, 100) == ["new2", "repeat0", "last0", "repeat1", "last1", "repeat2", "last2"]


def test_of_very_many_new_orders_every_second_turn_is_the_newest_ones() -> None:
    """After a restart with thousands of orders, a new order does not wait for all of them."""
    scheduler: Scheduler[Order] = Scheduler(1)
    for number in range(8):
        scheduler.ask_first(Order(str(number)))
    assert take_all(scheduler) == ["0", "7", "1", "6", "2", "3", "4", "5"]


@pytest.mark.parametrize(
    ("max_concurrent", "number", "turns"),
    [(1, 7, [0, 6, 1, 2, 3, 4, 5]), (2, 8, [0, 1, 2, 3, 4, 5, 6, 7]), (2, 9, [0, 1, 2, 3, 4, 5, 6, 7, 8])],
)
def test_new_orders_are_very_many_when_they_fill_more_than_four_rounds(
    max_concurrent: int, number: int, turns: list[int]
) -> None:
    """A round is the number of questions that may be under way. Fewer orders go in the order in which they came."""
    scheduler: Scheduler[Order] = Scheduler(max_concurrent)
    for name in range(number):
        scheduler.ask_first(Order(str(name)))
    assert take_all(scheduler) == [str(turn) for turn in turns]


def test_an_order_is_queued_once() -> None:
    """An order that is new, woken and at its end is asked about once, and as a new one."""
    scheduler: Scheduler[Order] = Scheduler(1)
    order, other = Order("it"), Order("other")
    scheduler.repeat(order, 1, 0)
    scheduler.ask_last(other)
    scheduler.ask_last(order)
    scheduler.ask_first(order)
    scheduler.ask_last(order)
    scheduler.ask_first(order)
    assert take_all(scheduler, 10) == ["it", "other"]


def test_the_turns_come_again_as_soon_as_a_repeat_is_due() -> None:
    """Nothing is due before its time, and ``next_time`` is exact."""
    scheduler: Scheduler[Order] = Scheduler(1)
    scheduler.repeat(Order("it"), 0.3, 1_000_000.1)
    due = scheduler.next_time(0)
    while due < 1_000_000.4:
        assert take_all(scheduler, due) == []
        due = scheduler.next_time(due)
    assert due == pytest.approx(1_000_000.4)
    assert take_all(scheduler, due) == ["it"]
    assert scheduler.next_time(due) == math.inf


# -- more than can be asked -------------------------------------------------------------------------------------------


def crowd(
    intervals: dict[str, float], *, max_concurrent: int, latency: float, seconds: float
) -> dict[str, list[float]]:
    """When each order was asked about within so many seconds, by a gateway with this latency."""
    scheduler: Scheduler[Order] = Scheduler(max_concurrent)
    for name in intervals:
        scheduler.ask_first(Order(name))
    asked: dict[str, list[float]] = {name: [] for name in intervals}
    answers: list[tuple[float, Order]] = []
    now = 0.0
    while now < seconds:
        while (order := scheduler.take(now)) is not None:
            asked[order.name].append(now)
            answers.append((now + latency, order))
        assert len(answers) <= max_concurrent
        now = min(answers[0][0] if answers else math.inf, scheduler.next_time(now))
        while answers and answers[0][0] <= now:
            order = answers.pop(0)[1]
            scheduler.question_ended()
            scheduler.repeat(order, intervals[order.name], now)
    return asked


def test_intervals_are_stretched_by_the_same_factor() -> None:
    """With twice as many questions as can be asked, intervals of 1, 4 and 16 seconds are stretched alike."""
    intervals = {f"{interval}s-{number}": float(interval) for interval in (1, 4, 16) for number in range(40)}
    asked = crowd(intervals, max_concurrent=2, latency=0.1, seconds=400)
    stretched = {name: (times[-1] - times[1]) / (len(times) - 2) / intervals[name] for name, times in asked.items()}
    assert min(stretched.values()) > 1.5
    assert max(stretched.values()) < 1.35 * min(stretched.values())
    assert sum(map(len, asked.values())) > 0.95 * 2 / 0.1 * 400  # and no place stays empty meanwhile


def test_intervals_are_kept_while_there_is_room() -> None:
    """To the millisecond, if the gateway is fast enough."""
    asked = crowd({"a": 5, "b": 7, "c": 60}, max_concurrent=2, latency=0.1, seconds=300)
    gaps = {name: {round(b - a, 3) for a, b in pairwise(times[1:])} for name, times in asked.items()}
    assert gaps == {"a": {5.1}, "b": {7.1}, "c": {60.1}}


@settings(max_examples=25)
@given(
    intervals=st.lists(st.floats(0.05, 50), min_size=1, max_size=30),
    max_concurrent=st.integers(1, 5),
    latency=st.floats(0.01, 2),
)
def test_no_order_is_left_out(intervals: list[float], max_concurrent: int, latency: float) -> None:
    """Each order is asked about again within the time that all stretched intervals take."""
    names = {str(number): interval for number, interval in enumerate(intervals)}
    longest = max(intervals) + latency
    demand = sum(latency / max_concurrent / interval for interval in intervals)
    bound = 4 * (longest + len(intervals) * latency) * (1 + demand)
    asked = crowd(names, max_concurrent=max_concurrent, latency=latency, seconds=min(2 * bound, 5_000 * latency))
    end = max(times[-1] for times in asked.values())
    for times in asked.values():
        assert times
        assert all(after - before <= bound for before, after in pairwise([*times, end]))


# -- anything in any order --------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(st.sampled_from(["first", "last", "discard", "answer", "wait"]), st.integers(0, 9), st.floats(0, 20)),
    max_size=60,
)


@given(steps=STEPS, max_concurrent=st.integers(1, 3))
def test_the_rules_hold_in_any_order_of_events(steps: list[tuple[str, int, float]], max_concurrent: int) -> None:
    """Never too many at once, no repeat before a first question, and nothing that was discarded."""
    scheduler: Scheduler[Order] = Scheduler(max_concurrent)
    orders = [Order(str(number)) for number in range(10)]
    new: set[Order] = set()
    waiting: set[Order] = set()
    under_way: list[Order] = []
    now = 0.0
    for step, number, seconds in steps:
        order = orders[number]
        if step == "first" and order not in under_way:
            scheduler.ask_first(order)
            new.add(order)
            waiting.add(order)
        elif step == "last" and order not in under_way:
            scheduler.ask_last(order)
            waiting.add(order)
        elif step == "discard":
            scheduler.discard(order)
            new.discard(order)
            waiting.discard(order)
        elif step == "answer" and under_way:
            scheduler.question_ended()
            answered = under_way.pop(0)
            scheduler.repeat(answered, 0.1 + seconds, now)
            waiting.add(answered)
        now += seconds if step == "wait" else 0
        while (taken := scheduler.take(now)) is not None:
            assert taken in waiting
            assert taken in new or not new
            new.discard(taken)
            waiting.discard(taken)
            under_way.append(taken)
        assert len(under_way) <= max_concurrent
        assert scheduler.under_way == len(under_way)
        assert len(under_way) == max_concurrent or not new
    for order in orders:
        scheduler.discard(order)
    assert take_all(scheduler, now + 1000) == []
