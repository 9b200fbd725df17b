"""A process that was stopped, over the transports of others: no money is sent late, and what has arrived is read."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from omipay_async import AsyncOmipay, NotSent, Outcome
from omipay_async.testing import ManualClock
from tests.support.waiting import until

from .client import Transport, open_session, query, scan
from .server import M_NUMBER, SECRET_KEY, settled
from .server_thread import gateway_in_thread

if TYPE_CHECKING:
    from .conftest import Certified
    from .server import Gateway


class Stopped(selectors.DefaultSelector):
    """What the event loop waits with. After SIGSTOP and SIGCONT it finds nothing at first: the wait's time is over."""

    was_stopped = False
    stopped_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if self.was_stopped:
            self.was_stopped = False
            return []
        return super().select(timeout)


@pytest.mark.parametrize("tls", [False, True], ids=["TCP", "TLS"])
def test_a_reply_that_arrived_while_the_process_was_stopped_is_read(
    certified: Certified, monkeypatch: pytest.MonkeyPatch, *, tls: bool
) -> None:
    """The event loop calls what is due before it looks into the socket, of a charge or a question on any transport."""
    selector, monotonic = Stopped(), time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + selector.stopped_s)
    with (
        gateway_in_thread(certified.server if tls else None) as gateway,
        asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner,
    ):
        failed = runner.run(_stopped_over_the_deadline(gateway, selector, certified.client if tls else True))
    assert failed == {}


async def _stopped_over_the_deadline(gateway: Gateway, selector: Stopped, verify: Any) -> dict[str, BaseException]:
    """The calls that failed."""
    calls = {f"{call.__name__} {transport}": (call, transport) for call in (scan, query) for transport in Transport}
    async with contextlib.AsyncExitStack() as stack:
        gateway.loop.call_soon_threadsafe(gateway.gate.clear)
        asked = []
        for name, (call, transport) in calls.items():
            omipay = await stack.enter_async_context(open_session(gateway, transport, timeout=60, verify=verify))
            asked.append(asyncio.ensure_future(call(omipay, name)))
        await until(lambda: gateway.under_way == len(asked))
        gateway.loop.call_soon_threadsafe(gateway.gate.set)
        while gateway.under_way:
            time.sleep(0.001)  # blocks on purpose, until the replies are in the sockets
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.01), gateway.loop).result()
        selector.stopped_s, selector.was_stopped = 61, True
        answers = await asyncio.gather(*asked, return_exceptions=True)
    await settled(gateway)  # aiohttp and httpx do not wait for TLS to end
    return {name: answer for name, answer in zip(calls, answers, strict=True) if isinstance(answer, BaseException)}


class Stopping(httpx.AsyncHTTPTransport):
    """A transport of the user's in a process that is stopped for an hour when it has connected."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self.clock = clock

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        trace = request.extensions["trace"]

        async def stop(event: str, info: Any) -> None:
            if event.endswith("connect_tcp.complete"):
                self.clock.shift(3600)
            await trace(event, info)

        request.extensions["trace"] = stop
        return await super().handle_async_request(request)


async def test_httpx_sends_no_money_late(gateway: Gateway) -> None:
    """Its trace shows the moment in which a request is sent. A read may be late."""
    clock = ManualClock(start=gateway.time_ms())
    wired: dict[str, Any] = {"base_url": gateway.base_url, "transport": Stopping(clock), "clock": clock}
    async with AsyncOmipay(M_NUMBER, SECRET_KEY, **wired) as omipay:
        with pytest.raises(NotSent, match="less than half") as caught:
            await scan(omipay, "A-1")
        assert (caught.value.outcome, gateway.requests) == (Outcome.NOT_DONE, [])
        await query(omipay, "OM-1")
