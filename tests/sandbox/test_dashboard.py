"""What a developer's browser sees, and what its buttons do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from html import escape
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.responses import Response

from omipay_async import APIError, Language
from omipay_async.protocol.endpoints import ENDPOINTS
from omipay_async.sandbox import ORDER_LIFE, PAYMENT_CODES, Fault, PaymentCode, Sandbox
from omipay_async.sandbox.asgi import ConnectionDropped
from omipay_async.sandbox.faults import FAULTS
from omipay_async.sandbox.live import MOST_STREAMS
from omipay_async.sandbox.web.snippets import as_python

from .raw import WANTED, RawClient, md5

if TYPE_CHECKING:
    from omipay_async.testing import ManualClock


async def test_dashboard_shows_everything(raw: RawClient, sandbox: Sandbox) -> None:
    """Orders, refunds, calls with what was wrong, notifications, and the payment codes; the key nowhere."""

    async def unavailable(scope: Any, receive: Any, send: Any) -> None:
        await Response(status_code=503)(scope, receive, send)

    sandbox.app = unavailable
    number = await raw.scanned(out_order_no="T-1", notify_url="http://shop.test/notify")
    while not sandbox.ledger.deliveries:
        await sandbox.clock.sleep(0)
    refund = (await raw.ask("Refund", order_no=number))["refund_no"]
    await raw.ask("QueryOrder", order_no=number, sign="x" * 32)
    sandbox.faults.add(Fault.DROP_REQUEST, times=1)
    sandbox.faults.add(Fault.EMPTY, endpoint="Refund")
    page = await raw.http.get("/", headers={"accept-language": "en"})
    for piece in (
        number,
        refund,
        "T-1",
        "1.00",
        "0.30",
        "SIGN_ERROR",
        "not 32 hexadecimal digits",
        PaymentCode.NOT_ENOUGH,
        "http://shop.test/notify",
        "HTTP 503",
    ):
        assert piece in page.text
    assert "DROP_REQUEST Any endpoint: applied 0/1" in page.text
    assert "EMPTY Refund: applied 0/∞" in page.text
    assert raw.secret_key not in page.text


async def test_orders_that_no_notification_can_be_sent_to_are_counted(raw: RawClient) -> None:
    """A developer who waits for a notification reads why there is none."""
    await raw.scanned(out_order_no="T-1", notify_url="http://shop.test/notify")
    page = await raw.http.get("/?lang=en")
    assert "Orders without notify_url" not in page.text
    await raw.scanned(out_order_no="T-2")
    page = await raw.http.get("/?lang=en")
    assert "Orders without notify_url, so no notification is sent: 1" in page.text


@pytest.mark.parametrize(
    ("query", "header", "lang"),
    [("", "", "en"), ("", "zh-CN,zh", "zh-CN"), ("?lang=zh", "en", "zh-CN"), ("?lang=en", "zh", "en")],
)
async def test_dashboard_in_two_languages(raw: RawClient, query: str, header: str, lang: str) -> None:
    """English or Chinese, as the browser or the link asks."""
    page = await raw.http.get(f"/{query}", headers={"accept-language": header})
    assert f'<html lang="{lang}">' in page.text
    assert ("沙箱" in page.text) is (lang == "zh-CN")


@pytest.mark.parametrize(
    ("environment", "query", "lang"),
    [("CHS", "", "zh-CN"), ("EN", "", "en"), ("CHS", "?lang=en", "en"), ("EN", "?lang=zh", "zh-CN"), ("FR", "", "en")],
)
async def test_dashboard_follows_the_environment(
    raw: RawClient, monkeypatch: pytest.MonkeyPatch, environment: str, query: str, lang: str
) -> None:
    """OMIPAY_LANGUAGE counts before the browser's preference; what a visitor chose on the page counts before both."""
    monkeypatch.setenv("OMIPAY_LANGUAGE", environment)
    page = await raw.http.get(f"/{query}", headers={"accept-language": "zh" if environment == "EN" else "en"})
    assert f'<html lang="{lang}">' in page.text


