"""A reply as it was received, before it is decoded, and what it is without its compression. No I/O."""

from __future__ import annotations

import contextlib
import gzip
import io
import zlib
from typing import TYPE_CHECKING, Final, Self

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable

LARGEST_REPLY: Final = 1024 * 1024
"""In bytes; real replies have a few hundred."""


@attrs.frozen(repr=False)
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
            if field == "encoding" or kept.get(field) != text:  # two equal ones are one, except two compressions
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


# -- compression ------------------------------------------------------------------------------------------------------

_COMPRESSIONS: Final = frozenset({"gzip", "x-gzip", "deflate", "br", "zstd", "compress", "x-compress"})
_INFLATED: Final = frozenset({"gzip", "x-gzip", "deflate"})
_MOST_LAYERS: Final = 2
"""Each costs as much time as a reply of the largest size."""
_GZIP: Final = b"\x1f\x8b\x08"
_BARE: Final = -zlib.MAX_WBITS
"""Some servers leave out the header that ``deflate`` has."""


def unpacked(body: bytes, encoding: str | None) -> bytes:
    """``body`` without the compressions that a ``Content-Encoding`` names. Other words in it are ignored.

    No request asks for compression. A proxy may compress a reply all the same, and then it is still the answer to a
    charge. What begins as gzip does is unpacked even if no compression is named, or one that is unknown here.

    Raises:
        ValueError: it is compressed in another way than gzip or deflate, damaged, or too large without its compression.
    """
    words = [word.strip().casefold() for word in (encoding or "").split(",")]
    layers = [word for word in words if word in _COMPRESSIONS]
    is_known = _INFLATED.issuperset(layers)
    if body.startswith(_GZIP) and not (layers and is_known):
        layers, is_known = ["gzip"], True  # a header was lost or changed, but the first bytes show what it is
    if len(layers) > _MOST_LAYERS or not is_known:
        raise ValueError("it is compressed in a way that was not asked for")
    for _ in layers:
        body = _inflated(body)
    return body


def _inflated(body: bytes) -> bytes:
    if body.startswith(_GZIP):
        with contextlib.suppress(EOFError, OSError, zlib.error), gzip.open(io.BytesIO(body)) as stream:
            return _short(stream.read(LARGEST_REPLY + 1))
    for window in (zlib.MAX_WBITS, _BARE):
        deflated = zlib.decompressobj(window)
        with contextlib.suppress(zlib.error):
            plain = _short(deflated.decompress(body, LARGEST_REPLY + 1))
            if deflated.eof and not deflated.unused_data:
                return plain
    raise ValueError("it is compressed, and damaged")


def _short(plain: bytes) -> bytes:
    if len(plain) > LARGEST_REPLY:
        message = f"without its compression it is longer than {LARGEST_REPLY} bytes"
        raise ValueError(message)
    return plain
