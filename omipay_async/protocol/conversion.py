"""Converts the fields of a reply to a model. No I/O.

It is strict by default, and each leniency is a hook that cites the documents. A field of the wrong kind is an error,
which names the field and never shows its value.
"""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs

from omipay_async import models, new_orders
from omipay_async.codes import Currency, OrderStatus, Platform, RefundStatus, order_status, refund_status
from omipay_async.text import plain_text

from .context import NUMBERS
from .endpoints import ENDPOINTS
from .fields import DamagedText, is_absent, issued_number, own_number
from .jsontext import JSONObject, conflicting_keys, fields_of, json_text, repeated_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import tzinfo

    import cattrs

T = TypeVar("T")


# -- single values ----------------------------------------------------------------------------------------------------


class _WrongKindError(ValueError):
    """A value of the wrong kind. The message contains what was expected, never the value."""


_DIGITS: Final = re.compile(r"[0-9]{1,30}")
_DECIMAL: Final = re.compile(r"[0-9]{1,30}(\.[0-9]{1,30})?")
_TIME: Final = re.compile(r"[0-9]{8}([01][0-9]|2[0-3])[0-9]{4}")
_MOST_DIGITS: Final = 30
_LARGEST_WHOLE: Final = 10**_MOST_DIGITS
_FIRST_YEAR: Final = 2000  # an earlier time is the default value of some database


def _text_to_show(value: Any, _: Any = None) -> str:
    if not isinstance(value, str):
        raise _WrongKindError("is not a string")
    return plain_text(value)  # damaged or not: a person reads it


def _text(value: Any, _: Any = None) -> str:
    if type(value) is str:  # nearly always
        return value
    if isinstance(value, DamagedText):
        raise _WrongKindError("is not UTF-8")
    return _text_to_show(value)


def _is_ordinary(number: Decimal) -> bool:
    # Numbers of absurd size are rejected before anything is computed: 1e999999999 as an int takes a gigabyte.
    if not number.is_finite() or abs(number.adjusted()) > _MOST_DIGITS:
        return False
    return int(number.as_tuple().exponent) >= -2 * _MOST_DIGITS


def _whole(value: Any, _: Any = None) -> int:
    # Integers as strings were seen. A JSON number with a zero fraction (450.0) is an integer too.
    if type(value) is int and 0 <= value < _LARGEST_WHOLE:  # nearly always
        return value
    if isinstance(value, str) and _DIGITS.fullmatch(value.strip()):
        return int(value)
    if isinstance(value, float):  # in a mapping that another reader of JSON has made
        value = Decimal(value)
    if isinstance(value, Decimal) and _is_ordinary(value) and value == value.to_integral_value():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _LARGEST_WHOLE:
        raise _WrongKindError("is not a whole number")
    return value


