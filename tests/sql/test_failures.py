"""A database that is down, stalled, full, locked or lost is a clear error in time; later everything works again."""

from __future__ import annotations

import asyncio
import pickle
import time
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from omipay_async.clock import SystemClock
from omipay_async.errors import BackendError, JournalError
from omipay_async.fulfilment.backends import Claim
from omipay_async.fulfilment.guard import OnceGuard
from omipay_async.sql import Books, engines, tasks
from tests.support.entries import DONE, M, entry, execute, held_connection, order

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncConnection

    from omipay_async import Order
    from tests.support.postgres_server import PostgresServer

KEY = f"{M}:TR1"


def questions(books: Books) -> dict[str, tuple[Any, type[Exception]]]:
    """Every method of the books, and the error that it raises when the database does not answer."""
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


async def assert_all_fail(books: Books) -> None:
    """Each method raises its own error in time. The errors pickle, and show no password."""
    for name, (ask, kind) in questions(books).items():
        began = time.monotonic()
        with pytest.raises(kind) as caught:
            await ask()
        assert time.monotonic() - began < 3.5, name  # less than the shortest time limit
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
        assert "hunter2" not in str(caught.value)


async def test_a_database_that_is_down_is_an_error_at_once(postgres: Books, fragile: PostgresServer) -> None:
    """Every method raises it. When the database is back, the next call succeeds."""
    assert await postgres.claim(KEY, "me") is Claim.MINE
    fragile.stop()
    await assert_all_fail(postgres)
    fragile.start()
    assert await postgres.claim(KEY, "you") is Claim.BUSY


async def test_a_connection_that_the_server_is_closing_is_replaced(books: Books) -> None:
    """asyncpg refuses it with an error that SQLAlchemy 2.0 lets through. Each try gets a connection of its own."""
    refusal = asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress")
    used: list[AsyncConnection] = []

    async def ask(connection: AsyncConnection) -> str:
        used.append(connection)
        if len(used) < 3:
            raise refusal
        return "done"

    assert await books._database.write(ask, BackendError) == "done"
    assert len(set(map(id, used))) == 3

    async def refused(connection: AsyncConnection) -> None:
        raise refusal

    with pytest.raises(BackendError, match="InternalClientError: cannot switch to state 15"):
        await books._database.read(refused, BackendError)

    async def handler(order: Order, connection: AsyncConnection) -> None:
        raise refusal

    with pytest.raises(BackendError, match="order TR1: the connection was lost while its handler ran"):
        await OnceGuard(books, SystemClock(), M).run(order("TR1"), books.transactional(handler), wait_timeout=1)


async def test_a_database_that_does_not_exist_is_an_error(tmp_path: Any) -> None:
    """The address is wrong, or the folder does not exist."""
    async with Books("postgresql://shop:hunter2@127.0.0.1:1/omipay") as books:
        await assert_all_fail(books)
    async with Books(f"sqlite:///{tmp_path}/nowhere/omipay.db") as books:
        await assert_all_fail(books)


async def test_a_database_that_stalls_is_an_error_in_time(
    postgres: Books, fragile: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time limit is five seconds, here less; for ``opening`` it is that of the call."""
    assert await postgres.claim(KEY, "me") is Claim.MINE
    monkeypatch.setattr(tasks, "ANSWER_S", 0.2)
    from omipay_async.sql import books as books_module

    monkeypatch.setattr(books_module, "_CREATION_S", 0.2)
    fragile.freeze()
    await assert_all_fail(postgres)
    fragile.thaw()
    monkeypatch.setattr(tasks, "ANSWER_S", 60.0)
    assert await postgres.claim(KEY, "you") in {Claim.BUSY, Claim.DONE}


async def test_a_database_that_stalls_does_not_hold_up_the_end_of_the_books(
    fragile: PostgresServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each connection is closed in the end, without asking the server, also if the event loop ends meanwhile."""
    for loop_ends in (False, True):
        monkeypatch.setattr(engines, "_CLOSING_S", 60 if loop_ends else 0.1)
        books = Books(fragile.database())
        await books.create_tables()
        await asyncio.gather(*(books.claim(f"{M}:TR{n}", "me") for n in range(4)))
        drivers = tuple(books._database._drivers)
        fragile.freeze()
        closing = asyncio.create_task(books.aclose())
        await asyncio.sleep(0.2)
        for task in (asyncio.all_tasks() - {asyncio.current_task()}) if loop_ends else ():
            task.cancel()  # as asyncio.run does
        await asyncio.wait([closing], timeout=10)
        assert closing.done()
        assert closing.cancelled() == loop_ends
        assert len(drivers) > 1
        assert all(driver.is_closed() for driver in drivers)
        fragile.thaw()
    # SQLAlchemy 2.0 logs which of them it could not close by itself.
    assert [message for message in caplog.messages if not message.startswith("Exception closing connection")] == []


async def test_connections_that_the_server_closed_are_replaced(postgres: Books) -> None:
    """What was not done is done on a new connection, without an error."""
    await asyncio.gather(*(postgres.claim(f"{M}:TR{n}", "me") for n in range(5)))
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = 'books'"
    async with Books(postgres._database._engine) as second:
        await execute(second, kill)
    claims = await asyncio.gather(*(postgres.claim(f"{M}:TR{n}", "you") for n in range(5)))
    assert claims == [Claim.BUSY] * 5


# -- SQLite -----------------------------------------------------------------------------------------------------------


async def until_full(write: Callable[[str], Any]) -> None:
    for number in range(500):
        await write(f"{number}" + "x" * 5000)


async def test_a_full_disk_is_an_error_until_there_is_room_again(sqlite: Books) -> None:
    """What was written before is still there."""
    await sqlite.opening(entry("before", age=60))

    async def bound(pages: str) -> None:
        async with sqlite._database._engine.connect() as connection:
            await connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    # Only one connection, so that the bound is on the one that is used.
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
    """A short wait is not an error."""
    async with Books(sqlite_url) as other, held_connection(other) as connection:
        await other._database.dialect.begin(connection)
        claiming = asyncio.create_task(sqlite.claim(KEY, "me"))
        await asyncio.sleep(0.3)
        assert not claiming.done()
        await connection.commit()
        assert await claiming is Claim.MINE


async def test_a_writer_that_does_not_end_is_an_error_in_time(
    sqlite: Books, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers do not wait for it, and writing works again when it ends."""
    from omipay_async.sql import books as books_module

    monkeypatch.setattr(tasks, "ANSWER_S", 0.2)
    monkeypatch.setattr(books_module, "_CREATION_S", 0.2)
    async with Books(sqlite_url) as other, held_connection(other) as connection:
        await other._database.dialect.begin(connection)
        asked = questions(sqlite)
        readers = {"unresolved", "waiting", "noted"}
        for name, (ask, kind) in asked.items():
            if name in readers:
                await ask()
                continue
            with pytest.raises(kind, match=r"did not answer|locked"):
                await ask()
        await connection.commit()
    monkeypatch.setattr(tasks, "ANSWER_S", 60.0)
    assert await sqlite.claim(KEY, "me") is Claim.MINE


async def test_a_cancellation_by_a_driver_is_an_error(sqlite: Books) -> None:
    """A driver may raise CancelledError when its connection was lost; the caller was not cancelled."""

    async def give_up(connection: Any) -> None:
        raise asyncio.CancelledError

    with pytest.raises(JournalError, match="lost"):
        await sqlite._database.read(give_up, JournalError)
