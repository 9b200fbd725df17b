"""Slots: never too many, money calls first, polls never all of them, and none lost to a cancellation."""

from __future__ import annotations

import asyncio
import collections

import pytest
from hypothesis import given, strategies as st

from omipay_async.transport.pool import ConnectionPool, Priority, Slot

WRITTEN_DOWN, MONEY, READ, CONFIRMATION, POLL = Priority


async def started(slots: ConnectionPool, *priorities: Priority) -> list[asyncio.Task[Slot]]:
    """Tasks that wait in this order."""
    tasks = []
    for priority in priorities:
        tasks.append(asyncio.create_task(slots.acquire(priority)))
        await asyncio.sleep(0)
    return tasks


async def done(tasks: list[asyncio.Task[Slot]]) -> list[int]:
    """Which of them got their turn."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return [index for index, task in enumerate(tasks) if task.done()]


def borrowed(slots: ConnectionPool, priority: Priority) -> Slot:
    """A slot that is available at once."""
    slot = slots.acquire_nowait(priority)
    assert slot is not None
    return slot


def waiting_for(slots: ConnectionPool) -> int:
    """How many requests wait for a slot."""
    return sum(map(len, slots._waiting.values()))


def test_the_slot_used_last_is_lent_first() -> None:
    """Its connection was used most recently."""
    slots = ConnectionPool(3)
    first, second, third = (borrowed(slots, READ) for _ in range(3))
    assert slots.acquire_nowait(READ) is None
    for slot in (third, first, second):
        slots.release(slot, READ)
    assert [borrowed(slots, READ) for _ in range(3)] == [second, first, third]


def test_without_a_free_slot_nothing_is_lent() -> None:
    """None means that the caller must wait."""
    slots = ConnectionPool(1)
    assert slots.acquire_nowait(MONEY) is not None
    assert slots.acquire_nowait(MONEY) is None


@pytest.mark.parametrize(("size", "for_polls"), [(1, 1), (2, 1), (3, 1), (4, 2), (20, 18)])
def test_polls_leave_two_slots_to_other_calls(size: int, for_polls: int) -> None:
    """However many polls hang, two calls can be sent. At least one poll may be."""
    slots = ConnectionPool(size)
    assert slots.limits[POLL] == for_polls
    lent = [slots.acquire_nowait(POLL) for _ in range(size)]
    assert sum(slot is not None for slot in lent) == for_polls
    assert sum(slots._lent.values()) == for_polls
    assert (slots.acquire_nowait(MONEY) is not None) is (size > for_polls)


@pytest.mark.parametrize(("size", "limit"), [(1, 1), (3, 1), (4, 1), (7, 1), (8, 2), (20, 5)])
def test_confirmations_hold_a_quarter_of_the_slots(size: int, limit: int) -> None:
    """However many notifications strangers send, three quarters of the slots are for the merchant's own calls."""
    slots = ConnectionPool(size)
    lent = [slots.acquire_nowait(CONFIRMATION) for _ in range(size)]
    assert sum(slot is not None for slot in lent) == sum(slots._lent.values()) == limit
    assert sum(slots.acquire_nowait(READ) is not None for _ in range(size)) == size - limit


@pytest.mark.parametrize(("size", "left"), [(1, 0), (2, 0), (3, 1), (8, 1), (20, 1)])
@pytest.mark.parametrize("first", [POLL, CONFIRMATION])
def test_confirmations_and_polls_that_hang_leave_a_slot_for_a_till(size: int, left: int, first: Priority) -> None:
    """Each kind still has one at least: a session with two slots lends both."""
    slots = ConnectionPool(size)
    for priority in (first, POLL, CONFIRMATION, POLL):
        while slots.acquire_nowait(priority) is not None:
            pass
    assert size == 1 or min(slots._lent[CONFIRMATION], slots._lent[POLL]) >= 1
    assert sum(slots.acquire_nowait(MONEY) is not None for _ in range(size)) == left


async def test_a_waiting_confirmation_takes_the_slot_of_a_poll_and_not_the_last_one() -> None:
    """The slot that is left stays free when a read ends, and polls give way one by one."""
    slots = ConnectionPool(8)
    polls = [borrowed(slots, POLL) for _ in range(6)]
    borrowed(slots, CONFIRMATION)
    read = borrowed(slots, READ)
    tasks = await started(slots, POLL, CONFIRMATION)
    slots.release(read, READ)
    assert await done(tasks) == []
    slots.release(polls[0], POLL)
    assert await done(tasks) == [1]
    slots.release(polls[1], POLL)
    assert await done(tasks) == [0, 1]


