"""Each way a call can fail on the wire, on both transports: the error, and what the gateway did."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import pytest
import trustme

from omipay_async import (
    GatewayError,
    InvalidReply,
    NotSent,
    OmipayError,
    Outcome,
    OutcomeUnknown,
    RetryPolicy,
    TransportError,
)
from omipay_async.testing import ManualClock
from tests.support.scripted_gateway import named

from . import behaviours
from .behaviours import (
    ACCEPT_CLOSE,
    ACCEPT_HANG,
    ACCEPT_RESET,
    ACT_CLOSE,
    HTML_502,
    NO_TLS,
    SYSTEM_ERROR,
    Behaviour,
    either_way,
)
from .client import MONEY, Transport, open_session, passing, query, scan
from .server import Gateway, always, in_turn, refusing_port, settled, url_of

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from omipay_async import Event

    from .client import Call

ATTEMPTS = 3
DROPPED = [*behaviours.BEFORE_READING, *either_way(behaviours.CUT)]
TLS_FAILURES = [ACCEPT_CLOSE, ACCEPT_RESET, NO_TLS]


async def failure_of(call: Awaitable[object]) -> OmipayError:
    """The error that the call ends with."""
    with pytest.raises(OmipayError) as caught:
        await call
    return caught.value


def assert_never_sent(error: OmipayError, *, money: bool) -> None:
    """Assert that the error means that nothing was received, and that a money call is NOT_DONE."""
    assert type(error) is NotSent
    assert error.outcome is (Outcome.NOT_DONE if money else None)


def assert_unknown(error: OmipayError, number: str) -> None:
    """Assert that the error is OutcomeUnknown with the call's numbers and a cause."""
    assert type(error) is OutcomeUnknown
    assert error.outcome is Outcome.UNKNOWN
    assert (error.endpoint, error.out_order_no) == ("MakeScanOrder", number)
    assert error.__cause__ is not None


# -- certainly never received -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("call", "money"), [(query, False), (scan, True)], ids=["read", "money"])
async def test_a_refused_connection_is_tried_again_and_was_never_sent(
    transport: Transport, call: Call, money: bool
) -> None:
    """A port where nothing listens is tried again, also by a money call, and then nothing was sent."""
    events: list[Event] = []
    with refusing_port() as port:
        async with open_session(url_of(port.getsockname()[1]), transport, on_event=events.append) as omipay:
            error = await failure_of(call(omipay, "A-1"))
    assert_never_sent(error, money=money)
    assert [event.attempt for event in named(events, "attempt")] == [1, 2, 3]
    assert [event.outcome for event in named(events, "call")] == [error.outcome]


@pytest.mark.parametrize(("call", "money"), [(query, False), (scan, True)], ids=["read", "money"])
async def test_no_such_host(transport: Transport, call: Call, money: bool) -> None:
    """A name that does not exist is tried again, also by a money call, and then nothing was sent."""
    events: list[Event] = []
    url = "https://gateway.invalid/omipay/api"
    async with open_session(url, transport, on_event=events.append) as omipay:
        error = await failure_of(call(omipay, "A-1"))
    assert_never_sent(error, money=money)
    assert len(named(events, "attempt")) == ATTEMPTS


@pytest.mark.parametrize("behaviour", TLS_FAILURES, ids=str)
@pytest.mark.parametrize(("call", "money"), [(query, False), (scan, True)], ids=["read", "money"])
async def test_a_failed_handshake_was_never_sent(
    gateway: Gateway,
    transport: Transport,
    call: Call,
    money: bool,
    behaviour: Behaviour,
) -> None:
    """A handshake that is cut, or answered in plain text, ends before any byte of the request is sent."""
    gateway.script = always(behaviour)
    async with open_session(url_of(gateway.port, "https"), transport) as omipay:
        assert_never_sent(await failure_of(call(omipay, "A-1")), money=money)
    assert not gateway.requests


