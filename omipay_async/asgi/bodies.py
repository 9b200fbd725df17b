"""The body of a notification: raw, within bounds, wherever it is; and the answer to what it turns out to be."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

import attrs

from omipay_async.errors import ConfigurationError, MalformedNotification
from omipay_async.protocol.notifications import LARGEST_BODY, failure, log_refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from omipay_async.models import Order
    from omipay_async.protocol.notifications import NotificationReply
    from omipay_async.session import AsyncOmipay

logger: Final = logging.getLogger("omipay_async")

CONTENT_TOO_LARGE: Final = 413
_DIGITS: Final = 18
"""Longer numbers are not even read: Python refuses some, and a body of such a length would never end."""
BODY_TIMEOUT_S: Final = 10.0


class BodyTooLarge(Exception):
    """The body is longer than any notification: refused before it was read whole."""


class BodyCutOff(Exception):
    """The body ended before its end, or its encoding is broken."""


class BodyTaken(Exception):
    """Somebody in front of us has read the body, and it is kept nowhere."""


async def read(chunks: AsyncIterator[bytes], declared: str | None) -> bytes:
    """The whole body, raw: a framework that parses and writes it again breaks signatures.

    ``declared`` is the Content-Length, if there is one.

    Raises:
        BodyTooLarge: that, or what has come, is too much.
        BodyTaken: the body is empty, although the length is not zero.
    """
    length = int(declared[: _DIGITS + 1]) if declared is not None and declared.isdecimal() else 0
    if length > LARGEST_BODY:
        raise BodyTooLarge
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > LARGEST_BODY:
            raise BodyTooLarge
    if length and not body:
        raise BodyTaken
    return bytes(body)


@attrs.frozen
class Answer:
    """What to answer, and whether the connection is to end because a rest of the body was not read."""

    reply: NotificationReply
    close: bool = False


async def answer(
    session: AsyncOmipay,
    handler: Callable[[Order], Awaitable[object]],
    chunks: AsyncIterator[bytes],
    declared: str | None,
    *,
    body_timeout: float = BODY_TIMEOUT_S,
) -> Answer:
    """Read the body of a notification, let ``session`` receive it, and say what to answer.

    ``body_timeout`` bounds the reading, in seconds: a stream that somebody else has drained never ends on some servers.
    """
    try:
        async with asyncio.timeout(body_timeout):
            body = await read(chunks, declared)
    except BodyTooLarge:
        return Answer(_refused(CONTENT_TOO_LARGE, f"the body is longer than {LARGEST_BODY} bytes"), close=True)
    except BodyCutOff:
        return Answer(_refused(400, "the body could not be read to its end"), close=True)
    except BodyTaken:
        return Answer(_taken("came to us empty"))
    except TimeoutError:
        return Answer(_taken(f"did not come within {body_timeout:g} s"), close=True)
    return Answer(await session.receive_notification(body, handler))


def _refused(status: int, why: str) -> NotificationReply:
    error = MalformedNotification(why)
    log_refusal(error)
    return failure(status, error)


def _taken(what: str) -> NotificationReply:
    error = ConfigurationError(
        f"the body of a notification {what}: if a middleware reads it, let it use the framework's cached body "
        "(docs/web.md), or leave this path out"
    )
    logger.error("%s", error)
    return failure(500, error)
