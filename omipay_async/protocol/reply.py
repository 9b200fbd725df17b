"""A reply as it was received, before it is decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    """``Content-Encoding``, although the request accepted none."""
    node: str | None = None
    content_type: str | None = None
    location: str | None = attrs.field(default=None, repr=False)
    """Where a redirect leads to. It may contain our whole query with the signature."""
    retry_after: str | None = None
    """``Retry-After``, which comes with 429 and 503."""

    @classmethod
    def of(
        cls, status: int, headers: Mapping[str, str], body: bytes, *, complete: bool = True, node: str | None = None
    ) -> Self:
        """Make it from ``headers`` whose names are compared without regard to case, as httpx's are."""
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
