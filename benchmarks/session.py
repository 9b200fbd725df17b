"""One session under load: thousands of reads, a till among thousands of polls, and the memory of a pending poll."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import statistics
import sys
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Final

from . import comparators, server
from .comparators import ORDER_NO
from .measure import cpu_per_call, in_turn, latency_ms, printed_by
from .report import Row, Target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from omipay_async import AsyncOmipay

    from .measure import Effort

_GATEWAY_MS: Final = 30


async def concurrent_reads(effort: Effort) -> list[Row]:
    """CPU per call of many concurrent reads on a default session (20 slots, 30 s), compared with single ones."""
    with server.running() as url:
        async with comparators.session(url) as omipay:

            async def at_once(reads: int) -> float:
                began = time.process_time()
                await asyncio.gather(*(omipay.query_order(ORDER_NO) for _ in range(reads)))
                return (time.process_time() - began) / reads * 1e6

            alone = cpu_per_call(lambda: omipay.query_order(ORDER_NO), effort.of(1_000, 300))
            await alone()
            crowds = (2_000,) if effort.quick else (2_000, 10_000)
            sides = {f"{reads:,}": functools.partial(at_once, reads) for reads in crowds}
            figures = await in_turn({"one by one": alone, **sides}, effort.of(15, 1))
    return [
        Row(
            f"CPU per call, {crowd} concurrent reads / one by one",
            figures.ratio(crowd, "one by one"),
            target=Target(1.2),
            sides=figures.medians() if crowd == "2,000" else {},
            note="No read failed: one that does ends the run." if crowd == "2,000" else "",
        )
        for crowd in sides
    ]


async def scans_beside_polls(effort: Effort) -> list[Row]:
    """How long a till waits for ``make_scan_order`` while 5,000 polls are always due."""
    scans = effort.of(20, 8)
    with server.running(_GATEWAY_MS) as url:
        async with comparators.session(url) as omipay:

            async def median_ms() -> float:
                return statistics.median([await latency_ms(lambda: comparators.scan(omipay)) for _ in range(scans)])

            async def beside_polls() -> float:
                async with polling(omipay, 5_000):
                    return await median_ms()

            await median_ms()
            figures = await in_turn({"no polls": median_ms, "5,000 polls": beside_polls}, effort.of(15, 1))
    what = f"latency of make_scan_order, 5,000 polls waiting / none, {_GATEWAY_MS} ms gateway"
    ratio = figures.ratio("5,000 polls", "no polls")
    return [Row(what, ratio, target=Target(3), sides=figures.medians(), sides_unit="ms")]


@contextlib.asynccontextmanager
async def polling(omipay: AsyncOmipay, polls: int) -> AsyncIterator[None]:
    tasks = [
        asyncio.create_task(omipay.poll_until_paid(f"{server.UNPAID}{number}", first_wait=0, timeout=None))
        for number in range(polls)
    ]
    await asyncio.sleep(0.1)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


# -- memory -----------------------------------------------------------------------------------------------------------


async def memory(effort: Effort) -> list[Row]:
    """Bytes per pending poll, as Python and as the system count them. Each is measured in another process."""
    tasks = effort.of(10_000, 2_000)

    async def weighed(kind: str, how: str) -> float:
        return float(await printed_by("-m", "benchmarks.session", kind, how, str(tasks))) / 1024

    kinds = [(kind, how) for kind in ("poll", "bare task") for how in ("tracemalloc", "RSS")]
    blocks = {f"{kind}, {how}": functools.partial(weighed, kind, how) for kind, how in kinds}
    figures = await in_turn(blocks, effort.of(3, 1))
    measured = figures.median("poll, tracemalloc")
    what = f"memory per pending poll, {tasks:,} pending"
    note = "The poll's own task is counted in. Weights, not times: 3 blocks."
    return [Row(what, measured, "KiB", Target(2.5), figures.medians(), "KiB", note)]


async def _weigh(kind: str, how: str, count: int) -> float:
    async def bare() -> None:
        await asyncio.get_running_loop().create_future()

    def size() -> int:
        gc.collect()
        if how == "tracemalloc":
            return tracemalloc.get_traced_memory()[0]
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096

    async with comparators.session("http://127.0.0.1:9") as omipay:

        def one(number: int) -> Coroutine[object, object, object]:
            return (
                bare()
                if kind == "bare task"
                else omipay.poll_until_paid(f"TR{number:022d}", first_wait=600, timeout=900)
            )

        if how == "tracemalloc":
            tracemalloc.start()
        before = size()
        tasks = [asyncio.create_task(one(number)) for number in range(count)]
        for _ in range(3):
            await asyncio.sleep(0)
        weight = (size() - before) / count
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return weight


if __name__ == "__main__":
    _, kind_, how_, count_ = sys.argv
    print(asyncio.run(_weigh(kind_, how_, int(count_))))
