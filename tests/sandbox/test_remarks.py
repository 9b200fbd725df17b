"""What the sandbox says of calls and of notifications, in both languages."""

from __future__ import annotations

import ast
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING

import pytest
from starlette.responses import Response

from omipay_async import sandbox as package
from omipay_async.language import Sentence
from omipay_async.sandbox import Fault, Sandbox
from omipay_async.sandbox.chinese import REMARKS
from omipay_async.sandbox.notifications import why_refused
from omipay_async.testing import ManualClock

from .raw import RawClient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Receive, Scope, Send


def templates() -> Iterator[ast.expr]:
    """What the source of the sandbox makes sentences of."""
    for path in Path(package.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "sentence":
                yield node.args[0]


def test_every_remark_has_a_translation_and_none_is_stale() -> None:
    """The table contains exactly the remarks of the source."""
    found = list(templates())
    assert all(isinstance(each, ast.Constant) for each in found)
    assert {each.value for each in found if isinstance(each, ast.Constant)} == set(REMARKS)


@pytest.mark.parametrize(("english", "chinese"), REMARKS.items())
def test_a_translation_has_the_same_values_and_is_chinese(english: str, chinese: str) -> None:
    """With the same formats; their order may differ where the sentence needs it, but none of these does."""
    assert not chinese.isascii()
    wanted, found = (
        [each[1:] for each in Formatter().parse(text) if each[1] is not None] for text in (english, chinese)
    )
    assert found == wanted


async def test_a_number_that_is_not_unique_is_remarked(raw: RawClient, sandbox: Sandbox) -> None:
    """CN asks for a unique ``out_order_no``, but has no code for one that is not: the order is made all the same."""
    earlier = await raw.ask("MakeQROrder", out_order_no="SHOP-1")
    assert (await raw.ask("MakeJSAPIOrder", out_order_no="SHOP-1"))["return_code"] == "SUCCESS"
    await raw.ask("MakeQROrder", out_order_no="SHOP-2")
    remarks = [call.remarks for call in sandbox.ledger.calls]
    assert remarks == [(), (f"out_order_no was used before, by {earlier['order_no']}",), ()]


async def test_the_dashboard_says_in_chinese_what_was_wrong_with_a_call(raw: RawClient, sandbox: Sandbox) -> None:
    """In the list and on the call's own page. Names of parameters and faults stay as they are."""
    sandbox.faults.add(Fault.EMPTY, times=1)
    await raw.send("QueryOrder", notifyurl="x", sign="x" * 32)
    (call,) = sandbox.ledger.calls
    assert call.remarks == ("sign is not 32 hexadecimal digits", "unknown parameter notifyurl")
    listed = (await raw.http.get("/?lang=zh")).text
    alone = (await raw.http.get(f"/?lang=zh&call={call.number}")).text
    assert "sign 不是 32 位十六进制数；该接口没有参数 notifyurl；EMPTY" in listed
    assert "<li>sign 不是 32 位十六进制数</li><li>该接口没有参数 notifyurl</li><li>EMPTY</li>" in alone
    english = (await raw.http.get("/?lang=en")).text
    assert "sign is not 32 hexadecimal digits; unknown parameter notifyurl; EMPTY" in english


async def test_the_dashboard_says_in_chinese_what_became_of_a_notification() -> None:
    """What the merchant's program or the network said stays as it is."""

    clock = ManualClock(auto=True)
    sandbox = Sandbox(clock=clock)
    raw = RawClient(sandbox, clock)

    async def says_no(scope: Scope, receive: Receive, send: Send) -> None:
        await Response(b'{"return_code": "FAIL"}')(scope, receive, send)

    sandbox.app = says_no
    sandbox.faults.add(Fault.NOTIFICATION_DROP, times=1)
    number = await raw.scanned(notify_url="http://shop.test/notify")
    await sandbox.settle()
    for path in ("/?lang=zh", f"/?lang=zh&order={number}"):
        page = (await raw.http.get(path)).text
        assert "由已设置的故障丢失" in page
        assert "return_code 不是 SUCCESS" in page
    assert "lost on its way, by a fault" in (await raw.http.get(f"/?lang=en&order={number}")).text


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((503, "", b""), "HTTP 503"),
        ((200, "text/html", b"<html>"), "the answer is not JSON"),
        ((200, "text/plain; charset=utf-8", b'{"return_code": "SUCCESS"}'), "SUCCESS, but as text/plain: "),
        ((200, "", b'{"return_code": "SUCCESS"}'), "SUCCESS, but without a Content-Type: "),
        ((200, "application/json", b'{"return_code": "SUCCESS"}'), ""),
    ],
)
def test_why_an_answer_ends_no_deliveries(answer: tuple[int, str, bytes], said: str) -> None:
    """It is told apart what is missing, and all but a number is a sentence that has a translation."""
    refused = why_refused(*answer)
    assert refused.startswith(said)
    assert isinstance(refused, Sentence) or refused in {"", "HTTP 503"}


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ({}, "参数不正确: order_no is missing"),
        ({"language": "CHS"}, "参数不正确：缺少 order_no"),
        ({"language": "EN"}, "A parameter is missing or invalid: order_no is missing"),
    ],
)
async def test_error_msg_explains_itself_in_the_language_asked_for(
    raw: RawClient, language: dict[str, str], said: str
) -> None:
    """A call without a language gets the gateway's Chinese sentence, and what to mend in English."""
    assert (await raw.ask("QueryOrder", order_no=None, **language))["error_msg"] == said


async def test_a_pay_page_says_in_its_language_why_it_cannot_be_shown(raw: RawClient) -> None:
    """The gateway's sentence, and what is wrong with the address."""
    made = await raw.ask("MakeQROrder", language="CHS")
    page = (await raw.http.get(made["pay_url"])).text
    assert "PARAMETER_INVALID：参数不正确：缺少 m_number" in page
    english = (await raw.http.get(f"{made['pay_url']}&lang=en")).text
    assert "PARAMETER_INVALID: A parameter is missing or invalid: m_number is missing" in english
