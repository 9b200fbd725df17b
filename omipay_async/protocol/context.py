"""What was sent in a call, so that its reply can be compared with it. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

from omipay_async.text import Secret, plain_text, plain_value

from .endpoints import LARGEST_INT
from .redaction import excerpt

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .endpoints import Endpoint

NUMBERS: Final = ("out_order_no", "out_refund_no", "order_no", "refund_no")
"""The parameters that identify the order or refund of a call, the merchant's own first."""

_NOTED: Final = (*NUMBERS, "amount", "currency")

_DIGITS: Final = len(str(LARGEST_INT)) - 1
"""How many digits an amount may have that is given as text."""


def _numbers(values: Mapping[str, object]) -> dict[str, str]:
    # A number that `call()` was given as an int is sent, and repeated in the reply, as text. (An int that is too large
    # is rejected later.)
    return {
        name: plain_text(value) if isinstance(value, str) else str(value)
        for name, value in values.items()
        if name in NUMBERS and (isinstance(value, str) or (type(value) is int and abs(value) <= LARGEST_INT))
    }


def _amount(value: object) -> int | None:
    # `call()` may be given an amount as text, since all parameters are text on the wire.
    if isinstance(value, str) and (digits := value.strip()).isascii() and digits.isdigit() and len(digits) <= _DIGITS:
        return int(digits)
    return value if type(value) is int else None


@attrs.define(eq=False, repr=False)
class RequestContext:
    """What was sent: endpoint, numbers, amount and currency; and the secrets that no message may show."""

    endpoint: Endpoint[Any]
    numbers: Mapping[str, str] = attrs.field(factory=dict)
    secrets: list[str] = attrs.field(factory=list, repr=False)
    """Keys, payment codes, and each signature and nonce that went out."""
    general: bool = False
    """Whether this is a call by ``AsyncOmipay.call``, which returns the reply unchanged."""
    amount: int | None = None
    """In minor units of ``currency``."""
    currency: str | None = None

    @classmethod
    def of(
        cls, endpoint: Endpoint[Any], values: Mapping[str, Any], keys: Iterable[str], *, general: bool = False
    ) -> RequestContext:
        """The context of a call of ``endpoint`` with ``values``, which may be invalid; ``keys`` are the merchant's."""
        plain = {name: plain_value(values[name]) for name in _NOTED if name in values}
        currency = plain.get("currency")
        # Of a general call nobody knows which text is secret.
        secret = values if general else (parameter.name for parameter in endpoint.parameters if parameter.secret)
        return cls(
            endpoint,
            numbers=_numbers(plain),
            secrets=[*keys, *(Secret(values[name]) for name in secret if isinstance(values.get(name), str))],
            general=general,
            amount=_amount(plain.get("amount")),
            # As in a reply: a gateway may accept small letters.
            currency=plain_text(currency).strip().upper() if isinstance(currency, str) else None,
        )

    def excerpt(self, text: bytes | str) -> str:
        """The beginning of ``text`` from the gateway, without this call's secrets."""
        return excerpt(text, self.secrets)

    def sent(self, name: str) -> str | int | None:
        """What was sent as ``name``."""
        if name == "amount":
            return self.amount
        return self.currency if name == "currency" else self.numbers.get(name)
