"""What is no reply at all: a read is repeated and then fails, a money call is OutcomeUnknown; nothing else escapes."""

from __future__ import annotations

import gzip
import json
from typing import Any

import attrs
import httpx
import pytest

from omipay_async import APIError, InvalidReply, OutcomeUnknown
from omipay_async.protocol.decoding import Decoded
from omipay_async.protocol.endpoints import ENDPOINTS
from omipay_async.protocol.reply import LARGEST_REPLY, Received
from tests.support.canned_gateway import (
    CALLS,
    MONEY,
    Gateway,
    fail,
    open_session,
    read,
    response,
    success,
)

UNUSABLE: dict[str, bytes] = {
    "empty": b"",
    "blank": b" \n",
    "html": b"<html><body>502 Bad Gateway</body></html>",
    "a list": b'[{"return_code": "SUCCESS"}]',
    "a string": b'"SUCCESS"',
    "a number": b"5",
    "null": b"null",
    "NaN": b'{"return_code": "SUCCESS", "rate": NaN, "amount": NaN}',
    "Infinity": b'{"return_code": "SUCCESS", "rate": -Infinity}',
    "cut off": b'{"return_code": "SUCCESS", "order_no": "TR',
    "two": b'{"return_code": "SUCCESS"}{"return_code": "SUCCESS"}',
    "not UTF-8": b'{"return_code": "SUCCESS", "order_no": "\xff\xfe"}',
    "UTF-16": '{"return_code": "SUCCESS"}'.encode("utf-16"),
    "deep": b'{"a":' * 100_000,
    "deep list": b"[" * 100_000,
    "no verdict": b'{"hello": "world", "order_no": "TR1"}',
    "another verdict": b'{"return_code": "MAYBE", "order_no": "TR1", "openid": "x"}',
    "a verdict of another type": b'{"return_code": ["SUCCESS"], "order_no": "TR1", "openid": "x"}',
    "a huge int": b'{"return_code": "SUCCESS", "amount": ' + b"9" * 5000 + b"}",
    "a huge exponent": b'{"return_code": "SUCCESS", "rate": 1e99999999999999999999}',
}


@pytest.mark.parametrize("name", ["QueryOrder", "QueryRefund", "GetExchangeRate"])
@pytest.mark.parametrize("what", UNUSABLE)
async def test_a_read_that_gets_no_reply_is_repeated_and_then_says_so(name: str, what: str) -> None:
    """Three tries, then InvalidReply with the status and the beginning of the body."""
    gateway = Gateway(UNUSABLE[what])
    async with open_session(gateway) as omipay:
        with pytest.raises(InvalidReply) as failure:
            await CALLS[name](omipay)
    assert len(gateway.requests) == 3
    assert (failure.value.endpoint, failure.value.status, failure.value.outcome) == (name, 200, None)
    assert len(failure.value.excerpt) <= 203


@pytest.mark.parametrize("name", MONEY)
@pytest.mark.parametrize("what", UNUSABLE)
async def test_a_money_call_that_gets_no_reply_is_never_repeated(name: str, what: str) -> None:
    """Nobody knows what became of it: OutcomeUnknown, caused by the InvalidReply, and one request only."""
    gateway = Gateway(UNUSABLE[what])
    async with open_session(gateway) as omipay:
        with pytest.raises(OutcomeUnknown) as failure:
            await CALLS[name](omipay)
    assert len(gateway.requests) == 1
    assert isinstance(failure.value.__cause__, InvalidReply)
    assert failure.value.raw == failure.value.__cause__.raw
    number = "out_refund_no" if name == "Refund" else "out_order_no"
    assert getattr(failure.value, number) in {"R-1", "SEORD000001"}


@pytest.mark.parametrize("name", MONEY)
@pytest.mark.parametrize("value", [None, "", 5, ["TR1"], {"a": 1}, True])
async def test_a_money_reply_without_its_number_leaves_the_outcome_unknown(name: str, value: Any) -> None:
    """SUCCESS, but of what? The reply is in ``.raw``; USERPAYING without a number likewise."""
    (number,) = ENDPOINTS[name].essential
    replies = [success(name, **{number: value})]
    if name == "MakeScanOrder":
        replies += [fail("USERPAYING", order_no=value), {"return_code": "USERPAYING", "order_no": value}]
    for reply in replies:
        async with open_session(Gateway(reply)) as omipay:
            with pytest.raises(OutcomeUnknown) as failure:
                await CALLS[name](omipay)
        assert failure.value.raw == reply
        assert failure.value.endpoint == name


