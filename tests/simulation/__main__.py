"""``python -m tests.simulation --seeds 100000`` runs many worlds; ``--seed 4711`` prints the trace of one."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

from .breaks import BREAKS, broken
from .world import Result, run

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 20


def main() -> int:
    """Run the worlds, and return the exit code: 1 if a rule was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many worlds")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--seed", type=int, help="live through this world alone, and print all that happens")
    parser.add_argument("--jobs", type=int, default=1, help="how many processes")
    parser.add_argument("--break", dest="rule", choices=sorted(BREAKS), help="break this rule of the library")
    parser.add_argument("--go-on", action="store_true", help="do not end with the first broken promise")
    options = parser.parse_args()
    if options.seed is not None:
        result = _one(options.seed, options.rule)
        print("\n".join(result.trace))
        print(f"seed {result.seed}: {result.violation or 'nothing was broken'}; {result.facts}")
        return 1 if result.violation else 0
    return _many(range(options.first, options.first + options.seeds), options)


def _many(seeds: range, options: argparse.Namespace) -> int:
    facts: Counter[str] = Counter()
    began, found, done = time.monotonic(), 0, 0
    for result in _results(seeds, options.rule, options.jobs):
        done += 1
        facts.update(result.facts)
        if result.violation:
            found += 1
            print(f"seed {result.seed}, step {result.steps}: {result.violation}", flush=True)
            if not options.go_on:
                break
        if done % 1000 == 0:
            print(f"{done} worlds, {time.monotonic() - began:.0f} s", flush=True)
    print(f"{done} worlds in {time.monotonic() - began:.0f} s, {found} with a broken promise; {dict(facts)}")
    return 1 if found else 0


def _results(seeds: range, rule: str | None, jobs: int) -> Iterator[Result]:
    if jobs == 1:
        yield from (_one(seed, rule) for seed in seeds)
        return
    with ProcessPoolExecutor(jobs) as pool:
        try:
            yield from pool.map(_one, seeds, [rule] * len(seeds), chunksize=_CHUNK)
        finally:
            pool.shutdown(cancel_futures=True)


def _one(seed: int, rule: str | None) -> Result:
    with broken(rule):
        return run(seed)


if __name__ == "__main__":
    sys.exit(main())
