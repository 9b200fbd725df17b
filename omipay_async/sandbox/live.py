"""The open streams of pages that update themselves, so that a server can end them when it stops. No I/O."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_STREAMS: Final = 20


@attrs.define
class LiveStreams:
    """The streams of server-sent events that are open."""

    _open: set[asyncio.Event] = attrs.field(factory=set, init=False)

    @property
    def is_full(self) -> bool:
        """Whether no further stream may be opened."""
        return len(self._open) >= MOST_STREAMS

    @contextlib.contextmanager
    def opened(self) -> Iterator[asyncio.Event]:
        """Yields the event that is set when the stream has to end."""
        closing = asyncio.Event()
        self._open.add(closing)
        try:
            yield closing
        finally:
            self._open.discard(closing)

    def close(self) -> None:
        """Let every stream that is open now end."""
        for closing in self._open:
            closing.set()
