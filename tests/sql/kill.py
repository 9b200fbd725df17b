"""The kill test: ``python -m tests.sql.kill --kills 500`` kills workers at every point, and compares the books.

The parent is the gateway: a sandbox on a socket, whose customers pay the orders that they know. The workers share one
database. After the last kill the notifications that no worker received are delivered once more, a sweep asks about the
orders that wait, and then the gateway's ledger and the books are compared.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import attrs

from omipay_async.sandbox import Sandbox
from omipay_async.sql import Books, SweepReport
from tests.support.entries import execute, make_due
from tests.support.postgres_server import PostgresServer
from tests.support.redis_server import free_port

from . import kill_worker

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.context import ForkServerProcess

AT_THE_GATEWAY = ("before the gateway acts", "after the gateway acted")
AT_RANDOM = "at random"
POINTS = (*kill_worker.IN_THE_WORKER, *AT_THE_GATEWAY, AT_RANDOM)
WORKERS = 2
_COLUMNS = ("order_no", "status", "due_at", "paid_at", "done_at", "closed_at", "owner", "lease_until")
_LONGEST_LIFE_S = 8.0
_MOST_SWEEPS = 10


class Gateway(Sandbox):
    """A sandbox that kills the worker whose call it receives, before or after it acts."""

    def __init__(self) -> None:
        super().__init__("123456", "secret", notify_interval=0.3)
        self.deaths: dict[int, str] = {}
        self.answered: list[str] = []
        """The orders whose numbers were received, so that their customers can pay."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        query = parse_qs(scope.get("query_string", b"").decode())
        number = (query.get("out_order_no") or query.get("out_refund_no") or [""])[0]
        pid = int(number[1:].partition("-")[0]) if number.startswith("W") else 0
        self._kill(pid, AT_THE_GATEWAY[0])
        orders = set(self.ledger.orders)

        async def answer(message: Any) -> None:
            self._kill(pid, AT_THE_GATEWAY[1])
            await send(message)

        await super().__call__(scope, receive, answer)
        self.answered += set(self.ledger.orders) - orders

    def _kill(self, pid: int, point: str) -> None:
        if self.deaths.get(pid) == point:
            del self.deaths[pid]
            os.kill(pid, signal.SIGKILL)

    async def customers(self) -> None:
        """Pay most of the orders that can be paid, until cancelled."""
        choice = random.Random(7)
        while True:
            await asyncio.sleep(0.02)
            seen, self.answered = self.answered, []
            for order_no in seen:
                order = self.ledger.orders[order_no]
                if order.endpoint == "MakeQROrder" and not order.status.is_final and choice.random() < 0.8:
                    await self.customer.pays(order_no)


@attrs.define
class Workers:
    """The worker processes, and the points at which they are killed."""

    base_url: str
    database: str
    gateway: Gateway
    kills: Counter[str] = attrs.field(factory=Counter)
    target: Callable[[str, str, int, str, int], object] = kill_worker.main
    _context: Any = attrs.field(factory=lambda: multiprocessing.get_context("forkserver"))
    _random: random.Random = attrs.field(factory=random.Random)

    async def run_until_killed(self, point: str, port: int) -> None:
        """Run one worker until it is killed at ``point``."""
        times = self._random.randint(1, 3)
        arguments = (self.base_url, self.database, port, point, times)
        process: ForkServerProcess = self._context.Process(target=self.target, args=arguments, daemon=True)
        process.start()
        pid = process.pid or 0
        if point in AT_THE_GATEWAY:
            self.gateway.deaths[pid] = point
        lifetime_s = self._random.uniform(0.2, 1.5) if point == AT_RANDOM else _LONGEST_LIFE_S
        await _wait_for(process, lifetime_s)
        self.kills[point if not process.is_alive() or point == AT_RANDOM else f"{point} (not reached)"] += 1
        self.gateway.deaths.pop(pid, None)
        if process.is_alive():
            os.kill(pid, signal.SIGKILL)
        await _wait_for(process, _LONGEST_LIFE_S)
        if process.exitcode != -signal.SIGKILL:
            message = f"a worker ended by itself, with {process.exitcode}"
            raise AssertionError(message)

    async def kill(self, count: int) -> None:
        """Run ``count`` workers, some at a time, until each is killed."""
        self._context.set_forkserver_preload(["tests.sql.kill_worker"])
        points = [POINTS[number % len(POINTS)] for number in range(count)]
        self._random.shuffle(points)
        waiting = iter(points)

        async def slot(port: int) -> None:
            for point in waiting:
                await self.run_until_killed(point, port)

        await asyncio.gather(*(slot(free_port()) for _ in range(WORKERS)))


