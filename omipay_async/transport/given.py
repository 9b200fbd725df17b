"""What must be done about a transport that the user gave: it keeps no connection, and sends a money call once. No I/O.

Each request has ``Connection: close``. That is not enough for aiohttp, which uses a connection again unless the
*server* closes it, whatever header the request had (seen in 3.14). A surplus reply to one call could then answer the
next one, so its pool must not keep connections. That also holds where another transport stands in front of it, such as
one that traces, caches or repeats requests: what it passes them to is found among its attributes.

A transport may also stand in front of another one to repeat what has failed. If httpcore is below, it reports what it
sends: then a money call is not sent a second time, nor after its time, and no later failure can pass for "never sent".
Of what is built on other libraries nothing can be seen.

``_force_close`` is the one private name of aiohttp that is used here; a test over a real socket fails if aiohttp
renames it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import httpx

from .attempt import sends_our_request

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping

    from .attempt import Attempt


_FEW: Final = 100
"""A longer collection, such as a cache, is not a list of transports: it is not searched before each request."""


def keep_no_connection(transport: httpx.AsyncBaseTransport) -> None:
    """Let the transports of httpx-aiohttp close each connection after its reply. Others do so by themselves."""
    for one in _transports(transport):
        if any(kind.__module__.partition(".")[0] == "httpx_aiohttp" for kind in type(one).__mro__):
            _force_close(one)


def is_in_memory(transport: httpx.AsyncBaseTransport) -> bool:
    """Whether a transport answers by itself, without a connection: it belongs to no event loop, and needs no mock."""
    kinds = httpx.MockTransport | httpx.ASGITransport
    return isinstance(transport, kinds) or bool(getattr(transport, "any_loop", False))


def calls_an_app(transport: httpx.AsyncBaseTransport) -> bool:
    """Whether a transport hands each request to an ASGI app at once: whatever is raised, the app has received it."""
    return getattr(type(transport), "handle_async_request", None) is httpx.ASGITransport.handle_async_request


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


def sending_once(attempt: Attempt) -> Callable[[str, Mapping[str, Any]], Coroutine[Any, Any, None] | None]:
    """What follows httpcore's trace events in a transport that the user gave."""

    def trace(event: str, info: Mapping[str, Any]) -> Coroutine[Any, Any, None] | None:
        if sends_our_request(event, info):
            attempt.begin_sending()
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return None  # the transport uses the synchronous half of httpcore in a thread, which awaits nothing
        attempt.note_stream(event, info)
        return _nothing()

    return trace


async def _nothing() -> None:
    pass
