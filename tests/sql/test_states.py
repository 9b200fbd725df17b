"""The table at the top of ``entries``: what a call's row says after each thing that is written about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from omipay_async.errors import InvalidRequest
from omipay_async.journal import JournalOutcome
from omipay_async.sql import entries
from tests.support.entries import DONE, NOT_DONE, UNKNOWN, M, entry, execute, order

if TYPE_CHECKING:
    from omipay_async.journal import JournalEntry
    from omipay_async.sql import Books


async def write(books: Books, call: JournalEntry, what: str) -> None:
    """Write down one thing about a call."""
    if what == "the order exists":
        await books.confirmed(M, order())
    elif what == "a person's word":
        await books.resolve(call, UNKNOWN)
    elif what.endswith("by a person"):
        await books.resolve(call, what.removesuffix(" by a person"))
    else:
        await books.closing(attrs.evolve(call, outcome=JournalOutcome(what)))


async def state(books: Books) -> str:
    """What the row of the one call says."""
    ((outcome, closed_at),) = await execute(books, "SELECT outcome, closed_at FROM omipay_call")
    assert (closed_at is not None) == (outcome in {DONE, NOT_DONE})
    return outcome if closed_at is not None else "open"


def cells() -> list[tuple[str, str, str]]:
    """The cells of the table: what the row says, what is written, and what the row says then."""
    lines = [line.strip() for line in (entries.__doc__ or "").splitlines() if line.startswith("    ")]
    head, *rows = [[cell.strip() for cell in line.split("|")] for line in lines if "|" in line]
    return [(row[0], written, then) for row in rows for written, then in zip(head[1:], row[1:], strict=True)]


@pytest.mark.parametrize(("said", "written", "then"), cells())
async def test_what_a_row_says_follows_from_the_table(books: Books, said: str, written: str, then: str) -> None:
    """A certain outcome closes the call, and what stays the same stays closed."""
    call = entry(age=0 if "too early" in said else 60)
    await books.opening(call)
    if said != "open":
        await write(books, call, said.removesuffix(", too early"))
    before = await state(books)
    if then == "is refused":
        with pytest.raises(InvalidRequest, match="already decided"):
            await write(books, call, written)
    else:
        await write(books, call, written)
    assert await state(books) == (before if then in {"-", "is refused"} else then)


def test_the_table_is_read_whole() -> None:
    """Seven rows of five columns."""
    assert len(cells()) == 35
