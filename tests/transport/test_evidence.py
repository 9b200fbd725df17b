"""Transports of the user's, which may raise anything: which failures prove that nothing was sent."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
import ssl
from typing import TYPE_CHECKING

import httpx
import pytest

from omipay_async import NotSent, OmipayError, OutcomeUnknown, RetryPolicy, TransportError
from omipay_async.transport.evidence import never_sent
from tests.support.scripted_gateway import REFUNDED, Gateway, make_refund, order

if TYPE_CHECKING:
    from omipay_async import AsyncOmipay
    from omipay_async.testing import ManualClock


@pytest.fixture
def gateway(clock: ManualClock) -> Gateway:
    gateway = Gateway(clock)
    gateway.on("QueryOrder", order("PAID"))
    gateway.on("Refund", REFUNDED)
    return gateway


async def test_a_request_that_is_too_long_for_the_transport(gateway: Gateway) -> None:
    """httpx accepts no URL of more than 64 KiB: it is an error of ours, and nothing was sent."""
    async with gateway.session() as omipay:
        for call in (omipay.query_order, lambda number: omipay.refund(order_no=number, out_refund_no="R-1", amount=1)):
            with pytest.raises(OmipayError) as caught:
                await call("订" * 10_000)
            assert not isinstance(caught.value, OutcomeUnknown)
    assert gateway.requests == []


async def test_whatever_a_transport_raises(gateway: Gateway) -> None:
    """It may have sent the request before: a money call is unknown, a read got no answer."""
    gateway.on("Refund", ZeroDivisionError())
    gateway.on("QueryOrder", ZeroDivisionError())
    async with gateway.session() as omipay:
        with pytest.raises(OutcomeUnknown) as unknown:
            await make_refund(omipay)
        with pytest.raises(TransportError, match=r"^QueryOrder: no answer, ZeroDivisionError \(") as unanswered:
            await omipay.query_order("TR1")
    assert (unknown.value.endpoint, unanswered.value.endpoint) == ("Refund", "QueryOrder")


@pytest.mark.parametrize(("raised", "known"), [(httpx.ConnectError, NotSent), (httpx.ReadError, OutcomeUnknown)])
async def test_what_the_caller_was_handling_says_nothing_about_the_request(
    gateway: Gateway, raised: type[Exception], known: type[OmipayError]
) -> None:
    """A new try in an ``except`` block is judged like any other, although Python chains the two errors."""
    gateway.on("Refund", raised("no way"))

    async def try_again(omipay: AsyncOmipay) -> None:
        try:
            os.open("the file of the shop", os.O_RDONLY)
        except OSError:
            await make_refund(omipay)

    async with gateway.session() as omipay:
        with pytest.raises(known) as caught:
            await try_again(omipay)
    assert "file" not in str(caught.value)


async def test_the_error_of_a_refused_connection_does_not_show_the_address(gateway: Gateway) -> None:
    """The address may contain a signature. The error contains the endpoint."""
    gateway.on("QueryOrder", httpx.ConnectError("nobody listens at http://gateway.test/?sign=1 today"))
    async with gateway.session() as omipay:
        with pytest.raises(NotSent, match=r"^QueryOrder: not sent, ConnectError: nobody .* at \[URL\] today") as caught:
            await omipay.query_order("TR1")
    assert caught.value.endpoint == "QueryOrder"


async def test_the_reason_of_the_operating_system_is_told(gateway: Gateway) -> None:
    """A library may say only that every address failed. What it says itself is not said twice."""
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "nobody listens at http://gateway.test/?sign=1")
    for text, said in (
        ("no way", "no way (ConnectionRefusedError: [Errno 111] nobody listens at [URL])"),
        (str(refused), ""),
    ):
        failed = httpx.ConnectError(text)
        failed.__cause__ = from_module("httpcore", "ConnectError")
        failed.__cause__.__cause__ = ExceptionGroup("all", [OSError("no number"), refused])
        gateway.on("QueryOrder", failed)
        async with gateway.session() as omipay:
            with pytest.raises(NotSent) as caught:
                await omipay.query_order("TR1")
        assert str(caught.value).startswith(f"QueryOrder: not sent, ConnectError: {said}")
        assert str(caught.value).count("nobody listens") == 1


@pytest.mark.parametrize(
    ("number", "meaning"),
    [(errno.EHOSTUNREACH, "No route to host"), (errno.ECONNREFUSED, "Connection refused")],
)
async def test_the_number_of_a_system_error_is_explained(gateway: Gateway, number: int, meaning: str) -> None:
    """Where asyncio tells the address in place of what went wrong."""
    failed = httpx.ConnectError("All connection attempts failed")
    failed.__cause__ = OSError(number, "Connect call failed ('192.0.2.1', 443)")
    gateway.on("QueryOrder", failed)
    async with gateway.session() as omipay:
        with pytest.raises(NotSent, match=re.escape(f"('192.0.2.1', 443)): {meaning} (order_no TR1)")):
            await omipay.query_order("TR1")


async def test_a_tls_handshake_that_waits_is_no_reason(gateway: Gateway) -> None:
    """When its time is over, TLS says that it wants to read, which tells nobody anything."""
    late = httpx.ConnectTimeout("too late")
    late.__context__ = ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "The operation did not complete (read)")
    gateway.on("QueryOrder", late)
    async with gateway.session() as omipay:
        with pytest.raises(TransportError) as caught:
            await omipay.query_order("TR1")
    assert str(caught.value) == "QueryOrder: not sent, ConnectTimeout: too late (order_no TR1)"


async def test_errors_may_cause_each_other(gateway: Gateway) -> None:
    """A transport that keeps errors, and raises them again, may chain them in a ring."""
    first, last = httpx.ReadError("first"), httpx.ReadError("last")
    first.__cause__, last.__cause__ = last, first
    gateway.on("QueryOrder", first)
    async with gateway.session() as omipay:
        with pytest.raises(TransportError, match="ReadError: first"):
            await omipay.query_order("TR1")


@pytest.mark.parametrize("raised", [ZeroDivisionError, asyncio.CancelledError])
async def test_a_transport_that_cannot_be_closed(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, raised: type[BaseException]
) -> None:
    """The session is closed all the same."""

    async def broken() -> None:
        raise raised

    monkeypatch.setattr(gateway, "aclose", broken)
    async with gateway.session() as omipay:
        await omipay.query_order("TR1")
    assert "closed" in repr(omipay)


async def test_closing_can_be_cancelled_while_the_transport_closes(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cancellation is the caller's."""
    reached = asyncio.Event()

    async def waits() -> None:
        reached.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(gateway, "aclose", waits)
    closing = asyncio.create_task(gateway.session().aclose())
    await reached.wait()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing


