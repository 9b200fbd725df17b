"""``omipay``: the command line. A command is first parsed to a ``Job``, which is then performed.

- ``commands`` are what can be asked for, with the ``arguments`` that several of them take. ``parsing`` makes a job of a
  command line, ``runner`` performs it, and ``exit_codes`` says how it ends; ``interrupts`` is what Ctrl-C does.
  ``formatting`` writes values for people and programs.
- The jobs: ``orders`` sends requests, ``books`` lists, resolves and sweeps, ``serve`` is the sandbox and ``demo`` a
  shop on it, ``verify`` explains a notification, and ``doctor`` checks the way to the gateway, with ``notify_check``
  for the way back.
- ``translations`` turns sentences into those of ``chinese``, and the help into that of ``chinese_help``.

This module works without the extra ``cli``, so that it can print what to install.
"""

from __future__ import annotations

import io
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from omipay_async.language import sentence

from .translations import localized

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from omipay_async.session import AsyncOmipay

_EXTRA: Final = ("typer", "rich", "segno", "starlette", "uvicorn", "sqlalchemy", "greenlet", "aiosqlite", "asyncpg")


def main(arguments: Sequence[str] | None = None, *, open_session: Callable[..., AsyncOmipay] | None = None) -> int:
    """Run ``omipay`` with ``arguments`` (None: those of the process) and return the exit code.

    ``open_session(**options)`` makes the session; None: ``AsyncOmipay.from_env``. Tests can give ``Sandbox.session``
    here, which needs no port.
    """
    if not all(map(_is_installed, _EXTRA)):
        needs = sentence("the command line needs: {}", 'pip install "omipay-async[cli]"')
        sys.stderr.write(f"omipay: {localized(needs)}\n")
        return 2
    from .parsing import run

    code = run(sys.argv[1:] if arguments is None else list(arguments), open_session)
    _forget_broken_output()
    return code


def _forget_broken_output() -> None:
    """Python flushes once more when it ends. If that failed, the exit code would be 120, whatever the result was."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        try:
            if stream is not None:  # None if it was closed
                stream.flush()
        except OSError:
            setattr(sys, name, io.StringIO())


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ImportError:
        return False
