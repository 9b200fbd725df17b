"""Parses and checks what arrives at a merchant's notify_url (CN 3.9, EN 2.6), and builds the answer. No I/O.

The signature does not cover the body. It proves only that somebody recently saw a signature of this merchant. Only
QueryOrder shows whether and how much was paid. So a body is parsed and checked here, and then compared with the
gateway's answer. None of its values ever becomes part of an :class:`Order`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from omipay_async.errors import (
    InvalidSignature,
    MalformedNotification,
    NotificationError,
    ReflectedNotification,
    StaleNotification,
    UnconfirmedNotification,
    portable,
)
from omipay_async.log import log_fields, logger
from omipay_async.models import Notification, Order
from omipay_async.text import Secret, plain_text, printable

from .conversion import in_documented_case
from .expectation import disagrees
from .jsontext import json_object, repeated_keys, with_bare_keys
from .signing import was_issued

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conversion import ModelConverter
    from .signing import Credentials

LARGEST_BODY: Final = 64 * 1024
"""In bytes; real notifications have a few hundred."""
_LONGEST_FIELD: Final = 256


class SealedBody:
    """A body as it was received. Its ``repr`` hides it: anybody can use the signature for five minutes."""

    __slots__ = ("_content",)

    def __init__(self, content: object) -> None:
        self._content = content

    def unsealed(self) -> Any:
        """The content: pass it on in the same expression, so that no local variable shows it."""
        return self._content

    def read(self) -> _SignedFields:
        """The fields of the body, and its signature.

        Raises:
            ValueError: the body is wrong; the message shows nothing of it.
        """
        fields = _fields(self._content)
        nonce, sign, timestamp = (_scalar(fields, name) for name in ("nonce_str", "sign", "timestamp"))
        return _SignedFields(fields, Secret(nonce), Secret(sign), timestamp)


@attrs.frozen
class _SignedFields:
    """The fields of a notification, and its signature."""

    raw: dict[str, Any] = attrs.field(repr=False)
    nonce: Secret
    sign: Secret
    timestamp: str


def parse(
    body: SealedBody,
    *,
    credentials: Credentials,
    issued: Callable[[str], bool] | None,
    converter: ModelConverter,
) -> Notification:
    """Parse ``body``, whose signature must be this merchant's, and whose nonce must not be one that we issued.

    Raises:
        MalformedNotification, InvalidSignature, ReflectedNotification
    """
    signed, wrong = None, ""
    try:
        signed = body.read()
    except ValueError as error:
        wrong = str(error)
    if signed is None:
        raise MalformedNotification(wrong)
    if not credentials.verify(signed.timestamp, signed.nonce, signed.sign):
        raise InvalidSignature("the notification is not signed with this merchant's key")
    if issued is not None and was_issued(issued, signed.nonce):
        message = "the notification has a nonce that this merchant issued: one of our own signatures was sent back"
        raise ReflectedNotification(message)
    try:
        notification = converter.structure(Notification, signed.raw, _ESSENTIAL)
        _check_order_no(signed.raw["order_no"])
    except ValueError as error:
        wrong = str(error)
    else:
        return notification
    message = f"the notification cannot be read: {wrong}"
    raise MalformedNotification(message)


# The fields that are compared with the gateway's answer must be readable. Any other that is not becomes None.
_ESSENTIAL: Final = frozenset({"order_no", "timestamp", "out_order_no", "currency", "amount"})
ORDER_NO: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""The gateway's number of an order, where it comes from outside: from a notification's body, or from a person."""


def _check_order_no(order_no: str) -> None:
    # A stranger can choose it, and it becomes a key of the once-guard: one order must not have two spellings.
    if not ORDER_NO.fullmatch(order_no):
        raise ValueError("order_no is not 1 to 64 of A-Z, a-z, 0-9, _ and -")


def check_age(notification: Notification, now_ms: int, max_age: float | None) -> None:
    """Reject what was signed more than ``max_age`` seconds before or after ``now_ms``.

    Raises:
        StaleNotification
    """
    if max_age is None:
        return
    age_s = (now_ms - notification.timestamp) / 1000
    if abs(age_s) > max_age:
        when = f"{abs(age_s):.0f} s {'ago' if age_s > 0 else 'in the future'}"
        message = f"the notification was signed {when}; at most {max_age:g} s are accepted"
        raise StaleNotification(message)


