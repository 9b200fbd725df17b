"""One deadline for a whole call, and a second node, which gets only what the first certainly never received."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from omipay_async import InvalidReply, NotSent, Outcome, OutcomeUnknown, RetryPolicy, TransportError
from omipay_async.testing import ManualClock
from tests.support.scripted_gateway import named
from tests.support.waiting import until

from . import behaviours
from .behaviours import ACCEPT_CLOSE, ACT_CLOSE, SILENCE, Behaviour
from .client import HASTY, ShiftedClock, Transport, open_session, passing, query, scan
from .server import Gateway, always, black_hole, refusing_port, url_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from omipay_async import Event

    from .client import Call

CALLS = pytest.mark.parametrize("call", [query, scan])


@pytest.fixture
async def second() -> AsyncIterator[Gateway]:
    """The other node."""
    async with Gateway() as gateway:
        yield gateway


@pytest.fixture
def clock() -> ManualClock:
    """A clock that starts with the machine's time and moves when the test advances it."""
    return ManualClock(start=ShiftedClock().time_ms())


# -- the deadline -----------------------------------------------------------------------------------------------------


@CALLS
async def test_a_host_that_answers_no_connection_was_never_sent_to(transport: Transport, call: Call) -> None:
    """A host that answers no attempt to connect: never sent, and connecting takes only a part of the time."""
    attempts = 0
    for timeout in (0.5, 2, 8):  # on a busy machine half a second is too short for anything
        events: list[Event] = []
        with black_hole() as port:
            options = {"timeout": timeout, "retry": attrs.evolve(HASTY, attempts=2), "on_event": events.append}
            async with open_session(url_of(port), transport, **options) as omipay:
                with pytest.raises(NotSent):
                    await call(omipay, "A-1")
        if (attempts := len(named(events, "attempt"))) > 1:
            break
    assert attempts > 1


@CALLS
async def test_black_hole_leaves_time_for_the_second_node(second: Gateway, transport: Transport, call: Call) -> None:
    """Enough time is left to try the second node."""
    with black_hole() as port:
        async with open_session(url_of(port), transport, timeout=2.0, fallback=second.base_url) as omipay:
            await call(omipay, "A-1")
    assert second.numbers == ["A-1"]


async def test_connecting_ends_after_five_seconds(second: Gateway, clock: ManualClock) -> None:
    """However long a call may take, connecting to the first node ends after five seconds."""
    with black_hole() as port:
        async with open_session(url_of(port), clock=clock, timeout=600.0, fallback=second.base_url) as omipay:
            call = asyncio.ensure_future(scan(omipay, "A-1"))
            await asyncio.sleep(0.005)
            await clock.advance(4.9)
            assert second.connections == 0
            await clock.advance(0.2)
            await call
    assert second.numbers == ["A-1"]


async def test_connecting_ends_with_its_try(second: Gateway, clock: ManualClock) -> None:
    """If one try of a read may take less than that, connecting to the first node ends with it."""
    retry = attrs.evolve(HASTY, try_timeout=2.0)
    with black_hole() as port:
        url = url_of(port)
        async with open_session(url, clock=clock, timeout=600.0, fallback=second.base_url, retry=retry) as omipay:
            call = asyncio.ensure_future(query(omipay, "A-1"))
            await asyncio.sleep(0.005)
            await clock.advance(1.9)
            assert second.connections == 0
            await clock.advance(0.2)
            async with asyncio.timeout(60):
                await call
    assert second.numbers == ["A-1"]


@pytest.mark.parametrize("timeout", [1.0, 30.0, 60.0])
async def test_timeout_bounds_the_call(
    gateway: Gateway, transport: Transport, clock: ManualClock, timeout: float
) -> None:
    """However many tries a read may have, the call ends after its ``timeout``."""
    gateway.script = always(SILENCE)
    patient = RetryPolicy(attempts=1_000, base_delay=0.001, max_delay=0.002, try_timeout=timeout / 4)
    async with open_session(gateway, transport, clock=clock, retry=patient) as omipay, passing(clock, timeout / 400):
        before = clock.monotonic()
        with pytest.raises(TransportError):
            await omipay.query_order("OM-1", timeout=timeout)
        assert clock.monotonic() - before <= timeout * 1.1
    assert len(gateway.requests) >= 2
    if transport is Transport.OWN:  # aiohttp has timers of its own, on the machine's clock
        assert len(gateway.requests) <= 4


async def test_too_little_time_left(gateway: Gateway, transport: Transport, clock: ManualClock) -> None:
    """A money call that gets its slot with less than half its time left is not sent; a read is."""
    gateway.gate.clear()
    async with open_session(gateway, transport, clock=clock, max_in_flight=1, retry=HASTY) as omipay:
        first = asyncio.ensure_future(omipay.make_scan_order(**_SALE, out_order_no="first", timeout=3600.0))
        await until(lambda: gateway.under_way == 1)
        waiting = [asyncio.ensure_future(call(omipay, f"A-{index}")) for index, call in enumerate([scan, query])]
        await asyncio.sleep(0.005)
        await clock.advance(16.0)
        gateway.gate.set()
        money, *others = await asyncio.gather(*waiting, first, return_exceptions=True)
    assert type(money) is NotSent
    assert money.outcome is Outcome.NOT_DONE
    assert not any(isinstance(end, BaseException) for end in others)
    assert gateway.numbers == ["first", "A-1"]


