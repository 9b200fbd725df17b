"""Ctrl-C: exit code 130, no traceback, and a true message about the money."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from omipay_async.sandbox import Fault, PaymentCode

from .conftest import QR, press_ctrl_c, scan

if TYPE_CHECKING:
    from .conftest import Cli


def test_ctrl_c_at_the_question_sends_nothing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message is that no money moved."""

    class Impatient:
        def isatty(self) -> bool:
            return True

        def readline(self, _: int) -> str:
            raise KeyboardInterrupt

    monkeypatch.setattr("tests.cli.conftest.Keyboard", lambda *_, **__: Impatient())
    ended = cli(*scan(PaymentCode.PAID))
    assert ended.code == 130
    assert ended.err.endswith("omipay: interrupted before anything was sent: no money moved\n")


def nonce_and_ctrl_c() -> str:
    """Press Ctrl-C at the moment in which a request is signed."""
    press_ctrl_c()
    return "0123456789abcdef"


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (scan(PaymentCode.PAID, "--yes"), "do not scan again for this sale"),
        (QR, "make a new order"),
        (("refund", "TR1", "R1", "200", "--yes"), "back office"),
    ],
)
def test_ctrl_c_while_a_money_call_is_under_way(cli: Cli, arguments: tuple[str, ...], advice: str) -> None:
    """Exit code 130, and the message that nobody knows, with what not to do."""
    cli.options = {"nonces": nonce_and_ctrl_c}
    cli.sandbox.faults.add(Fault.DELAY_REPLY)
    ended = cli(*arguments, "--json")
    assert (ended.code, ended.document["exit_code"], ended.document["error"]) == (130, 130, "Interrupted")
    assert "nobody knows whether the gateway acted" in ended.complaint
    assert advice in ended.complaint


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
    ended = cli(*arguments)
    (order_no,) = cli.sandbox.ledger.orders
    assert ended.code == 130
    assert advice.format(order_no, order_no) in ended.complaint


def test_ctrl_c_during_a_query(cli: Cli) -> None:
    """The message is only that it was interrupted, since no money could move."""
    cli.sandbox.faults.add(Fault.DELAY, seconds=1)
    cli.options = {"nonces": nonce_and_ctrl_c}
    ended = cli("rate", "AUD", "CNY")
    assert (ended.code, ended.complaint) == (130, "omipay: interrupted")
