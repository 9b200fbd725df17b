"""Wake-ups between processes: by LISTEN on PostgreSQL, and by reading rows on SQLite."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import types
from typing import TYPE_CHECKING, Any

import pytest

from omipay_async.errors import BackendError
from omipay_async.fulfilment import pauses
from omipay_async.sql import Books, listening
from tests.support.entries import execute
from tests.support.untyped import untyped
from tests.support.waiting import until, wake_until_received

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.support.postgres_server import PostgresServer

KEY = "123456:TR1"


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "POLL_S", 0.02)
    monkeypatch.setattr(pauses, "LONGEST_PAUSE_S", 0.05)


async def received(woken: asyncio.Queue[str]) -> str:
    async with asyncio.timeout(60):
        return await woken.get()


async def test_a_wake_up_reaches_every_listener_unchanged(books: Books, other: Books) -> None:
    """That holds for this process and for others, and for the keys of orders and of notes."""
    here, there = asyncio.Queue[str](), asyncio.Queue[str]()
    async with books.listen(here.put_nowait), books.listen(here.put_nowait), other.listen(there.put_nowait):
        for key in (KEY, "123456:out_order_no:T1"):
            await books.wake(key)
            assert [await received(here), await received(here), await received(there)] == [key] * 3


async def test_the_same_key_can_wake_more_than_once(books: Books) -> None:
    """Each wake-up is received."""
    woken = asyncio.Queue[str]()
    async with books.listen(woken.put_nowait):
        for _ in range(3):
            await books.wake(KEY)
            assert await received(woken) == KEY


async def test_what_was_woken_before_is_not_received(books: Books) -> None:
    """A listener receives only what is woken after it was entered."""
    await books.wake("123456:OLD")
    woken = asyncio.Queue[str]()
    async with books.listen(woken.put_nowait):
        await books.wake(KEY)
        assert await received(woken) == KEY


async def test_listening_ends_with_the_last_listener(books: Books) -> None:
    """It does not end before that, and leaves no task behind."""
    woken = asyncio.Queue[str]()
    before = asyncio.all_tasks()
    async with books.listen(woken.put_nowait):
        async with books.listen(woken.put_nowait):
            pass
        await books.wake(KEY)
        assert await received(woken) == KEY
    assert asyncio.all_tasks() == before


async def test_a_callback_that_raises_does_not_end_the_listener(books: Books) -> None:
    """The exception is reported to the event loop, and the next wake-up is received."""
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    woken = asyncio.Queue[str]()

    def on_wake(key: str) -> None:
        woken.put_nowait(key)
        raise ValueError(key)

    async with books.listen(on_wake):
        for number in range(2):
            await books.wake(f"123456:TR{number}")
            assert await received(woken) == f"123456:TR{number}"
    assert len(reported) == 2


async def test_a_listener_goes_on_after_a_restart(fragile: PostgresServer, caplog: pytest.LogCaptureFixture) -> None:
    """There is one warning, and then wake-ups are received again."""
    woken = asyncio.Queue[str]()
    async with Books(fragile.database()) as books, books.listen(woken.put_nowait):
        await wake_until_received(books, KEY, woken)
        fragile.stop()
        await until(lambda: caplog.records)
        await asyncio.sleep(0.2)
        assert [(record.levelno, record.name) for record in caplog.records] == [(logging.WARNING, "omipay_async")]
        fragile.start()
        while not woken.empty():
            woken.get_nowait()
        await wake_until_received(books, KEY, woken)
    assert len(caplog.records) == 1


async def test_a_listener_replaces_a_dead_connection_and_keeps_a_silent_one(
    fragile: PostgresServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection is dead if a statement on it is not answered."""
    from omipay_async.sql import tasks

    monkeypatch.setattr(listening, "HEARTBEAT_S", 0.05)
    woken = asyncio.Queue[str]()
    async with Books(fragile.database()) as books, books.listen(woken.put_nowait):
        await asyncio.sleep(0.3)
        assert not caplog.records
        monkeypatch.setattr(tasks, "ANSWER_S", 0.3)
        await asyncio.sleep(0.1)  # the next statement has this limit
        fragile.freeze()
        await until(lambda: caplog.records)
        fragile.thaw()
        monkeypatch.setattr(tasks, "ANSWER_S", 60.0)
        await wake_until_received(books, KEY, woken)


class LostConnection:
    """A database and its driver. The connection to the server can be lost, and each statement on it fails."""

    def __init__(self) -> None:
        self.dialect = types.SimpleNamespace(is_sqlite=False)
        self.tasks = self.held = self
        self.lose: Callable[[object], object] = lambda _: None

    @contextlib.asynccontextmanager
    async def begun(self, _: object, *, end: object) -> AsyncIterator[tuple[object, LostConnection]]:
        yield self, self

    async def run_on(self, _: object, work: Callable[[object], object]) -> None:
        if work is listening._heartbeat:
            raise BackendError("the connection was lost")

    def check_loop(self) -> None: ...

    def add_termination_listener(self, lose: Callable[[object], object]) -> None:
        self.lose = lose

    def remove_termination_listener(self, _: object) -> None: ...


async def test_listening_ends_also_if_the_connection_is_lost_at_the_same_moment() -> None:
    """The cancellation is not lost, and nobody waits for a task that listens again."""
    database = LostConnection()
    listener = listening.Listening(untyped(database))
    async with asyncio.timeout(60):
        async with listener.listen(print):
            await asyncio.sleep(0)
            database.lose(database)


async def test_a_listener_goes_on_whatever_happened(
    books: Books, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It logs the class of an error that nobody expected, and listens again."""
    name = "_listen_to_postgresql" if "postgresql" in repr(books) else "_poll_sqlite"
    listen, errors = getattr(books._listening, name), [RuntimeError("hunter2")]

    async def fail_once(*arguments: Any) -> None:
        if errors:
            raise errors.pop()
        await listen(*arguments)

    monkeypatch.setattr(books._listening, name, fail_once)
    woken = asyncio.Queue[str]()
    async with books.listen(woken.put_nowait):
        await wake_until_received(books, KEY, woken)
    assert [record.message for record in caplog.records] == [
        "wake-ups from other processes are missed: a request to the database failed: RuntimeError"
    ]


async def test_a_listener_can_be_entered_without_a_database(caplog: pytest.LogCaptureFixture) -> None:
    """A poll does not fail because it cannot be woken."""
    async with Books("postgresql://nobody@127.0.0.1:1/none") as books, books.listen(print):
        pass
    assert "wake-ups" in caplog.text


async def test_after_a_clock_was_put_back_sqlite_still_receives_wake_ups(sqlite_url: str) -> None:
    """Its rows may have later times, by the clock that was wrong."""
    async with Books(sqlite_url) as books:
        await books.create_tables()
        await books.wake("123456:FUTURE")
        await execute(books, "UPDATE omipay_order SET woken = 9000000000000000")
        woken = asyncio.Queue[str]()
        async with books.listen(woken.put_nowait):
            await books.wake(KEY)
            assert await received(woken) == KEY
