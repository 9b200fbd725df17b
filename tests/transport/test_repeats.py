"""A money call is sent once, although a transport repeats requests over one below it that reports nothing."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import httpcore
import httpx
import httpx_aiohttp
import pytest

from omipay_async import AsyncOmipay, NotSent, Outcome, OutcomeUnknown, RetryPolicy, TransportError
from omipay_async.testing import ManualClock
from tests.support.fake_journal import PAID

from .behaviours import ACT_CLOSE, Behaviour, Ends
from .client import HASTY, query, scan
from .server import M_NUMBER, SECRET_KEY, always, refusing_port, url_of

if TYPE_CHECKING:
    from .server import Gateway


class Below(httpx.AsyncBaseTransport):
    """The lowest transport: it fails first, and answers then."""

    def __init__(self, *first: Exception | httpx.Response | float) -> None:
        self.first = list(first)
        self.paths: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.paths.append(request.url.path.rpartition("/")[2])
        await asyncio.sleep(0)
        what = self.first.pop(0) if self.first else httpx.Response(200, json=PAID)
        if isinstance(what, Exception):
            raise what
        if isinstance(what, httpx.Response):
            return what
        await asyncio.sleep(what)  # it is cancelled meanwhile
        raise AssertionError


class Repeating(httpx.AsyncBaseTransport):
    """It repeats whatever failed, or was answered with a 5xx, or took long, and hides why."""

    def __init__(self, below: httpx.AsyncBaseTransport, patience_s: float = 0.05) -> None:
        self.below = below
        self.patience_s = patience_s

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        for _ in range(3):
            with contextlib.suppress(Exception):
                async with asyncio.timeout(self.patience_s):
                    response = await self.below.handle_async_request(request)
                if response.status_code < 500:
                    return response
        raise httpx.ConnectError("gave up") from None

    async def aclose(self) -> None:
        await self.below.aclose()


class Hedging(Repeating):
    """It sends a second request while the first one is not answered yet."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        tries = [self.below.handle_async_request(request) for _ in range(2)]
        ended = await asyncio.gather(*tries, return_exceptions=True)
        return next(reply for reply in ended if isinstance(reply, httpx.Response))


class Impatient(Repeating):
    """It sends a second request at once, and gives up if this one fails, whatever becomes of the first."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        first = asyncio.ensure_future(self.below.handle_async_request(request))
        await asyncio.sleep(0)
        with contextlib.suppress(Exception):
            return await self.below.handle_async_request(request)
        asyncio.get_running_loop().call_soon(first.cancel)
        raise httpx.ConnectError("gave up") from None


class HedgingOverSeveral(httpx.AsyncBaseTransport):
    """It sends the request over several transports at once."""

    def __init__(self, *below: httpx.AsyncBaseTransport) -> None:
        self.below = below

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        tries = [one.handle_async_request(request) for one in self.below]
        ended = await asyncio.gather(*tries, return_exceptions=True)
        return next(reply for reply in ended if isinstance(reply, httpx.Response))

    async def aclose(self) -> None:
        for one in self.below:
            await one.aclose()


class OverHTTPCore(httpx.AsyncBaseTransport):
    """A transport of the user's own over httpcore, which reports what it sends."""

    def __init__(self) -> None:
        self.sends = httpx.AsyncHTTPTransport().handle_async_request

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self.sends(request)