async def _wait_for(process: ForkServerProcess, seconds: float) -> None:
    """Wait until a process has ended, without ``join`` in a thread.

    Each ``start`` of another process asks all of them for their ends too. An end can be read once: of two threads that
    ask for the same one, the second gets 255, whatever the process died of.
    """
    deadline = time.monotonic() + seconds
    while process.is_alive() and time.monotonic() < deadline:  # asyncio has no event for it
        await asyncio.sleep(0.01)


@attrs.frozen
class Verdict:
    """The result of the comparison: everything in ``wrong`` is a defect."""

    figures: dict[str, Any]
    wrong: list[str]


async def run(database: str, kills: int) -> Verdict:
    """Kill workers, sweep what is left, and compare the books with the gateway's ledger."""
    gateway = Gateway()
    async with Books(database) as books, gateway, gateway.serve() as base_url:
        await books.create_tables()
        await execute(books, "CREATE TABLE outbox (order_no TEXT)")
        workers = Workers(base_url, database, gateway)
        customers = asyncio.create_task(gateway.customers())
        try:
            await workers.kill(kills)
        finally:
            customers.cancel()
        await asyncio.sleep(2 * kill_worker.LEASE_S)  # until the leases and calls of the killed workers have ended
        await execute(books, "UPDATE omipay_call SET expires_at = started_at")
        before = await found(books, gateway)
        sweeps = await sweep_until_clean(database, base_url)
        swept = await found(books, gateway)
        await deliver(books, gateway, base_url)
        after = await found(books, gateway)
    figures = {
        "kills": dict(workers.kills),
        "sweeps": [f"{sweep.fulfilled} fulfilled, {sweep.errors} errors" for sweep in sweeps],
        "before the sweep": before.figures,
        "after it": swept.figures,
        "after notifications": after.figures,
    }
    return Verdict(
        figures,
        [
            *before.wrong,
            *swept.wrong,
            *after.wrong,
            *(f"{number}: paid, its number is known, no effect" for number in swept.unfulfilled),
            *(f"{number}: paid and notified, no effect" for number in after.unfulfilled + after.unknown),
        ],
    )


async def sweep_until_clean(database: str, base_url: str) -> list[SweepReport]:
    """Do what ``books.run`` does after a restart, without its pauses: sweep again while a sweep has errors.

    It uses the usual lease, because an answer that takes longer than a third of the lease is an error of the sweep.
    """
    sweeps: list[SweepReport] = []
    async with Books(database) as books, kill_worker.session(base_url, books) as omipay:
        while not sweeps or (sweeps[-1].errors and len(sweeps) < _MOST_SWEEPS):
            await make_due(books)
            sweeps.append(await books.sweep(omipay, books.transactional(ship), limit=100_000))
    return sweeps


async def ship(order: Any, connection: Any) -> None:
    """The shop's handler."""
    await connection.exec_driver_sql(f"INSERT INTO outbox (order_no) VALUES ('{order.order_no}')")


async def deliver(books: Books, gateway: Gateway, base_url: str) -> None:
    """Deliver the notifications that no living worker received once more."""
    taken = {delivery.order_no for delivery in gateway.ledger.deliveries if delivery.accepted}
    async with kill_worker.session(base_url, books) as omipay:
        for order in list(gateway.ledger.orders.values()):
            if order.is_paid and order.order_no not in taken:
                reply = await omipay.receive_notification(
                    gateway.notification(order.order_no), books.transactional(ship)
                )
                if reply.status != 200:
                    message = f"{order.order_no}: {reply.error!r}"
                    raise AssertionError(message)


