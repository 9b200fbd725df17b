"""Money calls in the journal: opened before they are sent, and closed however they end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import attrs
import httpx
import pytest

from omipay_async import (
    ConfigurationError,
    InvalidRequest,
    JournalEntry,
    JournalOutcome,
    NotSent,
    OutcomeUnknown,
    ParameterError,
    PaymentDeclined,
    RetryPolicy,
    SessionClosed,
)
from tests.support.fake_journal import PAID, PAYMENT_CODE, FakeJournal, scan
from tests.support.scripted_gateway import SECRET_KEY, Gateway, fail

if TYPE_CHECKING:
    from omipay_async.testing import ManualClock

# -- what is written --------------------------------------------------------------------------------------------------


async def test_a_charge_is_opened_before_it_is_sent_and_closed_when_it_has_ended(
    clock: ManualClock, gateway: Gateway, journal: FakeJournal
) -> None:
    """Both entries have one id and everything that is known at the time."""

    async def look() -> None:
        sent.append(len(gateway.requests))

    sent: list[int] = []
    journal.at = {"opening": look, "closing": look}
    async with gateway.session(journal=journal) as omipay:
        await scan(omipay, timeout=20)
    assert (journal.names, sent) == (["opening", "closing"], [0, 1])
    assert clock._next_due() is None  # no timer is left behind
    (_, opened), (_, closed) = journal.steps
    started = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert opened == JournalEntry(
        id=opened.id,
        m_number="000034",
        endpoint="MakeScanOrder",
        out_order_no="A-1",
        amount=450,
        currency="AUD",
        started_at=started,
        until=started + timedelta(seconds=20),
    )
    assert closed == attrs.evolve(opened, outcome=JournalOutcome.DONE, order_no="TR1", status="PAID")
    assert opened.id


async def test_a_refund_is_written_down_with_its_order(gateway: Gateway, journal: FakeJournal) -> None:
    """And with the number that the gateway gave the refund."""
    async with gateway.session(journal=journal) as omipay:
        await omipay.refund(order_no="TR1", out_refund_no="R-1", amount=1)
    opened, closed = (entry for _, entry in journal.steps)
    assert (opened.endpoint, opened.order_no, opened.out_refund_no, opened.amount) == ("Refund", "TR1", "R-1", 1)
    assert (opened.refund_no, opened.outcome, opened.out_order_no) == (None, None, None)
    assert closed == attrs.evolve(opened, refund_no="RF1", outcome=JournalOutcome.DONE)


@pytest.mark.parametrize("answer", [{**PAID, "order_no": ""}, {**PAID, "order_no": 7}, {"return_code": "SUCCESS"}])
async def test_a_reply_without_numbers_leaves_those_that_were_sent(
    gateway: Gateway, journal: FakeJournal, answer: dict[str, Any]
) -> None:
    """A number that is empty or is not text does not count."""
    gateway.on("ConfirmCheckOut", answer)
    async with gateway.session(journal=journal) as omipay:
        await omipay.call("ConfirmCheckOut", {"order_no": "TR0", "refund_no": "RF0"})
    assert (journal.last.order_no, journal.last.refund_no) == ("TR0", "RF0")


async def test_an_error_that_names_an_order_closes_the_entry_with_it(gateway: Gateway, journal: FakeJournal) -> None:
    """If the refusal contains no number, the entry keeps the number that was sent."""
    gateway.on("ConfirmCheckOut", fail("PARAMETER_INVALID", order_no="TR9"), fail("PARAMETER_INVALID"))
    async with gateway.session(journal=journal) as omipay:
        for number in ("TR9", "TR0"):
            with pytest.raises(ParameterError):
                await omipay.call("ConfirmCheckOut", {"order_no": "TR0"})
            assert (journal.last.order_no, journal.last.error) == (number, "ParameterError")


async def test_a_charge_whose_customer_types_a_password_is_done_and_paying(
    gateway: Gateway, journal: FakeJournal
) -> None:
    """The order was made; its status shows that it is not paid yet."""
    gateway.on("MakeScanOrder", fail("USERPAYING", order_no="TR1"))
    async with gateway.session(journal=journal) as omipay:
        await scan(omipay)
    assert (journal.last.outcome, journal.last.status, journal.last.order_no) == (JournalOutcome.DONE, "PAYING", "TR1")


@pytest.mark.parametrize("params", [{}, {"amount": 5, "currency": "AUD", "out_order_no": "A-1", "order_no": "TR0"}])
async def test_an_unknown_endpoint_is_written_down_with_what_is_known(
    gateway: Gateway, journal: FakeJournal, params: dict[str, Any]
) -> None:
    """Every money call is written down; reads are not."""
    gateway.on("ConfirmCheckOut", PAID)
    async with gateway.session(journal=journal) as omipay:
        await omipay.call("ConfirmCheckOut", params)
        await omipay.call("ConfirmCheckOut", params, safety="READ")
        await omipay.query_order("TR1")
    assert journal.names == ["opening", "closing"]
    opened, closed = journal.steps[0][1], journal.last
    assert {name: getattr(opened, name) for name in params} == params
    assert (closed.endpoint, closed.order_no, closed.status) == ("ConfirmCheckOut", "TR1", None)


async def test_no_secret_is_written_down(gateway: Gateway, journal: FakeJournal) -> None:
    """Neither the key nor the customer's payment code nor a signature."""
    async with gateway.session(journal=journal) as omipay:
        await scan(omipay)
    (request,) = gateway.requests
    assert journal.steps
    for _, entry in journal.steps:
        for secret in (SECRET_KEY, PAYMENT_CODE, request.params["sign"], request.params["nonce_str"]):
            assert secret not in repr(entry)


