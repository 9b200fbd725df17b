"""The till of the guide: what the cashier reads for each answer, and after a lost reply."""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING

import pytest

from omipay_async.sandbox import Fault, PaymentCode, Sandbox
from omipay_async.sql import Books
from tests.support.entries import UNKNOWN, entry
from tests.support.markdown import DOCS, save_files
from tests.support.redis_server import free_port

from .programs import Program, hurry, running, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from omipay_async.sandbox.ledger import Order


ENDS = {"pays": "was PAID in the end", "declines": "was NOT PAID in the end"}
"""What a customer may do who was given up, and what the till shows then."""


def waiting(sandbox: Sandbox) -> list[Order]:
    """The orders whose customers have neither paid nor declined."""
    return [order for order in sandbox.ledger.orders.values() if order.status == "PAYING"]


@pytest.fixture
async def gateway() -> AsyncIterator[tuple[Sandbox, dict[str, str]]]:
    """A served sandbox, and the environment in which programs find it."""
    async with served() as serving:
        yield serving


@pytest.fixture
async def till(
    request: pytest.FixtureRequest, tmp_path: Path, gateway: tuple[Sandbox, dict[str, str]]
) -> AsyncIterator[tuple[Program, Sandbox]]:
    """The till and the notification service of the guide, as two processes. A parameter is how long the till waits."""
    sandbox, environment = gateway
    save_files(DOCS / "till.md", tmp_path)
    hurry(tmp_path / "till.py", ("first_wait=0, timeout=None", "first_wait=0, interval=0.2, timeout=None"))
    port = str(free_port())
    notify_url = f"http://127.0.0.1:{port}/omipay/notify"
    async with running(tmp_path, "notify.py", PORT=port, **environment) as service:
        await service.until("Running on")
        settings = environment | {"OMIPAY_NOTIFY_URL": notify_url, "TILL_TIMEOUT": getattr(request, "param", "5")}
        async with running(tmp_path, "till.py", **settings) as program:
            yield program, sandbox


async def test_the_cashier_reads_what_to_do(till: tuple[Program, Sandbox]) -> None:
    """Paid, declined, and an error after which the notification shows that the customer was charged."""
    program, sandbox = till
    for code, shown in (
        (PaymentCode.PAID, "PAID. Give the goods"),
        (PaymentCode.NOT_ENOUGH, "DECLINED. Ask for a fresh code"),
        (PaymentCode.SYSTEM_ERROR_ACTED, "PAID. Give the goods"),
    ):
        program.lines.clear()
        await program.type(code)
        await program.until(shown)
    assert not sandbox.ledger.charged_twice()


@pytest.mark.parametrize("till", ["0.5"], indirect=True)
async def test_a_lost_request_leaves_the_sale_unknown_and_is_listed_after_a_restart(
    till: tuple[Program, Sandbox], tmp_path: Path
) -> None:
    """No notification comes: the cashier must not scan again, and the next start of the till names the sale."""
    program, sandbox = till
    sandbox.faults.add(Fault.DROP_REQUEST, endpoint="MakeScanOrder", times=1)
    await program.type(PaymentCode.PAID)
    await program.until(": NOBODY KNOWS YET. Do not scan again")
    assert program.lines[-1].startswith("T1-"), "the cashier writes the number down"
    async with running(
        tmp_path,
        "till.py",
        OMIPAY_M_NUMBER=sandbox.merchant.m_number,
        OMIPAY_SECRET_KEY=sandbox.merchant.secret_key,
        OMIPAY_BASE_URL="http://127.0.0.1:9/omipay/api",
    ) as restarted:
        await restarted.until("Look into T1-")


async def test_a_sale_is_not_forgotten_if_the_till_is_killed_while_the_customer_types_a_password(
    till: tuple[Program, Sandbox], gateway: tuple[Sandbox, dict[str, str]], tmp_path: Path
) -> None:
    """The next start of the till names it, and shows what became of it. Sales that were finished are not named."""
    program, sandbox = till
    await program.type(PaymentCode.PAID)
    await program.until("PAID. Give the goods")
    async with contextlib.AsyncExitStack() as stack:
        for end, shown in ENDS.items():
            await program.type(PaymentCode.NEVER_PAYS)
            await program.until("... PAYING")
            program.process.kill()
            await program.end()
            program = await stack.enter_async_context(running(tmp_path, "till.py", **gateway[1]))
            await program.until("Look into T1-")
            (order,) = waiting(sandbox)
            await getattr(sandbox.customer, end)(order.order_no)
            await program.until(f"{order.out_order_no}: it {shown}")
            assert len([line for line in program.lines if "Look into" in line]) == 1


async def test_the_cashier_gives_up_a_customer_who_types_a_password(till: tuple[Program, Sandbox]) -> None:
    """Ctrl-C ends the wait, and neither the till nor the order: what became of it is shown later."""
    program, sandbox = till
    for end, shown in ENDS.items():
        program.lines.clear()
        await program.type(PaymentCode.NEVER_PAYS)
        await program.until("Ctrl-C stops waiting")
        program.process.send_signal(signal.SIGINT)
        await program.until(": NOBODY KNOWS YET. Do not scan again")
        program.process.send_signal(signal.SIGINT)
        await program.until("An empty line does.")
        await program.type(PaymentCode.PAID)
        await program.until("PAID. Give the goods")
        (order,) = waiting(sandbox)
        await getattr(sandbox.customer, end)(order.order_no)
        await program.until(f"{order.out_order_no}: it {shown}")
    program.close_input()
    await program.end()
    assert program.process.returncode == 0


async def test_what_is_scanned_during_a_sale_is_not_charged(till: tuple[Program, Sandbox]) -> None:
    """An impatient cashier scans again, for a customer who may pay yet. It is not charged when the wait ends either."""
    program, sandbox = till
    await program.type(PaymentCode.NEVER_PAYS)
    await program.until("stops waiting")
    await program.type(PaymentCode.PAID)
    await program.until("NOT CHARGED: the sale before it")
    program.process.send_signal(signal.SIGINT)
    await program.until("NOBODY KNOWS YET")
    await program.type(PaymentCode.PAID)  # the next customer
    await program.until("PAID. Give the goods")
    program.close_input()
    await program.end()
    assert [call.endpoint for call in sandbox.ledger.calls].count("MakeScanOrder") == 2


async def test_a_sale_whose_call_and_order_are_both_open_is_named_once(
    gateway: tuple[Sandbox, dict[str, str]], tmp_path: Path
) -> None:
    """As after a refusal with an unknown code that names an order. The sales of other tills are not named."""
    sandbox, environment = gateway
    save_files(DOCS / "till.md", tmp_path)
    async with Books(f"sqlite:///{tmp_path / 'till.db'}") as books:
        await books.create_tables()
        for number in ("T1-1", "T2-1"):
            call = entry(number, m_number=sandbox.merchant.m_number, outcome=UNKNOWN, order_no=f"TR{number}")
            await books.closing(call)
    async with running(tmp_path, "till.py", **environment) as program:
        await program.until("Look into")
        program.close_input()
        named = [line for line in (await program.end()).splitlines() if "Look into" in line]
    assert named == ["Look into T1-1: nobody knows yet whether it was paid."]


async def test_the_till_and_the_service_have_one_handler(tmp_path: Path) -> None:
    """Either of them may be the one that runs it, and it runs once only."""
    save_files(DOCS / "till.md", tmp_path)
    programs = [(tmp_path / name).read_text() for name in ("till.py", "notify.py")]
    assert ["def paid(" in program for program in programs] == [True, False]
