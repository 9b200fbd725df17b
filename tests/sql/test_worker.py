"""Workers: ``books.run`` sweeps until it is cancelled, and ends with its session."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from omipay_async.errors import ConfigurationError, SessionClosed
from omipay_async.sql import Books
from tests.support.entries import make_due, sold

if TYPE_CHECKING:
    from omipay_async import AsyncOmipay
    from omipay_async.sandbox import Sandbox


async def test_run_sweeps_until_it_is_cancelled(
    sandbox: Sandbox, omipay: AsyncOmipay, books: Books, handler: Any, fulfilled: list[str]
) -> None:
    """A worker in one line."""
    running = asyncio.create_task(books.run(omipay, handler, every=0.02))
    (number,) = await sold(omipay, books)
    await sandbox.customer.pays(number)
    async with asyncio.timeout(10):
        while not fulfilled:
            await make_due(books)
            await asyncio.sleep(0.02)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert fulfilled == [number]


async def test_run_outlives_a_failing_database_and_ends_with_its_session(
    sandbox: Sandbox, sqlite_url: str, handler: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The failure is logged, and the next sweep tries again; a closed session is the end."""
    async with Books(sqlite_url) as books, sandbox.session(backend=books) as omipay:
        running = asyncio.create_task(books.run(omipay, handler, every=0.01))
        async with asyncio.timeout(10):
            while "create_tables" not in caplog.text:  # logging has no event
                await asyncio.sleep(0.01)
        assert {record.levelno for record in caplog.records} == {logging.WARNING}
        await books.create_tables()
        await sold(omipay, books)
        await omipay.aclose()
        await make_due(books)
        with pytest.raises(SessionClosed):
            await running


async def test_a_worker_with_nothing_to_do_ends_with_its_session(
    omipay: AsyncOmipay, books: Books, handler: Any
) -> None:
    """Whether anything is due makes no difference to a session that was closed."""
    running = asyncio.create_task(books.run(omipay, handler, every=0.01))
    while not running.done() and not books._database._asking:  # it has begun
        await asyncio.sleep(0)
    await omipay.aclose()
    async with asyncio.timeout(5):
        with pytest.raises(SessionClosed):
            await running
    with pytest.raises(SessionClosed):
        await books.sweep(omipay, None)


def test_a_worker_in_a_second_event_loop_ends(sqlite_url: str, sandbox: Sandbox) -> None:
    """Its books can never be asked there, so it does not go on for ever."""
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
