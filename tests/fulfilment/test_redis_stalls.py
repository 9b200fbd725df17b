"""A real redis-server stalls at each step of a delivery: in the end the handler has succeeded once."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING, Final

import pytest
import redis.asyncio

from omipay_async.clock import SystemClock
from omipay_async.errors import BackendError
from omipay_async.fulfilment.guard import OnceGuard
from omipay_async.fulfilment.runs import StillRunning
from omipay_async.redis import RedisBackend
from omipay_async.sandbox import Sandbox
from tests.support.fulfilment_doubles import ORDER
from tests.support.redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from omipay_async import AsyncOmipay
    from omipay_async.fulfilment.backends import Claim
    from omipay_async.models import Order

STEPS: Final = ("claim", "renew", "finish", "release", "wake", "note")
WAYS: Final = ("SIGSTOP", "CLIENT PAUSE")
PROCESSES: Final = (1, 2)
STALLS: Final = {"shorter than the limit": 1 / 6, "longer than the limit": 2 / 3, "longer than the lease": 7 / 5}
"""As multiples of the lease. The limit for an answer is a third of the lease."""
LEASES_S: Final = (0.9, 1.8, 3.6)
"""The longer ones are for machines that are too slow for the first."""
DELIVERIES: Final = 3


class Stall:
    """One stall of a server, at the first request of the kind ``step``."""

    def __init__(self, server: RedisServer, way: str, step: str, lease: float, seconds: float) -> None:
        self.server, self.way, self.step, self.lease, self.seconds = server, way, step, lease, seconds
        self.happened = False

    async def before(self, step: str) -> None:
        """Stall the server if it is time: what is requested next is carried out when the stall ends."""
        if step != self.step or self.happened:
            return
        self.happened = True
        if self.way == "SIGSTOP":
            self.server.freeze()
            asyncio.get_running_loop().call_later(self.seconds, self.server.thaw)
        else:
            async with redis.asyncio.Redis(port=self.server.port) as admin:
                await admin.client_pause(round(self.seconds * 1000), all=True)


class StallingBackend(RedisBackend):
    """A session's backend whose server stalls."""

    def __init__(self, stall: Stall) -> None:
        super().__init__(stall.server.url, lease=stall.lease)
        self._stall = stall

    async def claim(self, key: str, owner: str) -> Claim:
        """As Redis answers, after the stall."""
        await self._stall.before("claim")
        return await super().claim(key, owner)

    async def renew(self, key: str, owner: str) -> bool:
        """As Redis answers, after the stall."""
        await self._stall.before("renew")
        return await super().renew(key, owner)

    async def finish(self, key: str, owner: str) -> bool:
        """As Redis answers, after the stall."""
        await self._stall.before("finish")
        return await super().finish(key, owner)

    async def release(self, key: str, owner: str) -> None:
        """As Redis answers, after the stall."""
        await self._stall.before("release")
        await super().release(key, owner)

    async def wake(self, key: str) -> None:
        """As Redis answers, after the stall."""
        await self._stall.before("wake")
        await super().wake(key)

    async def note(self, key: str, text: str) -> None:
        """As Redis answers, after the stall."""
        await self._stall.before("note")
        await super().note(key, text)


class Deliveries:
    """The deliveries of one paid order to one process, or by turns to two, and what went wrong.

    With one process the deliveries wait for less than a lease, as they do with the usual lease: a session must not have
    to wait for its own claim whose answer was lost.
    """

    def __init__(self, name: str, sandbox: Sandbox, stall: Stall, processes: int) -> None:
        self.name = name
        self.sandbox = sandbox
        self.stall = stall
        self.processes = processes
        self.running = 0
        self.succeeded = 0
        self.failures = 1 if stall.step == "release" else 0
        """How often the handler fails: only then an order is released."""
        self.wrong: list[str] = []

    async def play(self) -> list[str]:
        """Deliver, and return what went wrong."""
        async with (
            StallingBackend(self.stall) as ours,
            StallingBackend(self.stall) as theirs,
            self.sandbox.session(backend=ours) as here,
            self.sandbox.session(backend=theirs) as there,
        ):
            # Connect as often as requests are made at once, so that requests during a stall reach the server.
            await asyncio.gather(*(backend.noted("nothing") for backend in (ours, theirs) for _ in range(4)))
            order = await here.make_qr_order(
                order_name="Tea", amount=450, currency="AUD", out_order_no=self.name, platform="WECHATPAY"
            )
            assert order.order_no
            await self.sandbox.customer.pays(order.order_no)
            statuses = [
                await self.deliver(session, order.order_no)
                for session, _ in zip(itertools.cycle((here, there)[: self.processes]), range(DELIVERIES), strict=False)
            ]
        if not self.stall.happened:
            self.wrong.append("the step that was to stall was never requested")
        if statuses[-1] != 200 or not self.succeeded:
            self.wrong.append(f"{self.succeeded} handlers succeeded, and the deliveries were answered {statuses}")
        if self.succeeded > 1 and (self.processes == 1 or self.stall.seconds < self.stall.lease / 3):
            self.wrong.append(f"{self.succeeded} handlers succeeded although each success was remembered or recorded")
        return [f"{self.name}: {wrong}" for wrong in self.wrong]

    async def deliver(self, session: AsyncOmipay, order_no: str) -> int:
        """Deliver once, and return the status of the answer."""
        timeout = self.stall.lease * (1 / 4 if self.processes == 1 else 5)
        reply = await session.receive_notification(self.sandbox.notification(order_no), self.handle, timeout=timeout)
        if "still running" in str(reply.error) and not self.running:
            self.wrong.append(f"nothing runs, and yet: {reply.error}")
        await asyncio.sleep(self.stall.seconds / 2)  # so that the last delivery comes after the stall
        return reply.status

    async def handle(self, order: Order) -> None:
        """Run long enough for a renewal."""
        if self.running:
            self.wrong.append("the handler ran twice at the same time")
        self.running += 1
        try:
            await asyncio.sleep(self.stall.lease / 2)
            if self.failures:
                self.failures -= 1
                raise ZeroDivisionError
            self.succeeded += 1
        finally:
            self.running -= 1


