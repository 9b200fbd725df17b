"""Order numbers that a person typed wrong: they cost few questions, and can be corrected."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from omipay_async.errors import InvalidRequest, LookupFailed
from omipay_async.sandbox import Sandbox
from omipay_async.sql import SweepReport
from tests.support.entries import DONE, UNKNOWN, M, entry, execute, make_due, order, sold
from tests.support.shop_effects import create_outbox, ship

if TYPE_CHECKING:
    from omipay_async import AsyncOmipay, Order
    from omipay_async.journal import JournalEntry
    from omipay_async.sql import Books


async def resolved(books: Books, order_no: str = "TR9", **fields: Any) -> JournalEntry:
    """A lost call to which a person gave a number."""
    call = entry(**{"outcome": UNKNOWN, **fields})
    await books.closing(call)
    await books.resolve(call, "DONE", order_no=order_no)
    return call


async def numbers(books: Books) -> list[str]:
    """The orders that sweeps are to ask about."""
    return [waiting.order_no for waiting in await books.waiting()]


async def age(books: Books, age: timedelta) -> None:
    """Let every order be made that long ago, and be due now."""
    made_at = (datetime.now(UTC) - age).strftime("%Y-%m-%d %H:%M:%S.%f")
    await execute(books, f"UPDATE omipay_order SET made_at = '{made_at}'")
    await make_due(books)


async def pause(books: Books) -> timedelta:
    """How long a sweep waits until it asks about the one order again."""
    (waiting,) = await books.waiting()
    return waiting.due_at - datetime.now(UTC)


# -- what the gateway does not know -----------------------------------------------------------------------------------


async def test_a_number_that_the_gateway_does_not_know_is_asked_about_ever_less_often(
    omipay: AsyncOmipay, books: Books, handler: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It is asked about when its age has doubled and not every minute; the log says what a person can do."""
    await resolved(books)
    await age(books, timedelta(days=1))
    assert await books.sweep(omipay, handler) == SweepReport(errors=1)
    assert timedelta(hours=23) < await pause(books) < timedelta(hours=25)
    assert "TR9" in caplog.text
    assert "books.resolve" in caplog.text


async def test_a_sweep_without_a_handler_asks_just_as_rarely(omipay: AsyncOmipay, books: Books) -> None:
    """The sweep of the command line has no handler."""
    await resolved(books)
    await age(books, timedelta(days=1))
    assert await books.sweep(omipay, None) == SweepReport(errors=1)
    assert await pause(books) > timedelta(hours=23)


async def test_an_order_that_the_gateway_did_know_is_asked_about_soon(
    omipay: AsyncOmipay, books: Books, handler: Any
) -> None:
    """Then something is wrong with the gateway, and the order may be paid."""
    await books.closing(entry(outcome=DONE, order_no="TR9", status="PAYING"))
    await age(books, timedelta(days=1))
    assert await books.sweep(omipay, handler) == SweepReport(errors=1)
    assert await pause(books) < timedelta(seconds=61)


