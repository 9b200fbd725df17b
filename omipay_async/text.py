"""Plain values of what users give, text from elsewhere that is safe to show, and secrets. No I/O.

Text from the gateway, a proxy or a stranger is escaped here before it is put in a message, a log record, an event, a
terminal or a page. Characters that control a terminal or a log reader, that change the order of what a person reads, or
that are invisible are written as JSON escapes (``\\u001b``), so that JSON text is still the same JSON afterwards.

Error trackers show the local variables of every frame of a traceback. So a key, a payment code or a signature is a
:class:`Secret` from the first line that has it. What cannot be one, such as a received body or a request whose URL is
signed, is not kept in a local variable. And some errors are raised only after the ``except`` block has ended: within
it, they would have the first error as their context, and with it the frames in which the text can be seen.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Self, SupportsIndex, TypeVar, cast
from urllib.parse import quote

T = TypeVar("T")


# -- plain values ------------------------------------------------------------------------------------------------------


def plain_text(value: str) -> str:
    """``value`` as an exact ``str`` of the same characters.

    A member of ``class Cur(str, Enum)`` prints as ``Cur.AUD``, and a masked secret as ``****``. Their content counts,
    so ``__str__``, ``__repr__`` and ``__format__`` of the subclass are never called. An object that only claims to be a
    string (a lazy object of Django or werkzeug, a mock) has no characters: the result is empty, and is rejected later.
    """
    try:
        return str.__str__(value)
    except TypeError:
        return ""


def plain_number(value: float) -> int | float:
    """``value`` as an exact ``int`` or ``float`` of the same number; NaN if it only claims to be a number."""
    try:
        return int.__int__(value) if isinstance(value, int) else float.__float__(value)
    except TypeError:
        return math.nan


def plain_value(value: object) -> object:
    """``value`` as an exact ``str``, ``int`` or ``float`` if it is of a subclass of one, else ``value`` itself.

    So a member of an ``Enum`` that is also an ``int`` counts as its number, and no method of a subclass prints,
    compares or hashes the value. A :class:`Secret` stays one.
    """
    if isinstance(value, str):
        return value if type(value) is Secret else plain_text(value)
    return plain_number(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


# -- text from elsewhere -----------------------------------------------------------------------------------------------

LONGEST_EXCERPT: Final = 200
"""How many characters of a foreign text a message shows, unless it asks for another limit."""

# C0, DEL and C1; the soft hyphen; the Arabic letter mark; the Mongolian vowel separator; zero-width space and the marks
# of direction; line and paragraph separators, embeddings and overrides; isolates and other invisible controls; the byte
# order mark; interlinear marks; lone surrogates, which cannot be written at all; controls of shorthand and of music;
# tags. The joiners that emoji are made with (U+200C, U+200D) stay.
CONTROLS: Final = (  # re compiles it at its first use
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
)
"""A pattern: every character that is invisible, or that has an effect beyond being seen."""
_FIRST_AND_LAST: Final = (
    ("\x00", " "),
    ("\x7f", "\xa0"),
    ("\xad", "\xad"),
    ("\u1680", "\u1680"),
    ("\u180e", "\u180e"),
    ("\u2000", "\u200f"),
    ("\u2028", "\u202f"),
    ("\u205f", "\u206f"),
    ("\u3000", "\u3000"),
    ("\ufeff", "\ufeff"),
)
INVISIBLE: Final = "".join(chr(code) for first, last in _FIRST_AND_LAST for code in range(ord(first), ord(last) + 1))
"""Spaces, control characters and byte order marks, which have no meaning around a text, or between values of JSON."""
_FIRST_BYTES: Final = 4


def bare(text: str) -> str:
    """``text`` without the spaces and invisible characters around it, which have no meaning there."""
    return text.strip(INVISIBLE)


def escape_controls(text: str) -> str:
    """``text`` with the characters of ``CONTROLS`` written as JSON escapes. Nothing else changes.

    JSON text stays equivalent JSON, so this may be applied to the result of ``json.dumps(..., ensure_ascii=False)``.
    """
    return re.sub(CONTROLS, _escape, text) if re.search(CONTROLS, text) else text


def _escape(match: re.Match[str]) -> str:
    return json.dumps(match[0], ensure_ascii=True)[1:-1]


def printable(text: object, *, limit: int = LONGEST_EXCERPT) -> str:
    """The beginning of a foreign ``text`` on one line, at most ``limit`` characters and three dots.

    It is for text that cannot contain a secret of ours; ``redaction.excerpt`` is for whole replies. Bytes are read as
    UTF-8, and of any other object the ``str`` is shown.
    """
    shown = escape_controls(beginning(text, limit + 1))
    return shown if len(shown) <= limit else f"{shown[:limit]}..."


def beginning(text: object, length: int) -> str:
    """The first ``length`` characters of ``text``, or its first ``length`` bytes read as UTF-8 or a wide encoding."""
    if isinstance(text, bytes | bytearray):
        return text[:length].decode(wide_encoding(text) or "utf-8", errors="replace")
    return (text if isinstance(text, str) else str(text))[:length]


def wide_encoding(text: bytes | bytearray) -> str | None:
    """UTF-16 or UTF-32, if its first four bytes show that ``text`` is in it, with or without a byte order mark."""
    first = bytes(text[:_FIRST_BYTES])
    if len(first) < _FIRST_BYTES or (first.isascii() and 0 not in first):
        return None
    encoding = json.detect_encoding(first)
    return None if encoding.startswith("utf-8") else encoding


def percent_encoded(text: str) -> str:
    """``text`` as a part of a URL: only letters, digits and ``_.-~`` stay as they are, a space becomes ``%20``."""
    return text if text.isalnum() and text.isascii() else quote(text, safe="")


# -- secrets -----------------------------------------------------------------------------------------------------------


class Secret(str):
    """A string that does not show its content when it is printed, logged, formatted or shown as a local variable.

    The content is available through :func:`plain_text`, ``encode`` and comparisons.
    """

    __slots__ = ()

    def __new__(cls, value: str) -> Self:
        """A secret with the content of ``value``, which may be a secret already."""
        return super().__new__(cls, plain_text(value))

    def __repr__(self) -> str:
        """Hides the content."""
        return "[secret]"

    __str__ = __repr__

    def __format__(self, _: str) -> str:
        """Hides the content too."""
        return repr(self)

    def __getitem__(self, key: SupportsIndex | slice) -> Secret:
        """A part is a secret too."""
        return Secret(super().__getitem__(key))


class ProxyURL(str):
    """The URL of a proxy, which may contain a password: its ``repr`` leaves out the user and the password."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Scheme, host and port."""
        before, mark, rest = plain_text(self).rpartition("://")
        return repr(f"{before}{mark}{rest.rpartition('@')[2]}")

    def __getitem__(self, key: SupportsIndex | slice) -> Secret:
        """A part is a secret: of a long local variable, rich and structlog show the beginning."""
        return Secret(super().__getitem__(key))


