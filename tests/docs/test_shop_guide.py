"""The shop of the guide, in both frameworks: it sells once, whatever is lost, repeated or declined."""

from __future__ import annotations

import asyncio
import contextlib
import runpy
import sqlite3
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg
import httpx
import pytest
import pytest_asyncio
from sqlalchemy import text

from omipay_async import OrderStateError
from omipay_async.sandbox import Fault, PaymentCode, Sandbox
from omipay_async.sql import Books
from tests.support.entries import order, until_blocked
from tests.support.markdown import DOCS, save_files
from tests.support.postgres_server import PostgresServer
from tests.support.redis_server import free_port

from .programs import Program, eventually, running, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from omipay_async.sandbox.ledger import Order

FRAMEWORKS = {
    "FastAPI": ("-m", "uvicorn", "fastapi_shop:app", "--port", "PORT"),
    "aiohttp": ("aiohttp_shop.py",),
}
sold = pytest.mark.asyncio(loop_scope="module")  # the shop serves several tests


class Shop(NamedTuple):
    """A running shop and the gateway that it sells through."""

    client: httpx.AsyncClient
    sandbox: Sandbox
    folder: Path
    program: Program
    before: tuple[int, int] = (0, 0)
    """How many orders and messages there were before the test."""

    def orders(self) -> list[Order]:
        """The orders that the gateway has."""
        return list(self.sandbox.ledger.orders.values())[self.before[0] :]

    def outbox(self) -> list[str]:
        """What is to be done."""
        with contextlib.closing(sqlite3.connect(self.folder / "shop.db")) as db:
            messages = [message for (message,) in db.execute("SELECT message FROM outbox ORDER BY rowid")]
        return messages[self.before[1] :]


@contextlib.asynccontextmanager
async def selling(folder: Path, framework: str, **settings: str) -> AsyncIterator[Shop]:
    """The guide's shop, started as the guide says."""
    save_files(DOCS / "shop.md", folder)
    port = str(free_port())
    url = f"http://127.0.0.1:{port}"
    command = [port if word == "PORT" else word for word in FRAMEWORKS[framework]]
    settings |= {"PORT": port, "OMIPAY_NOTIFY_URL": f"{url}/omipay/notify"}
    async with (
        served() as (sandbox, environment),
        running(folder, *command, **settings, **environment) as program,
        httpx.AsyncClient(base_url=url, trust_env=False) as client,
    ):
        await program.until("running on" if framework == "FastAPI" else "Running on")
        yield Shop(client, sandbox, folder, program)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=list(FRAMEWORKS))
async def one_shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    """One process for all tests, since it needs longer to start than they do."""
    async with selling(tmp_path_factory.mktemp("shop"), request.param) as shop:
        yield shop


@pytest_asyncio.fixture(loop_scope="module")
async def shop(one_shop: Shop) -> AsyncIterator[Shop]:
    """The running shop, as if it had sold nothing yet."""
    yield one_shop._replace(before=(len(one_shop.orders()), len(one_shop.outbox())))
    one_shop.sandbox.faults.clear()
    one_shop.sandbox.merchant.web_store = True


@sold
async def test_a_sale_is_paid_and_shipped_once(shop: Shop) -> None:
    """A click leads to the pay page; a second click to the same order; the notification ships, once."""
    first = await shop.client.post("/sales/S-1")
    second = await shop.client.post("/sales/S-1")
    assert [first.status_code, second.status_code] == [303, 303]
    assert "sign=" in first.headers["location"]
    (order,) = shop.orders()
    assert (await shop.client.get("/sales/S-1")).json() == {"status": "open"}
    await shop.sandbox.customer.pays(order.order_no)
    await eventually(shop.outbox)
    deliveries = shop.sandbox.ledger.deliveries
    await eventually(lambda: [each.accepted for each in deliveries if each.order_no == order.order_no] == [True])
    assert shop.outbox() == ["ship S-1"]
    assert (await shop.client.get("/sales/S-1")).json() == {"status": "paid"}
    third = await shop.client.post("/sales/S-1")
    assert (third.status_code, third.headers["location"]) == (303, "/sales/S-1")


@sold
async def test_a_customer_whose_payment_failed_may_pay_again(shop: Shop) -> None:
    """Not on the page of the order that failed, but of a new one, under a new number."""
    first = await shop.client.post("/sales/S-5")
    (failed,) = shop.orders()
    await shop.sandbox.customer.declines(failed.order_no)
    second = await shop.client.post("/sales/S-5")
    assert (first.status_code, second.status_code) == (303, 303)
    _, made = shop.orders()
    assert made.out_order_no == "S-5-2"
    await shop.sandbox.customer.pays(made.order_no)
    await eventually(shop.outbox)
    assert shop.outbox() == ["ship S-5"]


