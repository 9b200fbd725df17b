"""A journal that is slow: the call that waits for it lends its slot to others, and needs one again afterwards."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from omipay_async import JournalOutcome, NotSent, ScanOrder
from tests.support.fake_journal import FakeJournal, Stalled, scan
from tests.support.scripted_gateway import Gateway, Held, begin, order, outcome

if TYPE_CHECKING:
    from omipay_async import Event
    from omipay_async.testing import ManualClock


@pytest.mark.parametrize("slots", [1, 3])
async def test_charges_that_wait_for_a_stalled_database_do_not_stop_reads(
    clock: ManualClock, gateway: Gateway, journal: FakeJournal, slots: int
) -> None:
    """The slots of all of them are free after a quarter of a second, and again at the end."""
    journal.at["opening"] = Stalled()
    async with gateway.session(journal=journal, max_in_flight=slots) as omipay:
        charges = [await begin(clock, scan(omipay)) for _ in range(slots)]
        read = await begin(clock, omipay.query_order("TR1"))
        await clock.advance(0.249)
        assert not read.done()
        await clock.advance(0.001)
        assert read.done()
        assert (await read).is_paid
        await clock.advance(15)
        assert [type(await outcome(charge)) for charge in charges] == [NotSent] * slots
        gateway.on("QueryOrder", held := Held(order("PAID")))
        reads = [await begin(clock, omipay.query_order("TR1")) for _ in range(slots + 1)]
        assert gateway.under_way == slots
        held.release.set()
        await asyncio.gather(*reads)
    assert {request.endpoint for request in gateway.requests} == {"QueryOrder"}


async def test_a_charge_keeps_its_slot_while_the_journal_writes_it_down_soon(
    clock: ManualClock, gateway: Gateway, journal: FakeJournal
) -> None:
    """No read goes before it."""
    journal.at["opening"] = lambda: clock.sleep(0.2)
    async with gateway.session(journal=journal, max_in_flight=1) as omipay:
        charge = await begin(clock, scan(omipay))
        read = await begin(clock, omipay.query_order("TR1"))
        await clock.advance(0.2)
        await asyncio.gather(charge, read)
    assert [request.endpoint for request in gateway.requests] == ["MakeScanOrder", "QueryOrder"]


async def test_a_charge_that_was_written_down_late_is_sent_when_a_slot_is_free(
    clock: ManualClock, gateway: Gateway, journal: FakeJournal
) -> None:
    """It goes before the reads that wait; its event tells how long it has waited for slots, both times."""
    events: list[Event] = []
    gateway.on("QueryOrder", gateway.after(3, order("PAID")))
    journal.at["opening"] = lambda: clock.sleep(1)
    async with gateway.session(journal=journal, max_in_flight=1, on_event=events.append) as omipay:
        reads = [await begin(clock, omipay.query_order("TR1"))]
        charge = await begin(clock, scan(omipay))
        reads += [await begin(clock, omipay.query_order("TR1")) for _ in range(2)]
        await clock.advance(6.25)
        assert isinstance(await charge, ScanOrder)
        await clock.advance(3)
        await asyncio.gather(*reads)
    assert [request.endpoint for request in gateway.requests] == [
        "QueryOrder",
        "QueryOrder",
        "MakeScanOrder",
        "QueryOrder",
    ]
    assert gateway.most_under_way == 1
    told = [(event.name, event.waited_s, event.error) for event in events if event.endpoint == "MakeScanOrder"]
    waited_s = 3 + 2.25  # the read after the first one began when the journal had been slow for a quarter of a second
    assert told == [("attempt", waited_s, None), ("call", waited_s, None)]


async def test_a_charge_that_is_written_down_goes_before_those_that_came_later(
    clock: ManualClock, gateway: Gateway, journal: FakeJournal
) -> None:
    """If many charges together slow the database down, the first of them does not wait for a slot until the end."""
    gateway.on("QueryOrder", gateway.after(1, order("PAID")))
    journal.at["opening"] = lambda: clock.sleep(0.3)
    async with gateway.session(journal=journal, max_in_flight=1) as omipay:
        charges = [await begin(clock, scan(omipay)) for _ in range(3)]
        read = await begin(clock, omipay.query_order("TR1"))
        await clock.advance(1.25)
        assert [task.done() for task in (*charges, read)] == [True, False, False, True]
        await clock.advance(1)
        assert all(isinstance(made, ScanOrder) for made in await asyncio.gather(*charges))
    assert gateway.most_under_way == 1


@pytest.mark.parametrize("slots", [1, 2])
async def test_no_more_charges_than_slots_wait_for_a_slow_database(
    clock: ManualClock, gateway: Gateway, journal: FakeJournal, slots: int
) -> None:
    """It would have no time left for how other charges have ended."""
    journal.at["opening"] = Stalled()
    async with gateway.session(journal=journal, max_in_flight=slots) as omipay:
        charges = [await begin(clock, scan(omipay)) for _ in range(5)]
        await clock.advance(5)
        assert journal.names == ["opening"] * slots
        assert (await omipay.query_order("TR1")).is_paid
        for charge in charges[:slots]:
            charge.cancel()
        await clock.advance(1)
        assert journal.names.count("opening") == 2 * slots
        for charge in charges:
            charge.cancel()
        await asyncio.wait(charges)
        assert not any(omipay._client.pool._lent.values())
    assert {request.endpoint for request in gateway.requests} == {"QueryOrder"}


async def test_a_charge_that_was_written_down_late_and_gets_no_slot_is_not_done(
    clock: ManualClock, gateway: Gateway, journal: FakeJournal
) -> None:
    """Its entry is closed so, and nothing is sent."""
    gateway.on("QueryOrder", Held(order("PAID")))
    journal.at["opening"] = lambda: clock.sleep(1)
    async with gateway.session(journal=journal, max_in_flight=1) as omipay:
        charge = await begin(clock, scan(omipay, timeout=6))
        read = await begin(clock, omipay.query_order("TR1"))
        await clock.advance(3)
        assert "no slot came free in time" in str(await outcome(charge))
        read.cancel()
    assert (journal.names, journal.last.outcome) == (["opening", "closing"], JournalOutcome.NOT_DONE)
    assert [request.endpoint for request in gateway.requests] == ["QueryOrder"]
