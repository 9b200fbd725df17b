"""Workers: ``books.run`` sweeps until it is cancelled or its session is closed."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from typing import TYPE_CHECKING, Any

import pytest

from omipay_async.errors import BackendError, ConfigurationError, SessionClosed
from omipay_async.sql import Books, SweepReport, sweeping
from tests.support.entries import DONE, entry, make_due, sold
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from omipay_async import AsyncOmipay, Order
    from omipay_async.sandbox import Sandbox


async def test_run_sweeps_until_it_is_cancelled(
    sandbox: Sandbox, omipay: AsyncOmipay, books: Books, fulfilled: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Cancelling it ends the worker."""
    handler = Hanging(fulfilled)
    running = asyncio.create_task(books.run(omipay, handler, every=0.02))
    (number,) = await sold(omipay, books)
    await sandbox.customer.pays(number)
    await make_due_until(lambda: fulfilled, books)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert fulfilled == [number]
    assert "hang" not in caplog.text


@pytest.mark.parametrize("every", [0.01, 0.1])
async def test_a_worker_waits_between_sweeps(
    omipay: AsyncOmipay, books: Books, monkeypatch: pytest.MonkeyPatch, every: float
) -> None:
    """The pause is ``every`` seconds at least, so the database is not read without end."""
    began: list[float] = []

    async def sweep(*_: object) -> SweepReport:
        began.append(time.monotonic())
        if len(began) == 3:
            raise SessionClosed
        return SweepReport()

    monkeypatch.setattr(books._sweeping, "sweep", sweep)
    with pytest.raises(SessionClosed):
        await books.run(omipay, lambda order: asyncio.sleep(0), every=every)
    assert all(later - earlier >= 0.9 * every for earlier, later in itertools.pairwise(began))


