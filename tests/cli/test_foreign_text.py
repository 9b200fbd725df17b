"""What the gateway says on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .conftest import QR, scan

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Cli

HOSTILE = "\x07\x1b]0;title\x07\r\n\x85\xad\u180e\u200b\u202e\u2028\u2066\ufeff\U000e0041\nforged"
COMMANDS = {
    "rate": ("rate", "AUD", "CNY"),
    "qr": (*QR, "--timeout", "6"),
    "scan": scan("280000000000000001", "--yes"),
    "query": ("query", "TR1"),
    "wait": ("query", "TR1", "--wait", "--timeout", "20"),
    "refund": ("refund", "TR1", "R-1", "1", "--yes"),
    "refund-status": ("refund-status", "RF1"),
    "doctor": ("doctor",),
}
REPLIES: dict[str, dict[str, object]] = {
    "numbers": {"order_no": f"TR{HOSTILE}", "refund_no": f"RF{HOSTILE}", "platform": HOSTILE, "rate": 1},
    "statuses": {"order_no": "TR1", "refund_no": "RF1", "result_code": HOSTILE, "currency": HOSTILE, "amount": 1},
    "failure": {"return_code": "FAIL", "error_code": f"X{HOSTILE}", "error_msg": HOSTILE, "order_no": HOSTILE},
    "paying": {"return_code": "FAIL", "error_code": "USERPAYING", "error_msg": HOSTILE, "order_no": f"TR{HOSTILE}"},
    "waiting": {"order_no": f"TR{HOSTILE}", "result_code": "READY", "currency": "AUD", "amount": 450},
}


@pytest.fixture
def answer(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, object]], None]:
    """Lets the sandbox answer every call with these fields."""

    def answer(fields: dict[str, object]) -> None:
        reply = {"return_code": "SUCCESS", "qrcode": f"weixin://{HOSTILE}", **fields}
        monkeypatch.setattr(type(cli.sandbox.gateway), "answer", lambda *_, **__: reply)

    return answer


@pytest.mark.parametrize("language", ["EN", "CHS"])
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("reply", REPLIES)
def test_nothing_that_the_gateway_says_reaches_the_terminal_as_it_is(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, answer: Callable[..., None], *, command: str, reply: str, language: str
) -> None:
    """No bell, title, colour or new line does, and nothing that turns text round. Only the QR code has colours."""
    monkeypatch.setenv("OMIPAY_LANGUAGE", language)
    answer(REPLIES[reply])
    for options in ((), ("--json",)):
        ended = cli(*COMMANDS[command], *options)
        shown = (ended.out + ended.err).replace("\x1b[38;5;231;48;5;16m", "").replace("\x1b[0m", "")
        assert not set(shown) & (set(HOSTILE) - set("\n]0;titleforged")), ascii(shown)
        assert all(not line.startswith("forged") for line in shown.splitlines())


def test_nor_does_it_reach_the_progress_line_of_a_terminal(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, answer: Callable[..., None]
) -> None:
    """That line is redrawn several times, each time with the number of the order."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    answer(REPLIES["waiting"])
    ended = cli(*COMMANDS["qr"])
    assert "\x1b[" in ended.out  # it is drawn
    assert "\x1b]0;title" not in ended.out
