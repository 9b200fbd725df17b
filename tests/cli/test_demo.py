"""The demo ends as expected, or reports what did not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from omipay_async.cli import demo
from omipay_async.cli.exit_codes import Exit
from omipay_async.cli.formatting import in_words
from omipay_async.cli.runner import Run
from omipay_async.errors import ConfigurationError
from omipay_async.sandbox import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from omipay_async.sandbox import Sandbox

    from .conftest import Cli


def test_the_steps_of_the_demo(cli: Cli) -> None:
    """USERPAYING to PAID, a refund to Closed, a QR order notified twice, and a lost reply that is resolved."""
    ended = cli("demo")
    assert (ended.code, ended.err) == (0, "")
    acts = ["USERPAYING", "QueryOrder: PAYING", "QueryOrder: PAID", "accepted", "QueryRefund: Applied"]
    acts += ["QueryRefund: Closed", "MakeQROrder", "▄▄▄▄▄", "customer: pays", "handler ran; answered 200"]
    acts += [
        "was not run again; answered 200",
        "written down before it is sent",
        "the reply was lost",
        "crash",
        "1 unresolved",
    ]
    acts += ["TILL-2002 is paid", "answered 200", "0 unresolved", "AUD 23.00 paid, AUD 2.00 of it refunded"]
    place = 0
    for act in acts:
        place = ended.out.index(act, place)
    assert ended.out.count("goods are shipped") == 2
    assert "clock jumps over every wait" in ended.out
    for words in ("8 hours later", "Closed: the money has arrived", "1 day and 8 hours passed on the demo's clock"):
        assert words in ended.out


def test_the_demo_in_chinese(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """OMIPAY_LANGUAGE chooses the language, and every sentence is translated."""
    monkeypatch.setenv("OMIPAY_LANGUAGE", "CHS")
    ended = cli("demo")
    assert ended.code == 0
    for words in ("8 小时后", "Closed：款项已到账", "1 笔结果未知", "0 笔结果未知", "演示时钟经过 1 天 8 小时"):
        assert words in ended.out
    for line in ended.out.splitlines():
        assert not line.strip() or any(character > "\u2500" for character in line), line


def test_the_demo_is_a_document_for_machines(cli: Cli) -> None:
    """With each step and its second on the demo's clock."""
    ended = cli("demo", "--json")
    assert ended.code == 0
    assert (ended.document["ok"], ended.document["paid"], ended.document["refunded"]) == (True, 2300, 200)
    times = [step["at_s"] for step in ended.document["timeline"]]
    assert times == sorted(times)
    assert times[-1] > 86_400, "a day and more has passed on its clock"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.5, "no time"), (1, "1 second"), (62, "1 minute and 2 seconds"), (2 * 86_400, "2 days"), (3600, "1 hour")],
)
def test_durations_in_words(seconds: float, said: str) -> None:
    """The two largest units, rounded down."""
    assert in_words(seconds) == said


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda sandbox: sandbox.faults.add(Fault.NOTIFICATION_DROP), "fulfilled is []"),
        (lambda sandbox: sandbox.faults.add(Fault.DROP_REPLY, endpoint="Refund"), "OutcomeUnknown"),
        (lambda sandbox: sandbox.faults.add(Fault.NOTIFICATION_FORGE, times=1), ""),
    ],
)
def test_the_demo_exits_with_0_only_if_it_ended_as_expected(
    capsys: pytest.CaptureFixture[str], spoil: Callable[[Sandbox], object], said: str
) -> None:
    """Without notifications or with a lost refund it exits with 1. A forged notification does no harm."""

    async def set_up(sandbox: Sandbox) -> None:
        spoil(sandbox)

    for json in (False, True):
        run = Run(lambda: pytest.fail("the demo opens a session of its own"), json=json)
        code = asyncio.run(demo.play(run, set_up))
        out, err = capsys.readouterr()
        assert code is (Exit.REFUSED if said else Exit.DONE)
        assert said in err
        assert ("InvalidSignature" in out or "not signed with this merchant's key" in out) is (not said)


def test_what_the_machine_lacks_is_no_failure_of_the_demo(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code is 2, as of every command."""

    async def fail(_: object) -> str:
        raise ConfigurationError("timezone 'Australia/Sydney' is not known to this machine: pip install tzdata")

    monkeypatch.setattr(demo.Shop, "sell_by_scanning", fail)
    for ended in (cli("demo"), cli("demo", "--json")):
        assert ended.code == 2
        assert ended.err.startswith("omipay: timezone 'Australia/Sydney' is not known to this machine")
