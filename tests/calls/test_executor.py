"""A call from its first attempt to its result: what is believed, what is repeated, and on which node."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from omipay_async import (
    InvalidReply,
    NotSent,
    OmipayError,
    Outcome,
    OutcomeUnknown,
    RetryPolicy,
    SessionClosed,
)
from omipay_async.transport.pool import Slot
from tests.support.scripted_gateway import (
    AT_ONCE,
    REFUNDED,
    REFUSED,
    SECRET_KEY,
    Gateway,
    Held,
    begin,
    fail,
    make_refund,
    named,
    order,
    outcome,
    settle,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from omipay_async import AsyncOmipay, Event
    from omipay_async.testing import ManualClock


# -- belief -----------------------------------------------------------------------------------------------------------


def scan(omipay: AsyncOmipay, out_order_no: str = "A-1") -> Coroutine[Any, Any, Any]:
    """A charge."""
    return omipay.make_scan_order(
        order_name="x", amount=450, currency="AUD", out_order_no=out_order_no, qrcode="1234567890", pos_no="1"
    )


@pytest.mark.parametrize(
    "reply",
    [
        {"return_code": "SUCCESS", "order_no": "TR1", "result_code": "FAILED"},
        {"return_code": "SUCCESS", "order_no": "TR1", "error_code": "NOT_ENOUGH"},
        {"return_code": "SUCCESS", "order_no": "TR1", "success": False},
        {"return_code": "SUCCESS", "order_no": "TR1", "out_order_no": "A-2"},
        fail("NOT_ENOUGH", out_order_no="A-2"),
        fail("NOT_ENOUGH", success=True),
    ],
    ids=str,
)
async def test_a_charge_with_a_contradictory_reply_is_neither_paid_nor_declined(
    clock: ManualClock, gateway: Gateway, events: list[Event], reply: dict[str, Any]
) -> None:
    """The same holds for another sale's reply: OutcomeUnknown with ``raw``, and the charge is not sent again."""
    gateway.on("MakeScanOrder", reply)
    async with gateway.session(
        retry=AT_ONCE, fallback="http://second.test/omipay/api", on_event=events.append
    ) as omipay:
        with pytest.raises(OutcomeUnknown, match="A-1") as caught:
            await scan(omipay)
    assert caught.value.raw == reply
    assert caught.value.outcome is Outcome.UNKNOWN
    assert len(gateway.requests) == 1
    assert [(event.error, event.outcome) for event in named(events, "call")] == [("OutcomeUnknown", Outcome.UNKNOWN)]


async def test_two_charges_whose_replies_were_swapped_are_both_unknown(clock: ManualClock, gateway: Gateway) -> None:
    """Neither reply is taken for the other customer's payment."""
    paid = {"return_code": "SUCCESS", "order_no": "TR1", "out_order_no": "A-1"}
    declined = fail("NOT_ENOUGH", out_order_no="A-2")
    gateway.on("MakeScanOrder", lambda request: declined if request.params["out_order_no"] == "A-1" else paid)
    async with gateway.session() as omipay:
        ended = await asyncio.gather(scan(omipay, "A-1"), scan(omipay, "A-2"), return_exceptions=True)
    assert [type(error) for error in ended] == [OutcomeUnknown] * 2


