"""The books as a journal: what is written down of money calls, what resolves them, what is forgotten."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import attrs
import pytest

from omipay_async.errors import ConfigurationError, InvalidRequest, JournalError
from omipay_async.sql import Books
from tests.support.entries import DONE, NOT_DONE, UNKNOWN, M, entry, execute, order


async def outcomes(books: Books) -> list[tuple[Any, ...]]:
    """Every call's outcome and numbers, oldest first."""
    rows = await execute(books, "SELECT outcome, order_no, status, error FROM omipay_call ORDER BY started_at")
    return [tuple(row) for row in rows]


async def test_an_open_entry_is_in_flight_until_its_time_is_over(books: Books) -> None:
    """After that its process has died or hangs, and the entry is listed as it was written."""
    now, dead = entry("T1"), entry("T2", age=60)
    await books.opening(now)
    await books.opening(dead)
    assert await books.unresolved() == [dead]
    assert await books.unresolved(in_flight=True) == [dead, now]


@pytest.mark.parametrize(("outcome", "open_"), [(DONE, False), (NOT_DONE, False), (UNKNOWN, True)])
async def test_closing_says_how_a_call_ended(books: Books, outcome: Any, open_: bool) -> None:
    """An unknown outcome stays on the list, a certain one leaves it."""
    call = entry(status=None, error=None)
    await books.opening(call)
    closed = attrs.evolve(call, outcome=outcome, error="OutcomeUnknown" if open_ else None)
    await books.closing(closed)
    assert await books.unresolved() == ([closed] if open_ else [])


async def test_a_call_is_written_down_once_however_often_it_is_opened(books: Books) -> None:
    """``opening`` may be repeated if its answer was lost, also after ``closing``."""
    call = entry()
    await books.opening(call)
    await books.closing(attrs.evolve(call, outcome=DONE, order_no="TR1", status="PAID"))
    await books.opening(call)
    assert await outcomes(books) == [("DONE", "TR1", "PAID", None)]


async def test_a_closing_without_an_opening_is_kept(books: Books) -> None:
    """The opening may have failed after its caller left."""
    await books.closing(entry(outcome=UNKNOWN))
    assert len(await books.unresolved()) == 1


async def test_the_number_of_a_done_is_never_changed(books: Books) -> None:
    """The notification came before the reply, so it is known which order exists."""
    call = entry()
    await books.opening(call)
    await books.confirmed(M, order())
    await books.closing(attrs.evolve(call, outcome=DONE, order_no="OTHER"))
    assert (await outcomes(books))[0][:3] == ("DONE", "TR1", "PAID")


async def test_a_reply_that_is_written_down_late_does_not_reopen_a_fulfilled_order(books: Books) -> None:
    """No sweep asks about it again."""
    await books.confirmed(M, order())
    await books.finish(f"{M}:TR1", "me")
    await books.closing(entry(outcome=DONE, order_no="TR1"))
    assert await books.waiting() == []


# -- confirmed orders -------------------------------------------------------------------------------------------------


async def test_a_confirmed_order_resolves_its_call(books: Books) -> None:
    """The reply was lost; QueryOrder, after the notification, reported the merchant's own number."""
    await books.closing(entry("T1", outcome=UNKNOWN, error="OutcomeUnknown"))
    await books.closing(entry("T2", outcome=UNKNOWN))
    await books.confirmed(M, order("TR1", "T1"))
    assert [call.out_order_no for call in await books.unresolved()] == ["T2"]
    assert (await outcomes(books))[0][:3] == ("DONE", "TR1", "PAID")


@pytest.mark.parametrize(
    "other",
    [{"amount": 451}, {"currency": "CNY"}, {"out_order_no": "T9"}, {"out_order_no": "t1"}, {"out_order_no": None}],
    ids=str,
)
async def test_an_order_that_differs_resolves_nothing(books: Books, other: dict[str, Any]) -> None:
    """The number alone is not enough: currency and amount must agree."""
    await books.closing(entry(outcome=UNKNOWN))
    await books.confirmed(M, attrs.evolve(order(), **other))
    assert len(await books.unresolved()) == 1


@pytest.mark.parametrize(("sold", "said"), [("T1-000231", "T1-000231    "), ("T1-000231   ", "T1-000231")])
async def test_spaces_around_a_number_make_no_difference(books: Books, sold: str, said: str) -> None:
    """A database that fills numbers up with spaces, or strips them, does not keep a call unresolved."""
    call = entry(sold)
    await books.opening(call)
    await books.confirmed(M, order(out_order_no=said))
    assert (await outcomes(books))[0][:3] == ("DONE", "TR1", "PAID")


