"""What one field of a reply says: nothing, a word, or the number of an order or a refund. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from omipay_async.text import INVISIBLE, bare

if TYPE_CHECKING:
    from collections.abc import Mapping

_LARGEST_NUMBER: Final = 10**64
_SAYS_NOTHING: Final = frozenset(INVISIBLE)


class DamagedText(str):
    """Text with U+FFFD for bytes that could not be decoded. It may be shown, but is never taken for a number."""

    __slots__ = ()


def is_absent(value: object) -> bool:
    """Whether a field says nothing. null and "" were seen; a database may fill the latter up with spaces."""
    return value is None or (isinstance(value, str) and _SAYS_NOTHING.issuperset(value))


def issued_number(value: object) -> str | None:
    """The gateway's number of an order or a refund; None if ``value`` is not one. It is text, and not blank.

    Spaces around it are left out, since it is sent back later.
    """
    return bare(value) or None if isinstance(value, str) and not isinstance(value, DamagedText) else None


def own_number(value: object) -> str | None:
    """The merchant's number of an order or a refund; None if ``value`` is not one.

    It was sent as text, but a program may repeat digits as a JSON number.
    """
    if type(value) is int and abs(value) < _LARGEST_NUMBER:
        return str(value)
    return value if isinstance(value, str) and issued_number(value) is not None else None


def is_unreadable(value: object) -> bool:
    """Whether a field is there, but is neither text that can be read nor a whole number."""
    return not is_absent(value) and own_number(value) is None


def word_of(raw: Mapping[str, Any], name: str) -> str:
    """The text of a field without the spaces around it; empty if there is none."""
    word = raw.get(name)
    return word.strip() if isinstance(word, str) else ""
