"""The books as a backend: the table of transitions on both databases, leases, several processes, and notes."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from omipay_async.fulfilment.backends import TRANSITIONS, Backend, Claim, ClaimState, Listener, NoteKeeper, Step
from omipay_async.journal import Journal
from omipay_async.sql import Books
from tests.support.entries import execute
from tests.support.transitions import KEY, answer_to, brought_to, seen


@pytest.mark.parametrize(("state", "step"), TRANSITIONS)
async def test_the_books_follow_the_table(books: Books, state: ClaimState, step: Step) -> None:
    """The answer and the state after it are those of the table's row."""
    await brought_to(books, state)
    after, answer = TRANSITIONS[state, step]
    assert await answer_to(books, step) is answer
    assert await seen(books) is after


async def test_books_are_a_backend_a_listener_a_note_keeper_and_a_journal(books: Books) -> None:
    """A session finds out by these protocols what it can do with them."""
    for protocol in (Backend, Listener, NoteKeeper, Journal):
        assert isinstance(books, protocol)


async def test_a_former_owner_changes_nothing_once_another_has_the_order(url: str, books: Books) -> None:
    """When a lease has ended another owner may claim, and late requests of the first one are refused."""
    async with Books(url, lease=0.05) as short:
        assert await short.claim(KEY, "first") is Claim.MINE
        await asyncio.sleep(0.1)
        assert await books.claim(KEY, "second") is Claim.MINE
        assert not await short.renew(KEY, "first")
        assert not await short.finish(KEY, "first")
        await short.release(KEY, "first")
        assert await books.claim(KEY, "first") is Claim.BUSY


async def test_a_lease_counts_from_its_last_renewal(books: Books, other: Books) -> None:
    """As long as an owner goes on renewing, no other owner gets the order."""
    await books.claim(KEY, "me")
    await execute(books, "UPDATE omipay_order SET lease_until = '2020-01-01'")  # its time is over
    assert await books.renew(KEY, "me")
    assert await other.claim(KEY, "you") is Claim.BUSY


async def test_one_of_sixty_owners_gets_the_claim(books: Books, other: Books) -> None:
    """They claim at the same time, over two engines."""
    claims = await asyncio.gather(*((books, other)[n % 2].claim(KEY, f"owner {n}") for n in range(60)))
    assert Counter(claims) == {Claim.MINE: 1, Claim.BUSY: 59}


async def test_the_case_of_an_order_number_makes_no_difference(books: Books) -> None:
    """A gateway that ignores case must not let a handler run twice for one order."""
    assert await books.claim("123456:TR1", "me") is Claim.MINE
    assert await books.claim("123456:tr1", "you") is Claim.BUSY


async def test_merchants_do_not_see_each_others_orders(books: Books) -> None:
    """The same order number of two merchants is two orders."""
    assert await books.claim("111:TR1", "me") is Claim.MINE
    assert await books.claim("222:TR1", "you") is Claim.MINE


async def test_notes_are_apart_from_claims_and_keep_their_case(books: Books, other: Books) -> None:
    """A note replaces the one before it, and keys that differ in case are different."""
    key = "123456:out_order_no:T1"
    assert await books.noted(key) is None
    await books.note(key, "first")
    await books.note(key, '{"order_no": "TR1"}')
    assert await other.noted(key) == '{"order_no": "TR1"}'
    assert await other.noted(key.lower()) is None
    assert await books.claim(key, "me") is Claim.MINE
    assert await books.noted(key) == '{"order_no": "TR1"}'


async def test_notes_are_not_pruned_for_a_quarter_of_an_hour(books: Books) -> None:
    """A wait for a notification finds the note for that long, whatever is pruned."""
    key = "123456:out_order_no:T1"
    await books.note(key, "here")
    await books.finish("123456:TR1", "me")
    assert await books.prune(0) == 1  # only the fulfilled order, which no wait looks for
    assert await books.noted(key) == "here"
    await execute(books, "UPDATE omipay_order SET closed_at = '2020-01-01 00:00:00.000000'")
    assert await books.prune(0) == 1
    assert await books.noted(key) is None
