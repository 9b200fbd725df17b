"""What a transport that the user gave must be told, beyond ``Connection: close`` on each request. No I/O.

aiohttp uses a connection again unless the *server* says that it closes it, whatever the request said (seen in 3.14).
So a reply too many, left over from one call, would answer the next: its pool must keep nothing.

``_force_close`` is the one private name of aiohttp that is used here; a test over a real socket fails when it is
called otherwise.
"""

from __future__ import annotations

from typing import Any


def keep_no_connection(transport: Any) -> None:
    """Let the transport of httpx-aiohttp close each connection after its reply. Other transports do by themselves."""
    if not any(kind.__module__.partition(".")[0] == "httpx_aiohttp" for kind in type(transport).__mro__):
        return
    if not hasattr(transport.client, "connector"):  # it is made at the first request, which is now
        transport.client = transport.get_client()
    connector = transport.client.connector
    if connector is not None and not connector.force_close:
        connector._force_close = True  # noqa: SLF001 - see above
