"""A stand-in for Telegram's HTTP API: customers type, the bot's messages are kept. https://core.telegram.org/bots/api"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TOKEN: Final = "1:stand-in"
BLOCKED: Final = "Forbidden: bot was blocked by the user"
_LONG_POLL_S: Final = 0.5


class Telegram:
    """What customers typed, and what the bot said to each."""

    def __init__(self) -> None:
        self.said: list[tuple[int, str]] = []
        self.blocked_by: set[int] = set()
        """The customers who have blocked the bot."""
        self.pages = 0
        """How many messages are answered with a page of a proxy's, which is not JSON."""
        self._updates: list[dict[str, Any]] = []
        self._numbers = itertools.count(1)
        self._news = asyncio.Event()

    def types(self, chat: int, text: str) -> None:
        """A customer types."""
        message = self._message(chat) | {"text": text, "entities": [_command(text)] if text.startswith("/") else []}
        self._updates.append({"update_id": next(self._numbers), "message": message})
        self._news.set()

    def heard_by(self, chat: int) -> list[str]:
        """What one customer was told; ``<photo>`` for a picture."""
        return [said for listener, said in self.said if listener == chat]

    async def handle(self, request: web.Request) -> web.Response:
        """One call of the bot."""
        method = request.match_info["method"].lower()
        fields: Any = await request.post() if request.can_read_body else request.query
        if request.content_type == "application/json":
            fields = await request.json()
        if method == "sendmessage" and int(fields["chat_id"]) in self.blocked_by:
            return web.json_response({"ok": False, "error_code": 403, "description": BLOCKED}, status=403)
        if method == "sendmessage" and self.pages:
            self.pages -= 1
            return web.Response(text="<html>502 Bad Gateway</html>", status=502, content_type="text/html")
        return web.json_response({"ok": True, "result": await self._answer(method, fields)})

    async def _answer(self, method: str, fields: Any) -> Any:
        if method == "getme":
            return {"id": 1, "is_bot": True, "first_name": "Shop", "username": "shop_bot"}
        if method == "getupdates":
            return await self._new_updates(int(fields.get("offset", 0)), float(fields.get("timeout", 0)))
        if method in {"sendmessage", "sendphoto"}:
            chat = int(fields["chat_id"])
            self.said.append((chat, fields["text"] if method == "sendmessage" else "<photo>"))
            return self._message(chat)
        return True

    async def _new_updates(self, offset: int, timeout: float) -> list[dict[str, Any]]:
        self._updates = [update for update in self._updates if update["update_id"] >= offset]
        if not self._updates and timeout:
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), min(timeout, _LONG_POLL_S))
        return self._updates

    def _message(self, chat: int) -> dict[str, Any]:
        person = {"id": chat, "is_bot": False, "first_name": f"Customer {chat}"}
        return {
            "message_id": next(self._numbers),
            "date": 1_700_000_000,
            "chat": {"id": chat, "type": "private", "first_name": person["first_name"]},
            "from": person,
        }


def _command(text: str) -> dict[str, Any]:
    return {"type": "bot_command", "offset": 0, "length": len(text.split(maxsplit=1)[0])}


@contextlib.asynccontextmanager
async def served_telegram() -> AsyncIterator[tuple[Telegram, str]]:
    """The stand-in with a port."""
    telegram = Telegram()
    app = web.Application()
    app.router.add_route("*", f"/bot{TOKEN}/{{method}}", telegram.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield telegram, f"http://{host}:{port}"
    finally:
        await runner.cleanup()
