"""Transactional handlers: in the books' database the effect happens once, whatever happens to processes and leases."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from omipay_async.clock import SystemClock
from omipay_async.errors import InvalidRequest, JournalError
from omipay_async.fulfilment.guard import OnceGuard
from omipay_async.sql import Books
from omipay_async.sql.effects import lock_number
from omipay_async.testing import ManualClock
from tests.support.entries import M, entry, execute, order
from tests.support.shop_effects import ORDER, create_outbox, effects, run, ship, ship_and_fail
from tests.support.untyped import untyped

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from omipay_async.models import Order


@pytest.fixture
async def books(books: Books) -> Books:
    """Books in the same database as a shop's own table."""
    await create_outbox(books)
    return books


async def test_an_effect_and_its_record_are_committed_together(books: Books, other: Books) -> None:
    """Once it has happened it never happens again, in whichever session and process."""
    assert await run(books, books.transactional(ship)) is True
    assert await run(other, other.transactional(ship)) is False
    assert await effects(books) == 1


async def test_a_handler_that_raises_leaves_nothing_behind(books: Books) -> None:
    """Its statements are rolled back, and the next delivery runs it again."""

    with pytest.raises(ValueError, match="TR1"):
        await run(books, books.transactional(ship_and_fail))
    assert await effects(books) == 0
    assert await run(books, books.transactional(ship)) is True
    assert await effects(books) == 1


async def test_a_handler_that_forgets_to_await_its_statements_leaves_nothing_behind(books: Books) -> None:
    """The order is not recorded as fulfilled, and the right handler still runs."""

    async def forgets(order: Order, connection: AsyncConnection) -> object:
        return ship(order, connection)

    with pytest.raises(InvalidRequest, match="nobody has awaited"):
        await run(books, books.transactional(forgets))
    assert await run(books, books.transactional(ship)) is True
    assert await effects(books) == 1


async def test_the_databases_own_errors_reach_the_caller(books: Books) -> None:
    """If a unique key exists already, the handler has failed, and not the books."""
    await execute(books, "CREATE TABLE sale (number TEXT PRIMARY KEY)")

    async def twice(order: Order, connection: AsyncConnection) -> None:
        for _ in range(2):
            await connection.execute(text("INSERT INTO sale (number) VALUES ('T1')"))

    with pytest.raises(IntegrityError):
        await run(books, books.transactional(twice))
    assert await execute(books, "SELECT * FROM sale") == []


async def test_the_record_of_a_process_that_died_after_its_commit_is_found(books: Books, other: Books) -> None:
    """It was killed before the once-guard recorded the success: the next run does nothing and reports the success."""
    ended = asyncio.Event()

    class Killed(Books):
        async def finish(self, key: str, owner: str) -> bool:
            ended.set()
            await asyncio.Event().wait()
            return False

    books.__class__ = Killed
    dying = asyncio.create_task(run(books, books.transactional(ship)))
    await ended.wait()
    assert await run(other, other.transactional(ship)) is False
    assert await effects(books) == 1
    dying.cancel()
    await asyncio.wait([dying])


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
async def test_the_second_of_two_owners_waits_for_the_first_and_finds_its_record(
    url: str, books: Books, other: Books
) -> None:
    """A lease was lost while a handler blocked: the effect does not depend on leases."""
    inside, go = asyncio.Event(), asyncio.Event()

    async def slow(order: Order, connection: AsyncConnection) -> None:
        await ship(order, connection)
        inside.set()
        await go.wait()

    async def quick(order: Order, connection: AsyncConnection) -> None:
        raise AssertionError

    first = asyncio.create_task(run(books, books.transactional(slow)))
    await inside.wait()
    await execute(other, "UPDATE omipay_order SET lease_until = '2020-01-01', owner = NULL")
    second = asyncio.create_task(run(other, other.transactional(quick)))
    await asyncio.sleep(0.2)
    assert not second.done()
    go.set()
    await asyncio.gather(first, second, return_exceptions=True)
    assert await second is True  # its run found the effect and did nothing
    assert await effects(books) == 1


async def test_a_handler_that_blocks_its_process_over_its_lease_has_its_effect_once(url: str, books: Books) -> None:
    """Another process gets the claim meanwhile, and either finds the effect or makes it."""
    async with Books(url, lease=0.3) as first, Books(url, lease=0.3) as second:

        async def blocking(order: Order, connection: AsyncConnection) -> None:
            await ship(order, connection)
            time.sleep(0.7)  # blocks on purpose

        runs = (run(each, each.transactional(blocking)) for each in (first, second))
        await asyncio.gather(*runs, return_exceptions=True)
        await run(books, books.transactional(ship))
    assert await effects(books) == 1


