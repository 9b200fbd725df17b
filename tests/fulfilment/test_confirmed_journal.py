"""The journal and confirmations: each confirmation is written down before its handler runs."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from omipay_async import JournalEntry, JournalError, MemoryBackend, Order, Outcome, PollTimeout, SessionClosed
from tests.support.fulfilment_doubles import broken, forgetful, giving_up, gone, hanging, not_async
from tests.support.scripted_gateway import Gateway, Shop, begin, check_answer, notification, order, outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from omipay_async import AsyncOmipay
    from omipay_async.testing import ManualClock

PAID = order("PAID", out_order_no="T1-000231")


@pytest.fixture(autouse=True)
def paid(gateway: Gateway) -> None:
    """The gateway reports TR1 as paid."""
    gateway.on("TR1", PAID)


@pytest.fixture
def shop() -> Shop:
    return Shop()


class FaultyJournal:
    """A journal that fails if the test has set ``fault``."""

    def __init__(self) -> None:
        self.fault: Callable[[], Any] | None = None
        self.confirmations: list[tuple[str, str]] = []

    async def opening(self, entry: JournalEntry) -> None:
        """No money call is sent in these tests."""

    async def closing(self, entry: JournalEntry) -> None:
        """No money call is sent in these tests."""

    async def confirmed(self, m_number: str, order: Order) -> Any:
        """Write it down, or fail."""
        if self.fault is not None:
            return await self.fault()
        self.confirmations.append((m_number, order.order_no))
        return None


async def full() -> None:
    """Fail with a journal's own error."""
    raise JournalError("the disk is full")


async def test_each_confirmation_is_written_down_before_the_handler_runs(
    clock: ManualClock, gateway: Gateway, shop: Shop
) -> None:
    """A notification, ``fulfil`` and ``settle`` do so; an unpaid order is not written down."""
    journal = FaultyJournal()
    gateway.on("TR2", order("PAYING"))
    async with gateway.session(journal=journal) as omipay:
        await omipay.receive_notification(notification(clock), shop.handle)
        await omipay.fulfil("TR1", shop.handle)
        await outcome(await begin(clock, omipay.settle("TR1", shop.handle, first_wait=0)))
        await omipay.fulfil("TR2", shop.handle)
        check_answer(await omipay.receive_notification(notification(clock, "TR2"), shop.handle), 409)
    assert journal.confirmations == [("000034", "TR1")] * 3


@pytest.mark.parametrize("fault", [full, broken, giving_up, not_async, forgetful, gone])
async def test_a_confirmation_that_cannot_be_written_down_is_delivered_again(
    clock: ManualClock, gateway: Gateway, shop: Shop, fault: Callable[[], Any]
) -> None:
    """The answer is 503, ``fulfil`` and ``settle`` raise JournalError, and no handler runs until it is written down."""
    journal = FaultyJournal()
    journal.fault = fault
    async with gateway.session(journal=journal) as omipay:
        reply = await omipay.receive_notification(notification(clock), shop.handle)
        check_answer(reply, 503)
        assert isinstance(reply.error, JournalError)
        with pytest.raises(JournalError):
            await omipay.fulfil("TR1", shop.handle)
        assert isinstance(
            await outcome(await begin(clock, omipay.settle("TR1", shop.handle, first_wait=0))), JournalError
        )
        assert shop.fulfilled == []
        journal.fault = None
        check_answer(await omipay.receive_notification(notification(clock), shop.handle), 200)
    assert shop.fulfilled == ["TR1"]


async def test_a_journal_that_hangs_has_five_seconds(clock: ManualClock, gateway: Gateway, shop: Shop) -> None:
    """Then the notification is answered 503; two deliveries of one order are written down once."""
    journal = FaultyJournal()
    journal.fault = hanging
    async with gateway.session(journal=journal) as omipay:
        deliveries = [
            await begin(clock, omipay.receive_notification(notification(clock), shop.handle)) for _ in range(2)
        ]
        await clock.advance(4.9)
        assert not any(delivery.done() for delivery in deliveries)
        await clock.advance(0.1)
        for delivery in deliveries:
            reply = await outcome(delivery)
            check_answer(reply, 503)
            assert "did not answer in time" in str(reply.error)


