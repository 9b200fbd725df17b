"""The gateway in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

from .server import Gateway

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator


@contextlib.contextmanager
def gateway_in_thread(tls: ssl.SSLContext | None = None) -> Iterator[Gateway]:
    """A gateway with a thread and an event loop of its own, for tests that use several loops."""
    gateway, ready, stop = Gateway(tls=tls), threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with gateway:
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(60)
        yield gateway
    finally:
        gateway.loop.call_soon_threadsafe(stop.set)
        thread.join()
