"""Writes what is not quite JSON as JSON, where its meaning is clear. No I/O.

Some programs put JSON together by hand. A backslash in a text for people (``C:\\temp``, ``can\\'t``), or one number of
less importance (``nan``, ``04.71``, ``1.#INF``), must not make a refusal, or a payment, unreadable. What stands between
the values is not touched, so a reply that was cut off stays unreadable.
"""

from __future__ import annotations

import re
from typing import Final

from omipay_async.text import bare

LONGEST_TEXT: Final = 16 * 1024
"""In characters. Longer texts are not repaired: strangers may send them. Real ones have a few hundred."""
_TOKENS: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|[^\s{}\[\]:,"]+|\s+', re.DOTALL)
"""A string, or whatever stands outside of strings, but not the punctuation of JSON."""
_BACKSLASHES: Final = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})|\\')
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?")
_LIKE_A_NUMBER: Final = re.compile(r"[+-]?(?:\.?[0-9]|nan|inf).*", re.IGNORECASE)
_WORDS: Final = {
    **{word: word for word in ("true", "false", "null")},
    **dict.fromkeys(("none", "undefined"), "null"),
}
"""The words of JSON, in any case, and those of other languages for null."""


def repaired(text: str) -> str:
    """``text`` with backslashes that begin no escape doubled, and each number that JSON does not have as ``NaN``.

    Control characters and byte order marks between the values become spaces, and words such as ``True`` those of JSON.
    """
    return _TOKENS.sub(_token, text) if len(text) <= LONGEST_TEXT else text


def _token(match: re.Match[str]) -> str:
    token = match[0]
    if token.startswith('"'):
        return _BACKSLASHES.sub(_backslash, token) if "\\" in token else token
    word = bare(token)
    if not word or word.isspace():
        return " "
    if _NUMBER.fullmatch(word):
        return word
    return "NaN" if _LIKE_A_NUMBER.fullmatch(word) else _WORDS.get(word.casefold(), word)


def _backslash(match: re.Match[str]) -> str:
    return match[0] if len(match[0]) > 1 else r"\\"