async def test_another_merchants_order_resolves_nothing(books: Books) -> None:
    """Two merchants may use the same numbers."""
    await books.closing(entry(outcome=UNKNOWN))
    await books.confirmed("999", order())
    assert len(await books.unresolved()) == 1
    assert await books.unresolved(m_number="999") == []


async def test_each_order_resolves_one_call_of_several_under_one_number(books: Books) -> None:
    """The sale may have been charged twice, so one order resolves one of the calls."""
    for _ in range(2):
        await books.closing(entry(outcome=UNKNOWN))
    for _ in range(2):
        await books.confirmed(M, order("TR1"))
        assert len(await books.unresolved()) == 1
    await books.confirmed(M, order("TR2"))
    assert await books.unresolved() == []


async def test_an_order_that_is_known_already_resolves_no_other_call(books: Books) -> None:
    """The second call under the same number has its order; the first call is still unknown."""
    await books.closing(entry(outcome=UNKNOWN))
    await books.closing(entry(outcome=DONE, order_no="TR2"))
    await books.confirmed(M, order("TR2"))
    assert [row[0] for row in await outcomes(books)] == ["UNKNOWN", "DONE"]


async def test_an_order_does_not_resolve_a_call_that_made_another_one(books: Books) -> None:
    """Its reply was not believed, but named its order, which may be paid as well."""
    await books.closing(entry(outcome=UNKNOWN, order_no="TR9"))
    await books.confirmed(M, order("TR1"))
    assert [row[:2] for row in await outcomes(books)] == [("UNKNOWN", "TR9")]


async def test_an_order_that_is_confirmed_before_its_reply_resolves_the_call_under_way(books: Books) -> None:
    """The notification overtook the reply. An earlier call under the same number is still unknown."""
    await books.closing(entry(outcome=UNKNOWN))
    call = entry()
    await books.opening(call)
    await books.confirmed(M, order("TR2"))
    await books.closing(attrs.evolve(call, outcome=DONE, order_no="TR2"))
    assert [row[:2] for row in await outcomes(books)] == [("UNKNOWN", None), ("DONE", "TR2")]


async def test_an_order_resolves_the_call_that_is_unknown_before_one_that_a_person_calls_not_done(books: Books) -> None:
    """Both have the same number, and a person has looked the first one up."""
    await books.closing(entry(outcome=UNKNOWN))
    (first,) = await books.unresolved()
    await books.resolve(first, NOT_DONE)
    await books.closing(entry(outcome=UNKNOWN))
    await books.confirmed(M, order("TR1"))
    assert [row[0] for row in await outcomes(books)] == ["NOT_DONE", "DONE"]


async def test_the_sale_of_an_order_is_known_before_the_gateway_is_asked(books: Books) -> None:
    """So that a sweep refuses an answer about another one."""
    await books.closing(entry("T1", outcome=DONE, order_no="TR1"))
    (waiting,) = await books.waiting()
    assert (waiting.out_order_no, waiting.amount, waiting.currency) == ("T1", 450, "AUD")


async def test_an_answer_without_the_merchants_number_keeps_that_of_the_call(books: Books) -> None:
    """So that a sweep still refuses an answer about another sale."""
    await books.closing(entry("T1", outcome=DONE, order_no="TR1"))
    await books.confirmed(M, order("TR1", None))
    assert [waiting.out_order_no for waiting in await books.waiting()] == ["T1"]


async def test_the_call_that_names_the_order_is_the_one_that_is_resolved(books: Books) -> None:
    """SYSTEM_ERROR came with an order's number: that call is resolved, not an older one under the same number."""
    await books.closing(entry(outcome=UNKNOWN))
    await books.closing(entry(outcome=UNKNOWN, order_no="TR7"))
    await books.confirmed(M, order("tr7"))
    assert [row[0] for row in await outcomes(books)] == ["UNKNOWN", "DONE"]


async def test_a_refund_is_not_resolved_by_the_order_that_it_is_of(books: Books) -> None:
    """Only the back office can tell what became of a lost refund."""
    await books.closing(entry("T1", outcome=UNKNOWN, endpoint="Refund", out_refund_no="R1", order_no="TR1"))
    await books.confirmed(M, order())
    assert [call.out_refund_no for call in await books.unresolved()] == ["R1"]


