"""The README's programs, run as they stand there."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from aiohttp import test_utils

from omipay_async import AsyncOmipay, Event, Outcome
from omipay_async.sandbox import Sandbox
from omipay_async.testing import ManualClock, assert_reconciled

if TYPE_CHECKING:
    from collections.abc import Iterator

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def block(name: str) -> str:
    """The program under the marker ``<!-- block: name -->``."""
    found = re.search(rf"<!-- block: {name} -->\n```python\n(.*?)```", README, re.DOTALL)
    assert found is not None, f"the README has no block {name}"
    return found.group(1)


def run(name: str) -> dict[str, Any]:
    """The names that the program defines."""
    names: dict[str, Any] = {"__name__": f"readme_{name}"}
    exec(compile(block(name), f"README.md:{name}", "exec", dont_inherit=True), names)
    return names


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A gateway in memory, which ``AsyncOmipay.from_env()`` leads to."""
    sandbox = Sandbox(clock=ManualClock(auto=True), seed=1)

    def from_env(**options: Any) -> AsyncOmipay:
        return sandbox.session(notify_url="http://shop.test/omipay/notify", **options)

    monkeypatch.setattr(AsyncOmipay, "from_env", from_env)
    return sandbox


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The README's ``shop`` module, with a database of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "shop.py").write_text(block("shop"), encoding="utf-8")
    sys.modules.pop("shop", None)
    import shop  # type: ignore[import-not-found]  # written one line above

    yield vars(shop)
    shop.db.close()
    del sys.modules["shop"]


async def test_first_program(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """The first program makes an order, draws its code, waits and tells that it is paid."""

    async def customer() -> None:
        await sandbox.clock.sleep(1)
        await sandbox.customer.pays(next(iter(sandbox.ledger.orders)))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(customer())
        await run("first")["main"]()
    assert "is PAID" in capsys.readouterr().out
    await sandbox.aclose()


async def test_sandbox_program(capsys: pytest.CaptureFixture[str]) -> None:
    """The program against the sandbox goes through USERPAYING to PAID and refunds a part."""
    await run("sandbox")["main"]()
    assert capsys.readouterr().out == "PAID, 100 cents are on their way back\n"


async def sale(client: httpx.AsyncClient, sandbox: Sandbox, shop: dict[str, Any]) -> None:
    """What both services promise: order, pay page, notification, outbox, status."""
    page = await client.post("/sales/S-1")
    (order,) = sandbox.ledger.orders.values()
    assert page.status_code == 303
    assert "sign=" in page.headers["location"]
    await sandbox.customer.pays(order.order_no)
    await sandbox.settle()
    assert [delivery.accepted for delivery in sandbox.ledger.deliveries] == [True]
    assert shop["db"].execute("SELECT message FROM outbox").fetchall() == [("ship S-1",)]
    assert (await client.get("/sales/S-1")).json() == {"status": "PAID"}
    assert shop["db"].execute("SELECT count(*) FROM outbox").fetchone() == (1,)


async def test_fastapi_service(sandbox: Sandbox, shop: dict[str, Any]) -> None:
    """The FastAPI service sells, is notified, and ships once."""
    app = run("fastapi")["app"]
    sandbox.app = app
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://shop.test") as client,
    ):
        await sale(client, sandbox, shop)
    await sandbox.aclose()


async def test_aiohttp_service(sandbox: Sandbox, shop: dict[str, Any]) -> None:
    """The aiohttp service sells, is notified, and ships once."""
    app = run("aiohttp")["app"]
    async with (
        test_utils.TestServer(app) as server,
        httpx.AsyncClient(base_url=str(server.make_url("/"))) as client,
    ):
        sandbox.app = _forward(client)
        await sale(client, sandbox, shop)
    await sandbox.aclose()


