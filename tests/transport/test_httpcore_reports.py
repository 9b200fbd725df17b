"""Details of httpcore that we rely on: each of these tests fails when one changes."""

from __future__ import annotations

import logging
from typing import Any

import httpcore
import httpx
import pytest

from omipay_async.testing import ManualClock
from omipay_async.transport.attempt import our_attempt
from omipay_async.transport.httpcore_reports import keep_replies_out_of_the_log
from omipay_async.transport.requests import TargetOnce
from tests.support.scripted_gateway import Gateway, order


@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_only_the_real_request_gets_the_target(method: bytes) -> None:
    """The CONNECT that httpcore makes from the same extensions has the proxy's own target."""
    extensions: dict[str, Any] = TargetOnce(target=b"/v2/X?sign=1")
    url = httpcore.URL(scheme=b"https", host=b"gateway.test", port=None, target=b"/v2/X")
    assert httpcore.Request(method, url, extensions=extensions).url.target == b"/v2/X?sign=1"
    connect = httpcore.URL(scheme=b"http", host=b"proxy.test", port=3128, target=b"gateway.test:443")
    assert httpcore.Request(b"CONNECT", connect, extensions=extensions).url.target == b"gateway.test:443"
    assert "trace" not in extensions


@pytest.mark.parametrize("part", ["connection", "http11", "http2", "proxy", "socks"])
def test_only_what_a_server_sent_is_removed_from_the_log(caplog: pytest.LogCaptureFixture, part: str) -> None:
    """The events are still logged during our requests, but without the server's words."""
    keep_replies_out_of_the_log()
    log = logging.getLogger(f"httpcore.{part}")
    caplog.set_level(logging.DEBUG, "httpcore")
    said = "receive_response_headers.complete return_value=(b'HTTP/1.1', 302, b'/x?sign=8516A3')"
    log.debug(said)
    attempt: Any = object()
    token = our_attempt.set(attempt)
    try:
        log.debug("send_request_headers.started request=<Request [b'GET']>")
        log.debug(said)
    finally:
        our_attempt.reset(token)
    assert caplog.messages == [
        said,
        "send_request_headers.started request=<Request [b'GET']>",
        "receive_response_headers.complete",
    ]


async def test_a_call_within_a_call_does_not_open_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The server's words stay removed when a user's transport makes a call of another session first."""
    caplog.set_level(logging.DEBUG, "httpcore.http11")
    gateway = Gateway(ManualClock())
    gateway.on("QueryOrder", order("PAID"))

    class AsksFirst(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            async with gateway.session() as inner:
                await inner.query_order("TR1")
            logging.getLogger("httpcore.http11").debug("receive_response_headers.complete /x?sign=8516A3")
            return httpx.Response(200, json=order("PAID"))

    async with gateway.session(transport=AsksFirst()) as outer:
        await outer.query_order("TR1")
    assert caplog.messages == ["receive_response_headers.complete"]
