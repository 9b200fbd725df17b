"""Makes a transport that the user gave safe for money, before each request. No I/O.

Most close a connection after its reply, since the request asks for that. A transport that is built on aiohttp or curl
must be made to do so, and a transport below one that repeats requests must be kept from sending twice. The transports
below are found among the attributes, also behind one that traces or caches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httpx

from . import aiohttp_connections, curl_connections
from .patches import TRANSPORT
from .repeats import send_once

if TYPE_CHECKING:
    from collections.abc import Iterator

_FEW: Final = 100
"""A longer collection, such as a cache, is not a list of transports: it is not searched before each request."""


def make_safe(transport: httpx.AsyncBaseTransport) -> None:
    """Let what a transport is built on use no connection twice, and send no money call twice.

    Raises:
        ConfigurationError: a library cannot be made to do so.
    """
    for one in _reached_from(transport):
        if aiohttp_connections.is_session(one):
            aiohttp_connections.make_session_safe(one)
            continue
        packages = {kind.__module__.partition(".")[0] for kind in type(one).__mro__}
        if "httpx_aiohttp" in packages:
            aiohttp_connections.make_session_safe(aiohttp_connections.session_of(one))
        elif "httpx_curl_cffi" in packages:
            curl_connections.forbid_reuse(one)
        elif "httpx_pycurl" in packages:
            curl_connections.forbid_reuse_by_pycurl(one)
        if one is not transport and _is_lowest(one):
            send_once(one)


def _is_lowest(one: object) -> bool:
    """Whether a transport passes requests on to no other, and reports nothing of what it sends."""
    if isinstance(one, httpx.AsyncClient | TRANSPORT):
        return False
    return all(aiohttp_connections.is_session(held) for held in _held_by(one))


def _reached_from(transport: object) -> list[object]:
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
    return isinstance(held, httpx.AsyncBaseTransport | httpx.AsyncClient) or aiohttp_connections.is_session(held)


def _attributes(one: object) -> Iterator[object]:
    yield from getattr(one, "__dict__", {}).values()
    for kind in type(one).__mro__:
        yield from (getattr(one, name, None) for name in kind.__dict__.get("__slots__", ()))
