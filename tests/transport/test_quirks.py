"""What is relied on in httpx and httpcore without their saying so: each of these fails when they change."""

from __future__ import annotations

import logging
from typing import Any

import httpcore
import httpx
import pytest

from omipay_async.transport.quirks import TargetOnce, keep_replies_out_of_the_log, our_request, surplus, with_query

ADDRESS = httpx.URL("https://gateway.test:8443/omipay/api/v2/MakeQROrder")
QUERY = "order_name=%E6%B5%8B%20%26&notify_url=https%3A%2F%2Fa.b%2F%3Fc%3Dd&sign=8516A3"


def test_a_query_is_put_on_as_parsing_would() -> None:
    """The URL is the one that httpx itself would have made, and the address stays as it was."""
    url = with_query(ADDRESS, QUERY)
    assert url == httpx.URL(f"{ADDRESS}?{QUERY}")
    assert url.raw_path == b"/omipay/api/v2/MakeQROrder?" + QUERY.encode()
    assert ADDRESS.query == b""


def test_a_query_is_not_parsed_again() -> None:
    """The short way is taken with the httpx that is installed: else each request would cost a fifth more."""
    assert hasattr(ADDRESS, "_uri_reference")


def test_another_kind_of_url_is_parsed() -> None:
    """An httpx that keeps its URLs otherwise is slower, not broken."""

    class URL(str):
        __slots__ = ()

    assert with_query(URL("https://gateway.test/x"), "a=1") == "https://gateway.test/x?a=1"


@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_only_the_request_proper_sees_the_target(method: bytes) -> None:
    """A CONNECT that httpcore makes of the same extensions has the proxy's own target."""
    extensions: dict[str, Any] = TargetOnce(target=b"/v2/X?sign=1")
    url = httpcore.URL(scheme=b"https", host=b"gateway.test", port=None, target=b"/v2/X")
    assert httpcore.Request(method, url, extensions=extensions).url.target == b"/v2/X?sign=1"
    connect = httpcore.URL(scheme=b"http", host=b"proxy.test", port=3128, target=b"gateway.test:443")
    assert httpcore.Request(b"CONNECT", connect, extensions=extensions).url.target == b"gateway.test:443"
    assert "trace" not in extensions


def test_a_transport_without_connections_has_no_surplus() -> None:
    """Before the first request, and of a transport that is not httpx's own, there is nothing to look at."""
    assert not surplus(httpx.AsyncHTTPTransport(verify=False))
    assert not surplus(None)


def test_only_what_a_server_said_is_kept_out_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """What httpcore does is still logged, during a request of ours too; what it heard then is not."""
    keep_replies_out_of_the_log()
    log = logging.getLogger("httpcore.http11")
    caplog.set_level(logging.DEBUG, "httpcore.http11")
    said = "receive_response_headers.complete return_value=(b'HTTP/1.1', 302, b'/x?sign=8516A3')"
    log.debug(said)
    token = our_request.set(True)
    try:
        log.debug("send_request_headers.started request=<Request [b'GET']>")
        log.debug(said)
    finally:
        our_request.reset(token)
    assert caplog.messages == [
        said,
        "send_request_headers.started request=<Request [b'GET']>",
        "receive_response_headers.complete",
    ]
