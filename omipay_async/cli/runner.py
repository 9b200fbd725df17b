"""Performs a job: opens its session, prints its results, and returns its exit code.

Results go to standard output, with ``--json`` as one JSON object a line. Errors and questions go to standard error. A
job runs outside of Typer, and questions are asked outside of the event loop, since both handle Ctrl-C themselves.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import attrs
import typer

from omipay_async.codes import Safety
from omipay_async.errors import ConfigurationError, InvalidRequest, OmipayError, Outcome
from omipay_async.language import sentence

from . import exit_codes
from .exit_codes import Exit
from .formatting import as_json, as_lines, escaped, plain
from .interrupts import ctrl_c_ignored, run_until_interrupted
from .translations import localized

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from omipay_async.events import Event
    from omipay_async.session import AsyncOmipay

T = TypeVar("T")


@attrs.frozen
class Job:
    """The work that a command line asks for."""

    work: Callable[[Run], Exit | None]
    json: bool = False
    move: exit_codes.MoneyMove | None = None
    """Set if the command moves money."""


@attrs.define
class Run:
    """One job that is being performed."""

    open_session: Callable[..., AsyncOmipay]
    json: bool = False
    order_no: str | None = None
    """The number of the order that this run has made."""
    has_begun: bool = False
    """Whether the session was asked to do something: from then on a request may have been sent."""
    call: Event | None = None
    """The event of this run's money call. That there is none does not prove that nothing was sent."""
    _typed_key: str | None = attrs.field(default=None, repr=False)

    # -- the gateway ------------------------------------------------------------------------------------------------

    def ask(self, work: Callable[[AsyncOmipay], Awaitable[T]]) -> T:
        """Run ``work`` with an open session, and return its result."""
        self.secret_key()  # here, since Ctrl-C would not reach a prompt inside the event loop
        options = {} if self._typed_key is None else {"secret_key": self._typed_key}

        async def with_session() -> T:
            async with self.open_session(on_event=self._note, **options) as omipay:
                self.has_begun = True
                return await work(omipay)

        return run_until_interrupted(with_session)

    def _note(self, event: Event) -> None:
        if event.name == "call" and event.safety is Safety.MONEY:
            self.call = event

    def secret_key(self) -> str:
        """The key of the environment, or what is typed at a hidden prompt; empty if there is neither.

        The prompt appears only if the merchant's number is set: otherwise the missing variables are reported.
        """
        key = os.environ.get("OMIPAY_SECRET_KEY", "").strip() or self._typed_key or ""
        m_number = os.environ.get("OMIPAY_M_NUMBER", "").strip()
        if not key and m_number and is_interactive():
            key = self._typed_key = hidden(sentence("Secret key of merchant {}", m_number))
        return key

    # -- output -----------------------------------------------------------------------------------------------------

    def show(self, document: Mapping[str, Any], *lines: str) -> None:
        """Print a result: with ``--json`` ``document``, else ``lines``, or the document's fields without ``lines``."""
        if self.json:
            typer.echo(as_json(document))
        else:
            for line in lines or as_lines(document):
                self.say(line)
        if sys.stdout is not None:  # None if it was closed: then nothing is printed, and the exit code tells the result
            sys.stdout.flush()

    def say(self, line: str) -> None:
        """Print a line that is only for people."""
        if not self.json:
            typer.echo("\n".join(map(escaped, localized(line).split("\n"))))

    def draw(self, drawing: str) -> None:
        """Print what was made for a terminal, with its colours, for people."""
        if not self.json:
            typer.echo(drawing)

    @contextlib.contextmanager
    def progress(self, waits_for: str) -> Iterator[Callable[[str], None]]:
        """Show a line with the time waited and the status; yields a function that changes the status.

        Without a terminal each change is a line of its own; with ``--json`` nothing is shown.
        """
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        console, waits_for = Console(), plain(waits_for)
        if self.json or not console.is_terminal:
            yield lambda status: self.say(f"{waits_for}: {plain(status)}")
            return
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            line = bar.add_task(waits_for)
            yield lambda status: bar.update(line, description=f"{waits_for}: {plain(status)}")

    def confirm(self, question: str, *, yes: bool) -> None:
        """Return if ``yes`` is set, or if a person at a terminal confirms.

        Raises:
            InvalidRequest: otherwise; nothing was sent.
        """
        if yes:
            return
        if not is_interactive():
            raise InvalidRequest(sentence("this moves money: --yes is required where standard input is not a terminal"))
        sys.stderr.write(f"{plain(localized(question))} [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline(100).strip().lower() not in {"y", "yes"}:
            raise InvalidRequest(sentence("not confirmed: nothing was sent"))


def is_interactive() -> bool:
    """Whether standard input is a terminal, at which a person can answer."""
    return sys.stdin is not None and sys.stdin.isatty()


def hidden(prompt: str) -> str:
    """Read a line from the terminal without showing it.

    Raises:
        ConfigurationError: the input has ended.
    """
    try:
        return getpass.getpass(f"{plain(localized(sentence('{}: {}', prompt, '')))} ").strip()
    except EOFError:
        message = sentence("{} is required", prompt)
    raise ConfigurationError(message)


def complain(line: str) -> None:
    """Print one line on standard error. If it cannot be printed there, the exit code tells the result."""
    with contextlib.suppress(OSError):
        typer.echo(f"omipay: {escaped(localized(line))}", err=True)


# -- performing a job -------------------------------------------------------------------------------------------------


def failing(error: OmipayError, *, json: bool, move: exit_codes.MoneyMove | None) -> Job:
    """The job of a command line that is wrong: it ends with ``error``."""

    def fail(_: Run) -> NoReturn:
        raise error

    return Job(fail, json, move)


def perform(job: Job, open_session: Callable[..., AsyncOmipay]) -> Exit:
    """Perform a job, print an error if there is one, and return the exit code. It raises nothing."""
    run = Run(open_session, json=job.json)
    try:
        return job.work(run) or Exit.DONE
    except KeyboardInterrupt:
        line = exit_codes.interruption(job.move, run.call, has_begun=run.has_begun)
        return _fail(run, line, _ended_early(run, "Interrupted", line, _known_of(job, run), Exit.INTERRUPTED))
    except OmipayError as raised:
        # A command that asks about an order must not say of a wrong argument that no money moved.
        error = raised.with_outcome(None) if job.move is None and isinstance(raised, InvalidRequest) else raised
        code = exit_codes.code_of(error, job.move)
        document = exit_codes.document_of(error, code, run.order_no)
        return _fail(run, exit_codes.line_of(error, job.move, run.order_no), document)
    except Exception as error:  # noqa: BLE001 - a full disk, a closed pipe, a defect: each becomes one line and a true exit code
        outcome = _known_of(job, run)
        code = Exit.UNKNOWN if outcome is Outcome.UNKNOWN else Exit.NO_ANSWER
        what = plain(f"{type(error).__name__}: {error}")
        if run.order_no:
            what = sentence("{} (order {})", what, run.order_no)
        return _fail(run, what, _ended_early(run, type(error).__name__, what, outcome, code))


def _known_of(job: Job, run: Run) -> Outcome | None:
    """What is known about the money of a command that ended in the middle; None if it does not move any."""
    return None if job.move is None else exit_codes.known_of(run.call, has_begun=run.has_begun)


def _ended_early(run: Run, error: str, message: str, outcome: Outcome | None, code: Exit) -> dict[str, Any]:
    """The document of a command that ended in the middle, with the number of the order that it has made."""
    document = {"error": error, "message": message, "outcome": outcome, "exit_code": int(code)}
    return document if run.order_no is None else document | {"order_no": run.order_no}


def _fail(run: Run, line: str, document: Mapping[str, Any]) -> Exit:
    with ctrl_c_ignored():  # it may be pressed now, or again, and what is printed must be read
        complain(line)
        if run.json:
            with contextlib.suppress(OSError):  # it may be standard output itself that failed
                run.show(document)
    return Exit(document["exit_code"])
