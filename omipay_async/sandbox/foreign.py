"""Text that somebody else wrote, made harmless for a log, a terminal or a page. No I/O.

Own code on purpose, as all of the sandbox's rules: it shares none with the client.
"""

from __future__ import annotations

from typing import Final

MASK: Final = "***"
"""What stands in the place of a secret."""


def printable(text: object, limit: int = 200) -> str:
    """``text`` on one line of at most ``limit`` characters, with whatever cannot be printed escaped.

    That is: control characters (C0, C1), line and paragraph separators, and characters that change the direction.
    """
    whole = str(text)
    escaped = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in whole[:limit]
    )
    return escaped[:limit] + ("…" if len(whole) > limit or len(escaped) > limit else "")