@pytest.mark.parametrize(
    "case",
    [
        ("", None, "", "zh-CN"),
        ("EN", None, "", "en"),
        ("EN", "CHS", "", "zh-CN"),
        ("CHS", "EN", "", "en"),
        ("CHS", "EN", "&lang=zh", "zh-CN"),
        ("EN", None, "&lang=en", "en"),
    ],
)
async def test_language_of_a_pay_page(
    raw: RawClient, monkeypatch: pytest.MonkeyPatch, case: tuple[str, str | None, str, str]
) -> None:
    """The visitor's choice, else the order's, else that of OMIPAY_LANGUAGE, else Chinese; replies do not change."""
    environment, order, chosen, lang = case
    monkeypatch.setenv("OMIPAY_LANGUAGE", environment)
    made = await raw.ask("MakeQROrder", **({} if order is None else {"language": order}))
    page = await raw.http.get(made["qrcode"] + chosen)
    assert f'<html lang="{lang}">' in page.text
    for link in re.findall('href="([?][^"]*)" lang', page.text):
        other = await raw.http.get(made["qrcode"].partition("?")[0] + link.replace("&amp;", "&"))
        assert 'id="pay"' in other.text
    refused = await raw.ask("QueryOrder", order_no="TR0", language="")
    assert not refused["error_msg"].isascii()


async def test_dashboard_buttons_are_the_next_steps(raw: RawClient) -> None:
    """An order has a button for each status that it can go to, and no other."""
    await raw.ask("MakeQROrder")
    page = await raw.http.get("/")
    assert re.findall('name="to" value="([A-Z]+)"', page.text) == list(ORDER_LIFE[next(iter(ORDER_LIFE))])


async def test_dashboard_buttons_act(raw: RawClient, sandbox: Sandbox) -> None:
    """Buttons pay and settle orders, advance refunds, add and clear faults, and lead back to the page they are on."""
    number = (await raw.ask("MakeQROrder"))["order_no"]
    for status in ("PAID", "SETTLED"):
        answer = await raw.http.post("/?lang=zh", data={"order_no": number, "to": status})
        assert (answer.status_code, answer.headers["location"]) == (303, "http://gateway.test/?lang=zh")
        assert sandbox.ledger.orders[number].status == status
    refund = (await raw.ask("Refund", order_no=number))["refund_no"]
    await raw.http.post("/", data={"refund_no": refund, "to": "MerchantConfirmed"})
    assert sandbox.ledger.refunds[refund].status == "MerchantConfirmed"
    await raw.http.post("/omipay/api/", data={"fault": "EMPTY", "endpoint": ""})
    await raw.http.post("/omipay/api", data={"fault": "GARBAGE", "endpoint": "Refund"})
    assert [(rule.fault, rule.endpoint, rule.times) for rule in sandbox.faults.rules] == [
        ("EMPTY", None, 1),
        ("GARBAGE", "Refund", 1),
    ]
    await raw.http.post("/")
    assert sandbox.faults.rules == []


async def test_dashboard_buttons_pressed_too_late(raw: RawClient, sandbox: Sandbox) -> None:
    """A step that is not possible any more leads back to the page. A step that never was possible is refused."""
    number = await raw.scanned()
    assert (await raw.http.post("/", data={"order_no": number, "to": "PAID"})).status_code == 303
    for form in (
        {"order_no": "TR0", "to": "PAID"},
        {"order_no": number, "to": "RICH"},
        {"order_no": number},
        {"fault": "NO_SUCH"},
        {"field": "that no form has"},
    ):
        assert (await raw.http.post("/", data=form)).status_code == 400
    assert sandbox.ledger.orders[number].status == "PAID"


# -- one call, one order, search, events -----------------------------------------------------------------------------