async def test_run_goes_on_after_a_failure_of_the_database_and_ends_with_its_session(
    sandbox: Sandbox, sqlite_url: str, handler: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The failure is logged, and the next sweep tries again; a closed session ends it."""
    async with Books(sqlite_url) as books, sandbox.session(backend=books) as omipay:
        running = asyncio.create_task(books.run(omipay, handler, every=0.01))
        await until(lambda: "create_tables" in caplog.text)
        assert {record.levelno for record in caplog.records} == {logging.WARNING}
        await books.create_tables()
        await sold(omipay, books)
        await omipay.aclose()
        await make_due(books)
        with pytest.raises(SessionClosed):
            await running


async def test_a_sweep_that_failed_is_logged_once(
    omipay: AsyncOmipay, books: Books, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The sweeps after it have nothing to do with it."""
    began: list[str] = []

    async def sweep(*_: object) -> SweepReport:
        began.append("a sweep")
        if len(began) == 1:
            raise BackendError("the database is away")
        if len(began) == 5:
            raise SessionClosed
        return SweepReport()

    monkeypatch.setattr(books._sweeping, "sweep", sweep)
    with pytest.raises(SessionClosed):
        await books.run(omipay, lambda order: asyncio.sleep(0), every=0.001)
    assert caplog.messages == ["the sweep could not be finished: the database is away"]


async def test_a_worker_with_nothing_to_do_ends_with_its_session(
    omipay: AsyncOmipay, books: Books, handler: Any
) -> None:
    """A closed session ends it although no order is due."""
    running = asyncio.create_task(books.run(omipay, handler, every=0.01))
    while not running.done() and not books._database.tasks.under_way:  # it has begun
        await asyncio.sleep(0)
    await omipay.aclose()
    async with asyncio.timeout(60):
        with pytest.raises(SessionClosed):
            await running
    with pytest.raises(SessionClosed):
        await books.sweep(omipay, None)


class Hanging:
    """A handler that never ends for some orders."""

    def __init__(self, fulfilled: list[str]) -> None:
        self.hangs_for: set[str] = set()
        self.began: list[str] = []
        self.stopped: list[str] = []
        self.fulfilled = fulfilled

    async def __call__(self, order: Order) -> None:
        """Fulfil the order, or hang."""
        self.began.append(order.order_no)
        if order.order_no in self.hangs_for:
            try:
                await asyncio.Event().wait()
            finally:
                self.stopped.append(order.order_no)
        self.fulfilled.append(order.order_no)


async def paid(sandbox: Sandbox, omipay: AsyncOmipay, books: Books, count: int = 1) -> list[str]:
    """Orders that are paid and due."""
    numbers = await sold(omipay, books, count)
    for number in numbers:
        await sandbox.customer.pays(number)
    return numbers


def asked_about(sandbox: Sandbox, number: str) -> int:
    """How often the gateway was asked about an order."""
    return sum(call.endpoint == "QueryOrder" and call.fields["order_no"] == number for call in sandbox.ledger.calls)


async def make_due_until(condition: Callable[[], object], books: Books) -> None:
    """Let every order be due, again and again, until ``condition()`` holds."""
    async with asyncio.timeout(60):
        while not condition():
            await make_due(books)
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("shared", [True, False], ids=["books as backend", "another backend"])
async def test_a_handler_that_hangs_does_not_delay_other_orders(
    sandbox: Sandbox, books: Books, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, shared: bool
) -> None:
    """The worker goes on and logs the order, and does not run its handler again. Stopping the worker cancels it."""
    monkeypatch.setattr(sweeping, "_LONG_S", 1)  # the sweep must have begun the handler by then, on a busy machine too
    fulfilled: list[str] = []
    hanging = Hanging(fulfilled)
    async with sandbox.session(backend=books if shared else None) as omipay:
        await books.closing(entry(m_number="999", outcome=DONE, order_no="ANOTHER-MERCHANTS"))
        await make_due(books)
        await books._due_orders.take("999", 1, paid_too=True)
        (stuck,) = await paid(sandbox, omipay, books)
        hanging.hangs_for.add(stuck)
        running = asyncio.create_task(books.run(omipay, hanging, every=0.01))
        await make_due_until(lambda: hanging.began, books)
        others = await paid(sandbox, omipay, books, 3)
        await make_due_until(lambda: len(fulfilled) == 3, books)
        await make_due_until(
            lambda: any(stuck in line and "does a handler hang" in line for line in caplog.messages), books
        )
        assert asked_about(sandbox, stuck) == 1
        assert sorted(fulfilled) == sorted(others)
        assert hanging.began.count(stuck) == 1
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert hanging.stopped == [stuck]
        hanging.hangs_for.clear()
        await make_due(books)
        await books.sweep(omipay, hanging)
        assert sorted(fulfilled) == sorted([stuck, *others])


async def test_handlers_that_hang_one_after_another_do_not_end_the_work(
    sandbox: Sandbox, omipay: AsyncOmipay, books: Books, fulfilled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker runs for weeks, and now and then a handler hangs for good."""
    monkeypatch.setattr(sweeping, "_LONG_S", 0.02)
    began: list[str] = []

    async def handle(order: Order) -> None:
        began.append(order.order_no)
        if len(began) <= 10:
            await asyncio.Event().wait()
        fulfilled.append(order.order_no)

    running = asyncio.create_task(books.run(omipay, handle, every=0.01))
    made: list[str] = []
    while len(made) <= 10:
        made.extend(await paid(sandbox, omipay, books))
        await make_due_until(lambda: len(began) == len(made), books)
    await make_due_until(lambda: fulfilled == began[10:], books)
    running.cancel()
    await asyncio.wait((running,))


async def test_a_worker_whose_handlers_all_hang_does_not_grow(
    sandbox: Sandbox,
    omipay: AsyncOmipay,
    books: Books,
    fulfilled: list[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It waits until one of them ends, says so again and again, and then goes on."""
    monkeypatch.setattr(sweeping, "_LONG_S", 0.05)
    monkeypatch.setattr(sweeping, "_MOST_SWEEPS", 2)
    hanging, go = Hanging(fulfilled), asyncio.Event()

    async def handle(order: Order) -> None:
        if order.order_no in first:
            await go.wait()
        await hanging(order)

    def warnings() -> int:
        waits = "no more begin until one of them has ended; orders that are worked on now: "
        return sum(waits in line for line in caplog.messages)

    first = await paid(sandbox, omipay, books, 2)
    hanging.hangs_for.update(first[1:])
    with monkeypatch.context() as patch:
        patch.setattr(sweeping, "_WORKERS", 1)
        running = asyncio.create_task(books.run(omipay, handle, every=0.01))
        await make_due_until(lambda: warnings() > 0, books)
        (third,) = await paid(sandbox, omipay, books)
        before = warnings()
        await make_due_until(lambda: warnings() > before + 1, books)
        assert fulfilled == []
        go.set()
        await make_due_until(lambda: third in fulfilled, books)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert sorted(fulfilled) == sorted([first[0], third])


def test_a_worker_in_a_second_event_loop_ends(sqlite_url: str, sandbox: Sandbox) -> None:
    """Its books can never be used there, so it must not go on for ever."""
    books = Books(sqlite_url)

    async def create() -> None:
        async with books:
            await books.create_tables()

    async def work() -> None:
        async with sandbox.session() as omipay:
            await books.run(omipay, lambda order: asyncio.sleep(0))

    asyncio.run(create())
    with pytest.raises(ConfigurationError, match="event loop"):
        asyncio.run(work())
