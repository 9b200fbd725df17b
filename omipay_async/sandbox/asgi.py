"""Shared by the ASGI app, the server and the transport of the sandbox: types, a path, two extensions, an exception."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

API: Final = "/omipay/api"
"""Where the endpoints are, below the place where the sandbox is mounted."""

DROP: Final = "omipay.drop"
"""The ASGI extension of a server that ends the connection when :class:`ConnectionDropped` is raised."""

SURPLUS: Final = "omipay.surplus"
"""The ASGI extension of a server that can send bytes after a reply: a function that takes these bytes."""


class ConnectionDropped(ConnectionResetError):
    """A fault ended the connection: the caller gets no reply, or only a part of one."""