class AskingFirst(Repeating):
    """It asks for a token over the same transport before each request."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await self.below.handle_async_request(httpx.Request("POST", "https://login.example/token"))
        return await self.below.handle_async_request(request)


def session(transport: httpx.AsyncBaseTransport | None, **options: Any) -> AsyncOmipay:
    """A session over it."""
    return AsyncOmipay(M_NUMBER, SECRET_KEY, transport=transport, **{"retry": HASTY, **options})


@pytest.mark.parametrize("first", [httpx.ReadError("hung up"), httpx.Response(503), 9.0], ids=repr)
@pytest.mark.parametrize("layers", [1, 2])
async def test_a_charge_that_may_have_arrived_is_not_repeated(first: Any, layers: int) -> None:
    """Nor does the error that the repeating transport makes of it say that it was never sent."""
    below = Below(first)
    transport: httpx.AsyncBaseTransport = below
    for _ in range(layers):
        transport = Repeating(transport)
    async with session(transport) as omipay:
        with pytest.raises(OutcomeUnknown):
            await scan(omipay, "A-1")
        assert below.paths == ["MakeScanOrder"]
        await scan(omipay, "A-2")  # another charge goes over the same transport
    assert below.paths == ["MakeScanOrder"] * 2


async def test_a_charge_that_has_no_answer_yet_is_not_sent_a_second_time() -> None:
    """A transport may do so with what takes long."""
    below = Below()
    async with session(Hedging(below)) as omipay:
        await scan(omipay, "A-1")
    assert below.paths == ["MakeScanOrder"]


async def test_a_charge_is_not_told_to_be_unsent_while_it_is_being_sent() -> None:
    """The error that the transport makes of the refusal of the second request says so, but the first is under way."""
    below = Below()
    async with session(Impatient(below), retry=RetryPolicy(attempts=1)) as omipay:
        with pytest.raises(OutcomeUnknown):
            await scan(omipay, "A-1")
    assert below.paths == ["MakeScanOrder"]


@pytest.mark.parametrize(
    "kinds",
    [
        (httpx.AsyncHTTPTransport, httpx_aiohttp.AiohttpTransport),
        (OverHTTPCore, httpx.AsyncHTTPTransport),
        (OverHTTPCore,),
    ],
)
async def test_a_charge_is_not_sent_over_another_transport_at_the_same_time(
    gateway: Gateway, kinds: tuple[type[httpx.AsyncBaseTransport], ...]
) -> None:
    """Whichever of them report what they send."""
    gateway.gate.clear()
    asyncio.get_running_loop().call_later(0.05, gateway.gate.set)
    async with session(HedgingOverSeveral(*(kind() for kind in kinds)), base_url=gateway.base_url) as omipay:
        await scan(omipay, "A-1")
    assert gateway.acts == {"A-1": 1}


async def test_a_charge_that_was_never_sent_is_repeated() -> None:
    """A refused connection proves it, whatever the caller was handling."""
    below = Below(httpx.ConnectError("refused"), httpx.Response(200, json=PAID), httpx.ConnectError("refused"))
    async with session(Repeating(below)) as omipay:
        await scan(omipay, "A-1")
        try:
            await asyncio.wait_for(asyncio.Event().wait(), 0)
        except TimeoutError:
            await scan(omipay, "A-2")
    assert below.paths == ["MakeScanOrder"] * 4


async def test_a_charge_that_was_kept_waiting_for_too_long_is_not_sent() -> None:
    """As by a transport that limits how many requests are sent in a minute."""
    clock, below = ManualClock(start=1_700_000_000), Below()

    class Limiting(Repeating):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            clock.advance(16)
            return await self.below.handle_async_request(request)

    async with session(Limiting(below), clock=clock) as omipay:
        with pytest.raises(NotSent, match="less than half of its time was left"):
            await scan(omipay, "A-1")
    assert below.paths == []


async def test_reads_and_requests_of_others_are_repeated() -> None:
    """They may be."""
    below = Below(httpx.ReadError("hung up"))
    async with session(Repeating(below)) as omipay:
        with pytest.raises(Exception, match="QueryOrder"):  # it is answered with a charge
            await query(omipay, "OM-1")
        below.first = [httpx.ReadError("hung up")]
        assert (await Repeating(below).handle_async_request(httpx.Request("POST", "https://else.example/"))).is_success
    assert below.paths[:2] == ["QueryOrder"] * 2
    assert below.paths[-2:] == [""] * 2


async def test_a_token_may_be_asked_for_over_the_same_transport() -> None:
    """That request is not the charge."""
    below = Below()
    async with session(AskingFirst(below)) as omipay:
        await scan(omipay, "A-1")
        await scan(omipay, "A-2")
    assert below.paths == ["token", "MakeScanOrder"] * 2


async def test_a_mock_of_the_transport_itself_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """And asked once."""
    below, mocked = Below(), Below(httpx.ReadError("hung up"))
    monkeypatch.setattr(below, "handle_async_request", mocked.handle_async_request)
    async with session(Repeating(below)) as omipay:
        with pytest.raises(OutcomeUnknown):
            await scan(omipay, "A-1")
        await scan(omipay, "A-2")
    assert (below.paths, mocked.paths) == ([], ["MakeScanOrder"] * 2)


async def test_a_mock_of_the_class_is_used_although_it_came_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """As without the method that the transport was given."""
    below = Below()

    async def mock(*_: object) -> httpx.Response:
        return httpx.Response(200, json=PAID)

    async with session(Repeating(below)) as omipay:
        await scan(omipay, "A-1")
        monkeypatch.setattr(Below, "handle_async_request", mock)
        await scan(omipay, "A-2")
    assert below.paths == ["MakeScanOrder"]


async def test_a_repeat_over_aiohttp_is_not_sent(gateway: Gateway) -> None:
    """Over real sockets, where the gateway acts and hangs up; a node that refuses was never reached."""
    gateway.script = always(ACT_CLOSE)
    async with session(Repeating(httpx_aiohttp.AiohttpTransport(), 60), base_url=gateway.base_url) as omipay:
        with pytest.raises(OutcomeUnknown):
            await scan(omipay, "A-1")
    assert gateway.acts == {"A-1": 1}
    with refusing_port() as socket:
        base_url = url_of(socket.getsockname()[1])
        async with session(Repeating(httpx_aiohttp.AiohttpTransport(), 60), base_url=base_url) as omipay:
            with pytest.raises(NotSent) as caught:
                await scan(omipay, "A-2")
    assert caught.value.outcome is Outcome.NOT_DONE


async def test_a_mock_in_the_place_of_httpx_transport_does_not_disturb_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session with a transport over another one ignores it, even if it is a function."""
    monkeypatch.setattr(httpx, "AsyncHTTPTransport", lambda **_: None)
    below = Below()
    async with session(Repeating(below)) as omipay:
        await scan(omipay, "A-1")
    assert below.paths == ["MakeScanOrder"]


