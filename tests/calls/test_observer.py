"""How calls are reported, to the last field and word: events for programs, records for people."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import attrs
import httpx
import pytest

from omipay_async import (
    ErrorCode,
    Event,
    InvalidRequest,
    JournalOutcome,
    OmipayError,
    Outcome,
    PaymentDeclined,
    RetryPolicy,
    Safety,
    SessionClosed,
)
from tests.support.fake_journal import PAID, FakeJournal, scan
from tests.support.scripted_gateway import (
    AT_ONCE,
    REFUSED,
    Gateway,
    Held,
    begin,
    fail,
    make_refund,
    named,
    order,
    outcome,
)

if TYPE_CHECKING:
    from omipay_async.testing import ManualClock

SECOND = "http://second.test/omipay/api"


async def test_every_field_of_a_charge_that_was_refused(
    clock: ManualClock, gateway: Gateway, events: list[Event]
) -> None:
    """The attempt took two seconds, and the call waited three more for its slot."""
    gateway.on("TR0", gateway.after(3, order("PAID")))
    gateway.on("MakeScanOrder", gateway.after(2, fail("NOT_ENOUGH", order_no="TR1")))
    async with gateway.session(max_in_flight=1, on_event=events.append) as omipay:
        before = await begin(clock, omipay.query_order("TR0"))
        call = await begin(clock, scan(omipay))
        await clock.advance(5)
        assert isinstance(await outcome(call), PaymentDeclined)
        await outcome(before)
    attempt, ended = events[2:]
    assert ended == Event(
        "call",
        endpoint="MakeScanOrder",
        safety=Safety.MONEY,
        attempt=1,
        duration_s=5,
        waited_s=3,
        node="gateway.test",
        error="PaymentDeclined",
        outcome=Outcome.NOT_DONE,
        error_code=ErrorCode.NOT_ENOUGH,
        order_no="TR1",
        out_order_no="A-1",
    )
    assert attempt == attrs.evolve(ended, name="attempt")


async def test_the_wait_for_a_slot_is_told_of_the_attempt_that_waited(
    clock: ManualClock, gateway: Gateway, events: list[Event]
) -> None:
    """A repeat that finds a slot free has not waited. The call has waited as long as its attempts together."""
    gateway.on("TR0", gateway.after(3, order("PAID")))
    gateway.on("TR1", fail("SYSTEM_ERROR"), order("PAID"))
    async with gateway.session(max_in_flight=1, on_event=events.append, retry=AT_ONCE) as omipay:
        before = await begin(clock, omipay.query_order("TR0"))
        call = await begin(clock, omipay.query_order("TR1"))
        await clock.advance(3)
        await outcome(call)
        await outcome(before)
    told = [(event.name, event.duration_s, event.waited_s) for event in events if event.order_no == "TR1"]
    assert told == [("attempt", 3, 3), ("attempt", 0, 0), ("call", 3, 3)]


async def test_the_numbers_of_a_refund(clock: ManualClock, gateway: Gateway, events: list[Event]) -> None:
    """The number of its order, and the merchant's own number."""
    async with gateway.session(on_event=events.append) as omipay:
        await make_refund(omipay)
    assert [(event.order_no, event.out_order_no, event.out_refund_no) for event in events] == [("TR1", None, "R-1")] * 2


async def test_of_a_number_that_is_too_long_the_beginning_is_reported(
    clock: ManualClock, gateway: Gateway, events: list[Event]
) -> None:
    """The call is rejected. A metric's label or a record may not be as long as what a stranger typed."""
    async with gateway.session(on_event=events.append) as omipay:
        with pytest.raises(InvalidRequest, match="must not be longer"):
            await omipay.query_order("7" * 1_000_000)
    assert [(event.name, event.order_no) for event in events] == [("call", "7" * 200 + "...")]


@pytest.mark.parametrize(
    ("reply", "code", "number"),
    [
        (PAID, None, "TR1"),
        (fail("USERPAYING", order_no="TR2"), ErrorCode.USERPAYING, "TR2"),
    ],
)
async def test_a_charge_is_reported_as_still_being_paid(
    clock: ManualClock, gateway: Gateway, events: list[Event], *, reply: dict[str, Any], code: str | None, number: str
) -> None:
    """That is not an error, and the event has the order's number from the reply."""
    gateway.on("MakeScanOrder", reply)
    async with gateway.session(on_event=events.append) as omipay:
        await scan(omipay)
    (ended,) = named(events, "call")
    assert (ended.error, ended.outcome, ended.error_code, ended.order_no) == (None, None, code, number)