@attrs.frozen
class Found:
    """What the gateway's ledger and the books have, side by side."""

    figures: dict[str, int]
    wrong: list[str]
    unfulfilled: list[str]
    """Paid orders whose number the books know, without effect, with what the books say of them."""
    unknown: list[str]
    """Paid orders whose number the books do not know, without effect."""


async def found(books: Books, gateway: Gateway) -> Found:
    """Compare the ledger with the books."""
    calls = await execute(books, "SELECT out_order_no, out_refund_no, order_no, refund_no, outcome FROM omipay_call")
    effects = Counter(row[0] for row in await execute(books, "SELECT order_no FROM outbox"))
    rows = await execute(books, f"SELECT {', '.join(_COLUMNS)} FROM omipay_order WHERE order_no IS NOT NULL")
    known = {row.order_no: dict(zip(_COLUMNS, row, strict=True)) for row in rows}
    by_sale = {row.out_order_no: row for row in calls if row.out_refund_no is None}
    by_refund = {row.out_refund_no: row for row in calls if row.out_refund_no is not None}
    orders, refunds = gateway.ledger.orders, gateway.ledger.refunds
    wrong = [
        *(
            # A declined scan order leaves a failed order behind, of which NOT_DONE is the truth.
            _compared(f"order {number}", by_sale.get(o.out_order_no), number, "order_no", stands=not o.status.is_failed)
            for number, o in orders.items()
        ),
        *(
            _compared(f"refund {number}", by_refund.get(r.out_refund_no), number, "refund_no", stands=True)
            for number, r in refunds.items()
        ),
        *(f"{number}: {times} effects" for number, times in effects.items() if times > 1),
        *(f"{number}: an effect of an unpaid order" for number in effects if not orders[number].is_paid),
        *(f"{row.order_no}: not the gateway's" for row in calls if row.order_no and row.order_no not in orders),
        *(f"{number}: charged twice" for number in gateway.ledger.charged_twice()),
    ]
    paid = [number for number, order in orders.items() if order.is_paid]
    without = [number for number in paid if number not in effects]
    outcomes = Counter(row.outcome or "open" for row in calls)
    figures = {"orders": len(orders), "paid": len(paid), "refunds": len(refunds), "calls": len(calls)}
    figures |= {"effects": len(effects), **{f"calls {name}": n for name, n in sorted(outcomes.items())}}
    figures |= {"paid without effect": len(without)}
    return Found(
        figures,
        [line for line in wrong if line],
        [f"{number} {orders[number].endpoint} {known[number]}" for number in without if number in known],
        [number for number in without if number not in known],
    )


def _compared(what: str, row: Any, number: str, column: str, *, stands: bool) -> str:
    """What is wrong with the call that made an order or refund; empty if its row is DONE or unresolved."""
    if row is None:
        return f"{what}: no row"
    if row.outcome == "NOT_DONE" and stands:
        return f"{what}: NOT_DONE, and it stands"
    if row.outcome == "DONE" and getattr(row, column) != number:
        return f"{what}: DONE with another number"
    return ""


def main() -> int:
    """Kill as many workers as ``--kills`` says, on both databases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--database", choices=["sqlite", "postgres"], action="append")
    options = parser.parse_args()
    defects = 0
    for kind in options.database or ["sqlite", "postgres"]:
        with contextlib.ExitStack() as stack:
            if kind == "sqlite":
                folder = stack.enter_context(tempfile.TemporaryDirectory())
                url = f"sqlite:///{Path(folder) / 'omipay.db'}"
            else:
                url = stack.enter_context(PostgresServer()).database()
            began = time.monotonic()
            verdict = asyncio.run(run(url, options.kills))
        print(f"{kind}, {options.kills} kills in {time.monotonic() - began:.0f} s")  # its report
        for name, value in verdict.figures.items():
            print(f"  {name}: {value}")
        print("  wrong:", *(verdict.wrong or ["nothing"]), sep="\n    ")
        defects += len(verdict.wrong)
    return min(defects, 1)


if __name__ == "__main__":
    sys.exit(main())
