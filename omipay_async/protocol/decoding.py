"""Bytes in, a model or an error out: every oddity of the gateway's replies, in one place. No I/O.

Strict by default: a field of the wrong kind is an error of ours. Each leniency is a hook that cites the documents.
What is a reply at all is decided here too: a JSON object with ``return_code`` SUCCESS (and an HTTP status that agrees),
or FAIL with any status below 500: the documents do not say which one a FAIL has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Any, Final

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, override

from omipay_async import models
from omipay_async.codes import (
    Currency,
    ErrorCode,
    OrderStatus,
    Platform,
    RefundStatus,
    error_code,
    order_status,
    refund_status,
)
from omipay_async.errors import ERROR_CLASSES, APIError, InvalidReply

from .endpoints import MAKE_SCAN_ORDER, Endpoint
from .jsontext import json_object, json_text
from .redaction import excerpt
from .reply import LARGEST_REPLY, Received


@attrs.define
class RequestContext:
    """What a reply is read against: the endpoint, the numbers sent, and the values that no message may show."""

    endpoint: Endpoint
    numbers: Mapping[str, str] = attrs.field(factory=dict)
    secrets: list[str] = attrs.field(factory=list, repr=False)
    general: bool = False
    """Asked through ``AsyncOmipay.call``: the reply is handed over as it is."""
    amount: int | None = None
    """In minor units of ``currency``."""
    currency: str | None = None


# -- single values ----------------------------------------------------------------------------------------------------


class _WrongKindError(ValueError):
    """A value of the wrong kind; says what was expected, never what came."""


_DIGITS: Final = re.compile(r"[0-9]{1,30}")
_DECIMAL: Final = re.compile(r"[0-9]{1,30}(\.[0-9]{1,30})?")
_TIME: Final = re.compile(r"[0-9]{14}")


def _text(value: Any, _: Any = None) -> str:
    if not isinstance(value, str):
        raise _WrongKindError("is no string")
    return value


def _whole(value: Any, _: Any = None) -> int:
    # Seen: integers that come as strings.
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _WrongKindError("is no whole number")
    return value


def _decimal(value: Any, _: Any = None) -> Decimal:
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return Decimal(value)
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or value < 0:
        raise _WrongKindError("is no decimal number")
    return Decimal(value)


def _scaled_rate(value: Any, _: Any = None) -> Decimal | None:
    # "10^8 times of real exchange rate value" (CN 3.8, EN 2.5). Through text: arithmetic would follow the application's
    # decimal context.
    if value is None:
        return None
    whole, fraction = divmod(_whole(value), 100_000_000)
    return Decimal(f"{whole}.{fraction:08d}".rstrip("0").rstrip("."))


def _time(zone: tzinfo) -> Callable[[Any, Any], datetime]:
    def structure(value: Any, _: Any) -> datetime:
        if not isinstance(value, str) or not _TIME.fullmatch(value):
            raise _WrongKindError("is no yyyyMMddHHmmss")
        parts = (value[:4], value[4:6], value[6:8], value[8:10], value[10:12], value[12:])
        try:
            return datetime(*map(int, parts), tzinfo=zone)  # type: ignore[arg-type,misc]  # six of its ints
        except ValueError:
            raise _WrongKindError("is no time") from None

    return structure


def _text_or_number(value: Any, _: Any = None) -> str:
    # timeStamp of an applet order is an integer to those who read the platform's documents, not these (CN 3.7).
    return str(value) if type(value) is int else _text(value)


def _text_or_json(value: Any, _: Any = None) -> str:
    return value if isinstance(value, str) else json_text(value)


def _member(enum: Mapping[str, Any]) -> Callable[[Any, Any], str]:
    def structure(value: Any, _: Any) -> str:
        word = _text(value)
        member: str = enum.get(word, word)
        return member

    return structure


def _or_none(hook: Callable[[Any, Any], str]) -> Callable[[Any, Any], str | None]:
    return lambda value, kind: None if value is None else hook(value, kind)


def _word(read: Callable[[str], str]) -> Callable[[Any, Any], str]:
    return lambda value, _: read(_text(value).strip())


_converters: dict[int, tuple[tzinfo, cattrs.Converter]] = {}


def converter(zone: tzinfo) -> cattrs.Converter:
    """The one strict converter, for replies whose times are of ``zone``."""
    known = _converters.get(id(zone))  # by identity: a tzinfo need not be hashable
    if known is None:
        if len(_converters) >= _MOST_ZONES:
            _converters.clear()
        known = _converters[id(zone)] = (zone, _new_converter(zone))  # with the zone, so that its id stays its own
    return known[1]


_MOST_ZONES: Final = 8


def _new_converter(zone: tzinfo) -> cattrs.Converter:
    made = cattrs.Converter(detailed_validation=True)
    currency, platform = _member(Currency.__members__), _member(Platform.__members__)
    hooks: dict[Any, Callable[[Any, Any], Any]] = {
        str: _text,
        int: _whole,
        Decimal: _decimal,
        datetime: _time(zone),
        Currency | str: currency,
        Currency | str | None: _or_none(currency),
        Platform | str | None: _or_none(platform),
        OrderStatus | str: _word(order_status),
        RefundStatus | str: _word(refund_status),
    }
    for kind, hook in hooks.items():
        made.register_structure_hook(kind, hook)
    for model, names in _WIRE_NAMES.items():
        overrides: dict[str, Any] = {name: override(**how) for name, how in names.items()}
        overrides["raw"] = override(struct_hook=lambda value, _: value)
        made.register_structure_hook(model, make_dict_structure_fn(model, made, **overrides))
    return made


_RATE: Final[dict[str, Any]] = {"struct_hook": _scaled_rate}
# Where a field's name or form on the wire is not the attribute's.
_WIRE_NAMES: Final[dict[type[Any], dict[str, dict[str, Any]]]] = {
    models.ExchangeRate: {},
    models.QROrder: {},
    models.JSAPIOrder: {},
    models.ScanOrder: {},
    models.OnlineOrder: {},
    models.AppOrder: {"order_string": {"struct_hook": _text_or_json}},
    models.AppletOrder: {
        "time_stamp": {"rename": "timeStamp", "struct_hook": _text_or_number},
        "nonce_str": {"rename": "nonceStr"},
        "sign_type": {"rename": "signType"},
        "pay_sign": {"rename": "paySign"},
    },
    models.Order: {"status": {"rename": "result_code"}, "exchange_rate": _RATE},
    models.RefundReceipt: {},
    models.Refund: {"status": {"rename": "result_code"}},
    models.WeChatUser: {},
    models.Notification: {"exchange_rate": _RATE},
}
# The documents' second names for a field: the first one that is there counts.
_SECOND_NAMES: Final[dict[type[Any], dict[str, str]]] = {
    models.AppletOrder: {"package": "Package"},
    models.Order: {"amount": "total_amount", "pay_amount": "cny_amount"},
    models.Notification: {"amount": "total_amount"},
}
# Fields without a default in the model that replies leave out all the same (both documents' examples do).
_MAY_BE_MISSING: Final[dict[type[Any], tuple[str, ...]]] = {
    models.Order: ("out_order_no",),
    models.ScanOrder: ("out_order_no",),
    models.Notification: tuple(
        field.name for field in attrs.fields(models.Notification) if field.name not in ("order_no", "timestamp", "raw")
    ),
}


def structure(model: type[Any], raw: Mapping[str, Any], zone: tzinfo, **known: Any) -> Any:
    """``raw`` as a ``model``; null and "" are what is absent (seen). ``known`` are fields that the reply does not name.

    Raises:
        ValueError: naming each field that is missing or of the wrong kind, without its value.
    """
    return _structure(model, _fields(model, raw, known), zone)


def _fields(model: type[Any], raw: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    fields = {name: value for name, value in raw.items() if value is not None and value != ""}
    for name, second in _SECOND_NAMES.get(model, {}).items():
        if name not in fields and second in fields:
            fields[name] = fields[second]
            if second == "cny_amount" and "pay_currency" not in fields:
                fields["pay_currency"] = "CNY"  # EN 2.5: only where pay_currency says so is it in another currency
    fields.update(known)
    for name in _MAY_BE_MISSING.get(model, ()):
        fields.setdefault(name, None)
    fields["raw"] = raw
    return fields


def _structure(model: type[Any], fields: Mapping[str, Any], zone: tzinfo) -> Any:
    try:
        return converter(zone).structure(fields, model)
    except cattrs.ClassValidationError as error:
        message = "; ".join(f"{name} {what}" for name, what in _troubles(error).items())
    raise ValueError(message)


def _troubles(error: cattrs.ClassValidationError) -> dict[str, str]:
    found: dict[str, str] = {}
    for inner, note in error.group_exceptions()[0]:
        found[note.name] = str(inner) if isinstance(inner, _WrongKindError) else "is missing"
    return found


def structure_what_is_clear(
    model: type[Any], raw: Mapping[str, Any], zone: tzinfo, needed: Collection[str], **known: Any
) -> Any:
    """As :func:`structure`, but of the fields only those ``needed`` must be readable; any other is None then.

    For a success of a money call, which happened, whatever a lesser field looks like; it stays in ``.raw``.
    """
    fields = _fields(model, raw, known)
    try:
        return converter(zone).structure(fields, model)
    except cattrs.ClassValidationError as error:
        troubles = _troubles(error)
    grave = [f"{name} {what}" for name, what in troubles.items() if name in needed]
    if grave:
        raise ValueError("; ".join(grave))
    nullable = _MAY_BE_MISSING.get(model, ())
    on_the_wire = {_WIRE_NAMES[model].get(name, {}).get("rename", name) for name in troubles}
    readable = {name: value for name, value in fields.items() if name not in on_the_wire}
    return _structure(model, {**dict.fromkeys(nullable), **readable}, zone)


# -- whole replies ----------------------------------------------------------------------------------------------------


def decode(asked: RequestContext, received: Received, zone: tzinfo) -> Any:
    """The model that ``received`` is.

    Raises:
        APIError: it is a FAIL; the class follows the code.
        InvalidReply: it is no reply.
    """
    raw = _object(asked, received)
    verdict = raw.get("return_code") or None
    if received.status >= 500:
        # Whatever it says: a server that failed is not believed about money.
        raise _invalid(asked, received, f"it came with HTTP status {received.status}", raw)
    if verdict == "FAIL":
        return _fail(asked, received, raw, zone)
    if asked.endpoint is MAKE_SCAN_ORDER and ErrorCode.USERPAYING in (verdict, _code(raw)):
        # EN 2.4's flow text has it as the return_code. With SUCCESS beside it, it is the safer of two readings.
        return _scan_order(asked, received, raw, OrderStatus.PAYING, zone)
    may_lack_verdict = asked.general or not asked.endpoint.takes_language
    if verdict != "SUCCESS" and not (verdict is None and may_lack_verdict):
        raise _invalid(asked, received, "return_code is neither SUCCESS nor FAIL", raw)
    if not 200 <= received.status < 300:
        raise _invalid(asked, received, f"it came with HTTP status {received.status}", raw)
    return _success(asked, received, raw, zone)


def _object(asked: RequestContext, received: Received) -> dict[str, Any]:
    what = None
    if not received.complete:
        what = f"it is longer than {LARGEST_REPLY} bytes"
    elif received.encoding not in (None, "", "identity"):
        what = "it is compressed, which was not asked for"
    else:
        try:
            return json_object(received.body)
        except ValueError as error:
            what = str(error)
    raise _invalid(asked, received, what)


def _success(asked: RequestContext, received: Received, raw: dict[str, Any], zone: tzinfo) -> Any:
    endpoint = asked.endpoint
    if asked.general:
        return raw
    if endpoint is MAKE_SCAN_ORDER:
        return _scan_order(asked, received, raw, OrderStatus.PAID, zone)
    model = getattr(models, endpoint.reply)
    try:
        if endpoint.number is not None:
            return structure_what_is_clear(model, raw, zone, {endpoint.number})
        return structure(model, raw, zone, **_number_asked_for(asked, raw))
    except ValueError as error:
        what = str(error)
    raise _invalid(asked, received, what, raw)


def _number_asked_for(asked: RequestContext, raw: Mapping[str, Any]) -> dict[str, str]:
    # QueryOrder and QueryRefund do not repeat the number in any document; a reply that names another is not ours.
    name = {"Order": "order_no", "Refund": "refund_no"}.get(asked.endpoint.reply)
    if name is None:
        return {}
    number = asked.numbers[name]
    if raw.get(name) not in (None, "", number):
        message = f"{name} is not the one asked for"
        raise ValueError(message)
    return {name: number}


def _scan_order(
    asked: RequestContext, received: Received, raw: dict[str, Any], status: OrderStatus, zone: tzinfo
) -> Any:
    unpaid: dict[str, Any] = {"order_time": None} if status is OrderStatus.PAYING else {}  # it is the time paid
    try:
        return structure_what_is_clear(models.ScanOrder, raw, zone, {"order_no"}, status=status, **unpaid)
    except ValueError as error:
        what = str(error)
    raise _invalid(asked, received, what, raw)


def _code(raw: Mapping[str, Any]) -> ErrorCode | str:
    word = raw.get("error_code")
    return error_code(word.strip()) if isinstance(word, str) else ""


def _fail(asked: RequestContext, received: Received, raw: dict[str, Any], zone: tzinfo) -> Any:
    code = _code(raw)
    if code is ErrorCode.USERPAYING and asked.endpoint is MAKE_SCAN_ORDER:
        return _scan_order(asked, received, raw, OrderStatus.PAYING, zone)
    said = raw.get("error_msg")
    shown = excerpt(code, asked.secrets)
    message = f"{asked.endpoint.name}: {shown or 'FAIL without an error_code'}"
    if isinstance(said, str) and said:
        message += f" ({excerpt(said, asked.secrets)})"
    order_no = raw.get("order_no")
    raise ERROR_CLASSES.get(code, APIError)(
        message,
        endpoint=asked.endpoint.name,
        error_code=code,
        error_msg=said if isinstance(said, str) else None,
        order_no=order_no if isinstance(order_no, str) and order_no else None,
        raw=raw,
        node=received.node,
    )


def _invalid(asked: RequestContext, received: Received, what: str, raw: dict[str, Any] | None = None) -> InvalidReply:
    return InvalidReply(
        f"{asked.endpoint.name}: HTTP {received.status}, the reply cannot be used: {what}",
        endpoint=asked.endpoint.name,
        status=received.status,
        excerpt=excerpt(received.body, asked.secrets),
        raw=raw,
    )
