"""A real proxy: used where the environment or ``proxy`` sets it, and "never sent" if it refuses."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import pytest
import trustme

from omipay_async import NotSent, Outcome, OutcomeUnknown

from .behaviours import ACT_CLOSE
from .client import Transport, open_session, query, scan
from .proxy import Proxy
from .server import SECRET_KEY, Gateway, always, refusing_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

UNSIGNED = "order_no=OM-1&timestamp=1&nonce_str=1234567890&sign=none"
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without a proxy."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """A proxy that forwards."""
    async with Proxy() as proxy:
        yield proxy


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """The authority that the sessions trust."""
    return trustme.CA()


@pytest.fixture
def verify(authority: trustme.CA) -> ssl.SSLContext:
    """An SSL context that trusts the authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
async def secure(authority: trustme.CA) -> AsyncIterator[Gateway]:
    """A gateway with TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost", "gateway.test").configure_cert(context)
    async with Gateway(tls=context) as gateway:
        yield gateway


def public(gateway: Gateway) -> str:
    """The gateway under a name that only the proxy can resolve."""
    return gateway.base_url.replace("127.0.0.1", "gateway.test")


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
async def test_a_proxy_for_https_sees_no_query(
    secure: Gateway, verify: ssl.SSLContext, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """The environment's proxy opens a tunnel, and sees neither the query nor the signature."""
    monkeypatch.setenv(variable, proxy.url)
    async with open_session(public(secure), verify=verify) as omipay:
        await scan(omipay, "A-1")
        await query(omipay, "OM-1")
    assert set(proxy.requests) == {f"CONNECT gateway.test:{secure.port} HTTP/1.1"}
    assert secure.numbers == ["A-1", "OM-1"]
    assert not any("sign" in head or SECRET_KEY in head for head in proxy.heads)


async def test_a_broken_proxy_for_other_addresses_does_not_matter(
    secure: Gateway, verify: ssl.SSLContext, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that the node is not reached through is not checked."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("HTTP_PROXY", "gopher://[broken")
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:9")
    async with open_session(public(secure), verify=verify) as omipay:
        await scan(omipay, "A-1")
    assert secure.acts == {"A-1": 1}


async def test_a_proxy_for_http_passes_plain_requests_on(
    gateway: Gateway, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP_PROXY is used for requests in plain text, which are only the user's own."""
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    async with open_session(gateway) as omipay:
        await omipay.http.get(f"{public(gateway)}/v2/QueryOrder?{UNSIGNED}")
    (asked,) = proxy.requests
    assert asked == f"GET {public(gateway)}/v2/QueryOrder?{UNSIGNED} HTTP/1.1"


@pytest.fixture
def every_proxy(monkeypatch: pytest.MonkeyPatch, proxy: Proxy) -> None:
    """An environment that sends everything through the proxy."""
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(variable, proxy.url)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.usefixtures("every_proxy")
async def test_loopback_never_goes_through_the_environments_proxy(
    gateway: Gateway, secure: Gateway, verify: ssl.SSLContext, proxy: Proxy, host: str
) -> None:
    """The proxy does not even get a connection, so the signature stays on this machine."""
    for node in (gateway, secure):
        async with open_session(node.base_url.replace("127.0.0.1", host), verify=verify) as omipay:
            await scan(omipay, "A-1")
            await omipay.http.get(f"{node.base_url}/v2/QueryOrder?{UNSIGNED}")
        assert (proxy.connections, node.acts) == (0, {"A-1": 1})


async def test_a_given_proxy_counts_before_the_environment(
    secure: Gateway, verify: ssl.SSLContext, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``proxy`` counts before the environment and NO_PROXY, also for loopback addresses."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "*")
    async with open_session(secure, verify=verify, proxy=proxy.url) as omipay:
        await scan(omipay, "A-1")
    assert proxy.requests == [f"CONNECT 127.0.0.1:{secure.port} HTTP/1.1"]


async def test_a_given_transport_counts_before_the_environments_proxy(
    gateway: Gateway, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment's proxy is not used before a transport that the user gave."""
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    async with open_session(gateway, Transport.AIOHTTP) as omipay:
        await scan(omipay, "A-1")
    assert (proxy.requests, gateway.acts) == ([], {"A-1": 1})


async def test_nothing_was_sent_if_the_proxy_refuses_the_tunnel(
    secure: Gateway, verify: ssl.SSLContext, proxy: Proxy
) -> None:
    """If the proxy refuses the tunnel, nothing was sent."""
    proxy.refuses = True
    async with open_session(secure, verify=verify, proxy=proxy.url) as omipay:
        with pytest.raises(NotSent) as caught:
            await scan(omipay, "A-1")
    assert caught.value.outcome is Outcome.NOT_DONE
    assert secure.connections == 0
    assert not any("sign" in head for head in proxy.heads)


async def test_nothing_was_sent_if_the_proxy_does_not_exist(secure: Gateway, verify: ssl.SSLContext) -> None:
    """If the proxy does not exist, nothing was sent, and the error says that there is a proxy."""
    with refusing_port() as port:
        proxy = f"http://127.0.0.1:{port.getsockname()[1]}"
        async with open_session(secure, verify=verify, proxy=proxy) as omipay:
            with pytest.raises(NotSent, match=r"not sent, .* \(through a proxy\)") as caught:
                await scan(omipay, "A-1")
    assert caught.value.outcome is Outcome.NOT_DONE


async def test_proxy_that_says_nothing(secure: Gateway, verify: ssl.SSLContext) -> None:
    """The error says that there is a proxy, whose fault this may be."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        proxy = f"http://127.0.0.1:{silent.getsockname()[1]}"
        async with open_session(secure, verify=verify, proxy=proxy, timeout=0.1) as omipay:
            with pytest.raises(NotSent, match=r"no connection in time \(through a proxy\)"):
                await scan(omipay, "A-1")


async def test_proxy_that_is_not_used(verify: ssl.SSLContext) -> None:
    """No error speaks of a proxy then."""
    with refusing_port() as port:
        async with open_session(f"https://127.0.0.1:{port.getsockname()[1]}/omipay/api", verify=verify) as omipay:
            with pytest.raises(NotSent, match=r"^MakeScanOrder: not sent, (?!.*proxy)"):
                await scan(omipay, "A-1")


async def test_proxy_that_refuses_in_plain_text(gateway: Gateway, proxy: Proxy) -> None:
    """If the proxy got the request itself and answers with its own page, the outcome is unknown."""
    proxy.refuses = True
    async with open_session(gateway, proxy=proxy.url) as omipay:
        with pytest.raises(OutcomeUnknown):
            await scan(omipay, "A-1")
    assert len(proxy.requests) == 1


async def test_tunnel_that_breaks(secure: Gateway, verify: ssl.SSLContext, proxy: Proxy) -> None:
    """If a reply is lost in the tunnel, the money call was sent once and its outcome is unknown."""
    secure.script = always(ACT_CLOSE)
    async with open_session(secure, verify=verify, proxy=proxy.url) as omipay:
        with pytest.raises(OutcomeUnknown):
            await scan(omipay, "A-1")
    assert secure.acts == {"A-1": 1}


async def test_each_request_has_connection_close(proxy: Proxy, secure: Gateway, verify: ssl.SSLContext) -> None:
    """We cannot see what else arrives over a connection of httpx's own transport."""
    async with open_session(secure, proxy=proxy.url, verify=verify) as omipay:
        await query(omipay, "OM-1")
        await scan(omipay, "A-1")
    assert [request.headers.get("connection") for request in secure.requests] == ["close", "close"]
    assert secure.connections == 2