async def test_a_call_opens_to_its_parameters_and_its_reply(raw: RawClient, sandbox: Sandbox) -> None:
    """It also shows what was wrong, and the call as Python, without secrets."""
    good = await raw.ask("MakeScanOrder", out_order_no="T-1", qrcode="SECRET-CODE")
    await raw.ask("QueryOrder", order_no=good["order_no"], sign="x" * 32)
    scan, query = sandbox.ledger.calls
    page = (await raw.http.get(f"/?call={scan.number}&lang=en")).text
    assert "await omipay.make_scan_order(" in page
    assert escape('qrcode=input("qrcode: ")') in page
    assert f"?lang=en&amp;order={good['order_no']}" in page
    assert "SECRET-CODE" not in page
    page = (await raw.http.get(f"/?call={query.number}&lang=en")).text
    for piece in (
        "not 32 hexadecimal digits",
        "SIGN_ERROR",
        f"await omipay.query_order(&#x27;{good['order_no']}&#x27;)",
    ):
        assert piece in page


async def test_a_page_that_does_not_exist_leads_back(raw: RawClient) -> None:
    """Its link leads to the overview, in the same language."""
    for url in ("/?call=99&lang=zh", "/?order=TR0&lang=zh"):
        missing = await raw.http.get(url)
        assert missing.status_code == 404
        (link,) = re.findall('<a href="([^"]+)">← 总览</a>', missing.text)
        back = await raw.http.get(link)
        assert 'id="live"' in back.text
        assert '<html lang="zh-CN">' in back.text


async def test_userpaying_is_not_shown_as_an_error(raw: RawClient) -> None:
    """The customer is typing a password: nothing is wrong. A declined payment is an error."""
    await raw.ask("MakeScanOrder", qrcode=PaymentCode.NEVER_PAYS)
    await raw.ask("MakeScanOrder", qrcode=PaymentCode.NOT_ENOUGH)
    for url in ("/", "/?call=1"):
        assert '<span class="">USERPAYING</span>' in (await raw.http.get(url)).text
    for url in ("/", "/?call=2"):
        assert '<span class="FAIL">NOT_ENOUGH</span>' in (await raw.http.get(url)).text