@pytest.mark.parametrize("status", [199, 300, 301, 404, 500, 502])
def test_a_success_needs_a_status_that_agrees(status: int) -> None:
    """SUCCESS under HTTP 502 is a proxy's, or a page saved long ago."""
    with pytest.raises(InvalidReply, match=f"HTTP status {status}"):
        read("QueryOrder", success("QueryOrder"), status)
    assert read("QueryOrder", success("QueryOrder"), 201)


@pytest.mark.parametrize(
    ("location", "told"),
    [
        (
            "https://me:pw@login.example/in?sign=1",
            r"\(a redirect to https://login\.example/in, which is not followed\)",
        ),
        ("/maintenance?sign=1", r"\(a redirect to /maintenance, which is not followed\)"),
        ("http://[", r"\(a redirect to what is not a URL\)"),
        (None, r"\(a redirect\)"),
    ],
)
def test_a_redirect_is_told_without_what_is_secret_in_it(location: str | None, told: str) -> None:
    """Who set up a wrong address sees where it leads; the query may hold our own signature."""
    with pytest.raises(InvalidReply, match=f"HTTP 302 {told}, the reply cannot be used"):
        read("QueryOrder", b"", 302, location=location)


@pytest.mark.parametrize("code", ["SIGN_ERROR", "NEW_ONE", "", None, 5])
@pytest.mark.parametrize("status", [200, 301, 400, 401, 403, 404])
def test_a_refusal_may_have_any_status_but_a_failed_servers(status: int, code: Any) -> None:
    """The documents do not say which one a FAIL has."""
    with pytest.raises(APIError) as caught:
        read("QueryOrder", fail(code), status)
    assert caught.value.error_msg == "Nein."


@pytest.mark.parametrize("word", [None, "", "OK", "FAIL "])
def test_only_success_means_success(word: str | None) -> None:
    """Without a ``return_code`` a reply is believed only of the one endpoint whose documents list none."""
    with pytest.raises(InvalidReply, match="neither SUCCESS nor FAIL"):
        read("QueryOrder", success("QueryOrder", return_code=word))
    login = success("GetUserInfo", return_code=word)
    if word:
        with pytest.raises(InvalidReply, match="neither SUCCESS nor FAIL"):
            read("GetUserInfo", login)
    else:
        assert read("GetUserInfo", login).openid == login["openid"]


def test_what_a_refusal_says_is_text_or_nothing() -> None:
    """``error_msg`` is shown to people: a number there is left in ``raw``."""
    with pytest.raises(APIError) as caught:
        read("QueryOrder", fail("SIGN_ERROR") | {"error_msg": 5})
    assert (caught.value.error_msg, caught.value.raw) == (None, fail("SIGN_ERROR") | {"error_msg": 5})


@pytest.mark.parametrize("code", ["SIGN_ERROR", "USERPAYING", "NEW_ONE", "", None])
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_that_failed_is_not_believed_whatever_it_says(status: int, code: Any) -> None:
    """A FAIL under 5xx does not prove that no money moved, nor SUCCESS that it did."""
    for name in ("QueryOrder", "MakeScanOrder", "Refund"):
        for reply in (fail(code, order_no="TR1"), success(name), {"return_code": "USERPAYING", "order_no": "TR1"}):
            with pytest.raises(InvalidReply, match=f"HTTP status {status}"):
                read(name, reply, status)


@pytest.mark.parametrize(
    "encoding",
    ["gzip", "x-gzip", "deflate", "br", "zstd", "compress", "x-compress", "GZIP", "identity, br", "gzip,identity"],
)
async def test_a_compressed_reply_is_not_unpacked(encoding: str) -> None:
    """Nothing compressed was accepted: a bomb stays packed."""
    packed = gzip.compress(json.dumps(success("QueryOrder")).encode())
    reply = httpx.Response(200, headers={"Content-Encoding": encoding}, stream=httpx.ByteStream(packed))
    with pytest.raises(InvalidReply, match="compressed"):
        read("QueryOrder", packed, encoding=encoding)
    async with open_session(Gateway(reply)) as omipay:
        with pytest.raises(OutcomeUnknown, match="compressed"):
            await CALLS["Refund"](omipay)


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_reply_of_ten_megabytes_is_cut_off(streamed: bool) -> None:
    """Over 1 MiB nothing more is read, and what was read is not parsed."""
    sent = 0

    async def flood() -> Any:
        nonlocal sent
        for _ in range(160):
            sent += 65536
            yield b" " * 65536

    body = json.dumps(success("Refund")).encode() + b" " * 10 * LARGEST_REPLY
    async with open_session(Gateway(httpx.Response(200, content=flood() if streamed else body))) as omipay:
        with pytest.raises(OutcomeUnknown, match="longer than 1048576 bytes"):
            await CALLS["Refund"](omipay)
    assert sent <= LARGEST_REPLY + 2 * 65536


