"""Sessions with books: what is written about charges and refunds, what resolves them, and a database that is down."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from omipay_async.errors import BackendError, JournalError, NotSent, OutcomeUnknown
from omipay_async.sandbox import Fault, PaymentCode, Sandbox
from omipay_async.sql import Books
from tests.support.entries import execute, make_due

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from omipay_async import AsyncOmipay, Order
    from tests.support.postgres_server import PostgresServer

SALE: dict[str, Any] = {"order_name": "Tea", "amount": 450, "currency": "AUD"}


@pytest.fixture
async def omipay(sandbox: Sandbox, books: Books) -> AsyncIterator[AsyncOmipay]:
    async with sandbox.session(journal=books, backend=books) as omipay:
        yield omipay


async def scan(omipay: AsyncOmipay, code: str = PaymentCode.PAID, number: str = "T1") -> Any:
    return await omipay.make_scan_order(**SALE, out_order_no=number, qrcode=code, pos_no="till-1")


async def calls(books: Books) -> list[tuple[Any, ...]]:
    columns = "endpoint, out_order_no, out_refund_no, order_no, refund_no, amount, currency, outcome, status, error"
    return [tuple(row) for row in await execute(books, f"SELECT {columns} FROM omipay_call ORDER BY started_at")]


async def test_charges_and_refunds_are_written_down(omipay: AsyncOmipay, books: Books) -> None:
    """The entries have the gateway's answers; the order waits until it is fulfilled."""
    made = await scan(omipay)
    receipt = await omipay.refund(order_no=made.order_no, out_refund_no="R1", amount=200)
    with pytest.raises(Exception, match="NOT_ENOUGH"):
        await scan(omipay, PaymentCode.NOT_ENOUGH, "T2")
    scanned, refunded, declined = await calls(books)
    assert scanned[:8] == ("MakeScanOrder", "T1", None, made.order_no, None, 450, "AUD", "DONE")
    assert scanned[8] == "PAID"
    assert (refunded[0], refunded[2:5], refunded[7]) == ("Refund", ("R1", made.order_no, receipt.refund_no), "DONE")
    assert (declined[1], declined[7], declined[9]) == ("T2", "NOT_DONE", "PaymentDeclined")
    assert [order.order_no for order in await books.waiting()] == [made.order_no]
    assert await books.unresolved() == []


async def test_a_lost_charge_is_unresolved_until_its_notification(
    sandbox: Sandbox, omipay: AsyncOmipay, books: Books
) -> None:
    """The customer was charged and the reply was lost: the books list the call, and the notification resolves it."""
    sandbox.faults.add(Fault.DROP_REPLY, times=1)
    with pytest.raises(OutcomeUnknown):
        await scan(omipay)
    (lost,) = await books.unresolved()
    assert (lost.out_order_no, lost.error) == ("T1", "OutcomeUnknown")
    (order_no,) = sandbox.ledger.orders
    shipped: list[str | None] = []

    async def ship(order: Order) -> None:
        shipped.append(order.out_order_no)

    reply = await omipay.receive_notification(sandbox.notification(order_no), ship)
    assert reply.status == 200
    assert await books.unresolved() == []
    assert shipped == ["T1"]
    assert (await calls(books))[0][3] == order_no
    await make_due(books)
    assert await books.waiting() == []


@pytest.mark.parametrize("roles", [("journal", "backend"), ("journal",), ("backend",)], ids="+".join)
async def test_a_till_in_one_process_learns_of_a_notification_in_another(
    sandbox: Sandbox, books: Books, other: Books, roles: tuple[str, ...]
) -> None:
    """``wait_for_notification`` finds it in the shared books, before and after the notification came."""

    async def ship(order: Order) -> None: ...

    own: dict[str, Any] = dict.fromkeys(roles, books)
    others: dict[str, Any] = dict.fromkeys(roles, other)
    async with sandbox.session(**own) as till, sandbox.session(**others) as receiver:
        sandbox.faults.add(Fault.DROP_REPLY, times=1)
        with pytest.raises(OutcomeUnknown):
            await scan(till)
        (order_no,) = sandbox.ledger.orders
        waiting = asyncio.create_task(till.wait_for_notification("T1", timeout=20))
        await asyncio.sleep(0.3)
        reply = await receiver.receive_notification(sandbox.notification(order_no), ship)
        assert reply.status == 200
        assert (await waiting).order_no == order_no
        assert (await till.wait_for_notification("T1", timeout=5)).order_no == order_no


async def test_a_confirmed_order_whose_handler_failed_is_fulfilled_by_a_sweep(
    sandbox: Sandbox, omipay: AsyncOmipay, books: Books
) -> None:
    """The books know the order, so it does not depend on three notifications."""
    made = await scan(omipay)

    async def fail(order: Order) -> None:
        raise ValueError(order.order_no)

    reply = await omipay.receive_notification(sandbox.notification(made.order_no), fail)
    assert reply.status == 500
    shipped: list[str] = []

    async def ship(order: Order) -> None:
        shipped.append(order.order_no)

    await make_due(books)
    assert (await books.sweep(omipay, ship)).fulfilled == 1
    assert shipped == [made.order_no]


async def test_without_its_books_a_session_moves_no_money_and_runs_no_handler(
    sandbox: Sandbox, fragile: PostgresServer
) -> None:
    """Charges are not sent and notifications are answered 503; reads work, and everything works with a new database."""
    ran: list[str] = []

    async def ship(order: Order) -> None:
        ran.append(order.order_no)

    async with Books(fragile.database()) as books, sandbox.session(journal=books, backend=books) as omipay:
        await books.create_tables()
        made = await scan(omipay)
        fragile.stop()
        with pytest.raises(NotSent) as caught:
            await scan(omipay, number="T2")
        assert isinstance(caught.value.__cause__, JournalError)
        assert sandbox.ledger.received("T2") == 0
        reply = await omipay.receive_notification(sandbox.notification(made.order_no), ship)
        assert reply.status == 503
        with pytest.raises((BackendError, JournalError)):
            await omipay.fulfil(made.order_no, ship)
        assert (await omipay.query_order(made.order_no)).is_paid
        assert ran == []
        fragile.start()
        assert (await omipay.receive_notification(sandbox.notification(made.order_no), ship)).status == 200
        assert ran == [made.order_no]


async def test_books_that_are_lost_before_the_closing_leave_the_entry_open(
    sandbox: Sandbox, fragile: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The call's own result stands, an ERROR is logged, and the entry stays open, which is true.

    It has no error, by which a person tells it from a call whose reply was lost: the customer may have paid.
    """

    class Losing(Books):
        async def opening(self, entry: Any) -> None:
            await super().opening(entry)
            fragile.stop()

    async with Losing(fragile.database()) as books, sandbox.session(journal=books, timeout=5) as omipay:
        await books.create_tables()
        assert (await scan(omipay)).is_paid
        assert "stays open" in caplog.text
        fragile.start()
        assert [(entry.outcome, entry.error) for entry in await books.unresolved(in_flight=True)] == [(None, None)]