class _FirstNodeIsDown(httpx.AsyncBaseTransport):
    """The first node refuses connections, and the second one is a gateway that knows no order."""

    def __init__(self) -> None:
        self._second = Sandbox().transport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer as one of the two nodes."""
        if request.url.host != "second.test":
            raise httpx.ConnectError("refused")
        return await self._second.handle_async_request(request)


async def test_an_order_that_only_the_second_node_does_not_know_is_asked_about_soon(
    sandbox: Sandbox, omipay: AsyncOmipay, books: Books, handler: Any, fulfilled: list[str]
) -> None:
    """It may not have the order yet. The first one does, once it can be reached again."""
    (number,) = await sold(omipay, books)
    await sandbox.customer.pays(number)
    await age(books, timedelta(days=1))
    options: dict[str, Any] = {"fallback": "http://second.test/omipay/api", "transport": _FirstNodeIsDown()}
    async with sandbox.session(backend=books, **options) as cut_off:
        assert await books.sweep(cut_off, handler) == SweepReport(errors=1)
        with pytest.raises(LookupFailed) as caught:
            await cut_off.query_order(number)
    assert (caught.value.node, cut_off.node) == ("second.test", "sandbox.test")
    assert await pause(books) < timedelta(seconds=61)
    await make_due(books)
    assert await books.sweep(omipay, handler) == SweepReport(fulfilled=1)
    assert fulfilled == [number]


async def test_a_handler_that_looks_up_something_else_runs_again_soon(
    sandbox: Sandbox, omipay: AsyncOmipay, books: Books
) -> None:
    """Its LookupFailed is not about the order, which is paid."""
    (number,) = await sold(omipay, books)
    await sandbox.customer.pays(number)
    await age(books, timedelta(days=1))

    async def look_up(_: Order) -> None:
        await omipay.query_order("TR9")

    assert await books.sweep(omipay, look_up) == SweepReport(errors=1)
    assert await pause(books) < timedelta(seconds=61)
    with pytest.raises(LookupFailed):
        await omipay.query_order("TR9")


# -- taking it back ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("outcome", "right"), [(DONE, "TR1"), (UNKNOWN, "TR1"), (UNKNOWN, None), ("NOT_DONE", None)])
async def test_a_number_is_taken_back(books: Books, outcome: Any, right: str | None) -> None:
    """The gateway is not asked about the wrong number any more, and the books have only the right one."""
    call = await resolved(books)
    await books.resolve(call, outcome, order_no=right)
    assert await numbers(books) == ([] if right is None else [right])
    assert await execute(books, "SELECT outcome, order_no FROM omipay_call") == [(str(outcome), right)]


async def test_a_call_whose_number_was_taken_back_is_resolved_by_its_order(books: Books) -> None:
    """A confirmed order resolves it as if there had been no number."""
    call = await resolved(books)
    await books.resolve(call, UNKNOWN)
    await books.confirmed(M, order("TR1"))
    assert await books.unresolved() == []
    assert await execute(books, "SELECT outcome, order_no FROM omipay_call") == [("DONE", "TR1")]


async def test_the_same_number_again_changes_nothing(books: Books) -> None:
    """It may be spelt in another way; an outcome without a number changes nothing either."""
    call = await resolved(books)
    await books.resolve(call, DONE, order_no=" tr9 ")
    await books.resolve(call, DONE)
    assert await numbers(books) == ["TR9"]


async def test_a_number_that_a_reply_gave_is_not_taken_back(books: Books) -> None:
    """The number that comes with SYSTEM_ERROR is that of this sale, whatever a person writes."""
    call = entry(outcome=UNKNOWN, order_no="TR9")
    await books.closing(call)
    await books.resolve(call, UNKNOWN)
    await books.resolve(call, "NOT_DONE")
    assert await numbers(books) == ["TR9"]
    assert await execute(books, "SELECT order_no FROM omipay_call") == [("TR9",)]


async def test_the_order_of_another_sale_is_not_forgotten(books: Books) -> None:
    """A person gave this call the number of another sale, before that was known: sweeps still ask about its order."""
    call = await resolved(books)
    await books.closing(entry("T2", outcome=DONE, order_no="TR9"))
    await books.resolve(call, UNKNOWN)
    assert await numbers(books) == ["TR9"]
    assert [call.order_no for call in await books.unresolved()] == [None]


@pytest.mark.parametrize("number", ["TR9", "tr9", " TR9 "])
@pytest.mark.parametrize("known_from", ["reply", "QueryOrder"])
async def test_the_number_of_another_sale_is_refused(books: Books, known_from: str, number: str) -> None:
    """The error names the sale that the books have the number of; the call stays unresolved, and may be resolved."""
    if known_from == "reply":
        await books.closing(entry("T2", outcome=DONE, order_no="TR9"))
    else:
        await books.confirmed(M, order("TR9", "T2"))
    call = entry(outcome=UNKNOWN)
    await books.closing(call)
    with pytest.raises(InvalidRequest, match=r"order_no: order .* another sale, T2") as caught:
        await books.resolve(call, DONE, order_no=number)
    assert caught.value.parameter == "order_no"
    assert [left.order_no for left in await books.unresolved()] == [None]
    await books.resolve(call, DONE, order_no="TR8")
    assert await books.unresolved() == []


async def test_the_number_of_another_order_is_refused_for_a_refund(books: Books) -> None:
    """A refund belongs to the order that it was asked for; its own number may be given."""
    call = entry(None, endpoint="Refund", out_refund_no="R1", order_no="TR9", outcome=UNKNOWN)
    await books.closing(call)
    with pytest.raises(InvalidRequest, match="order_no: this refund belongs to order TR9"):
        await books.resolve(call, DONE, order_no="TR8")
    assert [left.order_no for left in await books.unresolved()] == ["TR9"]
    await books.resolve(call, DONE, order_no="tr9")
    assert await books.unresolved() == []


async def test_a_number_that_two_calls_were_given_stays_with_the_other(books: Books) -> None:
    """Only one of the two was a mistake."""
    call, _ = await resolved(books), await resolved(books, out_order_no="T2")
    await books.resolve(call, UNKNOWN)
    assert await numbers(books) == ["TR9"]


@pytest.mark.parametrize("known", ["paid", "claimed", "fulfilled"])
async def test_an_order_of_which_more_is_known_is_not_forgotten(books: Books, known: str) -> None:
    """Its number was right, or belongs to a sale that is not in these books."""
    call = await resolved(books)
    if known == "paid":
        await books.confirmed(M, order("TR9", None))
    else:
        await books.claim(f"{M}:TR9", "me")
    if known == "fulfilled":
        await books.finish(f"{M}:TR9", "me")
    await books.resolve(call, UNKNOWN)
    assert await execute(books, "SELECT order_no FROM omipay_order") == [("TR9",)]


async def test_the_order_number_of_a_refund_is_kept(books: Books) -> None:
    """It is that of the refunded order, whatever a person finds out about the refund."""
    call = entry(None, endpoint="Refund", out_refund_no="R1", order_no="TR9", outcome=UNKNOWN)
    await books.closing(call)
    await books.resolve(call, "NOT_DONE")
    await books.resolve(call, UNKNOWN)
    assert [left.order_no for left in await books.unresolved()] == ["TR9"]


@pytest.mark.parametrize("number", ["TR 9", "TR9;", "TRé9", "\N{FULLWIDTH LATIN CAPITAL LETTER T}R9", "x" * 65, " "])
async def test_a_number_that_cannot_be_an_orders_is_refused(books: Books, number: str) -> None:
    """The rule is that for the numbers in notifications; spaces around it are removed."""
    call = entry(outcome=UNKNOWN)
    await books.closing(call)
    with pytest.raises(InvalidRequest, match="order_no"):
        await books.resolve(call, DONE, order_no=number)
    await books.resolve(call, DONE, order_no=f" {'x' * 64}\n")
    assert await numbers(books) == ["x" * 64]


async def test_an_effect_happens_once_however_the_number_is_spelt(
    sandbox: Sandbox, omipay: AsyncOmipay, books: Books
) -> None:
    """A number with a space behind it is the same order: its effect is found."""
    await create_outbox(books)
    (number,) = await sold(omipay, books)
    await sandbox.customer.pays(number)
    await books.sweep(omipay, books.transactional(ship))
    await books.closing(entry("T9", outcome=DONE, order_no=f"{number} "))
    assert await books.waiting() == []
    assert await execute(books, "SELECT count(*) FROM outbox") == [(1,)]


# -- when it is asked about -------------------------------------------------------------------------------------------


async def test_the_next_sweep_asks_about_the_order_that_a_person_named(
    sandbox: Sandbox, omipay: AsyncOmipay, books: Books, handler: Any, fulfilled: list[str]
) -> None:
    """The order was made long ago, so nobody waits another ten seconds for it."""
    made = await omipay.make_qr_order(
        order_name="Tea", amount=450, currency="AUD", out_order_no="T1", platform="WECHATPAY"
    )
    await sandbox.customer.pays(made)
    await resolved(books, made.order_no)
    assert await books.sweep(omipay, handler) == SweepReport(fulfilled=1)
    assert fulfilled == [made.order_no]


async def test_a_number_that_is_given_again_is_asked_about_by_the_next_sweep(omipay: AsyncOmipay, books: Books) -> None:
    """The person has seen the order now, although the gateway did not know it when it was last asked."""
    call = await resolved(books)
    await age(books, timedelta(days=1))
    await books.sweep(omipay, None)
    await books.resolve(call, DONE, order_no="TR9")
    assert await books.sweep(omipay, None) == SweepReport(errors=1)


async def test_an_order_that_is_final_is_not_asked_about_because_a_person_named_it(
    omipay: AsyncOmipay, books: Books
) -> None:
    """It is fulfilled, or will not be paid."""
    await books.sweep(omipay, None)
    await books.confirmed(M, order("TR9"))
    await books.finish(f"{M}:TR9", "somebody")
    await resolved(books, "TR9")
    assert await numbers(books) == []
