"""What a session reports: one hook, one log, and one ``call`` event for each call however it ends."""

from __future__ import annotations

import asyncio
import logging
import typing
from typing import TYPE_CHECKING, Any

import attrs
import httpx
import pytest

from omipay_async import ErrorCode, Event, InvalidRequest, OmipayError, Outcome, RetryPolicy, Safety
from omipay_async.events import Events
from omipay_async.testing import ManualClock
from tests.support.untyped import untyped

from .support.canned_gateway import CALLS, MONEY, READS, Gateway, fail, open_session, success
from .support.vectors import TIMESTAMP

if TYPE_CHECKING:
    from .support.canned_gateway import Answer

Told = list[Event]


async def told(name: str, *answers: Answer, **options: Any) -> Told:
    """The events of one call of an endpoint with this answer."""
    events: Told = []
    async with open_session(Gateway(*answers), on_event=events.append, **options) as omipay:
        try:
            await CALLS[name](omipay)
        except OmipayError as error:
            assert events[-1].error == type(error).__name__  # the event is what is tested
            assert events[-1].outcome is error.outcome
    return events


def named(events: Told, name: str) -> Told:
    """The events with one name."""
    return [event for event in events if event.name == name]


@pytest.mark.parametrize("name", CALLS)
async def test_a_successful_call_is_reported_once(name: str) -> None:
    """An ``attempt`` and a ``call``, with endpoint, safety and node, and without an error."""
    events = await told(name, success(name))
    assert [event.name for event in events] == ["attempt", "call"]
    for event in events:
        assert (event.endpoint, event.attempt, event.node) == (name, 1, "AU")
        assert event.safety is (Safety.READ if name in READS else Safety.MONEY)
        assert (event.error, event.outcome, event.error_code) == (None, None, None)


async def test_an_attempt_is_logged_with_its_result(caplog: pytest.LogCaptureFixture) -> None:
    """At DEBUG: that it was answered, or the name of the error."""
    with caplog.at_level(logging.DEBUG, "omipay_async"):
        await told("QueryOrder", success("QueryOrder"))
        await told("QueryOrder", fail("SIGN_ERROR"))
    answered, failed = [record.getMessage() for record in caplog.records if "attempt 1 on AU" in record.getMessage()]
    assert "s: answered" in answered
    assert "s: AuthenticationError" in failed


async def test_the_numbers_of_a_call_are_reported() -> None:
    """Those that were sent and those of the reply, to find the sale by."""
    call = (await told("MakeScanOrder", success("MakeScanOrder")))[-1]
    assert (call.order_no, call.out_order_no, call.out_refund_no) == ("TR1", "SEORD000001", None)
    call = (await told("Refund", success("Refund")))[-1]
    assert (call.order_no, call.out_order_no, call.out_refund_no) == ("TR1", None, "R-1")
    call = (await told("QueryOrder", fail("PERMISSION_ERROR", order_no="TR1")))[-1]
    assert call.order_no == "TR1"


async def test_a_customer_typing_a_password_is_reported_without_an_error() -> None:
    """The event has the code."""
    call = (await told("MakeScanOrder", fail("USERPAYING", order_no="TR1")))[-1]
    assert (call.error, call.outcome, call.error_code, call.order_no) == (None, None, ErrorCode.USERPAYING, "TR1")


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    "answer",
    [
        fail("SIGN_ERROR"),
        fail("SYSTEM_ERROR"),
        fail("NEW_ONE"),
        b"<html>",
        httpx.ReadError("cut"),
        httpx.ConnectError("no"),
    ],
    ids=str,
)
async def test_a_call_that_failed_is_reported_once_with_its_outcome(name: str, answer: Answer) -> None:
    """``error`` and ``outcome`` are the error's. Each try is an attempt, counted from 1."""
    events = await told(name, answer)
    attempts, calls = named(events, "attempt"), named(events, "call")
    assert len(calls) == 1
    assert events[-1] is calls[0]
    assert [event.attempt for event in attempts] == list(range(1, calls[0].attempt + 1))
    assert None not in {event.error for event in events}


async def test_the_gateways_code_is_reported() -> None:
    """As a member if it is documented."""
    assert (await told("MakeQROrder", fail("AMOUNT_INVALID")))[-1].error_code is ErrorCode.AMOUNT_INVALID
    assert (await told("MakeQROrder", fail("NEW_ONE")))[-1].error_code == "NEW_ONE"


