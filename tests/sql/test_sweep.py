"""Sweeps ask about the orders that are due, fulfil each paid one once, and share the work between processes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from omipay_async.errors import BackendError, ConfigurationError, InvalidRequest, JournalError, SessionClosed
from omipay_async.sql import Books, SweepReport
from tests.support.entries import DONE, UNKNOWN, M, entry, execute, make_due, order, sold
from tests.support.shop_effects import create_outbox, ship

if TYPE_CHECKING:
    from omipay_async import AsyncOmipay, Order
    from omipay_async.sandbox import Sandbox


async def test_a_sweep_fulfils_what_is_paid_and_waits_for_the_rest(
    sandbox: Sandbox, omipay: AsyncOmipay, books: Books, handler: Any, fulfilled: list[str]
) -> None:
    """The report counts what became of each."""
    paid, failed, waiting = await sold(omipay, books, 3)
    await sandbox.customer.pays(paid)
    await sandbox.customer.declines(failed)
    await books.closing(entry("T9", outcome=UNKNOWN))
    await books.closing(entry("T9", m_number="999", outcome=UNKNOWN))
    report = await books.sweep(omipay, handler)
    assert report == SweepReport(1, 1, 1, 0, 1)
    assert fulfilled == [paid]
    assert [(left.order_no, left.out_order_no) for left in await books.waiting()] == [(waiting, "T2")]
    await make_due(books)
    assert await books.sweep(omipay, handler) == SweepReport(waiting=1, unresolved=1)


async def test_no_order_is_asked_about_before_it_is_due(
    sandbox: Sandbox, omipay: AsyncOmipay, books: Books, handler: Any
) -> None:
    """It is due ten seconds after it was made, and then whenever its age has doubled."""
    await sold(omipay, books)
    await execute(books, "UPDATE omipay_order SET made_at = '2026-01-01 00:00:00.000000'")
    assert (await books.sweep(omipay, handler)).waiting == 1
    (waiting,) = await books.waiting()
    age = datetime.now(UTC) - waiting.made_at
    assert waiting.due_at - waiting.made_at == pytest.approx(2 * age, abs=timedelta(seconds=20))
    assert (await books.sweep(omipay, handler)) == SweepReport()
    assert sum(call.endpoint == "QueryOrder" for call in sandbox.ledger.calls) == 1


async def test_an_order_of_today_is_due_when_its_age_has_doubled(
    omipay: AsyncOmipay, books: Books, handler: Any
) -> None:
    """One that was asked about at an age of some seconds is due at ten."""
    await sold(omipay, books)
    await books.sweep(omipay, handler)
    (waiting,) = await books.waiting()
    assert 9.9 < (waiting.due_at - waiting.made_at).total_seconds() < 12


async def test_sweeps_of_several_processes_share_the_work(
    sandbox: Sandbox, omipay: AsyncOmipay, books: Books, other: Books
) -> None:
    """Three sweeps over two engines ask about each of twenty orders once, and make twenty effects."""
    await create_outbox(books)
    for number in await sold(omipay, books, 20):
        await sandbox.customer.pays(number)

    async with sandbox.session(backend=other) as second:
        reports = list(
            await asyncio.gather(
                books.sweep(omipay, books.transactional(ship)),
                books.sweep(omipay, books.transactional(ship)),
                other.sweep(second, other.transactional(ship)),
            )
        )
        while await books.waiting():  # on a busy machine SQLite's writers may have waited too long
            await make_due(books)
            reports.append(await books.sweep(omipay, books.transactional(ship)))
    assert sum(report.fulfilled for report in reports) == 20
    rows = await execute(books, "SELECT order_no FROM outbox")
    assert len(rows) == len(set(rows)) == 20
    errors = sum(report.errors for report in reports)
    assert sum(call.endpoint == "QueryOrder" for call in sandbox.ledger.calls) <= 20 + errors


async def test_a_sweep_without_handler_marks_and_the_next_one_fulfils(
    sandbox: Sandbox, omipay: AsyncOmipay, books: Books, handler: Any, fulfilled: list[str]
) -> None:
    """The command line sweeps without a handler; the orders that it finds paid are due at once."""
    (number,) = await sold(omipay, books)
    await sandbox.customer.pays(number)
    assert await books.sweep(omipay, None) == SweepReport(waiting=1)
    assert [waiting.status for waiting in await books.waiting()] == ["PAID"]
    assert await books.sweep(omipay, None) == SweepReport()
    assert await books.sweep(omipay, handler) == SweepReport(fulfilled=1)
    assert fulfilled == [number]


async def test_an_order_that_was_paid_at_the_till_is_fulfilled_too(
    sandbox: Sandbox, omipay: AsyncOmipay, books: Books, handler: Any, fulfilled: list[str]
) -> None:
    """The reply of a scan order says PAID; if the till dies after it, a sweep fulfils the order."""
    (number,) = await sold(omipay, books)
    await sandbox.customer.pays(number)
    await execute(books, "UPDATE omipay_order SET status = 'PAID'")
    assert (await books.sweep(omipay, handler)).fulfilled == 1
    assert fulfilled == [number]


async def test_a_handler_that_raises_is_run_again_soon(
    sandbox: Sandbox, omipay: AsyncOmipay, books: Books, handler: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It runs within a minute, its traceback is logged, and the other orders do not wait for it."""
    for number in await sold(omipay, books, 2):
        await sandbox.customer.pays(number)
    calls = 0

    async def fail_once(order: Order) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ValueError("out of stock")

    report = await books.sweep(omipay, fail_once)
    assert (report.fulfilled, report.errors) == (1, 1)
    assert "out of stock" in caplog.text
    (waiting,) = await books.waiting()
    record = caplog.records[-1]
    assert (record.levelname, bool(record.exc_info)) == ("ERROR", True)
    assert waiting.order_no in record.getMessage()
    assert waiting.order_no == record.__dict__["omipay_order_no"]
    assert (waiting.due_at - waiting.made_at).total_seconds() < 61
    await make_due(books)
    assert (await books.sweep(omipay, fail_once)).fulfilled == 1


