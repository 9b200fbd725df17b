"""Confirmed orders: ``settle``, ``wait_for_notification``, and the journal that writes confirmations down."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from omipay_async import (
    BackendError,
    InvalidRequest,
    MemoryBackend,
    Outcome,
    PaymentFailed,
    PollTimeout,
    SessionClosed,
)
from tests.support.fulfilment_doubles import FaultyBackend, broken, giving_up, gone, hanging
from tests.support.scripted_gateway import Gateway, Shop, begin, check_answer, notification, order, outcome
from tests.support.untyped import untyped

if TYPE_CHECKING:
    from collections.abc import Callable

    from omipay_async import AsyncOmipay
    from omipay_async.testing import ManualClock

NUMBER = "T1-000231"
PAID = order("PAID", out_order_no=NUMBER)


@pytest.fixture(autouse=True)
def paid(gateway: Gateway) -> None:
    """The gateway reports TR1 as paid."""
    gateway.on("TR1", PAID)


@pytest.fixture
def shop() -> Shop:
    return Shop()


async def result_at_once(clock: ManualClock, settling: Any) -> Any:
    """The order or the error in which it ends before any time passes."""
    task = await begin(clock, settling)
    await clock.advance(0)
    return await outcome(task)


# -- settle -----------------------------------------------------------------------------------------------------------


async def test_settle_polls_until_paid_and_runs_the_handler_once(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, shop: Shop
) -> None:
    """Settling the order again returns it without a second run of the handler."""
    gateway.on("TR1", order("PAYING"), PAID)
    seen: list[str] = []
    settling = await begin(
        clock, omipay.settle("TR1", shop.handle, first_wait=2, interval=3, on_status=lambda o: seen.append(o.status))
    )
    await clock.advance(5)
    assert (await outcome(settling)).is_paid
    assert gateway.times("TR1") == [2, 5]
    assert (await result_at_once(clock, omipay.settle("TR1", shop.handle, first_wait=0))).order_no == "TR1"
    assert shop.fulfilled == ["TR1"]
    assert seen == ["PAYING", "PAID"]
    assert (await omipay.wait_for_notification(NUMBER)).is_paid


async def test_settle_raises_what_the_poll_or_the_handler_raises(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, shop: Shop
) -> None:
    """The handler of an order that failed does not run, and one that raised runs again at the next call."""
    with pytest.raises(InvalidRequest, match="handler"):
        await omipay.settle("TR1", untyped(lambda: None))
    assert gateway.requests == []
    gateway.on("TR2", order("CANCELLED"))
    assert isinstance(await result_at_once(clock, omipay.settle("TR2", shop.handle, first_wait=0)), PaymentFailed)
    shop.failing = [ZeroDivisionError()]
    assert isinstance(await result_at_once(clock, omipay.settle("TR1", shop.handle, first_wait=0)), ZeroDivisionError)
    assert (await result_at_once(clock, omipay.settle("TR1", shop.handle, first_wait=0))).is_paid
    assert shop.fulfilled == ["TR1"]


# -- waiting ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [True, False])
async def test_a_notification_is_found_whether_it_or_the_wait_comes_first(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, shop: Shop, before: bool
) -> None:
    """The wait finds the order by the merchant's own number, and asks the gateway nothing."""
    if before:
        check_answer(await omipay.receive_notification(notification(clock), shop.handle), 200)
        await clock.advance(600)
    waits = [await begin(clock, omipay.wait_for_notification(NUMBER)) for _ in range(2)]
    other = await begin(clock, omipay.wait_for_notification("T1-another", timeout=None))
    if not before:
        check_answer(await omipay.receive_notification(notification(clock), shop.handle), 200)
    assert [(await outcome(wait)).order_no for wait in waits] == ["TR1", "TR1"]
    assert len(gateway.requests) == 1
    assert not other.done()
    await clock.advance(7200)
    assert not other.done()
    late = await begin(clock, omipay.wait_for_notification(NUMBER, timeout=1))
    await clock.advance(1)
    assert isinstance(await outcome(late), PollTimeout)
    other.cancel()


