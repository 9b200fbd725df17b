"""Whatever comes over the wire, a model or an error of ours goes out, and quickly.

A thousand of each kind here. By hand, as many as are wanted:
``OMIPAY_FUZZ=1000000 pytest tests/protocol/test_fuzz.py``.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from hypothesis import HealthCheck, given, settings, strategies as st

from omipay_async import APIError, InvalidReply, NotificationError, OmipayError, OrderStatus
from omipay_async.protocol import notifications
from omipay_async.protocol.endpoints import ENDPOINTS
from omipay_async.protocol.http_date import believable_date_ms, parse_http_date, retry_after_s
from omipay_async.protocol.signing import Credentials, signature
from omipay_async.text import escape_controls
from tests.support.canned_gateway import (
    CALLS,
    CONVERTER,
    NUMBERS,
    READS,
    Gateway,
    context,
    decode,
    open_session,
    response,
    success,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES: Final = int(os.environ.get("OMIPAY_FUZZ", "1000"))
many = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
LONGEST_S: Final = 1.0
"""For one reply: nothing that is sent holds the event loop for longer."""

_WORDS = ["SUCCESS", "FAIL", "USERPAYING", "PAYING", "PAID", "FAILED", "NOT_ENOUGH", "SIGN_TIMEOUT", "Closed", "AUD"]
_NUMBERS = ["450.0", "1e999999999", "-0.0", "1e-999999999", "9" * 5000, "1E400", "0.1", "1" * 31]
_TIMES = ["20240407023000", "00010101000000", "20161327105530", "99991231235959"]
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([*_WORDS, *_TIMES, *NUMBERS.values(), "TR2"])
    | st.sampled_from(_NUMBERS).map(lambda number: f"\x00{number}\x00")
)


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)


_JSON = _SCALARS | _nested(_SCALARS | _nested(_SCALARS))
_FIELDS = sorted(
    {"return_code", "error_code", "error_msg", "order_no", "refund_no", "amount ", "total_amount", "cny_amount", "rate"}
    | {"result_code", "currency", "pay_currency", "pay_amount", "order_time", "pay_time", "exchange_rate", "openid"}
    | {"order_string", "timeStamp", "package", "Package", "qrcode", "pay_url", "success_time", "refund_time", "amount"}
    | {"success", "out_order_no", "out_refund_no", " return_code", "platform", "nickname"}
)
_PAIRS = st.lists(st.tuples(st.sampled_from(_FIELDS), _JSON), max_size=8)
_VERDICTS = st.sampled_from(
    [[], [("return_code", "SUCCESS")], [("return_code", "FAIL")], [("return_code", "USERPAYING")]]
)
_STATUSES = st.sampled_from([200, 200, 200, 201, 301, 400, 404, 500, 502])
_ENDPOINTS = st.sampled_from(sorted(ENDPOINTS))


def body_of(pairs: list[tuple[str, Any]]) -> bytes:
    """These pairs as JSON, with repeated keys; a number between NULs is written without quotes."""
    fields = ",".join(f"{json.dumps(key)}:{json.dumps(value)}" for key, value in pairs)
    for number in _NUMBERS:
        fields = fields.replace(f'"\\u0000{number}\\u0000"', number)
    return f"{{{fields}}}".encode()


@contextlib.contextmanager
def quickly(longest_s: float = LONGEST_S) -> Iterator[None]:
    """Assert that the block needs little processor time. What the collector of garbage needs is not the block's."""
    gc.disable()
    began = time.process_time()
    try:
        yield
    finally:
        took = time.process_time() - began
        gc.enable()
        assert took < longest_s


def survives(endpoint: str, body: bytes, status: int, **received: Any) -> None:
    """Assert that the result is a model of the right kind or an error of ours."""
    with quickly():
        decoded = decode(endpoint, body, status, **received)
    if isinstance(decoded, InvalidReply | APIError):
        message = str(decoded)
        assert message.startswith(f"{endpoint}: ")
        assert len(message) < 1000
        assert escape_controls(message) == message
        return
    assert type(decoded) is ENDPOINTS[endpoint].reply
    assert len(repr(decoded)) < 10 * len(body) + 2000
    assert 200 <= status < 300 or getattr(decoded, "status", None) is OrderStatus.PAYING
    for name in ENDPOINTS[endpoint].as_sent:
        assert getattr(decoded, name) == context(endpoint).sent(name)
    for value in (getattr(decoded, name, None) for name in ("rate", "exchange_rate")):
        assert value is None or (isinstance(value, Decimal) and value.is_finite())


@given(_ENDPOINTS, _VERDICTS, _PAIRS, _STATUSES)
@many
def test_whatever_json_comes(
    endpoint: str, verdict: list[tuple[str, Any]], pairs: list[tuple[str, Any]], status: int
) -> None:
    """For each endpoint: fields of any kind, and repeated keys."""
    survives(endpoint, body_of([*pairs, *verdict]), status)


@given(_ENDPOINTS, _PAIRS, _STATUSES)
@many
def test_whatever_else_a_good_reply_contains(endpoint: str, pairs: list[tuple[str, Any]], status: int) -> None:
    """A success with its essential fields and any others."""
    survives(endpoint, body_of([*success(endpoint).items(), *pairs]), status)