async def test_enough_time_left(gateway: Gateway, transport: Transport, clock: ManualClock) -> None:
    """A money call that gets its slot with more than half its time left is sent."""
    gateway.gate.clear()
    async with open_session(gateway, transport, clock=clock, max_in_flight=1) as omipay:
        first = asyncio.ensure_future(omipay.make_scan_order(**_SALE, out_order_no="first", timeout=3600.0))
        await until(lambda: gateway.under_way == 1)
        second = asyncio.ensure_future(scan(omipay, "A-1"))
        await asyncio.sleep(0.005)
        await clock.advance(14.0)
        gateway.gate.set()
        await asyncio.gather(first, second)
    assert gateway.acts == {"first": 1, "A-1": 1}


_SALE: dict[str, Any] = {
    "order_name": "Tea",
    "amount": 400,
    "currency": "AUD",
    "qrcode": "134567890",
    "pos_no": "till-1",
}


# -- the second node --------------------------------------------------------------------------------------------------


@CALLS
async def test_what_the_first_node_refuses_is_sent_to_the_second(
    second: Gateway, transport: Transport, call: Call
) -> None:
    """What the first node refused is sent to the second, and the events contain the nodes."""
    events: list[Event] = []
    with refusing_port() as port:
        options = {"fallback": second.base_url, "on_event": events.append}
        async with open_session(url_of(port.getsockname()[1]), transport, **options) as omipay:
            await call(omipay, "A-1")
    assert second.numbers == ["A-1"]
    first_try, *_, last_try = named(events, "attempt")
    assert first_try.node != last_try.node


@CALLS
async def test_both_nodes_refuse(transport: Transport, call: Call) -> None:
    """If both nodes refuse, nothing was sent."""
    with refusing_port() as port, refusing_port() as other:
        options = {"fallback": url_of(other.getsockname()[1])}
        async with open_session(url_of(port.getsockname()[1]), transport, **options) as omipay:
            with pytest.raises(NotSent):
                await call(omipay, "A-1")


@pytest.mark.parametrize("behaviour", [*behaviours.BEFORE_READING, ACT_CLOSE, behaviours.HTML_502, SILENCE], ids=str)
@CALLS
async def test_second_node_is_not_tried(
    gateway: Gateway, second: Gateway, transport: Transport, *, call: Call, behaviour: Behaviour
) -> None:
    """What the first node accepted and dropped is never sent to the second, neither a read nor a money call."""
    gateway.script = always(behaviour)
    clock = ManualClock(start=gateway.time_ms())
    options = {"fallback": second.base_url, "clock": clock}
    async with open_session(gateway, transport, **options) as omipay, passing(clock):
        with pytest.raises((OutcomeUnknown, TransportError, InvalidReply)):
            await call(omipay, "A-1")
    assert second.connections == 0


async def test_second_node_drops(second: Gateway, transport: Transport) -> None:
    """A money call that the second node accepted and dropped is unknown, and not sent again."""
    second.script = always(ACCEPT_CLOSE)
    with refusing_port() as port:
        async with open_session(url_of(port.getsockname()[1]), transport, fallback=second.base_url) as omipay:
            with pytest.raises(OutcomeUnknown):
                await scan(omipay, "A-1")
    assert second.connections == 1


async def test_refusing_node_is_tried_again_later(second: Gateway, transport: Transport) -> None:
    """A node that refused is not tried by the next calls, but some time later."""
    first, clock = Gateway(), ShiftedClock()
    async with first, open_session(first, transport, fallback=second.base_url, clock=clock) as omipay:
        first.refuse()
        await scan(omipay, "A-1")
        await first.listen()
        for number in ("A-2", "A-3", "A-4"):
            await scan(omipay, number)
        assert (first.connections, second.numbers) == (0, ["A-1", "A-2", "A-3", "A-4"])
        clock.skipped_s += 3600
        await scan(omipay, "A-5")
        assert first.numbers == ["A-5"]


async def test_first_node_is_tried_while_the_second_refuses(gateway: Gateway, transport: Transport) -> None:
    """A node that rests is tried all the same if the other one refuses too."""
    with refusing_port() as port:
        async with open_session(gateway, transport, fallback=url_of(port.getsockname()[1])) as omipay:
            gateway.refuse()
            with pytest.raises(NotSent):
                await scan(omipay, "A-1")
            await gateway.listen()
            await scan(omipay, "A-2")
    assert gateway.acts == {"A-2": 1}
