"""Transports of httpx-aiohttp, whose connections serve one request each, and may serve it twice. No I/O.

aiohttp uses a connection again unless the *server* closes it, whatever header the request had (seen in 3.14). A surplus
reply to one call could then answer the next one, so its pool must not keep connections. That also holds where another
transport stands in front of it, such as one that traces, caches or repeats requests: what it passes them to is found
among its attributes. ``_force_close`` is the one private name of aiohttp that is used here; a test over a real socket
fails if aiohttp renames it.

When a kept-alive connection is dropped, aiohttp repeats a read by itself. If the connection for its second try is
refused, the first one may still have arrived: then that refusal does not prove that nothing was sent.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import httpx

from .curl_connections import forbid_reuse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .attempt import Attempt

_LONGEST_KEEPALIVE_S: Final = 60.0
"""No transport keeps a connection alive for longer than this without an answer."""
_FEW: Final = 100
"""A longer collection, such as a cache, is not a list of transports: it is not searched before each request."""


def keep_no_connection(transport: httpx.AsyncBaseTransport) -> None:
    """Let the transports of httpx-aiohttp, and those of httpx-curl-cffi, close each connection after its reply.

    Others do so by themselves.

    Raises:
        ConfigurationError: one of them cannot be told.
    """
    for one in _transports(transport):
        packages = {kind.__module__.partition(".")[0] for kind in type(one).__mro__}
        if "httpx_aiohttp" in packages:
            _force_close(one)
        elif "httpx_curl_cffi" in packages:
            forbid_reuse(one)


def _force_close(transport: Any) -> None:
    if not hasattr(transport.client, "connector"):  # the client is made at the first request, which is this one
        transport.client = transport.get_client()
    connector = transport.client.connector
    if connector is not None and not connector.force_close:
        connector._force_close = True  # noqa: SLF001 - see above


def _transports(transport: object) -> list[object]:
    """A transport, and those and the clients that it may pass a request to."""
    found = [transport]
    for one in found:  # it grows meanwhile
        found += [held for held in _held_by(one) if all(held is not other for other in found)]
    return found


def _held_by(one: object) -> Iterator[object]:
    """The transports and clients among the attributes of an object, alone or in a short list or dictionary."""
    for value in _attributes(one):
        if isinstance(value, dict | list | tuple) and len(value) <= _FEW:
            values = tuple(value.values()) if isinstance(value, dict) else tuple(value)
        else:
            values = (value,)
        yield from (held for held in values if isinstance(held, httpx.AsyncBaseTransport | httpx.AsyncClient))


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