@given(_ENDPOINTS, st.binary(max_size=300), _STATUSES, st.sampled_from([None, "x; charset=gbk", "text/html"]))
@many
def test_whatever_bytes_come(endpoint: str, body: bytes, status: int, content_type: str | None) -> None:
    """Bodies that are not even JSON."""
    survives(endpoint, body, status, content_type=content_type)


@given(_ENDPOINTS, _PAIRS, st.integers(0, 400), st.binary(max_size=3))
@many
def test_wherever_a_reply_is_cut_or_corrupted(
    endpoint: str, pairs: list[tuple[str, Any]], at: int, noise: bytes
) -> None:
    """A cut reply is never taken for a whole one."""
    whole = body_of([*success(endpoint).items(), *pairs])
    survives(endpoint, whole[:at] + noise, 200)
    survives(endpoint, whole[:at] + noise + whole[at + len(noise) :], 200)


@given(_PAIRS, st.binary(max_size=40), st.booleans(), st.sampled_from([0, 1, 99]))
@many
def test_whatever_a_stranger_posts(pairs: list[tuple[str, Any]], noise: bytes, signed: bool, at: int) -> None:
    """A notification or a NotificationError. The order number of a signed one can be used as a key."""
    nonce, timestamp = "0123456789abcdef", "1540426523000"
    sign = signature("123456", timestamp, nonce, "key" if signed else "another")
    body = body_of([*pairs, ("nonce_str", nonce), ("timestamp", timestamp), ("sign", str.__str__(sign))])
    for posted in (body, body[:at] + noise + body[at:], noise):
        try:
            with quickly():
                found = notifications.parse(
                    notifications.SealedBody(posted),
                    credentials=Credentials("123456", "key"),
                    issued=None,
                    converter=CONVERTER,
                )
        except NotificationError as error:
            assert escape_controls(str(error)) == str(error)  # either way out is right
        else:
            assert signed
            assert found.order_no.isascii()
            assert 1 <= len(found.order_no) <= 64
            assert found.order_no.replace("_", "").replace("-", "").isalnum()


_DAYS = st.sampled_from(["06", "14", "31", " 6", "0"])
_MONTHS = st.sampled_from(["Nov", "Nov", "Feb", "Xyz"])
_YEARS = st.sampled_from(["2023", "23", "1994", "0000", "9999"]) | st.integers(0, 99_999).map(str)
_HOURS = st.sampled_from(["08:49:37", "08:49:37", "23:59:60", "24:00:00", "::::::::", "8:49"])
_DATES = (
    st.text(max_size=40)
    | st.builds("Sun, {} {} {} {} {}".format, _DAYS, _MONTHS, _YEARS, _HOURS, st.sampled_from(["GMT", "UTC", "+1000"]))
    | st.builds("Sunday, {}-{}-{} {} GMT".format, _DAYS, _MONTHS, _YEARS, _HOURS)
    | st.builds("Sun {} {} {} {}".format, _MONTHS, _DAYS, _HOURS, _YEARS)
    | st.builds("{}, {}".format, st.integers(0, 10**9), st.integers(0, 10**9))
)


@given(_DATES, st.integers(-(2**40), 2**50))
@many
def test_whatever_a_date_header_contains(text: str, now_ms: int) -> None:
    """A time that can be believed, or None."""
    assert isinstance(parse_http_date(text), int | None)
    believed = believable_date_ms(text, now_ms)
    assert believed is None or (believed >= 946_684_800_000 and abs(believed - now_ms) <= 30 * 86_400_000)
    wait = retry_after_s(text, now_ms)
    assert wait is None or wait >= 0


@given(st.sampled_from(sorted(CALLS)), _VERDICTS, _PAIRS, _STATUSES)
@settings(many, max_examples=max(60, EXAMPLES // 20))
async def test_whatever_comes_a_call_ends_in_a_model_or_an_error_of_ours(
    name: str, verdict: list[tuple[str, Any]], pairs: list[tuple[str, Any]], status: int
) -> None:
    """Through the whole session. An error of a money call always has an outcome."""
    async with open_session(Gateway(response(body_of([*pairs, *verdict]), status))) as omipay:
        try:
            model = await CALLS[name](omipay)
        except OmipayError as error:
            assert (error.outcome is None) is (name in READS)  # either way out is right
        else:
            assert type(model) is ENDPOINTS[name].reply


def test_a_reply_of_a_mebibyte_is_read_or_refused_quickly() -> None:
    """The largest replies that are read at all, of the slowest kinds."""
    for body in (
        b'{"a":"' + b"\\ud800" * 150_000 + b'"}',
        b"{" + b",".join(b'"k%d ":1' % n for n in range(90_000)) + b"}",
        b'{"return_code":"SUCCESS","order_no":"T","amount":1.' + b"0" * 900_000 + b"}",
        b'{"return_code":"SUCCESS","order_no":"T","amount":' + b"9" * 900_000 + b"}",
        b"[" * 1_000_000,
        b"\xff" * 1_000_000,
    ):
        with quickly(3 * LONGEST_S):
            decode("MakeQROrder", body, content_type="x; charset=gbk")
