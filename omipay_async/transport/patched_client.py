"""Sends a request through an ``httpx.AsyncClient``, for programs that have patched the methods of that class.

Tracers (Sentry, Elastic APM, New Relic, Datadog) do so, and mocks: pook, respx with ``using="httpx"``, vcrpy below 8,
tests that replace ``AsyncClient.get``. A session does not need a client to send a request. But without one, a test
suite that mocks the gateway would reach the real gateway; and Elastic APM, which has patched httpcore too, would write
down the signed URL that it sees there: it does so unless it has seen the request of a client.

The client gets a request without a signature. The one that is sent is made below it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from .attempt import Progress, SentAlreadyError
from .patches import client_entries_are_patched

if TYPE_CHECKING:
    from .attempt import Attempt
    from .requests import Route


async def send_through_client(unsigned: httpx.Request, route: Route, attempt: Attempt) -> httpx.Response:
    """Send the request of ``attempt`` over ``route``. What patched the client sees ``unsigned`` in its place."""
    signed = _Signed(route, attempt)
    client = httpx.AsyncClient(transport=signed)
    if client_entries_are_patched():
        entry = client.get if unsigned.method == "GET" else client.post
        response = await entry(unsigned.url, headers=unsigned.headers)
    else:
        response = await client.send(unsigned, stream=True)
    if signed.encoding is not None:
        response.headers["Content-Encoding"] = signed.encoding
    return response


class _Signed(httpx.AsyncBaseTransport):
    """Sends the signed request of an attempt, whatever request the client has."""

    def __init__(self, route: Route, attempt: Attempt) -> None:
        self._route = route
        self._attempt = attempt
        self._is_used = False
        self.encoding: str | None = None
        """The reply's ``Content-Encoding``, without which the client gets it: it would fail if that is wrong."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        del request  # it was to be seen, not to be sent
        if self._is_used and self._attempt.travels_alone:
            raise SentAlreadyError("what has patched the client tried to send it once more")
        self._is_used = True
        response = await self._route.send(self._attempt)
        self._attempt.progress = Progress.SENT  # whatever is raised on the way back
        response.extensions = {}  # the server's words, which the client would log
        response.headers.pop("Location", None)  # the client would read it, and fail if it cannot be read
        self.encoding = response.headers.pop("Content-Encoding", None)
        return response
