"""Whether another program has patched httpx or httpcore: a tracer, or a mock. It must see the session's requests."""

from __future__ import annotations

import sys
from types import FunctionType
from typing import Any, Final

import httpx

_TRANSPORT_METHOD: Final = "handle_async_request"
"""How the transports of httpx, and the pools and connections of httpcore, send a request."""
_TRANSPORT: Final = httpx.AsyncHTTPTransport
_STEPS: Final = (
    "send",
    "_send_handling_auth",
    "_send_handling_redirects",
    "_send_single_request",
    "_transport_for_url",
)
"""What a client does to send a request, one method within the other."""
_ENTRIES: Final = ("get", "post", "request")
"""The methods of a client that programs call, which make a request and send it."""


def _is_patched(kind: Any, *methods: str) -> bool:
    """Whether one of the ``methods`` of ``kind`` was replaced by another program.

    A method of its own is a function of the same module as ``__init__``. This holds even if this module is first
    imported while a mock is active.
    """
    own = getattr(kind.__init__, "__globals__", None)  # a class may have been replaced by a function
    for name in methods:
        method = getattr(kind, name, None)
        if type(method) is not FunctionType or method.__globals__ is not own:
            return True
    return False


def client_is_patched() -> bool:
    """Whether another program has replaced a method by which a client sends a request, or the class."""
    return _is_patched(httpx.AsyncClient, *_STEPS, *_ENTRIES)


def client_entries_are_patched() -> bool:
    """Whether a method that programs call themselves, such as ``get``, is among those that were replaced."""
    return _is_patched(httpx.AsyncClient, *_ENTRIES)


def transport_is_patched() -> bool:
    """Whether another program watches or mocks httpx's transports, as OpenTelemetry and pytest-httpx do."""
    return _is_patched(_TRANSPORT, _TRANSPORT_METHOD)


def httpcore_is_patched() -> bool:
    """Whether another program has replaced a method of httpcore that sends requests, as respx and Elastic APM do."""
    httpcore: Any = sys.modules.get("httpcore")  # it is imported with the first request, if nobody else has done so
    return httpcore is not None and (
        _is_patched(httpcore.AsyncConnectionPool, _TRANSPORT_METHOD)
        or _is_patched(httpcore.AsyncHTTPConnection, _TRANSPORT_METHOD)
    )
