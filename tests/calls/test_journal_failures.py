"""A journal that fails or hangs, and calls that are cancelled meanwhile: what is sent, and what is written down."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from omipay_async import (
    ConfigurationError,
    JournalError,
    JournalOutcome,
    NotSent,
    Outcome,
    OutcomeUnknown,
    PaymentDeclined,
    RetryPolicy,
    SessionClosed,
    SystemClock,
)
from omipay_async.testing import ManualClock
from tests.support.clocks import LeapingClock
from tests.support.fake_journal import PAID, FakeJournal, Stalled, scan
from tests.support.scripted_gateway import Gateway, Held, begin, fail, order, outcome, settle
from tests.support.untyped import untyped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from omipay_async import Event, JournalEntry


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """A test fails if it waits too long for an entry, and a loop that never ends is stopped."""

    def give_up(*_: object) -> None:
        pytest.fail("an entry of the journal is still waited for")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(10)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


# -- opening fails ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raised", "why"),
    [
        (OSError("disk full"), "the journal raised OSError"),
        (ConfigurationError("another event loop"), "the journal raised ConfigurationError: another event loop"),
        (JournalError("disk full"), "disk full"),
        (asyncio.CancelledError(), "the journal cancelled the request"),
    ],
)
async def test_without_an_entry_nothing_is_sent(
    gateway: Gateway, journal: FakeJournal, raised: BaseException, why: str
) -> None:
    """NotSent, caused by a JournalError, caused by what the journal raised; not repeated."""
    journal.at["opening"] = raised
    async with gateway.session(journal=journal, retry=RetryPolicy(base_delay=0)) as omipay:
        with pytest.raises(NotSent) as caught:
            await scan(omipay)
    error = caught.value
    assert (error.outcome, error.endpoint) == (Outcome.NOT_DONE, "MakeScanOrder")
    assert str(error) == f"MakeScanOrder: not sent, it could not be written down first: {why} (out_order_no A-1)"
    cause = error.__cause__
    assert isinstance(cause, JournalError)
    assert str(cause) == why
    if isinstance(raised, OSError):
        assert cause.__cause__ is raised
    if isinstance(raised, JournalError):
        assert cause is raised
    assert gateway.requests == []
    assert journal.names == ["opening"]


@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_journal_that_hangs_is_bounded_by_the_calls_time(
    clock: ManualClock, gateway: Gateway, journal: FakeJournal, stubborn: bool
) -> None:
    """Nothing is sent. The entry may have been written: it is closed in the background once ``opening`` has ended."""
    journal.at["opening"] = stalled = Stalled(stubborn=stubborn)
    omipay = gateway.session(journal=journal)
    call = await begin(clock, scan(omipay, timeout=8))
    await clock.advance(3.999)
    assert not call.done()
    await clock.advance(0.001)
    error = await outcome(call)
    assert isinstance(error, NotSent)
    assert isinstance(error.__cause__, JournalError)
    assert str(error.__cause__).startswith("the journal did not answer in time; books need the session's clock: ")
    assert stalled.cancelled == 1
    await settle()
    if stubborn:
        assert journal.names == ["opening"]
        stalled.go_on.set()
    await omipay.aclose()
    assert journal.names == ["opening", "closing"]
    assert (journal.last.outcome, journal.last.id) == (JournalOutcome.NOT_DONE, journal.steps[0][1].id)
    assert gateway.requests == []


async def test_only_where_the_clock_is_a_tests_the_journals_clock_is_mentioned(
    gateway: Gateway, journal: FakeJournal
) -> None:
    """A database that is slow needs no other clock."""
    journal.at["opening"] = Stalled()
    async with gateway.session(journal=journal, clock=SystemClock()) as omipay:
        with pytest.raises(NotSent) as caught:
            await scan(omipay, timeout=0.01)
    assert str(caught.value.__cause__) == "the journal did not answer in time"


async def test_a_journal_that_never_answers_does_not_block_closing(
    clock: ManualClock, gateway: Gateway, journal: FakeJournal, caplog: pytest.LogCaptureFixture
) -> None:
    """Five seconds after the call the session gives the entry up, and logs it."""
    journal.at["opening"] = stalled = Stalled(stubborn=True)
    omipay = gateway.session(journal=journal)
    call = await begin(clock, scan(omipay, timeout=8))
    await clock.advance(4)
    await outcome(call)
    closing = await begin(clock, omipay.aclose())
    await clock.advance(4.9)
    assert not closing.done()
    await clock.advance(0.2)
    assert await outcome(closing) is None
    assert journal.names == ["opening"]
    (record,) = caplog.records
    assert (record.levelname, record.__dict__["omipay_out_order_no"]) == ("ERROR", "A-1")
    assert record.getMessage() == (
        f"MakeScanOrder: the journal's entry {journal.last.id} stays open: it could not be closed as NOT_DONE: "
        "the journal did not answer in time (out_order_no A-1)"
    )
    stalled.go_on.set()
    await settle()


async def test_a_call_that_is_cancelled_during_opening_leaves_no_open_entry(
    clock: ManualClock, gateway: Gateway, journal: FakeJournal
) -> None:
    """It ends at once, nothing is sent, and the entry is closed in the background as NOT_DONE."""
    journal.at["opening"] = stalled = Stalled()
    async with gateway.session(journal=journal) as omipay:
        call = await begin(clock, scan(omipay))
        await stalled.reached.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert journal.names == ["opening", "closing"]
    assert journal.last.outcome is JournalOutcome.NOT_DONE
    assert gateway.requests == []


async def test_a_call_that_is_closed_during_opening_leaves_no_open_entry(
    clock: ManualClock, gateway: Gateway, journal: FakeJournal
) -> None:
    """As if it was cancelled, although its coroutine cannot await anything any more."""
    journal.at["opening"] = stalled = Stalled()
    async with gateway.session(journal=journal) as omipay:
        call = scan(omipay)
        call.send(None)
        await stalled.reached.wait()
        call.close()
    assert (journal.names, journal.last.outcome) == (["opening", "closing"], JournalOutcome.NOT_DONE)
    assert gateway.requests == []


async def test_the_sessions_end_during_opening_sends_nothing(
    clock: ManualClock, gateway: Gateway, journal: FakeJournal
) -> None:
    """SessionClosed: no money moved, and the entry is closed as NOT_DONE."""
    journal.at["opening"] = Stalled()
    omipay = gateway.session(journal=journal)
    call = await begin(clock, scan(omipay))
    await omipay.aclose()
    error = await outcome(call)
    assert isinstance(error, SessionClosed)
    assert error.outcome is Outcome.NOT_DONE
    assert journal.last.outcome is JournalOutcome.NOT_DONE
    assert gateway.requests == []


TOO_LATE = JournalError("the database did not answer within 30 seconds")


@pytest.mark.parametrize(
    ("leapt_s", "failure", "message"),
    [(16, None, "half of its time"), (31, TOO_LATE, "did not answer within 30 seconds")],
    ids=["slow", "failed too late"],
)
async def test_a_call_whose_time_is_over_once_it_is_written_down_is_not_sent(
    gateway: Gateway, journal: FakeJournal, leapt_s: float, failure: JournalError | None, message: str
) -> None:
    """A slow journal leaves too little time: NotSent, and the entry is closed.

    So it is if opening it failed after the call's time. Something blocked the event loop meanwhile, so the error may
    only say that its answer was not read in time.
    """

    async def slow() -> None:
        leaping.leapt_s = leapt_s
        if failure is not None:
            raise failure

    leaping = LeapingClock()
    journal.at["opening"] = slow
    async with gateway.session(journal=journal, clock=leaping) as omipay:
        with pytest.raises(NotSent, match=message):
            await scan(omipay)
    assert journal.names == ["opening", "closing"]
    assert journal.last.outcome is JournalOutcome.NOT_DONE
    assert gateway.requests == []


async def test_what_is_too_late_for_sending_is_not_written_down(gateway: Gateway, journal: FakeJournal) -> None:
    """The slot became free after the call's time to be sent, so no entry is needed."""
    leaping = LeapingClock()
    held = Held(order("PAID"))
    gateway.on("QueryOrder", held)

    def stand_still(event: Event) -> None:
        leaping.leapt_s = 16 if event.name == "attempt" else leaping.leapt_s

    async with gateway.session(journal=journal, clock=leaping, max_in_flight=1, on_event=stand_still) as omipay:
        first = await begin(leaping, omipay.query_order("TR1"))
        money = await begin(leaping, scan(omipay))
        held.release.set()
        assert isinstance(await outcome(money), NotSent)
        await outcome(first)
    assert journal.steps == []


