"""Checks the handlers that users give, before one is needed: a payment must not find out that it cannot be called."""

from __future__ import annotations

import inspect
import sys
from types import FunctionType
from typing import TYPE_CHECKING, TypeVar

from omipay_async.errors import InvalidRequest
from omipay_async.protocol.validation import reject

if sys.version_info >= (3, 14):
    import annotationlib

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from omipay_async.models import Order

    Handler = Callable[[Order], Awaitable[object]]

T = TypeVar("T")


def checked_handler(value: T, *takes: str) -> T:
    """``value`` if it can be called. Whether it is async shows when it is called, unless it says that it is not.

    ``takes`` names the arguments that it must accept, if it is handed over long before the first payment.
    """
    if not callable(value):
        reject("handler", "must be an async function that takes the order")
    if takes and (why := call_error(value, takes)) is not None:
        for_books = takes == ("order",) and call_error(value, (*takes, "connection")) is None
        remedy = ", which books.transactional(handler) gives it" if for_books else ""
        reject("handler", f"cannot be called as handler({', '.join(takes)}): {why}{remedy}")
    if _returns_nothing(value):
        reject("handler", "must be async: write async def")
    return value


def _returns_nothing(function: object) -> bool:
    """Whether it is a plain ``def`` that is annotated with ``-> None``: it would do its work at each try, and fail."""
    function = getattr(function, "__func__", function)
    if type(function) is not FunctionType or inspect.iscoroutinefunction(function) or hasattr(function, "__wrapped__"):
        return False
    try:
        returns = signature(function).return_annotation
    except (TypeError, ValueError):
        return False
    return returns is None or (isinstance(returns, str) and returns == "None")


def call_error(function: Callable[..., object], arguments: Sequence[str]) -> str | None:
    """Why ``function`` cannot be called with so many arguments; None if it can, or does not say what it takes."""
    if type(function) is not function.__class__:
        return None  # it pretends to be what it wraps (wrapt), and may add arguments to those that it takes
    try:  # books.transactional wraps a handler into one that takes less: it is the wrapper that will be called
        takes = signature(function, follow_wrapped=False)
    except (TypeError, ValueError):  # it is not written in Python, for example
        return None
    try:
        takes.bind(*arguments)
    except TypeError as error:
        return str(error)
    return None


def signature(function: Callable[..., object], *, follow_wrapped: bool = True) -> inspect.Signature:
    """``inspect.signature``, also if the annotations name what is imported for type checkers only.

    Raises:
        TypeError, ValueError: ``function`` does not say what it takes.
    """
    if sys.version_info >= (3, 14):  # it evaluates them
        how = annotationlib.Format.FORWARDREF
        return inspect.signature(function, follow_wrapped=follow_wrapped, annotation_format=how)
    return inspect.signature(function, follow_wrapped=follow_wrapped)


def handler_error(message: str) -> InvalidRequest:
    """The error of a handler that cannot be run. Its ``outcome`` is None, because its order is paid."""
    return InvalidRequest(message, parameter="handler").with_outcome(None)
