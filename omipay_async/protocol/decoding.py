"""Turns the bytes of a reply into a model, a refusal, or an error about an unusable reply. No I/O.

A usable reply is a JSON object with ``return_code`` SUCCESS and a 2xx status, or with FAIL and any status below 500:
the documents do not say which status a FAIL has. ``consistency`` decides which replies are believed, ``conversion``
turns fields into models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from omipay_async.codes import OrderStatus, error_code
from omipay_async.errors import (
    APIError,
    AuthenticationError,
    GatewayError,
    InvalidReply,
    LookupFailed,
    MerchantSetupError,
    OrderStateError,
    ParameterError,
    PaymentDeclined,
)

from .consistency import is_paying, order_no_of, why_not_believed
from .conversion import in_documented_case
from .endpoints import MAKE_SCAN_ORDER, QUERY_ORDER, QUERY_REFUND, REFUND
from .fields import is_absent, issued_number, own_number, word_of
from .jsontext import json_object
from .reply import LARGEST_REPLY, unpacked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .context import RequestContext
    from .conversion import ModelConverter
    from .reply import Received

_ISSUED: Final = {QUERY_ORDER.name: "order_no", REFUND.name: "order_no", QUERY_REFUND.name: "refund_no"}
"""The number in a request by which the gateway looks something up. It has issued that number itself."""


def decode(context: RequestContext, received: Received, converter: ModelConverter) -> Any | APIError | InvalidReply:
    """Decode ``received`` into a model, an :class:`APIError` or an :class:`InvalidReply`.

    The error is returned, not raised: the caller decides what it means for the money.
    """
    parsed: dict[str, Any] | None = None
    try:
        unchanged = _object(received)
        parsed = in_documented_case(unchanged, context.endpoint.reply)
        result = meaning_of(context, parsed, converter, status=received.status, node=received.node)
    except ValueError as error:
        return _invalid(context, received, str(error), parsed)
    return dict(unchanged) if isinstance(result, dict) else result  # a general call returns the keys as they came


def meaning_of(
    context: RequestContext,
    parsed: dict[str, Any],
    converter: ModelConverter,
    *,
    status: int = 200,
    node: str | None = None,
) -> Any | APIError:
    """What the fields of a reply mean: a model, a refusal, or themselves. Raises ValueError if they cannot be used."""
    doubt = why_not_believed(context, parsed)
    if doubt is not None:
        raise ValueError(doubt)
    if status >= 500:
        # Whatever the body contains: a server that has failed is not believed about money.
        raise _wrong_status(status)
    raw = dict(parsed)
    if is_paying(context, raw):  # the order_time of a scan order is when it was paid
        return _model(context, raw, {"status": OrderStatus.PAYING, "order_time": None}, converter)
    verdict = word_of(raw, "return_code")
    if verdict == "FAIL":
        return _refusal(context, raw, node)
    may_be_absent = not context.endpoint.needs_return_code and is_absent(raw.get("return_code"))
    if verdict != "SUCCESS" and not may_be_absent:
        raise ValueError("return_code is neither SUCCESS nor FAIL")
    if not 200 <= status < 300:
        raise _wrong_status(status)
    if context.general:
        return raw
    known = {"status": OrderStatus.PAID} if context.endpoint is MAKE_SCAN_ORDER else {}
    return _model(context, raw, known, converter)


def _model(context: RequestContext, raw: dict[str, Any], known: dict[str, Any], converter: ModelConverter) -> Any:
    endpoint = context.endpoint
    known.update((name, context.sent(name)) for name in endpoint.as_sent)
    return converter.structure(endpoint.reply, raw, endpoint.essential, known)


def _wrong_status(status: int) -> ValueError:
    return ValueError(f"it came with HTTP status {status}")


def _object(received: Received) -> dict[str, Any]:
    if not received.complete:
        message = f"it is longer than {LARGEST_REPLY} bytes"
        raise ValueError(message)
    try:
        return json_object(received.body, received.content_type)
    except ValueError:
        # Unpacked only where the bytes cannot be read as they are: where they can, the header does not count.
        plain = unpacked(received.body, received.encoding)
        if plain is received.body:
            raise
    return json_object(plain, received.content_type)


ERROR_CLASSES: Final[dict[str, type[APIError]]] = {
    code: kind
    for kind, codes in {
        AuthenticationError: ("SIGN_ERROR", "SIGN_TIMEOUT", "MERCHANTNO_INVALID", "MERCHANTNO_DISABLE"),
        ParameterError: ("PARAMETER_INVALID", "BRANCH_INVALID", "CURRENCY_ERROR", "AMOUNT_INVALID"),
        MerchantSetupError: ("WEBSTORE_NOT_EXISTS", "WECHAT_STORE_NOT_EXISTS", "POS_NOT_REGISTERED"),
        PaymentDeclined: ("NOT_ENOUGH", "CARD_NOT_SUPPORT", "QRCODE_EXPIRED", "QRCODE_ERROR"),
        OrderStateError: ("ORDER_PAID", "ORDER_CLOSED", "ORDER_NOT_PAID", "AMOUNT_OVER_LIMIT"),
        LookupFailed: ("PERMISSION_ERROR", "ORDER_NO_ERROR", "REFUND_NO_ERROR"),
        GatewayError: ("SYSTEM_ERROR",),
    }.items()
    for code in codes
}
"""The class that is raised for each documented ``error_code``."""


def _refusal(context: RequestContext, raw: dict[str, Any], node: str | None) -> APIError:
    """The error of a FAIL."""
    word = word_of(raw, "error_code") or own_number(raw.get("error_code")) or ""
    code = error_code(context.excerpt(word))  # events and logs show it
    error_msg = raw.get("error_msg")
    message = f"{context.endpoint.name}: {code or 'FAIL without an error_code'}"
    if isinstance(error_msg, str) and error_msg:
        message += f" ({context.excerpt(error_msg)})"
    kind = ERROR_CLASSES.get(code, APIError)
    if kind is LookupFailed and (number := _ISSUED.get(context.endpoint.name)) is not None:
        message += f"; {number} must be the number that Omipay gave it, not your own"
    return kind(
        message,
        endpoint=context.endpoint.name,
        error_code=code,
        error_msg=error_msg if isinstance(error_msg, str) else None,
        order_no=issued_number(raw.get("order_no")),
        raw=raw,
        node=node,
    )


def _invalid(context: RequestContext, received: Received, what: str, parsed: Mapping[str, Any] | None) -> InvalidReply:
    hint = _redirect(context, received)
    if received.status == 404 and parsed is None:
        hint = " (is base_url right? It ends in /omipay/api)"
    return InvalidReply(
        f"{context.endpoint.name}: HTTP {received.status}{hint}, the reply cannot be used: {what}",
        endpoint=context.endpoint.name,
        status=received.status,
        excerpt=context.excerpt(received.body),
        raw=None if parsed is None else dict(parsed),
        order_no=None if parsed is None else order_no_of(context, parsed),
    )


def _redirect(context: RequestContext, received: Received) -> str:
    """Where a redirect leads to, for a message: without its query, which may be ours, its user and its password."""
    if not 300 <= received.status < 400:
        return ""
    try:
        parts = urlsplit(received.location or "")
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return " (a redirect to what is not a URL)"
    target = f"{parts.scheme}://{host}{parts.path}" if host else parts.path
    return f" (a redirect to {context.excerpt(target)}, which is not followed)" if target else " (a redirect)"
