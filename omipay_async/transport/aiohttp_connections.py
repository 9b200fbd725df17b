"""Lets each connection of an aiohttp session serve one request, and knows which reads may have been sent twice. No I/O.

aiohttp uses a connection again unless the *server* closes it, whatever header the request had (seen in 3.14). A surplus
reply to one call could then answer the next one, so its pool must not keep connections. ``_force_close`` is the one
private name of aiohttp that is used here; a test over a real socket fails if aiohttp renames it.

A session of aiohttp follows redirects unless it is told otherwise with each request: a gateway that acts and answers
with one got a charge ten times (seen over httpx-aiohttptransport 0.2). A request of ours ends at the first of them.

When a kept-alive connection is dropped, aiohttp repeats a read by itself. If the connection for its second try is
refused, the first one may still have arrived: then that refusal does not prove that nothing was sent.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any, Final

from .httpcore_reports import our_request

if TYPE_CHECKING:
    from .attempt import Attempt

_LONGEST_KEEPALIVE_S: Final = 60.0
"""No transport keeps a connection alive for longer than this without an answer."""


def session_of(transport: Any) -> Any:
    """The session of a transport of httpx-aiohttp."""
    if not hasattr(transport.client, "connector"):  # the client is made at the first request, which is this one
        transport.client = transport.get_client()
    return transport.client


def is_session(held: object) -> bool:
    """Whether it is a session of aiohttp. What has not been imported keeps none, and need not be installed."""
    kind = getattr(sys.modules.get("aiohttp"), "ClientSession", None)
    return kind is not None and isinstance(held, kind)


def forbid_reuse(session: Any) -> None:
    """Let a session close each connection after its reply."""
    connector = session.connector
    if connector is not None and not connector.force_close:
        connector._force_close = True  # noqa: SLF001 - see above


def forbid_redirects(session: Any) -> None:
    """Let a session end our requests at the first redirect."""
    configs = session.trace_configs
    if all(_end_our_request not in one.on_request_redirect for one in configs):
        config = sys.modules["aiohttp"].TraceConfig()
        config.on_request_redirect.append(_end_our_request)
        config.freeze()
        configs.append(config)


async def _end_our_request(*_: object) -> None:
    if our_request.get():  # others may use the session too
        raise RedirectedError("the answer was a redirect, which is not followed")


class RedirectedError(Exception):
    """A request must not be sent again to where a redirect leads: the gateway may have acted on it already."""


class SecondTries:
    """Which reads aiohttp may have sent twice: those to a node that has answered not long ago."""

    def __init__(self) -> None:
        self._answered: dict[str, float] = {}

    def note_reply(self, attempt: Attempt) -> None:
        """Note that a whole reply has arrived, after which aiohttp may keep the connection alive."""
        self._answered[attempt.node.base_url] = attempt.clock.monotonic()

    def may_have_raised(self, attempt: Attempt, error: Exception) -> bool:
        """Whether ``error`` may come from a second try of aiohttp's."""
        source = type(error.__cause__).__module__.partition(".")[0]
        if source != "aiohttp" or attempt.endpoint.method != "GET":
            return False
        return attempt.clock.monotonic() - self._answered.get(attempt.node.base_url, -math.inf) < _LONGEST_KEEPALIVE_S