async def test_a_gateway_without_answer_is_counted(
    sandbox: Sandbox, omipay: AsyncOmipay, books: Books, handler: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It counts as an error, as an unknown order does, and the sweep goes on."""
    await books.closing(entry("T8", outcome=DONE, order_no="NOBODYS"))
    await sold(omipay, books, 2)
    report = await books.sweep(omipay, handler)
    assert (report.waiting, report.errors) == (2, 1)
    assert "NOBODYS" in caplog.text
    assert caplog.records[-1].__dict__["omipay_order_no"] == "NOBODYS"


@pytest.mark.parametrize("number", ["TR\n1", " ", "T" * 5000])
async def test_an_order_that_cannot_be_asked_about_does_not_delay_others(
    sandbox: Sandbox, omipay: AsyncOmipay, books: Books, handler: Any, number: str
) -> None:
    """Its number came from the gateway and cannot be sent: it is counted, and the sweep goes on."""
    await books.closing(entry("T8", outcome=DONE, order_no=number))
    (paid,) = await sold(omipay, books)
    await sandbox.customer.pays(paid)
    report = await books.sweep(omipay, handler)
    assert (report.fulfilled, report.errors) == (1, 1)
    assert [waiting.order_no for waiting in await books.waiting()] == [number]


@pytest.mark.parametrize(
    ("raised", "level"),
    [
        (InvalidRequest("no"), "ERROR"),
        (JournalError("no"), "ERROR"),
        (ConfigurationError("no"), "ERROR"),
        (SessionClosed(), "WARNING"),
        (BackendError("no"), "WARNING"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_handler_that_raises_one_of_our_errors_does_not_end_the_sweep(
    sandbox: Sandbox,
    omipay: AsyncOmipay,
    books: Books,
    caplog: pytest.LogCaptureFixture,
    *,
    raised: Exception,
    level: str,
) -> None:
    """The error is about that order only, such as a refund with a wrong amount, which is logged with its traceback."""

    async def fail_for_the_first(order: Order) -> None:
        if order.out_order_no == "T0":
            raise raised

    for number in await sold(omipay, books, 2):
        await sandbox.customer.pays(number)
    report = await books.sweep(omipay, fail_for_the_first)
    assert (report.fulfilled, report.errors) == (1, 1)
    assert [waiting.out_order_no for waiting in await books.waiting()] == ["T0"]
    record = caplog.records[-1]
    assert (record.levelname, bool(record.exc_info)) == (level, level == "ERROR")


async def test_a_sweep_asks_about_no_more_than_its_limit(omipay: AsyncOmipay, books: Books, handler: Any) -> None:
    """The orders that have been due for the longest time come first; the rest wait for the next sweep."""
    await sold(omipay, books, 11)
    assert (await books.sweep(omipay, handler, limit=9)).waiting == 9
    assert (await books.sweep(omipay, handler)).waiting == 2


async def test_the_order_that_is_longest_due_is_asked_about_first(
    sandbox: Sandbox, omipay: AsyncOmipay, books: Books, handler: Any, fulfilled: list[str]
) -> None:
    """So no order is left out for ever by sweeps with a limit."""
    numbers = await sold(omipay, books, 3)
    for year, number in zip((2012, 2010, 2011), numbers, strict=True):
        await sandbox.customer.pays(number)
        due = f"{year}-01-01 00:00:00.000000"
        await execute(books, f"UPDATE omipay_order SET due_at = '{due}' WHERE order_no = '{number}'")
    for _ in numbers:
        await books.sweep(omipay, handler, limit=1)
    assert fulfilled == [numbers[1], numbers[2], numbers[0]]


async def test_a_session_that_is_closed_in_the_middle_ends_the_sweep(
    sandbox: Sandbox, omipay: AsyncOmipay, books: Books
) -> None:
    """The orders that were not asked about are due at once for the next sweep."""
    numbers = await sold(omipay, books, 20)
    for number in numbers:
        await sandbox.customer.pays(number)
    closing: list[asyncio.Task[None]] = []

    async def close(order: Order) -> None:
        closing.append(asyncio.create_task(omipay.aclose()))
        while not omipay.is_closed:
            await asyncio.sleep(0)

    with pytest.raises(SessionClosed):
        await books.sweep(omipay, close)
    await asyncio.wait(closing)
    fulfilled = await execute(books, "SELECT key FROM omipay_order WHERE done_at IS NOT NULL")
    assert len(await books._due_orders.take(M, 20, paid_too=True)) + len(fulfilled) == 20


async def test_an_order_that_is_being_fulfilled_is_left_out(
    sandbox: Sandbox, omipay: AsyncOmipay, books: Books, handler: Any
) -> None:
    """Its owner's lease holds; when that has ended, a sweep asks about the order."""
    (number,) = await sold(omipay, books)
    await sandbox.customer.pays(number)
    await books.claim(f"{M}:{number}", "a receiver")
    assert await books.sweep(omipay, handler) == SweepReport()
    await books.release(f"{M}:{number}", "a receiver")
    assert (await books.sweep(omipay, handler)).fulfilled == 1


async def test_a_cancelled_sweep_cancels_its_handlers_and_frees_its_orders(
    sandbox: Sandbox, omipay: AsyncOmipay, books: Books, handler: Any, fulfilled: list[str]
) -> None:
    """The next sweep takes them at once."""
    for number in await sold(omipay, books, 12):
        await sandbox.customer.pays(number)
    inside, ended = asyncio.Event(), []

    async def hang(order: Order) -> None:
        inside.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(order.order_no)

    sweeping = asyncio.create_task(books.sweep(omipay, hang))
    await inside.wait()
    sweeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sweeping
    assert ended
    assert (await books.sweep(omipay, handler)).fulfilled == 12
    assert len(fulfilled) == 12


async def test_with_another_backend_the_sweep_records_success_itself(
    sandbox: Sandbox, books: Books, handler: Any, fulfilled: list[str]
) -> None:
    """If the books are only the journal, a fulfilled order is not asked about for ever."""
    async with sandbox.session() as omipay:
        (number,) = await sold(omipay, books)
        await sandbox.customer.pays(number)
        assert (await books.sweep(omipay, handler)).fulfilled == 1
        assert await books.waiting() == []


async def test_a_closed_session_ends_a_sweep(omipay: AsyncOmipay, books: Books, handler: Any) -> None:
    """Its orders are due for the next sweep."""
    await sold(omipay, books, 3)
    await omipay.aclose()
    with pytest.raises(SessionClosed):
        await books.sweep(omipay, handler)
    assert len(await books._due_orders.take(M, 9, paid_too=True)) == 3


@pytest.mark.parametrize(
    ("arguments", "parameter"),
    [
        ({"handler": "fulfil"}, "handler"),
        ({"limit": 0}, "limit"),
        ({"limit": True}, "limit"),
        ({"limit": 1.5}, "limit"),
        ({"every": 0}, "every"),
        ({"every": "5"}, "every"),
        ({"handler": None, "every": 1}, "handler"),
        ({"handler": divmod}, "handler"),
        ({"handler": divmod, "every": 1}, "handler"),
    ],
    ids=str,
)
async def test_wrong_arguments_are_named(
    omipay: AsyncOmipay, books: Books, handler: Any, arguments: dict[str, Any], parameter: str
) -> None:
    """The error comes before any question."""
    sweep: Any = books.run if "every" in arguments else books.sweep
    with pytest.raises(InvalidRequest, match=parameter) as caught:
        await sweep(omipay, **{"handler": handler, **arguments})
    assert caught.value.outcome is None


async def test_a_sweep_without_tables_is_a_clear_error(
    sandbox: Sandbox, omipay: AsyncOmipay, books: Books, handler: Any
) -> None:
    """The gateway is not asked, and the error says what is missing."""
    await execute(books, "DROP TABLE omipay_order")
    with pytest.raises(JournalError, match="create_tables"):
        await books.sweep(omipay, handler)
    with pytest.raises(InvalidRequest, match="limit"):
        await books.waiting(limit=0)


async def test_waiting_orders_can_be_listed_for_one_merchant(omipay: AsyncOmipay, books: Books) -> None:
    """The orders of other merchants are left out."""
    await sold(omipay, books)
    await books.closing(entry("T5", m_number="999", outcome=DONE, order_no="TR5"))
    assert len(await books.waiting()) == 2
    assert [order.order_no for order in await books.waiting(m_number="999")] == ["TR5"]


async def test_a_cancelled_sweep_ends_although_the_books_were_lost(
    sandbox: Sandbox, omipay: AsyncOmipay, books: Books, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged that its orders are due again in a minute."""
    (number,) = await sold(omipay, books)
    await sandbox.customer.pays(number)
    inside = asyncio.Event()

    async def hang(order: Order) -> None:
        inside.set()
        await asyncio.Event().wait()

    sweeping = asyncio.create_task(books.sweep(omipay, hang))
    await inside.wait()
    await execute(books, "ALTER TABLE omipay_order RENAME TO elsewhere")
    sweeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sweeping
    assert "due again in a minute" in caplog.text


async def test_an_answer_that_is_older_than_the_payment_does_not_postpone_it(
    sandbox: Sandbox, omipay: AsyncOmipay, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notification confirms the order while a sweep still waits for READY: it stays paid, and is due soon."""
    await sold(omipay, books)
    await execute(books, "UPDATE omipay_order SET made_at = '2020-01-01 00:00:00.000000'")
    query = omipay.query_order

    async def late(order_no: str) -> Order:
        ready = await query(order_no)
        await sandbox.customer.pays(order_no)
        await books.confirmed(M, await query(order_no))
        return ready

    monkeypatch.setattr(omipay, "query_order", late)
    await books.sweep(omipay, None)
    (waiting,) = await books.waiting()
    assert waiting.status == "PAID"
    assert waiting.due_at - datetime.now(UTC) < timedelta(minutes=1)


async def test_a_payment_that_the_gateway_takes_back_stays_listed_and_is_asked_about_ever_less_often(
    omipay: AsyncOmipay, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person has to look into it: it may be a mistake, or the money went back."""
    await books.confirmed(M, order())
    await execute(books, "UPDATE omipay_order SET made_at = '2020-01-01 00:00:00.000000'")

    async def cancelled(*_: Any) -> Order:
        return order(status="CANCELLED")

    monkeypatch.setattr(omipay, "fulfil", cancelled)
    for _ in range(2):
        await make_due(books)
        assert (await books.sweep(omipay, books.transactional(ship))).failed == 1
    (waiting,) = await books.waiting()
    assert waiting.status == "PAID"
    assert waiting.due_at - datetime.now(UTC) > timedelta(days=365)
