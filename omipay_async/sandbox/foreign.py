"""Escapes text from outside for a log, a terminal or a page. No I/O.

Like all of the sandbox's rules it shares no code with the client.
"""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "***"
"""Shown instead of a secret."""


# C0 and C1, the soft hyphen, marks, embeddings, overrides and isolates of direction, spaces and joiners of no width,
# line and paragraph separators, the byte order mark, marks of annotation, shorthand and music, tags, lone surrogates.
# The joiners that emoji are made with (U+200C, U+200D) stay.
_INVISIBLE: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    """``text`` with every control and invisible character escaped, except ends of lines."""
    return _INVISIBLE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def printable(text: object, limit: int = 200) -> str:
    """``text`` on one line of at most ``limit`` characters, with every control and invisible character escaped."""
    whole = str(text)
    escaped = visible(whole[:limit]).replace("\n", r"\n")
    return escaped[:limit] + ("…" if len(whole) > limit or len(escaped) > limit else "")
