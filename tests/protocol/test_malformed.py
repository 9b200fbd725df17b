"""Bodies that are not notifications: JSON bombs, fields of the wrong kind, anything. All errors are ours."""

from __future__ import annotations

import asyncio
import contextlib
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings, strategies as st

from omipay_async import MalformedNotification, NotificationError
from omipay_async.protocol.notifications import SealedBody
from omipay_async.protocol.signing import signature
from omipay_async.testing import ManualClock
from tests.support.scripted_gateway import M_NUMBER, SECRET_KEY, Gateway, fail, notification
from tests.support.strangers import NONCE, never, refused, two_orders
from tests.support.untyped import untyped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from omipay_async import AsyncOmipay

pytestmark = pytest.mark.usefixtures("no_garbage_collection")


@pytest.fixture
def gateway(clock: ManualClock) -> Gateway:
    return two_orders(clock)


@pytest.fixture
async def omipay(gateway: Gateway) -> AsyncIterator[AsyncOmipay]:
    async with gateway.session() as omipay:
        yield omipay


# -- bodies that are not notifications --------------------------------------------------------------------------------

BOMBS: dict[str, Any] = {
    "empty": b"",
    "blank": b" \n ",
    "no JSON": b"return_code=SUCCESS&order_no=TR1",
    "cut off": b'{"order_no": "TR1"',
    "two": b"{}{}",
    "null": b"null",
    "list": b"[]",
    "text": b'"TR1"',
    "number": b"1",
    "object": b"{}",
    "deep list": b"[" * 60_000,
    "deep object": b'{"a":' * 10_000,
    "deep and closed": b"[" * 30_000 + b"]" * 30_000,
    "deep in a field": b'{"order_no":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "long": b'{"order_no": "' + b"9" * 70_000 + b'"}',
    "long number": b'{"timestamp": ' + b"9" * 60_000 + b"}",
    "large exponent": b'{"timestamp": 1e999999999999999999999}',
    "NaN": b'{"timestamp": NaN}',
    "Infinity": b'{"timestamp": -Infinity}',
    "duplicate keys": b'{"order_no": "TR1", "order_no": "TR2"}',
    "not UTF-8": b'{"order_no": "\xff\xfe"}',
    "UTF-16": '{"order_no": "TR1"}'.encode("utf-16"),
    "surrogate bytes": b'{"order_no": "\xed\xa0\x80"}',
    "lone surrogate in text": '{"order_no": "\ud800"}',
    "NUL": "\x00",
    "None": None,
    "int": 7,
    "list of pairs": [("order_no", "TR1")],
    "keys that are not text": {1: 2},
    "fields": {"order_no": "TR1"},
}


@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS.keys())
async def test_bodies_that_are_not_notifications(gateway: Gateway, omipay: AsyncOmipay, body: Any) -> None:
    """MalformedNotification and an answer of 400, at once, without a question to the gateway."""
    with pytest.raises(MalformedNotification):
        omipay.parse_notification(body)
    await refused(omipay, body, MalformedNotification, 400)
    assert gateway.requests == []


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("order_no", "order_no is not a string"),
        ("out_order_no", "out_order_no is neither text nor a whole number"),
        ("currency", "currency is not a string"),
        ("total_amount", "amount is not a whole number"),
    ],
)
async def test_what_is_compared_with_the_gateways_answer_must_be_readable(
    clock: ManualClock, omipay: AsyncOmipay, name: str, why: str
) -> None:
    """Otherwise a field that cannot be read would agree with everything. The error says which one it is."""
    changes: dict[str, Any] = {name: {"of": "another kind"}}
    await refused(omipay, notification(clock) | changes, MalformedNotification, 400)
    with pytest.raises(MalformedNotification, match=f"cannot be read: {why}$"):
        omipay.parse_notification(notification(clock) | changes)


async def test_duplicate_keys_are_rejected_even_with_a_valid_signature(clock: ManualClock, omipay: AsyncOmipay) -> None:
    """Two programs may read different values from such a body."""
    text = json.dumps(notification(clock))
    twice = text[:-1] + ', "order_no": "TR2"}'
    await refused(omipay, twice, MalformedNotification, 400)
    await refused(omipay, twice[:-1] + r', "memo": "\ud800"}', MalformedNotification, 400)


