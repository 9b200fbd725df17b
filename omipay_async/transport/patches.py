"""Whether another program has patched httpx or httpcore: a tracer, or a mock. It must see the session's requests."""

from __future__ import annotations

import sys
from types import FunctionType
from typing import Any


def is_patched(kind: Any, method: str = "handle_async_request") -> bool:
    """Whether ``method`` of ``kind`` was replaced by another program.

    A method of its own is a function of the same module as ``__init__``. This holds even if this module is first
    imported while a mock is active.
    """
    send = getattr(kind, method, None)
    return type(send) is not FunctionType or send.__globals__ is not kind.__init__.__globals__


def httpcore_is_patched() -> bool:
    """Whether another program has replaced a method of httpcore that sends requests, as respx and Elastic APM do."""
    httpcore: Any = sys.modules.get("httpcore")  # it is imported with the first request, if nobody else has done so
    return httpcore is not None and (
        is_patched(httpcore.AsyncConnectionPool) or is_patched(httpcore.AsyncHTTPConnection)
    )
