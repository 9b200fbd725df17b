"""Throughput of many tasks on one client. Each block is a process, which can be ended whatever it is doing.

``python -m benchmarks.crowd SIDE URL TASKS WINDOW_S LIMIT_S`` starts the tasks, waits for WARM answers, counts for
WINDOW_S, prints answers per second and is gone. Where they do not come in LIMIT_S, it prints what one answer would be.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

from . import server
from .comparators import NAIVE, NAIVE_IN_TURN, NAIVE_OVER_A_LIST, NAIVE_OVER_AIOHTTP, OURS, OURS_OVER_AIOHTTP, SIDES
from .measure import Figures, in_turn, printed_by
from .report import Row, Target

if TYPE_CHECKING:
    from .comparators import Ask
    from .measure import Block, Effort

_LIMIT_S: Final = 2.0
_WARM: Final = 200
"""How many answers come before counting begins: every connection is open by then."""


async def throughput(effort: Effort) -> list[Row]:
    """Answers per second with 20, 1,000 and 4,000 tasks. With 20, each task has a connection."""
    few = await _measured(effort, 20, OURS, OURS_OVER_AIOHTTP, NAIVE, NAIVE_OVER_A_LIST, NAIVE_OVER_AIOHTTP)
    many = await _measured(effort, 4_000, OURS, NAIVE, NAIVE_IN_TURN, NAIVE_OVER_A_LIST)
    over_aiohttp = await _measured(effort, 1_000, OURS_OVER_AIOHTTP, NAIVE, NAIVE_IN_TURN, NAIVE_OVER_AIOHTTP)
    return [
        *_rows("20 tasks", few, OURS, 7),
        *_rows("4,000 tasks over 100 connections", many, OURS, 8),
        *_rows("20 tasks", few, OURS_OVER_AIOHTTP, 5),
        *_rows("1,000 tasks over 100 connections", over_aiohttp, OURS_OVER_AIOHTTP, 10),
    ]


def _rows(what: str, figures: Figures, side: str, target: float) -> list[Row]:
    name = f"throughput, {what}, {'own transport' if side == OURS else 'AiohttpTransport'}"
    stuck = sum(rate <= 1 / _LIMIT_S for rate in figures.of[NAIVE])
    note = (
        f"In {stuck} of {len(figures.of[NAIVE])} blocks naive httpx answered nothing within {_LIMIT_S:g} s and was "
        "ended: counted as one answer, so the ratio is a lower bound."
    )
    sides = {each: rate for each, rate in figures.medians().items() if not each.startswith("omipay") or each == side}
    limit = Target(target, at_least=True)
    rows = [Row(f"{name} / naive httpx", figures.ratio(side, NAIVE), "x", limit, sides, "1/s", note if stuck else "")]
    if NAIVE_IN_TURN in figures.of:
        help_ = "Somebody who met that puts a semaphore of 100 before it."
        rows.append(Row(f"{name} / the same, semaphore", figures.ratio(side, NAIVE_IN_TURN), note=help_))
    return rows


async def _measured(effort: Effort, tasks: int, *sides: str) -> Figures:
    def block(side: str, url: str) -> Block:
        async def run() -> float:
            words = (side, url, str(tasks), str(effort.of(15, 3) / 10), str(_LIMIT_S))
            return float(await printed_by("-m", "benchmarks.crowd", *words))

        return run

    with server.running() as url:
        return await in_turn({side: block(side, url) for side in sides}, effort.of(15, 1))


class Counter:
    """Counts the answers. A thread ends the measurement, because the event loop of a stuck client would not."""

    def __init__(self, window_s: float, limit_s: float) -> None:
        self.answers = 0
        self._window_s = window_s
        self._limit_s = limit_s

    def watch(self) -> None:
        """Print the rate and end the process."""
        print(self._rate(), flush=True)
        os._exit(0)

    def _rate(self) -> float:
        limit = time.perf_counter() + self._limit_s
        while self.answers < _WARM:
            if time.perf_counter() > limit:
                return max(1, self.answers) / self._limit_s
            time.sleep(0.01)
        began, before = time.perf_counter(), self.answers
        time.sleep(self._window_s)
        return (self.answers - before) / (time.perf_counter() - began)


async def _crowd(side: str, url: str, tasks: int, counter: Counter) -> None:
    async def one(ask: Ask) -> None:
        while True:
            await ask()
            counter.answers += 1

    async with SIDES[side](url) as ask:
        threading.Thread(target=counter.watch, daemon=True).start()
        await asyncio.gather(*(one(ask) for _ in range(tasks)))


if __name__ == "__main__":
    _, side_, url_, tasks_, window_, limit_ = sys.argv
    asyncio.run(_crowd(side_, url_, int(tasks_), Counter(float(window_), float(limit_))))
