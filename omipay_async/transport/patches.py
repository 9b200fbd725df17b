"""Whether another program has patched httpx or httpcore: a tracer, or a mock. It must see the session's requests."""

from __future__ import annotations

import sys
from types import FunctionType
from typing import Any, Final

TRANSPORT_METHOD: Final = "handle_async_request"
"""How the transports of httpx, and the pools and connections of httpcore, send a request."""


def is_patched(kind: Any, *methods: str) -> bool:
    """Whether one of the ``methods`` of ``kind`` was replaced by another program.

    A method of its own is a function of the same module as ``__init__``. This holds even if this module is first
    imported while a mock is active.
    """
    for name in methods:
        method = getattr(kind, name, None)
        if type(method) is not FunctionType or method.__globals__ is not kind.__init__.__globals__:
            return True
    return False


def httpcore_is_patched() -> bool:
    """Whether another program has replaced a method of httpcore that sends requests, as respx and Elastic APM do."""
    httpcore: Any = sys.modules.get("httpcore")  # it is imported with the first request, if nobody else has done so
    return httpcore is not None and any(
        is_patched(kind, TRANSPORT_METHOD) for kind in (httpcore.AsyncConnectionPool, httpcore.AsyncHTTPConnection)
    )
