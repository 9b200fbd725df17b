"""Bodies are read raw and within bounds, whatever the server in front lets through."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from omipay_async import asgi

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 1000


@pytest.mark.parametrize("declared", [None, "5", "-5", "junk", "", "٣"])
async def test_a_short_body_is_read_whatever_was_declared(declared: str | None) -> None:
    """A header that says nothing of use is the server's affair; what came is what counts."""
    assert await asgi.read(chunks(b"{", b"", b'"a"}'), declared) == b'{"a"}'


@pytest.mark.parametrize("declared", ["65537", "9" * 19, "9" * 5000])
async def test_a_length_that_is_too_much_is_refused_before_anything_is_read(declared: str) -> None:
    """Even one that Python refuses to read as a number."""
    with pytest.raises(asgi.BodyTooLarge):
        await asgi.read(endless(), declared)


@pytest.mark.parametrize("declared", [None, "10"])
async def test_what_comes_is_counted(declared: str | None) -> None:
    """64 KiB are read, a byte more is not, whatever was declared."""
    assert len(await asgi.read(chunks(b"x" * 65_535, b"x"), declared)) == 65_536
    with pytest.raises(asgi.BodyTooLarge):
        await asgi.read(chunks(b"x" * 65_536, b"x"), declared)
    with pytest.raises(asgi.BodyTooLarge):
        await asgi.read(endless(), declared)
