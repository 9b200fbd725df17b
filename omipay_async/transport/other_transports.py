"""What must be done about transports that are not ours: those that users give, and httpx's own, as for a proxy. No I/O.

*They keep no connection.* Each request has ``Connection: close``. That is not enough for aiohttp, which uses a
connection again unless the *server* closes it, whatever header the request had (seen in 3.14). A surplus reply to one
call could then answer the next one, so its pool must not keep connections. That also holds where another transport
stands in front of it, such as one that traces, caches or repeats requests: what it passes them to is found among its
attributes. ``_force_close`` is the one private name of aiohttp that is used here; a test over a real socket fails if
aiohttp renames it.

*They repeat a read.* aiohttp does so by itself when a kept-alive connection is dropped. If the connection for its
second try is refused, the first one may have arrived all the same: then that refusal does not prove that nothing was
sent.

*They send a money call once.* A transport may stand in front of another one to repeat what has failed. If httpcore is
below, it reports what it sends: then a money call is not sent a second time, nor after its time, and no later failure
can pass for "never sent". Of what is built on other libraries nothing can be seen.

*They show no secret* to a proxy or in httpcore's log.

httpcore is not imported here; for each of its details that this module relies on, a test fails when it changes.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
import math
from typing import TYPE_CHECKING, Any, Final

import httpx

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Mapping

    from .attempt import Attempt

_LONGEST_KEEPALIVE_S: Final = 60.0
"""No transport keeps a connection alive for longer than this without an answer."""
_FEW: Final = 100
"""A longer collection, such as a cache, is not a list of transports: it is not searched before each request."""


def is_in_memory(transport: httpx.AsyncBaseTransport) -> bool:
    """Whether a transport answers by itself, without a connection: it belongs to no event loop, and needs no mock."""
    kinds = httpx.MockTransport | httpx.ASGITransport
    return isinstance(transport, kinds) or bool(getattr(transport, "any_loop", False))


def calls_an_app(transport: httpx.AsyncBaseTransport) -> bool:
    """Whether a transport hands each request to an ASGI app at once: whatever is raised, the app has received it."""
    return getattr(type(transport), "handle_async_request", None) is httpx.ASGITransport.handle_async_request


# -- they keep no connection -----------------------------------------------------------------------------------------


def keep_no_connection(transport: httpx.AsyncBaseTransport) -> None:
    """Let the transports of httpx-aiohttp close each connection after its reply. Others do so by themselves."""
    for one in _transports(transport):
        if any(kind.__module__.partition(".")[0] == "httpx_aiohttp" for kind in type(one).__mro__):
            _force_close(one)


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


# -- they repeat a read -----------------------------------------------------------------------------------------------


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


# -- they send a money call once --------------------------------------------------------------------------------------


async def trace_httpx(attempt: Attempt, event: str, info: Mapping[str, Any]) -> None:
    """Follow the trace events of httpx's own transport. What is raised here ends the request before it is sent.

    The first word of an event is the part of httpcore that reports it: a SOCKS proxy's is not an HTTP proxy's.
    """
    if _sends_our_request(event, info):
        attempt.begin_sending()
    elif event.endswith(".connect_tcp.started"):
        attempt.begin_connecting()
    _note_stream(attempt, event, info)


def trace_given(attempt: Attempt, event: str, info: Mapping[str, Any]) -> Coroutine[Any, Any, None] | None:
    """Follow the trace events of a transport that the user gave: of either half of httpcore, and in any thread."""
    if _sends_our_request(event, info):
        attempt.begin_sending()
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return None  # the transport uses the synchronous half in a thread, which awaits nothing
    _note_stream(attempt, event, info)
    return _nothing()


async def _nothing() -> None:
    pass


def _sends_our_request(event: str, info: Mapping[str, Any]) -> bool:
    """Whether the request is about to be written. A proxy's CONNECT is a request too, but not ours."""
    return event.endswith(".send_request_headers.started") and info["request"].method != b"CONNECT"


def _note_stream(attempt: Attempt, event: str, info: Mapping[str, Any]) -> None:
    """Note the connection that one of the events shows to be open."""
    if event.endswith(".connect_tcp.complete"):
        attempt.stream = info["return_value"]


# -- they show no secret ----------------------------------------------------------------------------------------------


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