async def test_a_read_is_repeated_after_a_reply_that_is_not_its_own(
    clock: ManualClock, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection over which that reply came is closed, since the next reply may be another call's too."""
    closed: list[Slot] = []

    def close(slot: Slot) -> None:
        closed.append(slot)

    gateway.on("TR1", order("PAID", order_no="TR2"), order("READY", order_no="TR1"))
    async with gateway.session(retry=AT_ONCE) as omipay:
        monkeypatch.setattr(Slot, "close", close)
        assert (await omipay.query_order("TR1")).status == "READY"
        assert len(closed) == 1
        gateway.on("TR1", order("PAID", order_no="TR2"))
        with pytest.raises(InvalidReply):
            await omipay.query_order("TR1")
    assert len(closed) == 4


# -- repeats ----------------------------------------------------------------------------------------------------------


async def test_waits_between_repeats_go_through_the_clock(
    clock: ManualClock, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most 0.2 and then 0.4 seconds, for reads and for money calls that were never sent."""
    async with gateway.session(retry=RetryPolicy()) as omipay:
        monkeypatch.setattr(omipay._executor, "random", lambda: 0.5)
        for name, answer, call in (
            ("QueryOrder", order("PAID"), omipay.query_order("TR1")),
            ("Refund", REFUNDED, make_refund(omipay)),
        ):
            gateway.requests.clear()
            gateway.on(name, REFUSED, REFUSED, answer)
            task = await begin(clock, call)
            await clock.advance(1)
            await outcome(task)
            first = gateway.requests[0].at
            assert [request.at - first for request in gateway.requests] == pytest.approx([0, 0.1, 0.3])
            assert len({request.params["nonce_str"] for request in gateway.requests}) == 3


async def test_repeats_without_a_wait_do_not_hold_up_the_event_loop(gateway: Gateway) -> None:
    """Other tasks get their turn after each attempt, although it fails at once. One of them closes the session."""
    gateway.on("QueryOrder", REFUSED)
    async with gateway.session(retry=RetryPolicy(attempts=100, base_delay=0)) as omipay:
        read = asyncio.create_task(omipay.query_order("TR1"))
        await asyncio.sleep(0)
        await omipay.aclose()
        assert type(await outcome(read)) is SessionClosed
    assert len(gateway.requests) == 1


async def test_no_repeat_that_would_come_too_late(
    clock: ManualClock, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the wait is longer than the time left, the error is raised at once."""
    gateway.on("QueryOrder", REFUSED)
    async with gateway.session(retry=RetryPolicy(base_delay=2)) as omipay:
        monkeypatch.setattr(omipay._executor, "random", lambda: 0.99)
        read = await begin(clock, omipay.query_order("TR1", timeout=1))
        assert type(await outcome(read)) is NotSent


async def test_closing_ends_what_waits(
    clock: ManualClock, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, events: list[Event]
) -> None:
    """In line for a slot, under way as a read, or between two tries: SessionClosed, and no money moved."""
    gateway.on("QueryOrder", Held(order("PAID")))
    gateway.on("Refund", REFUSED)
    async with gateway.session(retry=RetryPolicy(base_delay=2), on_event=events.append, max_in_flight=1) as omipay:
        monkeypatch.setattr(omipay._executor, "random", lambda: 0.5)
        between = await begin(clock, make_refund(omipay))
        under_way = await begin(clock, omipay.query_order("TR1"))
        in_line = await begin(clock, make_refund(omipay))
        await omipay.aclose()
        errors = [await outcome(task) for task in (between, under_way, in_line)]
    assert [type(error) for error in errors] == [SessionClosed] * 3
    assert [error.outcome for error in errors] == [Outcome.NOT_DONE, None, Outcome.NOT_DONE]
    assert len(gateway.requests) == 2
    assert [event.error for event in named(events, "call")] == ["SessionClosed"] * 3


async def test_money_that_turns_out_unsent_while_closing_is_not_sent_again(
    clock: ManualClock, gateway: Gateway
) -> None:
    """A refused connection would be retried, but the session is closed: SessionClosed, and no money moved."""
    held = Held(REFUSED)
    gateway.on("Refund", held, REFUNDED)
    omipay = gateway.session(retry=AT_ONCE)
    money = await begin(clock, make_refund(omipay))
    closing = await begin(clock, omipay.aclose())
    assert not closing.done()
    held.release.set()
    error = await outcome(money)
    assert isinstance(error, SessionClosed)
    assert error.outcome is Outcome.NOT_DONE
    assert await outcome(closing) is None
    assert len(gateway.requests) == 1


async def test_closing_is_bounded_by_the_deadline_of_money(clock: ManualClock, gateway: Gateway) -> None:
    """``aclose`` waits for a refund that was sent, until the deadline of that call."""
    gateway.on("Refund", Held(REFUNDED))
    omipay = gateway.session(timeout=20)
    money = await begin(clock, make_refund(omipay))
    await clock.advance(5)
    closing = await begin(clock, omipay.aclose())
    await clock.advance(14.999)
    assert not closing.done()
    await clock.advance(0.001)
    assert isinstance(await outcome(money), OutcomeUnknown)
    assert await outcome(closing) is None


# -- nodes ------------------------------------------------------------------------------------------------------------


def by_host(answers: dict[str, Any]) -> Any:
    """A transport that answers each host in its own way."""
    return lambda request: answers[request.host]


async def test_a_node_that_cannot_be_reached_rests(
    clock: ManualClock, gateway: Gateway, events: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    """The other node is tried at once, and first for thirty seconds. Then the first node is tried first again."""
    answers = {"gateway.test": REFUSED, "second.test": REFUNDED}
    gateway.on("Refund", by_host(answers))
    async with gateway.session(fallback="http://second.test/omipay/api", on_event=events.append) as omipay:
        with caplog.at_level(logging.WARNING, "omipay_async"):
            await make_refund(omipay)
        assert [event.node for event in named(events, "attempt")] == ["gateway.test", "second.test"]
        assert [event.node for event in named(events, "node")] == ["second.test"]
        assert any("gateway.test cannot be reached" in record.getMessage() for record in caplog.records)
        answers["gateway.test"] = REFUNDED
        await clock.advance(29.999)
        await make_refund(omipay)
        await clock.advance(0.001)
        await make_refund(omipay)
    assert [request.host for request in gateway.requests] == [
        "gateway.test",
        "second.test",
        "second.test",
        "gateway.test",
    ]


async def test_where_both_nodes_refuse_nothing_was_sent(clock: ManualClock, gateway: Gateway) -> None:
    """A resting node is tried too when the other refuses. The time of the call limits this."""
    gateway.on("Refund", REFUSED)
    async with gateway.session(fallback="http://second.test/omipay/api") as omipay:
        for _ in range(2):
            with pytest.raises(NotSent) as caught:
                await make_refund(omipay)
            assert caught.value.outcome is Outcome.NOT_DONE
    assert len(gateway.requests) == 4


async def test_there_is_a_wait_once_both_nodes_refused(
    clock: ManualClock, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each node is tried once without a wait; the third attempt waits like the second repeat on a single node."""
    gateway.on("Refund", REFUSED)
    async with gateway.session(fallback="http://second.test/omipay/api", retry=RetryPolicy()) as omipay:
        monkeypatch.setattr(omipay._executor, "random", lambda: 0.5)
        call = await begin(clock, make_refund(omipay))
        await clock.advance(1)
        assert type(await outcome(call)) is NotSent
    assert [(request.host, request.at) for request in gateway.requests] == [
        ("gateway.test", 0),
        ("second.test", 0),
        ("gateway.test", pytest.approx(0.2)),
    ]


async def test_what_the_first_node_may_have_received_is_not_sent_to_the_second(
    clock: ManualClock, gateway: Gateway
) -> None:
    """A dropped connection, an error page, no answer in time: this holds for reads and money calls."""
    failures: tuple[Any, ...] = (httpx.RemoteProtocolError("cut"), httpx.Response(502), fail("SYSTEM_ERROR"))
    async with gateway.session(fallback="http://second.test/omipay/api") as omipay:
        for failure in failures:
            gateway.on("Refund", failure)
            gateway.on("QueryOrder", failure)
            with pytest.raises(OutcomeUnknown):
                await make_refund(omipay)
            with pytest.raises(OmipayError):
                await omipay.query_order("TR1")
    assert {request.host for request in gateway.requests} == {"gateway.test"}


async def test_no_time_left_for_the_second_node(clock: ManualClock, gateway: Gateway) -> None:
    """If half the time has passed, a money call is not sent to the second node."""
    gateway.on("Refund", gateway.after(15, REFUSED))
    async with gateway.session(fallback="http://second.test/omipay/api") as omipay:
        call = await begin(clock, make_refund(omipay))
        await clock.advance(15)
        assert type(await outcome(call)) is NotSent
    assert len(gateway.requests) == 1


async def test_a_read_waits_as_long_as_it_was_asked_to(clock: ManualClock, gateway: Gateway) -> None:
    """``Retry-After`` of 429 and 503, in seconds or as a time. If it is longer than the time left, the call ends."""
    busy = httpx.Response(503, text="busy", headers={"Retry-After": "7"})
    many = httpx.Response(429, text="slow down", headers={"Retry-After": "Tue, 14 Nov 2023 22:13:36 GMT"})
    gateway.on("TR1", busy, many, order("PAID"))
    async with gateway.session(retry=AT_ONCE) as omipay:
        read = await begin(clock, omipay.query_order("TR1"))
        await clock.advance(20)
        assert (await outcome(read)).is_paid
        assert gateway.times("TR1") == [0, 7, 16]
        gateway.on("TR1", busy)
        read = await begin(clock, omipay.query_order("TR1", timeout=7))
        assert isinstance(await outcome(read), InvalidReply)
    assert len(gateway.requests) == 4


async def test_a_time_to_wait_for_is_the_gateways_time(clock: ManualClock, gateway: Gateway) -> None:
    """A machine whose clock is off, and has learnt so, waits as long as any other."""
    off = {"Date": "Tue, 14 Nov 2023 23:13:20 GMT"}
    busy = {"Retry-After": "Tue, 14 Nov 2023 23:13:27 GMT"}
    refused = httpx.Response(200, json=fail("SIGN_TIMEOUT"), headers=off)
    gateway.on("TR1", refused, httpx.Response(503, headers=busy), order("PAID"))
    async with gateway.session(retry=AT_ONCE) as omipay:
        read = await begin(clock, omipay.query_order("TR1"))
        await clock.advance(7)
        assert (await outcome(read)).is_paid


async def test_money_is_not_sent_again_after_retry_after(clock: ManualClock, gateway: Gateway) -> None:
    """Nothing proves that a 429 or 503 was answered before the gateway acted."""
    gateway.on("Refund", httpx.Response(429, text="slow down", headers={"Retry-After": "1"}))
    async with gateway.session(retry=AT_ONCE) as omipay:
        with pytest.raises(OutcomeUnknown):
            await make_refund(omipay)
    assert len(gateway.requests) == 1


async def test_a_cancelled_call_frees_its_slot(clock: ManualClock, gateway: Gateway) -> None:
    """However many calls are cancelled, waiting or under way, the session can be used afterwards."""
    gateway.on("QueryOrder", Held(order("PAID")))
    async with gateway.session(max_in_flight=2) as omipay:
        for _ in range(50):
            tasks = [asyncio.create_task(omipay.query_order("TR1")) for _ in range(4)]
            await settle()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        assert gateway.under_way == 0
        assert (await make_refund(omipay)).refund_no == "RF1"


# -- secrets ----------------------------------------------------------------------------------------------------------


async def test_no_local_variable_of_a_call_shows_what_signs_it(clock: ManualClock, gateway: Gateway) -> None:
    """The frames of a cancelled call show neither the key nor a signature nor a nonce."""
    gateway.on("Refund", Held(REFUNDED))
    async with gateway.session() as omipay:
        call = await begin(clock, make_refund(omipay))
        call.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await call
    sent = gateway.requests[0].params
    frames = [entry.frame.raw for entry in caught.traceback if "/omipay_async/" in str(entry.path)]
    shown = [f"{name} {value!r}" for frame in frames for name, value in frame.f_locals.items()]
    assert any(name.startswith("attempt ") for name in shown)
    for secret in (SECRET_KEY, sent["sign"], sent["nonce_str"]):
        assert not any(secret in variable for variable in shown)