@pytest.mark.parametrize(
    "changes",
    [
        {"order_no": None},
        {"order_no": ""},
        {"order_no": "   "},
        {"order_no": 7},
        {"order_no": ["TR1"]},
        {"order_no": {"a": "TR1"}},
        {"order_no": "TR\x001"},
        {"order_no": "TR\ud800"},
        {"order_no": "订" * 10_000},
        {"total_amount": True},
        {"total_amount": -450},
        {"total_amount": 4.5},
        {"total_amount": "4.50"},
        {"total_amount": "４５０"},
        {"total_amount": "9" * 5_000},
        {"currency": 36},
        {"out_order_no": 7},
        {"timestamp": -1},
        {"timestamp": "0x10"},
        {"timestamp": "1" * 200},
    ],
    ids=lambda changes: str(changes)[:40],
)
async def test_fields_of_the_wrong_kind(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, changes: dict[str, Any]
) -> None:
    """They are rejected with 4xx in spite of a valid signature, as JSON and as a mapping."""
    body = notification(clock, **changes)
    for form in (body, json.dumps(body)):
        reply = await omipay.receive_notification(form, never)
        assert isinstance(reply.error, NotificationError)
        assert 400 <= reply.status < 500
        with pytest.raises(NotificationError):
            await omipay.confirm_notification(form)


@pytest.mark.parametrize(
    "changes",
    [{"order_time": "20181332250000"}, {"pay_time": 20181025120000}, {"exchange_rate": "six"}, {"cny_amount": []}],
    ids=str,
)
async def test_fields_that_are_not_compared_may_be_anything(
    clock: ManualClock, omipay: AsyncOmipay, changes: dict[str, Any]
) -> None:
    """They are None if they cannot be read, and no payment is lost because of them."""
    body = notification(clock, **changes)
    assert getattr(omipay.parse_notification(body), next(iter(changes))) is None
    assert (await omipay.confirm_notification(body)).is_paid


@pytest.mark.parametrize(
    "written",
    [b"NaN", b"04.71", b"1.#INF", b"None", b'"C:\\temp"', b'"can\\\'t"', '"余额"'.encode("gbk"), b'"caf\xe9"'],
    ids=repr,
)
async def test_a_value_that_is_not_json_is_read_as_in_a_reply(
    clock: ManualClock, omipay: AsyncOmipay, written: bytes
) -> None:
    """The same gateway writes both, and one value of less importance hides no payment. A mapping may have NaN too."""
    body = json.dumps(notification(clock)).encode()[:-1] + b', "memo": %b}' % written
    assert (await omipay.confirm_notification(body)).is_paid
    assert (await omipay.confirm_notification(body.decode(errors="replace").encode("utf-16"))).is_paid
    assert (await omipay.confirm_notification(notification(clock, memo=float("nan")))).is_paid


@pytest.mark.parametrize("name", ["order_no", "out_order_no", "currency", "sign", "nonce_str"])
async def test_bytes_that_cannot_be_decoded_agree_with_nothing(
    clock: ManualClock, omipay: AsyncOmipay, name: str
) -> None:
    """In a field that counts."""
    body = json.dumps(notification(clock, **{name: "\x00"})).encode().replace(b"\\u0000", b"\xff")
    with pytest.raises(NotificationError):
        await omipay.confirm_notification(body)


@pytest.mark.parametrize(
    "changes",
    [
        {"sign": 7},
        {"sign": None},
        {"sign": ["A"]},
        {"nonce_str": None},
        {"nonce_str": 12},
        {"nonce_str": "a" * 300},
        {"timestamp": None},
        {"timestamp": True},
        {"timestamp": 1.7e12},
        {"timestamp": Decimal(1700000000000)},
        {"timestamp": 10**5000},
        {"timestamp": 10**20},
        {"sign": ""},
        {"sign": "a" * 257},
        {"nonce_str": ""},
        {"nonce_str": "a" * 257},
    ],
    ids=lambda changes: str(changes.keys()),
)
async def test_signature_fields_of_the_wrong_kind(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, changes: dict[str, Any]
) -> None:
    """They must be text, or a whole number as the time."""
    body = {name: value for name, value in (notification(clock) | changes).items() if value is not None}
    await refused(omipay, body, MalformedNotification, 400)
    with pytest.raises(MalformedNotification, match=f"^the notification has no {next(iter(changes))}$"):
        omipay.parse_notification(body)
    assert gateway.requests == []


@pytest.mark.parametrize("changes", [{"nonce_str": "a"}, {"nonce_str": "a" * 256}, {"timestamp": 10**20 - 1}], ids=str)
async def test_signature_fields_at_their_bounds(
    clock: ManualClock, omipay: AsyncOmipay, changes: dict[str, Any]
) -> None:
    """One character and 256 characters; a time with twenty digits."""
    assert omipay.parse_notification(notification(clock, **changes), max_age=None).order_no == "TR1"


