"""Wake-ups from other processes: who hears of which key, and a subscription that comes back whatever ended it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from typing import TYPE_CHECKING

import pytest

from omipay_async.errors import BackendError
from omipay_async.fulfilment.backends import MemoryBackend
from omipay_async.fulfilment.wakeups import WakeUps
from omipay_async.testing import ManualClock
from tests.support.shared_backend import Channel, SharedBackend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def channel() -> Channel:
    return Channel()


@pytest.fixture
def backend(channel: Channel, clock: ManualClock) -> SharedBackend:
    return SharedBackend(channel, clock)


@pytest.fixture
async def wake_ups(backend: SharedBackend, clock: ManualClock) -> AsyncIterator[WakeUps]:
    wake_ups = WakeUps(backend, m_number="000034", clock=clock)
    yield wake_ups
    await wake_ups.aclose()


async def test_each_subscriber_hears_of_its_own_kind(
    clock: ManualClock, backend: SharedBackend, wake_ups: WakeUps
) -> None:
    """Of this merchant's keys only: orders for one, our own numbers for the other."""
    orders: list[str] = []
    sales: list[str] = []
    wake_ups.subscribe(orders.append)
    wake_ups.subscribe(sales.append, kind="out:")
    wake_ups.listen()
    await clock.advance(0)
    for key in ("000034:TR1", "000034:out:T1-000231", "000035:TR2", "00003", "000034:TR3"):
        await backend.wake(key)
    assert sales == ["T1-000231"]
    assert [number for number in orders if not number.startswith("out:")] == ["TR1", "TR3"]


async def test_a_subscriber_that_raises_keeps_nothing_from_the_others(
    clock: ManualClock, backend: SharedBackend, wake_ups: WakeUps, caplog: pytest.LogCaptureFixture
) -> None:
    """Its mistake is logged, the others hear of the key, and so does it of the next one."""
    heard: list[str] = []
    fail = [ZeroDivisionError()]

    def broken(number: str) -> None:
        if fail:
            raise fail.pop()
        heard.append(number)

    wake_ups.subscribe(broken)
    wake_ups.subscribe(heard.append)
    wake_ups.listen()
    await clock.advance(0)
    await backend.wake("000034:TR1")
    await backend.wake("000034:TR2")
    assert heard == ["TR1", "TR2", "TR2"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_there_is_one_subscription_however_often_it_is_asked_for(
    clock: ManualClock, channel: Channel, wake_ups: WakeUps
) -> None:
    """Ten thousand polls listen once; closing ends it, and nothing is left of it."""
    for _ in range(3):
        wake_ups.listen()
        await clock.advance(0)
    assert (len(channel.subscriptions), len(channel.listeners)) == (1, 1)
    await wake_ups.aclose()
    await wake_ups.aclose()
    assert channel.listeners == []


async def test_it_listens_again_in_another_event_loop(backend: SharedBackend, channel: Channel) -> None:
    """A session that moves to another loop hears there; the subscription of a loop that was closed is gone with it."""
    wake_ups = WakeUps(backend, m_number="000034", clock=ManualClock())

    async def listen() -> None:
        wake_ups.listen()
        await asyncio.sleep(0)

    await asyncio.to_thread(asyncio.run, listen())
    await listen()
    assert (len(channel.subscriptions), len(channel.listeners)) == (2, 1)
    await wake_ups.aclose()


async def test_a_backend_of_one_process_has_no_wake_ups(clock: ManualClock) -> None:
    """There is nothing to listen to, and nothing is started."""
    before = asyncio.all_tasks()
    wake_ups = WakeUps(MemoryBackend(clock=clock), m_number="000034", clock=clock)
    wake_ups.listen()
    assert asyncio.all_tasks() == before
    await wake_ups.aclose()


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (BackendError("a request to redis failed"), "a request to redis failed"),
        (KeyError("redis://:password@host"), "KeyError"),
        (asyncio.CancelledError(), "CancelledError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
async def test_a_subscription_that_dies_is_logged_and_comes_back(
    clock: ManualClock,
    backend: SharedBackend,
    wake_ups: WakeUps,
    caplog: pytest.LogCaptureFixture,
    *,
    failure: BaseException,
    said: str,
) -> None:
    """Whatever ended it: a warning that names the reason and no password, and after a moment it hears again."""
    backend.failures = [failure]
    heard: list[str] = []
    wake_ups.subscribe(heard.append)
    wake_ups.listen()
    await clock.advance(0)
    await backend.wake("000034:TR1")
    await clock.advance(0.5)
    await backend.wake("000034:TR2")
    assert heard == ["TR2"]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert said in record.getMessage()
    assert "password" not in record.getMessage()


async def test_the_pauses_grow_until_a_subscription_holds(
    clock: ManualClock, backend: SharedBackend, channel: Channel, wake_ups: WakeUps
) -> None:
    """A backend that is gone for a night is asked once a minute in the end; one that was there for long, soon again."""
    backend.failures = [BackendError("gone")] * 10
    wake_ups.listen()
    await clock.advance(400)
    times = channel.subscriptions
    assert [after - before for before, after in itertools.pairwise(times)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]


async def test_a_subscription_that_was_good_comes_back_soon(clock: ManualClock, channel: Channel) -> None:
    """After ten good minutes the first pause is a short one; a backend that ends it without a word is no exception."""
    end = asyncio.Event()

    class Ending(SharedBackend):
        @contextlib.asynccontextmanager
        async def listen(self, on_wake: Callable[[str], object]) -> AsyncIterator[None]:
            channel.subscriptions.append(clock.monotonic())
            task = asyncio.current_task()
            assert task is not None
            watching = asyncio.create_task(end.wait())
            watching.add_done_callback(lambda _: task.cancel() if end.is_set() else None)
            try:
                yield
            except asyncio.CancelledError:
                if not end.is_set():
                    raise
                end.clear()
                task.uncancel()
            finally:
                watching.cancel()

    wake_ups = WakeUps(Ending(channel, clock), m_number="000034", clock=clock)
    wake_ups.listen()
    for lasted in (0, 0, 600):
        await clock.advance(lasted)
        end.set()
        await clock.advance(1)
    assert channel.subscriptions == [0, 0.5, 2, 602.5]
    await wake_ups.aclose()
