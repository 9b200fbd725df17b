"""``python -m tests.mutation``: put small faults into the package, one by one, and count those that no test notices.

At the end the tests that have found them run without any fault, and must pass.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import sys
import tempfile
import time
import tomllib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .mutants import ROOT, Mutant, count, files, mutant
from .running import Verdict, verdicts

if TYPE_CHECKING:
    from collections.abc import Iterator

# Which tests belong to a sub-package: those in its folder, without the long ones, and those beside the folders that
# show what it is for.
_TESTS: Final = {
    "calls": [
        "tests/calls",
        "tests/protocol/test_endpoints_wire.py",
        "tests/protocol/test_validation.py",
        "tests/transport/test_deadlines.py",
        "tests/test_session.py",
        "tests/test_errors.py",
        "tests/test_events.py",
    ],
    "transport": [
        "tests/transport",
        "tests/test_clock.py",
        "tests/test_config.py",
        "tests/test_environment.py",
        "tests/test_aiohttp.py",
        "tests/calls/test_slow_journals.py",
    ],
    "protocol": [
        "tests/protocol",
        "tests/test_errors.py",
        "tests/test_codes.py",
        "tests/polling/test_another_sale.py",
        "tests/test_times.py",
        "tests/test_secrets.py",
        "tests/test_secrets_in_frames.py",
    ],
    "polling": ["tests/polling", "tests/test_session.py", "tests/test_events.py", "tests/test_public_api.py"],
    "fulfilment": [
        "tests/fulfilment",
        "tests/protocol/test_notifications.py",
        "tests/test_asgi.py",
        "tests/test_events.py",
        "tests/test_public_api.py",
        "tests/test_secrets_in_frames.py",
    ],
    "sql": ["tests/sql", "tests/test_public_api.py"],
    "composition": [
        "tests/test_session.py",
        "tests/test_public_api.py",
        "tests/test_config.py",
        "tests/test_environment.py",
        "tests/test_aiohttp.py",
        "tests/test_attacks.py",
        "tests/calls",
        "tests/polling",
        "tests/fulfilment/test_confirmed_journal.py",
        "tests/fulfilment/test_handlers.py",
        "tests/fulfilment/test_receiver.py",
        "tests/fulfilment/test_receiver_backends.py",
        "tests/fulfilment/test_shared_memory.py",
        "tests/transport/test_client.py",
        "tests/transport/test_lifecycle.py",
        "tests/transport/test_slots.py",
    ],
    "asgi": [
        "tests/test_asgi.py",
        "tests/test_fastapi.py",
        "tests/test_web_adapters.py",
        "tests/test_aiohttp.py",
        "tests/test_public_api.py",
        "tests/test_structure.py",
    ],
    "answers": ["tests/fulfilment", "tests/calls"],
    "clock": [
        "tests/test_clock.py",
        "tests/polling",
        "tests/fulfilment",
        "tests/calls",
        "tests/testing",
        "tests/sql/test_held_clock.py",
    ],
    "config": [
        "tests/test_config.py",
        "tests/test_environment.py",
        "tests/test_session.py",
        "tests/test_secrets_in_frames.py",
        "tests/calls",
    ],
    "options": ["tests/test_config.py", "tests/test_fastapi.py", "tests/calls", "tests/fulfilment", "tests/sql"],
    "text": [
        "tests/test_foreign_text.py",
        "tests/test_secrets.py",
        "tests/test_secrets_in_frames.py",
        "tests/test_errors.py",
        "tests/protocol",
        "tests/transport/test_proxies.py",
    ],
}
_CORE: Final = ["calls", "transport", "protocol", "polling", "fulfilment", "sql"]
_LONG: Final = (
    # The first seeds are enough.
    *(
        f"tests/fulfilment/test_guard_interleavings.py::test_the_handler_is_guarded_whatever_goes_wrong[seeds {n}"
        for n in range(1, 10)
    ),
    "tests/fulfilment/test_guard_interleavings.py::test_the_handler_is_guarded_wherever_one_thing_goes_wrong[crowd]",
    "tests/fulfilment/test_guard_interleavings.py::test_the_handler_is_guarded_wherever_one_thing_goes_wrong[long]",
    "tests/fulfilment/test_processes.py",
    "tests/fulfilment/test_redis",  # of omipay_async/redis
    "tests/polling/test_polling_many.py::test_ten_thousand_polls",
    "tests/protocol/test_fuzz.py",
    "tests/sql/test_kill.py",
    "tests/sql/test_failures.py",  # depends on real time, and may fail on a busy machine
    "tests/transport/test_cancel.py",
    "tests/transport/test_instants.py",
    "tests/transport/test_slots.py::test_burst",
    "tests/transport/test_storm.py",
)


def main() -> int:
    """Run the faults, and return the exit code: 1 if more survived than may."""
    options = _options()
    os.environ["CI"] = "true"
    equivalent = _equivalent()
    chosen = [_named(name) for name in options.mutant] or _sample(
        options.package or _CORE, options.file, options.seed, options.number
    )
    todo = [one for one in chosen if (one.path, one.was, one.now) not in equivalent]
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        Path(folder).chmod(0o755)  # as its folders are
        killed, survived = _run(todo, Path(folder), options)
    spared = len(chosen) - len(todo)
    print(f"{len(chosen)} mutants: {killed} killed, {survived} survived, {spared} equivalent")
    return 1 if survived > options.may_survive else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument(
        "--package", action="append", choices=list(_TESTS), help="only of this sub-package; may be repeated"
    )
    parser.add_argument("--file", action="append", default=[], help="only whose path has this in it; may be repeated")
    parser.add_argument("--number", type=int, default=100, help="how many mutants, drawn at random")
    parser.add_argument("--seed", type=int, default=1, help="of the draw")
    parser.add_argument("--jobs", type=int, default=2, help="how many processes")
    parser.add_argument("--may-survive", type=int, default=0, help="how many may survive")
    parser.add_argument("--minutes", type=float, default=24 * 60, help="how long, at most")
    parser.add_argument("--mutant", action="append", default=[], help="only this one, as it is printed: path#number")
    parser.add_argument(
        "--measure", action="store_true", help="first measure which tests execute what: worth it for a large sample"
    )
    parser.add_argument("--verbose", action="store_true", help="also print what was killed, and by which test")
    return parser.parse_args()


def _equivalent() -> set[tuple[str, str, str]]:
    listed = tomllib.loads((ROOT / "tests/mutation/equivalent.toml").read_text(encoding="utf-8"))
    return {(path, one["was"], one["now"]) for path, found in listed.items() for one in found}


def _named(name: str) -> Mutant:
    path, _, number = name.partition("#")
    return mutant(path, int(number))


def _sample(packages: list[str], parts: list[str], seed: int, number: int) -> list[Mutant]:
    paths = [
        path for package in packages for path in files(package) if not parts or any(part in path for part in parts)
    ]
    every = [(path, n) for path in paths for n in range(count(path))]
    drawn = random.Random(seed).sample(every, min(number, len(every)))
    print(f"{len(drawn)} of {len(every)} mutants of {', '.join(packages)}", flush=True)
    return [mutant(path, n) for path, n in drawn]


def _run(todo: list[Mutant], folder: Path, options: argparse.Namespace) -> tuple[int, int]:
    """Count the faults that were found and that survived."""
    packages = sorted({_package(one) for one in todo})
    began, scores = time.monotonic(), Counter[tuple[str, bool]]()
    killers = {package: set[str]() for package in packages}
    plain = [(None, _tests(package)) for package in packages if options.measure]
    # The faults whose tests take longest come first, so that no process is left with one of them at the end.
    longest_first = sorted(todo, key=lambda one: _package(one) != "sql")
    faulty = [(one, _tests(_package(one))) for one in longest_first]
    found = verdicts([*plain, *faulty], folder / "faults", options.jobs, measure=options.measure)
    with contextlib.closing(found):
        for verdict in found:
            if verdict.mutant is None:
                _check_plain(verdict)
                continue
            package = _package(verdict.mutant)
            scores[package, verdict.survived] += 1
            if not verdict.survived and verdict.last:
                killers[package].add(verdict.last.partition("[")[0])
            print("".join(_lines_of(verdict.mutant, verdict, verbose=options.verbose)), end="", flush=True)
            if time.monotonic() - began > 60 * options.minutes:
                print(f"{options.minutes:g} minutes are over: the rest is left out.")
                break
    # A fault was found only if what has found it, or the import of all tests, passes without it.
    plain = [(None, sorted(killers[package]) or _tests(package)) for package in packages]
    for verdict in verdicts(plain, folder / "plain", options.jobs, measure=False):
        _check_plain(verdict)
    for package in packages:
        killed, survived = scores[package, False], scores[package, True]
        print(f"{package}: {killed} killed, {survived} survived, {killed / max(1, killed + survived):.1%}")
    print(f"{time.monotonic() - began:.0f} s")
    count_of = Counter[bool]()
    for (_, survived), n in scores.items():
        count_of[survived] += n
    return count_of[False], count_of[True]


def _check_plain(verdict: Verdict) -> None:
    if not verdict.survived:
        sys.exit(f"Without any fault, {verdict.killer} fails.")


def _lines_of(one: Mutant, verdict: Verdict, *, verbose: bool) -> Iterator[str]:
    if verdict.survived:
        yield f"SURVIVED {one.name}, line {one.line} ({verdict.seconds:.0f} s)\n    - {one.was}\n    + {one.now}\n"
    elif verbose:
        yield f"killed {one.name}, line {one.line} ({verdict.seconds:.0f} s) by {verdict.killer}\n"
        yield f"    - {one.was}\n    + {one.now}\n"


def _package(one: Mutant) -> str:
    return Path(one.path).parts[1].removesuffix(".py")


def _tests(package: str) -> list[str]:
    return [*_TESTS[package], *(f"--deselect={test}" for test in _LONG)]


if __name__ == "__main__":
    sys.exit(main())
