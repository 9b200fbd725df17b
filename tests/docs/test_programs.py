"""The short programs of the README and the guides: each is saved under its name and run, as printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from omipay_async.sandbox import Fault
from tests.support.markdown import DOCS, ROOT, save_files
from tests.support.redis_server import RedisServer

from .programs import eventually, hurry, needs, running, served

if TYPE_CHECKING:
    from pathlib import Path

    from omipay_async.sandbox import Sandbox

README = ROOT / "README.md"


async def pay_the_first_order(sandbox: Sandbox) -> None:
    """The customer scans the code."""
    orders = await eventually(lambda: list(sandbox.ledger.orders))
    await sandbox.customer.pays(orders[0])


async def test_the_first_program(tmp_path: Path) -> None:
    """It makes an order, draws its code, waits, and says that it is paid."""
    save_files(README, tmp_path)
    hurry(tmp_path / "first.py", ("poll_until_paid(qr)", "poll_until_paid(qr, first_wait=0.2, interval=0.2)"))
    async with served() as (sandbox, environment), running(tmp_path, "first.py", **environment) as program:
        await pay_the_first_order(sandbox)
        await program.until("is PAID")


async def test_the_sandbox_in_one_process(tmp_path: Path) -> None:
    """USERPAYING, PAID, and a part is refunded."""
    save_files(README, tmp_path)
    async with running(tmp_path, "sandbox_example.py") as program:
        assert await program.end() == "PAID, 100 cents are on their way back\n"


async def test_the_handler_of_the_readme(tmp_path: Path) -> None:
    """It ships what was paid as agreed; of another amount, or of a sale that was paid before, it tells a person."""
    save_files(README, tmp_path)
    (tmp_path / "program.py").write_text(
        """
import asyncio
from fulfilment import books, handler
from omipay_async.sandbox import PaymentCode, Sandbox
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

TABLES = (
    "CREATE TABLE sale (no TEXT PRIMARY KEY, amount INTEGER, currency TEXT, paid INTEGER)",
    "CREATE TABLE outbox (order_no TEXT PRIMARY KEY, message TEXT)",
    "INSERT INTO sale VALUES ('S-1', 450, 'AUD', 0), ('S-2', 451, 'AUD', 0), ('S-3', 450, 'AUD', 1)",
)

async def main():
    async with books, Sandbox() as sandbox, sandbox.session(journal=books, backend=books) as omipay:
        await books.create_tables()
        engine = create_async_engine("sqlite+aiosqlite:///shop.db")
        async with engine.begin() as connection:
            for table in TABLES:
                await connection.execute(text(table))
        sale = {"order_name": "Flat white", "amount": 450, "currency": "AUD", "qrcode": PaymentCode.PAID, "pos_no": "1"}
        for number in ("S-1", "S-2", "S-3"):
            order = await omipay.settle(await omipay.make_scan_order(**sale, out_order_no=number), handler)
            print(number, order.order_no)
        async with engine.connect() as connection:
            for row in await connection.execute(text("SELECT order_no, message FROM outbox ORDER BY rowid")):
                print(row.order_no, row.message)
        await engine.dispose()

asyncio.run(main())
""",
        encoding="utf-8",
    )
    async with running(tmp_path, "-W", "error", "program.py") as program:
        lines = [line.split(" ", 1) for line in (await program.end()).splitlines()]
    orders = dict(lines[:3])
    assert lines[3:] == [
        [orders["S-1"], "ship S-1"],
        [orders["S-2"], f"look at order {orders['S-2']}"],
        [orders["S-3"], f"look at order {orders['S-3']}"],
    ]


async def test_a_notification_by_hand(tmp_path: Path) -> None:
    """It is confirmed, handled, and answered SUCCESS."""
    save_files(DOCS / "notifications.md", tmp_path)
    async with running(tmp_path, "by_hand.py") as program:
        assert await program.end() == 'S-1 is paid: 450 AUD\n200 {"return_code": "SUCCESS"}\n'


async def test_handlers_that_run_at_the_same_time(tmp_path: Path) -> None:
    """The guide's handler runs for thirty orders at once, for each of them twice: all are written down, once."""
    save_files(DOCS / "notifications.md", tmp_path)
    (tmp_path / "program.py").write_text(
        "import asyncio, handler, types\n"
        "async def main():\n"
        "    fields = {'amount': 450, 'currency': 'AUD'}\n"
        "    numbers = [{'order_no': f'TR{n}', 'out_order_no': f'S-{n}'} for n in range(30)] * 2\n"
        "    await asyncio.gather(*(handler.paid(types.SimpleNamespace(**each, **fields)) for each in numbers))\n"
        "    print(handler.sqlite3.connect('handler.db').execute('SELECT count(*) FROM outbox').fetchone())\n"
        "asyncio.run(main())\n",
        encoding="utf-8",
    )
    async with running(tmp_path, "program.py") as program:
        assert await program.end() == "(30,)\n"