@pytest.mark.parametrize("call", ["make_scan_order", "call"])
async def test_a_rejected_call_is_reported_too(call: str) -> None:
    """Nothing was sent, and there was no attempt: NOT_DONE."""
    events: Told = []
    async with open_session(Gateway({}), on_event=events.append) as omipay:
        arguments: dict[str, Any] = {"endpoint": "X", "params": {"sign": "x"}}
        if call == "make_scan_order":
            arguments = dict.fromkeys(("order_name", "currency", "out_order_no", "qrcode", "pos_no"), "AUD") | {
                "amount": 0
            }
        with pytest.raises(InvalidRequest):
            await getattr(omipay, call)(**arguments)
    assert [(event.name, event.attempt, event.error) for event in events] == [("call", 0, "InvalidRequest")]
    assert events[0].outcome is Outcome.NOT_DONE


async def test_a_call_of_a_closed_session_is_reported_too() -> None:
    """With SessionClosed."""
    events: Told = []
    async with open_session(Gateway({}), on_event=events.append) as omipay:
        pass
    for name in ("Refund", "QueryOrder"):
        with pytest.raises(OmipayError):
            await CALLS[name](omipay)
    assert [(event.name, event.error) for event in events] == [("call", "SessionClosed")] * 2
    assert [event.outcome for event in events] == [Outcome.NOT_DONE, None]


class Hanging(httpx.AsyncBaseTransport):
    """A transport that never answers."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Hang."""
        self.reached.set()
        await asyncio.Event().wait()
        raise AssertionError


@pytest.mark.parametrize("name", ["Refund", "QueryOrder"])
async def test_a_money_call_cancelled_after_it_was_sent_is_unknown(name: str) -> None:
    """The money may have moved. A read has no outcome."""
    events: Told = []
    transport = Hanging()
    async with open_session(transport, on_event=events.append, clock=ManualClock(TIMESTAMP)) as omipay:
        task = asyncio.ensure_future(CALLS[name](omipay))
        await transport.reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    (call,) = named(events, "call")
    assert (call.error, call.outcome) == ("CancelledError", Outcome.UNKNOWN if name == "Refund" else None)


async def test_a_money_call_cancelled_in_the_queue_is_not_done() -> None:
    """It was never sent. The event has the wait for a slot."""
    events: Told = []
    transport, clock = Hanging(), ManualClock(TIMESTAMP)
    async with open_session(transport, on_event=events.append, clock=clock, max_in_flight=1) as omipay:
        first = asyncio.ensure_future(CALLS["Refund"](omipay))
        await transport.reached.wait()
        second = asyncio.ensure_future(CALLS["MakeScanOrder"](omipay))
        await asyncio.sleep(0)
        await clock.advance(3)
        for task in (second, first):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    in_queue, sent = named(events, "call")
    assert (in_queue.endpoint, in_queue.outcome, in_queue.waited_s) == ("MakeScanOrder", Outcome.NOT_DONE, 3)
    assert (sent.endpoint, sent.outcome, sent.duration_s) == ("Refund", Outcome.UNKNOWN, 3)


async def test_times_are_in_seconds_of_the_clock() -> None:
    """The time of a repeated call includes its waits."""
    clock = ManualClock(TIMESTAMP, auto=True)
    policy = RetryPolicy(base_delay=1.0, max_delay=1.0)
    events = await told("QueryOrder", b"", success("QueryOrder"), clock=clock, retry=policy)
    assert events[-1].duration_s == clock.monotonic()
    assert 0 <= events[-1].duration_s < 1


@pytest.mark.parametrize("raised", [LookupError, asyncio.CancelledError])
async def test_a_hook_that_raises_changes_no_call(
    caplog: pytest.LogCaptureFixture, raised: type[BaseException]
) -> None:
    """What it raises is logged and dropped, also if it asks a task that was cancelled for its result."""

    def hook(event: Event) -> None:
        raise raised(event.name)

    async with open_session(Gateway(success("MakeQROrder")), on_event=hook) as omipay:
        assert (await CALLS["MakeQROrder"](omipay)).order_no == "TR1"
    complaints: list[Any] = [record for record in caplog.records if "on_event raised" in record.getMessage()]
    assert len(complaints) == 2
    assert {record.omipay_endpoint for record in complaints} == {"MakeQROrder"}
    assert complaints[1].omipay_order_no == "TR1", "the event is lost, and the log can be searched for its order"
    assert all(record.exc_info for record in complaints)


