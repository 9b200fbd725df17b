"""The program itself: its help, its errors, its configuration, and what it does without its extra."""

from __future__ import annotations

import errno
import getpass
import importlib
import io
import json
import os
import runpy
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

import omipay_async
from omipay_async import InvalidReply, NotSent, Order, OutcomeUnknown, PaymentFailed, PollTimeout, Refund, SessionClosed
from omipay_async.cli import exit_codes, formatting, main
from omipay_async.cli.exit_codes import Exit
from omipay_async.errors import Outcome
from omipay_async.events import Event
from omipay_async.sandbox import PaymentCode

if TYPE_CHECKING:
    from .conftest import Cli

COMMANDS = ("demo", "sandbox", "rate", "qr", "scan", "query", "refund", "refund-status", "verify", "doctor")


# -- help and usage ---------------------------------------------------------------------------------------------------


def test_help_contains_everything(cli: Cli) -> None:
    """Every command, variable and exit code, and how to begin without an account."""
    ended = cli("--help")
    assert ended.code == 0
    for word in (*COMMANDS, "OMIPAY_M_NUMBER", "OMIPAY_SECRET_KEY", "OMIPAY_BASE_URL", "nobody knows", "omipay demo"):
        assert word in ended.out, word


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_s_help_has_an_example_and_json(cli: Cli, command: str) -> None:
    """The example can be copied and works."""
    ended = cli(command, "--help")
    assert ended.code == 0
    assert "--json" in ended.out
    assert any(f"omipay {command}" in line and "Usage" not in line for line in ended.out.splitlines())


def test_the_version_is_printed(cli: Cli) -> None:
    """It is the package's."""
    assert cli("--version").out.startswith("omipay-async ")


