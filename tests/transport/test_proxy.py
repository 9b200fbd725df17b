"""A real proxy: used where the environment or ``proxy`` says so, and a proxy that refuses is "never sent"."""

from __future__ import annotations

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

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that names no proxy."""
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
    """Whom the sessions trust."""
    return trustme.CA()


@pytest.fixture
def verify(authority: trustme.CA) -> ssl.SSLContext:
    """A client's trust in the authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
async def secure(authority: trustme.CA) -> AsyncIterator[Gateway]:
    """A gateway that speaks TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with Gateway(tls=context) as gateway:
        yield gateway


async def test_https_proxy(
    secure: Gateway, verify: ssl.SSLContext, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTPS_PROXY is asked for a tunnel, and sees neither the query nor the signature."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    async with open_session(secure, verify=verify) as omipay:
        await scan(omipay, "A-1")
        await query(omipay, "OM-1")
    assert set(proxy.asked) == {f"CONNECT 127.0.0.1:{secure.port} HTTP/1.1"}
    assert secure.numbers == ["A-1", "OM-1"]
    assert not any("sign" in head or SECRET_KEY in head for head in proxy.heads)


async def test_http_proxy(gateway: Gateway, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY is asked for what goes out in plain text."""
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    async with open_session(gateway) as omipay:
        await scan(omipay, "A-1")
    (asked,) = proxy.asked
    assert asked.startswith(f"POST {gateway.base_url}/v2/MakeScanOrder?")
    assert gateway.acts == {"A-1": 1}


async def test_proxy_given(
    secure: Gateway, verify: ssl.SSLContext, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``proxy`` goes before the environment, NO_PROXY included."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "*")
    async with open_session(secure, verify=verify, proxy=proxy.url) as omipay:
        await scan(omipay, "A-1")
    assert proxy.asked == [f"CONNECT 127.0.0.1:{secure.port} HTTP/1.1"]


@pytest.mark.parametrize("value", ["127.0.0.1", "*", "example.com,127.0.0.1"])
async def test_no_proxy(
    secure: Gateway, verify: ssl.SSLContext, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """A host that NO_PROXY names is asked directly."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", value)
    async with open_session(secure, verify=verify) as omipay:
        await scan(omipay, "A-1")
    assert (proxy.asked, secure.acts) == ([], {"A-1": 1})


async def test_transport_given(gateway: Gateway, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transport that the user gave knows best: the environment's proxy is not put before it."""
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    async with open_session(gateway, Transport.AIOHTTP) as omipay:
        await scan(omipay, "A-1")
    assert (proxy.asked, gateway.acts) == ([], {"A-1": 1})


async def test_tunnel_refused(secure: Gateway, verify: ssl.SSLContext, proxy: Proxy) -> None:
    """A proxy that refuses the tunnel: nothing was sent."""
    proxy.refuses = True
    async with open_session(secure, verify=verify, proxy=proxy.url) as omipay:
        with pytest.raises(NotSent) as caught:
            await scan(omipay, "A-1")
    assert caught.value.outcome is Outcome.NOT_DONE
    assert secure.connections == 0
    assert not any("sign" in head for head in proxy.heads)


async def test_proxy_gone(secure: Gateway, verify: ssl.SSLContext) -> None:
    """A proxy that is not there: nothing was sent."""
    with refusing_port() as port:
        proxy = f"http://127.0.0.1:{port.getsockname()[1]}"
        async with open_session(secure, verify=verify, proxy=proxy) as omipay:
            with pytest.raises(NotSent) as caught:
                await scan(omipay, "A-1")
    assert caught.value.outcome is Outcome.NOT_DONE


async def test_proxy_that_refuses_in_plain_text(gateway: Gateway, proxy: Proxy) -> None:
    """A proxy that got the request itself and answers with a page of its own: nobody knows."""
    proxy.refuses = True
    async with open_session(gateway, proxy=proxy.url) as omipay:
        with pytest.raises(OutcomeUnknown):
            await scan(omipay, "A-1")
    assert len(proxy.asked) == 1


async def test_tunnel_that_breaks(secure: Gateway, verify: ssl.SSLContext, proxy: Proxy) -> None:
    """A reply that is lost in the tunnel is lost: the money call was sent once, and nobody knows."""
    secure.script = always(ACT_CLOSE)
    async with open_session(secure, verify=verify, proxy=proxy.url) as omipay:
        with pytest.raises(OutcomeUnknown):
            await scan(omipay, "A-1")
    assert secure.acts == {"A-1": 1}