@pytest.mark.parametrize("is_patched", [False, True])
async def test_a_read_that_was_received_before_a_refused_repeat_may_have_been_answered(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, *, is_patched: bool
) -> None:
    """The last try proves nothing about the first. A program that has patched httpcore may repeat reads as well."""

    def refuse_the_next(_: bytes) -> bytes:
        gateway.refuse()
        return b""

    async def repeat(pool: httpcore.AsyncConnectionPool, request: httpcore.Request) -> httpcore.Response:
        with contextlib.suppress(httpcore.RemoteProtocolError):
            return await send(pool, request)
        return await send(pool, request)

    send = httpcore.AsyncConnectionPool.handle_async_request
    if is_patched:
        monkeypatch.setattr(httpcore.AsyncConnectionPool, "handle_async_request", repeat)
    gateway.script = always(Behaviour("refuse the next", says=refuse_the_next, ends=Ends.CLOSED))
    transport = None if is_patched else Repeating(httpx.AsyncHTTPTransport(), 60)
    async with session(transport, base_url=gateway.base_url, retry=RetryPolicy(attempts=1)) as omipay:
        with pytest.raises(TransportError) as received:
            await query(omipay, "OM-1")
        with pytest.raises(NotSent):
            await query(omipay, "OM-2")
    assert type(received.value) is TransportError
    assert gateway.numbers == ["OM-1"]
