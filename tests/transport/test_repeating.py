"""Transports that repeat requests by themselves: over httpcore, and over our own connections, money is sent once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from omipay_async import AsyncOmipay, NotSent, Outcome, OutcomeUnknown

from .behaviours import ACT_CLOSE, HEALTHY
from .client import HASTY, open_session, query, scan
from .server import M_NUMBER, SECRET_KEY, Gateway, always, in_turn

if TYPE_CHECKING:
    from collections.abc import Callable


class Repeating(httpx.AsyncBaseTransport):
    """A transport of the user's that tries three times, whatever the method, and then raises the last error."""

    def __init__(self, between: Callable[[], object] = lambda: None) -> None:
        self.below = httpx.AsyncHTTPTransport()
        self.between = between
        self.tries = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        for _ in range(3):
            self.tries += 1
            try:
                return await self.below.handle_async_request(request)
            except httpx.TransportError as error:
                last = error
                self.between()
        raise last

    async def aclose(self) -> None:
        await self.below.aclose()


def session(gateway: Gateway, transport: httpx.AsyncBaseTransport) -> AsyncOmipay:
    return AsyncOmipay(M_NUMBER, SECRET_KEY, base_url=gateway.base_url, transport=transport, retry=HASTY)


async def test_a_charge_is_sent_once(gateway: Gateway) -> None:
    """The second answer would be believed: a refusal, although the customer has paid with the first."""
    gateway.script = in_turn(ACT_CLOSE, then=HEALTHY)
    transport = Repeating()
    async with session(gateway, transport) as omipay:
        with pytest.raises(OutcomeUnknown, match="SentAlreadyError"):
            await scan(omipay, "A-1")
    assert (transport.tries, gateway.acts) == (2, {"A-1": 1})


async def test_a_refusal_of_the_second_connection_does_not_mean_that_nothing_was_sent(gateway: Gateway) -> None:
    """The first one has acted."""
    gateway.script = always(ACT_CLOSE)
    async with session(gateway, Repeating(gateway.refuse)) as omipay:
        with pytest.raises(OutcomeUnknown):
            await scan(omipay, "A-1")
    assert gateway.acts == {"A-1": 1}


async def test_a_read_may_be_repeated_but_was_sent_all_the_same(gateway: Gateway) -> None:
    """A read moves no money."""
    gateway.script = in_turn(ACT_CLOSE, ACT_CLOSE, then=HEALTHY)
    transport = Repeating()
    async with session(gateway, transport) as omipay:
        await query(omipay, "OM-1")
    assert transport.tries == 3


async def test_what_was_never_sent_may_be_repeated(gateway: Gateway) -> None:
    """A refused connection, by the transport and by the session."""
    gateway.refuse()
    transport = Repeating()
    async with session(gateway, transport) as omipay:
        with pytest.raises(NotSent) as caught:
            await scan(omipay, "A-1")
    assert caught.value.outcome is Outcome.NOT_DONE
    assert transport.tries == 3 * HASTY.attempts


async def test_a_transport_that_works_in_a_thread(gateway: Gateway) -> None:
    """The synchronous half of httpx takes the same requests."""
    below = httpx.HTTPTransport()

    class InAThread(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return await asyncio.to_thread(self.handle, request)

        def handle(self, request: httpx.Request) -> httpx.Response:
            response = below.handle_request(request)
            return httpx.Response(response.status_code, content=response.read())

    async with session(gateway, InAThread()) as omipay:
        await scan(omipay, "A-1")
    below.close()
    assert gateway.acts == {"A-1": 1}


@pytest.mark.parametrize("gone", [False, True], ids=["answers", "refuses"])
async def test_a_program_that_repeats_what_httpx_sends(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, *, gone: bool
) -> None:
    """It has replaced the method of ``httpx.AsyncHTTPTransport``, and so sees our own requests too."""
    gateway.script = in_turn(ACT_CLOSE, then=HEALTHY)
    send = httpx.AsyncHTTPTransport.handle_async_request
    tries = 0

    async def repeat(transport: Any, request: httpx.Request) -> httpx.Response:
        nonlocal tries
        while tries < 5:
            tries += 1
            try:
                return await send(transport, request)
            except httpx.TransportError:
                if gone:
                    gateway.refuse()
        raise httpx.ConnectError("it could not be reached")

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", repeat)
    async with open_session(gateway) as omipay:
        with pytest.raises(OutcomeUnknown):
            await scan(omipay, "A-1")
    assert (tries, gateway.acts) == (2, {"A-1": 1})