async def test_the_python_of_every_call_repeats_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a program: with the number and the key in the environment, it sends the same parameters to this gateway."""
    sandbox = Sandbox()
    raw = RawClient(sandbox, sandbox.clock)
    monkeypatch.setenv("OMIPAY_M_NUMBER", raw.m_number)
    monkeypatch.setenv("OMIPAY_SECRET_KEY", raw.secret_key)
    monkeypatch.setenv("OMIPAY_BASE_URL", "https://gateway.invalid/omipay/api")  # the program names the sandbox itself
    monkeypatch.setattr("builtins.input", lambda prompt: f"typed after {prompt}")
    number = await raw.scanned()
    refund = (await raw.ask("Refund", order_no=number))["refund_no"]
    for name in WANTED:
        language = {} if name == "GetUserInfo" else {"language": "EN"}
        await raw.ask(name, order_no=number, refund_no=refund, direct_pay="1", **language)
    first = list(sandbox.ledger.calls)
    async with sandbox.serve() as base_url:
        for call in first:
            # An order whose number is used up is refused, which is what the call says when it is repeated.
            with contextlib.suppress(APIError):
                await asyncio.to_thread(exec, as_python(call, base_url), {})
    again = sandbox.ledger.calls[len(first) :]
    assert [call.endpoint for call in again] == [call.endpoint for call in first]
    for once, twice in zip(first, again, strict=True):
        sent = {parameter.name for parameter in ENDPOINTS[once.endpoint].parameters} | {"language"}
        assert {name: value for name, value in once.fields.items() if name in sent} == {
            name: value for name, value in twice.fields.items() if name in sent
        }


async def test_an_order_opens_to_its_life(raw: RawClient, sandbox: Sandbox) -> None:
    """Its calls, its notifications with bodies and answers, its refunds; its pay page while it can be paid."""

    async def unavailable(scope: Any, receive: Any, send: Any) -> None:
        await Response("no\u202e", status_code=503)(scope, receive, send)

    sandbox.app = unavailable
    waiting = await raw.ask("MakeQROrder", language="EN")
    page = (await raw.http.get(f"/?order={waiting['order_no']}&lang=en")).text
    for piece in ('id="payment-page"', 'id="qr"', "No notify_url", "AEDT"):
        assert piece in page
    number = await raw.scanned(notify_url="http://shop.test/notify", out_order_no="SHOP-7")
    refund = (await raw.ask("Refund", order_no=number))["refund_no"]
    await raw.ask("QueryRefund", refund_no=refund)
    while not sandbox.ledger.deliveries:
        await sandbox.clock.sleep(0)
    assert "HTTP 503" in (await raw.http.get("/?lang=en&q=shop-7")).text  # the shop's number finds notifications, too
    page = (await raw.http.get(f"/?order={number}&lang=en")).text
    for piece in ("MakeScanOrder", "QueryRefund", refund, "HTTP 503", "total_amount", "no\\u202e", "Send a forged one"):
        assert piece in page
    assert 'id="payment-page"' not in page
    assert str(sandbox.ledger.deliveries[0].body["sign"]) == "***"


@pytest.mark.parametrize(("kind", "is_true"), [("forge", False), ("duplicate", True), ("delay", True)])
async def test_a_notification_can_be_sent_to_see_what_a_shop_does(
    raw: RawClient, sandbox: Sandbox, clock: ManualClock, kind: str, is_true: bool
) -> None:
    """A forged one, the true one again, and that one late; only for a paid order that has a notify_url."""
    bodies: list[dict[str, Any]] = []

    async def shop(scope: Any, receive: Any, send: Any) -> None:
        bodies.append(json.loads((await receive())["body"]))
        await Response('{"return_code": "SUCCESS"}', media_type="application/json")(scope, receive, send)

    sandbox.app = shop
    number = await raw.scanned(notify_url="http://shop.test/notify")
    await sandbox.settle()
    answer = await raw.http.post("/", data={"order_no": number, "notify": kind})
    assert answer.status_code == 303
    await clock.advance(0)
    await clock.advance(10)
    await sandbox.settle()
    first, second = bodies
    signed = md5("123456", second["timestamp"], second["nonce_str"], raw.secret_key)
    assert (second["order_no"], second["sign"] == signed) == (first["order_no"], is_true)
    assert sandbox.ledger.deliveries[-1].number == 0
    for form in ({"order_no": number, "notify": "rob"}, {"order_no": await raw.scanned(), "notify": kind}):
        assert (await raw.http.post("/", data=form)).status_code == 400


async def test_a_refused_payment_leads_to_the_order_that_it_left(raw: RawClient, sandbox: Sandbox) -> None:
    """Its reply names no order, but the gateway keeps one: the call and the order lead to each other."""
    await raw.ask("MakeScanOrder", out_order_no="T-1", qrcode=PaymentCode.NOT_ENOUGH)
    (order,), (call,) = sandbox.ledger.orders_of("T-1"), sandbox.ledger.calls
    assert (call.order_no, call.reply.get("order_no")) == (order.order_no, None)
    assert f"order={order.order_no}" in (await raw.http.get(f"/?call={call.number}&lang=en")).text
    assert f"call={call.number}" in (await raw.http.get(f"/?order={order.order_no}&lang=en")).text
    await raw.ask("MakeScanOrder", out_order_no="T-2", qrcode=PaymentCode.SYSTEM_ERROR)
    assert sandbox.ledger.calls[-1].order_no is None


async def test_links_lead_to_each_part_of_the_overview(raw: RawClient) -> None:
    """The page is long: each of its parts is one click away."""
    page = (await raw.http.get("/?lang=zh")).text
    targets = re.findall(r'<a href="#([a-z-]+)">', page)
    assert targets == ["orders", "refunds", "calls", "notifications", "faults", "payment-codes"]
    assert all(f'<section id="{target}">' in page for target in targets)


async def test_an_answer_without_end_is_cut_off(raw: RawClient, sandbox: Sandbox) -> None:
    """When a shop answers with megabytes, only the beginning is kept and shown."""

    async def verbose(scope: Any, receive: Any, send: Any) -> None:
        await Response("x" * 2_000_000)(scope, receive, send)

    sandbox.app = verbose
    number = await raw.scanned(notify_url="http://shop.test/notify")
    while not sandbox.ledger.deliveries:
        await sandbox.clock.sleep(0)
    (delivery,) = sandbox.ledger.deliveries
    assert (delivery.answer, 0 < len(delivery.answer_body) < 100_000) == ("the answer is not JSON", True)
    assert len((await raw.http.get(f"/?order={number}")).text) < 200_000


@pytest.mark.parametrize(("fault", "answer"), [(Fault.DROP_REQUEST, ""), (Fault.DELAY, "SUCCESS")])
async def test_the_answer_of_a_call_with_a_fault_is_what_the_gateway_replied(
    raw: RawClient, sandbox: Sandbox, fault: Fault, answer: str
) -> None:
    """In the list of calls and on the call's own page; there is none if the fault stopped the request."""
    sandbox.faults.add(fault, seconds=0)
    with contextlib.suppress(ConnectionDropped):
        await raw.ask("GetExchangeRate")
    for url in ("/", "/?call=1"):
        assert re.findall('<span class="(?:OK)?">(.*?)</span>', (await raw.http.get(url)).text) == [answer]