@pytest.mark.parametrize("caught", [False, True])
@pytest.mark.parametrize("ending", ["commit", "rollback"])
async def test_a_handler_that_ends_the_transaction_itself_has_no_effect(
    books: Books, ending: str, caught: bool
) -> None:
    """Its statements would be committed without the record, and repeated. The error says so."""

    async def wrong(order: Order, connection: AsyncConnection) -> None:
        await ship(order, connection)
        try:
            await getattr(connection, ending)()
        except InvalidRequest:
            if not caught:
                raise

    with pytest.raises(InvalidRequest, match="ended the transaction") as raised:
        await run(books, books.transactional(wrong))
    assert raised.value.outcome is None, "the order is paid: a till must not charge again"
    assert await effects(books) == 0
    assert await run(books, books.transactional(ship)) is True
    assert await effects(books) == 1


@pytest.mark.parametrize("statement", ["COMMIT", "end", "/* a; */ -- b\n; Commit Transaction"])
async def test_a_handler_may_not_execute_a_commit(books: Books, statement: str) -> None:
    """It is refused before it takes effect, or each delivery would commit the handler's statements again."""

    async def wrong(order: Order, connection: AsyncConnection) -> None:
        await ship(order, connection)
        await connection.execute(text(statement))

    with pytest.raises(InvalidRequest, match="ended the transaction"):
        await run(books, books.transactional(wrong))
    assert await effects(books) == 0
    assert await run(books, books.transactional(ship)) is True
    assert await effects(books) == 1


async def test_a_statement_may_begin_with_many_comments(books: Books) -> None:
    """Looking for a commit behind them takes no longer than reading them."""

    async def commented(order: Order, connection: AsyncConnection) -> None:
        await connection.execute(text("/* a */ " * 40 + "SELECT 1"))
        await ship(order, connection)

    assert await run(books, books.transactional(commented)) is True
    assert await effects(books) == 1


async def test_a_handler_may_use_savepoints(books: Books) -> None:
    """It may roll a part of its statements back."""

    async def careful(order: Order, connection: AsyncConnection) -> None:
        await ship(order, connection)
        savepoint = await connection.begin_nested()
        await ship(order, connection)
        await savepoint.rollback()

    assert await run(books, books.transactional(careful)) is True
    assert await effects(books) == 1


async def test_a_handler_that_is_cancelled_has_no_effect(books: Books) -> None:
    """Its statements are rolled back."""
    inside = asyncio.Event()

    async def hang(order: Order, connection: AsyncConnection) -> None:
        await ship(order, connection)
        inside.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(run(books, books.transactional(hang)))
    await inside.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await effects(books) == 0
    assert await run(books, books.transactional(ship)) is True


async def test_a_handler_that_is_slower_than_its_lease_keeps_it(books: Books) -> None:
    """The lease is renewed while it runs; on SQLite nobody can take the claim from the one writer."""
    clock = ManualClock()
    renewals = 0
    idle = True

    class Counting(Books):
        async def renew(self, key: str, owner: str) -> bool:
            nonlocal renewals, idle
            idle = False  # no time passes for as long as the database takes
            renewed = await super().renew(key, owner)
            renewals, idle = renewals + 1, True
            return renewed

    async def slow(order: Order, connection: AsyncConnection) -> None:
        await ship(order, connection)
        while renewals < 4:  # one for each third of the lease, so it would have ended
            clock.advance(100 if idle else 0)
            await asyncio.sleep(0.001)

    books.__class__ = Counting
    books.lease = 3000.0  # so long that slow answers do not matter
    guard = OnceGuard(books, clock, M)
    assert await guard.run(ORDER, books.transactional(slow), wait_timeout=10) is True
    assert await effects(books) == 1


async def test_a_plain_handler_runs_under_the_books_claim(books: Books, other: Books) -> None:
    """Without a transaction the once-guard works as with every backend."""
    ran: list[str] = []

    async def plain(order: Order) -> None:
        ran.append(order.order_no)

    assert await run(books, plain) is True
    assert await run(other, plain) is False
    assert ran == ["TR1"]