def test_without_a_command_the_help_is_printed(cli: Cli) -> None:
    """The exit code is 2, for scripts."""
    ended = cli()
    assert ended.code == 2
    assert "Usage: omipay" in ended.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bogus"], "No such command 'bogus'"),
        (["rate", "AUD"], "BASE_CURRENCY"),
        (["rate", "AUD", "CNY", "--bogus"], "--bogus"),
        (["refund", "TR1", "R1", "4.50"], "A$4.50 is 450"),
        (["refund", "TR1", "R1", "٤"], "not a whole number"),
        (["query", "TR1", "--timeout", "0"], "not a number of seconds above 0"),
        (["query", "TR1", "--timeout", "soon"], "not a number of seconds above 0"),
        (["sandbox", "--port", "70000"], "--port"),
        (["rate", "aud", "CNY"], "currency must be three capital letters"),
        (["refund", "TR1", "R1", "0", "--yes"], "amount must be at least 1 minor unit"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(cli: Cli, arguments: list[str], said: str) -> None:
    """Typer's own errors too. Nothing is sent. With ``--json`` it is a document as well."""
    ended = cli(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.complaint
    document = cli(*arguments, "--json").document
    assert (document["error"], document["exit_code"]) == ("InvalidRequest", 2)
    assert said in document["message"]
    assert not cli.sandbox.ledger.calls


@pytest.mark.parametrize(
    ("arguments", "outcome"),
    [
        (["query", "TR1", "--wait", "--timeout", "soon"], None),
        (["query", ""], None),
        (["refund-status"], None),
        (["verify", "no file"], None),
        (["books", "resolve", "lost"], None),
        (["bogus"], None),
        (["scan", "Flat white", "4.50", "AUD", "T1", "28", "till-1"], "NOT_DONE"),
        (["qr", "Flat white"], "NOT_DONE"),
        (["refund", "TR1", "R1", "0", "--yes"], "NOT_DONE"),
    ],
)
def test_only_a_command_that_moves_money_says_of_a_wrong_argument_that_no_money_moved(
    cli: Cli, arguments: list[str], outcome: str | None
) -> None:
    """A script asks about an order after exit code 3: it must not take a slip of its own for leave to charge again."""
    assert cli(*arguments, "--json").document["outcome"] == outcome


# -- configuration ----------------------------------------------------------------------------------------------------


def test_a_variable_that_is_missing_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, and nothing is sent. If several are missing, all are named."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    missing = {
        "OMIPAY_SECRET_KEY": "OMIPAY_SECRET_KEY is not set",
        "OMIPAY_M_NUMBER": "OMIPAY_M_NUMBER and OMIPAY_SECRET_KEY are not set",
    }
    for name, message in missing.items():
        monkeypatch.delenv(name)
        assert main(["rate", "AUD", "CNY"]) == 2
        assert capsys.readouterr().err == f"omipay: {message}\n"


def test_a_missing_key_is_asked_for_without_being_shown(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, at a terminal, and only if the merchant's number is set. No argument takes the key."""
    asked = []

    def prompt(words: str) -> str:
        asked.append(words)
        return "another key"

    monkeypatch.setattr(getpass, "getpass", prompt)
    monkeypatch.delenv("OMIPAY_SECRET_KEY")
    ended = cli("rate", "AUD", "CNY", terminal=True)
    assert asked == ["Secret key of merchant 123456: "]
    assert ended.code == 1
    assert "SIGN_ERROR" in ended.complaint
    assert "another key" not in ended.err
    monkeypatch.delenv("OMIPAY_M_NUMBER")
    assert cli("rate", "AUD", "CNY", terminal=True).code == 0
    assert len(asked) == 1


# -- what goes wrong outside of the gateway ---------------------------------------------------------------------------


class Broken(io.StringIO):
    """Standard output that is closed or full."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def flush(self) -> None:
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EINVAL, errno.ENOSPC], ids=["pipe", "pipe on Windows", "disk"])
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_result_that_cannot_be_printed_is_one_line(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, number: int, options: list[str]
) -> None:
    """The exit code is unknown if money may have moved, and the message contains the order."""
    monkeypatch.setattr(sys, "stdout", Broken(number))
    assert cli("rate", "AUD", "CNY", *options).code == 4
    monkeypatch.setattr(sys, "stdout", Broken(number))
    ended = cli("scan", "Flat white", "450", "AUD", "T1", "280000000000000000", "till-1", "--yes", *options)
    (order_no,) = cli.sandbox.ledger.orders
    assert ended.code == 3
    assert ended.complaint.endswith(f"(order {order_no})")
    sys.stdout.flush()  # Python does so at its end, and the exit code would be 120 if that failed


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_that_cannot_be_printed_is_one_line(cli: Cli, monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    """There is no traceback."""
    monkeypatch.setattr(sys, "stdout", Broken(errno.ENOSPC))
    ended = cli(option)
    sys.stdout.flush()  # as Python does at its end
    assert ended.code == 4
    assert ended.complaint == f"omipay: OSError: [Errno {errno.ENOSPC}] {os.strerror(errno.ENOSPC)}"


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_without_standard_output_the_exit_code_tells_the_result(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    """A process that was started with a closed one, by a service manager for example, has None there."""
    monkeypatch.setattr(sys, "stdout", None)
    ended = cli("scan", "Flat white", "450", "AUD", "T1", "280000000000000000", "till-1", "--yes", *options)
    assert (ended.code, ended.err) == (0, "")
    assert [order.out_order_no for order in cli.sandbox.ledger.orders.values()] == ["T1"]


@pytest.mark.parametrize("number", [errno.EPIPE, errno.ENOSPC])
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_an_error_that_cannot_be_printed_keeps_its_exit_code(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, number: int, options: list[str]
) -> None:
    """Nobody knows whether the customer was charged: a traceback would end with 1, which means that it was refused."""
    monkeypatch.setattr(sys, "stderr", Broken(number))
    unknown = cli("scan", "Flat white", "450", "AUD", "T1", PaymentCode.SYSTEM_ERROR_ACTED, "till-1", "--yes", *options)
    assert unknown.code == 3
    sys.stderr.flush()  # as Python does at its end
    monkeypatch.setattr(sys, "stderr", Broken(number))
    assert cli("scan", "Flat white").code == 2


@pytest.mark.parametrize(
    "arguments",
    [("verify",), ("scan", "Flat white", "450", "AUD", "T1", "-", "till-1", "--yes"), ("rate", "AUD", "CNY")],
)
def test_a_closed_standard_input_is_an_empty_one(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    """Python has None there."""
    empty = cli(*arguments)
    monkeypatch.setattr(sys, "stdin", None)
    assert (main(arguments, open_session=cli.open_session), *cli.capsys.readouterr()) == attrs.astuple(empty)


def test_output_that_is_not_a_text_file_is_left_as_it_is(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that calls main() may have replaced it."""
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    assert cli("rate", "AUD", "CNY").code == 0
    assert out.getvalue().startswith("1 AUD = ")


# -- without the extra ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["typer", "rich", "segno", "starlette", "uvicorn"])
def test_without_the_extra_it_shows_what_to_install(cli: Cli, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """One line and exit code 2, for the script and for python -m."""
    monkeypatch.setitem(sys.modules, name, None)
    ended = cli("--help")
    assert (ended.code, ended.complaint) == (2, 'omipay: the command line needs: pip install "omipay-async[cli]"')


def test_a_blocked_import_counts_as_not_installed(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import hook may raise ImportError."""

    class Refuses:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name == "segno":
                raise ImportError(name)

    monkeypatch.delitem(sys.modules, "segno", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Refuses(), *sys.meta_path])
    assert cli("--help").code == 2


def test_python_m_is_the_same_program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """``python -m omipay_async`` exits as ``omipay`` does; importing it does nothing."""
    monkeypatch.setattr(sys, "argv", ["omipay_async", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(Path(omipay_async.__file__).with_name("__main__.py")), run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("omipay-async ")
    importlib.import_module("omipay_async.__main__")


def test_help_loads_no_http_library() -> None:
    """So that the help is shown quickly."""
    program = (
        "import sys; from omipay_async.cli import main; main(['rate', '--help']); "
        "sys.exit(any(name in sys.modules for name in ('httpx', 'starlette', 'uvicorn', 'segno')))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


# -- exit codes and words ---------------------------------------------------------------------------------------------


def test_unknown_counts_only_where_money_moves() -> None:
    """A query whose poll fails moved no money. A timeout is exit code 3 in any command."""
    lost = OutcomeUnknown("lost")
    assert exit_codes.code_of(lost, exit_codes.SCAN) is exit_codes.code_of(lost, None) is Exit.UNKNOWN
    assert exit_codes.code_of(PollTimeout("late"), None) is Exit.UNKNOWN
    assert exit_codes.code_of(NotSent("never", outcome=Outcome.NOT_DONE), exit_codes.SCAN) is Exit.NO_ANSWER
    assert exit_codes.code_of(InvalidReply("junk"), None) is Exit.NO_ANSWER
    assert exit_codes.code_of(SessionClosed(), None) is Exit.NO_ANSWER
    assert exit_codes.code_of(SessionClosed(outcome=Outcome.UNKNOWN), exit_codes.QR) is Exit.UNKNOWN


def test_ctrl_c_before_the_gateway_acted_moved_nothing() -> None:
    """The call was still waiting for its turn, or was refused."""
    call = Event("call", error="CancelledError", outcome=Outcome.NOT_DONE)
    assert (
        exit_codes.interruption(exit_codes.REFUND, call, has_begun=True)
        == "interrupted before the gateway acted: no money moved"
    )
    accepted = Event("call", order_no="TR1")
    assert (
        exit_codes.interruption(exit_codes.REFUND, accepted, has_begun=True)
        == "interrupted: the refund of order TR1 was accepted"
    )


def test_an_error_is_one_harmless_line() -> None:
    """Line breaks and escape sequences from the gateway are escaped."""
    line = exit_codes.line_of(InvalidReply("a\nb\x1b[2J\u202e"), None, None)
    assert line == r"a\nb\u001b[2J\u202e"
    assert len(exit_codes.line_of(InvalidReply("a" * 100_000), None, None)) < 1000
    assert exit_codes.line_of(InvalidReply(""), None, None) == "InvalidReply"


def test_the_json_of_an_unknown_refund() -> None:
    """It contains the number and the last status that was seen."""
    error = PollTimeout("late", refund_no="RF1", refund=Refund("RF1", "Applied"))
    document = exit_codes.document_of(error, Exit.UNKNOWN)
    assert document["refund_no"] == "RF1"
    assert document["status"] == "Applied"


def test_the_json_of_a_failed_payment() -> None:
    """It contains the numbers of the order, so that a program need not read the message."""
    order = Order("TR1", "FAILED", currency="AUD", amount=450, out_order_no="T1")
    document = exit_codes.document_of(PaymentFailed("failed", order=order), Exit.REFUSED)
    assert (document["order_no"], document["out_order_no"], document["status"]) == ("TR1", "T1", "FAILED")


def test_amounts_are_written_as_people_write_them() -> None:
    """The gateway may leave the currency out, or send one that does not exist."""
    assert formatting.money(450, "AUD") == "AUD 4.50"
    assert formatting.money(450, "JPY") == "JPY 450"
    assert formatting.money(450, None) == "450 minor units"
    assert formatting.money(450, "Aud") == "450 minor units of Aud"
    assert formatting.money(None, "AUD") == ""
    assert formatting.as_lines({"rate": Decimal("1E-8"), "amount": None}) == ["rate  0.00000001"]
    assert formatting.as_lines({}) == []


def test_an_object_without_a_form_in_json_is_an_error() -> None:
    """Its repr must not get into the output."""
    with pytest.raises(TypeError, match="object has no form in JSON"):
        formatting.as_json({"field": object()})


def test_foreign_text_is_escaped_in_json_too() -> None:
    """The line is safe for a terminal, and so are its values after decoding."""
    line = formatting.as_json(
        {"error_msg": "a\x1b[2J\x85\x7f\u2028\u202e", "money": 450, "list": ["\x00", {"\n": None}]}
    )
    assert line.isascii()
    assert line.isprintable()
    document = json.loads(line)
    assert document["error_msg"] == "a\\x1b[2J\\x85\\x7f\\u2028\\u202e"
    assert (document["money"], document["list"]) == (450, ["\\x00", {"\\n": None}])
    assert len(formatting.as_json({"raw": "x" * 1_000_000})) < 20_000
