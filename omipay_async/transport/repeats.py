"""Keeps a transport that passes requests on to another from sending a money call twice. No I/O.

A transport that repeats requests may have one below it that reports nothing of what it sends, such as a transport that
is built on aiohttp or curl. The lowest that can be found is given a method of its own, which sends the request of a
money call once. httpx's own transport needs no such method, since httpcore reports what it sends (see
``httpcore_reports``). While another transport may be sending a request, it must not send it either: some transports
send each request over several others at once.
"""

from __future__ import annotations

import copy
import functools
import sys
from typing import TYPE_CHECKING, Any

from .attempt import ATTEMPT, Attempt
from .evidence import proves_unsent
from .httpcore_reports import trace_given
from .patches import TRANSPORT_METHOD

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    import httpx

    Send = Callable[[httpx.Request], Coroutine[Any, Any, httpx.Response]]


def send_once(lowest: Any) -> None:
    """Let a transport send no money call again that it may have sent already. It sends other requests as before."""
    attributes = vars(lowest)
    before = attributes.get(TRANSPORT_METHOD)
    if getattr(before, "__module__", None) == __name__:
        return  # it has the method already

    async def handle_async_request(request: httpx.Request) -> httpx.Response:
        # The method of the class is looked up now: a mock may have replaced it meanwhile.
        send: Send = before or functools.partial(type(lowest).handle_async_request, lowest)
        attempt = request.extensions.get(ATTEMPT)
        if isinstance(attempt, Attempt) and attempt.moves_money:
            return await _sent_once(send, request, attempt)
        return await send(request)

    attributes[TRANSPORT_METHOD] = handle_async_request


async def _sent_once(send: Send, request: httpx.Request, attempt: Attempt) -> httpx.Response:
    attempt.pass_on()
    handled = sys.exception()
    try:
        response = await send(_passed_on(request, attempt))
    except BaseException as error:
        if proves_unsent(attempt, error, handled):
            attempt.hand_over()  # it may be passed on once more
        else:
            attempt.note_sent()
        raise
    attempt.note_sent()
    return response


def _passed_on(request: httpx.Request, attempt: Attempt) -> httpx.Request:
    """A copy, by which a transport that is built on httpcore reports that it was passed the request."""
    copied = copy.copy(request)  # without these two, which httpx leaves out
    copied.stream = request.stream
    copied.extensions = {**request.extensions, "trace": functools.partial(trace_given, attempt, is_passed_on=True)}
    return copied
