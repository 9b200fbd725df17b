"""Waits for notifications, and the notes of other processes: how often they look, and what they leave behind."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from omipay_async import Journal, MemoryBackend, PollTimeout, SessionClosed
from tests.simulation.loop import MachineClock, VirtualLoop
from tests.support.fulfilment_doubles import FaultyBackend, hanging
from tests.support.scripted_gateway import M_NUMBER, Gateway, begin, notification, order, outcome
from tests.support.shared_backend import Channel, SharedBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from omipay_async import NotificationReply, Order
    from omipay_async.testing import ManualClock

NUMBER = "T1-000231"
KEY = f"{M_NUMBER}:out_order_no:{NUMBER}"
PAID = order("PAID", out_order_no=NUMBER)


@pytest.fixture(autouse=True)
def paid(gateway: Gateway) -> None:
    """The gateway reports each order as paid."""
    gateway.on("QueryOrder", PAID)


class Counting(SharedBackend):
    """A backend that notes the times at which notes were read."""

    def __init__(self, channel: Channel, clock: ManualClock) -> None:
        super().__init__(channel, clock)
        self.asked: list[float] = []

    async def noted(self, key: str) -> str | None:
        """As in memory."""
        self.asked.append(self._clock.monotonic())
        return await super().noted(key)


@pytest.mark.parametrize(("timeout", "looks"), [(12, [0, 0.5, 1.5, 3.5, 7.5, 11.5]), (2, [0, 0.5, 1.5, 1.9])])
async def test_a_wait_looks_once_more_before_its_end(
    clock: ManualClock, gateway: Gateway, timeout: int, looks: list[float]
) -> None:
    """Another process may have noted the order after the last look by interval, and nobody woke the wait."""
    backend = Counting(Channel(), clock)
    async with gateway.session(backend=backend) as omipay:
        in_vain, waiting = [
            await begin(clock, omipay.wait_for_notification(number, timeout=timeout)) for number in ("T2", NUMBER)
        ]
        await clock.advance(looks[-2] + 0.1)
        await backend.note(KEY, json.dumps({"order_no": "TR1", "raw": PAID}))
        await clock.advance(timeout)
        assert (await outcome(waiting)).order_no == "TR1"
        assert isinstance(await outcome(in_vain), PollTimeout)
    assert sorted(set(backend.asked)) == pytest.approx(looks)


@pytest.mark.parametrize(("sold", "said"), [(NUMBER, f"{NUMBER}      "), (f"{NUMBER}  ", NUMBER)])
@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "in another process"])
async def test_a_wait_finds_a_number_that_a_database_filled_up_with_spaces(
    clock: ManualClock, gateway: Gateway, sold: str, said: str, elsewhere: bool
) -> None:
    """The merchant's own database, or the gateway's, as polls and notifications allow too."""
    shared = SharedBackend(Channel(), clock)
    gateway.on("QueryOrder", order("PAID", out_order_no=said))
    async with gateway.session(backend=shared) as till, gateway.session(backend=shared) as shop:
        waiting = await begin(clock, till.wait_for_notification(sold, timeout=60))
        await (shop if elsewhere else till).confirm_notification(notification(clock, out_order_no=said))
        await clock.advance(60)
        assert (await outcome(waiting)).out_order_no == said


async def test_a_session_that_is_closed_ends_many_waits_a_few_hundred_at_a_time(
    clock: ManualClock, gateway: Gateway
) -> None:
    """So that the event loop does other things in between."""
    ended: Counter[int] = Counter()
    turn = 0

    async def count_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    async with gateway.session() as omipay:
        waits = [asyncio.create_task(omipay.wait_for_notification(f"T{n}")) for n in range(450)]
        for each in waits:
            each.add_done_callback(lambda _: ended.update([turn]))
        await clock.advance(0)
        counting = asyncio.create_task(count_turns())
    assert {type(error) for error in await asyncio.gather(*waits, return_exceptions=True)} == {SessionClosed}
    await asyncio.sleep(0)  # from Python 3.12 on, ``gather`` does not wait for what others do about the last ones
    counting.cancel()
    assert sum(ended.values()) == 450
    assert max(ended.values()) <= 250


@pytest.mark.parametrize("until", [60, 300], ids=["just until its end", "long after its end"])
def test_a_wait_whose_event_loop_was_blocked_looks_once_more(until: int) -> None:
    """Another process has noted the order meanwhile."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        clock = MachineClock(loop)
        backend = MemoryBackend(clock=clock)
        async with Gateway(clock).session(backend=backend) as omipay:
            waiting = asyncio.create_task(omipay.wait_for_notification(NUMBER))
            await asyncio.sleep(1)
            await backend.note(KEY, json.dumps({"order_no": "TR1", "raw": PAID}))
            loop.stand_still(until - loop.time())
            assert (await waiting).order_no == "TR1"

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