def joined(*parts: str) -> Secret:
    """``parts`` one after the other, as a secret. (An f-string would not contain the content of a secret.)"""
    return str.__new__(Secret, "".join(parts))


def hidden(value: T) -> T | Secret:
    """An argument that is not checked yet, so that no frame shows it: a string as a secret, else only its type."""
    return Secret(value) if isinstance(value, str) else _only_the_type_of(value)


def hidden_values(values: T) -> T | dict[Any, Any]:
    """An argument that is not checked yet: of a mapping the values hidden, except numbers; else only its type."""
    if not isinstance(values, Mapping):
        return _only_the_type_of(values)
    return {name: value if isinstance(value, int | float) else hidden(value) for name, value in values.items()}


def _only_the_type_of(value: T) -> T:
    """An object of a type with the same name as that of ``value``: it is rejected, and the message shows only the name.

    None stays None.
    """
    return value if value is None else cast("T", type(type(value).__name__, (), {})())


def hidden_key(value: object) -> Secret:
    """A key or a nonce as a secret; an empty one if it is not a string, since bytes may contain a key all the same."""
    return Secret(value if isinstance(value, str) else "")


def hidden_keys(value: object) -> tuple[Secret, ...]:
    """One string or several strings as secrets; one empty secret for anything else."""
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        try:
            return tuple(hidden_key(key) for key in value)
        except Exception:  # noqa: BLE001 - the values are an object of the user's, which may raise anything
            return (Secret(""),)
    return (hidden_key(value),)


def hidden_proxy(proxy: T) -> T | ProxyURL:
    """``proxy`` with its password hidden if it is a string, or bytes or a mapping; httpx's own objects hide theirs."""
    if isinstance(proxy, str):
        return ProxyURL(plain_text(proxy))
    return _only_the_type_of(proxy) if isinstance(proxy, Iterable) else proxy
