"""What ends a call and is not of this library: what cannot be loaded, and what fails once a request was sent."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import httpx
import pytest

from omipay_async import AsyncOmipay, ConfigurationError, JournalOutcome, Outcome, OutcomeUnknown
from tests.support.scripted_gateway import Gateway, Held, begin, fail, make_refund, named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omipay_async import Event
    from omipay_async.testing import ManualClock
    from tests.support.fake_journal import FakeJournal


TOO_MANY: Final = OSError(24, "Too many open files")


class Unreadable:
    """A finder of modules that cannot read the files of one."""

    def __init__(self, module: str) -> None:
        self.module = module

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> None:
        if name == self.module:
            raise TOO_MANY


def make_unreadable(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """As when a process has too many open files, or its libraries are being replaced."""
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Unreadable(module), *sys.meta_path])


@pytest.mark.parametrize("module", ["cattrs", "zoneinfo"])
async def test_nothing_is_sent_if_what_reads_the_reply_cannot_be_loaded(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    """A ConfigurationError says why."""
    async with gateway.session() as omipay:
        with monkeypatch.context() as patch:
            make_unreadable(patch, module)
            with pytest.raises(ConfigurationError, match=rf"{module}.* cannot be loaded: .*Too many open") as caught:
                await make_refund(omipay)
        assert caught.value.outcome is Outcome.NOT_DONE
        assert gateway.requests == []
        await make_refund(omipay)


async def test_nothing_is_sent_if_what_sends_requests_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """httpx needs httpcore for the requests that a program sees which has patched httpx."""
    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", mock.Mock())
    async with AsyncOmipay("123456", "secret", base_url="https://gateway.test/omipay/api") as omipay:
        make_unreadable(monkeypatch, "httpcore")
        with pytest.raises(ConfigurationError, match=r"httpcore.* cannot be loaded: .*Too many open files") as caught:
            await make_refund(omipay)
    assert caught.value.outcome is Outcome.NOT_DONE


async def test_a_time_zone_that_cannot_be_read_now(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is told, and the next call may succeed."""
    async with gateway.session() as omipay:
        with monkeypatch.context() as patch:
            patch.setattr("zoneinfo.ZoneInfo", mock.Mock(side_effect=TOO_MANY))
            with pytest.raises(ConfigurationError, match=r"'Australia/Sydney' .* \(Too many open files\)"):
                await make_refund(omipay)
        await make_refund(omipay)


PROGRAM = """
import asyncio, sys
import httpx
from omipay_async import AsyncOmipay

late, sent = [], False

class Finder:
    def find_spec(self, name, path=None, target=None):
        if sent:
            late.append(name)

def answer(request):
    global sent
    sent = True
    return httpx.Response(200, json={
        "return_code": "SUCCESS", "order_no": "TR1", "out_order_no": "A-1", "order_time": "20240101101010"
    })

async def main():
    async with AsyncOmipay("123456", "secret", transport=httpx.MockTransport(answer)) as omipay:
        sys.meta_path.insert(0, Finder())
        scan = await omipay.make_scan_order(
            order_name="x", amount=450, currency="AUD", out_order_no="A-1", qrcode="1234567890", pos_no="1"
        )
        print(scan.is_paid, late)

asyncio.run(main())
"""


def test_no_module_is_loaded_after_a_charge_was_sent() -> None:
    """In a new process: a file that cannot be read then could cost the knowledge that the customer has paid."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True []"


def out_of_memory(*_: Any) -> Any:
    raise MemoryError


async def test_whatever_fails_after_money_was_sent_leaves_the_outcome_unknown(
    gateway: Gateway, journal: FakeJournal, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the cause of an OutcomeUnknown, in the event and in the journal too. A read ends with the exception."""
    monkeypatch.setattr("omipay_async.calls.executor.decode", out_of_memory)
    async with gateway.session(journal=journal, on_event=events.append) as omipay:
        with pytest.raises(OutcomeUnknown, match=r"nobody knows .*\(MemoryError\) \(.*out_refund_no") as caught:
            await make_refund(omipay)
        with pytest.raises(MemoryError):
            await omipay.query_order("TR1")
    assert isinstance(caught.value.__cause__, MemoryError)
    assert [(event.error, event.outcome) for event in named(events, "call")] == [
        ("OutcomeUnknown", Outcome.UNKNOWN),
        ("MemoryError", None),
    ]
    assert journal.names == ["opening", "closing"]
    assert journal.last.outcome is JournalOutcome.UNKNOWN


async def test_an_error_of_ours_from_a_clock_does_not_hide_a_charge_that_was_sent(
    gateway: Gateway, clock: ManualClock, journal: FakeJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Raised before anything is sent, it would be NOT_DONE."""

    def misconfigured() -> int:
        message = "the time server has no address"
        raise ConfigurationError(message)

    def answer(_: object) -> dict[str, str]:
        monkeypatch.setattr(clock, "time_ms", misconfigured)
        return fail("SIGN_TIMEOUT")

    gateway.on("Refund", answer)
    async with gateway.session(journal=journal) as omipay:
        with pytest.raises(OutcomeUnknown, match="the time server has no address"):
            await make_refund(omipay)
        monkeypatch.undo()
    assert journal.last.outcome is JournalOutcome.UNKNOWN


@pytest.mark.parametrize("failure", [MemoryError(), ConfigurationError("the time server has no address")])
async def test_what_fails_once_a_charge_has_ended_does_not_replace_its_result(
    gateway: Gateway, clock: ManualClock, journal: FakeJournal, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    """The event of the call is lost, which is logged. An error of ours could say that no money moved."""

    def fails_once() -> float:
        monkeypatch.undo()
        raise failure

    def break_the_clock(event: Event) -> None:
        if event.name == "attempt":
            monkeypatch.setattr(clock, "monotonic", fails_once)

    async with gateway.session(journal=journal, on_event=break_the_clock) as omipay:
        receipt = await make_refund(omipay)
    assert receipt.refund_no == journal.last.refund_no
    assert journal.last.outcome is JournalOutcome.DONE


async def test_a_clock_that_fails_while_a_cancelled_call_is_reported_does_not_undo_the_cancellation(
    gateway: Gateway, clock: ManualClock, journal: FakeJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``asyncio.timeout`` and anyio's cancel scopes need CancelledError. What became of the money is written down."""

    def fails_once() -> float:
        monkeypatch.undo()
        raise MemoryError

    def ignored(_: Event) -> None:
        pass

    gateway.on("Refund", Held({}))
    async with gateway.session(journal=journal, on_event=ignored) as omipay:
        call = await begin(clock, make_refund(omipay))
        monkeypatch.setattr(clock, "monotonic", fails_once)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert journal.last.outcome is JournalOutcome.UNKNOWN