async def test_a_transactional_handler_can_only_be_called_by_a_session(books: Books) -> None:
    """It learns the merchant from the session. A handler that cannot be called or awaited is refused, too."""
    with pytest.raises(InvalidRequest, match="session"):
        await books.transactional(ship)(ORDER)
    with pytest.raises(InvalidRequest, match="handler"):
        books.transactional(untyped("ship"))
    with pytest.raises(InvalidRequest, match=r"handler\(order, connection\): too many"):
        books.transactional(untyped(books.transactional(ship)))
    with pytest.raises(InvalidRequest, match="async"):
        await run(books, books.transactional(untyped(lambda order, connection: None)))


async def test_a_transactional_handler_keeps_its_name(books: Books) -> None:
    """Logs and frameworks show it."""
    assert books.transactional(ship).__name__ == "ship"


async def test_on_sqlite_a_money_call_in_a_handler_is_an_error(sqlite_url: str) -> None:
    """It would wait for the one writer, which is the handler itself."""
    async with Books(sqlite_url) as books:
        await books.create_tables()

        async def charging(order: Order, connection: AsyncConnection) -> None:
            await books.opening(entry())

        with pytest.raises(JournalError, match="only writer"):
            await run(books, books.transactional(charging))


async def test_a_task_that_a_handler_has_started_may_charge_once_the_handler_has_ended(sqlite_url: str) -> None:
    """It keeps the context of the handler for as long as it lives."""
    async with Books(sqlite_url) as books:
        await books.create_tables()
        started: list[asyncio.Task[None]] = []
        has_ended = asyncio.Event()

        async def charge() -> None:
            await has_ended.wait()
            await books.opening(entry())

        async def starting(order: Order, connection: AsyncConnection) -> None:
            started.append(asyncio.create_task(charge()))

        await run(books, books.transactional(starting))
        has_ended.set()
        await started[0]
        assert len(await books.unresolved(in_flight=True)) == 1


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
async def test_a_handler_runs_again_after_a_deadlock(url: str, books: Books) -> None:
    """PostgreSQL rolled one of two transactions back: it did nothing, so it is repeated."""
    await execute(books, "CREATE TABLE stock (item TEXT PRIMARY KEY, pieces INT)")
    await execute(books, "INSERT INTO stock VALUES ('a', 9), ('b', 9)")
    met = asyncio.Barrier(2)
    calls = 0

    def taking(*items: str) -> Any:
        async def handler(order: Order, connection: AsyncConnection) -> None:
            nonlocal calls
            calls += 1
            first, second = items
            take = text("UPDATE stock SET pieces = pieces - 1 WHERE item = :item")
            await connection.execute(take, {"item": first})
            if calls <= 2:
                await met.wait()
            await connection.execute(take, {"item": second})

        return books.transactional(handler)

    guard = OnceGuard(books, SystemClock(), M)
    await asyncio.gather(
        guard.run(order("TR1"), taking("a", "b"), wait_timeout=20),
        guard.run(order("TR2"), taking("b", "a"), wait_timeout=20),
    )
    assert calls >= 3  # on a busy machine they may deadlock again
    assert await execute(books, "SELECT pieces FROM stock") == [(7,), (7,)]


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
async def test_a_handler_is_not_repeated_for_ever(url: str, books: Books) -> None:
    """After some serialization failures it has failed, and the next delivery runs it again."""
    calls = 0

    async def unlucky(order: Order, connection: AsyncConnection) -> None:
        nonlocal calls
        calls += 1
        await connection.execute(text("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$"))

    with pytest.raises(Exception, match="no"):
        await run(books, books.transactional(unlucky))
    assert calls == 5


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
async def test_a_handler_runs_again_after_a_commit_that_was_rolled_back(url: str, books: Books) -> None:
    """Nothing was committed, neither the effect nor its record, so both are made again."""
    for statement in (
        "CREATE SEQUENCE commits",
        (
            "CREATE FUNCTION refuse_the_first() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "IF nextval('commits') = 1 THEN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END IF; RETURN NULL; END $$"
        ),
        (
            "CREATE CONSTRAINT TRIGGER refusing AFTER INSERT ON outbox DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION refuse_the_first()"
        ),
    ):
        await execute(books, statement)
    assert await run(books, books.transactional(ship)) is True
    assert await execute(books, "SELECT last_value FROM commits") == [(2,)]
    assert await effects(books) == 1


def test_every_version_locks_an_order_by_the_same_number() -> None:
    """While a new version is rolled out, its processes and those of the old one must not run a handler at once."""
    assert lock_number((M, "SHOP-1")) == 4449544355031876049
