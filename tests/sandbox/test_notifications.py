"""Merchants are notified of payments: three correctly signed tries, to an app in memory or over HTTP."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from starlette.responses import Response

from omipay_async.sandbox import TOY_SECRET_KEY, Fault, PaymentCode, Sandbox
from omipay_async.sandbox.server import serve
from tests.support.waiting import until

from .raw import RawClient, md5

if TYPE_CHECKING:
    from omipay_async.testing import ManualClock

NOTIFY = "http://shop.test/omipay/notify"


async def passing(clock: ManualClock, seconds: float) -> None:
    """Let running tasks go on until they wait, and then advance the clock."""
    await clock.advance(0)
    await clock.advance(seconds)


class Shop:
    """A merchant's app, which keeps the notifications and answers as the test has set."""

    def __init__(self) -> None:
        self.answers: list[Response | Exception] = []
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[tuple[str, str, str]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        self.paths.append((scope["method"], scope["path"], headers[b"content-type"].decode()))
        self.bodies.append(json.loads((await receive())["body"]))
        answer = self.answers.pop(0) if self.answers else json_answer('{"return_code": "SUCCESS"}')
        if isinstance(answer, Exception):
            raise answer
        await answer(scope, receive, send)


def json_answer(text: str, status: int = 200, kind: str = "application/json") -> Response:
    return Response(text, status, media_type=kind)


@pytest.fixture
def shop(sandbox: Sandbox) -> Shop:
    shop = Shop()
    sandbox.app = shop
    return shop


async def test_every_field_is_there_and_signed_freshly(raw: RawClient, sandbox: Sandbox, shop: Shop) -> None:
    """The body has every field of CN 3.9, and a signature over a fresh nonce and the time."""
    number = await raw.scanned(out_order_no="T-1", notify_url=NOTIFY)
    await sandbox.settle()
    [body] = shop.bodies
    assert body["sign"] == md5("123456", body["timestamp"], body["nonce_str"], TOY_SECRET_KEY)
    assert {name: body[name] for name in body if name not in {"sign", "nonce_str"}} == {
        "return_code": "SUCCESS",
        "timestamp": 1_482_796_530_000,
        "order_no": number,
        "out_order_no": "T-1",
        "currency": "AUD",
        "total_amount": 100,
        "order_time": "20161227105530",
        "pay_time": "20161227105530",
        "exchange_rate": 501540000,
        "cny_amount": 502,
    }
    assert shop.paths == [("POST", "/omipay/notify", "application/json")]
    assert sandbox.app is shop


async def test_order_in_dollars(raw: RawClient, sandbox: Sandbox) -> None:
    """If the customer pays in dollars, ``pay_currency`` says so: ``cny_amount`` alone would mean CNY."""
    reply = await raw.ask("MakeOnlineOrder", platform="POLI")
    for sandbox.notifier.oddities in (False, True):
        body = json.loads(sandbox.notification(reply["order_no"]))
        assert (body["pay_currency"], int(body["cny_amount"])) == ("AUD", 100)


async def test_only_paid_orders_with_a_notify_url(raw: RawClient, sandbox: Sandbox, shop: Shop) -> None:
    """There is no notification for any other order."""
    await raw.scanned()
    number = (await raw.ask("MakeQROrder", notify_url=NOTIFY))["order_no"]
    await sandbox.customer.declines(number)
    await sandbox.settle()
    assert shop.bodies == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (json_answer("{}", 500), "HTTP 500"),
        (json_answer("ok"), "the answer is not JSON"),
        (json_answer('{"return_code": "FAIL"}'), "return_code is not SUCCESS"),
        (json_answer("[]"), "return_code is not SUCCESS"),
        (json_answer('{"return_code": "SUCCESS"}', kind="text/plain"), "application/json is wanted"),
    ],
)
async def test_answers_that_are_not_success(
    raw: RawClient,
    sandbox: Sandbox,
    shop: Shop,
    clock: ManualClock,
    *,
    answer: Response,
    said: str,
) -> None:
    """A notification that is not answered SUCCESS as JSON is sent again, and the ledger says what was wrong."""
    shop.answers = [answer]
    await raw.scanned(notify_url=NOTIFY)
    await passing(clock, 5)
    await sandbox.settle()
    first, second = sandbox.ledger.deliveries
    assert (first.accepted, second.accepted, second.number) == (False, True, 2)
    assert said in first.answer


