"""Replies that cannot be used: a read is repeated and then fails, a money call raises OutcomeUnknown."""

from __future__ import annotations

import functools
import gzip
import json
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any

import attrs
import httpx
import pytest

from omipay_async import APIError, InvalidReply, OutcomeUnknown
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

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("no_garbage_collection")

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
    **{
        f"a verdict of {word}": b'{"return_code": %b, "order_no": "TR1", "openid": "x", "rate": 1}' % word.encode()
        for word in ("false", "0", "[]", "{}", "0.0")
    },
    "a huge int": b'{"return_code": "SUCCESS", "amount": ' + b"9" * 5000 + b"}",
    "a huge exponent": b'{"return_code": "SUCCESS", "rate": 1e99999999999999999999}',
}


@pytest.mark.parametrize("name", ["QueryOrder", "QueryRefund", "GetExchangeRate"])
@pytest.mark.parametrize("what", UNUSABLE)
async def test_a_read_that_gets_no_reply_is_repeated_and_then_fails(name: str, what: str) -> None:
    """After three tries it raises InvalidReply with the status and the beginning of the body."""
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
    """There is one request, and then OutcomeUnknown, caused by the InvalidReply."""
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
@pytest.mark.parametrize("value", [None, "", "  ", 5, ["TR1"], {"a": 1}, True])
async def test_a_money_reply_without_its_number_leaves_the_outcome_unknown(name: str, value: Any) -> None:
    """After SUCCESS or USERPAYING without a number. The reply is in ``.raw``."""
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
    """SUCCESS with HTTP 502 comes from a proxy, or is an old page."""
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
def test_the_message_of_a_redirect_shows_no_secret(location: str | None, told: str) -> None:
    """It shows where a wrong address leads to, without the query, which may contain our signature."""
    for status in (300, 302, 399):
        with pytest.raises(InvalidReply, match=f"HTTP {status} {told}, the reply cannot be used"):
            read("QueryOrder", b"", status, location=location)


@pytest.mark.parametrize("code", ["SIGN_ERROR", "NEW_ONE", "", None, 5])
@pytest.mark.parametrize("status", [200, 301, 400, 401, 403, 404])
def test_a_refusal_may_have_any_status_below_500(status: int, code: Any) -> None:
    """The documents do not say which status a FAIL has."""
    with pytest.raises(APIError) as caught:
        read("QueryOrder", fail(code), status)
    assert caught.value.error_msg == "Nein."


@pytest.mark.parametrize("word", [None, "", "OK", "FAILED"])
def test_only_success_means_success(word: str | None) -> None:
    """A reply without ``return_code`` is believed only from the one endpoint whose documents do not list it."""
    with pytest.raises(InvalidReply, match="neither SUCCESS nor FAIL"):
        read("QueryOrder", success("QueryOrder", return_code=word))
    login = success("GetUserInfo", return_code=word)
    if word:
        with pytest.raises(InvalidReply, match="neither SUCCESS nor FAIL"):
            read("GetUserInfo", login)
    else:
        assert read("GetUserInfo", login).openid == login["openid"]


def test_the_message_of_a_refusal_is_text_or_none() -> None:
    """``error_msg`` is shown to people, so a number stays only in ``raw``."""
    with pytest.raises(APIError) as caught:
        read("QueryOrder", fail("SIGN_ERROR") | {"error_msg": 5})
    assert (caught.value.error_msg, caught.value.raw) == (None, fail("SIGN_ERROR") | {"error_msg": 5})


@pytest.mark.parametrize("code", ["SIGN_ERROR", "USERPAYING", "NEW_ONE", "", None])
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_that_failed_is_not_believed(status: int, code: Any) -> None:
    """With 5xx, a FAIL does not prove that no money moved, and SUCCESS does not prove that it did."""
    for name in ("QueryOrder", "MakeScanOrder", "Refund"):
        for reply in (fail(code, order_no="TR1"), success(name), {"return_code": "USERPAYING", "order_no": "TR1"}):
            with pytest.raises(InvalidReply, match=f"HTTP status {status}"):
                read(name, reply, status)