async def lags(longest: list[float]) -> None:
    """Append the longest delay of the event loop until now, again and again."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + 0.01
        await asyncio.sleep(0.01)
        longest.append(max(longest[-1], loop.time() - due))


async def in_time(play: Callable[[float], Awaitable[list[str]]]) -> None:
    """Play with the shortest lease; again with longer ones while something goes wrong and the machine was too slow."""
    for lease in LEASES_S:
        longest = [0.0]
        watching = asyncio.create_task(lags(longest))
        wrong = await play(lease)
        watching.cancel()
        if not wrong or longest[-1] < lease / 10:
            break
    assert not wrong, "\n".join(wrong)


async def play_all(directory: Path, length: str, lease: float) -> list[str]:
    """Play each case, and return what went wrong."""
    cases = list(itertools.product(STEPS, WAYS, PROCESSES))
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(RedisServer(directory)) for _ in cases]
        async with Sandbox() as sandbox:
            wrong = await asyncio.gather(
                *(
                    Deliveries(
                        f"{step}, {way}, {processes}",
                        sandbox,
                        Stall(server, way, step, lease, STALLS[length] * lease),
                        processes,
                    ).play()
                    for server, (step, way, processes) in zip(servers, cases, strict=True)
                )
            )
    return list(itertools.chain(*wrong))


@pytest.mark.parametrize("length", STALLS)
async def test_the_handler_succeeds_whichever_step_stalls(length: str, tmp_path: Path) -> None:
    """It succeeds within three deliveries, and never runs twice at the same time, however long the stall is."""
    await in_time(lambda lease: play_all(tmp_path, length, lease))


# -- requests that were not answered -----------------------------------------------------------------------------------


async def run_again_after(server: RedisServer, way: str, step: str, lease: float, seconds: float) -> list[str]:
    """Stall one step of a run, begin another run as soon as the stall is over, and return what went wrong with that.

    Redis carries out what was sent to it before SIGSTOP when it goes on, although its client has left. What CLIENT
    PAUSE held back for a client that has left is never carried out.
    """
    began = succeeded = 0

    async def handle(order: Order) -> None:
        nonlocal began, succeeded
        began += 1
        if step == "renew" and began == 1:
            await asyncio.sleep(lease * 2)  # a stall that is longer than the lease ends this run
        if step == "release" and began == 1:
            raise ZeroDivisionError
        succeeded += 1

    stall = Stall(server, way, step, lease, seconds)
    async with StallingBackend(stall) as backend:
        await backend.noted("nothing")  # connect, so that what is requested during the stall reaches the server
        guard = OnceGuard(backend, SystemClock(), "123456")
        with contextlib.suppress(BackendError, ZeroDivisionError):
            await guard.run(ORDER, handle, wait_timeout=0)
        async with redis.asyncio.Redis(port=server.port, socket_timeout=None) as admin:
            for _ in range(2):
                await admin.get("nothing")  # the server goes on, after it has carried out what it was sent before
        had_succeeded = succeeded
        try:
            ran = await guard.run(ORDER, handle, wait_timeout=0)
        except (BackendError, StillRunning) as error:
            return [f"{step}, {way}, {seconds:g} s: {type(error).__name__} {error}"]
    wrong = []
    if ran is not (had_succeeded == 0) or succeeded != 1:
        wrong.append(f"{step}, {way}, {seconds:g} s: it ran {ran}, {succeeded} handlers succeeded in {began}")
    if not stall.happened:
        wrong.append(f"{step}: was never requested")
    return wrong


async def run_all_again(directory: Path, lease: float) -> list[str]:
    """Play each case, and return what went wrong."""
    cases = list(itertools.product(WAYS, STEPS[:4], STALLS.values()))
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(RedisServer(directory)) for _ in cases]
        wrong = await asyncio.gather(
            *(
                run_again_after(server, way, step, lease, length * lease)
                for server, (way, step, length) in zip(servers, cases, strict=True)
            )
        )
    return list(itertools.chain(*wrong))


async def test_a_session_whose_request_was_not_answered_may_run_again_at_once(tmp_path: Path) -> None:
    """Its next run succeeds although the lease of the first would still hold; no handler succeeds twice."""
    await in_time(lambda lease: run_all_again(tmp_path, lease))
