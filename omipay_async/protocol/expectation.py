"""Whether an answer is about the sale that was asked about. Pure.

QueryOrder documents ``out_order_no``, ``currency`` and ``amount`` as those of the order (CN 3.8), QueryRefund
``out_refund_no`` as that of the refund (CN 3.11), and neither documents that the gateway's own number comes back. If
these values are known, an answer with others is not accepted. A value that is missing on either side is not compared;
one that cannot be read is not the expected one.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol

from omipay_async.errors import InvalidReply
from omipay_async.models import RefundReceipt
from omipay_async.text import bare, plain_value, printable

from .endpoints import QUERY_ORDER
from .fields import is_unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from omipay_async.models import Order, Refund


class HasOrderNo(Protocol):
    """An object with the gateway's number of an order: an order of any kind, or one of your own."""

    @property
    def order_no(self) -> str:
        """The gateway's number of the order."""
        ...


ORDER_FIELDS: Final[Mapping[str, type]] = {"out_order_no": str, "currency": str, "amount": int}
"""The fields that identify an order, and the type that a value must have to be compared."""
REFUND_FIELDS: Final[Mapping[str, type]] = {"out_refund_no": str}
"""The same for refunds."""
_NOTHING: Final[Mapping[str, object]] = MappingProxyType({})


def number_of(subject: object, name: str) -> Any:
    """The gateway's number of ``subject``, which is a number itself, or an object that has one as ``name``.

    The receipt of a refund names an order, but its amount is that of the refund: it is returned as it is, and rejected
    later.
    """
    if isinstance(subject, str) or (name == "order_no" and isinstance(subject, RefundReceipt)):
        return subject
    return getattr(subject, name, subject)


def expectation(subject: object, fields: Mapping[str, type]) -> Mapping[str, object]:
    """What an answer about ``subject`` should say: the values of an order object or a receipt; of a number, nothing."""
    if isinstance(subject, str):
        return _NOTHING
    values = {name: plain_value(getattr(subject, name, None)) for name in fields}
    return {name: value for name, value in values.items() if isinstance(value, fields[name])}


def disagrees(state: Order | Refund, name: str, expected: object) -> bool:
    """Whether an order or a refund has another ``name`` than is ``expected``, or one that cannot be read.

    What is missing on either side (None) does not disagree: the documents' own examples leave fields out.
    """
    if expected is None:
        return False
    actual = getattr(state, name)
    if actual is None:
        return is_unreadable(state.raw.get(name))
    return _comparable(name, actual) != _comparable(name, expected)


def _comparable(name: str, value: object) -> object:
    # Databases fill text up with spaces, and some shops write currencies in small letters.
    text = bare(value) if isinstance(value, str) else value
    return text.upper() if name == "currency" and isinstance(text, str) else text


def contradiction(state: Order | Refund, expected: Mapping[str, object]) -> str | None:
    """How ``state`` shows that it is about another sale, as text for a message; None if it does not."""
    for name, value in expected.items():
        if disagrees(state, name, value):
            actual = getattr(state, name)
            instead = f"is {printable(actual)} instead of {printable(value)}"
            return f"the answer is about another sale, its {name} {'cannot be read' if actual is None else instead}"
    return None


def ensure_same_sale(order: Order, subject: object) -> None:
    """Reject QueryOrder's answer if it is about another sale than ``subject``, an order's number or an order object.

    Raises:
        InvalidReply: it is.
    """
    wrong = contradiction(order, expectation(subject, ORDER_FIELDS))
    if wrong is not None:
        message = f"{QUERY_ORDER.name}: order {order.order_no}: {wrong}"
        raise InvalidReply(message, endpoint=QUERY_ORDER.name, raw=order.raw)
