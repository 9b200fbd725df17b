"""The sandbox itself: the gateway that Omipay does not offer, as one object and as an ASGI app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, Unpack

from . import arguments
from .core import SandboxCore
from .notifier import APP_NOTIFY_URL
from .times import check_time_zone
from .web import app

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    import httpx
    from starlette.types import Receive, Scope, Send

    from omipay_async import AsyncOmipay
    from omipay_async.config import SessionArguments


class Sandbox(SandboxCore):
    """A whole Omipay gateway in memory: an ASGI app with every endpoint of the documents.

    - ``m_number``, ``secret_key``: the number and the key of its merchant.
    - ``clock``: where its time comes from, such as a ``ManualClock``; None: the machine's time.
    - ``seed``: an int or a str that makes its numbers, nonces and faults the same in each run; None: different ones.
    - ``app``: an ASGI app that gets the notifications; None: they go to each order's ``notify_url`` over HTTP.
    - ``notify_delay``, ``notify_interval``: the seconds from a payment to its first notification, and from one try to
      the next. There are three tries.
    - ``notify_same_signature``: whether the second and third try carry the nonce and timestamp of the first.
    - ``oddities``: whether replies and notifications use the unusual names and forms that the documents' examples and
      the real gateway have shown.
    - ``repeat_finds_order``: whether a scan order whose ``out_order_no`` was used before is refused (ORDER_PAID,
      ORDER_CLOSED or USERPAYING); if False, it charges the customer once more.

    ``merchant`` is what the merchant has registered, and ``gateway.terms`` are the rates and limits: change them when
    you like. ``ledger`` is the gateway's record of everything, ``faults`` lets calls fail, and ``customer`` pays or
    declines. An argument that cannot work is a ValueError.
    """

    base_url = "http://sandbox.test/omipay/api"
    """The address for use in memory. Served or mounted, it answers under any host and prefix."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as an ASGI app."""
        self.notifier.start()
        await app.respond(self, scope, receive, send)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def serve(
        self, host: str = "127.0.0.1", port: int = 0, *, allow_remote: bool = False
    ) -> AbstractAsyncContextManager[str]:
        """Serve it on a socket: ``async with sandbox.serve() as base_url``. Port 0 is any free one.

        It needs the extra ``sandbox``. Raises OSError if the port is in use, ValueError for an empty ``host``, and
        RuntimeError on a machine without a time zone database.

        Requests whose ``Host`` or ``Origin`` is not a loopback address are answered 403 unless ``allow_remote`` is
        True, because the dashboard has no password.
        """
        from .server import serve

        check_time_zone()
        host = arguments.text("host", host)
        return serve(self, host, port, allow_remote=allow_remote, before_shutdown=self.live.close)

    def transport(self) -> httpx.AsyncBaseTransport:
        """The sandbox as a transport for httpx, without a port."""
        from .transport import SandboxTransport

        return SandboxTransport(self)

    def session(self, **options: Unpack[SessionArguments]) -> AsyncOmipay:
        """An ``AsyncOmipay`` that is wired to this sandbox in memory; ``options`` are arguments of ``AsyncOmipay``.

        Close it as any other: ``async with sandbox.session() as omipay``. If the sandbox has an ``app`` by now,
        the session's ``notify_url`` leads to ``/omipay/notify`` of it.
        """
        # The sandbox imports the client only here: its rules are written without it.
        from omipay_async import AsyncOmipay

        wired: dict[str, Any] = {
            "m_number": self.merchant.m_number,
            "secret_key": self.merchant.secret_key,
            "base_url": self.base_url,
            "transport": self.transport(),
            "clock": self.clock,
        }
        if self.app is not None:
            wired["notify_url"] = APP_NOTIFY_URL
        return AsyncOmipay(**{**wired, **options})
