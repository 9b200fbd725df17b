"""Wake-ups between processes: LISTEN on PostgreSQL, a look at the rows on SQLite."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from typing import TYPE_CHECKING, Any

import pytest

from omipay_async.errors import BackendError
from omipay_async.sql import Books, listening
from tests.support.entries import execute

if TYPE_CHECKING:
    from tests.support.postgres_server import PostgresServer

KEY = "123456:TR1"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "POLL_S", 0.02)
    monkeypatch.setattr(listening, "LONGEST_PAUSE_S", 0.05)


async def received(woken: asyncio.Queue[str]) -> str:
    async with asyncio.timeout(10):
        return await woken.get()


async def logged(caplog: pytest.LogCaptureFixture) -> None:
    async with asyncio.timeout(20):
        while not caplog.records:  # logging has no event
            await asyncio.sleep(0.01)


async def wake_until_received(books: Books, woken: asyncio.Queue[str]) -> None:
    async with asyncio.timeout(20):
        while woken.empty():
            with contextlib.suppress(BackendError):
                await books.wake(KEY)
            await asyncio.sleep(0.02)


async def test_a_wake_up_reaches_every_listener_unchanged(books: Books, other: Books) -> None:
    """Of the process that woke and of others; an order's number keeps its spelling, a note's key too."""
    here, there = asyncio.Queue[str](), asyncio.Queue[str]()
    async with books.listen(here.put_nowait), books.listen(here.put_nowait), other.listen(there.put_nowait):
        for key in (KEY, "123456:out_order_no:T1"):
            await books.wake(key)
            assert [await received(here), await received(here), await received(there)] == [key] * 3


async def test_the_same_key_wakes_again(books: Books) -> None:
    """Each time."""
    woken = asyncio.Queue[str]()
    async with books.listen(woken.put_nowait):
        for _ in range(3):
            await books.wake(KEY)
            assert await received(woken) == KEY


async def test_what_was_woken_before_is_not_received(books: Books) -> None:
    """A listener begins with now."""
    await books.wake("123456:OLD")
    woken = asyncio.Queue[str]()
    async with books.listen(woken.put_nowait):
        await books.wake(KEY)
        assert await received(woken) == KEY


async def test_a_callback_that_raises_ends_nothing(books: Books) -> None:
    """It is reported to the loop, and the next wake-up is heard."""
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


async def test_a_listener_comes_back_by_itself(fragile: PostgresServer, caplog: pytest.LogCaptureFixture) -> None:
    """A database that restarts: one warning, and then wake-ups are received again."""
    woken = asyncio.Queue[str]()
    async with Books(fragile.database()) as books, books.listen(woken.put_nowait):
        await wake_until_received(books, woken)
        fragile.stop()
        await logged(caplog)
        await asyncio.sleep(0.2)
        assert [(record.levelno, record.name) for record in caplog.records] == [(logging.WARNING, "omipay_async")]
        fragile.start()
        while not woken.empty():
            woken.get_nowait()
        await wake_until_received(books, woken)
    assert len(caplog.records) == 1


async def test_a_listener_tells_silence_from_a_dead_connection(
    fragile: PostgresServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silence alone is not a failure; a connection that no longer answers is."""
    from omipay_async.sql import database

    monkeypatch.setattr(listening, "HEARTBEAT_S", 0.05)
    monkeypatch.setattr(database, "ANSWER_S", 0.3)
    woken = asyncio.Queue[str]()
    async with Books(fragile.database()) as books, books.listen(woken.put_nowait):
        await asyncio.sleep(0.3)
        assert not caplog.records
        fragile.freeze()
        await logged(caplog)
        fragile.thaw()
        monkeypatch.setattr(database, "ANSWER_S", 5.0)
        await wake_until_received(books, woken)


async def test_a_listener_without_a_database_enters_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    """A poll does not fail because nobody can wake it."""
    async with Books("postgresql://nobody@127.0.0.1:1/none") as books, books.listen(print):
        pass
    assert "wake-ups" in caplog.text


async def test_after_a_clock_was_put_back_sqlite_still_receives_wake_ups(sqlite_url: str) -> None:
    """A wake-up of the future, by a clock that was wrong, is not waited for."""
    async with Books(sqlite_url) as books:
        await books.create_tables()
        await books.wake("123456:FUTURE")
        await execute(books, "UPDATE omipay_order SET woken = 9000000000000000")
        woken = asyncio.Queue[str]()
        async with books.listen(woken.put_nowait):
            await books.wake(KEY)
            assert await received(woken) == KEY


@pytest.mark.parametrize(("share", "expected"), [(0.0, [0.025, 0.05, 0.1, 0.1]), (1.0, [0.05, 0.1, 0.2, 0.2])])
def test_pauses_grow_until_an_attempt_has_worked(
    monkeypatch: pytest.MonkeyPatch, share: float, expected: list[float]
) -> None:
    """Between half and the whole of what is doubled each time, so that not all processes come back at once."""
    monkeypatch.setattr(listening, "LONGEST_PAUSE_S", 0.2)
    monkeypatch.setattr(random, "uniform", lambda low, high: low + share * (high - low))
    pauses = listening._Pauses()
    for _ in range(2):
        assert pauses.first
        assert [pauses.next() for _ in range(4)] == pytest.approx(expected)
        assert not pauses.first
        pauses.reset()
