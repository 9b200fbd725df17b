"""Connections of curl: none of them serves two requests, so that curl repeats none by itself."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import httpx
import pytest

from omipay_async import AsyncOmipay, ConfigurationError, Outcome
from tests.support.fake_journal import PAID

from .client import scan
from .server import M_NUMBER, SECRET_KEY


class Curl(httpx.AsyncBaseTransport):
    """A double of ``httpx_curl_cffi.AsyncCurlTransport``."""

    __module__ = "httpx_curl_cffi.transport"

    def __init__(self, **session: object) -> None:
        self._session = SimpleNamespace(**session)
        self.requests = 0

    async def handle_async_request(self, _: httpx.Request) -> httpx.Response:
        self.requests += 1
        return httpx.Response(200, json=PAID)


class Subclass(Curl):
    """A class of the user's own."""


class Before(httpx.AsyncBaseTransport):
    """A transport that stands in front of it."""

    def __init__(self, below: httpx.AsyncBaseTransport) -> None:
        self.below = below

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self.below.handle_async_request(request)


@pytest.mark.parametrize("kind", [Curl, Subclass])
@pytest.mark.parametrize("is_behind", [False, True])
async def test_curl_uses_no_connection_again(kind: type[Curl], *, is_behind: bool) -> None:
    """CURLOPT_FRESH_CONNECT and CURLOPT_FORBID_REUSE are set before the first request; other options stay."""
    options = {64: 1}
    curl = kind(curl_options=options)
    async with AsyncOmipay(M_NUMBER, SECRET_KEY, transport=Before(curl) if is_behind else curl) as omipay:
        await scan(omipay, "A-1")
    assert options == {64: 1, 74: 1, 75: 1}


async def test_a_curl_that_cannot_be_told_sends_nothing() -> None:
    """It could send a charge twice."""
    curl = Curl()
    async with AsyncOmipay(M_NUMBER, SECRET_KEY, transport=curl) as omipay:
        with pytest.raises(ConfigurationError, match="this version of httpx-curl-cffi cannot") as caught:
            await scan(omipay, "A-1")
    assert (caught.value.outcome, curl.requests) == (Outcome.NOT_DONE, 0)


class Handle:
    """A double of ``pycurl.Curl``."""

    def __init__(self) -> None:
        self.options: dict[int, int] = {}

    def setopt(self, option: int, value: int) -> None:
        self.options[option] = value


class AsyncCurl(Handle):
    """A double of ``httpx_pycurl.AsyncCurl``."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[dict[int, int]] = []

    def perform(self, handle: Handle) -> None:
        self.requests.append(handle.options)


class PyCurl(httpx.AsyncBaseTransport):
    """A double of ``httpx_pycurl.AsyncPyCurlTransport``."""

    __module__ = "httpx_pycurl.transport"

    def __init__(self, curl: object = None) -> None:
        self._curl = curl
        self._max_connections = 7

    async def handle_async_request(self, _: httpx.Request) -> httpx.Response:
        assert isinstance(self._curl, AsyncCurl)
        self._curl.perform(Handle())
        return httpx.Response(200, json=PAID)

    @property
    def curl(self) -> object:
        """What sends the requests."""
        return self._curl


@pytest.mark.parametrize("is_made", [False, True])
@pytest.mark.parametrize("is_behind", [False, True])
async def test_pycurl_uses_no_connection_again(
    monkeypatch: pytest.MonkeyPatch, *, is_made: bool, is_behind: bool
) -> None:
    """Whether its curl was made before, for another request, or not yet. It speaks HTTP/1.1 (option 84)."""
    monkeypatch.setitem(sys.modules, "httpx_pycurl", SimpleNamespace(AsyncCurl=AsyncCurl))
    pycurl = PyCurl(AsyncCurl() if is_made else None)
    async with AsyncOmipay(M_NUMBER, SECRET_KEY, transport=Before(pycurl) if is_behind else pycurl) as omipay:
        await scan(omipay, "A-1")
        await scan(omipay, "A-2")
    assert isinstance(pycurl.curl, AsyncCurl)
    assert pycurl.curl.requests == [{74: 1, 75: 1, 84: 2}] * 2
    assert pycurl.curl.options == ({} if is_made else {13: 7})


async def test_a_pycurl_that_cannot_be_told_sends_nothing() -> None:
    """It could send a charge twice."""
    async with AsyncOmipay(M_NUMBER, SECRET_KEY, transport=PyCurl(object())) as omipay:
        with pytest.raises(ConfigurationError, match="this version of httpx-pycurl cannot") as caught:
            await scan(omipay, "A-1")
    assert caught.value.outcome is Outcome.NOT_DONE