@pytest.mark.parametrize(
    "oddity",
    [{"status": "PAID\0"}, {"status": "\ud800"}, {"currency": "A\0D"}, {"out_order_no": "T\0"}, {"amount": 2**63}],
    ids=str,
)
async def test_an_order_with_a_value_that_cannot_be_stored_is_fulfilled(books: Books, oddity: dict[str, Any]) -> None:
    """The gateway may send any text in its replies; such an order resolves no call."""
    await books.closing(entry(outcome=UNKNOWN, amount=None))
    await books.confirmed(M, attrs.evolve(order(), **oddity))
    assert [waiting.order_no for waiting in await books.waiting()] == ["TR1"]
    assert len(await books.unresolved()) == 1


async def test_a_number_that_cannot_be_stored_is_kept_as_far_as_possible(books: Books) -> None:
    """The call is closed, and its order is listed among those that wait."""
    call = entry()
    await books.opening(call)
    await books.closing(attrs.evolve(call, outcome=DONE, order_no="TR\0", status="\0"))
    assert (await outcomes(books))[0][:3] == ("DONE", "TR\ufffd", "\ufffd")
    assert [waiting.order_no for waiting in await books.waiting()] == ["TR\ufffd"]


# -- people -----------------------------------------------------------------------------------------------------------


async def test_a_person_resolves_by_entry_or_by_id(books: Books) -> None:
    """If the person gives an order's number, a sweep asks about that order."""
    first, second = entry("T1", outcome=UNKNOWN), entry("T2", age=60)
    await books.closing(first)
    await books.opening(second)
    await books.resolve(first, "NOT_DONE")
    await books.resolve(second.id, DONE, order_no="TR2")
    assert await books.unresolved() == []
    assert [waiting.order_no for waiting in await books.waiting()] == ["TR2"]


@pytest.mark.parametrize(
    ("said", "outcome", "order_no"), [(UNKNOWN, DONE, "TR1"), (DONE, DONE, "TR1"), (UNKNOWN, NOT_DONE, None)]
)
async def test_a_reply_decides_a_call_that_a_person_has_resolved_before(
    books: Books, said: Any, outcome: Any, order_no: str | None
) -> None:
    """The person looked too early, and cannot say something else once the gateway has answered."""
    call = entry()
    await books.opening(call)
    await books.resolve(call, said, order_no="TR9")
    await books.closing(attrs.evolve(call, outcome=outcome, order_no=order_no))
    with pytest.raises(InvalidRequest, match="already decided"):
        await books.resolve(call, "NOT_DONE")
    assert (await outcomes(books))[0][:2] == (str(outcome), order_no or "TR9")


@pytest.mark.parametrize(("said", "number"), [(NOT_DONE, None), (UNKNOWN, None), (DONE, "TR1"), (DONE, None)])
async def test_no_person_changes_a_call_whose_order_was_confirmed(books: Books, said: Any, number: str | None) -> None:
    """A call that made a paid order is not NOT_DONE, also if a person has written about it before."""
    call = entry(outcome=UNKNOWN)
    await books.closing(call)
    await books.resolve(call, said, order_no=number)
    await books.confirmed(M, order("TR1"))
    with pytest.raises(InvalidRequest, match="already decided"):
        await books.resolve(call, "NOT_DONE")
    assert (await outcomes(books))[0][:2] == ("DONE", "TR1")


@pytest.mark.parametrize("other", [UNKNOWN, NOT_DONE])
async def test_an_order_belongs_to_the_call_that_a_person_calls_done(books: Books, other: Any) -> None:
    """One order does not make a second call of the same sale DONE, of which nobody knows, or which was not done."""
    doubtful, done = entry(outcome=UNKNOWN), entry(outcome=UNKNOWN)
    for call, said in ((doubtful, other), (done, DONE)):
        await books.closing(call)
        await books.resolve(call, said)
    await books.confirmed(M, order("TR1"))
    assert [row[:2] for row in await outcomes(books)] == [(str(other), None), ("DONE", "TR1")]


async def test_a_refund_that_a_person_resolves_makes_no_order_to_ask_about(books: Books) -> None:
    """The entry's number is that of the order that was refunded."""
    call = entry(None, endpoint="Refund", out_refund_no="R1", order_no="TR1", outcome=UNKNOWN)
    await books.closing(call)
    await books.resolve(call, DONE, order_no="TR1")
    assert await books.waiting() == []


