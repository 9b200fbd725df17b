"""The head of a reply without what h11 rejects and nobody needs. No I/O.

A header line without a colon, a name with a space in it, or ``Transfer-Encoding: identity``, as some servers add to
every reply, changes nothing about a body whose end is clear. h11 rejects the whole reply then, a payment included.
"""

from __future__ import annotations

import re
from typing import Final

from omipay_async.protocol.reply import NEEDED_HEADERS

_END: Final = re.compile(rb"\r?\n\r?\n")
_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\0\r\n]*)")
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding", b"connection"})


def plain_head(received: bytes) -> bytes | None:
    """What was ``received`` of a reply, of whose headers only those are left that are well formed and needed.

    Those that tell where the body ends are all left: if they are wrong, nobody knows. None if the head is not whole.
    """
    end = _END.search(received)
    if end is None:
        return None
    status, *lines = re.split(rb"\r?\n", received[: end.start()])
    kept = [line for line in lines if _is_needed(line)]
    return b"\r\n".join((status, *kept, b"", received[end.end() :]))


def _is_needed(line: bytes) -> bool:
    header = _LINE.fullmatch(line)
    if header is None:
        # A malformed header of the framing is left, and rejected.
        return line.lstrip().lower().startswith(tuple(_FRAMING))
    name, value = header[1].lower(), header[2].strip().lower()
    return name in NEEDED_HEADERS or (name in _FRAMING and (name, value) != (b"transfer-encoding", b"identity"))
