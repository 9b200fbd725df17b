"""How figures are measured: blocks of all sides take turns, and the median over the blocks counts.

Only figures that were taken side by side are compared: what slows the machine down then slows both. So a ratio is
taken within each block, and the median of these ratios counts.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    Block = Callable[[], Awaitable[float]]
    """Measures one block of one side."""


@attrs.frozen
class Effort:
    """How long to measure. ``--quick`` only shows that everything runs: its figures are rough."""

    quick: bool = False

    def of(self, full: int, quick: int) -> int:
        """How many blocks, calls or tasks."""
        return quick if self.quick else full


@attrs.frozen
class Figures:
    """One figure of each side for each block."""

    of: Mapping[str, list[float]]

    def median(self, side: str) -> float:
        """The side's own median."""
        return statistics.median(self.of[side])

    def ratio(self, side: str, to: str) -> float:
        """The median over the blocks of the ratio of ``side`` to ``to``."""
        return statistics.median(mine / other for mine, other in zip(self.of[side], self.of[to], strict=True))

    def medians(self) -> dict[str, float]:
        """The median of every side."""
        return {side: self.median(side) for side in self.of}


async def in_turn(sides: Mapping[str, Block], blocks: int) -> Figures:
    """Measure ``blocks`` blocks of every side; each round begins with another side."""
    figures: dict[str, list[float]] = {side: [] for side in sides}
    order = list(sides)
    for block in range(blocks):
        first = block % len(order)
        for side in order[first:] + order[:first]:
            figures[side].append(await sides[side]())
    return Figures(figures)


async def printed_by(*arguments: str, **environment: str) -> str:
    """The output of another Python process that is started with ``arguments``."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, env={**os.environ, **environment}
    )
    printed, _ = await process.communicate()
    return printed.decode()


async def latency_ms(ask: Callable[[], Awaitable[object]]) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    await ask()
    return (time.perf_counter() - began) * 1000


def cpu_per_call(ask: Callable[[], Awaitable[object]], calls: int) -> Block:
    """A block that makes ``calls`` one after the other: the microseconds of this process's CPU time for each."""

    async def block() -> float:
        began = time.process_time()
        for _ in range(calls):
            await ask()
        return (time.process_time() - began) / calls * 1e6

    return block
