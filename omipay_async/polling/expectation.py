"""Whether an answer is about the sale that a poll was begun for. Pure.

QueryOrder documents ``out_order_no``, ``currency`` and ``amount`` as those of the order (CN 3.8), QueryRefund
``out_refund_no`` as that of the refund (CN 3.11). A poll that was begun with these values does not accept an answer
with others. A value that is missing on either side is not compared; one that cannot be read is not the expected one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from omipay_async.protocol.consistency import disagrees
from omipay_async.text import plain_value, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from omipay_async.models import Order, Refund

ORDER_FIELDS: Final[Mapping[str, type]] = {"out_order_no": str, "currency": str, "amount": int}
"""The fields that identify an order, and the type that a value must have to be compared."""
REFUND_FIELDS: Final[Mapping[str, type]] = {"out_refund_no": str}
"""The same for refunds."""

Expectation = tuple[object, ...]
"""The expected values of the fields, in their order; None where a value is not known. Empty: nothing is expected."""


def expectation(subject: object, fields: Mapping[str, type]) -> Expectation:
    """What a poll can expect of its ``subject``: the values of an order object or a receipt; of a number, nothing."""
    if isinstance(subject, str):
        return ()
    values = (plain_value(getattr(subject, name, None)) for name in fields)
    return tuple(
        value if isinstance(value, kind) else None for value, kind in zip(values, fields.values(), strict=True)
    )


def contradiction(state: Order | Refund, expected: Expectation, fields: Mapping[str, type]) -> str | None:
    """In which field ``state`` differs from what is expected, as text for a message; None if it does not differ."""
    for name, value in zip(fields, expected, strict=False):
        if disagrees(state, name, value):
            actual = getattr(state, name)
            instead = f"is {printable(actual)} instead of {printable(value)}"
            return f"its {name} {'cannot be read' if actual is None else instead}"
    return None
