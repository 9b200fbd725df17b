"""Formats values for people and for programs. Pure.

Text from elsewhere is made harmless for a terminal, since an ``error_msg`` may contain escape sequences.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import attrs

from omipay_async.errors import InvalidRequest
from omipay_async.language import Sentence, sentence
from omipay_async.protocol.money import from_minor
from omipay_async.text import CONTROLS

from .translations import localized

_LONGEST_VALUE: Final = 10_000
_UNITS: Final = (
    (86_400, sentence("1 day"), sentence("{} days")),
    (3600, sentence("1 hour"), sentence("{} hours")),
    (60, sentence("1 minute"), sentence("{} minutes")),
    (1, sentence("1 second"), sentence("{} seconds")),
)
_VERDICTS: Final = ("is_paid", "is_refunded", "is_failed", "is_final")


def plain(text: object, limit: int = 500) -> str:
    """``text`` as one printable line of at most ``limit`` characters.

    White space becomes single spaces. Characters that do more than being seen are escaped: controls, separators of
    lines and paragraphs, and what changes the direction of writing.
    """
    whole = str(text)
    line = escaped(" ".join(whole[: 2 * limit].split()))
    return line if len(line) <= limit and len(whole) <= 2 * limit else f"{line[:limit]}…"


def escaped(text: str) -> str:
    """``text`` with each character that does more than being seen written as Python writes it: ``\\x1b``."""
    return re.sub(CONTROLS, lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def money(amount: int | None, currency: str | None) -> str:
    """An amount of minor units as people write it: ``AUD 4.50``."""
    if amount is None or currency is None:
        return "" if amount is None else sentence("{} minor units", amount)
    try:
        return f"{currency} {from_minor(amount, currency)}"
    except InvalidRequest:  # the currency of a reply may be anything
        return sentence("{} minor units of {}", amount, currency)


def elapsed(seconds: float) -> str:
    """A duration as ``h:mm:ss``."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def in_words(seconds: float) -> Sentence:
    """A duration in words: its two largest units, rounded down."""
    rest, parts = int(seconds), []
    for size, one, many in _UNITS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(one if count == 1 else many.filled(count))
    if len(parts) > 1:
        return sentence("{} and {}", *parts[:2])
    return parts[0] if parts else sentence("no time")


def in_columns(name: str, verdict: str, detail: str, *, width: int) -> str:
    """The line of a check: its name in ``width`` columns, its verdict, and the details."""
    from rich.cells import set_cell_size  # a Chinese character takes two columns

    cells = (set_cell_size(localized(name), width), set_cell_size(localized(verdict), 6), plain(localized(detail)))
    return "  ".join(cells)


def fields(model: Any) -> dict[str, Any]:
    """The fields of a reply, named as in the documents, with ``is_paid`` and the like."""
    own = {field.name: getattr(model, field.name) for field in attrs.fields(type(model)) if field.name != "raw"}
    return own | {name: getattr(model, name) for name in _VERDICTS if hasattr(model, name)}


def as_json(document: Mapping[str, Any]) -> str:
    """One line of JSON: money as integers, rates as strings, times as ISO 8601.

    Text is also escaped within the strings, so that a program that decodes and prints them is safe too.
    """
    return json.dumps(_harmless(document), default=_json_value)


def _harmless(value: Any) -> Any:
    if isinstance(value, str):
        return _json_text(value)
    if isinstance(value, Mapping):
        return {_json_text(str(name)): _harmless(each) for name, each in value.items()}
    return [_harmless(each) for each in value] if isinstance(value, list | tuple) else value


def _json_text(text: str) -> str:
    """One value for JSON: escaped, and cut off at a length that no real field has."""
    return escaped(text[:_LONGEST_VALUE]) + ("…" if len(text) > _LONGEST_VALUE else "")


def _json_value(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    message = f"{type(value).__name__} has no form in JSON"
    raise TypeError(message)


def as_lines(document: Mapping[str, Any]) -> list[str]:
    """The lines for people: a name and a value on each; absent values are left out."""
    shown = {name: value for name, value in document.items() if value is not None and name not in _VERDICTS}
    width = max((len(name) for name in shown), default=0)
    return [f"{name:<{width}}  {_for_people(name, value, document)}" for name, value in shown.items()]


def _for_people(name: str, value: object, document: Mapping[str, Any]) -> str:
    if isinstance(value, int) and name.endswith("amount"):
        amount = plain(localized(money(value, document.get(name.replace("amount", "currency")))))
        return f"{value} ({amount})"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return plain(format(value, "f") if isinstance(value, Decimal) else value)