def from_module(name: str, kind: str) -> Exception:
    """An exception of a library that need not be installed."""
    error: Exception = type(kind, (Exception,), {"__module__": name})()
    return error


BEFORE_CONNECTED = {
    "aiohttp.client_exceptions": (
        *("ClientConnectorError", "ConnectionTimeoutError", "ClientHttpProxyError", "InvalidURL"),
        "NonHttpUrlClientError",
    ),
    "httpcore": ("ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol"),
    "respx.models": ("SideEffectError",),
}
REFUSED_ON_WINDOWS = ConnectionRefusedError(errno.EINVAL, "[WinError 1225]")
"""Asyncio raises these there, with an errno that says nothing."""
RESET_ON_WINDOWS = ConnectionResetError(errno.EINVAL, "[WinError 64]")
UNREACHABLE = (errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN)


@pytest.mark.parametrize(
    ("error", "cause", "never"),
    [
        *((kind, None, True) for kind in (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)),
        *((kind, None, True) for kind in (httpx.ProxyError, httpx.InvalidURL)),
        (httpx.UnsupportedProtocol, None, False),  # httpx-pycurl raises it for a reply without a status line
        (httpx.ReadTimeout, None, False),
        (ZeroDivisionError, None, False),
        *(
            (httpx.ConnectError, from_module(module, name), True)
            for module, names in BEFORE_CONNECTED.items()
            for name in names
        ),
        *((httpx.ConnectError, OSError(number, "no way"), True) for number in UNREACHABLE),
        (httpx.ConnectError, REFUSED_ON_WINDOWS, True),
        (httpx.ConnectError, socket.gaierror(), True),
        (httpx.ConnectError, ssl.SSLError(), True),
        (httpx.ConnectTimeout, from_module("aiohttp.client", "ServerDisconnectedError"), False),
        (httpx.ConnectTimeout, from_module("elsewhere", "Silence"), False),
        (httpx.ConnectError, from_module("elsewhere", "Refused"), False),
        (httpx.ConnectError, ConnectionResetError(errno.ECONNRESET, "reset"), False),
        (httpx.ReadError, from_module("respx.models", "SideEffectError"), False),
    ],
)
def test_what_proves_that_nothing_was_sent(error: type[Exception], cause: Exception | None, *, never: bool) -> None:
    """A cause that may come after the request proves nothing, whatever the exception's class."""
    raised = error("what happened")
    raised.__cause__ = cause
    assert never_sent(raised) is never