async def test_a_wait_that_was_woken_without_a_note_looks_once_and_goes_on_by_interval(
    clock: ManualClock, gateway: Gateway
) -> None:
    """There is no note of the order, or none that can be read: a wake-up is only a hint."""
    backend = Counting(Channel(), clock)
    async with gateway.session(backend=backend) as omipay:
        waiting = await begin(clock, omipay.wait_for_notification(NUMBER, timeout=20))
        for _ in range(2):
            await clock.advance(4)
            await backend.note(KEY, "{}")
            await backend.wake(KEY)
            await clock.advance(0)
        assert backend.asked == [0, 0.5, 1.5, 3.5, 4, 8]
        await clock.advance(12)
        assert isinstance(await outcome(waiting), PollTimeout)


@pytest.mark.parametrize("order_no", [None, 7.5, ["TR1"], {}], ids=str)
async def test_a_note_without_the_number_of_an_order_does_not_confirm_anything(
    clock: ManualClock, gateway: Gateway, caplog: pytest.LogCaptureFixture, order_no: object
) -> None:
    """An order that a wait returns always has its number. The log says where the note is."""
    backend = MemoryBackend(clock=clock)
    await backend.note(KEY, json.dumps({"order_no": order_no, "raw": PAID}))
    async with gateway.session(backend=backend) as omipay:
        waiting = await begin(clock, omipay.wait_for_notification(NUMBER, timeout=1))
        await clock.advance(1)
        assert isinstance(await outcome(waiting), PollTimeout)
    assert re.search("a note of a paid order in the backend is ignored, because it cannot be read: [A-Z]", caplog.text)
    assert "None" not in caplog.text


@pytest.mark.parametrize(
    "wrong",
    [
        *({"result_code": "PAYING"}, {"out_order_no": "T1-000232"}, {"out_order_no": None}),
        *({field: None} for field in ("result_code", "currency", "amount")),
    ],
    ids=str,
)
async def test_a_note_of_an_order_that_is_not_paid_or_another_confirms_nothing(
    clock: ManualClock, gateway: Gateway, wrong: dict[str, Any]
) -> None:
    """Whatever has written it into the backend."""
    backend = MemoryBackend(clock=clock)
    await backend.note(KEY, json.dumps({"order_no": "TR1", "raw": PAID | wrong}))
    async with gateway.session(backend=backend) as omipay:
        waiting = await begin(clock, omipay.wait_for_notification(NUMBER, timeout=1))
        await clock.advance(1)
        assert isinstance(await outcome(waiting), PollTimeout)


