"""What of a foreign text may be shown: its beginning, printable, without secrets. No I/O."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

_EXCERPT: Final = 200
_SHORTEST_SECRET: Final = 4  # what is shorter would be found in half the words
_LONGEST_SECRET: Final = 256
_SECRET_FIELDS: Final = re.compile(
    r"""(?P<name>["']?\b(?:sign|nonce_str|nonceStr|paySign|pay_sign|openid|customer_id|order_string|qrcode|secret_key)
        \s*["']?\s*[:=]\s*)(?P<value>"(?:[^"\\]|\\.)*"?|'[^']*'?|\{[^}]*\}?|[^&\s"'<>,}]+)""",
    re.VERBOSE | re.IGNORECASE,
)


def excerpt(body: bytes, secrets: Iterable[str] = ()) -> str:
    """The beginning of ``body`` as printable text, without the given secrets and without fields that hold some."""
    window = 16 * _EXCERPT
    text = body[:window].decode(errors="replace")
    if len(body) > window:
        text = text[:-_LONGEST_SECRET]  # one that was cut in two would not be found
    forms = {form for secret in secrets if len(secret) >= _SHORTEST_SECRET for form in (secret, quote(secret, safe=""))}
    if forms:
        longest_first = sorted(forms, key=len, reverse=True)
        text = re.sub("|".join(map(re.escape, longest_first)), "[removed]", text, flags=re.IGNORECASE)
    text = _SECRET_FIELDS.sub(r"\g<name>[removed]", text)
    text = "".join(character if character.isprintable() else " " for character in text)
    return text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}..."
