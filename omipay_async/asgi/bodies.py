"""Reads the body of a notification up to a limit, and answers it. All adapters use this."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import attrs

from omipay_async.errors import ConfigurationError, MalformedNotification
from omipay_async.log import logger
from omipay_async.protocol.jsontext import in_utf8
from omipay_async.protocol.notifications import LARGEST_BODY, SealedBody, failure, log_refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from omipay_async.fulfilment.handlers import Handler
    from omipay_async.protocol.notifications import NotificationReply
    from omipay_async.session import AsyncOmipay

CONTENT_TOO_LARGE: Final = 413
_DIGITS: Final = 18
"""How many digits of a Content-Length are read: Python refuses to convert very long numbers."""
BODY_TIMEOUT_S: Final = 10.0


class BodyTooLarge(Exception):
    """The body is longer than any notification. It was rejected before it was read completely."""


class BodyCutOff(Exception):
    """The body ended too early, came too slowly, or its encoding is broken."""


class BodyTaken(Exception):
    """A middleware has read the body, and did not keep it."""


async def read(chunks: AsyncIterator[bytes], declared: str | None, seconds: float = BODY_TIMEOUT_S) -> bytes:
    """Return the whole body as it was sent.

    ``declared`` is the Content-Length, if there is one.

    Raises:
        BodyTooLarge: ``declared``, or what was read, is more than ``LARGEST_BODY``.
        BodyTaken: the body is empty, although the length is not zero.
        BodyCutOff: its end did not come within ``seconds``.
        TimeoutError: nothing of it came within ``seconds``.
    """
    length = int(declared[: _DIGITS + 1]) if declared is not None and declared.isdecimal() else 0
    if length > LARGEST_BODY:
        raise BodyTooLarge
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in chunks:
                body += chunk
                if len(body) > LARGEST_BODY:
                    raise BodyTooLarge
    except TimeoutError:
        if body:
            raise BodyCutOff from None
        raise
    if length and not body:
        raise BodyTaken
    return bytes(body)


@attrs.frozen
class Answer:
    """The answer, and whether the connection has to be closed because the body was not read completely."""

    reply: NotificationReply
    close: bool = False

    def headers(self, http_version: str) -> dict[str, str]:
        """The headers of the answer. From HTTP/2 on there is no ``Connection``."""
        headers = dict(self.reply.headers)
        if self.close and http_version.startswith("1"):
            headers["Connection"] = "close"  # otherwise the server would go on receiving the body
        return headers


async def answer(
    session: AsyncOmipay,
    handler: Handler,
    chunks: AsyncIterator[bytes],
    headers: Mapping[str, str],
    *,
    body_timeout: float = BODY_TIMEOUT_S,
) -> Answer:
    """Read the body of a notification, let ``session`` receive it, and return the answer.

    ``headers`` are those of the request, and have names in lower case, or take any case. If the body is not UTF-8, its
    Content-Type may declare it as GBK, as in replies. ``body_timeout``, in seconds, limits the reading: on some servers
    a stream that a middleware has read never ends.
    """
    declared, content_type = headers.get("content-length"), headers.get("content-type")
    try:
        body = SealedBody(in_utf8(await read(chunks, declared, body_timeout), content_type))
    except BodyTooLarge:
        return Answer(_refused(CONTENT_TOO_LARGE, f"the body is longer than {LARGEST_BODY} bytes"), close=True)
    except BodyCutOff:
        return Answer(_refused(400, "the body could not be read to its end"), close=True)
    except BodyTaken:
        return Answer(_taken("was empty"))
    except TimeoutError:
        return Answer(_taken(f"could not be read within {body_timeout:g} s"), close=True)
    return Answer(await session.receive_notification(body.unsealed(), handler))


def _refused(status: int, why: str) -> NotificationReply:
    error = MalformedNotification(why)
    log_refusal(error)
    return failure(status, error)


def _taken(what: str) -> NotificationReply:
    error = ConfigurationError(
        f"the body of a notification {what}: if a middleware reads it, let it use the framework's cached body "
        "(docs/web.md), or exclude this path from it"
    )
    logger.error("%s", error)
    return failure(500, error)