async def test_three_tries_and_silence(raw: RawClient, sandbox: Sandbox, shop: Shop, clock: ManualClock) -> None:
    """There are three tries at intervals, each with a new signature; after the third nothing is sent."""
    shop.answers = [json_answer("{}") for _ in range(9)]
    await raw.scanned(notify_url=NOTIFY)
    await passing(clock, 3600)
    await sandbox.settle()
    assert [delivery.at_ms - 1_482_796_530_000 for delivery in sandbox.ledger.deliveries] == [0, 5_000, 10_000]
    assert len({body["nonce_str"] for body in shop.bodies}) == 3


async def test_repeats_may_be_word_for_word(raw: RawClient, sandbox: Sandbox, shop: Shop, clock: ManualClock) -> None:
    """It is not documented whether repeats have a new signature: the sandbox can do both."""
    sandbox.notifier.same_signature = True
    shop.answers = [json_answer("{}"), json_answer("{}")]
    await raw.scanned(notify_url=NOTIFY)
    await passing(clock, 60)
    assert len(shop.bodies) == 3
    assert shop.bodies[0] == shop.bodies[1] == shop.bodies[2]


async def test_app_that_fails(
    raw: RawClient, sandbox: Sandbox, shop: Shop, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception of the merchant's app is logged and is an answer of 500, and the next try is made."""
    shop.answers = [ZeroDivisionError("in the shop")]
    await raw.scanned(notify_url=NOTIFY)
    await passing(clock, 5)
    await sandbox.settle()
    assert [delivery.answer for delivery in sandbox.ledger.deliveries] == ["HTTP 500", "SUCCESS"]
    [record] = [record for record in caplog.records if record.name == "omipay_async.sandbox"]
    assert (record.levelno, record.exc_info and record.exc_info[0]) == (logging.ERROR, ZeroDivisionError)


async def test_app_that_does_not_answer(raw: RawClient, sandbox: Sandbox, clock: ManualClock) -> None:
    """The next tries come while the app still works on the first, which goes on until the sandbox is closed."""
    sandbox.notifier.timeout = 0.01
    sandbox.notifier.interval = 0.0
    begun, ended = [], []

    async def hangs(*_: object) -> None:
        begun.append(1)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    sandbox.app = hangs
    await raw.scanned(notify_url=NOTIFY)
    async with asyncio.timeout(60):
        await sandbox.settle()
    assert [delivery.answer for delivery in sandbox.ledger.deliveries] == ["no answer within 0.01 s"] * 3
    assert (len(begun), ended) == (3, [])
    await sandbox.aclose()
    assert len(ended) == 3


async def test_app_that_sends_no_response(raw: RawClient, sandbox: Sandbox) -> None:
    """An app that returns without a response has not accepted the notification, which is written down each time."""
    sandbox.notifier.interval = 0.0

    async def returns(*_: object) -> None: ...

    sandbox.app = returns
    await raw.scanned(notify_url=NOTIFY)
    await sandbox.settle()
    assert [delivery.number for delivery in sandbox.ledger.deliveries if not delivery.accepted] == [1, 2, 3]


async def test_the_type_of_an_answer_without_regard_to_case(raw: RawClient, sandbox: Sandbox, shop: Shop) -> None:
    """HTTP does not distinguish capital letters in the type of a content."""
    shop.answers = [json_answer('{"return_code": "SUCCESS"}', kind="Application/JSON; charset=utf-8")]
    await raw.scanned(notify_url=NOTIFY)
    await sandbox.settle()
    assert [delivery.answer for delivery in sandbox.ledger.deliveries] == ["SUCCESS"]


async def test_the_first_try_is_delayed(raw: RawClient, sandbox: Sandbox, shop: Shop, clock: ManualClock) -> None:
    """The first try goes out ``notify_delay`` seconds after payment."""
    sandbox.notifier.delay = 2.0
    await raw.scanned(notify_url="shop.test/no-scheme")
    await passing(clock, 1.9)
    assert shop.bodies == []
    await passing(clock, 0.1)
    assert [path for _, path, _ in shop.paths] == ["/no-scheme"]


async def test_delayed_payment(raw: RawClient, sandbox: Sandbox, shop: Shop, clock: ManualClock) -> None:
    """The notification of a customer who pays after ten seconds is sent at that time, without any query."""
    number = await raw.scanned(qrcode=PaymentCode.PAID_AFTER_SECONDS, notify_url=NOTIFY)
    await raw.scanned(qrcode=PaymentCode.PAID_AFTER_SECONDS)
    await passing(clock, 10)
    assert [body["order_no"] for body in shop.bodies] == [number]
    assert shop.bodies[0]["pay_time"] == "20161227105540"


async def test_one_notification(raw: RawClient, sandbox: Sandbox, shop: Shop, clock: ManualClock) -> None:
    """An order that the customer paid before its delayed outcome is notified once."""
    number = await raw.scanned(qrcode=PaymentCode.PAID_AFTER_SECONDS, notify_url=NOTIFY)
    await sandbox.customer.pays(number)
    await passing(clock, 60)
    await sandbox.settle()
    assert len(shop.bodies) == 1


def test_ledger_read_outside_the_loop(clock: ManualClock) -> None:
    """A test without an event loop may read the ledger; what is due is sent when a loop runs again."""
    shop = Shop()
    sandbox = Sandbox(clock=clock, app=shop)

    async def order() -> None:
        raw = RawClient(sandbox, clock)
        async with raw.http:
            await raw.scanned(qrcode=PaymentCode.PAID_AFTER_SECONDS, notify_url=NOTIFY)

    asyncio.run(order())
    clock.advance(10)
    assert sandbox.ledger.paid_total() == 100
    assert shop.bodies == []
    asyncio.run(sandbox.settle())
    assert len(shop.bodies) == 1


def test_a_delivery_goes_on_in_the_next_event_loop(clock: ManualClock) -> None:
    """A test that is not asynchronous calls ``asyncio.run`` for each step: no notification is lost between them."""
    clock.auto = True
    shop = Shop()
    sandbox = Sandbox(clock=clock, app=shop)

    async def pay() -> None:
        raw = RawClient(sandbox, clock)
        async with raw.http:
            made = await raw.ask("MakeQROrder", notify_url=NOTIFY)
        await sandbox.customer.pays(made["order_no"])

    async def first_try() -> None:
        clock.auto = False
        sandbox.notifier.start()
        await until_tried(sandbox, 1)

    asyncio.run(pay())
    assert shop.bodies == []
    shop.answers = [json_answer("{}")]
    asyncio.run(first_try())
    clock.auto = True
    asyncio.run(sandbox.settle())
    assert [(each.number, each.accepted) for each in sandbox.ledger.deliveries] == [(1, False), (2, True)]


async def test_closing_ends_deliveries(raw: RawClient, sandbox: Sandbox, shop: Shop, clock: ManualClock) -> None:
    """After ``aclose`` nothing more is sent, and no task is left."""
    shop.answers = [json_answer("{}")]
    await raw.scanned(notify_url=NOTIFY)
    await raw.scanned(qrcode=PaymentCode.PAID_AFTER_SECONDS, notify_url=NOTIFY)
    await passing(clock, 1)
    await sandbox.aclose()
    await sandbox.aclose()
    sandbox.notifier.start()
    await passing(clock, 60)
    assert len(shop.bodies) == 1
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def until_tried(sandbox: Sandbox, deliveries: int) -> None:
    """Return once so many deliveries were tried."""
    await until(lambda: len(sandbox.ledger.deliveries) >= deliveries)


async def test_without_an_app_it_goes_over_http(raw: RawClient, sandbox: Sandbox, clock: ManualClock) -> None:
    """Without an app the notification goes over HTTP; a server that cannot be reached is written down."""
    shop = Shop()
    async with serve(shop, "127.0.0.1", 0) as url:
        await raw.scanned(notify_url=url)
        await raw.scanned(notify_url="http://shop.test:port")
        await until_tried(sandbox, 2)
    await raw.scanned(notify_url=url)
    await until_tried(sandbox, 3)
    said = sorted(delivery.answer.partition(":")[0] for delivery in sandbox.ledger.deliveries)
    assert said == ["ConnectError", "InvalidURL", "SUCCESS"]
    assert len(shop.bodies) == 1


async def test_ports_that_do_not_exist(raw: RawClient, sandbox: Sandbox) -> None:
    """A URL that the HTTP library cannot connect to for any reason has failed three times, like every other one."""
    sandbox.notifier.interval = 0.0
    await raw.scanned(notify_url="http://127.0.0.1:99999")
    await sandbox.settle()
    assert [delivery.accepted for delivery in sandbox.ledger.deliveries] == [False] * 3


async def test_server_that_does_not_answer(raw: RawClient, sandbox: Sandbox) -> None:
    """A server that accepts the connection and is silent is given up after a while, and the connection is closed."""
    sandbox.notifier.timeout = 0.05
    sandbox.notifier.interval = 0.0
    closed = asyncio.Semaphore(0)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        closed.release()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        await raw.scanned(notify_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        async with asyncio.timeout(60):
            await sandbox.settle()
            for _ in range(3):
                await closed.acquire()
    assert {delivery.accepted for delivery in sandbox.ledger.deliveries} == {False}


# -- for unit tests -------------------------------------------------------------------------------------------------


def test_signing_helper(sandbox: Sandbox) -> None:
    """A unit test gets a notification with a valid signature for any fields; its own fields are kept."""
    signed = sandbox.sign_notification({"order_no": "TR1", "total_amount": 5})
    assert signed["sign"] == md5("123456", signed["timestamp"], signed["nonce_str"], TOY_SECRET_KEY)
    assert (signed["order_no"], signed["total_amount"]) == ("TR1", 5)
    old = sandbox.sign_notification({"timestamp": 1})
    assert old["sign"] == md5("123456", 1, old["nonce_str"], TOY_SECRET_KEY)
    assert sandbox.sign_notification({"sign": "wrong"})["sign"] == "wrong"


async def test_notification_of_an_order(raw: RawClient, sandbox: Sandbox) -> None:
    """The body for an order of the ledger, with some fields changed."""
    body = json.loads(sandbox.notification(await raw.scanned(), total_amount=1, out_order_no="X"))
    assert (body["total_amount"], body["out_order_no"], body["cny_amount"]) == (1, "X", 502)
    with pytest.raises(KeyError):
        sandbox.notification("TR0")


# -- faults of notifications ----------------------------------------------------------------------------------------


async def test_a_lost_one_is_one_of_three(raw: RawClient, sandbox: Sandbox, shop: Shop, clock: ManualClock) -> None:
    """A notification that is lost counts as one of the three."""
    sandbox.faults.add(Fault.NOTIFICATION_DROP, times=3)
    await raw.scanned(notify_url=NOTIFY)
    await passing(clock, 60)
    assert shop.bodies == []
    assert [delivery.accepted for delivery in sandbox.ledger.deliveries] == [False] * 3


async def test_it_may_come_twice(raw: RawClient, sandbox: Sandbox, shop: Shop) -> None:
    """A notification may come twice, word for word, although the first was answered SUCCESS."""
    sandbox.faults.add(Fault.NOTIFICATION_DUPLICATE, endpoint="MakeScanOrder")
    await raw.scanned(notify_url=NOTIFY)
    await sandbox.settle()
    assert shop.bodies == [shop.bodies[0]] * 2


async def test_it_may_come_after_a_later_one(raw: RawClient, sandbox: Sandbox, shop: Shop, clock: ManualClock) -> None:
    """A notification may come after that of a later order."""
    sandbox.faults.add(Fault.NOTIFICATION_REORDER, times=1)
    first, second = [await raw.scanned(notify_url=NOTIFY) for _ in range(2)]
    await passing(clock, 60)
    assert [body["order_no"] for body in shop.bodies] == [second, first]


async def test_forge_and_tamper(raw: RawClient, sandbox: Sandbox, shop: Shop) -> None:
    """Before the true one comes one with a wrong signature, and one with a valid signature and a wrong amount."""
    sandbox.faults.add(Fault.NOTIFICATION_FORGE, times=1)
    sandbox.faults.add(Fault.NOTIFICATION_TAMPER, times=1)
    await raw.scanned(notify_url=NOTIFY)
    await sandbox.settle()
    right = [
        body["sign"] == md5("123456", body["timestamp"], body["nonce_str"], TOY_SECRET_KEY) for body in shop.bodies
    ]
    assert right == [False, True, True]
    assert [body["total_amount"] for body in shop.bodies] == [100, 1000, 100]
