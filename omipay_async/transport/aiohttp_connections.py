"""Lets each connection of an aiohttp session serve one request, and watches what such a session sends. No I/O.

aiohttp uses a connection again unless the *server* closes it, whatever header the request had (seen in 3.14). A surplus
reply to one call could then answer the next one, so its pool must not keep connections. ``_force_close`` is the one
private name of aiohttp that is used here; a test over a real socket fails if aiohttp renames it.

A session of aiohttp follows redirects unless it is told otherwise with each request: a gateway that acts and answers
with one got a charge ten times (seen over httpx-aiohttptransport 0.2). A request of ours ends at the first of them.

When a connection is dropped, aiohttp repeats a read by itself. If the connection for its second try is refused, the
first one may have arrived all the same. So a session reports which reads it has begun to send.
"""

from __future__ import annotations

import sys
from typing import Any

from .attempt import our_attempt


def session_of(transport: Any) -> Any:
    """The session of a transport of httpx-aiohttp."""
    if not hasattr(transport.client, "connector"):  # the client is made at the first request, which is this one
        transport.client = transport.get_client()
    return transport.client


def is_session(held: object) -> bool:
    """Whether it is a session of aiohttp. What has not been imported keeps none, and need not be installed."""
    kind = getattr(sys.modules.get("aiohttp"), "ClientSession", None)
    return kind is not None and isinstance(held, kind)


def make_session_safe(session: Any) -> None:
    """Let a session close each connection after its reply, and watch the requests of ours that it sends."""
    connector = session.connector
    if connector is not None and not connector.force_close:
        connector._force_close = True  # noqa: SLF001 - see above
    configs = session.trace_configs
    if all(_end_our_request not in one.on_request_redirect for one in configs):
        config = sys.modules["aiohttp"].TraceConfig()
        config.on_request_headers_sent.append(_note_sent_read)
        config.on_request_redirect.append(_end_our_request)
        config.freeze()
        configs.append(config)


# Others may use the session too, perhaps to prepare a request of ours.


async def _note_sent_read(*_: object) -> None:
    attempt = our_attempt.get()
    if attempt is not None and not attempt.moves_money:
        attempt.note_sent()


async def _end_our_request(*_: object) -> None:
    if our_attempt.get() is not None:
        raise RedirectedError("the answer was a redirect, which is not followed")


class RedirectedError(Exception):
    """A request must not be sent again to where a redirect leads: the gateway may have acted on it already."""
