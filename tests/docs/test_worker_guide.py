"""The workers of the guide as processes: killed and stopped in the middle, they fulfil each order once."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import sqlite3
import sys
from typing import TYPE_CHECKING, Final

import attrs
import pytest

from omipay_async import AsyncOmipay, Order, Platform
from omipay_async.sandbox import Fault, PaymentCode, Sandbox
from omipay_async.sql import Books
from omipay_async.testing import ManualClock
from tests.support.markdown import DOCS, save_files
from tests.support.redis_server import RedisServer

from .programs import Program, eventually, hurry, needs, running, served, time_passes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ORDERS: Final = 100
PAID: Final = 75


@attrs.frozen
class Engine:
    """How the guide starts a worker, and how a program hands it an order."""

    package: str | None
    """What must be installed besides ours."""
    worker: tuple[str, ...]
    beside: tuple[str, ...] = ()
    """A process that starts periodic jobs."""
    enqueue: str = ""
    """The guide's program that makes a job of each order number that it is given."""
    sweep: str = ""
    """A program that starts a sweep, so that nobody has to wait for the next periodic one."""
    python: str = sys.executable


ENGINES: Final = {
    "own process": Engine(None, ("own_process.py",)),
    "taskiq": Engine(
        "taskiq",
        (
            *("-m", "taskiq", "worker", "taskiq_worker:broker", "--workers", "1"),
            *("--ack-type", "when_executed", "--wait-tasks-timeout", "5"),
        ),
        ("-m", "taskiq", "scheduler", "taskiq_worker:scheduler"),
        enqueue="taskiq_enqueue.py",
        sweep=(
            "import asyncio, taskiq_worker as shop\n"
            "async def main():\n"
            "    await shop.broker.startup()\n"
            "    await shop.sweep.kiq()\n"
            "    await shop.broker.shutdown()\n"
            "asyncio.run(main())\n"
        ),
    ),
    "arq": Engine(
        "arq",
        ("-m", "arq", "arq_worker.WorkerSettings"),
        enqueue="arq_enqueue.py",
        python=os.environ.get("ARQ_PYTHON", sys.executable),
    ),
    "celery": Engine(
        "celery",
        ("-m", "celery", "-A", "celery_worker", "worker", "--concurrency", "2"),
        ("-m", "celery", "-A", "celery_worker", "beat"),
        enqueue="celery_enqueue.py",
        sweep="import celery_worker\ncelery_worker.sweep.delay()\n",
    ),
}


@contextlib.asynccontextmanager
async def open_shop(sandbox: Sandbox, base_url: str, books_url: str) -> AsyncIterator[AsyncOmipay]:
    """Whoever makes the orders: a session with the books that the workers share."""
    async with Books(books_url) as books:
        await books.create_tables()
        async with AsyncOmipay(
            sandbox.merchant.m_number, sandbox.merchant.secret_key, base_url=base_url, journal=books, backend=books
        ) as omipay:
            yield omipay


async def make_order(omipay: AsyncOmipay, number: int = 1) -> str:
    """A customer with a QR code in front of them."""
    qr = await omipay.make_qr_order(
        order_name="Flat white", amount=450, currency="AUD", out_order_no=f"W-{number}", platform=Platform.ALIPAY
    )
    return qr.order_no


async def make_orders(omipay: AsyncOmipay) -> list[str]:
    """As many customers as there are orders, one after the other: a call waits only so long for the books."""
    return [await make_order(omipay, number) for number in range(ORDERS)]


def effects(database: Path) -> list[str]:
    """The orders that the handler had an effect for, as often as it had."""
    with contextlib.closing(sqlite3.connect(database)) as db:
        return [order_no for (order_no,) in db.execute("SELECT order_no FROM outbox")]


def end_leases(database: Path) -> None:
    """Let half a minute pass in which no worker runs: what the killed ones have claimed is free then."""
    with contextlib.closing(sqlite3.connect(database)) as db:
        db.execute("UPDATE omipay_order SET lease_until = made_at WHERE lease_until IS NOT NULL")
        db.commit()


def save_workers(folder: Path) -> None:
    """Save the programs of the page. Celery's, which wait for seconds, wait for a second."""
    save_files(DOCS / "worker.md", folder)
    hurry(
        folder / "celery_worker.py",
        ('"schedule": 20.0', '"schedule": 1.0'),
        ("retry(countdown=5)", "retry(countdown=1)"),
    )
    hurry(folder / "celery_enqueue.py", ("countdown=5", "countdown=1"))