REFUSED = fail("AMOUNT_INVALID", order_no="TR1", error_msg="Zu viel.")
SECOND = {"return_code": "SUCCESS", "order_no": "TR1"}


def test_every_field_of_a_refusal() -> None:
    """What the gateway said, where it was said, and all of the reply."""
    with pytest.raises(APIError) as caught:
        read("MakeQROrder", REFUSED, 400, node="CN")
    error = caught.value
    assert str(error) == "MakeQROrder: AMOUNT_INVALID (Zu viel.)"
    assert (error.endpoint, error.error_code, error.error_msg) == ("MakeQROrder", "AMOUNT_INVALID", "Zu viel.")
    assert (error.order_no, error.node, error.raw, error.outcome) == ("TR1", "CN", REFUSED, None)


@pytest.mark.parametrize("order_no", ["", 7, None, ["TR1"]])
def test_a_refusal_names_an_order_by_text_or_not_at_all(order_no: Any) -> None:
    """What it says stays in ``raw``. So does an ``error_msg`` that is empty."""
    with pytest.raises(APIError, match=r"^MakeQROrder: AMOUNT_INVALID$") as caught:
        read("MakeQROrder", REFUSED | {"order_no": order_no, "error_msg": ""})
    assert (caught.value.order_no, caught.value.error_msg) == (None, "")


@pytest.mark.parametrize(
    ("body", "status", "said", "raw"),
    [
        (b"<html>canary-secret</html>", 200, "HTTP 200, the reply cannot be used: it is not JSON", None),
        (SECOND, 502, "HTTP 502, the reply cannot be used: it came with HTTP status 502", SECOND),
        (SECOND, 404, "HTTP 404, the reply cannot be used: it came with HTTP status 404", SECOND),
        (
            SECOND | {"success": False},
            200,
            "HTTP 200, the reply cannot be used: it has success: false, but not FAIL",
            SECOND | {"success": False},
        ),
        (
            {"order_no": "TR1"},
            200,
            "HTTP 200, the reply cannot be used: return_code is neither SUCCESS nor FAIL",
            {"order_no": "TR1"},
        ),
    ],
    ids=str,
)
def test_every_field_of_a_reply_that_cannot_be_used(
    body: bytes | dict[str, Any], *, status: int, said: str, raw: dict[str, Any] | None
) -> None:
    """What is wrong with it, how it began (without secrets), and the order that it names."""
    with pytest.raises(InvalidReply) as caught:
        read("MakeQROrder", body, status)
    error = caught.value
    assert str(error) == f"MakeQROrder: {said}"
    assert (error.endpoint, error.status, error.raw) == ("MakeQROrder", status, raw)
    assert error.order_no == (None if raw is None else "TR1")
    assert error.excerpt == ("<html>[removed]</html>" if raw is None else json.dumps(body))


def test_what_came_is_in_no_repr() -> None:
    """It may hold a signature, or what a customer is known by."""
    received = Received(200, b"canary", location="https://shop.example/?sign=canary")
    assert "canary" not in repr(received)
    assert "canary" not in repr(Decoded("canary"))


def test_a_reply_without_headers_says_nothing_by_them() -> None:
    """What a header does not say is None; the body is whole unless it was cut off."""
    assert Received.of(204, {}, b"x") == Received(204, b"x")
    assert attrs.astuple(Received(204, b"x")) == (204, b"x", None, True, None, None, None, None, None)
    headers = {
        "date": "now",
        "content-encoding": "br",
        "content-type": "text/html",
        "location": "/x",
        "retry-after": "7",
    }
    received = Received.of(503, headers, b"x", complete=False, node="CN")
    assert attrs.astuple(received) == (503, b"x", "now", False, "br", "CN", "text/html", "/x", "7")
    assert len(Received.of(200, {}, b" " * 1_048_577).body) == 1_048_576


def test_a_reply_of_exactly_one_mebibyte_is_read() -> None:
    """The limit itself is allowed."""
    body = json.dumps(success("QueryOrder")).encode()
    assert read("QueryOrder", body + b" " * (LARGEST_REPLY - len(body)))


async def test_a_read_survives_trouble_that_passes() -> None:
    """An error page, a SYSTEM_ERROR, then the answer: the caller never hears of the first two."""
    gateway = Gateway(response(b"<html>", 502), fail("SYSTEM_ERROR"), success("QueryOrder"))
    async with open_session(gateway) as omipay:
        assert (await omipay.query_order("TR1")).is_paid
    assert len(gateway.requests) == 3