@pytest.mark.parametrize(("call", "money"), [(query, False), (scan, True)], ids=["read", "money"])
async def test_nothing_is_sent_to_a_gateway_that_is_not_trusted(transport: Transport, call: Call, money: bool) -> None:
    """Nothing is sent to a gateway whose certificate is not trusted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    async with Gateway(tls=context) as gateway, open_session(gateway, transport) as omipay:
        assert_never_sent(await failure_of(call(omipay, "A-1")), money=money)
        assert not gateway.requests


async def test_a_certificate_of_a_given_authority_is_trusted(transport: Transport) -> None:
    """A certificate of an authority that ``verify`` names is trusted, so the errors above are the certificate's."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    verify = ssl.create_default_context()
    authority.configure_trust(verify)
    async with Gateway(tls=context) as gateway, open_session(gateway, transport, verify=verify) as omipay:
        await scan(omipay, "A-1")
        assert gateway.acts == {"A-1": 1}


# -- received, or perhaps received ------------------------------------------------------------------------------------


@pytest.mark.parametrize("behaviour", DROPPED, ids=str)
async def test_a_money_call_whose_connection_ends_early_is_unknown(
    gateway: Gateway, transport: Transport, behaviour: Behaviour
) -> None:
    """A money call whose connection ends before the whole reply is sent once, and is unknown."""
    gateway.script = always(behaviour)
    events: list[Event] = []
    async with open_session(gateway, transport, on_event=events.append) as omipay:
        assert_unknown(await failure_of(scan(omipay, "A-1")), "A-1")
    assert (gateway.connections, len(gateway.requests)) == (1, behaviour.reads is behaviours.Reads.WHOLE)
    assert gateway.acts["A-1"] == (behaviour.acts is behaviours.Acts.YES)
    assert [event.outcome for event in named(events, "call")] == [Outcome.UNKNOWN]
    assert len(named(events, "attempt")) == 1


@pytest.mark.parametrize("behaviour", [*behaviours.BEFORE_READING, *behaviours.CUT], ids=str)
async def test_a_read_whose_connection_ends_early_is_repeated(
    gateway: Gateway, transport: Transport, behaviour: Behaviour
) -> None:
    """A read whose connection ends before the whole reply is repeated, and does not end as "never sent"."""
    gateway.script = always(behaviour)
    events: list[Event] = []
    async with open_session(gateway, transport, on_event=events.append) as omipay:
        error = await failure_of(query(omipay, "OM-1"))
    assert isinstance(error, TransportError | InvalidReply)
    assert not isinstance(error, NotSent)
    assert error.outcome is None
    assert len(named(events, "attempt")) == ATTEMPTS
    # aiohttp asks a dropped GET once more by itself, which is why money calls are POSTs.
    assert (
        gateway.connections
        in {Transport.OWN: [ATTEMPTS], Transport.AIOHTTP: range(ATTEMPTS, 2 * ATTEMPTS + 1)}[transport]
    )


@pytest.mark.parametrize("behaviour", either_way(behaviours.NO_REPLY), ids=str)
async def test_money_without_reply(gateway: Gateway, transport: Transport, behaviour: Behaviour) -> None:
    """A money call with an unusable reply is sent once, and is unknown."""
    gateway.script = always(behaviour)
    async with open_session(gateway, transport) as omipay:
        assert_unknown(await failure_of(scan(omipay, "A-1")), "A-1")
    assert gateway.numbers == ["A-1"]
    assert gateway.acts["A-1"] == (behaviour.acts is behaviours.Acts.YES)


@pytest.mark.parametrize("behaviour", behaviours.NO_REPLY, ids=str)
async def test_read_without_reply(gateway: Gateway, transport: Transport, behaviour: Behaviour) -> None:
    """A read with an unusable reply is repeated, and ends with InvalidReply."""
    gateway.script = always(behaviour)
    async with open_session(gateway, transport) as omipay:
        error = await failure_of(query(omipay, "OM-1"))
    assert type(error) is InvalidReply
    assert error.outcome is None
    assert len(gateway.requests) == ATTEMPTS


