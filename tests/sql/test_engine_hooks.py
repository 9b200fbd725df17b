"""What an engine of the user calls, such as a hook that fetches a password, may raise anything."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from omipay_async.errors import BackendError, JournalError
from omipay_async.sql import Books
from tests.support.entries import engine_url, entry, sold
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from omipay_async import Order
    from omipay_async.sandbox import Sandbox

KEY = "123456:TR1"


class NoTokenError(Exception):
    """An error of a user's hook, which fetches a password from elsewhere."""


@pytest.fixture
async def unlocked(url: str) -> AsyncIterator[tuple[Books, list[str]]]:
    """Books on an engine that cannot connect while the list is empty. It keeps no connection."""
    tokens = ["token"]
    engine = create_async_engine(engine_url(url), poolclass=NullPool)

    @event.listens_for(engine.sync_engine, "do_connect")
    def fetch_token(*_: object) -> None:
        if not tokens:
            message = "hunter2"
            raise NoTokenError(message)

    async with Books(engine) as books:
        await books.create_tables()
        yield books, tokens
    await engine.dispose()


async def test_what_an_engine_of_the_user_raises_is_an_error_of_ours(unlocked: tuple[Books, list[str]]) -> None:
    """Its class is named, and its text, which may contain a password, is only in the cause."""
    books, tokens = unlocked
    tokens.clear()
    journal = (books.unresolved(), books.opening(entry()), books.resolve("1", "DONE"), books.create_tables())
    for question, kind in [*((question, JournalError) for question in journal), (books.claim(KEY, "me"), BackendError)]:
        with pytest.raises(kind, match=r"failed: NoTokenError$") as caught:
            await question
        assert isinstance(caught.value.__cause__, NoTokenError)


async def test_a_worker_goes_on_after_what_an_engine_of_the_user_raised(
    unlocked: tuple[Books, list[str]], sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """It logs that a sweep could not be finished, and fulfils orders once the database can be reached."""
    books, tokens = unlocked
    done = asyncio.Event()

    async def handler(_: Order) -> None:
        done.set()

    async with sandbox.session(backend=books) as omipay:
        for order_no in await sold(omipay, books):
            await sandbox.customer.pays(order_no)
        tokens.clear()
        working = asyncio.create_task(books.run(omipay, handler, every=0.01))
        async with asyncio.timeout(60):
            await until(lambda: "NoTokenError" in caplog.text)
            tokens.append("token")
            await done.wait()
        working.cancel()
        await asyncio.wait([working])
    assert "could not be finished: a request to the database failed: NoTokenError" in caplog.text
