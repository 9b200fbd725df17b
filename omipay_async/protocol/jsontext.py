"""Reads JSON as the gateway writes it: numbers stay exact, and stray spaces around keys are removed. No I/O.

Oddities that leave the meaning clear are accepted: a byte order mark, control characters inside of strings, lone
surrogates, numbers of any size, keys with stray spaces or invisible characters around them. A key that appears twice is
reported, since nobody knows which value counts.

One value that cannot be read does not make the others unreadable: ``NaN`` and ``Infinity`` are numbers that are not
finite, and text with bytes that are not UTF-8 is :class:`DamagedText`. UTF-16 and UTF-32, whose bytes cannot be
mistaken, are read too.

Text that is not quite JSON, since a program has put it together by hand, is repaired where its meaning is clear. A
backslash in a text for people (``C:\\temp``, ``can\\'t``), or one number of less importance (``nan``, ``04.71``,
``1.#INF``), must not make a refusal, or a payment, unreadable. What stands between the values is not touched, so a
reply that was cut off stays unreadable.
"""

from __future__ import annotations

import contextlib
import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from omipay_async.text import bare, plain_text, plain_value, wide_encoding

from .fields import DamagedText

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class JSONObject(dict[str, Any]):
    """A JSON object in which keys were ``repeated``; ``conflicts`` are those with different values."""

    __slots__ = ("conflicts", "repeated")

    def __init__(self, fields: Mapping[str, Any], repeated: tuple[str, ...], conflicts: tuple[str, ...]) -> None:
        super().__init__(fields)
        self.repeated = repeated
        self.conflicts = conflicts


