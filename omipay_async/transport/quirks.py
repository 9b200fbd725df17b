"""What httpx and httpcore do that must be known to use them safely and fast, and shows nowhere.

Neither is imported here. Each entry has a test that fails when they change.
"""

from __future__ import annotations

import contextvars
import functools
import logging
from typing import Any, TypeVar

URL = TypeVar("URL")


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


def with_query(address: URL, query: str) -> URL:
    """The ``httpx.URL`` ``address`` with a query that is percent-encoded already.

    httpx offers no way to put one there but to parse the whole again, which takes longer than all else that is done to
    a request.
    """
    kind: Any = type(address)
    reference = getattr(address, "_uri_reference", None)
    if reference is None:
        parsed: URL = kind(f"{address}?{query}")
        return parsed
    url: URL = kind(address)
    url._uri_reference = reference._replace(query=query)  # type: ignore[attr-defined]  # noqa: SLF001 - as said above
    return url


def surplus(transport: object) -> bool:
    """Whether a server sent more than its reply, which httpcore would take for the beginning of the next one.

    Neither httpx nor httpcore shows this, so it is looked for where h11 keeps it.
    """
    for outer in getattr(getattr(transport, "_pool", None), "connections", ()):
        connection = outer
        while (inner := getattr(connection, "_connection", None)) is not None:
            connection = inner
        state = getattr(connection, "_h11_state", None)
        if state is not None and state.trailing_data[0]:
            return True
    return False


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