def _decimal(value: Any, _: Any = None) -> Decimal:
    if isinstance(value, str) and _DECIMAL.fullmatch(value.strip()):
        return Decimal(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST_WHOLE:
        return Decimal(value)
    if not isinstance(value, Decimal) or not _is_ordinary(value) or value < 0:
        raise _WrongKindError("is not a decimal number")
    return value


def _scaled_rate(value: Any, _: Any = None) -> Decimal:
    # "10^8 times of real exchange rate value" (CN 3.8, EN 2.5). Through text: arithmetic would follow the application's
    # decimal context.
    whole, fraction = divmod(_whole(value), 100_000_000)
    return Decimal(f"{whole}.{fraction:08d}".rstrip("0").rstrip("."))


def _time(zone: tzinfo) -> Callable[[Any, Any], datetime | None]:
    def structure(value: Any, _: Any) -> datetime | None:
        text = value.strip() if isinstance(value, str) else ""
        if not _TIME.fullmatch(text):
            raise _WrongKindError("is not a time of the form yyyyMMddHHmmss")
        try:
            time = datetime.fromisoformat(f"{text[:8]}T{text[8:]}")
        except ValueError:
            raise _WrongKindError("is not a time that exists") from None
        return in_zone(time, zone) if time.year >= _FIRST_YEAR else None

    return structure


def in_zone(time: datetime, zone: tzinfo) -> datetime | None:
    """A wall-clock time in ``zone``, None without an offset; where the hour comes twice, its first one (PROTOCOL 1)."""
    try:
        localize = getattr(zone, "localize", None)
        if localize is None:
            found = time.replace(tzinfo=zone)
        else:
            # A zone of pytz must be localised: otherwise it would mean the local mean time of the 19th century.
            found = min(localize(time, is_dst=True), localize(time, is_dst=False))
        return None if found.utcoffset() is None else found
    except Exception:  # noqa: BLE001 - a zone that the user gives may raise anything, after money has moved
        return None


def _text_or_number(value: Any, _: Any = None) -> str:
    # timeStamp of an applet order is a string in CN 3.7, but an integer in the platform's documents.
    return str(value) if type(value) is int else _text(value)


def _issued_number(value: Any, _: Any = None) -> str:
    number = issued_number(value)
    if number is None:
        raise _WrongKindError("is not a string" if not isinstance(value, str) else "is not UTF-8")
    return number


def _own_number(value: Any, _: Any = None) -> str:
    number = own_number(value)
    if number is None:
        raise _WrongKindError("is not UTF-8" if isinstance(value, str) else "is neither text nor a whole number")
    return number


def _text_or_json(value: Any, _: Any = None) -> str:
    # order_string may be a JSON value (CN 3.6).
    if isinstance(value, str):
        return value
    try:
        return json_text(value)
    except ValueError:
        raise _WrongKindError("is neither a string nor JSON that can be written") from None


def _member(enum: Mapping[str, Any]) -> Callable[[Any, Any], str]:
    def structure(value: Any, _: Any) -> str:
        word = _text(value)
        member: str = enum.get(word.strip().upper(), word)
        return member

    return structure


def _or_none(hook: Callable[[Any, Any], T]) -> Callable[[Any, Any], T | None]:
    return lambda value, kind: None if value is None else hook(value, kind)


def _word(read: Callable[[str], str]) -> Callable[[Any, Any], str]:
    return lambda value, _: read(_text(value).strip())


# -- models -----------------------------------------------------------------------------------------------------------

_RATE: Final[dict[str, Any]] = {"struct_hook": _or_none(_scaled_rate)}
_NUMBERS: Final[dict[str, Callable[[Any, Any], str | None]]] = {
    "order_no": _issued_number,
    "refund_no": _issued_number,
    "out_order_no": _or_none(_own_number),
    "out_refund_no": _or_none(_own_number),
}
# The fields whose name or form on the wire differs from the attribute's.
_OVERRIDES: Final[dict[type[Any], dict[str, dict[str, Any]]]] = {
    new_orders.AppOrder: {"order_string": {"struct_hook": _text_or_json}},
    new_orders.AppletOrder: {
        "time_stamp": {"rename": "timeStamp", "struct_hook": _text_or_number},
        "nonce_str": {"rename": "nonceStr"},
        "sign_type": {"rename": "signType"},
        "pay_sign": {"rename": "paySign"},
    },
    models.Order: {"status": {"rename": "result_code"}, "exchange_rate": _RATE},
    models.Refund: {"status": {"rename": "result_code"}},
    models.Notification: {"exchange_rate": _RATE},
    models.WeChatUser: {"nickname": {"struct_hook": _text_to_show}},
}
# The documents' second names for a field, used where the first is missing.
_SECOND_NAMES: Final[dict[type[Any], dict[str, str]]] = {
    new_orders.AppletOrder: {"package": "Package"},
    models.Order: {"amount": "total_amount", "pay_amount": "cny_amount"},
    models.Notification: {"amount": "total_amount"},
}
_OTHER_NAMES: Final = {
    model: pairs | {two: one for one, two in pairs.items()} for model, pairs in _SECOND_NAMES.items()
}
# Fields without a default that a reply may leave out all the same, as the examples of both documents do.
_MAY_BE_MISSING: Final[dict[type[Any], tuple[str, ...]]] = {
    models.Order: ("out_order_no",),
    models.ScanOrder: ("out_order_no",),
    models.Notification: tuple(
        field.name for field in attrs.fields(models.Notification) if field.name not in ("order_no", "timestamp")
    ),
}
# What says how a call ended, whatever its reply is converted to.
_VERDICTS: Final = ("return_code", "result_code", "error_code", "error_msg", "success")
_SIGNATURE: Final[dict[type[Any], tuple[str, ...]]] = {models.Notification: ("nonce_str", "sign")}


def _key_of(model: type[Any], name: str) -> str:
    """The key on the wire of the field ``name``."""
    key: str = _OVERRIDES.get(model, {}).get(name, {}).get("rename", name)
    return key


def _documented_keys(model: type[Any]) -> tuple[frozenset[str], Mapping[str, str]]:
    """The keys of what is converted to ``model``, as the documents write them, and these by their lower case."""
    fields = [field.name for field in attrs.fields(model) if field.name != "raw"] if attrs.has(model) else []
    own = [_key_of(model, name) for name in fields]
    keys = (*_SECOND_NAMES.get(model, {}).values(), *_SIGNATURE.get(model, ()), *NUMBERS, *_VERDICTS, *own)
    return frozenset(keys), {key.casefold(): key for key in keys}


_MODELS: Final[tuple[type[Any], ...]] = (dict, models.Notification, *(each.reply for each in ENDPOINTS.values()))
_DOCUMENTED_KEYS: Final = {model: _documented_keys(model) for model in _MODELS}


def in_documented_case(fields: dict[str, Any], model: type[Any]) -> dict[str, Any]:
    """``fields``, in which each key that the documents write in another case is written as there.

    A key is renamed only if ``fields`` has neither the documented key nor the field's second name: beside one of these
    it may mean something else. A ``return_code`` is always renamed, since a second one is a second verdict.
    """
    exact, by_lower_case = _DOCUMENTED_KEYS[model]
    if exact.issuperset(fields):
        return fields
    other = _OTHER_NAMES.get(model, {})
    names: dict[str, str] = {}
    for key in fields:
        name = by_lower_case.get(key.casefold())
        if name is None or key in exact:
            continue
        if name == "return_code" or not (name in fields or other.get(name) in fields):
            names[key] = name
    if not names:
        return fields
    renamed = fields_of([(names.get(key, key), value) for key, value in fields.items()])
    return JSONObject(  # two keys may have become one, besides those that were repeated before
        renamed,
        repeated=(*(names.get(key, key) for key in repeated_keys(fields)), *repeated_keys(renamed)),
        conflicts=(*(names.get(key, key) for key in conflicting_keys(fields)), *conflicting_keys(renamed)),
    )


class ModelConverter:
    """Converts replies whose times are in one time zone.

    One is made before anything is sent, and everything that it needs is loaded then: a reply that has arrived must not
    wait for files, or get lost because one cannot be read.
    """

    __slots__ = ("_converter",)

    def __init__(self, zone: tzinfo) -> None:
        self._converter = _new_converter(zone)

    def structure(
        self,
        model: type[T],
        raw: Mapping[str, Any],
        essential: Collection[str],
        known: Mapping[str, Any] = MappingProxyType({}),
    ) -> T:
        """Convert ``raw`` to a ``model``. The values of ``known`` replace those of ``raw``.

        Only the ``essential`` fields must be readable. Any other field that is not becomes None, and stays in ``.raw``,
        so that a field of less importance never hides a payment.

        Raises:
            ValueError: naming each essential field that is missing or of the wrong kind, without its value.
        """
        import cattrs

        converter = self._converter
        fields = _fields(model, raw, known)
        try:
            return converter.structure(fields, model)
        except cattrs.ClassValidationError as error:
            failures = _failures(error)
        fatal = [f"{name} {what}" for name, what in failures.items() if name in essential]
        if fatal:
            raise ValueError("; ".join(fatal))
        unreadable = {_key_of(model, name) for name in failures}
        readable = {key: value for key, value in fields.items() if key not in unreadable}
        return converter.structure({**dict.fromkeys(_MAY_BE_MISSING.get(model, ())), **readable}, model)


def _new_converter(zone: tzinfo) -> cattrs.Converter:
    import cattrs
    from cattrs.gen import make_dict_structure_fn, override

    converter = cattrs.Converter(detailed_validation=True)
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
    for kind in (str, int, Decimal, datetime):  # cattrs would look up their hooks again for each value
        hooks[kind | None] = _or_none(hooks[kind])
    for kind, hook in hooks.items():
        converter.register_structure_hook(kind, hook)

    def structure_function(model: type[Any]) -> Callable[[Any, Any], Any]:
        names = {field.name for field in attrs.fields(model)}
        overrides: dict[str, Any] = {name: override(struct_hook=_NUMBERS[name]) for name in _NUMBERS if name in names}
        overrides.update((name, override(**how)) for name, how in _OVERRIDES.get(model, {}).items())
        overrides["raw"] = override(struct_hook=lambda value, _: value)
        return make_dict_structure_fn(model, converter, **overrides)

    converter.register_structure_hook_factory(attrs.has, structure_function)  # for each model at its first use
    return converter


def _fields(model: type[Any], raw: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    fields = {name: value for name, value in raw.items() if not is_absent(value)}
    for name, second in _SECOND_NAMES.get(model, {}).items():
        if name not in fields and second in fields:
            fields[name] = fields[second]
            if second == "cny_amount" and "pay_currency" not in fields:
                fields["pay_currency"] = "CNY"  # EN 2.5: it is in another currency only if pay_currency is
    fields.update(known)
    for name in _MAY_BE_MISSING.get(model, ()):
        fields.setdefault(name, None)
    fields["raw"] = raw
    return fields


def _failures(error: cattrs.ClassValidationError) -> dict[str, str]:
    found: dict[str, str] = {}
    for inner, note in error.group_exceptions()[0]:
        found[note.name] = str(inner) if isinstance(inner, _WrongKindError) else "is missing"
    return found