@pytest.mark.parametrize(
    ("page", "program"),
    [
        ("operations.md", "logging_setup.py"),
        pytest.param("operations.md", "structlog_setup.py", marks=needs("structlog")),
        pytest.param("operations.md", "metrics.py", marks=needs("prometheus_client")),
        ("operations.md", "traces.py"),
        ("notifications.md", "handler.py"),
    ],
)
async def test_a_program_that_sets_something_up_says_nothing(page: str, program: str, tmp_path: Path) -> None:
    """It runs to its end."""
    save_files(DOCS / page, tmp_path)
    async with running(tmp_path, "-W", "error", program) as running_program:
        assert (await running_program.end(), running_program.process.returncode) == ("", 0)


async def test_a_key_is_changed(tmp_path: Path) -> None:
    """With an old key and without."""
    save_files(DOCS / "operations.md", tmp_path)
    for old in ("", "the old key"):
        async with (
            served() as (_, environment),
            running(tmp_path, "key_change.py", OLD_SECRET_KEY=old, **environment) as program,
        ):
            assert (await program.end()).startswith("the new key is accepted: A$1 is ")


async def test_doctor_answers_as_the_guide_says(tmp_path: Path) -> None:
    """Each check has a line, and a shell is told that all is well."""
    async with (
        served() as (_, environment),
        running(tmp_path, "-m", "omipay_async", "doctor", **environment) as program,
    ):
        said = await program.end()
        assert program.process.returncode == 0
    for check in ("configuration", "notify_url", "DNS", "TLS", "clock", "key"):
        assert any(line.startswith(check) for line in said.splitlines()), said


@needs("structlog")
@needs("prometheus_client")
async def test_logs_and_metrics_tell_of_an_unknown_outcome(tmp_path: Path) -> None:
    """The structured record has the number as a field; the counter has the outcome."""
    save_files(DOCS / "operations.md", tmp_path)
    (tmp_path / "program.py").write_text(
        "import asyncio, metrics, prometheus_client, structlog_setup\n"
        "from omipay_async import AsyncOmipay, OmipayError\n"
        "async def main():\n"
        "    async with AsyncOmipay.from_env(on_event=metrics.on_event) as omipay:\n"
        "        try:\n"
        "            await omipay.refund(order_no='TR1', out_refund_no='R-1', amount=1)\n"
        "        except OmipayError:\n"
        "            print(prometheus_client.generate_latest().decode())\n"
        "asyncio.run(main())\n",
        encoding="utf-8",
    )
    async with served() as (sandbox, environment):
        sandbox.faults.add(Fault.DROP_REQUEST, endpoint="Refund")
        async with running(tmp_path, "program.py", **environment) as program:
            said = await program.end()
    assert '"omipay_out_refund_no": "R-1"' in said
    assert 'omipay_calls_total{endpoint="Refund",error="OutcomeUnknown",outcome="UNKNOWN"} 1.0' in said


async def test_a_session_with_redis(tmp_path: Path) -> None:
    """The code that makes the backend opens and closes it."""
    save_files(DOCS / "notifications.md", tmp_path)
    program_file = tmp_path / "with_redis.py"
    text = program_file.read_text(encoding="utf-8")
    with RedisServer(tmp_path) as redis:
        program_file.write_text(text.replace("redis://localhost", redis.url), encoding="utf-8")
        async with served() as (sandbox, environment), running(tmp_path, "with_redis.py", **environment) as program:
            assert await program.end() == f"{sandbox.merchant.m_number}\n"


async def test_mypy_accepts_the_programs_of_the_guides(tmp_path: Path) -> None:
    """In its strict mode, too: a reader copies them into a project that is checked."""
    options = ("--strict", "--follow-imports=silent", f"--cache-dir={tmp_path / 'cache'}")
    for pages in (("books", "notifications"), ("shop", "testing", "till")):  # two pages have a till.py
        folder = tmp_path / pages[0]
        for page in pages:
            save_files(DOCS / f"{page}.md", folder)
        async with running(folder, "-m", "mypy", *options, ".", MYPYPATH=str(ROOT), PYTHONPATH="") as checker:
            assert (await checker.end()).startswith("Success: no issues found")
