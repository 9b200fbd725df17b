"""The program as it is installed: processes against a sandbox that the program itself serves."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OMIPAY = (sys.executable, "-m", "omipay_async")
SCAN = ("scan", "Flat white", "450", "AUD")

Environment = dict[str, str]


@pytest.fixture(scope="module")
def served() -> Iterator[Environment]:
    """The output of ``omipay sandbox`` while it runs; Ctrl-C ends it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OMIPAY_")}
    clean |= {"PYTHONUNBUFFERED": "1", "NO_PROXY": "*"}
    server = subprocess.Popen(
        [*OMIPAY, "sandbox", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean
    )
    assert server.stdout is not None
    exports = {}
    for line in server.stdout:
        if match := re.fullmatch(r"export (\w+)=(.*)\n", line):
            exports[match[1]] = match[2]
        if len(exports) == 3:
            break
    yield clean | exports
    server.send_signal(signal.SIGINT)
    _, complaint = server.communicate(timeout=10)
    *warnings, last = complaint.splitlines()
    assert (server.returncode, last) == (130, "omipay: interrupted")
    assert all("has no notify_url" in line for line in warnings)


class Omipay:
    """Runs ``omipay`` with arguments as a process."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment

    def __call__(self, *arguments: str, stdin: str = "", **changes: str) -> subprocess.CompletedProcess[str]:
        environment = self.environment | changes
        return subprocess.run(
            [*OMIPAY, *arguments], check=False, capture_output=True, text=True, input=stdin, env=environment
        )


@pytest.fixture
def omipay(served: Environment) -> Omipay:
    return Omipay(served)


def field(out: str, name: str) -> str:
    """The value of a field in the output for people."""
    match = re.search(rf"^{name} +(\S+)", out, re.MULTILINE)
    assert match is not None, out
    return match[1]


def test_a_day_at_the_till(omipay: Omipay, tmp_path: Path) -> None:
    """Every command succeeds with exit code 0, and takes the numbers that others print."""
    assert omipay("doctor").returncode == 0
    assert omipay("rate", "AUD", "CNY").stdout == "1 AUD = 5.01540000 CNY (WECHATPAY)\n"
    sold = omipay(*SCAN, "T1", "280000000000000000", "till-1", "--yes")
    order_no = field(sold.stdout, "order_no")
    assert field(omipay("query", order_no, "--wait").stdout, "status") == "PAID"
    given_back = omipay("refund", order_no, "R1", "200", "--yes")
    assert field(omipay("refund-status", field(given_back.stdout, "refund_no")).stdout, "status") == "Applied"
    code = tmp_path / "code.svg"
    assert omipay("qr", "Flat white", "450", "AUD", "T2", "WECHATPAY", "--no-wait", "--svg", str(code)).returncode == 0
    assert code.read_text().startswith("<svg")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((*SCAN, "T3", "280000000000000010", "till-1", "--yes"), 1, "NOT_ENOUGH"),
        (("verify",), 1, "MalformedNotification"),
        ((*SCAN, "T4", "280000000000000000", "till-1"), 2, "--yes is required"),
        ((*SCAN, "T5", "280000000000000021", "till-1", "--yes"), 3, "do not scan again"),
        (("query", "TR1"), 1, "PERMISSION_ERROR"),
    ],
)
def test_an_error_is_one_line_and_its_exit_code(
    omipay: Omipay, arguments: tuple[str, ...], code: int, said: str
) -> None:
    """A script in a shell sees both."""
    ended = omipay(*arguments, stdin="{}")
    (line,) = ended.stderr.splitlines()
    assert (ended.returncode, said in line) == (code, True), line


def test_a_gateway_that_cannot_be_reached_is_exit_code_4(omipay: Omipay) -> None:
    """The request was never sent."""
    ended = omipay("rate", "AUD", "CNY", OMIPAY_BASE_URL="http://127.0.0.1:9/omipay/api")
    assert (ended.returncode, len(ended.stderr.splitlines())) == (4, 1)


def test_the_demo_needs_no_environment(omipay: Omipay) -> None:
    """It has its own gateway and merchant."""
    ended = omipay("demo", OMIPAY_BASE_URL="", OMIPAY_M_NUMBER="", OMIPAY_SECRET_KEY="")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "QueryRefund: Closed" in ended.stdout


def test_ctrl_c_while_qr_waits(served: Environment) -> None:
    """The message contains the order, which still exists."""
    arguments = [*OMIPAY, "qr", "Flat white", "450", "AUD", "T6", "WECHATPAY", "--json"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=served) as waiting:
        assert waiting.stdout is not None
        order_no = json.loads(waiting.stdout.readline())["order_no"]
        waiting.send_signal(signal.SIGINT)
        out, complaint = waiting.communicate(timeout=10)
    assert waiting.returncode == 130
    assert f"order {order_no} exists and may still be paid" in complaint
    assert json.loads(out)["error"] == "Interrupted"