async def test_search_and_pages_of_50(raw: RawClient) -> None:
    """Newest first; the search looks at numbers, names and answers."""
    for number in range(60):
        await raw.ask("MakeQROrder", out_order_no=f"T-{number:02d}", order_name="Latte" if number == 7 else "Mocha")
    first = (await raw.http.get("/?lang=en")).text
    second = (await raw.http.get("/?lang=en&page=1")).text
    assert ('<td data-head="Shop order">T-59</td>' in first, '<td data-head="Shop order">T-09</td>' in first) == (
        True,
        False,
    )
    assert ('<td data-head="Shop order">T-09</td>' in second, "Newer" in second, "Older" in second) == (
        True,
        True,
        False,
    )
    found = (await raw.http.get("/?lang=en&q=latte")).text
    assert ("T-07" in found, "T-08" in found) == (True, False)
    assert '<a href="?q=latte&amp;lang=zh"' in found
    empty = [re.findall("None [a-z ]+", text) for text in (first, second, found)]  # of refunds and notifications
    assert empty == [["None yet"] * 2, ["None on this page"] * 2, ["None found"] * 2]
    assert (await raw.http.get("/?page=x&q=%3Cb%3E")).status_code == 200


async def test_changes_are_pushed_and_end_cleanly(sandbox: Sandbox, raw: RawClient) -> None:
    """A served sandbox sends an event for each change, and stops at once with a page open; too many are refused."""
    fields = {**raw.signature(), **WANTED["MakeQROrder"], "out_order_no": "S-1"}
    async with httpx.AsyncClient() as http:
        async with sandbox.serve() as url:
            stream = await http.send(http.build_request("GET", f"{url}/events"), stream=True)
            lines = stream.aiter_lines()
            while (await anext(lines)) != "data: opened":
                pass
            await http.post(f"{url}/v2/MakeQROrder", params=fields)
            while (await anext(lines)) != "data: changed":
                pass
        assert [line async for line in lines if line] == []
        await stream.aclose()
    with contextlib.ExitStack() as stack:
        for _ in range(MOST_STREAMS):
            stack.enter_context(sandbox.live.opened())
        assert (await raw.http.get("/events")).status_code == 503


@pytest.mark.parametrize("language", list(Language))
async def test_faults_and_codes_are_explained(raw: RawClient, sandbox: Sandbox, language: Language) -> None:
    """In each language, in the page's tables, and beside a fault that is set."""
    sandbox.faults.add(Fault.GARBAGE)
    page = (await raw.http.get("/", params={"lang": "zh" if language is Language.CHS else "en"})).text
    descriptions = [facts.description for facts in FAULTS.values()]
    descriptions += [behaviour.description for behaviour in PAYMENT_CODES.values()]
    for description in descriptions:
        assert escape(description.in_language(language)) in page
    assert page.count(FAULTS[Fault.GARBAGE].description.in_language(language)) == 2