@pytest.mark.parametrize(
    ("arguments", "parameter"),
    [
        (("nobody", "DONE"), "entry_or_id"),
        ((7, "DONE"), "entry_or_id"),
        (("nul\0", "DONE"), "entry_or_id"),
        (("known", "PERHAPS"), "outcome"),
        (("known", None), "outcome"),
        (("known", "DONE", ""), "order_no"),
        (("known", "DONE", "x" * 65), "order_no"),
        (("known", "DONE", "a\nb"), "order_no"),
        (("known", "NOT_DONE", "TR1"), "order_no"),
        (("closed", "NOT_DONE"), "entry_or_id"),
        (("twice", "DONE"), "entry_or_id"),
    ],
)
async def test_wrong_arguments_of_resolve_are_named(books: Books, arguments: tuple[Any, ...], parameter: str) -> None:
    """They are an unknown entry or outcome, an invalid number, or a call that the gateway's reply has decided."""
    await books.closing(entry(id="known", outcome=UNKNOWN))
    await books.closing(entry(id="closed", outcome=DONE))
    for m_number in ("111", "222"):
        await books.closing(entry(id="twice", m_number=m_number, outcome=UNKNOWN))
    target, outcome, *rest = arguments
    with pytest.raises(InvalidRequest) as caught:
        await books.resolve(target, outcome, order_no=rest[0] if rest else None)
    assert caught.value.parameter == parameter
    assert parameter in str(caught.value)
    assert caught.value.outcome is None


# -- what is forgotten ------------------------------------------------------------------------------------------------


async def test_pruning_removes_what_was_closed_long_ago(books: Books) -> None:
    """It keeps what is open, however old: unresolved calls, unpaid orders, and paid orders that are not fulfilled."""
    await books.opening(entry("open", age=9e6))
    await books.closing(entry("unknown", outcome=UNKNOWN, age=9e6))
    await books.closing(entry("refused", outcome=NOT_DONE))
    await books.closing(entry("waiting", outcome=DONE, order_no="TR-waiting"))
    await books.confirmed(M, order("TR-paid", "paid"))
    await books.finish(f"{M}:TR-done", "me")
    assert await books.prune(timedelta(days=30)) == 0
    await execute(books, "UPDATE omipay_call SET closed_at = '2020-01-01 00:00:00.000000' WHERE closed_at IS NOT NULL")
    await execute(books, "UPDATE omipay_order SET closed_at = '2020-01-01 00:00:00.000000' WHERE closed_at IS NOT NULL")
    assert await books.prune(30 * 86_400) == 3  # "refused", "waiting", whose order stays, and TR-done
    assert {call.out_order_no for call in await books.unresolved()} == {"open", "unknown"}
    assert {waiting.order_no for waiting in await books.waiting()} == {"TR-waiting", "TR-paid"}


@pytest.mark.parametrize("older_than", [-1, float("nan"), True, "30 days", timedelta(days=-1)])
async def test_a_wrong_duration_is_refused(books: Books, older_than: Any) -> None:
    """The error names it, and comes before anything is removed."""
    with pytest.raises(InvalidRequest, match=r"^older_than "):
        await books.prune(older_than)


# -- the rest ---------------------------------------------------------------------------------------------------------


async def test_a_merchant_number_with_a_colon_is_refused(books: Books) -> None:
    """Its keys could be taken for those of another merchant."""
    with pytest.raises(JournalError, match="colon"):
        await books.opening(entry(m_number="12:34"))
    with pytest.raises(JournalError, match="colon"):
        await books.closing(entry(m_number="12:34", outcome=DONE))


async def test_books_that_were_closed_connect_again(books: Books) -> None:
    """Closing only closes the connections."""
    await books.opening(entry(age=60))
    await books.aclose()
    assert len(await books.unresolved()) == 1


def test_books_belong_to_one_event_loop(sqlite_url: str) -> None:
    """Their use in a second one is an error at once."""
    import asyncio

    books = Books(sqlite_url)

    async def first() -> None:
        async with books:
            await books.create_tables()

    asyncio.run(first())
    with pytest.raises(ConfigurationError, match="event loop"):
        asyncio.run(books.create_tables())


@pytest.mark.parametrize(("answer", "listed"), [("SETTLED", "SETTLED"), ("PAYING", "PAID"), ("FAILED", "PAID")])
async def test_an_order_that_was_paid_stays_listed_as_paid(books: Books, answer: str, listed: str) -> None:
    """It may be settled later. An answer that it is not paid was probably asked for before the payment."""
    await books.confirmed(M, order())
    await books.confirmed(M, order(status=answer))
    assert await execute(books, "SELECT status FROM omipay_order") == [(listed,)]
