"""Runs the tests of a mutant in a copy of the tree, in a fork of a process that has imported what they need."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from multiprocessing import connection
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import pytest

from .measuring import Chosen, Meter, chosen
from .mutants import ROOT, Mutant

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from multiprocessing.process import BaseProcess

_FORK = multiprocessing.get_context("fork")
_COPIED: Final = ("omipay_async", "tests", "pyproject.toml", "README.md")
_HANG: Final = 20  # seconds; no single test needs so long, even on a busy machine
_SHORT_HANG: Final = 10  # for a test that took a moment without the fault
_LONG_S: Final = 0.2  # a test that took so long comes after those that did not
_LIMIT: Final = 400  # seconds for all tests of a mutant
# Packages of others that take long to import. The processes that try mutants are forked after these imports.
_IMPORTED_ONCE: Final = (
    *("aiohttp", "aiosqlite", "anyio", "asyncpg", "attrs", "cattrs", "h11", "httpcore", "httpx", "httpx_aiohttp"),
    *("hypothesis", "pytest_asyncio.plugin", "pytest_httpx", "redis.asyncio", "respx", "sqlalchemy.ext.asyncio"),
    *("starlette.applications", "trio", "trustme", "uvloop"),
)


@attrs.frozen
class Verdict:
    """The result of the tests of a mutant."""

    mutant: Mutant | None
    code: int | None  # of the process
    last: str | None  # the test that ran last, which has found the fault if it did not survive
    seconds: float

    @property
    def survived(self) -> bool:
        return self.code == 0

    @property
    def killer(self) -> str:
        """The test that failed, or how the tests ended."""
        last = self.last or "the import"
        return last if self.code in {0, 1, 2} else f"{last} ended with {self.code}"


class _Plugin:
    """Runs the likeliest and cheapest tests first, and ends the process in which a test hangs."""

    def __init__(self, report: Path, chosen: Chosen, lasted: dict[str, float], *, is_measuring: bool) -> None:
        self._chosen, self._lasted, self._is_measuring = chosen, lasted, is_measuring
        self._report, self._began = report.open("ab", buffering=0), 0.0

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if not self._chosen.others_too:
            # Without the parameters, because their names may differ from run to run.
            functions = {name.partition("[")[0] for name in self._chosen.seconds}
            items[:] = [item for item in items if item.nodeid.partition("[")[0] in functions]
        items.sort(key=self._order)

    def _order(self, item: pytest.Item) -> tuple[bool, bool, bool, float]:
        needs_a_server = ("postgres" in item.nodeid or "redis" in item.nodeid) and "://" not in item.nodeid
        seconds, lasted = self._chosen.seconds.get(item.nodeid), self._lasted.get(item.nodeid, 0.0)
        return seconds is None, needs_a_server, lasted > _LONG_S, seconds or lasted

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._report.write(f"\t{time.monotonic() - self._began:.3f}\n".encode())

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._began = time.monotonic()
        self._report.write(nodeid.encode())
        seconds = self._chosen.seconds.get(nodeid, self._lasted.get(nodeid))
        if self._is_measuring:
            signal.alarm(_LIMIT)  # it takes its time
        else:
            signal.alarm(_HANG if seconds is None else min(_HANG, _SHORT_HANG + round(10 * seconds)))


def _near_and_far(module: str, tests: list[str]) -> tuple[list[str], list[str]]:
    """The files of ``tests``, which may be folders: those that are about a module, and the others."""
    places = [Path(place) for place in tests]
    files = [file for place in places for file in (sorted(place.rglob("test_*.py")) if place.is_dir() else [place])]
    near = [str(file) for file in files if _is_near(module, file)]
    return near, [str(file) for file in files if str(file) not in near]


def _is_near(module: str, tests: Path) -> bool:
    """Whether a file of tests is about a module, by its name (test_sweep is, of sweeping) or by what it imports."""
    if module.strip("_")[:4] in tests.stem:
        return True
    imported = re.compile(rf"^ *from omipay_async\b.*\b{re.escape(module)}\b", re.MULTILINE)
    return imported.search(tests.read_text(encoding="utf-8")) is not None


@attrs.define
class _Run:
    mutant: Mutant | None
    process: BaseProcess
    copy: Path
    original: str  # the text that the mutant replaces
    began: float

    @property
    def age(self) -> float:
        return time.monotonic() - self.began

    @property
    def is_stuck(self) -> bool:
        return self.age > (3 * _LIMIT if self.mutant is None else _LIMIT)


def verdicts(
    todo: Iterable[tuple[Mutant | None, list[str]]], folder: Path, jobs: int, *, measure: bool
) -> Generator[Verdict, None, None]:
    """Run the tests of each, and yield the results as they end. None means the tree without a fault.

    With ``measure`` that tree comes first, and the faults wait until its tests are measured; each is then tried with
    few tests.
    """
    for name in _IMPORTED_ONCE:
        importlib.import_module(name)
    folder.mkdir(mode=0o755)  # PostgreSQL's user must be able to read its data
    waiting, free, running = iter(todo), [_copied(folder / str(job)) for job in range(jobs)], list[_Run]()
    lasted: dict[str, float] = {}
    following = next(waiting, None)
    try:
        while True:
            while free and following and not (measure and following[0] and any(run.mutant is None for run in running)):
                mutant, tests = following
                measured = folder / f"measured-{hash(tuple(tests))}" if measure else None
                running.append(_started(mutant, tests, free.pop(), measured, lasted))
                following = next(waiting, None)
            if not running:
                return
            connection.wait([run.process.sentinel for run in running], timeout=1)
            for run in [run for run in running if not run.process.is_alive() or run.is_stuck]:
                running.remove(run)
                free.append(run.copy)
                yield _ended(run, lasted)
    finally:
        for run in running:
            _ended(run, lasted)


def _copied(copy: Path) -> Path:
    copy.mkdir()
    for name in _COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name)
        else:
            shutil.copy(ROOT / name, copy / name)
    return copy


def _started(
    mutant: Mutant | None, tests: list[str], copy: Path, measured: Path | None, lasted: dict[str, float]
) -> _Run:
    original, tried = "", Chosen()
    if mutant is not None:
        original = (copy / mutant.path).read_text(encoding="utf-8")
        _write(copy / mutant.path, mutant.text)
        tried = chosen(mutant, original, measured)
    (copy / "tmp").mkdir()
    known = {"tried": tried, "measured": measured, "lasted": lasted}
    process = _FORK.Process(target=_tested, args=(copy, tests, mutant), kwargs=known)
    process.start()
    return _Run(mutant, process, copy, original, time.monotonic())


def _write(path: Path, text: str) -> None:
    """With its compiled form deleted: that would be taken for the text's own if they are of one second and one size."""
    path.write_text(text, encoding="utf-8")
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
        compiled.unlink()