async def test_a_wait_that_ends_without_a_notification_has_an_unknown_outcome(
    clock: ManualClock, omipay: AsyncOmipay
) -> None:
    """Its PollTimeout carries the number."""
    waiting = await begin(clock, omipay.wait_for_notification(NUMBER, timeout=60))
    await clock.advance(59.9)
    assert not waiting.done()
    await clock.advance(0.1)
    error = await outcome(waiting)
    assert isinstance(error, PollTimeout)
    assert (error.out_order_no, error.outcome) == (NUMBER, Outcome.UNKNOWN)
    assert NUMBER in str(error)


async def test_the_out_order_no_of_a_body_ends_no_wait(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, caplog: pytest.LogCaptureFixture
) -> None:
    """Only that of QueryOrder counts; if the gateway leaves it out, that is logged once, as a WARNING."""
    gateway.on("TR1", order("PAID"))
    gateway.on("TR2", order("PAID"))
    waiting = await begin(clock, omipay.wait_for_notification(NUMBER, timeout=10))
    await omipay.confirm_notification(notification(clock, "TR1"))
    await omipay.confirm_notification(notification(clock, "TR2"))
    await clock.advance(10)
    assert isinstance(await outcome(waiting), PollTimeout)
    assert [record.levelname for record in caplog.records if "out_order_no" in record.getMessage()] == ["WARNING"]


async def test_closing_the_session_ends_a_wait(clock: ManualClock, omipay: AsyncOmipay) -> None:
    """It ends with SessionClosed and an unknown outcome."""
    waiting = await begin(clock, omipay.wait_for_notification(NUMBER, timeout=None))
    await omipay.aclose()
    error = await outcome(waiting)
    assert isinstance(error, SessionClosed)
    assert error.outcome is Outcome.UNKNOWN
    with pytest.raises(SessionClosed):
        await omipay.wait_for_notification(NUMBER)


async def test_a_wait_returns_an_order_that_was_confirmed_just_before_the_session_was_closed(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay
) -> None:
    """The confirmation is not lost."""
    waiting = await begin(clock, omipay.wait_for_notification(NUMBER, timeout=None))
    confirming = asyncio.create_task(omipay.confirm_notification(notification(clock)))
    confirming.add_done_callback(lambda _: omipay._receiver.close())
    assert (await confirming).is_paid
    assert (await outcome(waiting)).order_no == "TR1"


@pytest.mark.parametrize(("wrong", "value"), [("out_order_no", ""), ("timeout", 0)])
async def test_wrong_arguments_of_a_wait_are_named(omipay: AsyncOmipay, wrong: str, value: Any) -> None:
    """The error comes before the wait begins."""
    with pytest.raises(InvalidRequest) as error:
        await omipay.wait_for_notification(**{"out_order_no": NUMBER, wrong: value})
    assert error.value.parameter == wrong


# -- across processes -------------------------------------------------------------------------------------------------


async def test_sessions_that_share_a_backend_share_what_was_confirmed(
    clock: ManualClock, gateway: Gateway, shop: Shop
) -> None:
    """The other session reads the order from the backend as the gateway reported it, and does not ask the gateway."""
    gateway.on("TR1", {**PAID, "exchange_rate": 471000000, "rate": 1.5})
    backend = MemoryBackend(clock=clock)
    async with gateway.session(backend=backend) as here, gateway.session(backend=backend) as there:
        waiting = await begin(clock, here.wait_for_notification(NUMBER))
        reply = await there.receive_notification(notification(clock), shop.handle)
        check_answer(reply, 200)
        await clock.advance(5)
        heard = await outcome(waiting)
        assert (heard, heard.raw) == (reply.order, reply.order and reply.order.raw)
    assert len(gateway.requests) == 1


NO_AMOUNT = {name: value for name, value in PAID.items() if name != "amount"}
NOTES = ["", "[]", "{}", '{"order_no": "TR1", "raw": {}}', '{"order_no": "TR1", "raw": 3}']


@pytest.mark.parametrize("note", [*NOTES, json.dumps({"order_no": "TR1", "raw": NO_AMOUNT})])
async def test_a_note_that_cannot_be_read_does_not_confirm_anything(
    clock: ManualClock, gateway: Gateway, caplog: pytest.LogCaptureFixture, note: str
) -> None:
    """It is logged, and the wait goes on."""
    backend = MemoryBackend(clock=clock)
    await backend.note(f"000034:out_order_no:{NUMBER}", note)
    async with gateway.session(backend=backend) as omipay:
        waiting = await begin(clock, omipay.wait_for_notification(NUMBER, timeout=1))
        await clock.advance(1)
        assert isinstance(await outcome(waiting), PollTimeout)
    assert "cannot be read" in caplog.text