def _forward(client: httpx.AsyncClient) -> Any:
    """An ASGI app that hands notifications on to a service with a port."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        reply = await client.post(scope["path"], content=body)
        headers = [(b"content-type", reply.headers["content-type"].encode())]
        await send({"type": "http.response.start", "status": reply.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": reply.content})

    return app


async def test_the_handler_is_one_transaction(shop: dict[str, Any]) -> None:
    """A second run changes nothing, a run that breaks off leaves nothing behind."""
    db = shop["db"]
    sandbox = Sandbox(clock=ManualClock(auto=True), seed=1)
    async with sandbox, sandbox.session() as omipay:
        qr = await omipay.make_qr_order(
            order_name="Flat white", amount=450, currency="AUD", out_order_no="S-1", platform="UPI"
        )
        await sandbox.customer.pays(qr.order_no)
        order = await omipay.query_order(qr.order_no)
        db.execute("INSERT INTO sale VALUES ('S-1', 450, 'AUD', ?)", (qr.order_no,))
        db.execute("ALTER TABLE outbox RENAME TO away")
        with pytest.raises(Exception, match="outbox"):
            await shop["paid"](order)
        assert db.execute("SELECT count(*) FROM payment").fetchone() == (0,)
        db.execute("ALTER TABLE away RENAME TO outbox")
        await shop["paid"](order)
        await shop["paid"](order)
        assert db.execute("SELECT message FROM outbox").fetchall() == [("ship S-1",)]


async def test_a_wrong_amount_is_not_shipped(shop: dict[str, Any]) -> None:
    """A payment of another amount than the sale's is looked at by a person."""
    db = shop["db"]
    sandbox = Sandbox(clock=ManualClock(auto=True), seed=1)
    async with sandbox, sandbox.session() as omipay:
        qr = await omipay.make_qr_order(order_name="x", amount=1, currency="AUD", out_order_no="S-1", platform="UPI")
        await sandbox.customer.pays(qr.order_no)
        db.execute("INSERT INTO sale VALUES ('S-1', 450, 'AUD', ?)", (qr.order_no,))
        await omipay.fulfil(qr.order_no, shop["paid"])
    assert db.execute("SELECT message FROM outbox").fetchall() == [("look at S-1",)]


async def test_sweep(sandbox: Sandbox, shop: dict[str, Any]) -> None:
    """The sweep ships what was paid without a notification, and goes on past what cannot be asked."""
    db = shop["db"]
    async with sandbox.session() as omipay:
        qr = await omipay.make_qr_order(order_name="x", amount=450, currency="AUD", out_order_no="S-1", platform="UPI")
        await sandbox.customer.pays(qr.order_no)
        db.execute("INSERT INTO sale VALUES ('S-0', 450, 'AUD', 'NO-SUCH-ORDER')")
        db.execute("INSERT INTO sale VALUES ('S-1', 450, 'AUD', ?)", (qr.order_no,))
        await run("sweep")["sweep"](omipay)
    assert db.execute("SELECT message FROM outbox").fetchall() == [("ship S-1",)]
    await sandbox.aclose()


def test_events(capsys: pytest.CaptureFixture[str]) -> None:
    """The event hook tells of the calls of which nobody knows what became."""
    on_event = run("events")["on_event"]
    on_event(Event("call", endpoint="MakeScanOrder", out_order_no="S-1", error="X", outcome=Outcome.UNKNOWN))
    on_event(Event("call", endpoint="MakeScanOrder", out_order_no="S-2"))
    assert capsys.readouterr().out == "look into MakeScanOrder S-1: X\n"


async def test_storm(sandbox: Sandbox) -> None:
    """The storm passes over this library, and its faults do strike."""
    await run("storm")["storm"](sandbox)
    assert len(sandbox.ledger.orders) > 100
    assert sum(sandbox.ledger.acted(str(number)) == 0 for number in range(200)) > 5
    await sandbox.aclose()


async def test_plugin(omipay: AsyncOmipay, omipay_sandbox: Sandbox) -> None:
    """The test of a till passes with the plugin's fixtures."""
    await run("plugin")["test_my_till"](omipay, omipay_sandbox)


async def test_a_payment_that_nobody_knows_of_is_found(omipay: AsyncOmipay, omipay_sandbox: Sandbox) -> None:
    """A test that swallows an unknown outcome, or believes in money that is not there, fails and says why."""
    await omipay.make_scan_order(
        order_name="x", amount=1, currency="AUD", out_order_no="S-1", qrcode="1", pos_no="till-1"
    )
    assert_reconciled(omipay_sandbox, paid=[], unknown=["S-1"])
    with pytest.raises(AssertionError, match="your program does not know: S-1") as found:
        assert_reconciled(omipay_sandbox, paid=["S-2"])
    assert "not paid at the gateway: S-2" in str(found.value)