@pytest.mark.parametrize(("suppressed", "never"), [(False, False), (True, True)])
def test_the_context_of_an_error_counts_as_its_cause(*, suppressed: bool, never: bool) -> None:
    """Unless it was raised ``from None``."""
    raised = httpx.ConnectError("what happened")
    raised.__context__ = ConnectionResetError(errno.ECONNRESET, "reset")
    raised.__suppress_context__ = suppressed
    assert never_sent(raised) is never


RESET = ConnectionResetError(errno.ECONNRESET, "reset")
REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "refused")


@pytest.mark.parametrize("library", ["httpcore", "aiohttp"])
@pytest.mark.parametrize(
    ("below", "plain", "tls"),
    [
        (RESET, OutcomeUnknown, NotSent),
        (RESET_ON_WINDOWS, OutcomeUnknown, NotSent),
        (ConnectionAbortedError(errno.ECONNABORTED, "aborted"), OutcomeUnknown, NotSent),
        (ExceptionGroup("each address", [REFUSED, RESET]), OutcomeUnknown, NotSent),
        (REFUSED, NotSent, NotSent),
        (ExceptionGroup("each address", [REFUSED]), NotSent, NotSent),
    ],
)
async def test_a_connection_that_was_accepted_and_reset_was_not_refused(
    gateway: Gateway, library: str, below: Exception, plain: type[OmipayError], tls: type[OmipayError]
) -> None:
    """Also if that was noticed while it was being opened; under TLS no byte of a request can have been sent by then."""
    raised = httpx.ConnectError("All connection attempts failed")
    raised.__cause__ = from_module(library, "ConnectError" if library == "httpcore" else "ClientConnectorError")
    raised.__cause__.__context__ = OSError("All connection attempts failed")
    raised.__cause__.__context__.__cause__ = below
    gateway.on("Refund", raised)
    for base_url, error in (("http://gateway.test/omipay/api", plain), ("https://gateway.test/omipay/api", tls)):
        async with gateway.session(base_url=base_url, retry=RetryPolicy(attempts=1)) as omipay:
            with pytest.raises(OmipayError) as caught:
                await make_refund(omipay)
        assert type(caught.value) is error


async def test_a_reset_that_the_caller_was_handling_says_nothing(gateway: Gateway) -> None:
    """The reset did not happen to this request, which was refused."""
    gateway.on("Refund", httpx.ConnectError("refused"))
    async with gateway.session(base_url="http://gateway.test/omipay/api") as omipay:
        try:
            raise RESET
        except ConnectionResetError:
            with pytest.raises(NotSent):
                await make_refund(omipay)