def repeated_keys(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys that an object had more than once."""
    return fields.repeated if isinstance(fields, JSONObject) else ()


def conflicting_keys(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys that an object had more than once, with different values."""
    return fields.conflicts if isinstance(fields, JSONObject) else ()


def _integer(text: str) -> int | Decimal:
    try:
        return int(text)
    except ValueError:  # it has more digits than int() accepts; Decimal reads them in linear time
        return Decimal(text)


def _fraction(text: str) -> Decimal:
    # Rates never pass through binary floats. An exponent that is too large for Decimal makes the number infinite.
    try:
        return Decimal(text)
    except ArithmeticError:
        return Decimal("Infinity")


def fields_of(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The fields of an object, or of a query string, by their names without stray spaces."""
    fields = dict(pairs)
    names = "".join(fields)
    if len(fields) == len(pairs) and names.isprintable() and " " not in names:
        return fields  # no key is repeated, and none has a space or an invisible character
    stripped = [(bare(key), value) for key, value in pairs]
    first: dict[str, Any] = {}
    repeated, conflicts = [], []
    for key, value in stripped:
        if key not in first:
            first[key] = value
            continue
        repeated.append(key)
        if type(value) is not type(first[key]) or value != first[key]:  # True == 1, but they are different values
            conflicts.append(key)
    return JSONObject(dict(stripped), tuple(repeated), tuple(conflicts))


_JSON: Final = json.JSONDecoder(  # made once: json.loads(parse_float=...) would make one on each call
    parse_float=_fraction,
    parse_int=_integer,
    parse_constant=Decimal,
    object_pairs_hook=fields_of,
    strict=False,  # it accepts control characters
)
_CHARSET: Final = re.compile(r"charset\s{0,9}=\s{0,9}[\"']?([\w-]+)", re.IGNORECASE)
_GB_2312_NAMES: Final = frozenset({"gb2312", "csgb2312", "gb231280", "csgb231280", "gb23121980", "euccn"})
_GB_18030_NAMES: Final = frozenset({"gb18030", "gb180302000", "gb180302005", "gb180302022"})
_GBK_NAMES: Final = {"gbk", "xgbk", "csgbk", "cp936", "ms936", "windows936"} | _GB_2312_NAMES | _GB_18030_NAMES
"""GBK, its part GB 2312 and its successor GB 18030, as IANA, Java, Python and Windows name them. Hyphens and
underscores are left out."""
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def json_object(body: bytes, content_type: str | None = None) -> dict[str, Any]:
    """The JSON object in ``body``, its keys without stray spaces (``"refund_no "`` in both documents' examples).

    It is a :class:`JSONObject` if a key is repeated. ``content_type`` counts only if the bytes are not UTF-8: GBK is
    read where it is declared. What can be read is read, whatever else is in it.

    Raises:
        ValueError: the body is not a JSON object; the message shows nothing of it.
    """
    text = _decoded(body, content_type)
    try:
        value = _parsed(text)
        if not text.isascii() and _SURROGATE.search(text):
            value = _without_surrogates(value, DamagedText)
        elif "\\ud" in text or "\\uD" in text:
            value = _without_surrogates(value, str)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError:
        raise ValueError("it is not JSON" if body.strip() else "it is empty") from None
    if isinstance(value, dict):
        return value
    raise ValueError("it is JSON, but not an object")


def in_utf8(body: bytes, content_type: str | None) -> bytes:
    """``body`` for a reader that does not know its Content-Type: in UTF-8 if it is GBK, as declared; else unchanged."""
    if not _is_gbk(content_type):
        return body
    try:
        body.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return body.decode("gb18030", "surrogateescape").encode(errors="surrogateescape")
    return body


def _is_gbk(content_type: str | None) -> bool:
    declared = _CHARSET.findall(content_type or "")  # a proxy may have added its own in front
    return any(name.lower().replace("-", "").replace("_", "") in _GBK_NAMES for name in declared)


def _decoded(body: bytes, content_type: str | None) -> str:
    """The text of ``body``, with a lone surrogate for each byte that cannot be decoded."""
    if (wide := _decoded_wide(body)) is not None:
        return wide
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        text = _decoded_otherwise(body, content_type)
    return text.removeprefix("\ufeff")


def _decoded_wide(body: bytes) -> str | None:
    """The text of a body in UTF-16 or UTF-32, with or without a byte order mark; None if it is in neither."""
    encoding = wide_encoding(body)
    if encoding is None:
        return None
    try:
        text = body.decode(encoding, "surrogatepass")
    except UnicodeDecodeError:
        return None
    inner = bare(text)  # it is an object; otherwise it is UTF-8 that begins with a zero
    return text if inner.startswith("{") and inner.endswith("}") else None


def _decoded_otherwise(body: bytes, content_type: str | None) -> str:
    with contextlib.suppress(UnicodeDecodeError):
        return _SURROGATE.sub("\ufffd", body.decode("utf-8", "surrogatepass"))
    return body.decode("gb18030" if _is_gbk(content_type) else "utf-8", "surrogateescape")


def _parsed(text: str) -> Any:
    try:
        return _JSON.decode(text)
    except json.JSONDecodeError:
        return _JSON.decode(repaired(text))


def _without_surrogates(value: Any, text: type[str]) -> Any:
    """``value`` with U+FFFD for each lone surrogate. Text in which there was one is of the type ``text``."""
    if isinstance(value, str):
        return text(_SURROGATE.sub("\ufffd", value)) if _SURROGATE.search(value) else value
    if isinstance(value, list):
        return [_without_surrogates(item, text) for item in value]
    if isinstance(value, dict):
        clean = {_without_surrogates(key, text): _without_surrogates(item, text) for key, item in value.items()}
        return JSONObject(clean, value.repeated, value.conflicts) if isinstance(value, JSONObject) else clean
    return value


def with_bare_keys(value: Mapping[str, Any]) -> dict[str, Any]:
    """``value`` without stray spaces around its keys, as :func:`json_object` reads it."""
    return fields_of([(plain_text(key), plain_value(field)) for key, field in value.items()])


def json_text(value: Any) -> str:
    """``value`` as JSON text, with its numbers as they were received.

    Raises:
        ValueError: it contains an infinite number, or is nested too deeply.
    """
    try:
        return _json_text(value)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _json_text(value: Any) -> str:
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError("it contains a number that is too large")
        return str(value)
    if isinstance(value, list):
        return f"[{','.join(map(_json_text, value))}]"
    if isinstance(value, dict):
        return (
            "{" + ",".join(f"{json.dumps(key, ensure_ascii=False)}:{_json_text(v)}" for key, v in value.items()) + "}"
        )
    return json.dumps(value, ensure_ascii=False)


# -- what is not quite JSON -------------------------------------------------------------------------------------------

LONGEST_REPAIRED: Final = 16 * 1024
"""In characters. Longer texts are not repaired: strangers may send them. Real ones have a few hundred."""
# re compiles these patterns at their first use: few replies ever need them.
_TOKENS: Final = r'(?s)"(?:[^"\\]|\\.)*+"?|[^\s{}\[\]:,"]+|\s+'
"""A string, or whatever stands outside of strings, but not the punctuation of JSON."""
_BACKSLASHES: Final = r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})|\\'
_NUMBER: Final = r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?"
_LIKE_A_NUMBER: Final = r"(?i)[+-]?(?:\.?[0-9]|nan|inf).*"
_WORDS: Final = {"true": "true", "false": "false", "null": "null", "none": "null", "undefined": "null"}
"""The words of JSON, in any case, and those of other languages for null."""


def repaired(text: str) -> str:
    """``text`` with backslashes that begin no escape doubled, and each number that JSON does not have as ``NaN``.

    Control characters and byte order marks between the values become spaces, and words such as ``True`` those of JSON.
    """
    return re.sub(_TOKENS, _token, text) if len(text) <= LONGEST_REPAIRED else text


def _token(match: re.Match[str]) -> str:
    token = match[0]
    if token.startswith('"'):
        return re.sub(_BACKSLASHES, _backslash, token) if "\\" in token else token
    word = bare(token)
    if not word or word.isspace():
        return " "
    if re.fullmatch(_NUMBER, word):
        return word
    return "NaN" if re.fullmatch(_LIKE_A_NUMBER, word) else _WORDS.get(word.casefold(), word)


def _backslash(match: re.Match[str]) -> str:
    return match[0] if len(match[0]) > 1 else r"\\"
