"""Runs the programs of a guide as a reader would: saved under their names, as processes, against a served sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

from omipay_async.sandbox import Sandbox
from tests.support.markdown import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

PATIENCE_S: Final = 60.0


class Program:
    """One process, whose output is read line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def until(self, words: str) -> str:
        """The first line that contains these words."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            while line := (await self.process.stdout.readline()).decode():
                self.lines.append(line)
                if words in line:
                    return line
        message = f"the program ended without saying {words!r}:\n{''.join(self.lines)}"
        raise AssertionError(message)

    async def type(self, text: str) -> None:
        """Type a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n".encode())
        await self.process.stdin.drain()

    async def end(self) -> str:
        """Everything that it said, once it has ended."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            self.lines.append((await self.process.stdout.read()).decode())
            await self.process.wait()
        return "".join(self.lines)


@contextlib.asynccontextmanager
async def running(
    folder: Path, *command: str, python: str = sys.executable, **environment: str
) -> AsyncIterator[Program]:
    """A Python program in ``folder``, with the processes that it starts, for as long as it is needed."""
    process = await asyncio.create_subprocess_exec(
        python,
        "-u",
        *command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}", "PYTHONIOENCODING": "utf-8", **environment},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    program = Program(process)
    try:
        yield program
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await program.end()


@contextlib.asynccontextmanager
async def served() -> AsyncIterator[tuple[Sandbox, dict[str, str]]]:
    """A sandbox with a port, and the environment that ``AsyncOmipay.from_env()`` reads to find it."""
    async with Sandbox(seed=1) as sandbox, sandbox.serve() as base_url:
        yield (
            sandbox,
            {
                "OMIPAY_M_NUMBER": sandbox.merchant.m_number,
                "OMIPAY_SECRET_KEY": sandbox.merchant.secret_key,
                "OMIPAY_BASE_URL": base_url,
            },
        )


def needs(module: str) -> pytest.MarkDecorator:
    """Skip, with a sentence, where an engine of the guides is not installed; in CI every one is."""
    missing = importlib.util.find_spec(module) is None and not os.environ.get("CI")
    return pytest.mark.skipif(missing, reason=f"{module} is not installed: pip install -e '.[dev-workers]'")


async def eventually(look: Callable[[], Any], patience: float = PATIENCE_S) -> Any:
    """What ``look`` returns once it is true."""
    async with asyncio.timeout(patience):
        while not (seen := look()):  # noqa: ASYNC110 - what is looked at belongs to other processes
            await asyncio.sleep(0.02)
    return seen
