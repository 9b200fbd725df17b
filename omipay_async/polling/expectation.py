"""Whether an answer is about the sale that a poll was begun for. Pure.

QueryOrder documents ``out_order_no``, ``currency`` and ``amount`` as those of the order (CN 3.8), QueryRefund
``out_refund_no`` as that of the refund (CN 3.11). A poll that knows what they should be takes no answer that says
something else. What either side leaves out does not disagree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from omipay_async.protocol.redaction import printable
from omipay_async.text import plain_value

if TYPE_CHECKING:
    from collections.abc import Mapping

ORDER_FIELDS: Final[Mapping[str, type]] = {"out_order_no": str, "currency": str, "amount": int}
"""What tells one order from another, and the type that a value must have to be compared."""
REFUND_FIELDS: Final[Mapping[str, type]] = {"out_refund_no": str}
"""The same of refunds."""

Expectation = tuple[object, ...]
"""What the fields must be, in their order. None: it is not known. An empty one expects nothing."""


def expectation(subject: object, fields: Mapping[str, type]) -> Expectation:
    """What is known of the ``subject`` of a poll: an order object or a receipt says more than a number alone."""
    if isinstance(subject, str):
        return ()
    values = (plain_value(getattr(subject, name, None)) for name in fields)
    return tuple(
        value if isinstance(value, kind) else None for value, kind in zip(values, fields.values(), strict=True)
    )


def contradiction(state: object, expected: Expectation, fields: Mapping[str, type]) -> str | None:
    """What ``state`` says that cannot be true of the expected sale; None if it may be the same."""
    for name, value in zip(fields, expected, strict=False):
        said = getattr(state, name)
        if value is not None and said is not None and said != value:
            return f"its {name} is {printable(said)} instead of {printable(value)}"
    return None
