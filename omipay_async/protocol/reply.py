"""What came back over the wire, before anything was made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST_REPLY: Final = 1024 * 1024
"""In bytes; real replies have some hundred."""


@attrs.frozen
class Received:
    """What came back over the wire, before anything was made of it."""

    status: int
    body: bytes = attrs.field(repr=False)
    date: str | None = None
    """The ``Date`` header, from which the clock's offset is learnt."""
    complete: bool = True
    """False where the body was cut off at LARGEST_REPLY."""
    encoding: str | None = None
    """``Content-Encoding``, although none was accepted."""
    node: str | None = None
    content_type: str | None = None
    location: str | None = attrs.field(default=None, repr=False)
    """Where a redirect leads to; it may hold our whole query, signature included."""
    retry_after: str | None = None
    """``Retry-After``, of 429 and 503."""

    @classmethod
    def of(
        cls, status: int, headers: Mapping[str, str], body: bytes, *, complete: bool = True, node: str | None = None
    ) -> Self:
        """From ``headers`` whose names are compared without regard to case, as httpx's are."""
        return cls(
            status=status,
            body=body[:LARGEST_REPLY],
            date=headers.get("date"),
            complete=complete,
            encoding=headers.get("content-encoding"),
            node=node,
            content_type=headers.get("content-type"),
            location=headers.get("location"),
            retry_after=headers.get("retry-after"),
        )
