"""``python -m benchmarks [--quick] [--json FILE] [PART ...]``: measure, print one table, never fail on a figure."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

from . import books, cost, crowd, imports, polling, session, strangers
from .measure import Effort
from .report import Row, as_json, table

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

PARTS: Final[Mapping[str, Callable[[Effort], Awaitable[list[Row]]]]] = {
    "cost": cost.query_order,
    "cost-tls": cost.query_order_tls,
    "cost-far-away": cost.query_order_far_away,
    "throughput": crowd.throughput,
    "reads": session.concurrent_reads,
    "latency": session.scans_beside_polls,
    "strangers": strangers.own_calls,
    "new-orders": polling.new_orders,
    "closing": polling.closing,
    "memory": session.memory,
    "imports": imports.times,
    "first-answer": imports.first_answer,
    "steps": cost.steps,
    "books": books.money_calls,
}


def main(arguments: list[str] | None = None) -> list[Row]:
    """Run the parts that are named, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of: {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="about 20 seconds; rough figures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there too")
    options = parser.parse_args(arguments)
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    rows: list[Row] = []
    for name in options.parts or PARTS:
        print(f"measuring: {name}", file=sys.stderr, flush=True)
        rows += asyncio.run(_run(name, Effort(quick=options.quick)))
    print(table(rows))
    if options.json is not None:
        options.json.write_text(json.dumps({"machine": machine(), "rows": as_json(rows)}, indent=2), encoding="utf-8")
    return rows


async def _run(name: str, effort: Effort) -> list[Row]:
    return await PARTS[name](effort)


def machine() -> dict[str, str | int | None]:
    """The machine and the versions, which figures depend on."""
    versions = {
        name: metadata.version(name) for name in ("httpx", "httpcore", "aiohttp", "httpx-aiohttp", "attrs", "cattrs")
    }
    return {"python": platform.python_version(), "system": platform.platform(), "cpus": os.cpu_count(), **versions}


def _without_proxies() -> None:
    # Every client uses the proxies of the environment, but the canned server is on this machine.
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        os.environ.pop(name, None)
        os.environ.pop(name.upper(), None)


if __name__ == "__main__":
    _without_proxies()
    main()