@pytest.mark.parametrize(
    ("answer", "expected", "error"),
    [
        (fail("NOT_ENOUGH"), JournalOutcome.NOT_DONE, PaymentDeclined),
        (fail("ORDER_PAID"), JournalOutcome.UNKNOWN, Exception),
        (fail("SYSTEM_ERROR"), JournalOutcome.UNKNOWN, OutcomeUnknown),
        (httpx.ReadError("cut"), JournalOutcome.UNKNOWN, OutcomeUnknown),
        (httpx.ConnectError("refused"), JournalOutcome.NOT_DONE, NotSent),
        (httpx.Response(200, text="<html>"), JournalOutcome.UNKNOWN, OutcomeUnknown),
        ({"return_code": "SUCCESS"}, JournalOutcome.UNKNOWN, OutcomeUnknown),
    ],
)
async def test_every_failure_is_written_down_with_its_outcome(
    gateway: Gateway, journal: FakeJournal, answer: Any, expected: JournalOutcome, error: type[Exception]
) -> None:
    """The outcome of the entry is that of the error."""
    gateway.on("MakeScanOrder", answer)
    async with gateway.session(journal=journal) as omipay:
        with pytest.raises(error) as caught:
            await scan(omipay)
    assert journal.names == ["opening", "closing"]
    assert journal.last.outcome is expected
    assert journal.last.error == type(caught.value).__name__


async def test_repeats_are_one_entry(clock: ManualClock, gateway: Gateway, journal: FakeJournal) -> None:
    """A repeat after a refused connection or a wrong clock is part of the same call."""
    late = httpx.Response(200, json=fail("SIGN_TIMEOUT"), headers={"Date": "Tue, 14 Nov 2023 23:13:20 GMT"})
    gateway.on("MakeScanOrder", httpx.ConnectError("refused"), late, PAID)
    async with gateway.session(journal=journal, retry=RetryPolicy(base_delay=0)) as omipay:
        await scan(omipay)
    assert len(gateway.requests) == 3
    assert journal.names == ["opening", "closing"]
    assert journal.last.outcome is JournalOutcome.DONE


async def test_what_is_rejected_before_it_has_a_slot_is_not_written_down(
    gateway: Gateway, journal: FakeJournal
) -> None:
    """Nothing was sent, so no entry is needed."""
    async with gateway.session(journal=journal) as omipay:
        with pytest.raises(InvalidRequest):
            await scan(omipay, timeout=0)
    with pytest.raises(SessionClosed):
        await scan(omipay)
    assert journal.steps == []


# -- the option -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["opening", "closing", "confirmed"])
def test_a_journal_without_a_method_is_rejected_by_name(gateway: Gateway, missing: str) -> None:
    """When the session is made, not at its first money call."""

    class Half:
        """A journal without one of its methods."""

    for name in {"opening", "closing", "confirmed"} - {missing}:
        setattr(Half, name, FakeJournal.opening)
    with pytest.raises(ConfigurationError, match=rf"^journal has no method {missing}\(\)"):
        gateway.session(journal=Half())
