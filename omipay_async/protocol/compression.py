"""Unpacks a compressed reply. No I/O.

No request asks for compression. A proxy may compress a reply all the same, and then it is still the answer to a charge.
"""

from __future__ import annotations

import zlib
from typing import Final

from .reply import LARGEST_REPLY

_COMPRESSIONS: Final = frozenset({"gzip", "x-gzip", "deflate", "br", "zstd", "compress", "x-compress"})
_INFLATED: Final = frozenset({"gzip", "x-gzip", "deflate"})
_MOST_LAYERS: Final = 2
"""Each costs as much time as a reply of the largest size."""
_GZIP_OR_ZLIB: Final = zlib.MAX_WBITS + 32
_GZIP: Final = b"\x1f\x8b\x08"
_BARE: Final = -zlib.MAX_WBITS
"""Some servers leave out the header that ``deflate`` has."""


def unpacked(body: bytes, encoding: str | None) -> bytes:
    """``body`` without the compressions that a ``Content-Encoding`` names. Other words in it are ignored.

    What begins as gzip does is unpacked even if no compression is named.

    Raises:
        ValueError: it is compressed in another way than gzip or deflate, damaged, or too large without its compression.
    """
    words = [word.strip().casefold() for word in (encoding or "").split(",")]
    layers = [word for word in words if word in _COMPRESSIONS]
    if not layers and body.startswith(_GZIP):
        layers = ["gzip"]  # a header was lost on the way, but its first bytes show what it is
    if len(layers) > _MOST_LAYERS or not _INFLATED.issuperset(layers):
        raise ValueError("it is compressed in a way that was not asked for")
    for _ in layers:
        body = _inflated(body)
    return body


def _inflated(body: bytes) -> bytes:
    for window in (_GZIP_OR_ZLIB, _BARE):
        stream = zlib.decompressobj(window)
        try:
            plain = stream.decompress(body, LARGEST_REPLY + 1)
        except zlib.error:
            continue
        if len(plain) > LARGEST_REPLY:
            message = f"without its compression it is longer than {LARGEST_REPLY} bytes"
            raise ValueError(message)
        if stream.eof and not stream.unused_data:
            return plain
    raise ValueError("it is compressed, and damaged")
