"""Runs the programs of a guide as a reader would: saved under their names, as processes, against a served sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

from omipay_async.sandbox import Sandbox
from tests.support.markdown import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

TIME_LIMIT_S: Final = 60.0


class Program:
    """One process, whose output is read as it comes: a pipe that nobody reads would stop it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reading = asyncio.create_task(self._read())
        self._news = asyncio.Event()

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode())
            self._news.set()

    async def until(self, words: str) -> None:
        """Return once it has said these words."""
        async with asyncio.timeout(TIME_LIMIT_S):
            while not any(words in line for line in self.lines):
                if self._reading.done():
                    message = f"the program ended without saying {words!r}:\n{''.join(self.lines)}"
                    raise AssertionError(message)
                self._news.clear()
                await asyncio.wait(
                    {self._reading, waiting := asyncio.create_task(self._news.wait())}, return_when="FIRST_COMPLETED"
                )
                waiting.cancel()

    async def type(self, text: str) -> None:
        """Type a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n".encode())
        await self.process.stdin.drain()

    def close_input(self) -> None:
        """Type nothing more."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    async def end(self) -> str:
        """Everything that it said, once it has ended."""
        async with asyncio.timeout(TIME_LIMIT_S):
            await self._reading
            await self.process.wait()
        return "".join(self.lines)


@contextlib.asynccontextmanager
async def running(
    folder: Path, *command: str, python: str = sys.executable, **environment: str
) -> AsyncIterator[Program]:
    """A Python program in ``folder``, with the processes that it starts, for as long as it is needed."""
    # What it leaves in the temporary folder when it is killed is removed with ``folder``.
    own = {"PYTHONPATH": f"{ROOT}{os.pathsep}{folder}", "PYTHONIOENCODING": "utf-8", "TMPDIR": str(folder)}
    process = await asyncio.create_subprocess_exec(
        python,
        "-u",
        *command,
        cwd=folder,
        env={**os.environ, **own, **environment},
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


def hurry(program: Path, *changes: tuple[str, str]) -> None:
    """Change a saved program's pauses, so that nobody waits for them: each as it is printed, and as it is to be."""
    text = program.read_text(encoding="utf-8")
    for printed, shorter in changes:
        assert printed in text, f"{program.name} does not say {printed!r} any more"
        text = text.replace(printed, shorter)
    program.write_text(text, encoding="utf-8")


def needs(package: str) -> pytest.MarkDecorator:
    """Skip, with a sentence, where a package that the extra ``dev`` does not bring is not installed."""
    return pytest.mark.needs(package)


async def eventually(look: Callable[[], Any], timeout: float = TIME_LIMIT_S) -> Any:
    """What ``look`` returns once it is true."""
    async with asyncio.timeout(timeout):
        while not (seen := look()):  # what is looked at belongs to other processes
            await asyncio.sleep(0.02)
    return seen


@contextlib.asynccontextmanager
async def time_passes(database: Path) -> AsyncIterator[None]:
    """Let every order that a sweep is still to ask about be due now, again each second."""

    async def pass_time() -> None:
        while True:
            # On a busy machine others may have the database for longer than SQLite waits: it is tried again.
            with contextlib.suppress(sqlite3.OperationalError), contextlib.closing(sqlite3.connect(database)) as db:
                db.execute("UPDATE omipay_order SET due_at = made_at WHERE due_at IS NOT NULL")
                db.commit()
            await asyncio.sleep(1)

    passing = asyncio.create_task(pass_time())
    try:
        yield
    finally:
        passing.cancel()