def bare_deflate(body: bytes) -> bytes:
    """``deflate`` without its header, as some servers send it."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("x-gzip", gzip.compress),
        ("gzip,identity", gzip.compress),
        ("UTF-8, gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", bare_deflate),
        ("deflate, gzip", lambda body: gzip.compress(zlib.compress(body))),
        ("br", gzip.compress),
        ("zstd, gzip", gzip.compress),
        ("gzip", lambda body: gzip.compress(body[:9]) + gzip.compress(body[9:]) + b"\0\0"),
        ("gzip", lambda body: gzip.compress(body) + 99 * gzip.compress(b"")),
    ],
)
async def test_a_reply_that_a_proxy_has_compressed_is_read(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    """Nobody asked for that, but it is the answer to a charge."""
    packed = pack(json.dumps(success("Refund")).encode())
    assert read("Refund", packed, encoding=encoding).refund_no
    reply = httpx.Response(200, headers={"Content-Encoding": encoding}, stream=httpx.ByteStream(packed))
    async with open_session(Gateway(reply)) as omipay:
        assert (await CALLS["Refund"](omipay)).refund_no


PACK = functools.partial(gzip.compress, mtime=0)  # without the time, which would change the names of the tests
PACKED = PACK(json.dumps(success("Refund")).encode())
DEFLATED = zlib.compress(json.dumps(success("Refund")).encode())


@pytest.mark.parametrize(
    ("encoding", "body", "why"),
    [
        *(
            (word, b"\x0b\x02\x80{}\x03", "not asked for")
            for word in ("br", "zstd", "compress", "x-compress", "gzip, br")
        ),
        ("gzip, gzip, gzip", PACK(PACK(PACKED)), "not asked for"),
        ("gzip", PACKED[:-1], "damaged"),
        ("gzip", PACKED + b"{}", "damaged"),
        ("gzip", PACKED + PACKED[:-1], "damaged"),
        ("deflate", DEFLATED[:-1], "damaged"),
        ("deflate", DEFLATED + b"{}", "damaged"),
        ("gzip", b"<html>", "damaged"),
        ("gzip", PACK(b" " * (LARGEST_REPLY + 1)), "longer than 1048576 bytes"),
        ("gzip", PACK(b"<html>"), "not JSON"),
    ],
)
async def test_a_compressed_reply_that_cannot_be_unpacked(encoding: str, body: bytes, why: str) -> None:
    """It may be large, damaged or of an unknown kind: nobody knows whether a money call was acted on."""
    with pytest.raises(InvalidReply, match=why):
        read("QueryOrder", body, encoding=encoding)
    reply = httpx.Response(200, headers={"Content-Encoding": encoding}, stream=httpx.ByteStream(body))
    async with open_session(Gateway(reply)) as omipay:
        with pytest.raises(OutcomeUnknown, match=why):
            await CALLS["Refund"](omipay)


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_small_reply_does_not_unpack_to_much_memory(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    """32 MiB of spaces are a reply of 32 KB: what is beyond 1 MiB is never unpacked."""
    bomb = pack(b" " * 32 * LARGEST_REPLY)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidReply, match="longer than"):
            read("QueryOrder", bomb, encoding=encoding)
        assert tracemalloc.get_traced_memory()[1] < 4 * LARGEST_REPLY
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_reply_of_ten_megabytes_is_cut_off(streamed: bool) -> None:
    """It is read up to 1 MiB, and is not parsed."""
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
    """The gateway's code and message, the endpoint, and the whole reply."""
    with pytest.raises(APIError) as caught:
        read("MakeQROrder", REFUSED, 400, node="CN")
    error = caught.value
    assert str(error) == "MakeQROrder: AMOUNT_INVALID (Zu viel.)"
    assert (error.endpoint, error.error_code, error.error_msg) == ("MakeQROrder", "AMOUNT_INVALID", "Zu viel.")
    assert (error.order_no, error.node, error.raw, error.outcome) == ("TR1", "CN", REFUSED, None)


def test_a_code_that_is_a_number_is_the_same_in_digits() -> None:
    """It is not lost, so that a merchant can ask Omipay what it means."""
    with pytest.raises(APIError, match=r"^MakeQROrder: 1001 \(Zu viel\.\)$") as caught:
        read("MakeQROrder", REFUSED | {"error_code": 1001})
    assert caught.value.error_code == "1001"


