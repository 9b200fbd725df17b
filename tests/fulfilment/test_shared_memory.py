"""Sessions of one process that share a ``MemoryBackend``: wake-ups, several event loops, and what is left behind."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from omipay_async import Claim, MemoryBackend, Order
from tests.support.scripted_gateway import M_NUMBER, begin, notification, order

if TYPE_CHECKING:
    from omipay_async.fulfilment.backends import ClaimState
    from omipay_async.testing import ManualClock
    from tests.support.scripted_gateway import Gateway

NUMBER = "T1-000231"
PAID = order("PAID", out_order_no=NUMBER)


@pytest.fixture(autouse=True)
def paid(gateway: Gateway) -> None:
    """The gateway reports each order as paid."""
    gateway.on("QueryOrder", PAID)


async def ship(_: Order) -> None: ...


async def test_a_notification_in_one_session_ends_the_polls_and_waits_of_another(
    clock: ManualClock, gateway: Gateway
) -> None:
    """At once: the poll would have asked only after an hour, the wait would have looked for the note after a pause."""
    backend = MemoryBackend(clock=clock)
    async with gateway.session(backend=backend) as notified, gateway.session(backend=backend) as waiting:
        poll = await begin(clock, waiting.poll_until_paid("TR1", first_wait=3600, timeout=None))
        wait = await begin(clock, waiting.wait_for_notification(NUMBER))
        await clock.advance(10)
        assert (await notified.receive_notification(notification(gateway.clock, order_no="TR1"), ship)).status == 200
        await clock.advance(0)
        assert (poll.done(), wait.done()) == (True, True)
        assert {(await poll).order_no, (await wait).order_no} == {"TR1"}
    assert backend._listeners == {}


async def test_the_notification_of_another_merchant_wakes_nobody(clock: ManualClock, gateway: Gateway) -> None:
    """Keys contain the ``m_number``, so one backend serves several merchants."""
    backend = MemoryBackend(clock=clock)
    async with gateway.session(backend=backend) as omipay:
        poll = await begin(clock, omipay.poll_until_paid("TR1", first_wait=3600, timeout=None))
        await backend.wake("000000:TR1")
        await clock.advance(1)
        assert not poll.done()
        await backend.wake(f"{M_NUMBER}:TR1")
        await clock.advance(1)
        assert poll.done()


async def test_a_session_with_a_backend_of_its_own_does_not_listen(clock: ManualClock, gateway: Gateway) -> None:
    """Nobody else could wake it, so a poll leaves no task behind."""
    async with gateway.session(backend=None) as omipay:
        poll = await begin(clock, omipay.poll_until_paid("TR1", first_wait=3600, timeout=None))
        poll.cancel()
        await asyncio.wait([poll])
        await clock.advance(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}


class Loop:
    """An event loop in a thread of its own, which listens to a backend."""

    def __init__(self, backend: MemoryBackend) -> None:
        self.heard: list[tuple[str, int]] = []
        self._backend = backend
        self._stop: asyncio.Event
        self._loop: asyncio.AbstractEventLoop
        self._listens, self._woken = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    async def _run(self) -> None:
        self._stop, self._loop = asyncio.Event(), asyncio.get_running_loop()
        async with self._backend.listen(self._hear):
            self._listens.set()
            await self._stop.wait()

    def _hear(self, key: str) -> None:
        self.heard.append((key, threading.get_ident()))
        self._woken.set()

    async def start(self) -> None:
        self.thread.start()
        await asyncio.to_thread(self._listens.wait, 10)

    async def wait(self) -> None:
        """Wait for the first key."""
        assert await asyncio.to_thread(self._woken.wait, 10)

    async def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        await asyncio.to_thread(self.thread.join, 10)


async def test_a_wake_up_reaches_another_event_loop_in_its_own_thread() -> None:
    """There it may touch the futures of its session."""
    backend = MemoryBackend()
    loop = Loop(backend)
    await loop.start()
    await backend.wake("000034:TR1")
    await loop.wait()
    assert loop.heard == [("000034:TR1", loop.thread.ident)]
    await loop.stop()
    await backend.wake("000034:TR2")
    assert len(loop.heard) == 1
    assert backend._listeners == {}


@pytest.mark.parametrize("next_step", ["wake", "listen"])
async def test_what_listened_in_a_loop_that_was_closed_is_forgotten(next_step: str) -> None:
    """A loop may be closed without ending its tasks."""
    backend = MemoryBackend()
    loop = asyncio.new_event_loop()
    subscription: Any = backend.listen(lambda key: None)

    def open_and_close() -> None:
        loop.run_until_complete(subscription.__aenter__())
        loop.close()

    await asyncio.to_thread(open_and_close)
    if next_step == "wake":
        await backend.wake("000034:TR1")
        assert backend._listeners == {}
    else:
        async with backend.listen(lambda key: None), backend.listen(lambda key: None):
            assert len(backend._listeners) == 2
    await subscription.gen.aclose()  # what garbage collection does: it is forgotten already
    assert backend._listeners == {}


class Interrupted(MemoryBackend):
    """Other threads run between the moment in which a key's state was read and that in which it is written."""

    def _state(self, key: str, owner: str) -> ClaimState:
        state = super()._state(key, owner)
        time.sleep(0.001)
        return state


def test_sessions_in_several_threads_never_have_one_order_at_the_same_time() -> None:
    """Each order is claimed by one owner, whatever the threads interrupt."""
    backend = Interrupted()
    keys = [f"000034:TR{number}" for number in range(10)]
    together = threading.Barrier(4)

    async def claim_all(owner: str) -> int:
        won = 0
        for key in keys:
            won += await backend.claim(key, owner) is Claim.MINE
            await backend.note(key, owner)
            await backend.noted(key)
        return won

    def work(owner: str) -> int:
        together.wait(10)
        return asyncio.run(claim_all(owner))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, ["a", "b", "c", "d"])) == len(keys)


def test_sessions_of_two_event_loops_share_a_backend(gateway: Gateway) -> None:
    """A notification in one thread ends a poll in the other, which would have asked only after an hour."""
    backend = MemoryBackend()
    polls = threading.Event()

    async def poll() -> str:
        async with gateway.session(backend=backend, clock=None) as omipay, asyncio.timeout(60):
            polling = asyncio.create_task(omipay.poll_until_paid("TR1", first_wait=3600, timeout=None))
            while not backend._listeners:
                await asyncio.sleep(0)
            polls.set()
            return (await polling).order_no

    async def notify() -> int:
        async with gateway.session(backend=backend, clock=None) as omipay:
            return (await omipay.receive_notification(notification(gateway.clock, order_no="TR1"), ship)).status

    with ThreadPoolExecutor(1) as pool:
        polled = pool.submit(lambda: asyncio.run(poll()))
        assert polls.wait(10)
        assert asyncio.run(notify()) == 200
        assert polled.result(20) == "TR1"
    assert backend._listeners == {}
