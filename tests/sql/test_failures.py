"""A database that is down, stalled, full, locked or lost: a clear error in time, and nothing to repair afterwards."""

from __future__ import annotations

import asyncio
import gc
import pickle
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from sqlalchemy import event, text

from omipay_async.clock import SystemClock
from omipay_async.errors import BackendError, JournalError
from omipay_async.fulfilment.backends import Claim
from omipay_async.fulfilment.guard import OnceGuard
from omipay_async.sql import Books, database
from omipay_async.testing import ManualClock
from tests.support.entries import DONE, UNKNOWN, M, entry, execute, order

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from omipay_async.models import Order
    from tests.support.postgres_server import PostgresServer

KEY = f"{M}:TR1"


@pytest.fixture
async def postgres(fragile: PostgresServer) -> AsyncIterator[Books]:
    """Books on a server that the test may end."""
    async with Books(fragile.database()) as books:
        await books.create_tables()
        yield books


def questions(books: Books) -> dict[str, tuple[Any, type[Exception]]]:
    """Everything that the books are asked, and what is raised when they cannot answer."""
    return {
        "opening": (lambda: books.opening(entry(seconds=0.4)), JournalError),
        "closing": (lambda: books.closing(entry(outcome=DONE)), JournalError),
        "confirmed": (lambda: books.confirmed(M, order()), JournalError),
        "unresolved": (books.unresolved, JournalError),
        "resolve": (lambda: books.resolve("x", "DONE"), JournalError),
        "waiting": (books.waiting, JournalError),
        "prune": (lambda: books.prune(0), JournalError),
        "create_tables": (books.create_tables, JournalError),
        "claim": (lambda: books.claim(KEY, "me"), BackendError),
        "renew": (lambda: books.renew(KEY, "me"), BackendError),
        "finish": (lambda: books.finish(KEY, "me"), BackendError),
        "release": (lambda: books.release(KEY, "me"), BackendError),
        "wake": (lambda: books.wake(KEY), BackendError),
        "note": (lambda: books.note(KEY, "text"), BackendError),
        "noted": (lambda: books.noted(KEY), BackendError),
    }


async def assert_all_fail(books: Books, within_s: float) -> None:
    """Each question ends in its own error, which pickles and shows no password, in time."""
    for name, (ask, kind) in questions(books).items():
        began = time.monotonic()
        with pytest.raises(kind) as caught:
            await ask()
        assert time.monotonic() - began < within_s, name
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
        assert "hunter2" not in str(caught.value)


async def test_a_database_that_is_down_is_an_error_at_once(postgres: Books, fragile: PostgresServer) -> None:
    """At every question; and when it is back, the next question is answered without anybody's doing."""
    assert await postgres.claim(KEY, "me") is Claim.MINE
    fragile.stop()
    await assert_all_fail(postgres, 2)
    fragile.start()
    assert await postgres.claim(KEY, "you") is Claim.BUSY


async def test_a_database_that_was_never_there(tmp_path: Any) -> None:
    """A wrong address, and a folder that does not exist."""
    async with Books("postgresql://shop:hunter2@127.0.0.1:1/omipay") as books:
        await assert_all_fail(books, 2)
    async with Books(f"sqlite:///{tmp_path}/nowhere/omipay.db") as books:
        await assert_all_fail(books, 2)


