"""What a session does after SIGN_TIMEOUT: it learns how far its clock differs from the gateway's."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest import mock

import httpx
import pytest

from omipay_async import (
    AuthenticationError,
    Outcome,
    OutcomeUnknown,
)
from omipay_async.calls.gateway_time import GatewayTime
from omipay_async.testing import ManualClock
from tests.support.scripted_gateway import (
    REFUNDED,
    Gateway,
    begin,
    fail,
    make_refund,
    named,
    outcome,
)

if TYPE_CHECKING:
    from omipay_async import Event


def sign_timeout(date: str | None) -> httpx.Response:
    """A SIGN_TIMEOUT, as of ``date`` by the gateway's clock."""
    return httpx.Response(200, json=fail("SIGN_TIMEOUT"), headers={} if date is None else {"Date": date})


async def test_the_offset_is_learnt_and_kept(clock: ManualClock, gateway: Gateway, events: list[Event]) -> None:
    """A clock that is an hour off costs one additional request, once. The log and one event report the offset."""
    late = sign_timeout("Tue, 14 Nov 2023 23:13:20 GMT")
    gateway.on("Refund", late, REFUNDED)
    async with gateway.session(on_event=events.append) as omipay:
        await make_refund(omipay)
        await make_refund(omipay)
    sent = [(int(request.params["timestamp"]) - clock.time_ms()) / 1000 for request in gateway.requests]
    assert sent == [0, pytest.approx(3600, abs=1), pytest.approx(3600, abs=1)]
    assert len(named(events, "clock")) == 1
    assert named(events, "call")[0].attempt == 2


@pytest.mark.parametrize("date", [None, "", "yesterday", "Tue, 99 Nov 2023 23:13:20 GMT", "Thu, 01 Jan 99999 00:00:00"])
async def test_without_a_date_there_is_nothing_to_learn(clock: ManualClock, gateway: Gateway, date: str | None) -> None:
    """AuthenticationError at once: signing again with the same clock would not help."""
    gateway.on("Refund", sign_timeout(date))
    async with gateway.session() as omipay:
        with pytest.raises(AuthenticationError) as caught:
            await make_refund(omipay)
    assert caught.value.outcome is Outcome.NOT_DONE
    assert len(gateway.requests) == 1


async def test_a_gateway_that_always_answers_sign_timeout(
    clock: ManualClock, gateway: Gateway, events: list[Event]
) -> None:
    """There is one repeat. If the gateway's clock agrees with ours, no offset is reported."""
    gateway.on("TR1", sign_timeout("Tue, 14 Nov 2023 22:13:20 GMT"))
    gateway.on("Refund", sign_timeout("Tue, 14 Nov 2023 23:13:20 GMT"))
    async with gateway.session(on_event=events.append) as omipay:
        with pytest.raises(AuthenticationError):
            await omipay.query_order("TR1")
        assert len(gateway.requests) == 2
        assert named(events, "clock") == []
        with pytest.raises(AuthenticationError) as caught:
            await make_refund(omipay)
    assert caught.value.outcome is Outcome.NOT_DONE
    assert len(gateway.requests) == 4
    assert len(named(events, "clock")) == 1


@pytest.mark.parametrize(
    ("date", "repeated"),
    [
        ("Tue, 14 Nov 2023 22:13:20 GMT", False),
        ("Tue, 14 Nov 2023 22:17:19 GMT", False),
        ("Tue, 14 Nov 2023 22:17:20 GMT", True),
        ("Tue, 14 Nov 2023 22:09:21 GMT", False),
        ("Tue Nov 14 22:09:20 2023", True),
        ("Thu, 14 Dec 2023 22:13:21 GMT", False),
        ("Fri, 31 Dec 1999 23:59:59 GMT", False),
    ],
)
async def test_money_is_sent_again_only_if_the_date_confirms_the_refusal(
    clock: ManualClock, gateway: Gateway, date: str, repeated: bool
) -> None:
    """The Date must show that our timestamp was four minutes off or more; else it may be another call's reply."""
    gateway.on("Refund", sign_timeout(date), REFUNDED)
    async with gateway.session() as omipay:
        call = await begin(clock, make_refund(omipay))
        ended = await outcome(call)
    assert len(gateway.requests) == 1 + repeated
    assert isinstance(ended, AuthenticationError) is not repeated
    if not repeated:
        assert ended.outcome is Outcome.NOT_DONE


async def test_after_a_sign_timeout_with_a_number_the_outcome_is_unknown(clock: ManualClock, gateway: Gateway) -> None:
    """The gateway did more than check the time: the outcome is unknown, and nothing is sent again."""
    refused = fail("SIGN_TIMEOUT", refund_no="RF1")
    gateway.on("Refund", httpx.Response(200, json=refused, headers={"Date": "Tue, 14 Nov 2023 23:13:20 GMT"}), REFUNDED)
    async with gateway.session() as omipay:
        with pytest.raises(OutcomeUnknown) as caught:
            await make_refund(omipay)
    assert isinstance(caught.value.__cause__, AuthenticationError)
    assert caught.value.raw == refused
    assert len(gateway.requests) == 1


@pytest.mark.parametrize(
    ("dates", "repeated"),
    [
        (["Tue, 14 Nov 2023 23:13:20 GMT", "Tue, 14 Nov 2023 22:13:20 GMT"], False),
        (["Tue, 14 Nov 2023 22:13:20 GMT", "Tue, 14 Nov 2023 23:13:20 GMT"], False),
        (["Wed, 15 Nov 2023 09:13:20 AEDT"], False),
        (["Tue, 14 Nov 2023 23:13:20 GMT", "Tue, 14 Nov 2023 23:13:20 GMT"], True),
    ],
)
async def test_money_is_sent_again_only_by_one_time_in_utc(
    clock: ManualClock, gateway: Gateway, dates: list[str], *, repeated: bool
) -> None:
    """Two times that differ, or that of another zone, do not show how far the clock is off. One told twice does."""
    rejection = httpx.Response(200, json=fail("SIGN_TIMEOUT"), headers=[("Date", date) for date in dates])
    gateway.on("Refund", rejection, REFUNDED)
    async with gateway.session() as omipay:
        call = await begin(clock, make_refund(omipay))
        ended = await outcome(call)
    assert isinstance(ended, AuthenticationError) is not repeated
    assert len(gateway.requests) == (2 if repeated else 1)


def test_the_gateways_clock_is_learnt_and_unlearnt() -> None:
    """A change of the offset is reported. A machine whose clock is corrected signs with its own time again."""
    clock = ManualClock(1_000_000.0)
    gateway = GatewayTime(clock)
    assert gateway.time_ms() == 1_000_000_000
    assert gateway.learn(1_000_400_000)
    assert gateway.time_ms() == 1_000_400_000
    assert not gateway.learn(1_000_401_000)
    clock.shift(400)
    assert gateway.learn(1_000_401_000)
    assert gateway.time_ms() == clock.time_ms() == 1_000_400_000


def test_the_gateways_time_has_no_fraction() -> None:
    """A user's clock may return ``time.time() * 1000``; the gateway refuses a timestamp that is not a whole number."""
    clock = mock.Mock(time_ms=lambda: 1_000_000.75)
    gateway = GatewayTime(clock)
    assert str(gateway.time_ms()) == "1000000"
    assert gateway.learn(1_400_000)
    assert str(gateway.time_ms()) == "1400000"
