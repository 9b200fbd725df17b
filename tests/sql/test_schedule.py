"""When a sweep asks about an order, by the order's age."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import create_async_engine

from omipay_async.clock import SystemClock
from omipay_async.errors import JournalError
from omipay_async.fulfilment.backends import Claim
from omipay_async.sql import Books
from omipay_async.sql.database import Database
from omipay_async.sql.due_orders import next_attempt, next_question
from tests.support.entries import engine_url

if TYPE_CHECKING:
    from omipay_async import AsyncOmipay, Order
    from omipay_async.sandbox import Sandbox


@pytest.mark.parametrize(("age", "due"), [(0, 10), (3, 10), (5, 10), (10, 20), (20, 40), (3600, 7200)])
def test_an_order_is_asked_about_at_ten_seconds_and_whenever_its_age_has_doubled(age: float, due: float) -> None:
    """After a question at ``age`` seconds it is due again at ``due`` seconds."""
    assert next_question(timedelta(seconds=age)) == timedelta(seconds=due)


def test_an_unpaid_order_costs_few_questions() -> None:
    """There are some twenty in its first year."""
    age, questions = timedelta(0), 0
    while (age := next_question(age)) < timedelta(days=365):
        questions += 1
    assert questions == 22


@pytest.mark.parametrize(("age", "due"), [(0, 10), (10, 20), (30, 60), (60, 120), (86_400, 86_460)])
def test_after_a_failure_an_order_is_asked_about_within_a_minute(age: float, due: float) -> None:
    """It may be paid and not fulfilled, however old it is."""
    assert next_attempt(timedelta(seconds=age)) == timedelta(seconds=due)


async def test_a_day_has_24_hours_whatever_the_time_zone_of_the_database_is(postgres_url: str) -> None:
    """PostgreSQL's own days have 23 or 25 when the clocks are changed, which is the case somewhere in these months."""
    settings = {"timezone": "Australia/Sydney"}
    engine = create_async_engine(engine_url(postgres_url), connect_args={"server_settings": settings})
    database = Database(engine, SystemClock())
    for days in range(30, 361, 30):
        for plus in (timedelta(days=days), timedelta(days=-days, seconds=1)):
            passed = select(database.dialect.now(plus) - database.dialect.now())
            assert await database.scalar(passed, JournalError) == plus
    await engine.dispose()


class StepClock(SystemClock):
    """A machine's clock that is so many seconds ahead."""

    ahead_s = 0

    def time_ms(self) -> int:
        return super().time_ms() + self.ahead_s * 1000


async def new_order(omipay: AsyncOmipay, number: str) -> str:
    """The number of an order that nobody has paid yet."""
    order = await omipay.make_qr_order(
        order_name="Tea", amount=450, currency="AUD", out_order_no=number, platform="ALIPAY"
    )
    return order.order_no


async def test_what_was_made_before_the_clock_was_set_back_is_asked_about(sqlite_url: str, sandbox: Sandbox) -> None:
    """A worker ran on while NTP set a clock right that was hours ahead; another process had died in its handler."""
    clock, fulfilled = StepClock(), []

    async def handler(order: Order) -> None:
        fulfilled.append(order.out_order_no)

    async with (
        Books(sqlite_url, lease=30, clock=clock) as books,
        sandbox.session(journal=books, backend=books) as omipay,
    ):
        await books.create_tables()
        clock.ahead_s = 3 * 3600
        await books.sweep(omipay, handler)
        made = {}
        for number in ("paid", "claimed", "open"):
            made[number] = await new_order(omipay, number)
        await sandbox.customer.pays(made["paid"])
        await sandbox.customer.pays(made["claimed"])
        assert await books.claim(f"{omipay.m_number}:{made['claimed']}", "a process that died") is Claim.MINE
        clock.ahead_s = 0
        await books.sweep(omipay, handler)
        assert fulfilled == ["paid"]
        clock.ahead_s = 31
        await books.sweep(omipay, handler)
        assert fulfilled == ["paid", "claimed"]
        waiting = await books.waiting()
        assert [order.out_order_no for order in waiting] == ["open"]
        assert waiting[0].due_at - waiting[0].made_at < timedelta(minutes=2)


async def test_a_clock_that_is_behind_at_the_start_delays_no_order(sqlite_url: str, sandbox: Sandbox) -> None:
    """A till whose clock has no battery asks, once NTP has set the clock right, as if it had not been wrong."""
    clock, fulfilled = StepClock(), []

    async def handler(order: Order) -> None:
        fulfilled.append(order.order_no)

    async with Books(sqlite_url) as books, sandbox.session(journal=books) as omipay:
        await books.create_tables()
        number = await new_order(omipay, "A")
    clock.ahead_s = -3 * 365 * 86_400
    async with Books(sqlite_url, clock=clock) as books, sandbox.session(journal=books, backend=books) as omipay:
        await books.sweep(omipay, handler)
        clock.ahead_s = 60
        await books.sweep(omipay, handler)
        await sandbox.customer.pays(number)
        clock.ahead_s = 180
        await books.sweep(omipay, handler)
    assert fulfilled == [number]
