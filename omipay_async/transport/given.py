"""Makes a transport that the user gave close each connection, where ``Connection: close`` is not enough. No I/O.

aiohttp uses a connection again unless the *server* closes it, whatever header the request had (seen in 3.14). A surplus
reply to one call could then answer the next one, so its pool must not keep connections.

``_force_close`` is the one private name of aiohttp that is used here; a test over a real socket fails if aiohttp
renames it.
"""

from __future__ import annotations

from typing import Any


def keep_no_connection(transport: Any) -> None:
    """Let the transport of httpx-aiohttp close each connection after its reply. Others do so by themselves."""
    if not any(kind.__module__.partition(".")[0] == "httpx_aiohttp" for kind in type(transport).__mro__):
        return
    if not hasattr(transport.client, "connector"):  # the client is made at the first request, which is this one
        transport.client = transport.get_client()
    connector = transport.client.connector
    if connector is not None and not connector.force_close:
        connector._force_close = True  # noqa: SLF001 - see above
