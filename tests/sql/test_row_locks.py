"""What another process's open transaction has locked in PostgreSQL: whoever needs it gets an error in time."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from sqlalchemy import text

from omipay_async.errors import BackendError, InvalidRequest, JournalError
from omipay_async.fulfilment.backends import Claim
from omipay_async.sql import Books, effects, tasks
from tests.support.entries import (
    DONE,
    NOT_DONE,
    UNKNOWN,
    M,
    entry,
    execute,
    held_connection,
    order,
    sold,
    until_blocked,
)
from tests.support.shop_effects import create_outbox, effects as shipped, run, ship

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sqlalchemy.ext.asyncio import AsyncConnection

    from omipay_async import AsyncOmipay
    from omipay_async.journal import JournalEntry
    from omipay_async.models import Order
    from omipay_async.sandbox import Sandbox


@pytest.fixture
async def books(postgres_url: str) -> AsyncIterator[Books]:
    async with Books(postgres_url) as books:
        await books.create_tables()
        await create_outbox(books)
        yield books


@pytest.fixture
async def other(postgres_url: str, books: Books) -> AsyncIterator[Books]:
    async with Books(postgres_url) as other:
        yield other


class StandsStill:
    """A handler of another process, which goes on when it is told to. Meanwhile its claim is lost, but not its lock."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._inside, self.go = asyncio.Event(), asyncio.Event()

    async def _handler(self, order: Order, connection: AsyncConnection) -> None:
        await ship(order, connection)
        self._inside.set()
        await self.go.wait()

    async def begin(self) -> asyncio.Task[bool]:
        """Run the handler until it stands still."""
        task = asyncio.create_task(run(self._books, self._books.transactional(self._handler)))
        await self._inside.wait()
        await execute(self._books, "UPDATE omipay_order SET lease_until = '2020-01-01'")
        return task