@sold
async def test_a_customer_who_has_paid_is_not_led_to_the_pay_page(shop: Shop) -> None:
    """Although the notification has not come yet. It comes late, so that no later test finds this sale shipped."""
    shop.sandbox.faults.add(Fault.NOTIFICATION_DROP)
    await shop.client.post("/sales/S-6")
    (order,) = shop.orders()
    await shop.sandbox.customer.pays(order.order_no)
    again = await shop.client.post("/sales/S-6")
    assert (again.status_code, again.headers["location"]) == (303, "/sales/S-6")
    late = await shop.client.post("/omipay/notify", content=shop.sandbox.notification(order.order_no))
    assert (late.status_code, shop.outbox()) == (200, ["ship S-6"])


@sold
async def test_a_lost_reply_is_followed_by_a_new_order_under_a_new_number(shop: Shop) -> None:
    """Nobody has the lost order's page: the customer is asked to try again, and pays the second one."""
    shop.sandbox.faults.add(Fault.DROP_REPLY, endpoint="MakeQROrder", times=1)
    assert (await shop.client.post("/sales/S-2")).status_code == 503
    assert (await shop.client.post("/sales/S-2")).status_code == 303
    lost, made = shop.orders()
    assert [lost.out_order_no, made.out_order_no] == ["S-2-1", "S-2-2"]
    await shop.sandbox.customer.pays(made.order_no)
    await eventually(shop.outbox)
    assert shop.outbox() == ["ship S-2"]


@sold
async def test_a_sale_is_found_although_its_order_no_was_never_stored(shop: Shop) -> None:
    """The notification of an order whose reply was lost ships the sale: it is looked up by ``out_order_no``."""
    shop.sandbox.faults.add(Fault.DROP_REPLY, endpoint="MakeQROrder", times=1)
    assert (await shop.client.post("/sales/S-4")).status_code == 503
    (order,) = shop.orders()
    await shop.sandbox.customer.pays(order.order_no)
    await eventually(shop.outbox)
    assert shop.outbox() == ["ship S-4"]
    assert (await shop.client.get("/sales/S-4")).json() == {"status": "paid"}


@sold
async def test_what_does_not_exist_is_not_found(shop: Shop) -> None:
    """A sale that nobody made."""
    assert (await shop.client.get("/sales/nothing")).status_code == 404


@sold
async def test_a_refused_order_is_told_as_such(shop: Shop) -> None:
    """The gateway refuses the order: no money moved, and the customer reads a sentence."""
    shop.sandbox.merchant.web_store = False
    reply = await shop.client.post("/sales/S-3")
    assert reply.status_code == 502
    assert "try again" in reply.text
    await shop.program.until("sale S-3: MakeQROrder: WEBSTORE_NOT_EXISTS")


async def test_the_shop_sells_over_postgresql(tmp_path: Path) -> None:
    """The same statements work there. Clicks at the same moment do not disturb each other."""
    with PostgresServer() as server:
        url = server.database()
        async with selling(tmp_path, "FastAPI", SHOP_DB=url.replace(":", "+asyncpg:", 1)) as shop:
            clicks = await asyncio.gather(*(shop.client.post("/sales/S-7") for _ in range(5)))
            assert [click.status_code for click in clicks] == [303] * 5
            for order in shop.orders()[:2]:
                await shop.sandbox.customer.pays(order.order_no)
            await eventually(lambda: [each.accepted for each in shop.sandbox.ledger.deliveries] == [True] * 2)
            assert (await shop.client.get("/sales/S-7")).json() == {"status": "paid"}
        connection = await asyncpg.connect(url)
        messages = [
            row["message"] for row in await connection.fetch("SELECT message FROM outbox ORDER BY message DESC")
        ]
        await connection.close()
        assert messages[0] == "ship S-7"
        assert [message.split()[0] for message in messages[1:]] == ["refund"]


async def test_a_refund_ends_in_one_of_three_answers(tmp_path: Path) -> None:
    """Accepted; refused, since nothing is left; or unknown: then the books list it."""
    save_files(DOCS / "shop.md", tmp_path)
    async with Books(f"sqlite:///{tmp_path / 'shop.db'}") as books, served() as (sandbox, environment):
        await books.create_tables()
        async with sandbox.session() as omipay:
            made = await omipay.make_qr_order(
                order_name="Flat white", amount=450, currency="AUD", out_order_no="S-9-1", platform="ALIPAY"
            )
        await sandbox.customer.pays(made)

        async def said(amount: int) -> str:
            async with running(
                tmp_path, "-W", "error", "refund.py", made.order_no, str(amount), **environment
            ) as program:
                return await program.end()

        assert (await said(440)).startswith("ACCEPTED as RF")
        assert "NOT REFUNDED: Refund: AMOUNT_OVER_LIMIT" in await said(450)
        sandbox.faults.add(Fault.DROP_REPLY, endpoint="Refund")
        assert (await said(10)).startswith("NOBODY KNOWS.")
        assert [entry.amount for entry in await books.unresolved()] == [10]


