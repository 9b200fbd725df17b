"""Keeps secrets out of what httpcore sends to a proxy and writes to its log.

Requests through a proxy and over httpx's own transports use httpcore. It is not imported here; for each of its details
that this module relies on, a test fails when it changes.
"""

from __future__ import annotations

import contextvars
import functools
import logging
from typing import Any


class TargetOnce(dict[str, Any]):
    """Request extensions whose ``target`` is found only once.

    httpcore looks for it first when it makes the real request. For a proxy it makes a second request, CONNECT, from the
    same extensions, which would contain the signed target in clear text instead of the gateway's address.
    """

    was_found = False

    def __contains__(self, key: object) -> bool:
        if key == "target":
            first, self.was_found = not self.was_found, True
            return first
        return super().__contains__(key)


our_request: contextvars.ContextVar[bool] = contextvars.ContextVar("omipay_async_request", default=False)
"""True while a request of a session is under way."""


@functools.lru_cache(maxsize=1)
def keep_replies_out_of_the_log() -> None:
    """Remove the server's words, which may repeat the signed URL, from what httpcore logs at DEBUG of our requests.

    And the password of a SOCKS proxy, which it logs when it asks the proxy for a connection.
    """

    def without_the_reply(record: logging.LogRecord) -> bool:
        if our_request.get():
            event, _, details = str(record.msg).partition(" ")
            if event.endswith((".complete", ".failed", "setup_socks5_connection.started")) and details:
                record.msg, record.args = event, ()
        return True

    for part in ("connection", "http11", "http2", "proxy", "socks"):
        logging.getLogger(f"httpcore.{part}").addFilter(without_the_reply)