@pytest.mark.parametrize("order_no", ["", 7, None, ["TR1"]])
def test_the_order_of_a_refusal_is_text_or_none(order_no: Any) -> None:
    """Any other value stays in ``raw``, like an ``error_msg`` that is empty."""
    with pytest.raises(APIError, match=r"^MakeQROrder: AMOUNT_INVALID$") as caught:
        read("MakeQROrder", REFUSED | {"order_no": order_no, "error_msg": ""})
    assert (caught.value.order_no, caught.value.error_msg) == (None, "")


@pytest.mark.parametrize(
    ("body", "status", "said", "raw"),
    [
        (b"<html>canary-secret</html>", 200, "HTTP 200, the reply cannot be used: it is not JSON", None),
        (
            b"<html>canary-secret</html>",
            404,
            "HTTP 404 (is base_url right? It ends in /omipay/api), the reply cannot be used: it is not JSON",
            None,
        ),
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
    """The reason, the beginning of the body without secrets, and the order that it contains."""
    with pytest.raises(InvalidReply) as caught:
        read("MakeQROrder", body, status)
    error = caught.value
    assert str(error) == f"MakeQROrder: {said}"
    assert (error.endpoint, error.status, error.raw) == ("MakeQROrder", status, raw)
    assert error.order_no == (None if raw is None else "TR1")
    assert error.excerpt == ("<html>[removed]</html>" if raw is None else json.dumps(body))


def test_the_repr_does_not_show_the_reply() -> None:
    """It may contain a signature or personal data of a customer."""
    received = Received(200, b"canary", location="https://shop.example/?sign=canary")
    assert "canary" not in repr(received)


def test_the_fields_of_a_reply_without_headers_are_none() -> None:
    """The body counts as complete unless it was cut off."""
    assert Received.of(204, (), b"x") == Received(204, b"x")
    assert attrs.astuple(Received(204, b"x")) == (204, b"x", None, True, None, None, None, None, None)
    headers = (
        (b"date", b"now"),
        (b"Content-Encoding", b"br"),
        (b"content-type", b"text/html"),
        (b"content-length", b"1"),
        (b"Location", b"/x"),
        (b"retry-after", b"7"),
    )
    received = Received.of(503, headers, b"x", "CN")
    assert attrs.astuple(received) == (503, b"x", "now", True, "br", "CN", "text/html", "/x", "7")
    assert Received.of(200, (), b" " * 1_048_577) == Received(200, b" " * 1_048_576, complete=False)
    assert Received.of(200, (), b" " * 1_048_576).complete


def test_headers_are_read_whatever_bytes_they_contain() -> None:
    """UTF-8 or any other encoding; a header that comes twice has both values, if they differ."""
    headers = [
        (b"location", "/页".encode()),
        (b"Content-Type", b"text/html; charset=\xe9"),
        (b"date", b"yesterday"),
        (b"Date", b"today"),
        *(2 * [(b"Retry-After", b"7"), (b"Content-Encoding", b"gzip")]),
    ]
    received = Received.of(302, headers, b"")
    assert (received.location, received.content_type) == ("/页", "text/html; charset=é")
    assert (received.date, received.retry_after, received.encoding) == ("yesterday, today", "7", "gzip, gzip")


def test_a_reply_of_exactly_one_mebibyte_is_read() -> None:
    """The limit itself is allowed."""
    body = json.dumps(success("QueryOrder")).encode()
    assert read("QueryOrder", body + b" " * (LARGEST_REPLY - len(body)))


async def test_a_read_succeeds_after_temporary_errors() -> None:
    """After an error page and a SYSTEM_ERROR the caller gets the answer."""
    gateway = Gateway(response(b"<html>", 502), fail("SYSTEM_ERROR"), success("QueryOrder"))
    async with open_session(gateway) as omipay:
        assert (await omipay.query_order("TR1")).is_paid
    assert len(gateway.requests) == 3


@pytest.mark.parametrize("verdict", [False, 0, [], {}])
async def test_a_verdict_that_python_takes_for_false_is_not_absent(verdict: Any) -> None:
    """The endpoints whose replies may have no ``return_code`` do not take such a one for a success."""
    async with open_session(Gateway({"return_code": verdict, "order_no": "TR1"})) as omipay:
        with pytest.raises(OutcomeUnknown):
            await omipay.call("ConfirmCheckOut", {"amount": 450})
