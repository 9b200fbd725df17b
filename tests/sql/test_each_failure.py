"""The database fails once, at each statement and commit of a sale: nothing is lost, and nothing happens twice."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from omipay_async.errors import JournalError, NotSent
from omipay_async.sandbox import PaymentCode
from tests.support.entries import execute, make_due
from tests.support.failing_database import POSTGRES_FAILURES, SQLITE_FAILURES, FailingDatabase, without_durability
from tests.support.shop_effects import create_outbox, ship

if TYPE_CHECKING:
    from collections.abc import Iterable

    from omipay_async.sandbox import Sandbox
    from omipay_async.sql import Books

MOST_PLACES = 200


@pytest.fixture
async def books(books: Books) -> Books:
    """Books in the same database as a shop's own table."""
    await without_durability(books)
    await create_outbox(books)
    return books


BOTH = [
    *(("sqlite", failure) for failure in SQLITE_FAILURES),
    *(("postgres", failure) for failure in POSTGRES_FAILURES),
]


async def charge(sandbox: Sandbox, books: Books, number: str) -> None:
    """Charge; if the entry cannot be written, nothing is sent."""
    async with sandbox.session(journal=books, backend=books) as omipay:
        try:
            await omipay.make_scan_order(
                order_name="Tea",
                amount=450,
                currency="AUD",
                out_order_no=number,
                qrcode=PaymentCode.PAID,
                pos_no="till-1",
            )
        except NotSent:
            assert sandbox.ledger.received(number) == 0


async def notify(sandbox: Sandbox, books: Books, order_no: str) -> bool:
    """Deliver a notification, and return whether it was answered SUCCESS."""
    async with sandbox.session(journal=books, backend=books) as omipay:
        body = sandbox.notification(order_no)
        return (await omipay.receive_notification(body, books.transactional(ship))).status == 200


async def sweep(sandbox: Sandbox, books: Books) -> bool:
    """Sweep, and return whether that fulfilled the order."""
    async with sandbox.session(journal=books, backend=books) as omipay:
        with contextlib.suppress(JournalError):
            return (await books.sweep(omipay, books.transactional(ship))).fulfilled == 1
        return False


async def effects_of(books: Books, order_no: str) -> int:
    rows = await execute(books, "SELECT count(*) FROM outbox WHERE order_no = :number", number=order_no)
    return int(rows[0][0])


async def entry_of(books: Books, number: str) -> Any:
    rows = await execute(books, "SELECT outcome, order_no FROM omipay_call WHERE out_order_no = :number", number=number)
    return rows[0] if rows else None


def orders_of(sandbox: Sandbox, number: str) -> Iterable[str]:
    return [order.order_no for order in sandbox.ledger.orders.values() if order.out_order_no == number]


@pytest.mark.parametrize(("url", "failure"), BOTH, indirect=["url"])
async def test_a_charge_is_never_lost_sight_of(sandbox: Sandbox, books: Books, url: str, failure: str) -> None:
    """The entry of an order that was made is open or is DONE and has its number; that of any other is not DONE."""
    for place in range(MOST_PLACES):
        failing = FailingDatabase(books, failure, place)
        with failing.installed():
            await charge(sandbox, books, f"T{place}")
        made, entry = orders_of(sandbox, f"T{place}"), await entry_of(books, f"T{place}")
        if made:
            assert tuple(entry) in {("DONE", *made), ("UNKNOWN", None), (None, None)}, failing.statement
        else:
            assert entry is None or entry.outcome != "DONE", failing.statement
        if not failing.statement:
            break
    assert 2 < place < MOST_PLACES


async def pay_and_fail(sandbox: Sandbox, books: Books, failure: str, fulfil: Any) -> None:
    """Let the database fail once at each place while an order is fulfilled, then fulfil it again: one effect."""
    for place in range(MOST_PLACES):
        await charge(sandbox, books, f"T{place}")
        (order_no,) = orders_of(sandbox, f"T{place}")
        await make_due(books)
        failing = FailingDatabase(books, failure, place)
        with failing.installed():
            reported = await fulfil(order_no)
        effects = await effects_of(books, order_no)
        assert effects == 1 if reported else effects <= 1, failing.statement
        await execute(books, "UPDATE omipay_order SET owner = NULL")  # as if the lease were over
        await make_due(books)
        assert await fulfil(order_no) or effects, failing.statement
        assert await effects_of(books, order_no) == 1, failing.statement
        assert await books.waiting() == [], failing.statement
        if not failing.statement:
            break
    assert 5 < place < MOST_PLACES


@pytest.mark.parametrize(("url", "failure"), BOTH, indirect=["url"])
async def test_a_notification_is_answered_success_only_after_the_effect(
    sandbox: Sandbox, books: Books, url: str, failure: str
) -> None:
    """If the effect is missing, the next delivery makes it; it never happens twice."""
    await pay_and_fail(sandbox, books, failure, lambda order_no: notify(sandbox, books, order_no))


@pytest.mark.parametrize(("url", "failure"), [BOTH[1], BOTH[3]], indirect=["url"])
async def test_a_sweep_counts_as_fulfilled_only_what_has_its_effect(
    sandbox: Sandbox, books: Books, url: str, failure: str, caplog: pytest.LogCaptureFixture
) -> None:
    """If the effect is missing, the next sweep makes it; it never happens twice. The log does not blame the handler."""
    await pay_and_fail(sandbox, books, failure, lambda _: sweep(sandbox, books))
    assert caplog.text.count("the handler raised") <= 1  # when its own statement failed
