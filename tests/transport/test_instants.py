"""Deadlines are instants: no money is sent late, and a reply that has arrived is read."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from omipay_async import NotSent, Outcome
from omipay_async.testing import ManualClock
from omipay_async.transport.network import Network
from tests.support.clocks import LeapingClock
from tests.support.waiting import until

from .behaviours import Behaviour, message
from .client import Transport, open_session, query, refund, scan
from .server import Gateway, always, settled
from .server_thread import gateway_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from omipay_async.transport.connection import Connection

    from .client import Call
    from .conftest import Certified

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])

EVERY = pytest.mark.parametrize("transport", list(Transport), ids=str)


def held_up(clock: LeapingClock) -> None:
    """SIGSTOP, or a nonce provider that blocks: both clocks went on."""
    clock.leap()


def asleep(clock: LeapingClock) -> None:
    """A machine that slept for an hour: the monotonic clock stood still."""
    clock.shift(3600)


LATE = pytest.mark.parametrize("late", [held_up, asleep])


@EVERY
@LATE
@pytest.mark.parametrize("call", [scan, refund])
async def test_no_money_is_sent_late_after_signing(
    gateway: Gateway, transport: Transport, late: Callable[[LeapingClock], None], call: Call
) -> None:
    """The nonce is the last step: if it comes late, nothing is sent."""
    clock = LeapingClock(start=gateway.time_ms())

    def slow() -> str:
        late(clock)
        return "nonceThatCameLate"

    async with open_session(gateway, transport, clock=clock, nonces=slow) as omipay:
        with pytest.raises(NotSent) as caught:
            await call(omipay, "A-1")
    assert caught.value.outcome is Outcome.NOT_DONE
    assert gateway.requests == []


@LATE
async def test_no_money_is_sent_late_after_connecting(
    wired: Gateway, certified: Certified, monkeypatch: pytest.MonkeyPatch, late: Callable[[LeapingClock], None]
) -> None:
    """On the session's own connections the clocks are read immediately before the write."""
    clock = LeapingClock(start=wired.time_ms())
    connect: Any = asyncio.get_running_loop().create_connection

    async def slow(*args: Any, **options: Any) -> Any:
        late(clock)
        return await connect(*args, **options)

    class Loop:
        create_connection = staticmethod(slow)

        def __getattr__(self, name: str) -> Any:
            return getattr(loop, name)

    loop = asyncio.get_running_loop()
    monkeypatch.setattr("omipay_async.transport.network.asyncio.get_running_loop", Loop)
    async with open_session(wired, clock=clock, verify=certified.client) as omipay:
        with pytest.raises(NotSent, match="less than half"):
            await scan(omipay, "A-1")
        monkeypatch.undo()
    assert wired.requests == []


@pytest.mark.parametrize("took_s", [0.5, 2.0])
@pytest.mark.parametrize("slept", [False, True])
async def test_a_signature_that_became_old_while_connecting_is_made_again(
    wired: Gateway, certified: Certified, monkeypatch: pytest.MonkeyPatch, took_s: float, slept: bool
) -> None:
    """A request is signed when it leaves: a look-up or a handshake may take seconds, or the machine may sleep."""
    clock, again = LeapingClock(start=wired.time_ms()), took_s > 1
    nonces: list[str] = []

    def next_nonce() -> str:
        nonces.append(f"nonceNumber{len(nonces)}")
        return nonces[-1]

    connect = Network.connect

    async def slow(*args: Any) -> Connection:
        connection = await connect(*args)
        if slept:
            clock.shift(took_s)
        else:
            clock.leap(took_s)
        return connection

    monkeypatch.setattr(Network, "connect", slow)
    async with open_session(wired, clock=clock, verify=certified.client, nonces=next_nonce) as omipay:
        await scan(omipay, "A-1")
    (request,) = wired.requests
    assert len(nonces) == (2 if again else 1)
    assert request.query["nonce_str"] == nonces[-1]
    assert clock.time_ms() - int(request.query["timestamp"]) == (0 if again else took_s * 1000)


async def test_a_clock_that_is_set_back_delays_nothing(gateway: Gateway) -> None:
    """Only a clock that went on can mean that it is too late."""
    clock = ManualClock(start=gateway.time_ms())

    def nonce() -> str:
        clock.shift(-100)
        return f"nonce{len(gateway.requests):011}"

    async with open_session(gateway, clock=clock, nonces=nonce) as omipay:
        await scan(omipay, "A-1")
    assert gateway.acts == {"A-1": 1}


@pytest.fixture(params=["TCP", "TLS"])
def elsewhere(request: pytest.FixtureRequest, certified: Certified) -> Iterator[Gateway]:
    """A gateway that answers while our own event loop is blocked."""
    with gateway_in_thread(certified.server if request.param == "TLS" else None) as gateway:
        yield gateway


async def test_a_reply_in_the_socket_is_read_after_the_deadline(elsewhere: Gateway, certified: Certified) -> None:
    """The event loop was blocked over the deadline, and the reply arrived meanwhile, over whatever transport."""
    charges = [functools.partial(scan, number=f"A-{transport}") for transport in Transport]
    await held_up_over_the_deadline(elsewhere, certified, charges)
    assert elsewhere.acts == dict.fromkeys(("A-own", "A-aiohttp", "A-httpx"), 1)


async def test_a_long_reply_in_the_socket_is_read_to_its_end(elsewhere: Gateway, certified: Certified) -> None:
    """It is waited for as long as more of it arrives."""
    elsewhere.script = always(
        Behaviour("long", says=lambda reply: message(reply.partition(b"\r\n\r\n")[2] + b" " * 400_000))
    )
    questions = [functools.partial(query, number="OM-1") for _ in Transport]
    await held_up_over_the_deadline(elsewhere, certified, questions)


async def held_up_over_the_deadline(
    gateway: Gateway, certified: Certified, calls: list[functools.partial[Coroutine[Any, Any, object]]]
) -> None:
    """Make a call over each transport; block the event loop until the gateway has answered and their time is over."""
    verify = certified.client if gateway.tls else True
    async with contextlib.AsyncExitStack() as stack:
        sessions = [
            await stack.enter_async_context(open_session(gateway, transport, timeout=0.5, verify=verify))
            for transport in Transport
        ]
        gateway.loop.call_soon_threadsafe(gateway.gate.clear)
        asked = [asyncio.ensure_future(call(omipay)) for call, omipay in zip(calls, sessions, strict=True)]
        await until(lambda: gateway.under_way == len(asked))
        threading.Timer(0.02, lambda: gateway.loop.call_soon_threadsafe(gateway.gate.set)).start()
        time.sleep(0.6)  # what is tested
        answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [answer for answer in answers if isinstance(answer, BaseException)] == []
    await settled(gateway)  # aiohttp and httpx do not wait for TLS to end, and uvloop cannot be closed before