async def test_a_note_confirms_although_an_optional_field_cannot_be_read(clock: ManualClock, gateway: Gateway) -> None:
    """That field is None; the payment is reported all the same."""
    backend = MemoryBackend(clock=clock)
    raw = PAID | {"pay_time": {"of": "another kind"}}
    await backend.note(f"000034:out_order_no:{NUMBER}", json.dumps({"order_no": "TR1", "raw": raw}))
    async with gateway.session(backend=backend) as omipay:
        found = await outcome(await begin(clock, omipay.wait_for_notification(NUMBER, timeout=1)))
    assert (found.is_paid, found.pay_time) == (True, None)


class WithoutNotes:
    """A backend without notes."""

    def __init__(self, clock: ManualClock) -> None:
        inner = MemoryBackend(clock=clock)
        self.claim, self.renew, self.finish, self.release = inner.claim, inner.renew, inner.finish, inner.release
        self.wake = inner.wake


async def test_with_a_backend_without_notes_only_the_same_process_learns_of_a_confirmation(
    clock: ManualClock, gateway: Gateway
) -> None:
    """The wait of another session goes on."""
    backend = WithoutNotes(clock)
    async with gateway.session(backend=backend) as here, gateway.session(backend=backend) as there:
        await here.confirm_notification(notification(clock))
        assert (await here.wait_for_notification(NUMBER)).is_paid
        waiting = await begin(clock, there.wait_for_notification(NUMBER, timeout=1))
        await clock.advance(1)
        assert isinstance(await outcome(waiting), PollTimeout)


class FaultyNotes(FaultyBackend):
    """A backend whose notes have faults, too."""

    async def note(self, key: str, text: str) -> None:
        """As in memory, after the fault."""
        await self._fault("note")
        await super().note(key, text)

    async def noted(self, key: str) -> str | None:
        """As in memory, after the fault."""
        await self._fault("noted")
        return await super().noted(key)


async def test_a_wait_goes_on_while_the_backend_cannot_be_reached(clock: ManualClock, gateway: Gateway) -> None:
    """It looks again, and its PollTimeout carries the last error."""
    backend = FaultyNotes(clock)
    backend.faults["noted"] = gone
    async with gateway.session(backend=backend) as omipay:
        waiting = await begin(clock, omipay.wait_for_notification(NUMBER, timeout=10))
        await clock.advance(10)
        error = await outcome(waiting)
        assert isinstance(error, PollTimeout)
        assert isinstance(error.last_error, BackendError)


async def test_a_wait_looks_for_notes_soon_and_then_every_five_seconds(clock: ManualClock, gateway: Gateway) -> None:
    """What another process has noted is found although the wake-up was missed."""
    backend = FaultyNotes(clock)
    times: list[float] = []

    async def noted() -> None:
        times.append(clock.monotonic())

    backend.faults["noted"] = noted
    async with gateway.session(backend=backend) as omipay:
        waiting = await begin(clock, omipay.wait_for_notification(NUMBER, timeout=None))
        await clock.advance(18)
        waiting.cancel()
    assert times == [0, 0.5, 1.5, 3.5, 7.5, 12.5, 17.5]


async def test_a_wait_ends_in_time_although_the_backend_hangs(clock: ManualClock, gateway: Gateway) -> None:
    """The backend has a third of its lease to answer, and no longer than the wait has left."""
    backend = FaultyNotes(clock)
    backend.faults["noted"] = hanging
    async with gateway.session(backend=backend) as omipay:
        waiting = await begin(clock, omipay.wait_for_notification(NUMBER, timeout=4))
        await clock.advance(3.999)
        assert not waiting.done()
        await clock.advance(0.001)
        assert isinstance(await outcome(waiting), PollTimeout)


