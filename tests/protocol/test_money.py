"""Minor units: exact in both directions, and never a float."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies as st

from omipay_async import InvalidRequest, from_minor, to_minor

CURRENCIES = {"AUD": 2, "CNY": 2, "JPY": 0, "KRW": 0, "BHD": 3, "KWD": 3, "CLF": 4, "ZZZ": 2}


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("12.30", "AUD", 1230),
        ("12.3", "AUD", 1230),
        ("1", "AUD", 100),
        (1, "AUD", 100),
        (Decimal("1.00"), "AUD", 100),
        (Decimal("1E+2"), "AUD", 10_000),
        ("0.01", "AUD", 1),
        ("0", "CNY", 0),
        ("-4.50", "AUD", -450),
        ("100", "JPY", 100),
        ("1.234", "BHD", 1234),
        ("1.2345", "CLF", 12345),
    ],
)
def test_an_amount_as_people_write_it_becomes_minor_units(amount: Any, currency: str, minor: int) -> None:
    """A$1.00 is 100, a yen is 1, a dinar is 1000."""
    assert to_minor(amount, currency) == minor


@pytest.mark.parametrize(
    ("decimals", "currencies"),
    [
        (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
        (2, "AUD CNY EUR GBP HKD NZD SGD USD"),
        (3, "BHD IQD JOD KWD LYD OMR TND"),
        (4, "CLF UYW"),
    ],
)
def test_every_currency_has_the_decimals_of_the_standard(decimals: int, currencies: str) -> None:
    """ISO 4217's list of minor units, with all its special cases."""
    for currency in currencies.split():
        assert to_minor(1, currency) == 10**decimals, currency


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (1230, "AUD", "12.30"),
        (100, "AUD", "1.00"),
        (5, "AUD", "0.05"),
        (-1, "AUD", "-0.01"),
        (7, "JPY", "7"),
        (0, "BHD", "0.000"),
    ],
)
def test_minor_units_become_an_amount_with_all_its_decimals(minor: int, currency: str, text: str) -> None:
    """As on a receipt."""
    assert str(from_minor(minor, currency)) == text


@pytest.mark.parametrize(
    "amount",
    [
        12.3,
        1.0,
        True,
        None,
        b"12.30",
        "",
        " 1",
        "1,50",
        "12.345",
        "1e3",
        "NaN",
        "１２",
        "0x10",
        "9" * 31,
        Decimal("0.001"),
        Decimal("NaN"),
        Decimal("Infinity"),
        Decimal("sNaN"),
        Decimal("1E+999999"),
        Decimal("1E-999999"),
        10**70,
    ],
)
def test_what_is_not_an_exact_amount_is_rejected(amount: Any) -> None:
    """A float is not exactly the number that was written, and a third decimal would be lost."""
    with pytest.raises(InvalidRequest, match=r"^amount ") as refusal:
        to_minor(amount, "AUD")
    assert refusal.value.parameter == "amount"


@pytest.mark.parametrize("amount", [1.0, True, "100", None, Decimal(1)])
def test_minor_units_are_whole_numbers(amount: Any) -> None:
    """``from_minor`` accepts only an int."""
    with pytest.raises(InvalidRequest, match=r"^amount ") as refusal:
        from_minor(amount, "AUD")
    assert refusal.value.parameter == "amount"


@pytest.mark.parametrize("currency", ["aud", "AU", "AUDX", "", "A1D", None, 36])
def test_a_currency_is_three_capital_letters(currency: Any) -> None:
    """In both directions; the error names the currency."""
    for convert in (lambda: to_minor("1", currency), lambda: from_minor(1, currency)):
        with pytest.raises(InvalidRequest, match=r"^currency ") as refusal:
            convert()
        assert refusal.value.parameter == "currency"


@given(st.integers(-(10**40), 10**40), st.sampled_from(sorted(CURRENCIES)))
def test_every_amount_survives_the_round_trip(minor: int, currency: str) -> None:
    """As a Decimal and as text, with the currency's decimals."""
    amount = from_minor(minor, currency)
    assert -int(amount.as_tuple().exponent) == CURRENCIES[currency]
    assert to_minor(amount, currency) == minor
    assert abs(minor) >= 10**30 or to_minor(format(amount, "f"), currency) == minor


@given(st.integers(-(10**25), 10**25), st.sampled_from(sorted(CURRENCIES)))
def test_whole_units_are_the_same_written_three_ways(units: int, currency: str) -> None:
    """As an int, as text and as a Decimal."""
    expected = units * 10 ** CURRENCIES[currency]
    assert {to_minor(form, currency) for form in (units, str(units), Decimal(units))} == {expected}


@given(st.one_of(st.text(), st.floats(), st.decimals(), st.integers(), st.none(), st.binary()), st.text(max_size=4))
def test_anything_at_all_is_converted_or_rejected(amount: Any, currency: str) -> None:
    """Both functions raise nothing but InvalidRequest."""
    for convert in (to_minor, from_minor):
        for known in (currency, "AUD"):
            with contextlib.suppress(InvalidRequest):
                convert(amount, known)


def test_an_int_that_is_too_long_to_be_written_is_rejected() -> None:
    """With InvalidRequest, not with an exception of Python's."""
    for convert in (to_minor, from_minor):
        with pytest.raises(InvalidRequest):
            convert(10**5000, "AUD")
