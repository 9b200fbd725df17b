"""What ``verify`` may be: certificates of one's own, or a TLS context that is shared with other libraries."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from omipay_async import ConfigurationError, NotSent, Outcome
from omipay_async.transport.tls import checked_verify, ssl_context

from .client import open_session, query, scan
from .server import Gateway, refusing_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

on_each_loop = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])


class StolenContext(ssl.SSLContext):
    """Another library changes it at the last moment: asyncio uses a context a moment after it was given one."""

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        self.set_alpn_protocols(["h2"])
        return super().wrap_bio(*arguments, **options)


class WatchedContext(ssl.SSLContext):
    """The server's, which keeps the connections that were made with it."""

    made: list[ssl.SSLObject]

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        self.made.append(super().wrap_bio(*arguments, **options))
        return self.made[-1]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """The authority that the sessions trust."""
    return trustme.CA()


@pytest.fixture
def watched(authority: trustme.CA) -> WatchedContext:
    """The context of a server that would rather speak HTTP/2."""
    context = WatchedContext(ssl.PROTOCOL_TLS_SERVER)
    context.made = []
    context.set_alpn_protocols(["h2", "http/1.1"])
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
async def secure(watched: WatchedContext) -> AsyncIterator[Gateway]:
    """A gateway with that context."""
    async with Gateway(tls=watched) as gateway:
        yield gateway


@on_each_loop
async def test_a_library_that_offers_http2_with_the_same_context(
    secure: Gateway, watched: WatchedContext, authority: trustme.CA
) -> None:
    """As an ``httpx.AsyncClient(http2=True)`` does before each of its connections."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with open_session(secure, verify=context) as omipay:
        for number in ("1", "2"):
            await query(omipay, f"OM-{number}")
            context.set_alpn_protocols(["http/1.1", "h2"])
            await scan(omipay, f"A-{number}")
    assert secure.numbers == ["OM-1", "A-1", "OM-2", "A-2"]
    assert [made.selected_alpn_protocol() for made in watched.made] == ["http/1.1"] * secure.connections


@on_each_loop
async def test_nothing_is_sent_over_a_connection_for_http2(secure: Gateway, authority: trustme.CA) -> None:
    """The reply could not be read: nobody would know what became of a charge."""
    context = StolenContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    async with open_session(secure, verify=context) as omipay:
        with pytest.raises(NotSent, match="TLS context"):
            await scan(omipay, "A-1")
    assert secure.numbers == []


def test_certificates_of_ones_own(tmp_path: Path) -> None:
    """A directory or a file. If it cannot be used, the error does not show its path."""
    with pytest.raises(ConfigurationError, match=r"^verify: no certificates"):
        ssl_context(str(tmp_path))
    (tmp_path / "0a1b2c3d.0").write_bytes(b"")  # looked into when a server shows its certificate
    assert ssl_context(str(tmp_path)) is ssl_context(str(tmp_path))
    assert ssl_context(checked_verify(tmp_path)) is ssl_context(str(tmp_path))
    nonsense = tmp_path / "ca.pem"
    nonsense.write_text("no certificate")
    with pytest.raises(ConfigurationError, match="verify"):
        ssl_context(str(nonsense))


async def test_certificates_are_not_looked_for_where_there_is_no_tls(tmp_path: Path) -> None:
    """The gateway may be the sandbox on this machine, and what is not used need not be right."""
    async with Gateway() as gateway, open_session(gateway, verify=tmp_path / "gone.pem") as omipay:
        await scan(omipay, "A-1")
        await query(omipay, "OM-1")
    assert gateway.numbers == ["A-1", "OM-1"]


async def test_certificates_are_looked_for_where_only_the_fallback_has_tls(tmp_path: Path) -> None:
    """When it is asked: nothing is sent to it."""
    options: dict[str, Any] = {"verify": tmp_path / "gone.pem", "fallback": "https://127.0.0.1:9/omipay/api"}
    with refusing_port() as nobody:
        where = f"http://127.0.0.1:{nobody.getsockname()[1]}/omipay/api"
        async with open_session(where, **options) as omipay:
            with pytest.raises(ConfigurationError, match=r"^verify: ") as refused:
                await scan(omipay, "A-1")
    assert refused.value.outcome is Outcome.NOT_DONE
