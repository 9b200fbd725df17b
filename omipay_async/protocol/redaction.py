"""What may be shown of text that somebody else wrote: on one line, bounded, and without secrets. No I/O.

Whatever the gateway, a proxy or a stranger says passes through here before it stands in a message, a log record, an
event, a terminal or a page. Characters that a terminal or a log reader obeys, or that reorder what a person reads, are
written as JSON escapes (``\\u001b``), so that JSON text which is escaped in this way is still the same JSON. The work
is linear in the length of what is shown, whatever the length of what was sent.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LONGEST_EXCERPT: Final = 200
"""In characters: what a message shows of a foreign text unless it asks for another bound."""
_SHORTEST_SECRET: Final = 4  # a shorter one would be found in ordinary words
_LONGEST_SECRET: Final = 256
_REMOVED: Final = "[removed]"

# C0, DEL and C1; the Arabic letter mark; zero-width space and the marks of direction; line and paragraph separators,
# embeddings and overrides; isolates and other invisible controls; the byte order mark; interlinear marks; lone
# surrogates, which cannot be written at all. The joiners that emoji are made with (U+200C, U+200D) stay.
_CONTROLS: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_SHORT_ESCAPES: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}

# Fields of requests and replies that hold a secret: in JSON, in JSON within a JSON string, in a query string, in a
# query string that was percent-encoded. Every repetition is possessive: there is nothing to go back to.
_QUOTE: Final = r"""(?:\\*+["']|%2[27])?+"""
_SECRET_FIELDS: Final = re.compile(
    rf"""(?P<name>(?<![A-Za-z])(?:sign|nonce_str|nonceStr|paySign|pay_sign|openid|customer_id|order_string|qrcode
         |secret_key)\s*+{_QUOTE}\s*+(?:[:=]|%3[AD])\s*+)
        (?:\\++["'](?:[^"'\\])*+|"(?:[^"\\]|\\.)*+"?+|'[^']*+'?+|\{{[^}}]*+\}}?+|%22(?:(?!%22).)*+|[^&\s"'<>,}}]++)""",
    re.VERBOSE | re.IGNORECASE,
)


def escape_controls(text: str) -> str:
    """``text`` with every character that does more than being seen written as a JSON escape. Nothing else changes.

    JSON text stays equivalent JSON, so this is for the output of ``json.dumps(..., ensure_ascii=False)`` too.
    """
    return _CONTROLS.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    return _SHORT_ESCAPES.get(character) or f"\\u{ord(character):04x}"


def printable(text: object, *, limit: int = LONGEST_EXCERPT) -> str:
    """The beginning of a foreign ``text`` on one line, at most ``limit`` characters and three dots.

    For text that can hold no secret of ours; :func:`excerpt` is for whole replies. What is not a string is shown by its
    ``str``; bytes are read as UTF-8.
    """
    shown = _beginning(text, limit + 1)
    shown = escape_controls(shown)
    return shown if len(shown) <= limit else f"{shown[:limit]}..."


def excerpt(body: bytes | str, secrets: Iterable[str] = (), *, limit: int = LONGEST_EXCERPT) -> str:
    """As :func:`printable`, without the given ``secrets`` and without the values of fields that hold some.

    A secret is found as it is, percent-encoded and as JSON writes it.
    """
    length = 16 * limit  # what is looked at: removing makes it shorter
    text = _beginning(body, length + _LONGEST_SECRET)  # a secret that is cut in two would not be found
    forms = {form for secret in secrets if len(secret) >= _SHORTEST_SECRET for form in _forms(secret)}
    text = _without(text, forms, length)
    return printable(_SECRET_FIELDS.sub(rf"\g<name>{_REMOVED}", text), limit=limit)


def _without(text: str, secrets: Iterable[str], length: int) -> str:
    """The first ``length`` characters of ``text``, and of a secret that begins there nothing."""
    # Not with a pattern: ``re`` keeps the last 512 of the whole program, and would keep the secrets with them.
    folded = _folded(text)
    found = sorted(span for secret in secrets for span in _occurrences(folded, _folded(secret)))
    kept, end = [], 0
    for start, stop in found:
        if start >= length:
            break
        if start >= end:
            kept += [text[end:start], _REMOVED]
        end = max(end, stop)
    return "".join([*kept, text[end:length]])


def _occurrences(text: str, wanted: str) -> Iterator[tuple[int, int]]:
    start = text.find(wanted)
    while start >= 0:
        yield start, start + len(wanted)
        start = text.find(wanted, start + len(wanted))


def _folded(text: str) -> str:
    """``text`` without regard to case, as long as before: every character keeps its place."""
    if text.isascii():
        return text.lower()
    return "".join(low if len(low := character.lower()) == 1 else character for character in text)


def _beginning(text: object, length: int) -> str:
    if isinstance(text, bytes | bytearray):
        return text[:length].decode(errors="replace")
    return (text if isinstance(text, str) else str(text))[:length]


def _forms(secret: str) -> tuple[str, ...]:
    encoded = secret.encode(errors="replace")
    escaped = json.dumps(secret)[1:-1]
    return secret, quote(encoded, safe=""), quote_plus(encoded), escaped, escaped.replace("/", r"\/")