async def test_a_handler_does_not_wait_for_ever_for_a_process_that_stands_still(
    books: Books, other: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says why. Other orders go on, the order's lock is kept, and the effect happens once in the end."""
    monkeypatch.setattr(effects, "_LOCK_S", 0.2)
    stopped = StandsStill(other)
    first = await stopped.begin()
    for _ in range(2):
        began = time.monotonic()
        with pytest.raises(BackendError, match=r"^order TR1: .* has not ended its transaction"):
            await run(books, books.transactional(ship), wait_timeout=0.1)
        assert 0.2 <= time.monotonic() - began < 4
    assert await shipped(books) == 0
    stopped.go.set()
    await asyncio.gather(first, return_exceptions=True)
    assert await run(books, books.transactional(ship)) is False
    assert await shipped(books) == 1


async def test_a_notification_of_such_an_order_is_answered_503(
    books: Books, other: Books, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the gateway delivers again. The notification of another order is fulfilled meanwhile."""
    monkeypatch.setattr(effects, "_LOCK_S", 0.2)
    handler = books.transactional(ship)
    stopped = StandsStill(other)
    async with sandbox.session(backend=books, journal=books) as omipay:
        numbers = await sold(omipay, books, 2)
        for number in numbers:
            await sandbox.customer.pays(number)
        monkeypatch.setattr("tests.support.shop_effects.ORDER", await omipay.query_order(numbers[0]))
        first = await stopped.begin()
        reply = await omipay.receive_notification(sandbox.notification(numbers[0]), handler, timeout=1)
        assert (reply.status, type(reply.error)) == (503, BackendError)
        assert (await omipay.receive_notification(sandbox.notification(numbers[1]), handler)).ran
        stopped.go.set()
        await asyncio.gather(first, return_exceptions=True)
        assert (await omipay.receive_notification(sandbox.notification(numbers[0]), handler)).status == 200
    assert await shipped(books) == 2


async def test_a_handler_of_another_process_that_keeps_its_claim_is_still_running(books: Books, other: Books) -> None:
    """However long it takes: whoever waits for it is told so, and is not told that it stands still."""
    stopped = StandsStill(other)
    first = await stopped.begin()
    await execute(books, "UPDATE omipay_order SET lease_until = '2100-01-01'")
    with pytest.raises(Exception, match="another process holds the claim") as waited:
        await run(books, books.transactional(ship), wait_timeout=0.1)
    assert type(waited.value).__name__ == "StillRunning"
    stopped.go.set()
    assert await first is True


STEPS: dict[str, Callable[[Books, JournalEntry], Any]] = {
    "claim": lambda books, _: books.claim(f"{M}:TR1", "me"),
    "renew": lambda books, _: books.renew(f"{M}:TR1", "me"),
    "finish": lambda books, _: books.finish(f"{M}:TR1", "me"),
    "release": lambda books, _: books.release(f"{M}:TR1", "you"),
    "note": lambda books, _: books.note(f"{M}:TR1", "{}"),
    "confirmed": lambda books, _: books.confirmed(M, order()),
    "closing": lambda books, call: books.closing(attrs.evolve(call, outcome=DONE, order_no="TR1")),
    "resolve": lambda books, call: books.resolve(call, DONE),
    "prune": lambda books, _: books.prune(0),
}


@pytest.mark.parametrize("step", STEPS)
async def test_what_needs_a_locked_row_is_an_error_in_time(
    books: Books, other: Books, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """And it has not happened. Money calls and other orders go on."""
    call = entry(outcome=UNKNOWN)
    await books.closing(call)
    await books.confirmed(M, order("TR1", "T9"))
    await books.claim(f"{M}:TR1", "you")
    await execute(books, "UPDATE omipay_order SET closed_at = '2020-01-01'")
    async with held_connection(other) as holding:
        for table in ("omipay_call", "omipay_order"):
            await holding.execute(text(f"SELECT 1 FROM {table} FOR UPDATE"))
        monkeypatch.setattr(tasks, "ANSWER_S", 0.3)
        began = time.monotonic()
        with pytest.raises((BackendError, JournalError), match=r"did not answer within 0\.3 seconds"):
            await STEPS[step](books, call)
        assert time.monotonic() - began < 4
        monkeypatch.setattr(tasks, "ANSWER_S", 60.0)
        await books.opening(entry("T2"))
        assert await books.claim(f"{M}:TR2", "me") is Claim.MINE
    assert await books.claim(f"{M}:TR1", "you") is Claim.MINE


async def test_a_person_does_not_overwrite_what_another_process_is_writing(books: Books, other: Books) -> None:
    """A notification that is being confirmed meanwhile counts: the call stays DONE, and the person is told so."""
    call = entry(outcome=UNKNOWN)
    await books.closing(call)
    async with held_connection(other) as holding:
        await other._entries.observe(holding, M, order(), datetime.now(UTC))
        person = asyncio.create_task(books.resolve(call, NOT_DONE))
        await until_blocked(holding)
        await holding.commit()
    with pytest.raises(InvalidRequest, match="a reply of the gateway has already decided"):
        await person
    assert await execute(books, "SELECT outcome, order_no FROM omipay_call") == [("DONE", "TR1")]


async def test_one_locked_row_does_not_stop_a_sweep(
    books: Books, other: Books, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its order is counted as an error, and the other orders are fulfilled."""
    async with sandbox.session() as omipay:
        numbers = await sold(omipay, books, 3)
        for number in numbers:
            await sandbox.customer.pays(number)
        lock = text("SELECT 1 FROM omipay_order WHERE order_no = :number FOR UPDATE")
        async with held_connection(other) as holding:
            monkeypatch.setattr(omipay, "fulfil", _locking(omipay, holding, lock, numbers[0]))
            monkeypatch.setattr(tasks, "ANSWER_S", 1.0)
            report = await books.sweep(omipay, _accept)
        assert (report.fulfilled, report.errors) == (2, 1)
        assert [waiting.order_no for waiting in await books.waiting()] == numbers[:1]


async def test_a_sweep_passes_over_rows_that_another_process_has_locked(
    books: Books, other: Books, sandbox: Sandbox
) -> None:
    """It takes the others at once, so that several processes share the work."""
    async with sandbox.session() as omipay:
        numbers = await sold(omipay, books, 3)
        async with held_connection(other) as holding:
            lock = text("SELECT 1 FROM omipay_order WHERE order_no = :number FOR UPDATE")
            await holding.execute(lock, {"number": numbers[0]})
            report = await books.sweep(omipay, _accept)
        assert (report.waiting, report.errors) == (2, 0)


async def _accept(_: Order) -> None: ...


def _locking(omipay: AsyncOmipay, holding: AsyncConnection, lock: Any, locked: str) -> Any:
    """``fulfil``, after which another process holds the row of one order."""
    fulfil = omipay.fulfil

    async def fulfil_and_lock(taken: Any, handler: Any) -> Order:
        done = await fulfil(taken, handler)
        if done.order_no == locked:
            await holding.execute(lock, {"number": locked})
        return done

    return fulfil_and_lock
