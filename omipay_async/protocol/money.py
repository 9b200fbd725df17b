"""Converts amounts as people write them to minor units and back (CN 2.2(1), EN 1.2(1)). Exact: without floats."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from omipay_async.errors import InvalidRequest
from omipay_async.text import plain_text, plain_value

# ISO 4217: how many decimals a currency has, where that is not two.
_DECIMALS: Final[dict[str, int]] = {
    code: decimals
    for decimals, codes in (
        (0, ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW")),
        (0, ("PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF")),
        (3, ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")),
        (4, ("CLF", "UYW")),
    )
    for code in codes
}
_MOST_DIGITS: Final = 60
_PLAIN_NUMBER: Final = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?")
CURRENCY_CODE: Final = re.compile(r"[A-Z]{3}")


def to_minor(amount: str | int | Decimal, currency: str) -> int:
    """``amount`` in minor units: ``to_minor("12.30", "AUD") == 1230``.

    ``amount`` is a plain decimal number as text, a ``Decimal``, or whole units as an ``int``.

    Raises:
        InvalidRequest: for a float (it is not exactly the number that was written), for anything that is not a plain
            number, for more decimals than the currency has, and for a currency that is not three capital letters.
    """
    currency = _currency(currency)
    decimals = _DECIMALS.get(currency, 2)
    number = _exact(plain_value(amount))
    _, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int) or len(digits) + abs(exponent) > _MOST_DIGITS:
        raise InvalidRequest(f"amount must be a plain number of at most {_MOST_DIGITS} digits", parameter="amount")
    if -exponent > decimals:
        message = f"amount has {-exponent} decimals, {currency} has {decimals}"
        raise InvalidRequest(message, parameter="amount")
    units = int("".join(map(str, digits)))
    return int(units * 10 ** (decimals + exponent)) * (-1 if number.is_signed() else 1)


def from_minor(amount: int, currency: str) -> Decimal:
    """``amount`` in whole units, with the currency's decimals: ``from_minor(1230, "AUD") == Decimal("12.30")``.

    Raises:
        InvalidRequest: for anything that is not an ``int`` from -10**60 to 10**60, and for a currency that is not three
            capital letters.
    """
    decimals = _DECIMALS.get(_currency(currency), 2)
    if isinstance(amount, bool) or not isinstance(amount, int):
        message = f"amount must be an int of minor units, not {type(amount).__name__}"
        raise InvalidRequest(message, parameter="amount")
    amount = int.__int__(amount)
    if abs(amount) > 10**_MOST_DIGITS:
        raise InvalidRequest(f"amount must be from -10**{_MOST_DIGITS} to 10**{_MOST_DIGITS}", parameter="amount")
    digits = tuple(int(digit) for digit in str(abs(amount)))
    return Decimal((int(amount < 0), digits, -decimals))


def _currency(currency: object) -> str:
    if not isinstance(currency, str) or not CURRENCY_CODE.fullmatch(currency):
        raise InvalidRequest("currency must be three capital letters, such as AUD", parameter="currency")
    return plain_text(currency)


def _exact(amount: object) -> Decimal:
    if isinstance(amount, Decimal | int) and not isinstance(amount, bool):
        return Decimal(amount)  # a plain one, of a subclass too
    if isinstance(amount, str):
        if _PLAIN_NUMBER.fullmatch(amount):
            return Decimal(amount)
        raise InvalidRequest("amount must be a plain number such as 12.30", parameter="amount")
    message = f"amount must be text, a Decimal or an int, not {type(amount).__name__}"
    raise InvalidRequest(message, parameter="amount")
