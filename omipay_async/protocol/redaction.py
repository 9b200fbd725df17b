"""What may be shown of text that somebody else wrote: on one line, bounded, and without secrets. No I/O.

The beginning of a reply passes through here before it stands in a message, a log record, an event, a terminal or a
page; ``text`` escapes its characters. The work is linear in the length of what is shown, whatever was sent.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus

from omipay_async.text import LONGEST_EXCERPT, beginning, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SHORTEST_SECRET: Final = 4  # a shorter one would be found in ordinary words
_LONGEST_SECRET: Final = 256
_REMOVED: Final = "[removed]"

# Fields of requests and replies that hold a secret: in JSON, in JSON within a JSON string, in a query string, in a
# query string that was percent-encoded. Every repetition is possessive: there is nothing to go back to.
_QUOTE: Final = r"""(?:\\*+["']|%2[27])?+"""
_SECRET_FIELDS: Final = (  # re compiles it at its first use, in half a millisecond
    rf"""(?xi)(?P<name>(?<![A-Za-z])(?:sign|nonce_str|nonceStr|paySign|pay_sign|openid|customer_id|order_string|qrcode
         |secret_key)\s*+{_QUOTE}\s*+(?:[:=]|%3[AD])\s*+)
        (?:\\++["'](?:[^"'\\])*+|"(?:[^"\\]|\\.)*+"?+|'[^']*+'?+|\{{[^}}]*+\}}?+|%22(?:(?!%22).)*+|[^&\s"'<>,}}]++)"""
)


def excerpt(body: bytes | str, secrets: Iterable[str] = (), *, limit: int = LONGEST_EXCERPT) -> str:
    """As :func:`printable`, without the given ``secrets`` and without the values of fields that hold some.

    A secret is found as it is, percent-encoded and as JSON writes it.
    """
    length = 16 * limit  # what is looked at: removing makes it shorter
    text = beginning(body, length + _LONGEST_SECRET)  # a secret that is cut in two would not be found
    forms = {form for secret in secrets if len(secret) >= _SHORTEST_SECRET for form in _forms(secret)}
    text = _without(text, forms, length)
    return printable(re.sub(_SECRET_FIELDS, rf"\g<name>{_REMOVED}", text), limit=limit)


def _without(text: str, secrets: Iterable[str], length: int) -> str:
    """The first ``length`` characters of ``text``, without any secret that begins in them."""
    # A pattern would stay in the cache of ``re``, and the secrets with it.
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


def _forms(secret: str) -> tuple[str, ...]:
    encoded = secret.encode(errors="replace")
    escaped = json.dumps(secret)[1:-1]
    return secret, quote(encoded, safe=""), quote_plus(encoded), escaped, escaped.replace("/", r"\/")
