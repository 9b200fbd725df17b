"""Shared by the ASGI app, the server and the transport of the sandbox: a path, two extensions, and an exception."""

from __future__ import annotations

from typing import Final

API: Final = "/omipay/api"
"""Where the endpoints are, below the place where the sandbox is mounted."""

DROP: Final = "omipay.drop"
"""The ASGI extension of a server that ends the connection when :class:`ConnectionDropped` is raised."""

SURPLUS: Final = "omipay.surplus"
"""The ASGI extension of a server that can send bytes after a reply: a function that takes these bytes."""


class ConnectionDropped(ConnectionResetError):
    """A fault ended the connection: the caller gets no reply, or only a part of one."""
