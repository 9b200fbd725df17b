"""Shared by the adapters: how they get a session, the names of several sessions, and the types of ASGI."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, cast

from omipay_async.errors import ConfigurationError
from omipay_async.fulfilment.handlers import signature
from omipay_async.options import reject

if TYPE_CHECKING:
    from omipay_async.session import AsyncOmipay

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]
"""An app of any framework: each has its own types for scope, receive and send."""


def is_session(given: object) -> bool:
    """Whether an adapter was given a session, or a double of one, and not what returns one."""
    return hasattr(given, "receive_notification") and not isinstance(given, type)


def may_find_session(given: object) -> bool:
    """Whether it can be called, and does not open another session each time, as a class and its ``from_env`` do."""
    owner = getattr(given, "__self__", None)  # a class may have other methods, which find its session
    opens = isinstance(owner, type) and given == getattr(owner, "from_env", None)
    return callable(given) and not isinstance(given, type) and not opens


def session_finder(name: str, given: Any, what: str) -> Callable[[Any], Any]:
    """What returns the session for a scope or a request; ``given`` is the session, or a function that returns it.

    Raises:
        ConfigurationError: ``given``, the argument ``name``, is neither; ``what`` says what it must be.
    """
    if is_session(given):
        return lambda _: given
    if not may_find_session(given):
        reject(name, what)
    return _with_argument(given)


def _with_argument(function: Callable[..., Any]) -> Callable[[Any], Any]:
    """``function``, to be called with a scope or a request, also if it takes no argument."""
    try:
        takes = signature(function)
    except (TypeError, ValueError):  # operator.itemgetter("omipay"), for example, does not say what it takes
        return function
    try:
        takes.bind_partial(None)
    except TypeError:
        return lambda _: function()
    return function


async def resolve_session(factory: Callable[..., Any], *arguments: Any) -> AsyncOmipay:
    """Return what ``factory``, sync or async, returns. Raises ``ConfigurationError`` if that is None."""
    if not callable(factory):
        raise ConfigurationError("factory must be a function that returns a session, such as AsyncOmipay.from_env")
    session = factory(*arguments)
    if inspect.isawaitable(session):
        session = await session
    return not_none(session)


def not_none(session: Any) -> AsyncOmipay:
    """Return ``session``. Raises ``ConfigurationError`` if it is None, as from a function without ``return``."""
    if session is None:
        raise ConfigurationError("the function that is to return the session returned None: does it lack a return?")
    return cast("AsyncOmipay", session)


def checked_name(name: object) -> str:
    """Return ``name``. Raises ``ConfigurationError`` if it cannot be the name of an attribute."""
    if not isinstance(name, str) or not name.isidentifier():
        reject("name", "must be an identifier, such as omipay_sydney")
    return name


def name_taken(place: str, remedy: str) -> ConfigurationError:
    """The error for a second session under one name: it would replace that of the first merchant."""
    return ConfigurationError(f"{place} is in use already: give each merchant's session its own name, {remedy}")
