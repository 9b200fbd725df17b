"""How a reply over a transport of httpx's kind is read: what fails in its middle or at its end, and what that means."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest

from omipay_async import AsyncOmipay, OutcomeUnknown
from omipay_async.transport import closing
from tests.support.untyped import untyped

from .client import scan
from .server import M_NUMBER, SECRET_KEY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


class Stream(httpx.AsyncByteStream):
    """A reply whose body, or whose end, behaves as a test has set it."""

    def __init__(
        self, *, fails: BaseException | None = None, ends: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self._fails = fails
        self._ends = ends

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b'{"return_code": "SUCCESS", '
        if self._fails is not None:
            raise self._fails
        yield b'"order_no": "TR1"}'

    async def aclose(self) -> None:
        if self._ends is not None:
            await self._ends()


def streaming(stream: Stream, asked: list[httpx.Request]) -> AsyncOmipay:
    """A session over a transport whose replies are ``stream``."""

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, stream=stream)

    transport = Unread(answer)
    return AsyncOmipay(M_NUMBER, SECRET_KEY, base_url="https://gateway.test/omipay/api", transport=transport)


class Unread(httpx.MockTransport):
    """A transport of the user's own that reads no reply."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return cast("httpx.Response", self.handler(request))


@pytest.mark.parametrize(
    "error", [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol]
)
async def test_once_a_reply_has_begun_no_error_means_that_nothing_was_sent(error: type[Exception]) -> None:
    """Not even one that says so before: a charge is sent once, and its outcome is unknown."""
    asked: list[httpx.Request] = []
    async with streaming(Stream(fails=error("another connection")), asked) as omipay:
        with pytest.raises(OutcomeUnknown):
            await scan(omipay, "A-1")
    assert len(asked) == 1


async def test_what_is_cancelled_inside_of_a_transport_does_not_cancel_the_call() -> None:
    """Nobody has cancelled the task of the call: a charge that was sent is unknown."""
    async with streaming(Stream(fails=asyncio.CancelledError()), []) as omipay:
        with pytest.raises(OutcomeUnknown, match="no answer, CancelledError"):
            await scan(omipay, "A-1")


async def test_a_cancellation_in_the_middle_of_a_reply_is_the_callers() -> None:
    """Who has cancelled the task gets the cancellation."""

    class Cancelling(Stream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b'{"return_code": '
            untyped(asyncio.current_task()).cancel()
            await asyncio.sleep(0)

    async with streaming(Cancelling(), []) as omipay:
        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(scan(omipay, "A-1"))


@pytest.mark.parametrize("how", ["fails", "is cancelled", "waits"])
async def test_a_reply_counts_although_its_connection_does_not_close(how: str) -> None:
    """Its body has been read; an error or a long wait at the end does not make a charge unknown."""
    go = asyncio.Event()

    async def ends() -> None:
        if how == "fails":
            raise httpx.ReadError("the connection was lost")
        if how == "is cancelled":
            raise asyncio.CancelledError
        await go.wait()

    async with streaming(Stream(ends=ends), []) as omipay:
        paid: Any = await scan(omipay, "A-1")
        assert paid.order_no == "TR1"
        go.set()


async def test_a_connection_that_never_closes_does_not_keep_the_session_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """The transport is the user's, and so is its fault; the session closes all the same."""
    monkeypatch.setattr(closing, "_CLOSING_S", 0.01)
    ended: list[str] = []

    async def ends() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    async with streaming(Stream(ends=ends), []) as omipay:
        await scan(omipay, "A-1")
    assert ended == ["cancelled"]


@pytest.mark.parametrize("error", [httpx.ConnectError("refused"), httpx.ConnectTimeout("slow")])
async def test_what_an_asgi_app_raises_proves_nothing(error: httpx.TransportError) -> None:
    """It may have acted before, such as one that passes charges on and then cannot connect to something else."""
    acts: list[str] = []

    async def app(scope: Any, receive: object, send: object) -> None:
        acts.append(scope["path"])
        raise error

    async with AsyncOmipay(M_NUMBER, SECRET_KEY, transport=httpx.ASGITransport(app=app)) as omipay:
        with pytest.raises(OutcomeUnknown):
            await scan(omipay, "A-1")
    assert len(acts) == 1
