"""What a string says, and what it shows: content by its characters, secrets without them. No I/O.

Whatever the gateway, a proxy or a stranger says is escaped here before it stands in a message, a log record, an event,
a terminal or a page. Characters that a terminal or a log reader obeys, that reorder what a person reads, or that nobody
sees are written as JSON escapes (``\\u001b``), so that JSON text which is escaped in this way is still the same JSON.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

T = TypeVar("T")

LONGEST_EXCERPT: Final = 200
"""In characters: what a message shows of a foreign text unless it asks for another bound."""

# C0, DEL and C1; the soft hyphen; the Arabic letter mark; the Mongolian vowel separator; zero-width space and the marks
# of direction; line and paragraph separators, embeddings and overrides; isolates and other invisible controls; the byte
# order mark; interlinear marks; lone surrogates, which cannot be written at all; controls of shorthand and of music;
# tags. The joiners that emoji are made with (U+200C, U+200D) stay.
CONTROLS: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
)
"""Every character that does more than being seen."""
_SHORT_ESCAPES: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def plain_text(value: str) -> str:
    """``value`` as an exact ``str`` of the same characters.

    A member of ``class Cur(str, Enum)`` prints as ``Cur.AUD``, and a masked secret as ``****``: what counts is what
    they hold, so ``__str__``, ``__repr__`` and ``__format__`` of the subclass are never asked. An object that only says
    that it is a string (a lazy object of Django or werkzeug, a mock) holds no characters: it is empty, and rejected.
    """
    try:
        return str.__str__(value)
    except TypeError:
        return ""


def plain_number(value: float) -> int | float:
    """``value`` as an exact ``int`` or ``float`` of the same number. What only says that it is a number is NaN."""
    try:
        return int.__int__(value) if isinstance(value, int) else float.__float__(value)
    except TypeError:
        return math.nan


def plain_value(value: object) -> object:
    """What an argument holds: an exact ``str``, ``int`` or ``float`` for a subclass of one, else ``value`` itself.

    So a member of an ``Enum`` that is an ``int`` too counts by its number, and no subclass is asked to print, compare
    or hash itself. A :class:`Secret` stays one.
    """
    if isinstance(value, str):
        return value if type(value) is Secret else plain_text(value)
    return plain_number(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def escape_controls(text: str) -> str:
    """``text`` with every character that does more than being seen written as a JSON escape. Nothing else changes.

    JSON text stays equivalent JSON, so this is for the output of ``json.dumps(..., ensure_ascii=False)`` too.
    """
    return CONTROLS.sub(_escape, text) if CONTROLS.search(text) else text


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    return _SHORT_ESCAPES.get(character) or json.dumps(character, ensure_ascii=True)[1:-1]


def printable(text: object, *, limit: int = LONGEST_EXCERPT) -> str:
    """The beginning of a foreign ``text`` on one line, at most ``limit`` characters and three dots.

    For text that can hold no secret of ours; ``redaction.excerpt`` is for whole replies. What is not a string is shown
    by its ``str``; bytes are read as UTF-8.
    """
    shown = beginning(text, limit + 1)
    shown = escape_controls(shown)
    return shown if len(shown) <= limit else f"{shown[:limit]}..."


def beginning(text: object, length: int) -> str:
    """The first ``length`` characters of ``text``, or what the first ``length`` bytes of it say."""
    if isinstance(text, bytes | bytearray):
        return text[:length].decode(errors="replace")
    return (text if isinstance(text, str) else str(text))[:length]


class Secret(str):
    """A string that cannot be printed: whoever shows local variables, logs or formats it sees that it is a secret.

    Its characters are there for whoever asks with :func:`plain_text`, ``encode`` or a comparison.
    """

    __slots__ = ()

    def __new__(cls, value: str) -> Self:
        """Of the characters of ``value``, which may be a secret already."""
        return super().__new__(cls, plain_text(value))

    def __repr__(self) -> str:
        """Not the characters."""
        return "[secret]"

    __str__ = __repr__

    def __format__(self, _: str) -> str:
        """Not the characters either."""
        return repr(self)


class ProxyURL(str):
    """The URL of a proxy, which may contain a password: its ``repr`` leaves out the user and the password."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Scheme, host and port."""
        before, mark, rest = plain_text(self).rpartition("://")
        return repr(f"{before}{mark}{rest.rpartition('@')[2]}")


def joined(*parts: str) -> Secret:
    """``parts`` one after the other, as a secret. (A secret among them would not show itself to an f-string.)"""
    return str.__new__(Secret, "".join(parts))


def percent_encoded(text: str) -> str:
    """``text`` as a part of a URL: only letters, digits and ``_.-~`` stay as they are, a space becomes ``%20``."""
    return text if text.isalnum() and text.isascii() else quote(text, safe="")


def concealed(value: object) -> Secret:
    """``value`` as a secret; an empty one for what is not a string (it may be a key all the same, as bytes for one)."""
    return Secret(plain_text(value) if isinstance(value, str) else "")


def hidden(value: T) -> T | Secret:
    """``value``, as a secret if it is a string: an argument that no frame shows, and that has yet to be checked."""
    return Secret(value) if isinstance(value, str) else value


def hidden_values(values: T) -> T | dict[Any, Any]:
    """A mapping whose strings are secrets; anything else, which has yet to be checked, as it is."""
    return {name: hidden(value) for name, value in values.items()} if isinstance(values, Mapping) else values


def concealed_all(value: object) -> tuple[Secret, ...]:
    """One string, or several, as secrets; what is neither is one empty secret."""
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        try:
            return tuple(concealed(key) for key in value)
        except Exception:  # noqa: BLE001 - the values are an object of the user's, which may raise anything
            return (Secret(""),)
    return (concealed(value),)


def concealed_proxy(proxy: T) -> T | ProxyURL:
    """``proxy`` with its password hidden if it is text; httpx's own objects hide theirs."""
    return ProxyURL(plain_text(proxy)) if isinstance(proxy, str) else proxy
