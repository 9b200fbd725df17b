"""Rates and limits of the sandbox, in exact decimals. No I/O.

The client converts amounts with its own code.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping

_EIGHT_PLACES: Final = Decimal("0.00000001")
_CONTEXT: Final = Context(rounding=ROUND_HALF_UP)
"""Not the application's, which may round otherwise, or may not allow it at all."""

RATES: Final[Mapping[str, Decimal]] = MappingProxyType(
    {
        "AUD": Decimal(1),
        "CNY": Decimal("5.0154"),  # CN 3.1's example
        "EUR": Decimal("0.6087"),
        "GBP": Decimal("0.5263"),
        "HKD": Decimal("5.1082"),
        "NZD": Decimal("1.0871"),
        "SGD": Decimal("0.8817"),
        "USD": Decimal("0.6541"),
    }
)
"""The value of one Australian dollar in each currency."""


@attrs.define
class Terms:
    """The gateway's rates and limits; attributes may be changed while the sandbox runs.

    ``smallest`` and ``largest`` limit a single payment, in minor units of the currency that the customer pays in.
    """

    rates: Mapping[str, Decimal] = RATES
    smallest: int = 1
    largest: int = 100_000_000

    def rate(self, currency: str, base_currency: str) -> Decimal | None:
        """1 ``currency`` in ``base_currency``, with eight decimals; None if the pair has no rate."""
        if currency not in self.rates or base_currency not in self.rates:
            return None
        return self.known_rate(currency, base_currency)

    def known_rate(self, currency: str, base_currency: str) -> Decimal:
        """As :meth:`rate`, for two currencies that have a rate. Raises KeyError if one does not."""
        return _CONTEXT.quantize(_CONTEXT.divide(self.rates[base_currency], self.rates[currency]), _EIGHT_PLACES)


def convert(amount: int, rate: Decimal) -> int:
    """Minor units of one currency in those of another that also has two decimals."""
    return int(_CONTEXT.to_integral_value(_CONTEXT.multiply(amount, rate)))


def wire_rate(rate: Decimal) -> int:
    """``exchange_rate``: 10^8 times the rate (CN 3.8)."""
    return int(_CONTEXT.scaleb(rate, 8))


def is_below_a_cent(amount: int, aud_rate: Decimal) -> bool:
    """Whether a refund of ``amount`` comes to less than A$0.01 at the order's own rate (CN 3.10)."""
    return _CONTEXT.multiply(amount, aud_rate) < 1