async def test_a_note_is_found_although_one_look_for_it_hangs(clock: ManualClock, gateway: Gateway) -> None:
    """A look may take a third of the lease, five seconds here; then the wait looks again."""
    backend = FaultyNotes(clock)
    backend.lease = 15
    backend.faults["noted"] = hanging
    await backend.note(f"000034:out_order_no:{NUMBER}", json.dumps({"order_no": "TR1", "raw": PAID}))
    async with gateway.session(backend=backend) as omipay:
        waiting = await begin(clock, omipay.wait_for_notification(NUMBER, timeout=None))
        del backend.faults["noted"]
        await clock.advance(5.4)
        assert not waiting.done()
        await clock.advance(0.1)
        assert (await outcome(waiting)).order_no == "TR1"


async def test_a_note_that_cannot_be_written_is_given_up_after_a_third_of_the_lease(
    clock: ManualClock, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    """Then the log says that other processes do not know of the order."""
    backend = FaultyNotes(clock)
    backend.faults["note"] = hanging
    async with gateway.session(backend=backend) as omipay:
        await omipay.confirm_notification(notification(clock))
        texts = []
        for seconds in (9.9, 0.2, 60):
            await clock.advance(seconds)
            texts.append(caplog.text)
    assert ["does not learn of it" in text for text in texts] == [False, True, True]


async def test_a_backend_that_hangs_does_not_hold_up_what_ends_a_wait(clock: ManualClock, gateway: Gateway) -> None:
    """A confirmation in the same session ends it at once, and so does closing the session."""
    backend = FaultyNotes(clock)
    async with gateway.session(backend=backend) as omipay:
        between_looks = await begin(clock, omipay.wait_for_notification("T2", timeout=60))
        backend.faults["noted"] = hanging
        confirmed = await begin(clock, omipay.wait_for_notification(NUMBER, timeout=60))
        await omipay.confirm_notification(notification(clock))
        assert (await outcome(confirmed)).is_paid
        looking = await begin(clock, omipay.wait_for_notification("T3", timeout=60))
    for closed in (between_looks, looking):
        assert isinstance(await outcome(closed), SessionClosed)


@pytest.mark.parametrize("fault", [gone, broken, giving_up])
@pytest.mark.parametrize("method", ["wake", "note"])
async def test_a_confirmation_stands_although_other_processes_cannot_be_notified(
    clock: ManualClock, gateway: Gateway, caplog: pytest.LogCaptureFixture, method: str, fault: Callable[[], Any]
) -> None:
    """That is logged; polls go on by interval."""
    backend = FaultyNotes(clock)
    backend.faults[method] = fault
    async with gateway.session(backend=backend) as omipay:
        assert (await omipay.confirm_notification(notification(clock))).is_paid
    assert ("were not woken" if method == "wake" else "does not learn of it from the backend") in caplog.text


async def test_closing_waits_a_limited_time_until_other_processes_are_notified(
    clock: ManualClock, gateway: Gateway
) -> None:
    """A backend that hangs has a third of its lease, and no longer than the session's timeout."""
    backend = FaultyNotes(clock)
    answered = asyncio.Event()
    backend.faults["wake"] = answered.wait
    omipay = gateway.session(backend=backend)
    await omipay.confirm_notification(notification(clock))
    closing = await begin(clock, omipay.aclose())
    assert not closing.done()
    await clock.advance(10)
    assert closing.done()
    assert sorted(backend.woken) == ["000034:TR1", f"000034:out_order_no:{NUMBER}"]
    quick = gateway.session(backend=backend, timeout=1)
    await quick.confirm_notification(notification(clock))
    closing = await begin(clock, quick.aclose())
    await clock.advance(1)
    assert closing.done()
    answered.set()
    await clock.advance(10)


@pytest.mark.parametrize("odd", ["NaN", "1e99999999999999999999", "[" * 900 + "]" * 900])
async def test_an_odd_field_does_not_keep_an_order_from_other_sessions(
    clock: ManualClock, gateway: Gateway, shop: Shop, odd: str
) -> None:
    """What cannot be written as JSON is left out of the note that another process reads."""
    said = json.dumps(PAID)[:-1] + f', "exchange_rate": {odd}}}'
    gateway.on("TR1", httpx.Response(200, content=said))
    backend = MemoryBackend(clock=clock)
    async with gateway.session(backend=backend) as one:
        await one.fulfil("TR1", shop.handle)
    async with gateway.session(backend=backend) as other:
        known = await result_at_once(clock, other.wait_for_notification(NUMBER, timeout=1))
    assert (known.order_no, known.is_paid, known.exchange_rate) == ("TR1", True, None)
