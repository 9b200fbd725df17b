"""Slots: never more than there are, tills first, polls never all of them, and no place lost to a cancellation."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omipay_async.transport.pool import ConnectionPool, Priority

MONEY, READ, POLL = Priority


async def started(slots: ConnectionPool[int], *priorities: Priority) -> list[asyncio.Task[int]]:
    """Tasks that wait in this order."""
    tasks = []
    for priority in priorities:
        tasks.append(asyncio.create_task(slots.wait(priority)))
        await asyncio.sleep(0)
    return tasks


async def done(tasks: list[asyncio.Task[int]]) -> list[int]:
    """Which of them had their turn."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return [index for index, task in enumerate(tasks) if task.done()]


def test_the_slot_used_last_is_lent_first() -> None:
    """Its connection is the warmest."""
    slots = ConnectionPool([1, 2, 3])
    first = slots.take(READ)
    second = slots.take(READ)
    assert (first, second, slots.under_way) == (3, 2, 2)
    slots.give_back(3, READ)
    assert slots.take(READ) == 3
    assert slots.idle == [1]


def test_what_is_not_there_is_not_lent() -> None:
    """None says: wait."""
    slots = ConnectionPool([1])
    assert slots.take(MONEY) == 1
    assert slots.take(MONEY) is None


@pytest.mark.parametrize(("size", "for_polls"), [(1, 1), (2, 1), (3, 1), (4, 2), (20, 18)])
def test_polls_leave_two_slots_to_the_tills(size: int, for_polls: int) -> None:
    """However many polls hang, two calls can go out beside them; at least one poll may."""
    slots = ConnectionPool(list(range(size)))
    assert slots.for_polls == for_polls
    lent = [slots.take(POLL) for _ in range(size)]
    assert sum(slot is not None for slot in lent) == for_polls
    assert slots.under_way == for_polls
    assert (slots.take(MONEY) is not None) is (size > for_polls)


async def test_money_goes_before_reads_and_reads_before_polls() -> None:
    """Among equals the order is that of arrival."""
    slots = ConnectionPool([1])
    slots.take(READ)
    tasks = await started(slots, POLL, READ, POLL, MONEY, READ, MONEY)
    turns: list[int] = []
    held = READ
    for _ in tasks:
        slots.give_back(1, held)
        (turn,) = set(await done(tasks)) - set(turns)
        turns.append(turn)
        held = (POLL, READ, POLL, MONEY, READ, MONEY)[turn]
    assert turns == [3, 5, 1, 4, 0, 2]


async def test_a_waiting_poll_does_not_take_a_tills_slot() -> None:
    """A slot comes free, but polls have their share already: it stays free for whoever else comes."""
    slots = ConnectionPool([1, 2, 3])
    poll = slots.take(POLL)
    assert poll is not None
    money = slots.take(MONEY)
    assert money is not None
    tasks = await started(slots, POLL)
    slots.give_back(money, MONEY)
    assert await done(tasks) == []
    assert slots.take(MONEY) is not None
    slots.give_back(poll, POLL)
    assert await done(tasks) == [0]


async def test_a_place_in_line_is_given_up_by_cancellation() -> None:
    """The next in line moves up."""
    slots = ConnectionPool([1])
    slots.take(MONEY)
    tasks = await started(slots, MONEY, MONEY)
    tasks[0].cancel()
    await asyncio.sleep(0)
    slots.give_back(1, MONEY)
    await done(tasks)
    assert tasks[0].cancelled()
    assert await tasks[1] == 1


async def test_a_slot_lent_in_the_instant_of_a_cancellation_is_not_lost() -> None:
    """Whoever was cancelled just after it was handed the slot hands it on."""
    slots = ConnectionPool([1])
    slots.take(POLL)
    tasks = await started(slots, POLL, READ)
    slots.give_back(1, POLL)  # lent to the read
    tasks[1].cancel()
    await done(tasks)
    assert tasks[1].cancelled()
    assert await tasks[0] == 1
    slots.give_back(1, POLL)
    assert slots.under_way == 0


@given(
    st.integers(1, 6),
    st.lists(st.tuples(st.sampled_from(["wait", "give", "cancel"]), st.sampled_from(Priority)), max_size=60),
)
def test_no_order_of_events_loses_or_doubles_a_slot(size: int, steps: list[tuple[str, Priority]]) -> None:
    """Whatever comes: every slot is lent once at most, polls keep to their share, and in the end all are back."""

    async def play() -> None:
        slots = ConnectionPool(list(range(size)))
        waiting: list[tuple[asyncio.Task[int], Priority]] = []
        held: list[tuple[int, Priority]] = []

        async def settle() -> None:
            for _ in range(3):
                await asyncio.sleep(0)
            for entry in [entry for entry in waiting if entry[0].done()]:
                waiting.remove(entry)
                if not entry[0].cancelled():
                    held.append((entry[0].result(), entry[1]))
            assert len({slot for slot, _ in held}) == len(held) == slots.under_way
            assert sum(priority is POLL for _, priority in held) <= slots.for_polls

        for step, priority in steps:
            if step == "wait":
                slot = slots.take(priority)
                if slot is None:
                    waiting.append((asyncio.create_task(slots.wait(priority)), priority))
                else:
                    held.append((slot, priority))
            elif step == "give" and held:
                slots.give_back(*held.pop(0))
            elif step == "cancel" and waiting:
                waiting[0][0].cancel()
            await settle()
        while held:
            slots.give_back(*held.pop(0))
            await settle()
        assert not waiting
        assert sorted(slots.idle) == list(range(size))

    asyncio.run(play())
