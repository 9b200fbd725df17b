"""What the web adapters share: the raw body of a notification, read within bounds. No framework here."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

from .errors import MalformedNotification
from .protocol.notifications import LARGEST_BODY, failure, log_refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable

    from .protocol.notifications import NotificationReply
    from .session import AsyncOmipay

CONTENT_TOO_LARGE: Final = 413
_DIGITS: Final = 18
"""Longer numbers are not even read: Python refuses some, and a body of such a length would never end."""


class BodyTooLarge(Exception):  # noqa: N818 - what the body is
    """The body is longer than any notification: refused before it was read whole."""


async def read(chunks: AsyncIterable[bytes], declared: str | None) -> bytes:
    """The whole body, raw: a framework that parses and writes it again breaks signatures.

    ``declared`` is the Content-Length, if there is one.

    Raises:
        BodyTooLarge: that, or what has come, is too much.
    """
    if declared is not None and declared.isdecimal() and (len(declared) > _DIGITS or int(declared) > LARGEST_BODY):
        raise BodyTooLarge
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > LARGEST_BODY:
            raise BodyTooLarge
    return bytes(body)


def refused(status: int, why: str) -> NotificationReply:
    """FAIL, for a body that was not even read."""
    error = MalformedNotification(why)
    log_refusal(error)
    return failure(status, error)


def too_long() -> NotificationReply:
    """413 and FAIL."""
    return refused(CONTENT_TOO_LARGE, f"the body is longer than {LARGEST_BODY} bytes")


def cut_off() -> NotificationReply:
    """400 and FAIL: the body ended before its end, or its encoding is broken."""
    return refused(400, "the body could not be read to its end")


async def made(factory: Callable[..., Any], *arguments: Any) -> AsyncOmipay:
    """What ``factory``, sync or async, returns."""
    session = factory(*arguments)
    if inspect.isawaitable(session):
        session = await session
    return session  # type: ignore[no-any-return]  # the user's promise