async def test_only_a_charge_is_reported_as_still_being_paid(
    clock: ManualClock, gateway: Gateway, events: list[Event]
) -> None:
    """The event of a query about such an order has no error code."""
    gateway.on("TR1", order("PAYING"))
    async with gateway.session(on_event=events.append) as omipay:
        await omipay.query_order("TR1")
    assert [event.error_code for event in events] == [None, None]


@pytest.mark.parametrize(
    ("failure", "error", "what"),
    [
        (REFUSED, "NotSent", "never sent"),
        (httpx.ReadError("cut"), "TransportError", "no answer"),
        (httpx.Response(502), "InvalidReply", "bad reply"),
        (fail("SYSTEM_ERROR"), "GatewayError", "system error"),
    ],
)
async def test_every_word_about_a_read_that_was_repeated(
    clock: ManualClock, gateway: Gateway, caplog: pytest.LogCaptureFixture, *, failure: Any, error: str, what: str
) -> None:
    """How each attempt ended, why it was repeated and after how long."""
    gateway.on("TR1", gateway.after(2, failure), gateway.after(1, order("PAID")))
    with caplog.at_level(logging.DEBUG, "omipay_async"):
        async with gateway.session(retry=RetryPolicy(base_delay=1)) as omipay:
            omipay._executor.random = lambda: 0.25
            call = await begin(clock, omipay.query_order("TR1"))
            await clock.advance(4)
            await outcome(call)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("DEBUG", f"QueryOrder: attempt 1 on gateway.test took 2.000 s: {error} (order_no TR1)"),
        ("WARNING", f"QueryOrder: attempt 1 failed ({what}), repeating in 0.250 s (order_no TR1)"),
        ("DEBUG", "QueryOrder: attempt 2 on gateway.test took 1.000 s: answered (order_no TR1)"),
    ]


