"""Transports that are built on aiohttp, whose connections serve one request each, and may serve it twice. No I/O.

aiohttp uses a connection again unless the *server* closes it, whatever header the request had (seen in 3.14). A surplus
reply to one call could then answer the next one, so its pool must not keep connections. That also holds where another
transport stands in front of it, such as one that traces, caches or repeats requests: what it passes them to is found
among its attributes, and so is the session of aiohttp that a transport of any package keeps (httpx-aiohttptransport's,
or one of the user's own). ``_force_close`` is the one private name of aiohttp that is used here; a test over a real
socket fails if aiohttp renames it.

A session of aiohttp follows redirects unless it is told otherwise with each request: a gateway that acts and answers
with one got a charge ten times (seen over httpx-aiohttptransport 0.2). A request of ours ends at the first of them.

When a kept-alive connection is dropped, aiohttp repeats a read by itself. If the connection for its second try is
refused, the first one may still have arrived: then that refusal does not prove that nothing was sent.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any, Final

import httpx

from .curl_connections import forbid_reuse, forbid_reuse_by_pycurl
from .httpcore_reports import our_request
from .repeats import send_once

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .attempt import Attempt

_LONGEST_KEEPALIVE_S: Final = 60.0
"""No transport keeps a connection alive for longer than this without an answer."""
_FEW: Final = 100
"""A longer collection, such as a cache, is not a list of transports: it is not searched before each request."""


def keep_no_connection(transport: httpx.AsyncBaseTransport) -> None:
    """Let the transports that are built on aiohttp or curl close each connection after its reply.

    And let the lowest ones send no money call twice, whatever those before them do.

    Others do so by themselves.

    Raises:
        ConfigurationError: one of them cannot be told.
    """
    for one in _transports(transport):
        if _is_aiohttp_session(one):
            _force_close(one)
            _follow_no_redirect(one)
            continue
        packages = {kind.__module__.partition(".")[0] for kind in type(one).__mro__}
        if "httpx_aiohttp" in packages:
            _force_close(_session_of(one))
        elif "httpx_curl_cffi" in packages:
            forbid_reuse(one)
        elif "httpx_pycurl" in packages:
            forbid_reuse_by_pycurl(one)
        if one is not transport and _is_lowest(one):
            send_once(one)


def _is_lowest(one: object) -> bool:
    """Whether a transport passes requests on to no other, and reports nothing of what it sends."""
    if isinstance(one, httpx.AsyncClient | httpx.AsyncHTTPTransport):
        return False
    return all(_is_aiohttp_session(held) for held in _held_by(one))


def _session_of(transport: Any) -> Any:
    if not hasattr(transport.client, "connector"):  # the client is made at the first request, which is this one
        transport.client = transport.get_client()
    return transport.client


def _is_aiohttp_session(held: object) -> bool:
    """Whether it is aiohttp's session. What has not been imported keeps none, and need not be installed."""
    kind = getattr(sys.modules.get("aiohttp"), "ClientSession", None)
    return kind is not None and isinstance(held, kind)


def _force_close(session: Any) -> None:
    connector = session.connector
    if connector is not None and not connector.force_close:
        connector._force_close = True  # noqa: SLF001 - see above


def _follow_no_redirect(session: Any) -> None:
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


def _transports(transport: object) -> list[object]:
    """A transport, and those, the clients and the sessions of aiohttp that it may pass a request to."""
    found = [transport]
    for one in found:  # it grows meanwhile
        found += [held for held in _held_by(one) if all(held is not other for other in found)]
    return found


def _held_by(one: object) -> Iterator[object]:
    """Its attributes that are transports, clients or sessions, alone or in a short list or dictionary."""
    for value in _attributes(one):
        if isinstance(value, dict | list | tuple) and len(value) <= _FEW:
            values = tuple(value.values()) if isinstance(value, dict) else tuple(value)
        else:
            values = (value,)
        yield from (held for held in values if _may_send(held))


def _may_send(held: object) -> bool:
    return isinstance(held, httpx.AsyncBaseTransport | httpx.AsyncClient) or _is_aiohttp_session(held)


def _attributes(one: object) -> Iterator[object]:
    yield from getattr(one, "__dict__", {}).values()
    for kind in type(one).__mro__:
        yield from (getattr(one, name, None) for name in kind.__dict__.get("__slots__", ()))


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