async def test_money_goes_before_reads_then_confirmations_then_polls() -> None:
    """Equals go in the order of their arrival; money calls that lent their slot go before others."""
    slots = ConnectionPool(1)
    slot = borrowed(slots, READ)
    waiting = (POLL, CONFIRMATION, READ, POLL, MONEY, READ, MONEY, WRITTEN_DOWN)
    tasks = await started(slots, *waiting)
    assert waiting_for(slots) == 8
    turns: list[int] = []
    held = READ
    for _ in tasks:
        slots.release(slot, held)
        (turn,) = set(await done(tasks)) - set(turns)
        turns.append(turn)
        held = waiting[turn]
    assert turns == [7, 4, 6, 2, 5, 1, 0, 3]
    assert waiting_for(slots) == 0


async def test_a_waiting_poll_does_not_take_more_than_its_share() -> None:
    """A slot that becomes free stays free for other calls if polls have their share already."""
    slots = ConnectionPool(3)
    poll, money = borrowed(slots, POLL), borrowed(slots, MONEY)
    tasks = await started(slots, POLL)
    slots.release(money, MONEY)
    assert await done(tasks) == []
    assert slots.acquire_nowait(MONEY) is not None
    slots.release(poll, POLL)
    assert await done(tasks) == [0]


async def test_a_place_in_line_is_given_up_by_cancellation() -> None:
    """The next one in line moves up."""
    slots = ConnectionPool(1)
    slot = borrowed(slots, MONEY)
    tasks = await started(slots, MONEY, MONEY)
    tasks[0].cancel()
    await asyncio.sleep(0)
    slots.release(slot, MONEY)
    await done(tasks)
    assert tasks[0].cancelled()
    assert await tasks[1] is slot


async def test_many_who_leave_the_line_leave_nothing_behind() -> None:
    """Thousands of polls may be cancelled before a slot becomes free for one."""
    slots = ConnectionPool(1)
    slots.acquire_nowait(POLL)
    tasks = await started(slots, *[POLL] * 1_000)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert waiting_for(slots) == 0


async def test_a_slot_lent_in_the_instant_of_a_cancellation_is_not_lost() -> None:
    """A caller that is cancelled just after it got the slot gives it back."""
    slots = ConnectionPool(1)
    slot = borrowed(slots, POLL)
    tasks = await started(slots, POLL, READ)
    slots.release(slot, POLL)  # lent to the read
    tasks[1].cancel()
    await done(tasks)
    assert tasks[1].cancelled()
    assert await tasks[0] is slot
    slots.release(slot, POLL)
    assert sum(slots._lent.values()) == 0


@given(
    st.integers(1, 6),
    st.lists(st.tuples(st.sampled_from(["wait", "give", "cancel"]), st.sampled_from(Priority)), max_size=60),
)
def test_no_order_of_events_loses_or_doubles_a_slot(size: int, steps: list[tuple[str, Priority]]) -> None:
    """Every slot is lent once at most, polls keep to their share, and in the end all slots are free."""

    async def play() -> None:
        slots = ConnectionPool(size)
        waiting: list[tuple[asyncio.Task[Slot], Priority]] = []
        held: list[tuple[Slot, Priority]] = []

        async def settle() -> None:
            for _ in range(3):
                await asyncio.sleep(0)
            for entry in [entry for entry in waiting if entry[0].done()]:
                waiting.remove(entry)
                if not entry[0].cancelled():
                    held.append((entry[0].result(), entry[1]))
            assert len({slot for slot, _ in held}) == len(held) == sum(slots._lent.values())
            assert collections.Counter(priority for _, priority in held) <= collections.Counter(slots.limits)

        for step, priority in steps:
            if step == "wait":
                slot = slots.acquire_nowait(priority)
                if slot is None:
                    waiting.append((asyncio.create_task(slots.acquire(priority)), priority))
                else:
                    held.append((slot, priority))
            elif step == "give" and held:
                slots.release(*held.pop(0))
            elif step == "cancel" and waiting:
                waiting[0][0].cancel()
            await settle()
        while held:
            slots.release(*held.pop(0))
            await settle()
        assert not waiting
        assert len(set(slots._free)) == len(slots._free) == size

    asyncio.run(play())
