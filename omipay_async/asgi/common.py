"""What the adapters share: where a session comes from, and names for several. Types of ASGI."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, NoReturn, cast

from omipay_async.errors import ConfigurationError

if TYPE_CHECKING:
    from omipay_async.session import AsyncOmipay

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]
"""Of any framework: each has types of its own for scope, receive and send."""


async def resolve_session(factory: Callable[..., Any], *arguments: Any) -> AsyncOmipay:
    """What ``factory``, sync or async, returns."""
    session = factory(*arguments)
    if inspect.isawaitable(session):
        session = await session
    return cast("AsyncOmipay", session)


def checked_name(name: object) -> str:
    """``name`` if an attribute can be called so."""
    if not isinstance(name, str) or not name.isidentifier():
        refuse("name", "must be a name, such as omipay_sydney")
    return name


def name_taken(place: str, remedy: str) -> ConfigurationError:
    """For a second session where there is one already: it would replace the first merchant's."""
    return ConfigurationError(
        f"{place} holds something already: give each merchant's session a name of its own, {remedy}"
    )


def refuse(name: str, what: str) -> NoReturn:
    """Raise the error that names an argument and says what is wrong."""
    message = f"{name} {what}"
    raise ConfigurationError(message)
