"""Text of merchants, customers and strangers on the sandbox's pages and in its log."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from starlette.responses import Response

from omipay_async.sandbox import PaymentCode, Sandbox
from omipay_async.sandbox.foreign import printable

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from .raw import RawClient

# One of each kind, and the ends of ranges: what a terminal or a page obeys, what nobody sees, what turns text round.
INVISIBLE = (
    "\x7f\x80\x85\x9b\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028\u2029\u202a\u202e\u2060\u2064\u2066\u2069\u206f"
    "\ufeff\ufff9\ufffb\U0001bca0\U0001d173\U0001d17a\U000e0001\U000e007f"
)
CONTROLS = "\x00\x01\x07\x08\t\n\v\f\r\x1b\x1f"
SEEN = "测试商品　馥芮白 Café 👩‍🍳 🇦🇺 ﷽ العربية — ½ \xa0 ’"


def shown(text: str) -> str:
    """The characters of ``text`` that must not be in a page or a log."""
    return "".join(character for character in text if character in set(INVISIBLE + CONTROLS) - {"\n"})


@pytest.mark.parametrize("character", [*CONTROLS, *INVISIBLE, chr(0xD800), chr(0xDFFF)])
def test_control_and_invisible_characters_are_escaped(character: str) -> None:
    """They are written as Python writes them."""
    escaped = printable(f"a{character}b")
    assert escaped == f"a{character.encode('unicode_escape').decode()}b"
    assert escaped.isascii()


def test_ordinary_text_is_not_escaped() -> None:
    """It may be in any script, with emoji and the spaces of every script."""
    assert printable(SEEN) == SEEN


async def test_pages_escape_text_from_outside(
    raw: RawClient, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """It is in names, numbers, addresses, unknown parameters, searches and answers, in lists and on single pages."""

    async def shop(scope: Scope, receive: Receive, send: Send) -> None:
        await Response(f"no{CONTROLS}{INVISIBLE}", status_code=503, media_type=f"text/{INVISIBLE[:5]}")(
            scope, receive, send
        )

    sandbox.app = shop
    accepted = INVISIBLE[1:]  # a C0 or DEL is refused
    names = {"order_name": f"Cake{accepted}", "out_order_no": f"T{accepted}"}
    waiting = await raw.ask("MakeQROrder", **names, **{f"odd{quote(INVISIBLE)}": "1"}, language="EN")
    names["out_order_no"] += "2"
    paid = await raw.scanned(**names, notify_url=f"http://shop.test/{accepted}", qrcode=PaymentCode.PAID)
    sandbox.merchant.tills = {"till-1"}
    await raw.ask("MakeScanOrder", **names, pos_no=f"till{INVISIBLE}{CONTROLS}")
    await raw.ask("MakeScanOrder", **names, pos_no=f"till{accepted}")
    while not sandbox.ledger.deliveries:
        await sandbox.clock.sleep(0)
    calls = [f"/?call={call.number}" for call in sandbox.ledger.calls]
    orders = [f"/?order={waiting['order_no']}", f"/?order={paid}"]
    searches = [f"/?q={quote(INVISIBLE)}", f"/?call={quote(INVISIBLE)}"]
    pages = ["/", *searches, *calls, *orders, waiting["qrcode"], waiting["pay_url"]]
    for url in pages:
        text = (await raw.http.get(url)).text
        assert shown(text) == "", url
    assert r"Cake\x80\x85" in (await raw.http.get("/")).text
    assert shown(caplog.text) == ""


async def test_very_long_names_are_cut_off(raw: RawClient) -> None:
    """That holds on every page that shows them."""
    made = await raw.ask("MakeQROrder", order_name="x" * 20_000, out_order_no="y" * 20_000)
    for url in ("/", f"/?order={made['order_no']}", "/?call=1", made["qrcode"]):
        assert len((await raw.http.get(url)).text) < 60_000
    (title,) = re.findall("<h1>(x+…)</h1>", (await raw.http.get(made["qrcode"])).text)
    assert len(title) == 201


async def test_chinese_is_not_escaped(raw: RawClient) -> None:
    """It is readable in the parameters, the reply, the program and the notification of an order."""
    await raw.ask("MakeQROrder", order_name="测试商品", platform="X")
    page = (await raw.http.get("/?call=1&lang=zh")).text
    assert "&quot;order_name&quot;: &quot;测试商品&quot;" in page
    assert "order_name=&#x27;测试商品&#x27;" in page
    assert "&quot;error_msg&quot;: &quot;参数不正确: platform" in page
    assert "\\u" not in page