OTHERS: Final = [
    pytest.param(name, marks=needs(engine.package)) for name, engine in ENGINES.items() if engine.package is not None
]
"""The frameworks for workers."""


@pytest.mark.parametrize("name", ["own process", *OTHERS])
async def test_each_paid_order_has_its_effect_once(name: str, tmp_path: Path) -> None:
    """One worker is killed with SIGKILL, one stopped with SIGTERM, in the middle; two others go on."""
    engine = ENGINES[name]
    save_workers(tmp_path)
    database = tmp_path / "books.db"
    with contextlib.closing(sqlite3.connect(database)) as db:
        db.execute("CREATE TABLE outbox (id INTEGER PRIMARY KEY, order_no TEXT, message TEXT)")
    with RedisServer(tmp_path) as redis:
        async with served() as (sandbox, environment), contextlib.AsyncExitStack() as stack:
            books_url = f"sqlite:///{database}"
            settings = environment | {"OMIPAY_BOOKS_URL": books_url, "REDIS_URL": redis.url}

            async def start(*command: str) -> Program:
                return await stack.enter_async_context(running(tmp_path, *command, python=engine.python, **settings))

            omipay = await stack.enter_async_context(open_shop(sandbox, environment["OMIPAY_BASE_URL"], books_url))
            orders = await make_orders(omipay)
            workers = [await start(*engine.worker), await start(*engine.worker)]
            if engine.beside:
                await start(*engine.beside)
            if engine.enqueue:
                enqueuing = await start(engine.enqueue, *orders)
                assert (await enqueuing.end(), enqueuing.process.returncode)[1] == 0, enqueuing.lines
            paid = random.Random(1).sample(orders, PAID)
            for order_no in paid[: PAID // 2]:
                await sandbox.customer.pays(order_no)
            await stack.enter_async_context(time_passes(database))
            await eventually(lambda: len(effects(database)) > PAID // 10)
            for worker, number in zip(workers, (signal.SIGKILL, signal.SIGTERM), strict=True):
                os.killpg(worker.process.pid, number)  # and its children
            if engine.sweep:
                await start("-c", engine.sweep)  # a worker of taskiq that has nothing to do ends with the next message
            for worker in workers:
                await worker.end()
            end_leases(database)
            for order_no in paid[PAID // 2 :]:
                await sandbox.customer.pays(order_no)
            await start(*engine.worker)
            await start(*engine.worker)
            if engine.sweep:
                await start("-c", engine.sweep)
            await eventually(lambda: set(effects(database)) == set(paid), 120)
    assert len(effects(database)) == PAID


@pytest.mark.parametrize("name", OTHERS)
async def test_the_log_names_an_order_whose_handler_fails(name: str, tmp_path: Path) -> None:
    """The table of the handler is missing, and nobody has enqueued a job: the sweep runs the handler, and says so."""
    engine = ENGINES[name]
    save_workers(tmp_path)
    database = tmp_path / "books.db"
    with RedisServer(tmp_path) as redis:
        async with served() as (sandbox, environment), contextlib.AsyncExitStack() as stack:
            books_url = f"sqlite:///{database}"
            settings = environment | {"OMIPAY_BOOKS_URL": books_url, "REDIS_URL": redis.url}
            omipay = await stack.enter_async_context(open_shop(sandbox, environment["OMIPAY_BASE_URL"], books_url))
            order_no = await make_order(omipay)
            await sandbox.customer.pays(order_no)
            await stack.enter_async_context(time_passes(database))
            programs = [
                await stack.enter_async_context(running(tmp_path, *command, python=engine.python, **settings))
                for command in (engine.worker, engine.beside)
                if command
            ]
            await programs[0].until(f"order {order_no}: the handler raised")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_own_process_ends_in_good_order(number: signal.Signals, tmp_path: Path) -> None:
    """On SIGTERM and on Ctrl-C, with exit code 0 and without a traceback, although its handler fails each time."""
    save_workers(tmp_path)
    books_url = f"sqlite:///{tmp_path / 'books.db'}"
    async with (
        served() as (sandbox, environment),
        open_shop(sandbox, environment["OMIPAY_BASE_URL"], books_url) as shop,
    ):
        settings = environment | {"OMIPAY_BOOKS_URL": books_url}
        async with running(tmp_path, "own_process.py", **settings) as program:
            order_no = await make_order(shop)
            await sandbox.customer.pays(order_no)
            async with time_passes(tmp_path / "books.db"):
                await program.until(f"order {order_no}: the handler raised")  # its table is missing
            program.process.send_signal(number)
            said = await program.end()
    assert program.process.returncode == 0
    assert "KeyboardInterrupt" not in said


@needs("celery")
async def test_a_customer_of_celery_who_does_not_pay_is_not_an_error(tmp_path: Path) -> None:
    """The last retry leaves the order to the sweep, as the page says; the log of a shop is not full of tracebacks."""
    save_workers(tmp_path)
    (tmp_path / "last_retry.py").write_text(
        "import celery_worker, sys\n"
        "result = celery_worker.settle.apply((sys.argv[1],), retries=30)\n"
        "celery_worker.shutdown()\n"
        "print(result.state, result.result)\n",
        encoding="utf-8",
    )
    books_url = f"sqlite:///{tmp_path / 'books.db'}"
    async with served() as (sandbox, environment):
        async with open_shop(sandbox, environment["OMIPAY_BASE_URL"], books_url) as omipay:
            order_no = await make_order(omipay)
        settings = environment | {"OMIPAY_BOOKS_URL": books_url}
        async with running(tmp_path, "last_retry.py", order_no, **settings) as program:
            await program.until("SUCCESS READY")


@needs("celery")
async def test_a_process_of_celery_that_was_started_before_its_database_fulfils_later(tmp_path: Path) -> None:
    """Its first task fails, and the next one finds the database there."""
    save_workers(tmp_path)
    database = tmp_path / "later" / "books.db"
    (tmp_path / "early.py").write_text(
        "import celery_worker, pathlib, sqlite3, sys\n"
        "print(celery_worker.settle.apply((sys.argv[1],), retries=30).state)\n"
        "pathlib.Path('later').mkdir()\n"
        "sqlite3.connect('later/books.db').execute('CREATE TABLE outbox (order_no TEXT, message TEXT)')\n"
        "print(celery_worker.settle.apply((sys.argv[1],), retries=30).state)\n"
        "celery_worker.shutdown()\n",
        encoding="utf-8",
    )
    async with served() as (sandbox, environment):
        other_books = f"sqlite:///{tmp_path / 'shop.db'}"
        async with open_shop(sandbox, environment["OMIPAY_BASE_URL"], other_books) as omipay:
            order_no = await make_order(omipay)
        await sandbox.customer.pays(order_no)
        settings = environment | {"OMIPAY_BOOKS_URL": f"sqlite:///{database}"}
        async with running(tmp_path, "early.py", order_no, **settings) as program:
            assert (await program.end()).splitlines() == ["FAILURE", "SUCCESS"]
    assert effects(database) == [order_no]


async def test_the_program_that_makes_an_order_to_try_a_worker_with(tmp_path: Path) -> None:
    """The order is in the books for the worker to ask about, and the table of the handler is there."""
    save_workers(tmp_path)
    async with served() as (sandbox, environment), running(tmp_path, "make_order.py", **environment) as program:
        await program.until("is waiting for its customer")
        await program.end()
        async with Books(f"sqlite:///{tmp_path / 'shop.db'}") as books:
            assert [order.order_no for order in await books.waiting()] == list(sandbox.ledger.orders)
    assert effects(tmp_path / "shop.db") == []


async def test_the_alarm_counts_a_charge_that_was_paid_and_that_queryorder_never_confirmed(tmp_path: Path) -> None:
    """Its handler has not run either: nothing but the reply to the charge has said that it is paid."""
    found = re.search(r"`(SELECT count.*< )\.\.\.`", (DOCS / "worker.md").read_text(encoding="utf-8"))
    assert found is not None
    database, clock = tmp_path / "books.db", ManualClock(auto=True)

    def alarm() -> int:
        with contextlib.closing(sqlite3.connect(database)) as connection:
            count: int = connection.execute(found[1] + "?", ["2100-01-01"]).fetchone()[0]
        return count

    async def handler(_: Order) -> None:
        pass

    async with (
        Sandbox(clock=clock) as sandbox,
        Books(f"sqlite:///{database}", clock=clock) as books,
        sandbox.session(journal=books, backend=books) as omipay,
    ):
        await books.create_tables()
        lost = sandbox.faults.add(Fault.DROP_REPLY, endpoint="QueryOrder")
        await omipay.make_scan_order(
            order_name="Flat white",
            amount=450,
            currency="AUD",
            out_order_no="T1-1",
            qrcode=PaymentCode.PAID,
            pos_no="till-1",
        )
        await clock.advance(10)
        assert (await books.sweep(omipay, handler)).errors == 1
        assert alarm() == 1
        sandbox.faults.remove(lost)
        await clock.advance(60)
        assert (await books.sweep(omipay, handler)).fulfilled == 1
        assert alarm() == 0
