"""What httpcore reports of a request that it sends: how far it has got, as trace events and in its log. No I/O.

From the events an attempt learns that it is being sent. So where httpcore is below a transport, a money call is not
sent a second time or after its time, and no later failure can pass for "never sent". A transport that is built on
another library reports nothing here. The log must show no secret.

httpcore is not imported here; for each of its details that this module relies on, a test fails when it changes.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from typing import TYPE_CHECKING, Any

from .attempt import Attempt, our_attempt

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping


async def trace_httpx(attempt: Attempt, event: str, info: Mapping[str, Any]) -> None:
    """Follow the trace events of httpx's own transport. What is raised here ends the request before it is sent.

    The first word of an event is the part of httpcore that reports it: a SOCKS proxy's is not an HTTP proxy's.
    """
    if _sends_our_request(event, info):
        attempt.begin_sending()
    elif event.endswith(".connect_tcp.started"):
        attempt.begin_connecting()
    _note_stream(attempt, event, info)


def trace_given(
    attempt: Attempt, event: str, info: Mapping[str, Any], *, is_passed_on: bool = False
) -> Coroutine[Any, Any, None] | None:
    """Follow the trace events of a transport that the user gave: of either half of httpcore, and in any thread.

    ``is_passed_on``: the request was passed on to the transport that reports them (see ``repeats``).
    """
    if _sends_our_request(event, info):
        attempt.begin_sending(is_passed_on=is_passed_on)
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


# -- its log ----------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1)
def keep_replies_out_of_the_log() -> None:
    """Let httpcore leave out the server's words, which may repeat the signed URL, when it logs our requests at DEBUG.

    The password of a SOCKS proxy, which it logs when it asks the proxy for a connection, is left out too.
    """

    def without_the_reply(record: logging.LogRecord) -> bool:
        if our_attempt.get() is not None:
            event, _, details = str(record.msg).partition(" ")
            if event.endswith((".complete", ".failed", "setup_socks5_connection.started")) and details:
                record.msg, record.args = event, ()
        return True

    for part in ("connection", "http11", "http2", "proxy", "socks"):
        logging.getLogger(f"httpcore.{part}").addFilter(without_the_reply)
