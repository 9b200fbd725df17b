"""What keeps secrets in on httpcore's path, which requests through a proxy and over httpx's own transports take.

httpcore is not imported here. Each entry has a test that fails when it changes.
"""

from __future__ import annotations

import contextvars
import functools
import logging
from typing import Any


class TargetOnce(dict[str, Any]):
    """Request extensions whose ``target`` is there for the first who looks.

    That is httpcore making the request proper. Through a proxy it makes a second one of the same extensions, the
    CONNECT, which would carry the signed target in the clear and in place of the gateway's address.
    """

    looked_at = False

    def __contains__(self, key: object) -> bool:
        if key == "target":
            first, self.looked_at = not self.looked_at, True
            return first
        return super().__contains__(key)


our_request: contextvars.ContextVar[bool] = contextvars.ContextVar("omipay_async_request", default=False)
"""Set while a request of a session is under way."""


@functools.lru_cache(maxsize=1)
def keep_replies_out_of_the_log() -> None:
    """At DEBUG httpcore logs what a server says, which may echo the signed URL: not what it says to our requests."""

    def without_the_reply(record: logging.LogRecord) -> bool:
        if our_request.get():
            event, _, said = str(record.msg).partition(" ")
            if event.endswith((".complete", ".failed")) and said:
                record.msg, record.args = event, ()
        return True

    for name in ("httpcore.connection", "httpcore.http11", "httpcore.proxy", "httpcore.socks"):
        logging.getLogger(name).addFilter(without_the_reply)
