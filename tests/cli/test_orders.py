"""The commands that send requests, against the sandbox in memory."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Any

import pytest

from omipay_async import OrderStatus, QROrder
from omipay_async.sandbox import Fault, PaymentCode

from .conftest import QR, scan

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Cli


# -- rate -------------------------------------------------------------------------------------------------------------


def test_a_rate_is_one_line_for_people(cli: Cli) -> None:
    """One unit in the other currency, with all its decimals."""
    ended = cli("rate", "AUD", "CNY")
    assert (ended.code, ended.out, ended.err) == (0, "1 AUD = 5.01540000 CNY (WECHATPAY)\n", "")


def test_a_rate_is_a_string_for_machines(cli: Cli) -> None:
    """So that no JSON parser rounds it."""
    ended = cli("rate", "AUD", "CNY", "--platform", "ALIPAY", "--json")
    assert ended.document == {"currency": "AUD", "base_currency": "CNY", "rate": "5.01540000", "platform": "ALIPAY"}


def test_a_rate_without_a_platform(cli: Cli) -> None:
    """The Chinese document's reply has none."""
    cli.sandbox.oddities = True
    assert cli("rate", "AUD", "CNY").out.startswith("1 AUD = 5.0154")


def test_a_pair_without_a_rate_is_refused_by_the_gateway(cli: Cli) -> None:
    """Exit code 1, with the gateway's code in the message."""
    ended = cli("rate", "AUD", "ZZZ")
    assert ended.code == 1
    assert "CURRENCY_ERROR" in ended.complaint


def test_a_gateway_that_gives_no_usable_answer_is_exit_code_4(cli: Cli) -> None:
    """No reply, one that cannot be used, or SYSTEM_ERROR: none of them is a refusal."""
    for fault in (Fault.DROP_REQUEST, Fault.GARBAGE, Fault.SYSTEM_ERROR):
        cli.sandbox.faults.clear()
        cli.sandbox.faults.add(fault)
        ended = cli("rate", "AUD", "CNY")
        assert (ended.code, ended.out) == (4, ""), fault
        assert ended.complaint.startswith("omipay: GetExchangeRate: ")


# -- qr ---------------------------------------------------------------------------------------------------------------


def test_qr_shows_the_number_first_then_the_code_then_the_result(cli: Cli) -> None:
    """So that the order can be queried whatever happens later. The code is that of the order."""
    cli.customer_pays_after(7)
    ended = cli(*QR)
    (order,) = cli.sandbox.ledger.orders.values()
    lines = ended.out.splitlines()
    assert ended.code == 0
    assert lines[0] == f"order_no  {order.order_no}"
    code = QROrder("", f"http://sandbox.test/omipay/api/pay/wallet?paycode={order.order_no}").qr_terminal()
    assert code.replace("\x1b[38;5;231;48;5;16m", "").replace("\x1b[0m", "") in ended.out
    assert f"{order.order_no}: PAID" in lines
    assert "amount         450 (AUD 4.50)" in lines


def test_qr_prints_the_order_as_json_before_it_is_paid(cli: Cli) -> None:
    """The first line has the code, the last one the result, with money as integers and times as ISO 8601."""
    cli.customer_pays_after(7)
    ended = cli(*QR, "--json")
    order, paid = ended.documents
    assert list(order) == ["order_no", "qrcode", "pay_url", "out_order_no", "currency", "amount"]
    assert paid["order_no"] == order["order_no"]
    assert (paid["status"], paid["is_paid"], paid["amount"], paid["exchange_rate"]) == ("PAID", True, 450, "5.0154")
    assert paid["pay_time"].startswith("2023-11-15T09:13:27+11:00")


def test_qr_draws_into_files_too(cli: Cli, tmp_path: Path) -> None:
    """The same code as PNG and SVG, without waiting for the payment."""
    png, svg = tmp_path / "code.png", tmp_path / "code.svg"
    ended = cli(*QR, "--png", str(png), "--svg", str(svg), "--no-wait", "--json")
    order = QROrder("", ended.document["qrcode"])
    assert ended.code == 0
    assert png.read_bytes() == order.qr_png()
    assert svg.read_text() == order.qr_svg()


def test_qr_sends_nothing_if_its_files_cannot_be_written(cli: Cli, tmp_path: Path) -> None:
    """The directory is checked first, since an order without its picture is of no use."""
    for path in (tmp_path, tmp_path / "nowhere" / "code.png"):
        ended = cli(*QR, "--png", str(path))
        assert ended.code == 2
        assert "cannot be written: nothing was sent" in ended.complaint
    assert not cli.sandbox.ledger.calls


