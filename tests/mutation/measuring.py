"""Measures the tests of the tree without a fault: what each one executes, and how long it takes.

So a changed function is tried only with the tests that execute it, the shortest ones first, and most faults are found
in a moment.
"""

from __future__ import annotations

import ast
import functools
import json
import sys
import time
from typing import TYPE_CHECKING, Any

import attrs
import coverage

if TYPE_CHECKING:
    from pathlib import Path

    from .mutants import Mutant


class Meter:
    """The plugin of pytest that measures, and writes what it found into a file."""

    def __init__(self, package: Path, measured: Path) -> None:
        self._measured, self._seconds = measured, dict[str, float]()
        self._coverage = coverage.Coverage(data_file=None, config_file=False, source=[str(package)])
        self._coverage.start()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._coverage.switch_context(nodeid)
        self._seconds[nodeid] = -time.monotonic()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._seconds[nodeid] += time.monotonic()
        self._coverage.switch_context("")

    def pytest_sessionfinish(self) -> None:
        self._coverage.stop()
        data = self._coverage.get_data()
        lines = {name: data.contexts_by_lineno(name) for name in data.measured_files()}
        unfinished = self._measured.with_suffix(".unfinished")
        unfinished.write_text(json.dumps({"seconds": self._seconds, "lines": lines}), encoding="utf-8")
        unfinished.rename(self._measured)


@attrs.frozen
class Chosen:
    """The tests of a mutant."""

    seconds: dict[str, float] = attrs.field(factory=dict)
    """The tests that execute the function that the mutant changes, or the module, and how long each took."""
    others_too: bool = True
    """Whether other tests may notice the fault: it is not in a function, or nothing is known of the function."""


def chosen(mutant: Mutant, original: str, measured: Path | None) -> Chosen:
    """The tests that can notice the fault, as far as it is measured."""
    if measured is None or not measured.exists():
        return Chosen()
    found = _loaded(measured)
    around = _function(ast.parse(original), mutant.line)
    first, last = around or (0, sys.maxsize)
    lines: dict[str, list[str]] = next((one for name, one in found["lines"].items() if name.endswith(mutant.path)), {})
    tests = {test for line, tests in lines.items() if first <= int(line) <= last for test in tests if test}
    return Chosen({test: found["seconds"][test] for test in tests}, others_too=around is None or not tests)


@functools.cache
def _loaded(measured: Path) -> Any:
    return json.loads(measured.read_text(encoding="utf-8"))


def _function(tree: ast.AST, line: int) -> tuple[int, int] | None:
    """The first and the last line of the body of the innermost function around a line, if it is in the body of one."""
    around = [
        (node.body[0].lineno, node.end_lineno or 0)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body[0].lineno <= line <= (node.end_lineno or 0)
    ]
    return max(around, default=None)