@pytest.mark.parametrize("behaviour", either_way([SYSTEM_ERROR]), ids=str)
async def test_money_system_error(gateway: Gateway, transport: Transport, behaviour: Behaviour) -> None:
    """A money call that gets SYSTEM_ERROR is sent once, and is unknown."""
    gateway.script = always(behaviour)
    async with open_session(gateway, transport) as omipay:
        error = await failure_of(scan(omipay, "A-1"))
    assert_unknown(error, "A-1")
    assert isinstance(error.__cause__, GatewayError)
    assert gateway.numbers == ["A-1"]


async def test_read_system_error(gateway: Gateway, transport: Transport) -> None:
    """A read that gets SYSTEM_ERROR is repeated."""
    gateway.script = always(SYSTEM_ERROR)
    async with open_session(gateway, transport) as omipay:
        assert type(await failure_of(query(omipay, "OM-1"))) is GatewayError
    assert len(gateway.requests) == ATTEMPTS


@pytest.mark.parametrize("call", MONEY)
async def test_every_money_call(gateway: Gateway, transport: Transport, call: Call) -> None:
    """An order or a refund whose reply is lost is sent once, as a POST, and is unknown."""
    gateway.script = always(ACT_CLOSE)
    async with open_session(gateway, transport) as omipay:
        error = await failure_of(call(omipay, "A-1"))
    assert type(error) is OutcomeUnknown
    assert "A-1" in {error.out_order_no, error.out_refund_no}
    assert [request.method for request in gateway.requests] == ["POST"]
    assert gateway.acts == {"A-1": 1}


async def test_one_attempt_means_no_repeats(gateway: Gateway, transport: Transport) -> None:
    """With ``attempts=1`` nothing is repeated, neither a read nor a refused connection."""
    gateway.script = always(HTML_502)
    events: list[Event] = []
    async with open_session(gateway, transport, retry=RetryPolicy(attempts=1), on_event=events.append) as omipay:
        await failure_of(query(omipay, "OM-1"))
        gateway.refuse()
        gateway.say_unasked(b"")
        await settled(gateway)
        assert_never_sent(await failure_of(scan(omipay, "A-1")), money=True)
    assert gateway.numbers == ["OM-1"]
    assert [event.attempt for event in named(events, "attempt")] == [1, 1]


# -- no end in sight --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("behaviour", [*either_way([behaviours.SILENCE, behaviours.DRIP]), ACCEPT_HANG], ids=str)
async def test_a_money_call_that_is_not_answered_is_unknown(
    gateway: Gateway, transport: Transport, behaviour: Behaviour
) -> None:
    """A money call that is not answered in time is sent once, and is unknown."""
    gateway.script = always(behaviour)
    clock = ManualClock(start=gateway.time_ms())
    async with open_session(gateway, transport, clock=clock) as omipay, passing(clock):
        assert_unknown(await failure_of(scan(omipay, "A-1")), "A-1")
    assert gateway.connections == 1
    assert gateway.acts["A-1"] == (behaviour.acts is behaviours.Acts.YES)


@pytest.mark.parametrize("behaviour", [behaviours.SILENCE, behaviours.DRIP, ACCEPT_HANG], ids=str)
async def test_a_read_that_is_not_answered_is_repeated(
    gateway: Gateway, transport: Transport, behaviour: Behaviour
) -> None:
    """A read that is not answered is repeated while there is time, and does not end as "never sent"."""
    gateway.script = always(behaviour)
    clock = ManualClock(start=gateway.time_ms())
    async with open_session(gateway, transport, clock=clock) as omipay, passing(clock):
        error = await failure_of(query(omipay, "OM-1"))
    assert type(error) is TransportError
    assert 1 < gateway.connections <= ATTEMPTS


async def test_a_handshake_that_never_ends_was_never_sent(gateway: Gateway, transport: Transport) -> None:
    """A handshake that never ends comes before any byte of the request: nothing was sent."""
    gateway.script = always(ACCEPT_HANG)
    async with open_session(url_of(gateway.port, "https"), transport, timeout=0.6) as omipay:
        assert_never_sent(await failure_of(scan(omipay, "A-1")), money=True)
        await settled(gateway)


