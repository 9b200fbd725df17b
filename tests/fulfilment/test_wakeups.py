"""Wake-ups from other processes: which subscriber is called, and how a subscription that ended is made again."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
import logging
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from omipay_async import AsyncOmipay
from omipay_async.errors import BackendError
from omipay_async.fulfilment.memory import MemoryBackend
from omipay_async.fulfilment.wakeups import WakeUps
from omipay_async.testing import ManualClock
from tests.support.shared_backend import Channel, SharedBackend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from omipay_async.fulfilment.backends import Backend


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


async def test_each_subscriber_is_called_for_its_own_kind(
    clock: ManualClock, backend: SharedBackend, wake_ups: WakeUps
) -> None:
    """Keys of other merchants call nobody; one subscriber gets order numbers, the other one ``out_order_no``."""
    orders: list[str] = []
    sales: list[str] = []
    wake_ups.subscribe(orders.append)
    wake_ups.subscribe(sales.append, kind="out:")
    wake_ups.listen()
    await clock.advance(0)
    for key in ("000034:TR1", "000034:out:T1-000231", "000035:TR2", "00003", "000034:TR3"):
        await backend.wake(key)
    assert sales == ["T1-000231"]
    assert orders == ["TR1", "TR3"]


async def test_it_listens_in_the_context_in_which_the_session_was_made(clock: ManualClock, channel: Channel) -> None:
    """It outlives the web request that was the first to wait, and must not be taken for a part of it."""
    web_request: contextvars.ContextVar[str] = contextvars.ContextVar("web_request")
    seen: list[str] = []

    class Seeing(SharedBackend):
        @contextlib.asynccontextmanager
        async def listen(self, on_wake: Callable[[str], object]) -> AsyncIterator[None]:
            seen.append(web_request.get())
            async with super().listen(on_wake):
                yield

    web_request.set("none: the start of the program")
    wake_ups = WakeUps(Seeing(channel, clock), m_number="000034", clock=clock)
    web_request.set("the first one")
    wake_ups.listen()
    await clock.advance(0)
    await wake_ups.aclose()
    assert seen == ["none: the start of the program"]


async def test_the_other_subscribers_are_called_although_one_raises(
    clock: ManualClock, backend: SharedBackend, wake_ups: WakeUps, caplog: pytest.LogCaptureFixture
) -> None:
    """Its exception is logged, and it is called for the next key."""
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


async def test_there_is_one_subscription_however_often_listen_is_called(
    clock: ManualClock, channel: Channel, wake_ups: WakeUps
) -> None:
    """Closing ends it, and nothing is left of it."""
    for _ in range(3):
        wake_ups.listen()
        await clock.advance(0)
    assert (len(channel.subscriptions), len(channel.listeners)) == (1, 1)
    await wake_ups.aclose()
    await wake_ups.aclose()
    assert channel.listeners == []


async def test_it_listens_again_in_another_event_loop(backend: SharedBackend, channel: Channel) -> None:
    """The subscription of the first loop has ended with that loop."""
    wake_ups = WakeUps(backend, m_number="000034", clock=ManualClock())

    async def listen() -> None:
        wake_ups.listen()
        await asyncio.sleep(0)

    await asyncio.to_thread(asyncio.run, listen())
    await listen()
    assert (len(channel.subscriptions), len(channel.listeners)) == (2, 1)
    await wake_ups.aclose()


class Deaf:
    """A backend that is not a ``Listener``."""

    claim = renew = finish = release = wake = mock.AsyncMock()
    lease = 30.0


@pytest.mark.parametrize("backend", [None, Deaf()])
async def test_without_others_or_without_a_listener_there_are_no_wake_ups(backend: Backend | None) -> None:
    """``listen`` starts nothing."""
    before = asyncio.all_tasks()
    async with AsyncOmipay("000034", "key", backend=backend) as omipay:
        omipay._wake_ups.listen()
        assert asyncio.all_tasks() == before


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (BackendError("a request to redis failed"), "a request to redis failed"),
        (KeyError("redis://:password@host"), "KeyError"),
        (asyncio.CancelledError(), "CancelledError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
async def test_a_subscription_that_fails_is_logged_and_made_again(
    clock: ManualClock,
    backend: SharedBackend,
    wake_ups: WakeUps,
    caplog: pytest.LogCaptureFixture,
    *,
    failure: BaseException,
    said: str,
) -> None:
    """The warning names the reason and shows no password; half a second later wake-ups are received again."""
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
    """A backend that stays away is tried once a minute in the end."""
    backend.failures = [BackendError("gone")] * 10
    wake_ups.listen()
    await clock.advance(400)
    times = channel.subscriptions
    assert [after - before for before, after in itertools.pairwise(times)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]


async def test_a_subscription_that_lasted_long_is_made_again_soon(clock: ManualClock, channel: Channel) -> None:
    """After ten minutes the first pause is a short one, also if the backend ended it without an error."""
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


async def test_closing_does_not_wait_for_a_backend_that_hangs(clock: ManualClock) -> None:
    """It waits for five seconds, since a connection has to be closed."""
    go = asyncio.Event()

    class Hanging(MemoryBackend):
        @contextlib.asynccontextmanager
        async def listen(self, on_wake: Callable[[str], object]) -> AsyncIterator[None]:
            try:
                yield
            finally:
                await go.wait()

    wake_ups = WakeUps(Hanging(), m_number="000034", clock=clock)
    wake_ups.listen()
    await clock.advance(0)
    closing = asyncio.create_task(wake_ups.aclose())
    await clock.advance(4)
    assert not closing.done()
    await clock.advance(1.5)
    assert closing.done()
    go.set()
    await clock.advance(0)
