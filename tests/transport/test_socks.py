"""A SOCKS proxy that gets no further: nothing was sent, and that is known as soon as through an HTTP proxy."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

import pytest

from omipay_async import NotSent, Outcome, RetryPolicy
from omipay_async.protocol.endpoints import MAKE_SCAN_ORDER
from omipay_async.testing import ManualClock
from omipay_async.transport.attempt import Attempt, Node, Progress
from omipay_async.transport.cancellation import CancelScope
from omipay_async.transport.httpcore_reports import trace_httpx

from .client import open_session, scan

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GATEWAY = "https://gateway.test/omipay/api"
OTHER = "https://other.test/omipay/api"
ASKED = b"\x05\x01\x00"
NO_PASSWORD = b"\x05\x00"


class SocksProxy:
    """A SOCKS proxy on loopback that says a few words, and then nothing more, or hangs up."""

    def __init__(self, says: bytes, *, hangs: bool) -> None:
        self.says = says
        self.hangs = hangs
        self.asked: list[bytes] = []
        self.left = 0

    @property
    def url(self) -> str:
        """Its URL."""
        return f"socks5://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        with contextlib.suppress(ConnectionError):
            self.asked.append(await reader.read(100))
            writer.write(self.says)
            while self.hangs and await reader.read(100):
                pass
        self.left += 1
        writer.close()

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """While open, it can be reached."""
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port: int = server.sockets[0].getsockname()[1]
        yield
        server.close()
        while self.left < len(self.asked):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("says", [b"", NO_PASSWORD, b"HTTP/1.1 400 Bad Request\r\n\r\n"])
@pytest.mark.parametrize("hangs", [True, False], ids=["hangs", "hangs up"])
async def test_nothing_was_sent(says: bytes, *, hangs: bool) -> None:
    """Also on the other node, which gets its turn; and no connection to the proxy is left open."""
    proxy = SocksProxy(says, hangs=hangs)
    events: list[Any] = []
    options: dict[str, Any] = {"retry": RetryPolicy(attempts=1), "on_event": events.append, "timeout": 1.0}
    async with proxy.run(), open_session(GATEWAY, fallback=OTHER, proxy=proxy.url, **options) as omipay:
        with pytest.raises(NotSent) as caught:
            await scan(omipay, "A-1")
        assert caught.value.outcome is Outcome.NOT_DONE
    assert [event.node for event in events if event.name == "attempt"] == ["gateway.test", "other.test"]
    assert [words[:3] for words in proxy.asked] == [ASKED, ASKED]


async def test_its_password_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """At no level and by no library, although httpcore writes down what it asks a proxy for."""
    caplog.set_level(logging.DEBUG)
    proxy = SocksProxy(b"\x05\x02", hangs=False)
    async with proxy.run():
        url = proxy.url.replace("127", "till:Pa55word@127")
        async with open_session(GATEWAY, proxy=url, retry=RetryPolicy(attempts=1)) as omipay:
            with pytest.raises(NotSent):
                await scan(omipay, "A-1")
    assert "setup_socks5_connection.started" in caplog.messages
    assert "Pa55word" not in caplog.text


@pytest.mark.parametrize("part", ["connection", "socks"])
async def test_each_part_of_httpcore_that_connects_is_followed(part: str) -> None:
    """Whichever it is, connecting has its own time limit, and its stream is closed if nothing comes of it."""
    clock = ManualClock()
    attempt = Attempt(
        MAKE_SCAN_ORDER,
        Node("AU", GATEWAY),
        new_signed_query=str,
        secrets=(),
        scope=CancelScope(clock),
        clock=clock,
        until=10.0,
        connect_s=3.0,
    )
    await trace_httpx(attempt, f"{part}.connect_tcp.started", {})
    assert attempt.progress is Progress.CONNECTING
    await trace_httpx(attempt, f"{part}.connect_tcp.complete", {"return_value": "the stream"})
    assert attempt.stream == "the stream"