async def test_a_database_that_stalls_is_an_error_in_time(
    postgres: Books, fragile: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After five seconds (here less), ``opening`` after the call's own time; it goes on when the database does."""
    assert await postgres.claim(KEY, "me") is Claim.MINE
    monkeypatch.setattr(database, "ANSWER_S", 0.2)
    from omipay_async.sql import books as books_module

    monkeypatch.setattr(books_module, "_CREATION_S", 0.2)
    fragile.freeze()
    await assert_all_fail(postgres, 1.5)
    fragile.thaw()
    monkeypatch.setattr(database, "ANSWER_S", 5.0)
    assert await postgres.claim(KEY, "you") in {Claim.BUSY, Claim.DONE}


async def test_connections_lost_in_the_middle_are_replaced(postgres: Books) -> None:
    """The server ended them one by one: what had not been done is done over a new one, and nobody notices."""
    await asyncio.gather(*(postgres.claim(f"{M}:TR{n}", "me") for n in range(5)))
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = 'books'"
    async with Books(postgres._database._engine) as second:
        await execute(second, kill)
    claims = await asyncio.gather(*(postgres.claim(f"{M}:TR{n}", "you") for n in range(5)))
    assert claims == [Claim.BUSY] * 5


async def test_a_deadlock_is_repeated(postgres: Books) -> None:
    """PostgreSQL takes one of two transactions back; nothing was done by it, so it is done again."""
    await postgres.claim(f"{M}:A", "me")
    await postgres.claim(f"{M}:B", "me")
    met = asyncio.Barrier(2)
    attempts = 0

    def touching(*keys: str) -> Callable[[Any], Any]:
        async def work(connection: Any) -> None:
            nonlocal attempts
            attempts += 1
            first = attempts <= 2
            for key in keys:
                await connection.execute(text("UPDATE omipay_order SET owner = 'x' WHERE key = :key"), {"key": key})
                if first and key == keys[0]:
                    await met.wait()

        return work

    write = postgres._database.write
    await asyncio.gather(write(touching("a", "b"), BackendError), write(touching("b", "a"), BackendError))
    assert attempts == 3


@pytest.mark.parametrize("first", ["closing", "confirmed"])
async def test_a_reply_and_its_notification_at_the_same_time_do_not_deadlock(postgres: Books, first: str) -> None:
    """Both take the call's row before the order's: PostgreSQL has nothing to take back, which takes it a second."""
    call = entry()
    await postgres.opening(call)
    await postgres.confirmed(M, order("TR1", "T9"))
    steps = {
        "closing": lambda: postgres.closing(attrs.evolve(call, outcome=DONE, order_no="TR1")),
        "confirmed": lambda: postgres.confirmed(M, order()),
    }
    sequence = [first, *(steps.keys() - {first})]
    began = 0
    engine = postgres._database._engine

    @event.listens_for(engine.sync_engine, "begin")
    def count(_: Any) -> None:
        nonlocal began
        began += 1

    async with engine.connect() as holding:
        await holding.execute(text("SELECT key FROM omipay_order FOR UPDATE"))
        waiting = []
        for name in sequence:
            waiting.append(asyncio.create_task(steps[name]()))
            await asyncio.sleep(0.1)  # it waits for the order's row, or for the other
    await asyncio.gather(*waiting)
    assert began == 3  # nothing was repeated


async def test_two_orders_under_one_number_that_are_confirmed_at_the_same_time_resolve_two_calls(
    postgres: Books,
) -> None:
    """Each proves one of two calls that were sent under one number, also if two processes learn of them at once."""
    for _ in range(2):
        await postgres.closing(entry(outcome=UNKNOWN))
    async with postgres._database._engine.connect() as holding:
        await holding.execute(text("SELECT id FROM omipay_call FOR UPDATE"))
        waiting = [asyncio.create_task(postgres.confirmed(M, order(number))) for number in ("TR1", "TR2")]
        await asyncio.sleep(0.2)
    await asyncio.gather(*waiting)
    assert await postgres.unresolved() == []


async def test_what_always_fails_is_not_repeated_for_ever(postgres: Books) -> None:
    """A serialization failure each time is an error in the end."""
    attempts = 0

    async def work(connection: Any) -> None:
        nonlocal attempts
        attempts += 1
        await connection.execute(text("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$"))

    with pytest.raises(JournalError, match="no"):
        await postgres._database.write(work, JournalError)
    assert attempts == 4


async def test_an_hour_of_difference_between_machines_makes_no_difference(postgres_url: str) -> None:
    """Leases, deadlines and schedules are by the database's clock; entries keep their own machine's times."""
    begun = datetime.now(UTC) + timedelta(hours=1)
    async with Books(postgres_url) as right, Books(postgres_url, clock=ManualClock(begun)) as fast:
        await right.create_tables()
        assert await fast.claim(KEY, "fast") is Claim.MINE
        assert await right.claim(KEY, "right") is Claim.BUSY
        live = entry("live", started_at=begun, until=begun + timedelta(seconds=30))
        dead = entry("dead", started_at=begun - timedelta(minutes=2), until=begun - timedelta(minutes=1))
        await fast.opening(live)
        await fast.opening(dead)
        assert await right.unresolved() == [dead]
        await fast.closing(entry("T3", outcome=DONE, order_no="TR3"))
        (waiting,) = await right.waiting()
        assert timedelta(seconds=0) < waiting.due_at - datetime.now(UTC) < timedelta(seconds=11)


# -- SQLite -----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def sqlite(sqlite_url: str) -> AsyncIterator[Books]:
    async with Books(sqlite_url) as books:
        await books.create_tables()
        yield books


async def until_full(write: Callable[[str], Any]) -> None:
    for number in range(500):
        await write(f"{number}" + "x" * 5000)


async def test_a_full_disk_is_an_error_and_room_is_the_cure(sqlite: Books) -> None:
    """What could not be written was not written; what was written before is there."""
    await sqlite.opening(entry("before", age=60))

    async def bound(pages: str) -> None:
        async with sqlite._database._engine.connect() as connection:
            await connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    # One connection of the pool, so that the bound is on the one that is used.
    (count,) = (await execute(sqlite, "PRAGMA page_count"))[0]
    await bound(str(count))
    with pytest.raises(JournalError, match="full"):
        await until_full(lambda long: sqlite.opening(entry(long, age=60)))
    with pytest.raises(BackendError, match="full"):
        await until_full(lambda long: sqlite.claim(f"{M}:{long}", "me"))
    await bound("1073741823")
    await sqlite.opening(entry("after", age=60))
    numbers = {call.out_order_no for call in await sqlite.unresolved()}
    assert {"before", "after"} <= numbers


async def test_a_writer_of_another_process_is_waited_for(sqlite: Books, sqlite_url: str) -> None:
    """A short busy time is nothing to complain of."""
    async with Books(sqlite_url) as other, other._database.connected(BackendError) as connection:
        await other._database.begin(connection)
        claiming = asyncio.create_task(sqlite.claim(KEY, "me"))
        await asyncio.sleep(0.3)
        assert not claiming.done()
        await connection.commit()
        assert await claiming is Claim.MINE


async def test_a_writer_who_does_not_end_is_an_error_in_time(
    sqlite: Books, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers are not held up by it, and everything goes on when it ends."""
    from omipay_async.sql import books as books_module

    monkeypatch.setattr(database, "ANSWER_S", 0.2)
    monkeypatch.setattr(books_module, "_CREATION_S", 0.2)
    async with Books(sqlite_url) as other, other._database.connected(BackendError) as connection:
        await other._database.begin(connection)
        asked = questions(sqlite)
        readers = {"unresolved", "waiting", "noted"}
        for name, (ask, kind) in asked.items():
            if name in readers:
                await ask()
                continue
            with pytest.raises(kind, match=r"did not answer|locked"):
                await ask()
        await connection.commit()
    monkeypatch.setattr(database, "ANSWER_S", 5.0)
    assert await sqlite.claim(KEY, "me") is Claim.MINE


async def test_a_caller_who_is_cancelled_leaves_at_once(sqlite: Books, sqlite_url: str) -> None:
    """Whatever the database does; the connection is given back beside."""
    async with Books(sqlite_url) as other, other._database.connected(BackendError) as connection:
        await other._database.begin(connection)
        asking = asyncio.create_task(sqlite.claim(KEY, "me"))
        await asyncio.sleep(0.1)
        began = time.monotonic()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert time.monotonic() - began < 0.5
        await connection.commit()
    assert await sqlite.claim(KEY, "you") is not None


async def test_a_file_that_is_no_database_is_named(tmp_path: Any) -> None:
    """With SQLite's own words."""
    path = tmp_path / "omipay.db"
    path.write_text("This is not a database. " * 500)
    async with Books(f"sqlite:///{path}") as books:
        with pytest.raises(JournalError, match="not a database"):
            await books.create_tables()


# -- a handler over a failing database ---------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["claim", "renew", "commit", "finish"])
async def test_no_effect_is_lost_or_doubled_when_the_database_goes_down(fragile: PostgresServer, when: str) -> None:
    """At each moment of a run: a BackendError, and after the database is back one effect, never two."""
    url = fragile.database()
    async with Books(url) as books:
        await books.create_tables()
        await execute(books, "CREATE TABLE outbox (order_no TEXT)")
        clock = ManualClock()

        async def ship(order: Order, connection: Any) -> None:
            await connection.execute(text("INSERT INTO outbox VALUES (:number)"), {"number": order.order_no})
            if when in {"commit", "renew"}:
                fragile.stop()
            while when == "renew":  # until the lease is over, and the run is stopped
                clock.advance(1)
                await asyncio.sleep(0.01)

        class Fragile(Books):
            async def finish(self, key: str, owner: str) -> bool:
                if when == "finish":
                    fragile.stop()
                return await super().finish(key, owner)

        books.__class__ = Fragile
        if when == "claim":
            fragile.stop()
        with pytest.raises(BackendError):
            await OnceGuard(books, clock, M).run(order(), books.transactional(ship), wait_timeout=5)
        fragile.start()
        books.__class__ = Books
        when = "never"
        async with Books(url) as other:
            await execute(other, "UPDATE omipay_order SET lease_until = '2020-01-01'")
        await OnceGuard(books, SystemClock(), M).run(order(), books.transactional(ship), wait_timeout=15)
        assert await execute(books, "SELECT order_no FROM outbox") == [("TR1",)]


async def test_connections_that_were_lost_before_a_handler_runs_are_replaced(
    postgres: Books, fragile: PostgresServer
) -> None:
    """Nothing was done over them: the handler runs over a new one, and nobody notices."""
    await execute(postgres, "CREATE TABLE outbox (order_no TEXT)")
    engine = postgres._database._engine
    async with engine.connect(), engine.connect() as second:
        lost = (await second.execute(text("SELECT pg_backend_pid()"))).scalar()
    async with Books(fragile.url("books")) as other:
        await execute(other, "SELECT pg_terminate_backend(:pid)", pid=lost)

    async def ship(order: Order, connection: Any) -> None:
        await connection.execute(text("INSERT INTO outbox VALUES (:number)"), {"number": order.order_no})

    assert await OnceGuard(postgres, SystemClock(), M).run(order(), postgres.transactional(ship), wait_timeout=5)
    assert await execute(postgres, "SELECT order_no FROM outbox") == [("TR1",)]


async def test_callers_who_leave_at_any_moment_take_no_connection_with_them(
    url: str, books: Books, caplog: pytest.LogCaptureFixture
) -> None:
    """Cancelled before, while and after the database answers: every connection is given back, and nothing is logged."""

    async def hang(order: Order, connection: Any) -> None:
        await asyncio.Event().wait()

    def run(number: int) -> Any:
        guard = OnceGuard(books, SystemClock(), M)
        return guard.run(order(f"TR{number}"), books.transactional(hang), wait_timeout=5)

    for number in range(40):
        asking = asyncio.create_task(run(number) if number % 2 else books.claim(f"{M}:C{number}", "me"))
        await asyncio.sleep(number / 4000)
        asking.cancel()
        await asyncio.wait([asking])
    async with asyncio.timeout(10):
        while books._database._asking:
            await asyncio.wait(books._database._asking)
    pool: Any = books._database._engine.pool
    assert pool.checkedout() == 0
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name.startswith(("sqlalchemy", "asyncio"))] == []


async def test_a_caller_who_leaves_during_a_question_of_its_transaction_disturbs_nothing(
    url: str, books: Books, caplog: pytest.LogCaptureFixture
) -> None:
    """The connection is closed after that question has ended. Of two tasks that close it, one would disturb the other.

    asyncpg then breaks off the request that cancels a statement, and asyncio logs an exception that nobody retrieved.
    """

    async def ship(order: Order, connection: Any) -> None: ...

    for number in range(10):
        guard = OnceGuard(books, SystemClock(), M)
        asking = asyncio.create_task(guard.run(order(f"TR{number}"), books.transactional(ship), wait_timeout=5))
        while not (asking.done() or books._database._using):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
    async with asyncio.timeout(10):
        while books._database._asking:
            await asyncio.wait(books._database._asking)
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name.startswith(("sqlalchemy", "asyncio"))] == []