# -- answered after all -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("behaviour", behaviours.GOOD, ids=str)
async def test_odd_but_good(gateway: Gateway, transport: Transport, behaviour: Behaviour) -> None:
    """Interim replies and connections that close after the reply are not failures, in three calls."""
    gateway.script = always(behaviour)
    async with open_session(gateway, transport) as omipay:
        for number in ("A-1", "A-2", "A-3"):
            await scan(omipay, number)
            if behaviour.ends is behaviours.Ends.CLOSED:
                await settled(gateway)
    assert gateway.acts == {"A-1": 1, "A-2": 1, "A-3": 1}
    assert len(gateway.requests) == 3


@pytest.mark.parametrize("behaviour", [ACT_CLOSE, HTML_502, SYSTEM_ERROR], ids=str)
async def test_a_repeated_read_has_a_nonce_of_its_own(gateway: Gateway, behaviour: Behaviour) -> None:
    """A read that failed once is repeated with a nonce of its own, and answered."""
    gateway.script = in_turn(behaviour)
    async with open_session(gateway) as omipay:
        await query(omipay, "OM-1")
    assert len({request.query["nonce_str"] for request in gateway.requests}) == 2


@pytest.mark.parametrize("behaviour", DROPPED[3:], ids=str)
async def test_kept_connection_dropped(gateway: Gateway, transport: Transport, behaviour: Behaviour) -> None:
    """A kept connection that ends at the next money call: it is sent once, and is unknown."""
    gateway.script = in_turn(behaviours.HEALTHY, behaviour)
    async with open_session(gateway, transport) as omipay:
        await scan(omipay, "A-1")
        assert_unknown(await failure_of(scan(omipay, "A-2")), "A-2")
        await settled(gateway)
        await scan(omipay, "A-3")
    assert gateway.numbers == ["A-1", "A-2", "A-3"]


@pytest.mark.parametrize("gap_s", [0.0, 0.002])
async def test_a_surplus_reply_is_not_taken_for_the_next_one(
    gateway: Gateway, transport: Transport, gap_s: float
) -> None:
    """A surplus reply on a kept connection is not taken for the reply to the next call."""
    gateway.script = always(behaviours.REPLIES_TWICE)
    async with open_session(gateway, transport) as omipay:
        for number in ("A-1", "A-2", "A-3"):
            order = await omipay.make_qr_order(
                order_name="Tea", amount=400, currency="AUD", out_order_no=number, platform="ALIPAY"
            )
            assert order.order_no == f"OM-{number}"
            await asyncio.sleep(gap_s)


@pytest.mark.parametrize("behaviour", behaviours.SURPLUS, ids=str)
async def test_surplus_of_a_read(gateway: Gateway, transport: Transport, behaviour: Behaviour) -> None:
    """A surplus reply to a read, however late, answers no money call, which has a connection of its own."""
    gateway.script = in_turn(behaviour)
    async with open_session(gateway, transport) as omipay:
        await query(omipay, "OM-1")
        await asyncio.sleep(0.01)
        await scan(omipay, "A-1")
    assert (gateway.acts["A-1"], gateway.connections) == (1, 2)


async def test_idle_connection_with_a_408(gateway: Gateway, transport: Transport) -> None:
    """A load balancer's 408 on an idle connection is not taken for the reply to the next call."""
    async with open_session(gateway, transport) as omipay:
        await scan(omipay, "A-1")
        gateway.say_unasked(behaviours.message(b"", "408 Request Timeout", "Connection: close"))
        await settled(gateway)
        await scan(omipay, "A-2")
    assert gateway.acts == {"A-1": 1, "A-2": 1}


async def test_closed_as_the_next_arrives(gateway: Gateway, transport: Transport) -> None:
    """A kept connection that closes as the next money call is sent: answered or unknown, and never acted on twice."""
    gateway.script = always(behaviours.CLOSES_UNANNOUNCED)
    ended: list[tuple[str, OmipayError | None]] = []
    async with open_session(gateway, transport) as omipay:
        for number in map(str, range(50)):
            try:
                await scan(omipay, number)
                ended.append((number, None))
            except OutcomeUnknown as error:
                ended.append((number, error))
    assert all(gateway.acts[number] == 1 for number, error in ended if error is None)
    assert max(gateway.acts.values()) == 1
    assert len(gateway.numbers) == len(set(gateway.numbers))