def _ended(run: _Run, lasted: dict[str, float]) -> Verdict:
    """End the process and what its tests have left, such as servers, and keep how long each test lasted."""
    seconds, code = run.age, run.process.exitcode
    with contextlib.suppress(ProcessLookupError):
        os.killpg(run.process.pid or 0, signal.SIGKILL)
    run.process.join()
    report = run.copy / "last"
    ran = [line.partition("\t") for line in report.read_text().splitlines()] if report.exists() else []
    report.unlink(missing_ok=True)
    for test, _, took in ran:
        if took:
            lasted[test] = min(float(took), lasted.get(test, _LIMIT))
    shutil.rmtree(run.copy / "tmp", ignore_errors=True)
    if run.mutant is not None:
        _write(run.copy / run.mutant.path, run.original)
    return Verdict(run.mutant, code, ran[-1][0] if ran else None, seconds)


def _tested(
    copy: Path,
    tests: list[str],
    mutant: Mutant | None,
    *,
    tried: Chosen,
    measured: Path | None,
    lasted: dict[str, float],
) -> None:
    """Run, in the new process, the tests with the package of the copy."""
    os.setsid()
    os.chdir(copy)
    os.environ |= {"PYTHONPATH": str(copy), "TMPDIR": str(copy / "tmp"), "PYTHONDONTWRITEBYTECODE": "1", "CI": "true"}
    tempfile.tempdir = None  # this process's parent has looked it up already
    # What is compiled here stays for the next mutant, except the mutant itself, whose compiled form _write deletes.
    sys.dont_write_bytecode = False
    sys.path[:] = [str(copy), *(place for place in sys.path if place not in {"", str(ROOT)})]
    for name in [name for name in sys.modules if name.partition(".")[0] in {"tests", "omipay_async"}]:
        del sys.modules[name]
    output = os.open(copy / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    options = ["-x", "-q", "--tb=short", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    left_out = [test for test in tests if test.startswith("-")]
    places = [test for test in tests if not test.startswith("-")]
    plugins: list[object] = [_Plugin(copy / "last", tried, lasted, is_measuring=mutant is None)]
    if mutant is None and measured is not None:
        plugins.append(Meter(copy / "omipay_async", measured))
    # Most faults are found by the tests that are about their module, and collecting the others takes seconds.
    stages = (places,) if mutant is None else _near_and_far(Path(mutant.path).stem, places)
    for stage in filter(None, stages):
        code = pytest.main([*options, *left_out, *stage], plugins=plugins)
        if code not in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
            os._exit(code)
    os._exit(0)
