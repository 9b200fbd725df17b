"""Parses a command line to a job, or to one that reports what is wrong with it, and performs it."""

from __future__ import annotations

import io
import re
import sys
from typing import TYPE_CHECKING, Any, Final

import typer

from omipay_async.errors import InvalidRequest
from omipay_async.language import Sentence, sentence

from . import exit_codes
from .commands import app
from .runner import complain, failing, perform
from .translations import localize_help

if TYPE_CHECKING:
    from collections.abc import Callable

    from omipay_async.session import AsyncOmipay

# The class of every usage error, whose name differs between versions of Typer.
_UsageError: Final[Any] = typer.BadParameter.__bases__[0]

_USAGE_ERRORS: Final = tuple(
    (known, re.compile(re.escape(known.template).replace(r"\{\}", "(.+)")))
    for known in (
        sentence("Invalid value for {}:"),
        sentence("Missing argument {}."),
        sentence("No such command {}."),
        sentence("No such command {}. Did you mean {}?"),
        sentence("No such option: {} (Possible options: {})"),
        sentence("No such option: {}"),
        sentence("Option {} requires an argument."),
        sentence("Got unexpected extra argument(s) ({})"),
    )
)
"""What Typer says of the usual mistakes, and a pattern for each. Its other messages are printed in English."""
_A_TUPLE: Final = re.compile(r"\('(\(.+\))',\)")
"""How Typer 0.26.0 prints its suggestions."""


def run(arguments: list[str], open_session: Callable[..., AsyncOmipay] | None) -> int:
    """Parse the command line, perform its job, and return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # for a terminal that cannot show Chinese
    if sys.stdin is None:  # it was closed
        sys.stdin = io.StringIO()
    try:
        job = localize_help(typer.main.get_command(app)).main(arguments, prog_name="omipay", standalone_mode=False)
    except _UsageError as error:
        message = _message_of(error)
        path = error.ctx.command_path if error.ctx else "omipay"
        wrong = InvalidRequest(sentence("{} (see {} --help)", message, path))
        move = exit_codes.MOVES.get(path.rpartition(" ")[2])
        job = failing(wrong, json="--json" in arguments, move=move)
    except OSError as error:  # the help, or the version, could not be printed
        complain(f"{type(error).__name__}: {error}")
        return int(exit_codes.Exit.NO_ANSWER)
    if isinstance(job, int):  # --help, --version
        return job
    return int(perform(job, open_session or _from_env))


def _message_of(error: Any) -> str:
    """The message of a usage error. It is translated when it is printed, and not in JSON."""
    whole, own = error.format_message(), error.message
    if isinstance(own, Sentence) and whole.endswith(own):
        return sentence("{} {}", _sentence_of(whole.removesuffix(own)), own)
    return _sentence_of(whole)


def _sentence_of(words: str) -> str:
    """What Typer says as one of the ``Sentence``s above; as it is if it is none of them."""
    line = _A_TUPLE.sub(r"\1", " ".join(words.split()))
    for known, pattern in _USAGE_ERRORS:
        if found := pattern.fullmatch(line):
            return known.filled(*found.groups())
    return line


def _from_env(**options: Any) -> AsyncOmipay:
    from omipay_async.session import AsyncOmipay

    return AsyncOmipay.from_env(**options)
