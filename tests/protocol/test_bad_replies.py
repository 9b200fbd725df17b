"""What is no reply at all: a read is repeated and then fails, a money call is OutcomeUnknown; nothing else escapes."""

from __future__ import annotations

import gzip
import json
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omipay_async import APIError, InvalidReply, OmipayError, OrderStatus, OutcomeUnknown
from omipay_async.protocol.decoding import RequestContext, decode
from omipay_async.protocol.endpoints import ENDPOINTS
from omipay_async.protocol.reply import LARGEST_REPLY, Received
from tests.support.canned_gateway import (
    CALLS,
    MONEY,
    NUMBERS,
    READS,
    SYDNEY,
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
    number = ENDPOINTS[name].number
    assert number is not None
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


@pytest.mark.parametrize("code", ["SIGN_ERROR", "NEW_ONE", "", None, 5])
@pytest.mark.parametrize("status", [200, 301, 400, 401, 403, 404])
def test_a_refusal_may_have_any_status_but_a_failed_servers(status: int, code: Any) -> None:
    """The documents do not say which one a FAIL has."""
    with pytest.raises(APIError):
        read("QueryOrder", fail(code), status)


@pytest.mark.parametrize("code", ["SIGN_ERROR", "USERPAYING", "NEW_ONE", "", None])
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_that_failed_is_not_believed_whatever_it_says(status: int, code: Any) -> None:
    """A FAIL under 5xx does not prove that no money moved, nor SUCCESS that it did."""
    for name in ("QueryOrder", "MakeScanOrder", "Refund"):
        for reply in (fail(code, order_no="TR1"), success(name), {"return_code": "USERPAYING", "order_no": "TR1"}):
            with pytest.raises(InvalidReply, match=f"HTTP status {status}"):
                read(name, reply, status)


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip"])
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


# -- anything at all ---------------------------------------------------------------------------------------------------

_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["SUCCESS", "FAIL", "USERPAYING"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = sorted(
    {"return_code", "error_code", "error_msg", "order_no", "refund_no", "amount ", "total_amount", "cny_amount", "rate"}
    | {"result_code", "currency", "pay_currency", "pay_amount", "order_time", "pay_time", "exchange_rate", "openid"}
    | {"order_string", "timeStamp", "package", "Package", "qrcode", "pay_url", "success_time", "refund_time", "amount"}
)
_OBJECTS = st.dictionaries(st.sampled_from(_FIELDS), _JSON, max_size=8)
_VERDICTS = st.sampled_from([{}, {"return_code": "SUCCESS"}, {"return_code": "FAIL"}, {"return_code": "USERPAYING"}])
_STATUSES = st.sampled_from([200, 200, 201, 301, 400, 404, 500, 502])


def survives(endpoint: str, body: bytes, status: int) -> None:
    """A model of the right kind, or an error of ours."""
    asked = RequestContext(ENDPOINTS[endpoint], NUMBERS, ["secret"])
    try:
        model = decode(asked, Received(status, body), SYDNEY)
    except (InvalidReply, APIError) as error:
        assert str(error).startswith(f"{endpoint}: ")  # noqa: PT017 - either way out is right
    else:
        assert type(model).__name__ == ENDPOINTS[endpoint].reply
        assert repr(model)
        assert 200 <= status < 300 or getattr(model, "status", None) is OrderStatus.PAYING


@given(st.sampled_from(sorted(ENDPOINTS)), _VERDICTS, _OBJECTS, _STATUSES)
@settings(max_examples=300)
def test_whatever_json_comes_nothing_but_our_errors_goes_out(
    endpoint: str, verdict: dict[str, str], fields: dict[str, Any], status: int
) -> None:
    """Each endpoint, each field of any kind."""
    survives(endpoint, json.dumps({**fields, **verdict}).encode(), status)


@given(st.sampled_from(sorted(ENDPOINTS)), st.binary(max_size=300), _STATUSES)
def test_whatever_bytes_come_nothing_but_our_errors_goes_out(endpoint: str, body: bytes, status: int) -> None:
    """Not even JSON."""
    survives(endpoint, body, status)


@given(st.sampled_from(sorted(ENDPOINTS)), _OBJECTS, st.integers(0, 400))
def test_wherever_a_reply_is_cut_nothing_but_our_errors_goes_out(
    endpoint: str, fields: dict[str, Any], at: int
) -> None:
    """A cut reply is never taken for a whole one."""
    survives(endpoint, json.dumps(success(endpoint) | fields).encode()[:at], 200)


@given(
    st.sampled_from(sorted(CALLS)), st.one_of(_OBJECTS.map(lambda o: json.dumps(o).encode()), st.binary()), _STATUSES
)
@settings(max_examples=60)
async def test_whatever_comes_a_call_ends_in_a_model_or_an_error_of_ours(name: str, body: bytes, status: int) -> None:
    """Through the whole session; a money call that ends in an error always says what became of the money."""
    async with open_session(Gateway(response(body, status))) as omipay:
        try:
            model = await CALLS[name](omipay)
        except OmipayError as error:
            assert (error.outcome is None) is (name in READS)  # noqa: PT017 - either way out is right
        else:
            assert type(model).__name__ == ENDPOINTS[name].reply