def test_qr_goes_on_when_a_file_cannot_be_written_after_all(cli: Cli, tmp_path: Path) -> None:
    """The order exists and its code is in the terminal, so it may be paid."""
    path = tmp_path / "code.png"
    cli.after("MakeQROrder", lambda _: path.mkdir())
    cli.customer_pays_after(7)
    ended = cli(*QR, "--png", str(path))
    assert ended.code == 0
    assert ended.complaint == f"omipay: {path} was not written: Is a directory"


def test_qr_that_is_not_paid_in_time_is_unknown(cli: Cli) -> None:
    """Exit code 3 with the next command, since the customer may still pay."""
    ended = cli(*QR, "--timeout", "20", "--json")
    (order_no,) = cli.sandbox.ledger.orders
    assert ended.code == 3
    assert ended.complaint.endswith(f"omipay query {order_no} --wait")
    order, error = ended.documents
    assert order["order_no"] == order_no
    assert (error["error"], error["exit_code"], error["outcome"]) == ("PollTimeout", 3, "UNKNOWN")
    assert (error["order_no"], error["status"]) == (order_no, "READY")


def test_qr_whose_wait_ends_in_an_error_is_unknown_too(cli: Cli) -> None:
    """The key was changed meanwhile, but the order still exists."""
    cli.after("MakeQROrder", lambda _: setattr(cli.sandbox.merchant, "secret_key", "another"))
    ended = cli(*QR, "--json")
    (order_no,) = cli.sandbox.ledger.orders
    assert ended.code == 3
    assert f"order {order_no} exists and may still be paid: omipay query {order_no} --wait" in ended.complaint
    assert (ended.documents[1]["error"], ended.documents[1]["order_no"]) == ("AuthenticationError", order_no)


def test_qr_that_the_customer_declines_is_a_failure(cli: Cli) -> None:
    """Exit code 1: the order will not be paid."""
    cli.after("MakeQROrder", lambda event: cli.move_order(event.order_no, "FAILED"))
    ended = cli(*QR)
    assert ended.code == 1
    assert "is FAILED and will not be paid" in ended.complaint


def test_qr_whose_reply_is_lost_can_not_be_paid_by_anybody(cli: Cli) -> None:
    """Exit code 3, like every money call whose outcome is unknown, with what to do next."""
    cli.sandbox.faults.add(Fault.DROP_REPLY, endpoint="MakeQROrder")
    ended = cli(*QR, "--json")
    assert ended.code == 3
    assert ended.complaint.endswith("make a new order under a new OUT_ORDER_NO")
    assert (ended.document["error"], ended.document["out_order_no"]) == ("OutcomeUnknown", "T1")