def compare(notification: Notification, order: Order) -> None:
    """Reject a body that disagrees with the gateway's answer. What is missing on either side is not compared.

    Raises:
        UnconfirmedNotification
    """
    if not order.is_paid:
        message = f"the gateway reports that order {printable(order.order_no)} is {printable(order.status)}, not paid"
        raise UnconfirmedNotification(message, order=order)
    for name in ("order_no", "out_order_no", "currency", "amount"):
        if disagrees(order, name, getattr(notification, name)):
            message = f"the notification's {name} is not that of order {printable(order.order_no)}"
            raise UnconfirmedNotification(message, order=order)


def _fields(body: object) -> dict[str, Any]:
    if isinstance(body, str):
        body = plain_text(body).encode(errors="surrogatepass")
    if isinstance(body, bytes | bytearray | memoryview):
        return _without_repetition(_json_fields(bytes(body)))
    if isinstance(body, Mapping) and all(isinstance(key, str) for key in body):
        return _without_repetition(with_bare_keys(body))
    message = f"the body must be bytes, text or a mapping with text keys, not {type(body).__name__}"
    raise ValueError(message)


def _json_fields(body: bytes) -> dict[str, Any]:
    if len(body) > LARGEST_BODY:
        message = f"the body is longer than {LARGEST_BODY} bytes"
        raise ValueError(message)
    try:
        return json_object(body)
    except ValueError as error:
        message = f"the body is not a notification: {error}"
    raise ValueError(message)


def _without_repetition(fields: dict[str, Any]) -> dict[str, Any]:
    # Stricter than with replies: a sender may repeat a key so that two programs read different values.
    fields = in_documented_case(fields, Notification)
    if repeated_keys(fields):
        raise ValueError("the body is not a notification: it contains a key twice")
    return dict(fields)


def _scalar(raw: Mapping[str, Any], name: str) -> str:
    # `timestamp` is a Long (CN 3.9), but was also seen as text.
    value = raw.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and name == "timestamp" and abs(value) < 10**20:
        value = str(value)
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_FIELD:
        message = f"the notification has no {name}"
        raise ValueError(message)
    return value


@attrs.frozen
class NotificationReply:
    """The answer for the gateway, and the result of the notification."""

    status: int
    """The HTTP status."""
    body: bytes
    """The documented JSON: ``{"return_code": "SUCCESS"}``, or FAIL."""
    headers: Mapping[str, str]
    order: Order | None = None
    """The order as the gateway confirmed it; None if it did not."""
    ran: bool = False
    """Whether the handler ran for this delivery, and succeeded."""
    error: BaseException | None = None
    """Why the answer is FAIL."""

    def __reduce__(self) -> tuple[type[NotificationReply], tuple[Any, ...]]:
        # A handler may raise anything.
        error = portable(self.error)
        return NotificationReply, (self.status, self.body, self.headers, self.order, self.ran, error)


def _headers() -> dict[str, str]:
    return {"Content-Type": "application/json"}  # a new dict for each reply: a read-only view cannot be pickled


def success(order: Order, *, ran: bool) -> NotificationReply:
    """The answer SUCCESS: no further delivery is wanted."""
    return NotificationReply(200, b'{"return_code": "SUCCESS"}', _headers(), order, ran)


def failure(status: int, error: BaseException, order: Order | None = None) -> NotificationReply:
    """The answer FAIL: another delivery is wanted (5xx), or the body is rejected (4xx)."""
    return NotificationReply(status, b'{"return_code": "FAIL"}', _headers(), order, error=error)


def log_refusal(error: NotificationError, order_no: str | None = None) -> None:
    """Log that a body was rejected, without quoting it; ``order_no`` is that of a body whose signature is valid."""
    extra = log_fields(order_no=order_no)
    logger.warning("a notification was refused: %s: %s", type(error).__name__, error, extra=extra)
