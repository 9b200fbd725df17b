"""Watches the TLS records that arrive, to know whether part of one is still to come. No I/O.

Asyncio keeps the first part of a record until the rest arrives, and does not tell its user. But a part that arrives
while no request is under way is the beginning of something that nobody asked for. So the bytes are counted here on
their way from the socket to asyncio's TLS. The head of a record is not encrypted: a byte for its kind, two for the
version, two for the length (RFC 8446, 5.1).
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Self

_HEAD: Final = 5
_KINDS: Final = range(20, 25)
LONGEST_RECORD: Final = 2**14 + 2048
"""In bytes, encrypted, without its head (RFC 5246, 6.2.3)."""
_FOR_EVER: Final = 2**63


class TLSRecords(asyncio.BufferedProtocol):
    """Stands between a socket's transport and asyncio's TLS, and passes everything on."""

    def __init__(self, tls: Any) -> None:
        self._tls = tls
        self._head = b""
        self._missing = 0
        """How many bytes of the present record are still to come, once its head has arrived."""
        self._buffer: Any = b""

    @classmethod
    def watch(cls, plain: asyncio.Transport) -> Self | None:
        """Watch the records that arrive over ``plain``, on which TLS has begun. None in an event loop without buffers.

        If the last record of the handshake has not arrived completely, what follows is not understood, and
        ``are_whole`` stays False: the connection is then used for one request at most.
        """
        tls: Any = plain.get_protocol()
        if not hasattr(tls, "get_buffer"):
            return None
        records = cls(tls)
        plain.set_protocol(records)
        return records

    @property
    def are_whole(self) -> bool:
        """Whether all that has arrived is whole records."""
        return not self._head and not self._missing

    def get_buffer(self, sizehint: int) -> Any:
        """Return where the next bytes are to be put."""
        self._buffer = self._tls.get_buffer(sizehint)
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have arrived."""
        self._count(memoryview(self._buffer)[:nbytes])
        self._tls.buffer_updated(nbytes)

    def _count(self, data: memoryview) -> None:
        while data:
            if not self._missing:
                wanted = _HEAD - len(self._head)
                self._head += bytes(data[:wanted])
                data = data[wanted:]
                if len(self._head) < _HEAD:
                    return
                self._missing = _length(self._head)
                self._head = b""
            step = min(len(data), self._missing)
            self._missing -= step
            data = data[step:]

    # -- passed on --------------------------------------------------------------------------------------------------

    def eof_received(self) -> bool | None:
        """The server will send nothing more."""
        answer: bool | None = self._tls.eof_received()
        return answer

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket was closed."""
        self._tls.connection_lost(exc)

    def pause_writing(self) -> None:
        """The socket takes no more bytes for now."""
        self._tls.pause_writing()

    def resume_writing(self) -> None:
        """The socket takes bytes again."""
        self._tls.resume_writing()


def _length(head: bytes) -> int:
    """The length of a record; one that never arrives, if this is not the head of a record."""
    length = int.from_bytes(head[3:])
    return length if head[0] in _KINDS and length <= LONGEST_RECORD else _FOR_EVER
