"""The fields of a reply, value by value: the limits of what is accepted, and the messages."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from omipay_async import ExchangeRate, Order, RefundReceipt, WeChatUser
from tests.support.canned_gateway import CONVERTER

ORDER: dict[str, Any] = {"order_no": "TR1", "result_code": "PAID", "currency": "AUD", "amount": 100}
NINES = "9" * 30


def refusal(model: type[object], raw: dict[str, Any], *essential: str) -> str:
    """The message about an essential field that cannot be read."""
    with pytest.raises(ValueError, match=r"^\w+ is ") as caught:
        CONVERTER.structure(model, raw, essential)
    return str(caught.value)


@pytest.mark.parametrize(
    ("model", "raw", "field", "why"),
    [
        (WeChatUser, {"openid": 5}, "openid", "is not a string"),
        (WeChatUser, {"openid": ""}, "openid", "is missing"),
        (WeChatUser, {}, "openid", "is missing"),
        (Order, {**ORDER, "amount": "x"}, "amount", "is not a whole number"),
        (Order, {**ORDER, "amount": None}, "amount", "is missing"),
        (Order, {**ORDER, "currency": 36}, "currency", "is not a string"),
        (Order, {**ORDER, "result_code": []}, "status", "is not a string"),
        (Order, {**ORDER, "order_time": "x"}, "order_time", "is not a time of the form yyyyMMddHHmmss"),
        (Order, {**ORDER, "order_time": "20161127240000"}, "order_time", "is not a time of the form yyyyMMddHHmmss"),
        (Order, {**ORDER, "order_time": "20161327105530"}, "order_time", "is not a time that exists"),
        (ExchangeRate, {"rate": "x"}, "rate", "is not a decimal number"),
    ],
)
def test_an_essential_field_that_cannot_be_read_is_named(
    model: type[object], raw: dict[str, Any], field: str, why: str
) -> None:
    """The message contains what is wrong, never the value."""
    assert refusal(model, raw, field) == f"{field} {why}"


def test_every_essential_field_that_cannot_be_read_is_named() -> None:
    """In one message, without the other fields."""
    raw = {"order_no": "TR1", "result_code": 1, "currency": "AUD", "pay_amount": "x"}
    assert refusal(Order, raw, "status", "amount", "currency") == "status is not a string; amount is missing"


@pytest.mark.parametrize(
    ("value", "whole"),
    [
        (0, 0),
        ("0", 0),
        (int(NINES), int(NINES)),
        (NINES, int(NINES)),
        (Decimal("450.0"), 450),
        (Decimal("1E+29"), 10**29),
        (10**30, None),
        (f"{NINES}9", None),
        (Decimal("1E+30"), None),
        (Decimal("0.5"), None),
        (-1, None),
        ("-1", None),
        (Decimal(-1), None),
        (Decimal("NaN"), None),
        (Decimal("Infinity"), None),
        (True, None),
    ],
)
def test_whole_numbers_have_thirty_digits_at_most(value: object, whole: int | None) -> None:
    """No amount of money is larger. Negative numbers are rejected."""
    raw = {**ORDER, "pay_amount": value}
    order = CONVERTER.structure(Order, raw, {"amount"})
    assert order.pay_amount == whole
    assert order.raw == raw


@pytest.mark.parametrize(
    "value",
    [
        *("0", "5", f"{NINES}.{NINES}", 0, int(NINES), Decimal("0.0"), Decimal(f"{NINES}.{NINES}")),
        *(Decimal("1E+30"), Decimal("1E-30"), Decimal("1." + "0" * 59 + "1")),
    ],
)
def test_rates_are_taken_to_the_last_digit(value: Any) -> None:
    """They stay as they were written."""
    assert CONVERTER.structure(ExchangeRate, {"rate": value}, {"rate"}).rate == Decimal(value)


@pytest.mark.parametrize(
    "value",
    [
        *(f"{NINES}9", f"{NINES}.{NINES}9", f"{NINES}9.5", ".5", "5.", "+5", "1e3", "5 5", 10**30, -1, True, 1.5),
        *(Decimal("1E+31"), Decimal("1E-31"), Decimal("1." + "0" * 60 + "1"), Decimal("-0.1"), Decimal("NaN")),
    ],
)
def test_what_is_not_a_rate(value: Any) -> None:
    """Floats, signs, exponents as text, and numbers of absurd size."""
    assert refusal(ExchangeRate, {"rate": value}, "rate") == "rate is not a decimal number"


@pytest.mark.parametrize(
    ("value", "rate"),
    [
        (650_000_000, "6.5"),
        ("100000000", "1"),
        (1, "0.00000001"),
        (123_456_789_012, "1234.56789012"),
        (1_000_000_000, "10"),
        (0, "0"),
    ],
)
def test_a_scaled_rate_is_a_hundred_millionth_of_what_is_sent(value: object, rate: str) -> None:
    """The gateway sends 10^8 times the rate."""
    order = CONVERTER.structure(Order, {**ORDER, "exchange_rate": value}, {"amount"})
    assert f"{order.exchange_rate:f}" == rate


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("20000101000000", datetime(1999, 12, 31, 13, tzinfo=UTC)),
        ("20161227105530", datetime(2016, 12, 26, 23, 55, 30, tzinfo=UTC)),
        ("20240407023000", datetime(2024, 4, 6, 15, 30, tzinfo=UTC)),
        ("19991231235959", None),
        ("2016122710553", None),
        ("201612271055300", None),
        (20161227105530, None),
    ],
)
def test_times_are_of_the_gateways_zone_from_2000_on(text: object, time: datetime | None) -> None:
    """An hour that comes twice is the first one. What is not a time is None."""
    pay_time = CONVERTER.structure(Order, {**ORDER, "pay_time": text}, {"amount"}).pay_time
    assert (pay_time and pay_time.astimezone(UTC)) == time


def test_what_a_call_sent_replaces_what_the_reply_contains() -> None:
    """It must be valid like any other essential field."""
    raw = {"refund_no": "RF1", "order_no": "TR9", "amount": 7}
    receipt = CONVERTER.structure(RefundReceipt, raw, {"refund_no"}, {"order_no": "TR1"})
    assert (receipt.order_no, receipt.amount, receipt.raw) == ("TR1", 7, raw)
    assert CONVERTER.structure(RefundReceipt, raw, {"refund_no"}).order_no == "TR9"
