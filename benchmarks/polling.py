"""Thousands of polls: how soon a new order is answered among them, and how long closing them blocks the event loop."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from typing import TYPE_CHECKING, Final

from omipay_async import SessionClosed

from . import comparators, server
from .report import Row, Target
from .session import polling

if TYPE_CHECKING:
    from omipay_async import AsyncOmipay

    from .measure import Effort

_GATEWAY_MS: Final = 100
_FIRST_WAIT_S: Final = 1.0


async def new_orders(effort: Effort) -> list[Row]:
    """Seconds from ``first_wait`` to the first status of a new order, while thousands of polls are due at once."""
    rows = []
    for polls in (1_000,) if effort.quick else (3_000, 10_000):
        with server.running(_GATEWAY_MS) as url:
            async with comparators.session(url) as omipay, polling(omipay, polls):
                waited = [await _first_status_s(omipay) for _ in range(effort.of(5, 1))]
        what = f"first answer of a new order after first_wait, {polls:,} polls due, {_GATEWAY_MS} ms gateway"
        rows.append(Row(what, statistics.median(waited), "s", Target(0.5)))
    return rows


async def _first_status_s(omipay: AsyncOmipay) -> float:
    loop = asyncio.get_running_loop()
    answered = loop.create_future()
    began = time.perf_counter()
    number = f"{server.UNPAID}-new-{began}"
    poll = loop.create_task(
        omipay.poll_until_paid(number, first_wait=_FIRST_WAIT_S, timeout=None, on_status=answered.set_result)
    )
    await answered
    waited = time.perf_counter() - began - _FIRST_WAIT_S
    poll.cancel()
    await asyncio.wait([poll])
    return waited


async def closing(effort: Effort) -> list[Row]:
    """The longest time for which closing a session with many polls blocks the event loop."""
    polls = effort.of(100_000, 5_000)
    held = [await _longest_hold_ms(polls) for _ in range(effort.of(3, 1))]
    what = f"closing a session over {polls:,} polls: the longest time that the event loop is held"
    note = "Python's collector of garbage is paused meanwhile: with so many tasks, of anybody, it adds its own time."
    return [Row(what, statistics.median(held), "ms", Target(50), note=note)]


async def _longest_hold_ms(polls: int) -> float:
    gc.disable()
    try:
        return await _watched_closing_ms(polls)
    finally:
        gc.enable()


async def _watched_closing_ms(polls: int) -> float:
    async with comparators.session("http://127.0.0.1:9") as omipay:
        tasks = [
            asyncio.create_task(omipay.poll_until_paid(f"TR{number}", first_wait=600, timeout=900))
            for number in range(polls)
        ]
        await asyncio.sleep(0)
        holds: list[float] = []
        watching = asyncio.create_task(_watch(holds))
        await asyncio.sleep(0)
        await omipay.aclose()
        await asyncio.wait(tasks[-1:])  # only the last of them, because waiting for all would block the loop too
        watching.cancel()
        for task in tasks:
            assert isinstance(task.exception(), SessionClosed)
    return max(holds) * 1000


async def _watch(holds: list[float]) -> None:
    before = time.perf_counter()
    while True:
        await asyncio.sleep(0)
        now = time.perf_counter()
        holds.append(now - before)
        before = now