WRONG = {
    "the body must be bytes, text or a mapping with text keys, not int": 7,
    "the body must be bytes, text or a mapping with text keys, not dict": {1: 2},
    "the body is longer than 65536 bytes": b" " * 65_537,
    "the body is not a notification: it is not JSON": b"x",
    "the body is not a notification: it is empty": " " * 65_536,
    "the body is not a notification: it contains a key twice": b'{"order_no": "TR1", "order_no": "TR1"}',
    "the notification has no nonce_str": b"{}",
}


@pytest.mark.parametrize("why", WRONG)
async def test_the_error_of_a_body_that_is_not_a_notification(omipay: AsyncOmipay, why: str) -> None:
    """It gives the reason and shows nothing of the body."""
    with pytest.raises(MalformedNotification) as caught:
        omipay.parse_notification(untyped(WRONG[why]))
    assert str(caught.value) == why


async def test_the_error_of_a_signed_body_that_cannot_be_read(clock: ManualClock, omipay: AsyncOmipay) -> None:
    """It names the fields and shows nothing of the body."""
    for changes, why in (
        ({"order_no": "TR 1"}, "order_no is not 1 to 64 of A-Z, a-z, 0-9, _ and -"),
        ({"total_amount": "x", "currency": 36}, "currency is not a string; amount is not a whole number"),
    ):
        with pytest.raises(MalformedNotification) as caught:
            omipay.parse_notification(notification(clock, **changes))
        assert str(caught.value) == f"the notification cannot be read: {why}"


async def test_text_may_contain_a_lone_surrogate(clock: ManualClock, omipay: AsyncOmipay) -> None:
    """In a field that is not compared; some web frameworks pass on such text."""
    text = json.dumps(notification(clock))[:-1] + ', "memo": "\ud800"}'
    assert omipay.parse_notification(text).raw["memo"] == "\ufffd"


def test_no_frame_shows_what_signs_a_body(clock: ManualClock) -> None:
    """Code that captures local variables must not get the signature."""
    body = notification(clock)
    signed = SealedBody(body).read()
    assert signed.raw == body
    assert body["sign"] not in repr(signed)
    assert body["nonce_str"] not in repr(signed)


# -- anything at all --------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = ["order_no", "out_order_no", "currency", "total_amount", "amount", "order_time", "pay_time", "exchange_rate"]
FIELDS = st.dictionaries(st.sampled_from([*NAMES, "pay_currency", "cny_amount", "return_code", " order_no", "x"]), JSON)
SEALS = st.fixed_dictionaries({"nonce_str": st.text(), "timestamp": st.integers() | st.text()})


def only_our_errors(gateway: Gateway, body: Any) -> None:
    """Assert that ``body`` becomes a notification or one of our errors, and an answer."""

    async def offer() -> None:
        async with gateway.session() as omipay:
            with contextlib.suppress(NotificationError):
                omipay.parse_notification(body)
            reply = await omipay.receive_notification(body, never)
            assert 400 <= reply.status < 600

    asyncio.run(offer())


def nothing_paid() -> Gateway:
    """A gateway that has no orders."""
    gateway = Gateway(ManualClock())
    gateway.on("QueryOrder", fail("PERMISSION_ERROR"))
    return gateway


@settings(max_examples=60, deadline=None)
@given(st.binary() | st.text(alphabet=st.characters(exclude_categories=())) | JSON)
def test_any_body_gives_one_of_our_errors(body: Any) -> None:
    """Arbitrary bytes, text and objects."""
    only_our_errors(nothing_paid(), body)


@settings(max_examples=60, deadline=None)
@given(FIELDS, SEALS)
def test_any_signed_fields_give_one_of_our_errors(fields: dict[str, Any], seal: dict[str, Any]) -> None:
    """Arbitrary fields with a valid signature, and with any time and nonce."""
    sign = signature(M_NUMBER, str(seal["timestamp"]), seal["nonce_str"], SECRET_KEY)
    gateway = nothing_paid()
    body = {**fields, **seal, "sign": sign}
    only_our_errors(gateway, body)
    only_our_errors(gateway, json.dumps(body))
    if "NaN" not in json.dumps(body):
        only_our_errors(gateway, {**fields, "nonce_str": NONCE, "timestamp": 1_700_000_000_000, "sign": sign})
