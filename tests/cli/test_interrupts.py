"""Ctrl-C: exit code 130, no traceback, and a true message about the money."""

from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import typer

from omipay_async import OmipayError
from omipay_async.cli import main
from omipay_async.cli.exit_codes import REFUND, SCAN, Exit
from omipay_async.cli.runner import Job, Run, perform
from omipay_async.sandbox import Fault, PaymentCode

from .conftest import QR, press_ctrl_c, scan

if TYPE_CHECKING:
    from omipay_async import AsyncOmipay, Event

    from .conftest import Cli


def test_ctrl_c_at_the_question_sends_nothing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message is that no money moved."""

    class Impatient:
        def isatty(self) -> bool:
            return True

        def readline(self, _: int) -> str:
            raise KeyboardInterrupt

    monkeypatch.setattr("tests.cli.conftest.Keyboard", lambda *_, **__: Impatient())
    ended = cli(*scan(PaymentCode.PAID), "--json")
    assert ended.code == 130
    assert ended.err.endswith("omipay: interrupted before anything was sent: no money moved\n")
    assert ended.document["outcome"] == "NOT_DONE"


def nonce_and_ctrl_c(times: int = 1) -> str:
    """Press Ctrl-C at the moment in which a request is signed."""
    for _ in range(times):
        press_ctrl_c()
    return "0123456789abcdef"


@pytest.mark.parametrize("times", [1, 5])
@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (scan(PaymentCode.PAID, "--yes"), "do not scan again for this sale"),
        (QR, "make a new order"),
        (("refund", "TR1", "R1", "200", "--yes"), "back office"),
    ],
)
def test_ctrl_c_while_a_money_call_is_under_way(cli: Cli, arguments: tuple[str, ...], advice: str, times: int) -> None:
    """Exit code 130, and the message that nobody knows, with what not to do, however often it is pressed."""
    cli.options = {"nonces": lambda: nonce_and_ctrl_c(times)}
    cli.sandbox.faults.add(Fault.DELAY_REPLY)
    ended = cli(*arguments, "--json")
    assert (ended.code, ended.document["exit_code"], ended.document["error"]) == (130, 130, "Interrupted")
    assert ended.document["outcome"] == "UNKNOWN"
    assert "nobody knows whether the gateway acted" in ended.complaint
    assert advice in ended.complaint


def test_ctrl_c_is_pressed_again_before_the_call_was_reported(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    """That a charge was not reported does not prove that it was not sent."""

    def open_session(**options: Any) -> AsyncOmipay:
        def cut_off(event: Event) -> None:
            if event.name == "call":
                raise KeyboardInterrupt
            options["on_event"](event)

        return cli.sandbox.session(**{**options, "on_event": cut_off})

    assert main(scan(PaymentCode.PAID, "--yes"), open_session=open_session) == 130
    assert [order.is_paid for order in cli.sandbox.ledger.orders.values()] == [True]
    assert "nobody knows whether the gateway acted: do not scan again" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("move", "has_begun", "code"),
    [(SCAN, True, Exit.UNKNOWN), (SCAN, False, Exit.NO_ANSWER), (None, True, Exit.NO_ANSWER)],
)
def test_a_defect_before_the_call_was_reported(cli: Cli, move: Any, code: Exit, *, has_begun: bool) -> None:
    """The same holds for whatever else cuts a charge off, such as too little memory."""

    def work(run: Run) -> None:
        run.has_begun = has_begun
        raise MemoryError

    assert perform(Job(work, move=move), cli.open_session) is code


@pytest.mark.parametrize(
    ("endpoint", "arguments", "advice"),
    [
        ("MakeQROrder", QR, "order {} exists and may still be paid: omipay query {} --wait"),
        ("MakeScanOrder", scan(PaymentCode.NEVER_PAYS, "--yes"), "order {} may be paid: omipay query {} --wait"),
    ],
)
def test_ctrl_c_during_the_wait_for_the_payment(
    cli: Cli, endpoint: str, arguments: tuple[str, ...], advice: str
) -> None:
    """The message contains the number of the order, which exists."""
    cli.after(endpoint, press_ctrl_c)
    ended = cli(*arguments, "--json")
    (order_no,) = cli.sandbox.ledger.orders
    assert ended.code == 130
    assert (ended.documents[-1]["outcome"], ended.documents[-1]["order_no"]) == ("UNKNOWN", order_no)
    assert advice.format(order_no, order_no) in ended.complaint


def test_ctrl_c_during_a_query(cli: Cli) -> None:
    """The message is only that it was interrupted, since no money could move."""
    cli.sandbox.faults.add(Fault.DELAY, seconds=1)
    cli.options = {"nonces": nonce_and_ctrl_c}
    ended = cli("rate", "AUD", "CNY")
    assert (ended.code, ended.complaint) == (130, "omipay: interrupted")


def test_ctrl_c_stays_as_the_caller_has_set_it(cli: Cli) -> None:
    """A program that was started in the background of a script ignores Ctrl-C, and so does the command."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        cli.options = {"nonces": nonce_and_ctrl_c}
        assert cli("rate", "AUD", "CNY").code == 0
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_is_as_before_afterwards(cli: Cli) -> None:
    """Whether or not it was pressed."""
    assert cli("rate", "AUD", "CNY").code == 0
    cli.options = {"nonces": nonce_and_ctrl_c}
    cli.sandbox.faults.add(Fault.DELAY, seconds=1)
    assert cli("rate", "AUD", "CNY").code == 130
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_in_another_thread(cli: Cli) -> None:
    """Ctrl-C does not arrive there, but an interruption may."""

    def interrupted(_: Run) -> None:
        raise KeyboardInterrupt

    with ThreadPoolExecutor() as threads:
        assert threads.submit(cli, "rate", "AUD", "CNY").result().code == 0
        assert threads.submit(perform, Job(interrupted), cli.open_session).result() is Exit.INTERRUPTED


def test_ctrl_c_while_an_error_is_printed(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line about the money is printed to its end, and the exit code is that of the error."""

    def impatiently(*text: Any, **options: Any) -> None:
        press_ctrl_c()
        echo(*text, **options)

    echo = typer.echo
    monkeypatch.setattr(typer, "echo", impatiently)
    cli.sandbox.faults.add(Fault.DROP_REPLY)
    ended = cli(*scan(PaymentCode.PAID, "--yes"), "--json")
    assert (ended.code, ended.document["outcome"]) == (3, "UNKNOWN")
    assert "do not scan again" in ended.complaint


def test_a_defect_after_a_charge_was_refused(cli: Cli) -> None:
    """Exit code 3 would mean that nobody knows, but the document says NOT_DONE: both are about the same charge."""

    def work(run: Run) -> None:
        try:
            run.ask(lambda omipay: omipay.refund(order_no="TR1", out_refund_no="R1", amount=5))
        except OmipayError:
            raise MemoryError from None

    assert perform(Job(work, json=True, move=REFUND), cli.open_session) is Exit.NO_ANSWER
    assert json.loads(cli.capsys.readouterr().out)["outcome"] == "NOT_DONE"