class Forgetful(FakeJournal):
    """A journal that forgets to await what writes."""

    async def opening(self, entry: JournalEntry) -> Any:
        """Open no entry."""
        return super().opening(entry) if "opening" in self.at else await super().opening(entry)

    async def closing(self, entry: JournalEntry) -> Any:
        """Close no entry."""
        return super().closing(entry)


async def test_a_journal_that_has_not_run_has_written_nothing_down(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    """``async def opening(self, entry): return self.write(entry)`` returns a coroutine, and nothing awaits it."""
    journal = Forgetful()
    async with gateway.session(journal=journal) as omipay:
        assert (await scan(omipay)).is_paid
        assert "stays open: it could not be closed as DONE: the journal returned a coroutine" in caplog.text
        journal.at["opening"] = None
        with pytest.raises(NotSent, match="the journal returned a coroutine, which nobody has awaited"):
            await scan(omipay)
    assert journal.names == ["opening"]
    assert len(gateway.times("MakeScanOrder")) == 1


async def test_a_journal_that_is_not_async_is_told_so(
    gateway: Gateway, journal: FakeJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says what is wrong with it, and not only that there was a TypeError."""
    monkeypatch.setattr(journal, "opening", lambda entry: None)
    async with gateway.session(journal=journal) as omipay:
        with pytest.raises(NotSent, match="the journal returned NoneType, which cannot be awaited"):
            await scan(omipay)
    assert gateway.requests == []


# -- closing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raised", [OSError("disk full"), asyncio.CancelledError()])
async def test_a_result_is_returned_although_it_could_not_be_written_down(
    gateway: Gateway, journal: FakeJournal, raised: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """The customer has paid. The open entry is logged as ERROR with its numbers."""
    journal.at["closing"] = raised
    async with gateway.session(journal=journal) as omipay:
        assert (await scan(omipay)).is_paid
        gateway.on("MakeScanOrder", fail("NOT_ENOUGH"))
        with pytest.raises(PaymentDeclined):
            await scan(omipay)
    records = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(records) == 2
    for record, expected in zip(records, (None, Outcome.NOT_DONE), strict=True):
        assert f"stays open: it could not be closed as {expected or 'DONE'}: " in record.getMessage()
        assert "A-1" in record.getMessage()
        assert record.__dict__["omipay_out_order_no"] == "A-1"
        assert record.__dict__["omipay_outcome"] is expected
        assert record.exc_info


@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_journal_that_hangs_while_closing_takes_five_seconds_at_most(
    clock: ManualClock, gateway: Gateway, journal: FakeJournal, caplog: pytest.LogCaptureFixture, stubborn: bool
) -> None:
    """However much time the call has left."""
    journal.at["closing"] = stalled = Stalled(stubborn=stubborn)
    async with gateway.session(journal=journal) as omipay:
        call = await begin(clock, scan(omipay))
        await clock.advance(4.9)
        assert not call.done()
        await clock.advance(0.2)
        assert (await outcome(call)).is_paid
    assert "did not answer in time" in caplog.records[-1].getMessage()
    stalled.go_on.set()
    await settle()


@pytest.mark.parametrize("sent", [False, True])
async def test_the_entry_of_a_cancelled_call_is_closed_in_the_background(
    clock: ManualClock, gateway: Gateway, journal: FakeJournal, sent: bool
) -> None:
    """The cancellation is not delayed, but ``aclose`` waits: UNKNOWN if the call was sent, else NOT_DONE."""
    held = Held(PAID)
    gateway.on("MakeScanOrder", held if sent else httpx.ConnectError("refused"))
    journal.at["closing"] = stalled = Stalled()
    omipay = gateway.session(journal=journal, retry=RetryPolicy(base_delay=2, max_delay=2))
    omipay._executor.random = lambda: 0.9
    call = await begin(clock, scan(omipay))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await stalled.reached.wait()
    closing = await begin(clock, omipay.aclose())
    assert not closing.done()
    stalled.go_on.set()
    assert await outcome(closing) is None
    assert journal.names == ["opening", "closing"]
    assert journal.last.outcome is (JournalOutcome.UNKNOWN if sent else JournalOutcome.NOT_DONE)
    assert journal.last.error == "CancelledError"


async def test_a_call_that_is_cancelled_while_its_result_is_written_down(
    clock: ManualClock, gateway: Gateway, journal: FakeJournal
) -> None:
    """It ends at once, and its result is written down all the same."""
    journal.at["closing"] = stalled = Stalled()
    omipay = gateway.session(journal=journal)
    call = await begin(clock, scan(omipay))
    await stalled.reached.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert stalled.cancelled == 0
    stalled.go_on.set()
    await omipay.aclose()
    assert (journal.last.outcome, journal.last.order_no) == (JournalOutcome.DONE, "TR1")


def test_the_entry_of_a_call_that_is_closed_after_its_event_loop_stays_open(journal: FakeJournal) -> None:
    """Nothing can be written down any more, and the entry is still open, which is true."""
    clock = ManualClock()
    gateway = Gateway(clock)
    gateway.on("MakeScanOrder", Held(PAID))
    omipay = gateway.session(journal=journal)
    loop = asyncio.new_event_loop()
    call = scan(omipay)
    task = loop.create_task(call)
    loop.run_until_complete(settle())
    loop.close()
    call.close()
    untyped(task)._log_destroy_pending = False  # that is what this test is about
    assert journal.names == ["opening"]
    asyncio.run(omipay.aclose())


@pytest.mark.parametrize(
    ("reply", "order_no"),
    [
        ({**PAID, "order_no": "TR7", "out_order_no": "other"}, None),
        (fail("SYSTEM_ERROR", order_no="TR7"), "TR7"),
    ],
)
async def test_neither_error_nor_entry_names_another_calls_order(
    gateway: Gateway, journal: FakeJournal, reply: dict[str, Any], order_no: str | None
) -> None:
    """Otherwise a sweep would ask about somebody else's order."""
    gateway.on("MakeScanOrder", reply)
    async with gateway.session(journal=journal) as omipay:
        with pytest.raises(OutcomeUnknown) as unknown:
            await scan(omipay)
    assert (unknown.value.order_no, journal.last.order_no) == (order_no, order_no)