async def test_what_was_given_up_on_sqlite_is_not_written_afterwards(
    sqlite: Books, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its caller has been told that it did not happen."""
    monkeypatch.setattr(database, "ANSWER_S", 0.1)
    async with Books(sqlite_url) as other:
        async with other._database.connected(BackendError) as connection:
            await other._database.begin(connection)
            with pytest.raises(BackendError):
                await sqlite.claim(KEY, "me")
            await connection.commit()
        monkeypatch.setattr(database, "ANSWER_S", 5.0)
        await asyncio.gather(*sqlite._database._asking, return_exceptions=True)
        assert await other.claim(KEY, "you") is Claim.MINE


async def test_the_time_of_sqlite_is_that_of_the_clock_that_the_books_were_given(sqlite_url: str) -> None:
    """Leases and sweeps of books on SQLite can be tested without waiting."""
    clock = ManualClock()
    async with Books(sqlite_url, lease=30, clock=clock) as books:
        await books.create_tables()
        assert await books.claim(KEY, "first") is Claim.MINE
        clock.advance(29.9)
        assert await books.claim(KEY, "second") is Claim.BUSY
        clock.advance(0.2)
        assert await books.claim(KEY, "second") is Claim.MINE


async def test_a_driver_that_gives_up_is_an_error_and_no_cancellation(sqlite: Books) -> None:
    """A connection that went away may show as a cancellation, which is not the caller's."""

    async def give_up(connection: Any) -> None:
        raise asyncio.CancelledError

    with pytest.raises(JournalError, match="lost"):
        await sqlite._database.read(give_up, JournalError)