def test_a_hook_that_is_interrupted_is_not_silenced() -> None:
    """Only exceptions are dropped, not KeyboardInterrupt."""

    def hook(event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Events(hook).emit(Event("call"))


def test_without_a_hook_no_event_is_made() -> None:
    """No event object is needed."""
    events = Events(None)
    assert not events.enabled
    events.emit(Event("call"))


def test_an_event_is_a_frozen_value_with_these_fields() -> None:
    """The contract's thirteen, and the offset of a ``clock``."""
    names = [field.name for field in attrs.fields(Event)]
    assert names == [
        *("name", "endpoint", "safety", "attempt", "duration_s", "waited_s", "node", "error", "outcome", "error_code"),
        *("order_no", "out_order_no", "out_refund_no", "offset_s"),
    ]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        untyped(Event("call")).name = "x"


# -- the log ----------------------------------------------------------------------------------------------------------


async def test_the_levels_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Attempts are DEBUG, repeats WARNING, an unknown outcome ERROR. A refusal is not logged."""
    caplog.set_level(logging.DEBUG, "omipay_async")
    await told("QueryOrder", b"", success("QueryOrder"))
    assert [record.levelname for record in caplog.records] == ["DEBUG", "WARNING", "DEBUG"]
    caplog.clear()
    await told("Refund", b"")
    assert [record.levelname for record in caplog.records] == ["DEBUG", "ERROR"]
    assert "nobody knows" in caplog.records[-1].getMessage()
    caplog.clear()
    await told("Refund", fail("ORDER_NOT_PAID"))
    assert [record.levelname for record in caplog.records] == ["DEBUG"]
    assert {record.name for record in caplog.records} == {"omipay_async"}


@pytest.mark.parametrize("name", MONEY)
async def test_no_url_is_in_the_log(caplog: pytest.LogCaptureFixture, name: str) -> None:
    """Endpoint, node, attempt, duration and error, without an address or a parameter."""
    caplog.set_level(logging.DEBUG)
    for answer in (success(name), b"<html>", httpx.ReadError("https://www.omipay.com.au/?sign=1")):
        await told(name, answer)
    assert caplog.records
    assert not any("://" in record.getMessage() for record in caplog.records)


FIELDS = ("omipay_endpoint", "omipay_order_no", "omipay_out_order_no", "omipay_out_refund_no", "omipay_outcome")


async def test_every_record_of_a_call_has_its_numbers(caplog: pytest.LogCaptureFixture) -> None:
    """In the text, and as ``extra``: attempts, repeats, another node, an unknown outcome."""
    caplog.set_level(logging.DEBUG, "omipay_async")
    await told("MakeScanOrder", httpx.ConnectError("no"), httpx.ConnectError("no"), b"<html>", fallback="CN")
    assert len(caplog.records) == 6
    for record in caplog.records:
        fields = [record.__dict__[name] for name in FIELDS[:-1]]
        assert fields == ["MakeScanOrder", None, "SEORD000001", None]
        assert "MakeScanOrder" in record.getMessage()
        assert "out_order_no SEORD000001" in record.getMessage()
    assert [record.__dict__["omipay_outcome"] for record in caplog.records] == [
        *(Outcome.NOT_DONE, None, Outcome.NOT_DONE, None, Outcome.UNKNOWN, Outcome.UNKNOWN)
    ]
    caplog.clear()
    await told("Refund", success("Refund"))
    assert [caplog.records[0].__dict__[name] for name in FIELDS] == ["Refund", "TR1", None, "R-1", None]
    caplog.clear()
    await told("GetExchangeRate", success("GetExchangeRate"))
    assert [caplog.records[0].__dict__[name] for name in FIELDS] == ["GetExchangeRate", None, None, None, None]


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("answer", [fail("SIGN_ERROR"), b"<html>", httpx.ConnectError("no")], ids=str)
async def test_the_text_of_every_error_has_the_numbers_of_its_call(name: str, answer: Answer) -> None:
    """The merchant's own number, and the gateway's if it was sent."""
    numbers = {"Refund": ["R-1", "TR1"], "QueryOrder": ["TR1"], "QueryRefund": ["RF1"]}
    expected = numbers.get(name, ["SEORD000001"] if name in MONEY else [])
    async with open_session(Gateway(answer), retry=RetryPolicy(attempts=1)) as omipay:
        with pytest.raises(OmipayError) as caught:
            await CALLS[name](omipay)
    assert all(str(caught.value).count(number) == 1 for number in expected)


async def test_an_attempt_has_the_outcome_of_its_call(caplog: pytest.LogCaptureFixture) -> None:
    """If the only attempt of a money call failed, both events agree."""
    for answer, outcome in ((b"", Outcome.UNKNOWN), (fail("NOT_ENOUGH"), Outcome.NOT_DONE)):
        attempt, call = await told("MakeScanOrder", answer)
        assert (attempt.outcome, call.outcome) == (outcome, outcome)
    (attempt, *_) = await told("QueryOrder", b"")
    assert attempt.outcome is None


def test_a_program_that_sets_up_no_logging_sees_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """The logger has a NullHandler."""
    handlers = logging.getLogger("omipay_async").handlers
    assert any(isinstance(handler, logging.NullHandler) for handler in handlers)


def test_the_types_of_an_events_fields_can_be_resolved() -> None:
    """At run time, for cattrs or pydantic."""
    types = typing.get_type_hints(Event)
    assert types["error_code"] == ErrorCode | str | None
    assert types["duration_s"] is float