async def test_a_second_click_on_a_refund_button_refunds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The form brings the same number again. Its next refund has another one."""
    save_files(DOCS / "shop.md", tmp_path)
    monkeypatch.setenv("SHOP_DB", f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}")
    monkeypatch.syspath_prepend(tmp_path)
    program = SimpleNamespace(**runpy.run_path(str(tmp_path / "refund.py")))
    try:
        async with program.books, Sandbox() as sandbox, sandbox.session(journal=program.books) as omipay:
            await program.create_tables()
            made = await omipay.make_scan_order(
                order_name="Tea", amount=450, currency="AUD", out_order_no="S-9-1", qrcode=PaymentCode.PAID, pos_no="1"
            )
            clicks = [program.give_back(omipay, number, made.order_no, 100) for number in ("R-1", "R-1", "R-2")]
            said = await asyncio.gather(*clicks)
            assert [words.split()[0] for words in sorted(said)] == ["ACCEPTED", "ACCEPTED", "ASKED"]
            assert sandbox.ledger.refunded_total() == 200
    finally:
        await program.engine.dispose()
        del sys.modules["shop"]


async def test_accepted_refunds_are_asked_about_until_they_have_ended(tmp_path: Path) -> None:
    """One that fails days later is told to a person, once; a refused one is not asked about."""
    save_files(DOCS / "shop.md", tmp_path)
    async with Books(f"sqlite:///{tmp_path / 'shop.db'}") as books, served() as (sandbox, environment):
        await books.create_tables()
        async with sandbox.session(journal=books) as omipay:
            made = await omipay.make_qr_order(
                order_name="Flat white", amount=450, currency="AUD", out_order_no="S-9-1", platform="ALIPAY"
            )
            await sandbox.customer.pays(made)
            for number, amount in (("R-1", 100), ("R-2", 200)):
                await omipay.refund(order_no=made.order_no, out_refund_no=number, amount=amount)
            with pytest.raises(OrderStateError):
                await omipay.refund(order_no=made.order_no, out_refund_no="R-3", amount=300)

        async def said() -> str:
            async with running(tmp_path, "-W", "error", "refunds.py", **environment) as program:
                return await program.end()

        assert await said() == ""
        first, second = sandbox.ledger.refunds
        await sandbox.advance_refund(first, "OrganizationFailed")
        sandbox.faults.add(Fault.SYSTEM_ERROR, endpoint="QueryRefund", times=3)
        assert (await said()).startswith(f"{first}: ask again tomorrow: QueryRefund: ")
        assert await said() == f"{first} of order {made.order_no}, 100: OrganizationFailed. It was NOT paid back.\n"
        await sandbox.advance_refund(second, "Closed")
        assert await said() == ""
        asked = len(sandbox.ledger.calls)
        assert await said() == ""
        assert len(sandbox.ledger.calls) == asked, "both have ended"


async def test_two_orders_of_one_sale_that_are_paid_at_the_same_moment_are_shipped_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over PostgreSQL two handlers can run at once. The second one waits for the sale that the first one has taken."""
    save_files(DOCS / "shop.md", tmp_path)
    with PostgresServer() as server:
        monkeypatch.setenv("SHOP_DB", server.database().replace(":", "+asyncpg:", 1))
        shop: Any = SimpleNamespace(**runpy.run_path(str(tmp_path / "shop.py")))
        await shop.create_tables()
        numbers = [(await shop.open_attempt("S-8"))[0] for _ in range(2)]
        async with shop.engine.connect() as first, shop.engine.connect() as second, shop.engine.connect() as outside:
            await shop.paid(order("TR1", numbers[0]), first)
            waiting = asyncio.create_task(shop.paid(order("TR2", numbers[1]), second))
            await until_blocked(outside)
            await first.commit()
            await waiting
            await second.commit()
            messages = (await outside.execute(text("SELECT message FROM outbox ORDER BY order_no"))).scalars().all()
        await shop.books.aclose()
        await shop.engine.dispose()
    assert [message.split()[0] for message in messages] == ["ship", "refund"]
