"""A reply as it was received, before it is decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable

LARGEST_REPLY: Final = 1024 * 1024
"""In bytes; real replies have a few hundred."""


@attrs.frozen
class Received:
    """A reply as it was received, before it is decoded."""

    status: int
    body: bytes = attrs.field(repr=False)
    date: str | None = None
    """The ``Date`` header, from which the clock's offset is learnt."""
    complete: bool = True
    """False where the body was cut off at LARGEST_REPLY."""
    encoding: str | None = None
    """``Content-Encoding``, although no request asks for compression."""
    node: str | None = None
    content_type: str | None = None
    location: str | None = attrs.field(default=None, repr=False)
    """Where a redirect leads to. It may contain our whole query with the signature."""
    retry_after: str | None = None
    """``Retry-After``, which comes with 429 and 503."""

    @classmethod
    def of(cls, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes, node: str | None = None) -> Self:
        """Make it from the ``headers`` as they were received. The values of a repeated one are joined."""
        kept: dict[str, str] = {}
        for name, value in headers:
            field = _KEPT_HEADERS.get(name.lower())
            if field is None:
                continue
            text = _text(value)
            if field != "date" or kept.get(field) != text:  # two equal dates are one
                kept[field] = f"{kept[field]}, {text}" if field in kept else text
        return cls(status, body[:LARGEST_REPLY], complete=len(body) <= LARGEST_REPLY, node=node, **kept)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


_KEPT_HEADERS: Final = {
    b"date": "date",
    b"content-encoding": "encoding",
    b"content-type": "content_type",
    b"location": "location",
    b"retry-after": "retry_after",
}
NEEDED_HEADERS: Final = frozenset(_KEPT_HEADERS)
"""The names of the headers that are read, in lower case."""
