"""The session under test, on either transport, and the results of its calls."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import socket
import time
from typing import TYPE_CHECKING, Any, Final

import anyio
import httpx
import httpx_aiohttp

from omipay_async import AsyncOmipay, RetryPolicy
from omipay_async.transport import network
from omipay_async.transport.network import Address

from .server import M_NUMBER, SECRET_KEY, Gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from random import Random

    import pytest

    from omipay_async.testing import ManualClock

    Call = Callable[..., Coroutine[Any, Any, object]]
    """One of the calls below: with a session, under a number, within a time."""
    Cancel = Callable[[Coroutine[Any, Any, object], float], Coroutine[Any, Any, bool]]
    """One of the ways to cancel below."""


class Transport(enum.StrEnum):
    """Whose sockets the session uses."""

    OWN = "own"
    AIOHTTP = "aiohttp"
    HTTPX = "httpx"


HASTY: Final = RetryPolicy(base_delay=0.001, max_delay=0.002)
"""The usual three attempts, without the usual waits."""


def open_session(where: Gateway | str, transport: Transport = Transport.OWN, **options: Any) -> AsyncOmipay:
    """A session with this gateway, or base URL."""
    base_url = where if isinstance(where, str) else where.base_url
    options.setdefault("retry", HASTY)
    if transport is Transport.AIOHTTP:
        options["transport"] = httpx_aiohttp.AiohttpTransport(verify=options.pop("verify", True))
    elif transport is Transport.HTTPX:
        options["transport"] = httpx.AsyncHTTPTransport(verify=options.pop("verify", True))
    return AsyncOmipay(M_NUMBER, SECRET_KEY, base_url=base_url, **options)


def resolves_to(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Let every name have these addresses."""

    async def resolved(host: str, port: int) -> list[Address]:
        return [Address(socket.AF_INET, address) for address in addresses]

    monkeypatch.setattr(network, "_resolved", resolved)


async def scan(omipay: AsyncOmipay, number: str, timeout: float | None = None) -> object:
    """A money call: the customer pays at the till."""
    return await omipay.make_scan_order(
        order_name="Flat white",
        amount=450,
        currency="AUD",
        out_order_no=number,
        qrcode="134567890",
        pos_no="till-1",
        timeout=timeout,
    )


async def qr(omipay: AsyncOmipay, number: str, timeout: float | None = None) -> object:
    """A money call: an order for the customer to pay."""
    return await omipay.make_qr_order(
        order_name="Flat white",
        amount=450,
        currency="AUD",
        out_order_no=number,
        platform="WECHATPAY",
        timeout=timeout,
    )


async def refund(omipay: AsyncOmipay, number: str, timeout: float | None = None) -> object:
    """A money call: a refund."""
    return await omipay.refund(order_no="OM-1", out_refund_no=number, amount=450, timeout=timeout)


async def query(omipay: AsyncOmipay, number: str, timeout: float | None = None) -> object:
    """A read."""
    return await omipay.query_order(number, timeout=timeout)


MONEY: Final[tuple[Call, ...]] = (scan, qr, refund)


def any_moment(random: Random) -> float:
    """From a tenth of a millisecond to a tenth of a second, each decade as likely, or not at all: whatever the machine,
    some calls are cut short before they are sent, some after, and some are not.
    """
    return 60.0 if random.random() < 0.1 else float(10 ** random.uniform(-4, -1))


async def cancel_task(call: Coroutine[Any, Any, object], moment_s: float) -> bool:
    """Run the call in a task that is cancelled after a moment. Returns whether it had ended before."""
    task = asyncio.ensure_future(call)
    await asyncio.wait([task], timeout=moment_s)
    task.cancel()
    await asyncio.wait([task])
    return not task.cancelled() and task.exception() is None


async def cancel_scope(call: Coroutine[Any, Any, object], moment_s: float) -> bool:
    """Run the call in an anyio cancel scope with a deadline. Returns whether it had ended before."""
    with anyio.move_on_after(moment_s):
        await call
        return True
    return False


async def cancel_timeout(call: Coroutine[Any, Any, object], moment_s: float) -> bool:
    """Run the call in an ``asyncio.timeout``. Returns whether it had ended before."""
    try:
        async with asyncio.timeout(moment_s):
            await call
    except TimeoutError:
        return False
    return True


CANCELS: Final[tuple[Cancel, ...]] = (cancel_task, cancel_scope, cancel_timeout)


class ShiftedClock:
    """The machine's clock, put forward or back by ``ahead_s`` as people do; timers can be hurried by ``skip``."""

    def __init__(self, ahead_s: float = 0.0) -> None:
        self.ahead_s = ahead_s
        self.skipped_s = 0.0

    def time_ms(self) -> int:
        """Milliseconds since the epoch, by a clock that is wrong."""
        return round((time.time() + self.ahead_s) * 1000)

    def monotonic(self) -> float:
        """Seconds, including those that were skipped."""
        return time.monotonic() + self.skipped_s

    async def sleep(self, seconds: float) -> None:
        """Return ``seconds`` later."""
        await asyncio.sleep(seconds)


@contextlib.asynccontextmanager
async def passing(clock: ManualClock, step_s: float = 0.1) -> AsyncIterator[None]:
    """Let time pass on ``clock``, a step each millisecond, while the body waits."""

    async def tick() -> None:
        while True:
            clock.advance(step_s)
            await asyncio.sleep(0.001)

    ticking = asyncio.create_task(tick())
    try:
        yield
    finally:
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)