async def test_a_journal_that_fails_after_its_caller_was_cancelled_is_not_reported(
    clock: ManualClock, gateway: Gateway, shop: Shop
) -> None:
    """Nobody asks any more whether the confirmation was written down, so asyncio has nothing to complain about."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    journal = FaultyJournal()
    journal.fault = hanging
    async with gateway.session(journal=journal) as omipay:
        asking = await begin(clock, omipay.fulfil("TR1", shop.handle))
        asking.cancel()
        await clock.advance(5)
        assert asking.cancelled()
        del asking
        gc.collect()  # asyncio reports what nobody has retrieved when it is collected
    assert complaints == []


@pytest.mark.parametrize(
    "use",
    [
        lambda omipay, handler: omipay.fulfil("TR1", handler),
        lambda omipay, handler: omipay.settle("TR1", handler, first_wait=0),
    ],
    ids=["fulfil", "settle"],
)
async def test_a_session_that_is_closed_while_a_confirmation_is_written_down_names_the_order(
    clock: ManualClock, gateway: Gateway, shop: Shop, use: Callable[[AsyncOmipay, Any], Coroutine[Any, Any, Any]]
) -> None:
    """The handler does not begin; whether it has run in another process is not known."""
    journal, written = FaultyJournal(), asyncio.Event()
    journal.fault = written.wait
    omipay = gateway.session(journal=journal)
    fulfilling = await begin(clock, use(omipay, shop.handle))
    closing = await begin(clock, omipay.aclose())
    written.set()
    error = await outcome(fulfilling)
    assert isinstance(error, SessionClosed)
    assert (error.order_no, error.outcome) == ("TR1", Outcome.UNKNOWN)
    assert await outcome(closing) is None
    assert shop.fulfilled == []


# -- notes ------------------------------------------------------------------------------------------------------------


class NotingJournal(FaultyJournal):
    """A journal that keeps notes, too, as the books do. ``note_fault`` is what its two methods do first."""

    def __init__(self) -> None:
        super().__init__()
        self.note_fault: Callable[[], Any] | None = None
        self.notes: dict[str, str] = {}
        self.written = 0

    async def note(self, key: str, text: str) -> None:
        """Remember it, or fail."""
        if self.note_fault is not None:
            await self.note_fault()
        self.written += 1
        self.notes[key] = text

    async def noted(self, key: str) -> str | None:
        """What is remembered, or a failure."""
        if self.note_fault is not None:
            await self.note_fault()
        return self.notes.get(key)


class NotingBooks(NotingJournal, MemoryBackend):
    """A journal and a backend at once."""

    def __init__(self) -> None:
        NotingJournal.__init__(self)
        MemoryBackend.__init__(self)


async def test_a_wait_finds_what_another_process_has_confirmed_in_the_journal(
    clock: ManualClock, gateway: Gateway
) -> None:
    """The processes share the journal and not the backend: an earlier order is found at once, a later one soon."""
    journal = NotingJournal()
    async with gateway.session(journal=journal) as receiver, gateway.session(journal=journal) as till:
        waiting = await begin(clock, till.wait_for_notification("T1-000231", timeout=60))
        assert (await receiver.receive_notification(notification(clock), mock.AsyncMock())).status == 200
        await clock.advance(5)
        assert (await outcome(waiting)).order_no == "TR1"
        assert (await till.wait_for_notification("T1-000231")).is_paid
        assert journal.written == 1


async def test_books_that_are_backend_and_journal_get_one_note(clock: ManualClock, gateway: Gateway) -> None:
    """The second note would be written to the same row again."""
    books = NotingBooks()
    async with gateway.session(journal=books, backend=books) as omipay:
        await omipay.receive_notification(notification(clock), mock.AsyncMock())
    assert books.written == 1


@pytest.mark.parametrize(
    ("fault", "why"),
    [(full, "the disk is full"), (gone, "no backend"), (broken, "the journal raised KeyError")],
)
async def test_a_journal_without_its_notes_costs_only_the_note(
    clock: ManualClock, gateway: Gateway, caplog: pytest.LogCaptureFixture, fault: Callable[[], Any], why: str
) -> None:
    """The order is fulfilled, this process knows of it, and a wait for another one goes on until its time is up."""
    journal = NotingJournal()
    journal.note_fault = fault
    async with gateway.session(journal=journal) as omipay:
        assert (await omipay.receive_notification(notification(clock), mock.AsyncMock())).status == 200
        assert (await omipay.wait_for_notification("T1-000231")).is_paid
        waiting = await begin(clock, omipay.wait_for_notification("T2", timeout=10))
        await clock.advance(10)
        error = await outcome(waiting)
    assert isinstance(error, PollTimeout)
    assert error.last_error is not None
    assert (
        "order TR1: wait_for_notification of other processes does not learn of it from the journal: " + why
        in caplog.text
    )