def test_qr_without_a_code_is_exit_code_4(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can pay such an order, so the command does not wait for it."""
    open_session = cli.open_session

    def without_code(**options: Any) -> object:
        session = open_session(**options)

        async def make_qr_order(**values: object) -> QROrder:
            return QROrder("TR1")

        monkeypatch.setattr(type(session), "make_qr_order", staticmethod(make_qr_order))
        return session

    monkeypatch.setattr(type(cli), "open_session", staticmethod(without_code))
    ended = cli(*QR)
    assert ended.code == 4
    assert "the order exists, but nobody can pay it" in ended.complaint


def test_a_terminal_shows_a_progress_line(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """It contains the order and its status, and disappears at the end of the wait."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    cli.customer_pays_after(7)
    ended = cli(*QR)
    assert ended.code == 0
    assert "PAID" in ended.out.partition("order_no  ")[2]


# -- scan -------------------------------------------------------------------------------------------------------------


def test_a_scan_that_is_paid_at_once_is_done(cli: Cli) -> None:
    """One line of JSON with its number and its time."""
    ended = cli(*scan(PaymentCode.PAID, "--yes", "--json"))
    assert ended.code == 0
    assert (ended.document["status"], ended.document["is_paid"], ended.document["out_order_no"]) == ("PAID", True, "T1")


def test_a_scan_waits_while_the_customer_types_a_password(cli: Cli) -> None:
    """The number is shown before the wait, and PAID is exit code 0."""
    ended = cli(*scan(PaymentCode.PAID_AFTER_QUERIES, "--yes"))
    (order_no,) = cli.sandbox.ledger.orders
    lines = ended.out.splitlines()
    assert ended.code == 0
    assert lines[:2] == [f"order_no  {order_no}", "The customer is typing a password."]
    assert lines[2:4] == [f"{order_no}: PAYING", f"{order_no}: PAID"]


@pytest.mark.parametrize(
    ("code", "expected", "word"),
    [
        (PaymentCode.NOT_ENOUGH, 1, "NOT_ENOUGH"),
        (PaymentCode.DECLINED_AFTER_QUERIES, 1, "FAILED"),
        (PaymentCode.ORDER_PAID, 3, "ORDER_PAID"),
        (PaymentCode.NEVER_PAYS, 3, "PAYING"),
        (PaymentCode.SYSTEM_ERROR_ACTED, 3, "SYSTEM_ERROR"),
    ],
)
def test_the_exit_codes_of_a_scan(cli: Cli, code: str, expected: int, word: str) -> None:
    """1 only if it is certain that no money moved, 3 if nobody knows."""
    ended = cli(*scan(code, "--yes"))
    assert ended.code == expected
    assert word in ended.complaint


def test_a_scan_that_was_never_sent_is_exit_code_4(cli: Cli) -> None:
    """There was no connection and no money moved, so it may be made again."""
    cli.options = {"transport": None, "base_url": "http://127.0.0.1:9/omipay/api"}
    ended = cli(*scan(PaymentCode.PAID, "--yes", "--json"))
    assert ended.code == 4
    assert (ended.document["error"], ended.document["outcome"]) == ("NotSent", "NOT_DONE")


def test_a_lost_scan_warns_not_to_scan_again(cli: Cli) -> None:
    """The cashier sees this in the message, since a second scan would charge the customer twice."""
    cli.sandbox.faults.add(Fault.DROP_REPLY, endpoint="MakeScanOrder")
    ended = cli(*scan(PaymentCode.PAID, "--yes"))
    assert ended.code == 3
    assert "do not scan again for this sale" in ended.complaint


def test_a_scan_asks_for_confirmation(cli: Cli) -> None:
    """The question shows the amount. Any answer but yes sends nothing."""
    for answer in ("n\n", "\n", "", "yeah\n"):
        ended = cli(*scan(PaymentCode.PAID), stdin=answer, terminal=True)
        assert ended.code == 2
        assert "Charge AUD 4.50 for 'Flat white' as T1? [y/N]" in ended.err
    assert not cli.sandbox.ledger.calls
    assert cli(*scan(PaymentCode.PAID), stdin="Y\n", terminal=True).code == 0
    assert cli.sandbox.ledger.paid_total() == 450


def test_a_script_must_give_yes(cli: Cli) -> None:
    """Without a terminal, money moves only with --yes."""
    for arguments in (scan(PaymentCode.PAID), ("refund", "TR1", "R1", "200")):
        ended = cli(*arguments, stdin="y\n")
        assert ended.code == 2
        assert "--yes is required" in ended.complaint
    assert not cli.sandbox.ledger.calls


def test_a_payment_code_can_come_from_standard_input(cli: Cli) -> None:
    """From a scanner, so that the list of processes does not show the code."""
    assert cli(*scan("-", "--yes"), stdin=f"{PaymentCode.NOT_ENOUGH}\n").code == 1
    assert cli(*scan("-", "--yes"), stdin="").complaint == "omipay: qrcode must not be empty"


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
def test_powershell_may_pipe_a_payment_code(cli: Cli, encoding: str) -> None:
    """It writes a byte order mark first, which is not a part of the code, whatever encoding Python reads."""
    piped = b"\xef\xbb\xbf" + PaymentCode.NOT_ENOUGH.encode() + b"\r\n"
    assert "NOT_ENOUGH" in cli(*scan("-", "--yes"), stdin=piped, encoding=encoding).complaint


def test_a_payment_code_is_asked_for_without_being_shown(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a hidden prompt, into which the scanner types. If the input ends, nothing is sent."""
    monkeypatch.setattr(getpass, "getpass", lambda prompt: f"{PaymentCode.NOT_ENOUGH} ")
    assert "NOT_ENOUGH" in cli(*scan("-", "--yes"), terminal=True).complaint

    def ends(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr(getpass, "getpass", ends)
    ended = cli(*scan("-", "--yes"), terminal=True)
    assert (ended.code, ended.complaint) == (2, "omipay: Payment code is required")


# -- query, refund, refund-status -------------------------------------------------------------------------------------


def test_query_shows_an_order_with_the_documents_names(cli: Cli) -> None:
    """One field a line without absent ones. ``is_paid`` and the like are only in JSON."""
    order_no = cli.sold()
    ended = cli("query", order_no)
    assert ended.code == 0
    assert ended.out.splitlines()[:2] == [f"order_no       {order_no}", "status         PAID"]
    assert "pay_amount     2257 (CNY 22.57)" in ended.out
    assert "is_paid" not in ended.out
    assert cli("query", order_no, "--json").document["is_final"] is True


def test_query_of_an_unknown_order_is_refused(cli: Cli) -> None:
    """Exit code 1, also with --wait, since this command moves no money."""
    for options in ([], ["--wait"]):
        ended = cli("query", "TR1", *options)
        assert ended.code == 1
        assert "PERMISSION_ERROR" in ended.complaint


def test_query_can_wait(cli: Cli) -> None:
    """It asks at once, then until the status is final. If that takes too long, the exit code is 3."""
    ended = cli(*scan(PaymentCode.NEVER_PAYS, "--yes", "--timeout", "1"))
    (order_no,) = cli.sandbox.ledger.orders
    assert ended.code == 3
    assert f"do not scan again for this sale, order {order_no} may be paid: omipay query" in ended.complaint
    assert cli("query", order_no, "--wait", "--timeout", "30").code == 3
    cli.move_order(order_no, "PAID")
    now = cli.clock.monotonic()
    assert cli("query", order_no, "--wait", "--json").document["status"] == "PAID"
    assert cli.clock.monotonic() == now, "it asked at once"


def test_a_wait_in_which_no_status_was_seen_tells_why(cli: Cli) -> None:
    """The last error is in the line; in JSON it is there also if a status was seen before."""
    order_no = cli.sold()
    cli.sandbox.faults.add(Fault.SYSTEM_ERROR, endpoint="QueryOrder")
    ended = cli("query", order_no, "--wait", "--timeout", "30", "--json")
    told = ended.document["last_error"]
    assert told.startswith("QueryOrder: SYSTEM_ERROR")
    assert f"no status was seen; ask again later (the last error: {told}); omipay query" in ended.complaint
    cli.sandbox.faults.clear()
    cli.after("QueryOrder", lambda _: cli.sandbox.faults.add(Fault.SYSTEM_ERROR, endpoint="QueryOrder"))
    cli.sandbox.ledger.orders[order_no].status = OrderStatus.PAYING
    seen = cli("query", order_no, "--wait", "--timeout", "30", "--json")
    assert "the last error" not in seen.complaint
    assert (seen.document["status"], seen.document["last_error"]) == ("PAYING", told)


def test_a_refund_asks_and_is_accepted(cli: Cli) -> None:
    """Its number is shown, with the command that follows it."""
    order_no = cli.sold()
    ended = cli("refund", order_no, "R1", "200", stdin="yes\n", terminal=True)
    (refund_no,) = cli.sandbox.ledger.refunds
    assert ended.code == 0
    assert ended.err == f"Refund 200 minor units of order {order_no}? [y/N] "
    assert ended.out.splitlines()[0].split() == ["refund_no", refund_no]
    assert "amount         200 (AUD 2.00)" in ended.out
    assert ended.out.endswith(f"omipay refund-status {refund_no}\n")


def test_a_refund_beyond_the_order_is_refused(cli: Cli) -> None:
    """Exit code 1 and the gateway's code. In JSON the outcome is NOT_DONE."""
    ended = cli("refund", cli.sold(), "R1", "451", "--yes", "--json")
    assert ended.code == 1
    assert (ended.document["error_code"], ended.document["outcome"]) == ("AMOUNT_OVER_LIMIT", "NOT_DONE")


def test_a_lost_refund_points_to_the_back_office(cli: Cli) -> None:
    """There is neither a look-up nor a notification of it."""
    order_no = cli.sold()
    cli.sandbox.faults.add(Fault.GARBAGE, endpoint="Refund")
    ended = cli("refund", order_no, "R1", "200", "--yes")
    assert ended.code == 3
    assert "look it up in Omipay's back office" in ended.complaint


def test_a_refund_s_status_once_or_until_the_money_has_arrived(cli: Cli) -> None:
    """With --wait, Closed is exit code 0, a failed refund 1, and one that takes too long 3."""
    refund_no = cli.refunded()
    assert cli("refund-status", refund_no, "--json").document["status"] == "Applied"
    late = cli("refund-status", refund_no, "--wait", "--timeout", "120")
    assert late.code == 3
    assert late.complaint.endswith(f"omipay refund-status {refund_no} --wait")
    ledger = cli.sandbox.ledger
    for status, code in (("Closed", 0), ("OrganizationFailed", 1)):
        ledger.refunds[refund_no].status = type(ledger.refunds[refund_no].status)(status)
        assert cli("refund-status", refund_no, "--wait").code == code
