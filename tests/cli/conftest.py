"""The command line in this process, with a session for a sandbox in memory whose clock jumps over every wait."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import sys
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from omipay_async import OrderStatus
from omipay_async.cli import main
from omipay_async.sandbox import TOY_M_NUMBER, TOY_SECRET_KEY, Sandbox
from omipay_async.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from omipay_async import AsyncOmipay, Event

VARIABLES = ("M_NUMBER", "SECRET_KEY", "REGION", "BASE_URL", "LANGUAGE", "NOTIFY_URL")


QR = ("qr", "Flat white", "450", "AUD", "T1", "WECHATPAY")


def scan(code: str, *options: str) -> tuple[str, ...]:
    """The arguments of a charge."""
    return ("scan", "Flat white", "450", "AUD", "T1", code, "till-1", *options)


class Keyboard(io.TextIOWrapper):
    """Standard input: a terminal, or a file."""

    def __init__(self, content: str | bytes, *, terminal: bool, encoding: str = "utf-8") -> None:
        data = content.encode(encoding) if isinstance(content, str) else content
        super().__init__(io.BytesIO(data), encoding)
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@attrs.frozen
class Ended:
    """The result of a command: exit code and output."""

    code: int
    out: str
    err: str

    @property
    def documents(self) -> list[dict[str, Any]]:
        """Each line of standard output as JSON."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def document(self) -> dict[str, Any]:
        """The only line of standard output as JSON."""
        (document,) = self.documents
        return document

    @property
    def complaint(self) -> str:
        """The only line of standard error."""
        (line,) = self.err.splitlines()
        return line


@attrs.define
class Cli:
    """``cli("rate", "AUD", "CNY")`` runs ``omipay rate AUD CNY``."""

    sandbox: Sandbox
    clock: ManualClock
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    options: dict[str, Any] = attrs.field(factory=dict)
    """Of the session."""
    watchers: list[Callable[[Event], object]] = attrs.field(factory=list)
    """Called with each event of the session, within its loop."""

    def __call__(
        self, *arguments: str, stdin: str | bytes = "", terminal: bool = False, encoding: str = "utf-8"
    ) -> Ended:
        self.monkeypatch.setattr(sys, "stdin", Keyboard(stdin, terminal=terminal, encoding=encoding))
        code = main(arguments, open_session=self.open_session)
        out, err = self.capsys.readouterr()
        return Ended(code, out, err)

    def open_session(self, *, on_event: Callable[[Event], None], **options: Any) -> AsyncOmipay:
        def tell(event: Event) -> None:
            on_event(event)
            for watch in self.watchers:
                watch(event)

        return self.sandbox.session(on_event=tell, **{**options, **self.options})

    def after(self, endpoint: str, act: Callable[[Event], object]) -> None:
        """Call ``act`` as soon as a call of ``endpoint`` has ended."""
        self.watchers.append(lambda event: event.name == "call" and event.endpoint == endpoint and act(event))

    def customer_pays_after(self, seconds: float) -> None:
        """Let the customer of a QR order pay it some time after it was made."""
        customers = set()

        async def pay(order_no: str) -> None:
            await self.clock.sleep(seconds)
            await self.sandbox.customer.pays(order_no)

        def begin_paying(event: Event) -> None:
            assert event.order_no is not None
            customers.add(asyncio.get_running_loop().create_task(pay(event.order_no)))

        self.after("MakeQROrder", begin_paying)

    def move_order(self, order_no: str | None, status: str) -> None:
        """Let the status of an order become ``status``."""
        self.sandbox.ledger.move_order(self.sandbox.ledger.orders[order_no or ""], OrderStatus(status))

    def sold(self, amount: int = 450, out_order_no: str = "T1") -> str:
        """The number of an order that was paid by scanning."""
        self("scan", "Flat white", str(amount), "AUD", out_order_no, "280000000000000000", "till-1", "--yes")
        return next(reversed(self.sandbox.ledger.orders))

    def refunded(self) -> str:
        """The number of a refund that was accepted."""
        self("refund", self.sold(), "R1", "200", "--yes")
        return next(reversed(self.sandbox.ledger.refunds))


def press_ctrl_c(*_: object) -> None:
    """Interrupt the process, as a terminal does."""
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the test merchant, without a proxy and a terminal."""
    for name in VARIABLES:
        monkeypatch.delenv(f"OMIPAY_{name}", raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMIPAY_M_NUMBER", TOY_M_NUMBER)
    monkeypatch.setenv("OMIPAY_SECRET_KEY", TOY_SECRET_KEY)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    clock = ManualClock(auto=True)
    return Cli(Sandbox(clock=clock, seed=1), clock, capsys, monkeypatch)
