"""Sends an attempt over a transport of httpx's kind, and reads its reply up to the largest size that is allowed.

Once a reply has begun the request was sent, whatever is raised after that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from omipay_async.protocol.reply import LARGEST_REPLY, Received

from .attempt import Attempt, Progress, our_attempt
from .requests import unsigned_request

if TYPE_CHECKING:
    from .closing import Closing
    from .requests import Route
    from .session_client import SessionClient


class Sender:
    """Sends the requests of a session that do not go over ``network`` alone."""

    def __init__(self, client: SessionClient, closing: Closing) -> None:
        self._client = client
        self._closing = closing

    async def send(self, route: Route, attempt: Attempt) -> Received:
        """Send the request over a route, and return the reply. It raises whatever the transport raises."""
        attempt.hand_over()
        before = our_attempt.get()  # another one, in a transport that makes a call of another session first
        our_attempt.set(attempt)
        try:
            response = _checked(await self._response(route, attempt))
            attempt.note_sent()  # whatever happens while the reply is read
            body = await self._body(response, attempt)
        finally:
            our_attempt.set(before)  # a token could not be reset if the coroutine is closed in another context
            if attempt.stream is not None and attempt.progress is not Progress.SENT:
                self._closing.begin(attempt.stream.aclose)
        return Received.of(response.status_code, response.headers.raw, body, attempt.node.name)

    async def _response(self, route: Route, attempt: Attempt) -> httpx.Response:
        if route.through_client:
            return await self._client.send(unsigned_request(attempt), route, attempt)
        if _calls_an_app(route.transport):
            attempt.begin_sending()  # an httpx.ConnectError may come from a request that the app itself makes
        return await route.send(attempt)

    async def _body(self, response: httpx.Response, attempt: Attempt) -> bytes:
        if response.is_closed:  # it was made by a mock, or the user's transport has read it
            return response.content
        try:
            return await _limited_body(response, attempt)
        finally:
            self._closing.begin(response.aclose)  # it may fail or hang, but the reply has been read


def _calls_an_app(transport: httpx.AsyncBaseTransport) -> bool:
    """Whether a transport hands each request to an ASGI app at once: whatever is raised, the app has received it."""
    return getattr(type(transport), "handle_async_request", None) is httpx.ASGITransport.handle_async_request


def _checked(response: object) -> httpx.Response:
    if not isinstance(response, httpx.Response):
        message = f"the transport returned {type(response).__name__}, not an httpx.Response"
        raise TypeError(message)
    return response


async def _limited_body(response: httpx.Response, attempt: Attempt) -> bytes:
    """The body. Reading ends once it is too long."""
    chunks: list[bytes] = []
    size = 0
    attempt.scope.watch(chunks.__len__)  # while there are more of them, the reply is still arriving
    async for chunk in response.stream:  # type: ignore[union-attr]  # of an async transport
        chunks.append(chunk)
        size += len(chunk)
        if size > LARGEST_REPLY:
            break
    return b"".join(chunks)