async def test_a_backend_without_notes_is_not_asked_for_any(
    clock: ManualClock, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    """That is not a failure: nothing is logged, and no wait ends with a BackendError."""
    inner = MemoryBackend(clock=clock)
    backend = mock.Mock(spec=["lease", "claim", "renew", "finish", "release", "wake"], wraps=inner, lease=inner.lease)
    async with gateway.session(backend=backend) as omipay:
        assert (await omipay.confirm_notification(notification(clock))).is_paid
        waiting = await begin(clock, omipay.wait_for_notification("another", timeout=1))
        await clock.advance(1)
        error = await outcome(waiting)
        assert isinstance(error, PollTimeout)
        assert error.last_error is None
    assert caplog.messages == []


async def test_a_wait_that_ends_leaves_others_for_the_same_number_alone(clock: ManualClock, gateway: Gateway) -> None:
    """They are woken at once, and need not wait until they look again."""
    async with gateway.session() as omipay:
        waiting = await begin(clock, omipay.wait_for_notification(NUMBER, timeout=30))
        given_up = await begin(clock, omipay.wait_for_notification(NUMBER, timeout=30))
        given_up.cancel()
        await asyncio.wait([given_up])
        await omipay.confirm_notification(notification(clock))
        assert (await outcome(waiting)).order_no == "TR1"


@pytest.mark.parametrize("end", ["found", "timeout", "cancelled"])
async def test_a_wait_leaves_nothing_behind(clock: ManualClock, gateway: Gateway, end: str) -> None:
    """That holds however often it looked and however it ends, since a till waits thousands of times in a year."""
    async with gateway.session() as omipay:
        waiters = omipay._receiver._waits._waiters
        waiting = await begin(clock, omipay.wait_for_notification(NUMBER, timeout=30))
        await clock.advance(20)
        assert [len(each) for each in waiters.values()] == [1]
        if end == "found":
            await omipay.confirm_notification(notification(clock))
        elif end == "timeout":
            await clock.advance(10)
        else:
            waiting.cancel()
        await clock.advance(0)
        assert waiting.done()
        assert waiters == {}


async def test_an_order_is_forgotten_a_quarter_of_an_hour_after_its_last_confirmation(
    clock: ManualClock, gateway: Gateway
) -> None:
    """That holds in the session and in the backend."""
    backend = MemoryBackend(clock=clock)
    for number in ("A", "B"):
        gateway.on(number, order("PAID", out_order_no=f"T-{number}"))
    async with gateway.session(backend=backend) as omipay:
        for number, after_s in (("A", 0), ("B", 1), ("A", 799)):
            await clock.advance(after_s)
            await omipay.fulfil(number, mock.AsyncMock())
        await clock.advance(101)
        assert await backend.noted(f"{M_NUMBER}:out_order_no:T-B") is None
        assert await backend.noted(f"{M_NUMBER}:out_order_no:T-A") is not None
        await omipay.fulfil("TR1", mock.AsyncMock())
        assert set(omipay._receiver._waits._remembered) == {"T-A", NUMBER}


# -- confirmations of one order ---------------------------------------------------------------------------------------


async def test_an_order_that_is_confirmed_twice_at_once_is_noted_and_written_down_once(
    clock: ManualClock, gateway: Gateway
) -> None:
    """For one order there is one request of each kind at a time to the backend and to the journal."""
    backend, journal, go = FaultyBackend(clock), mock.AsyncMock(spec=Journal), asyncio.Event()

    async def when_told(*_: object) -> None:
        await go.wait()

    backend.faults["wake"] = journal.confirmed.side_effect = when_told
    handler = mock.AsyncMock()
    async with gateway.session(backend=backend, journal=journal) as omipay:
        fulfilling = [await begin(clock, omipay.fulfil("TR1", handler)) for _ in range(3)]
        other = await begin(clock, omipay.fulfil("TR2", handler))
        woken = sorted(backend.woken)
        go.set()
        await asyncio.gather(*fulfilling, other)
        assert woken == [f"{M_NUMBER}:TR1", f"{M_NUMBER}:TR2", KEY, KEY]
        assert [call.args[1].order_no for call in journal.confirmed.await_args_list] == ["TR1", "TR2"]
        await omipay.fulfil("TR1", handler)
        await clock.advance(0)
        assert backend.woken.count(f"{M_NUMBER}:TR1") == 2
        assert omipay._receiver._announcements._background == {}


# -- what a delivery is told that cannot wait any longer --------------------------------------------------------------


async def told(clock: ManualClock, deliver: Callable[[], Coroutine[Any, Any, NotificationReply]]) -> str:
    """The error of a delivery that waits for a second."""
    delivery = await begin(clock, deliver())
    await clock.advance(1)
    reply = await outcome(delivery)
    assert reply.status == 503
    return str(reply.error)


@pytest.mark.parametrize("stage", ["claim", "handler", "record", "elsewhere"])
async def test_the_error_says_that_a_handler_is_running_only_while_it_is(
    clock: ManualClock, gateway: Gateway, stage: str
) -> None:
    """An earlier delivery may only wait for the claim of a dead process, or for the record of a success."""
    backend, go = FaultyBackend(clock), asyncio.Event()

    async def handler(_: Order) -> None:
        if stage == "handler":
            await go.wait()

    async with gateway.session(backend=backend) as omipay:
        if stage == "record":
            backend.faults["finish"] = hanging
        if stage in {"claim", "elsewhere"}:
            await backend.claim(f"{M_NUMBER}:TR1", "a process that died")
        if stage != "elsewhere":
            first = await begin(clock, omipay.fulfil("TR1", handler))
        said = await told(clock, lambda: omipay.receive_notification(notification(clock), handler, timeout=1))
        assert ("is still running" in said) == (stage == "handler")
        assert ("another process" in said) == (stage == "elsewhere")
        assert "earlier delivery" in said or stage == "elsewhere"
        go.set()
        await clock.advance(40)
        if stage != "elsewhere":
            assert first.done()
            _ = first.exception()
