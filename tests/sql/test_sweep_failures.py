"""A sweep in which something fails: handlers that it has begun may end, within a limit, and nothing more is begun."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from omipay_async.errors import JournalError, SessionClosed
from omipay_async.sql import Books, SweepReport, sweeping
from tests.support.entries import execute, sold
from tests.support.waiting import until

if TYPE_CHECKING:
    from omipay_async import AsyncOmipay, Order
    from omipay_async.sandbox import Sandbox


class Slow:
    """A handler that takes its time, until ``go`` is set."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.began: list[str] = []
        self.ended: list[str] = []
        self.stopped: list[str] = []

    async def __call__(self, order: Order) -> None:
        """Wait for ``go``."""
        self.began.append(order.order_no)
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.stopped.append(order.order_no)
            raise
        self.ended.append(order.order_no)

    async def all_began(self, count: int) -> None:
        """Return when it was called for so many orders."""
        await until(lambda: len(self.began) >= count)


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
async def numbers(sandbox: Sandbox, omipay: AsyncOmipay, books: Books) -> list[str]:
    """Two orders, which are paid and due."""
    numbers = await sold(omipay, books, 2)
    for number in numbers:
        await sandbox.customer.pays(number)
    return numbers


async def test_handlers_may_end_when_the_session_is_closed(
    omipay: AsyncOmipay, books: Books, numbers: list[str], slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question about another order ends the sweep with SessionClosed, after the handlers that run have ended."""
    fulfil = omipay.fulfil

    async def ask_late(taken: Any, handler: Slow) -> Order:
        if taken.order_no == numbers[0]:
            await closed.wait()
        return await fulfil(taken, handler)

    closed = asyncio.Event()
    monkeypatch.setattr(omipay, "fulfil", ask_late)
    sweep = asyncio.create_task(books.sweep(omipay, slow))
    await slow.all_began(1)
    closing = asyncio.create_task(omipay.aclose())
    while not omipay.is_closed:
        await asyncio.sleep(0)
    closed.set()
    await asyncio.wait([sweep], timeout=0.1)
    assert not sweep.done()
    slow.go.set()
    with pytest.raises(SessionClosed):
        await sweep
    await closing
    assert (slow.ended, slow.stopped) == ([numbers[1]], [])


@pytest.mark.parametrize("hangs", [False, True], ids=["ends", "hangs"])
async def test_handlers_may_end_when_the_books_fail(
    omipay: AsyncOmipay,
    books: Books,
    numbers: list[str],
    slow: Slow,
    monkeypatch: pytest.MonkeyPatch,
    *,
    hangs: bool,
) -> None:
    """The handler of another order is not cancelled, unless it hangs. The error is raised in the end."""
    monkeypatch.setattr(sweeping, "_LONG_S", 0.2 if hangs else 60)
    fulfil = omipay.fulfil

    async def fail_later(taken: Any, handler: Slow) -> Order:
        if taken.order_no == numbers[0]:
            await slow.all_began(1)
            raise ValueError(taken.order_no)
        return await fulfil(taken, handler)

    async def fail(*_: object, **__: object) -> None:
        raise JournalError("the database is lost")

    monkeypatch.setattr(omipay, "fulfil", fail_later)
    monkeypatch.setattr(books._due_orders, "postpone", fail)
    sweep = asyncio.create_task(books.sweep(omipay, slow))
    await slow.all_began(1)
    if not hangs:
        await asyncio.wait([sweep], timeout=0.1)
        assert not sweep.done()
        slow.go.set()
    with pytest.raises(JournalError, match="the database is lost"):
        await sweep
    assert (slow.ended, slow.stopped) == (([], [numbers[1]]) if hangs else ([numbers[1]], []))


async def test_books_that_do_not_answer_are_asked_once(
    omipay: AsyncOmipay, books: Books, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep ends with the first failure, so that it takes no longer than one request that is not answered."""
    requests = []

    async def take(*_: object, **__: object) -> None:
        requests.append(asyncio.current_task())
        await asyncio.sleep(0)
        raise JournalError("the database did not answer within 5 seconds")

    monkeypatch.setattr(books._due_orders, "take", take)
    with pytest.raises(JournalError, match="did not answer"):
        await books.sweep(omipay, slow)
    assert len(requests) == 1


@pytest.mark.parametrize(
    ("differs", "action", "has_handler"),
    [
        ("out_order_no = 'T8'", "pays", True),
        ("currency = 'CNY'", "pays", True),
        ("amount = 451", "pays", False),
        ("out_order_no = 'T8'", "declines", True),
    ],
)
async def test_an_answer_about_another_sale_is_not_accepted(
    sandbox: Sandbox,
    omipay: AsyncOmipay,
    books: Books,
    handler: Any,
    caplog: pytest.LogCaptureFixture,
    *,
    differs: str,
    action: str,
    has_handler: bool,
) -> None:
    """A proxy may mix up two answers: the order is neither fulfilled nor given up, and the sweep asks again."""
    (number,) = await sold(omipay, books)
    await execute(books, f"UPDATE omipay_order SET {differs}")
    await getattr(sandbox.customer, action)(number)
    assert await books.sweep(omipay, handler if has_handler else None) == SweepReport(errors=1)
    assert f"order {number}: the answer is about another sale, its {differs.split(maxsplit=1)[0]} is" in caplog.text
    assert await execute(books, "SELECT status, paid_at, done_at, closed_at FROM omipay_order") == [(None,) * 4]
    assert [waiting.order_no for waiting in await books.waiting()] == [number]


@pytest.mark.parametrize("stored", ["T\N{REPLACEMENT CHARACTER}", None])
async def test_what_is_not_known_does_not_make_another_sale(
    sandbox: Sandbox, omipay: AsyncOmipay, books: Books, handler: Any, fulfilled: list[str], *, stored: str | None
) -> None:
    """The number contained NUL, which was replaced; or a call about an order that others made had only an amount."""
    (number,) = await sold(omipay, books)
    await execute(books, "UPDATE omipay_order SET out_order_no = :stored, amount = 1", stored=stored)
    await sandbox.customer.pays(number)
    assert await books.sweep(omipay, handler) == SweepReport(fulfilled=1)
    assert fulfilled == [number]


async def test_a_person_may_fulfil_an_order_whose_answers_are_not_accepted(
    sandbox: Sandbox, omipay: AsyncOmipay, books: Books, handler: Any, fulfilled: list[str]
) -> None:
    """By its number alone, which says nothing of the sale. Then sweeps have nothing more to ask about it."""
    (number,) = await sold(omipay, books)
    await execute(books, "UPDATE omipay_order SET out_order_no = 'T8'")
    await sandbox.customer.pays(number)
    assert (await books.sweep(omipay, handler)).errors == 1
    assert (await omipay.fulfil(number, handler)).is_paid
    assert fulfilled == [number]
    assert await books.waiting() == []