async def test_another_node_is_reported_with_the_endpoint(
    clock: ManualClock, gateway: Gateway, events: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    """Which node cannot be reached, and which is tried instead."""
    gateway.on("TR1", REFUSED, order("PAID"))
    async with gateway.session(fallback=SECOND, on_event=events.append) as omipay:
        await omipay.query_order("TR1")
    assert [event.name for event in events] == ["attempt", "node", "attempt", "call"]
    assert events[1] == Event("node", endpoint="QueryOrder", node="second.test")
    assert [event.node for event in events] == ["gateway.test", "second.test", "second.test", "second.test"]
    text = "QueryOrder: gateway.test cannot be reached, asking second.test (order_no TR1)"
    assert [record.getMessage() for record in caplog.records] == [text]


async def test_a_learnt_offset_is_reported_with_the_node(
    clock: ManualClock, gateway: Gateway, events: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    """In seconds. A Date header stands for the middle of its second."""
    late = httpx.Response(200, json=fail("SIGN_TIMEOUT"), headers={"Date": "Tue, 14 Nov 2023 23:13:20 GMT"})
    gateway.on("TR1", late, order("PAID"))
    async with gateway.session(on_event=events.append) as omipay:
        await omipay.query_order("TR1")
    assert named(events, "clock") == [Event("clock", node="gateway.test", offset_s=3600.5)]
    texts = [record.getMessage() for record in caplog.records]
    assert "this machine's clock is off: signing with an offset of 3600.5 s from now on" in texts
    assert "QueryOrder: attempt 1 failed (sign timeout), repeating in 0.000 s (order_no TR1)" in texts


async def test_an_unknown_outcome_is_logged_with_its_numbers_once(
    clock: ManualClock, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    """The record is the text of the error, which contains the endpoint and the number already."""
    gateway.on("MakeScanOrder", httpx.ReadError("cut"))
    async with gateway.session() as omipay:
        with pytest.raises(OmipayError) as caught:
            await scan(omipay)
    (record,) = caplog.records
    assert record.getMessage() == str(caught.value)
    assert record.getMessage() == (
        "MakeScanOrder: nobody knows whether it was acted on; do not repeat it "
        "(MakeScanOrder: no answer, ReadError: cut) (out_order_no A-1)"
    )
    assert record.__dict__["omipay_endpoint"] == "MakeScanOrder"
    assert record.__dict__["omipay_out_order_no"] == "A-1"
    assert record.__dict__["omipay_outcome"] is Outcome.UNKNOWN


async def test_a_charge_that_was_cancelled_after_it_was_sent_is_logged_with_its_numbers(
    clock: ManualClock, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    """A web framework may have cancelled it, and then nobody gets an error. One that was not sent leaves no record."""
    gateway.on("MakeScanOrder", Held({}))
    gateway.on("QueryOrder", Held({}))
    async with gateway.session(max_in_flight=1) as omipay:
        for under_way in (scan(omipay), omipay.query_order("TR1")):
            call = await begin(clock, under_way)
            waiting = await begin(clock, make_refund(omipay))
            for task in (waiting, call):
                task.cancel()
                await asyncio.wait([task])
    (record,) = caplog.records
    assert record.getMessage() == (
        "MakeScanOrder: ended by CancelledError after it was sent: nobody knows whether it was acted on; do not repeat "
        "it (out_order_no A-1)"
    )
    assert (record.levelname, record.__dict__["omipay_outcome"]) == ("ERROR", Outcome.UNKNOWN)


async def test_a_call_that_ends_while_it_waits_is_reported_without_a_code(
    clock: ManualClock, gateway: Gateway, events: list[Event]
) -> None:
    """No node was tried and no reply came: the event has only what was sent."""
    gateway.on("TR0", Held(order("PAID")))
    omipay = gateway.session(max_in_flight=1, retry=AT_ONCE, on_event=events.append)
    first = await begin(clock, omipay.query_order("TR0"))
    call = await begin(clock, make_refund(omipay))
    await clock.advance(2)
    await omipay.aclose()
    assert isinstance(await outcome(call), SessionClosed)
    assert isinstance(await outcome(first), SessionClosed)
    (told,) = [event for event in named(events, "call") if event.endpoint == "Refund"]
    assert (told.error, told.outcome, told.error_code) == ("SessionClosed", Outcome.NOT_DONE, None)
    assert (told.waited_s, told.duration_s, told.order_no, told.out_refund_no) == (2, 2, "TR1", "R-1")


class Interruption(BaseException):
    """Such as KeyboardInterrupt, which would end the tests."""


async def test_an_interruption_after_the_reply_does_not_undo_it(clock: ManualClock, gateway: Gateway) -> None:
    """A charge that was answered, but whose caller does not hear of it, is never reported as not done."""
    gateway.on("MakeScanOrder", PAID)
    reported: list[Event] = []

    def interrupt(event: Event) -> None:
        reported.append(event)
        if event.name == "attempt":
            raise Interruption

    journal = FakeJournal()
    async with gateway.session(on_event=interrupt, journal=journal) as omipay:
        with pytest.raises(Interruption):
            await scan(omipay)
    assert [(event.name, event.outcome) for event in reported] == [("attempt", None), ("call", Outcome.UNKNOWN)]
    assert (journal.names, journal.last.outcome) == (["opening", "closing"], JournalOutcome.UNKNOWN)


@pytest.mark.parametrize("reply", [PAID, ZeroDivisionError()])
async def test_an_interruption_by_the_report_of_the_end(
    clock: ManualClock, gateway: Gateway, reply: dict[str, Any] | Exception
) -> None:
    """What the caller does not hear of is written down all the same."""
    gateway.on("MakeScanOrder", reply)

    def interrupt(event: Event) -> None:
        if event.name == "call":
            raise Interruption

    journal = FakeJournal()
    async with gateway.session(on_event=interrupt, journal=journal) as omipay:
        with pytest.raises(Interruption):
            await scan(omipay)
    known = JournalOutcome.DONE if reply is PAID else JournalOutcome.UNKNOWN
    assert (journal.names, journal.last.outcome) == (["opening", "closing"], known)


async def test_interruptions_of_a_call_and_of_its_report(clock: ManualClock, gateway: Gateway) -> None:
    """Its end is written down, and closing the session does not wait for it."""

    def interrupt(event: Event) -> None:
        raise Interruption

    journal = FakeJournal()
    omipay = gateway.session(on_event=interrupt, journal=journal)
    with pytest.raises(Interruption):
        await scan(omipay)
    assert await outcome(await begin(clock, omipay.aclose())) is None
    assert (journal.names, journal.last.outcome) == (["opening", "closing"], JournalOutcome.UNKNOWN)


async def test_the_order_of_a_general_call_is_reported(
    clock: ManualClock, gateway: Gateway, events: list[Event]
) -> None:
    """As the journal has it: its reply is a mapping, not a model."""
    gateway.on("ConfirmCheckOut", PAID, {**PAID, "order_no": 7})
    async with gateway.session(on_event=events.append) as omipay:
        for _ in range(2):
            await omipay.call("ConfirmCheckOut", {"out_order_no": "A-1"})
    assert [event.order_no for event in named(events, "call")] == ["TR1", None]


async def test_an_interruption_before_a_repeat_of_what_was_never_sent(
    clock: ManualClock, gateway: Gateway, events: list[Event]
) -> None:
    """Nothing was received: it is not done."""
    gateway.on("MakeScanOrder", REFUSED)
    async with gateway.session(on_event=events.append, retry=RetryPolicy(base_delay=10, max_delay=10)) as omipay:
        call = await begin(clock, scan(omipay))
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    (ended,) = named(events, "call")
    assert (ended.error, ended.outcome) == ("CancelledError", Outcome.NOT_DONE)
