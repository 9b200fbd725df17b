"""Escapes text from outside for a log, a terminal or a page. No I/O."""

from __future__ import annotations

import re
from typing import Final

from omipay_async.text import CONTROLS

MASK: Final = "***"
"""Shown instead of a secret."""


def visible(text: str) -> str:
    """``text`` with every control and invisible character escaped, except ends of lines."""
    return "\n".join(re.sub(CONTROLS, _escape, line) for line in text.split("\n"))


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def printable(text: object, limit: int = 200) -> str:
    """``text`` on one line of at most ``limit`` characters, with every control and invisible character escaped."""
    whole = str(text)
    escaped = visible(whole[:limit]).replace("\n", r"\n")
    return escaped[:limit] + ("…" if len(whole) > limit or len(escaped) > limit else "")
