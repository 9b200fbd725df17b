"""A server in front of an ASGI app, without a socket: its lifespan, and one request at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import MutableMapping


class Client:
    """A server in front of an ASGI app, one request at a time; it keeps the messages that were sent."""

    def __init__(self, app: Any, **scope: Any) -> None:
        self.app = app
        self.scope = scope
        self.sent: list[MutableMapping[str, Any]] = []

    async def send(self, message: MutableMapping[str, Any]) -> None:
        self.sent.append(message)

    async def post(self, *parts: bytes, path: str = "/omipay/notify", method: str = "POST", **scope: Any) -> int:
        """The status of the answer; its body and headers are kept. Without parts the client hangs up."""
        self.sent.clear()
        left = list(parts)

        async def receive() -> dict[str, Any]:
            if not left:
                if parts:
                    await asyncio.Event().wait()  # the client waits for its answer
                return {"type": "http.disconnect"}
            body = left.pop(0)
            # A server may leave out what is empty.
            return {"type": "http.request", "more_body": bool(left)} | ({"body": body} if body else {})

        await self.app(self.http(path, method) | scope, receive, self.send)
        start, *bodies = self.sent
        self.headers = {name.decode(): value.decode() for name, value in start["headers"]}
        self.body = b"".join(message["body"] for message in bodies)
        return int(start["status"])

    def http(self, path: str, method: str) -> dict[str, Any]:
        return {"type": "http", "method": method, "path": path, "headers": [], "http_version": "1.1"} | self.scope


class Server:
    """A server that supports the lifespan of apps."""

    def __init__(self, app: Any, state: dict[str, Any] | None = None) -> None:
        self.said: list[str] = []
        self.failure = ""
        self._app = app
        self._changed = asyncio.Event()
        self._ending = asyncio.Event()
        self._asked = 0
        self.scope: dict[str, Any] = {"type": "lifespan"} | ({} if state is None else {"state": state})

    async def receive(self) -> dict[str, Any]:
        self._asked += 1
        if self._asked == 1:
            return {"type": "lifespan.startup"}
        await self._ending.wait()
        return {"type": "lifespan.shutdown"}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        self.said.append(message["type"])
        self.failure = message.get("message", "")
        self._changed.set()

    async def __aenter__(self) -> Self:
        self.task = asyncio.ensure_future(self._app(self.scope, self.receive, self.send))
        changed = asyncio.ensure_future(self._changed.wait())
        await asyncio.wait([self.task, changed], return_when=asyncio.FIRST_COMPLETED)
        changed.cancel()
        if self.task.done():
            await self.task
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ending.set()
        await self.task
