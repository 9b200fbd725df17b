"""What came back over the wire, before anything was made of it."""

from __future__ import annotations

from typing import Final

import attrs

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
    retry_after: str | None = None
    """The ``Retry-After`` header of a reply that asks to wait."""
    location: str | None = None
    """The ``Location`` header of a redirect, which is never followed."""
