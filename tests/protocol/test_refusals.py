"""The messages about rejected arguments, word by word, and the last valid value at each limit."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from omipay_async import InvalidRequest, Safety, from_minor, to_minor
from omipay_async.protocol import validation
from omipay_async.protocol.endpoints import (
    ENDPOINTS,
    GET_EXCHANGE_RATE,
    MAKE_APP_ORDER,
    MAKE_JSAPI_ORDER,
    MAKE_ONLINE_ORDER,
    MAKE_QR_ORDER,
    QUERY_ORDER,
)
from omipay_async.text import Secret
from tests.support.canned_gateway import ORDER
from tests.support.masked import Masked
from tests.support.untyped import untyped

if TYPE_CHECKING:
    from collections.abc import Callable

    from omipay_async.protocol.endpoints import Endpoint

QR = {**ORDER, "platform": "UPI"}
JSAPI = {**ORDER, "redirect_url": "https://shop.example/back"}
APP = {**ORDER, "platform": "WECHATPAY", "app_id": "wx1"}
ONLINE = {**ORDER, "type": "wap"}
LARGEST = 2**63 - 1
HUNDRED_YEARS = 100 * 366 * 86_400

NOT_A_URL = "must be an absolute http or https URL"
NOT_LETTERS = "must be three capital letters, such as AUD"
UNPRINTABLE = "must not contain control characters or lone surrogates"
POLI = "must be at least 2 when platform is POLI"
TOO_LONG = "is too long: the whole request does not fit into a URL"


def refusal(work: Callable[[], object]) -> InvalidRequest:
    """The message with which ``work`` is rejected."""
    with pytest.raises(InvalidRequest) as caught:
        work()
    return caught.value


@pytest.mark.parametrize(
    ("endpoint", "given", "name", "why"),
    [
        (QUERY_ORDER, {}, "order_no", "must be given"),
        (QUERY_ORDER, {"order_no": 7}, "order_no", "must be a string, not int"),
        (QUERY_ORDER, {"order_no": " "}, "order_no", "must not be empty"),
        (QUERY_ORDER, {"order_no": "x" * 4097}, "order_no", "must not be longer than 4096 characters"),
        (QUERY_ORDER, {"order_no": "a\nb"}, "order_no", UNPRINTABLE),
        (MAKE_QR_ORDER, {**QR, "platform": "POLI"}, "platform", "must be one of WECHATPAY, ALIPAY, UPI"),
        (MAKE_ONLINE_ORDER, {**ONLINE, "type": "app"}, "type", "must be one of web, wap"),
        (
            MAKE_QR_ORDER,
            {**QR, "amount": 1.0},
            "amount",
            "must be an int of minor units (A$1.00 is 100: see to_minor), not float",
        ),
        (
            MAKE_QR_ORDER,
            {**QR, "amount": True},
            "amount",
            "must be an int of minor units (A$1.00 is 100: see to_minor), not bool",
        ),
        (MAKE_QR_ORDER, {**QR, "amount": 0}, "amount", "must be at least 1 minor unit"),
        (MAKE_QR_ORDER, {**QR, "amount": LARGEST + 1}, "amount", f"must be at most {LARGEST}"),
        (MAKE_QR_ORDER, {**QR, "currency": "aud"}, "currency", NOT_LETTERS),
        (GET_EXCHANGE_RATE, {"currency": "AUD", "base_currency": "€"}, "base_currency", NOT_LETTERS),
        (MAKE_QR_ORDER, {**QR, "notify_url": "shop.example"}, "notify_url", NOT_A_URL),
        (MAKE_JSAPI_ORDER, {**JSAPI, "direct_pay": 1}, "direct_pay", "must be True or False, not int"),
        (MAKE_ONLINE_ORDER, {**ONLINE, "platform": "POLI", "amount": 1}, "amount", POLI),
        (MAKE_APP_ORDER, {**APP, "app_id": None}, "app_id", "must be given when platform is WECHATPAY"),
        (MAKE_QR_ORDER, {**QR, "order_name": "长" * 4000}, "order_name", TOO_LONG),
        (MAKE_QR_ORDER, {**QR, "out_order_no": "\u200b \ufeff"}, "out_order_no", "must not be empty"),
    ],
)
def test_the_message_of_a_rejected_argument(
    endpoint: Endpoint[Any], given: dict[str, Any], name: str, why: str
) -> None:
    """It names the parameter, which is also a field, and shows no value."""
    error = refusal(lambda: validation.query(endpoint, given))
    assert (str(error), error.parameter) == (f"{name} {why}", name)


def test_a_call_that_was_not_awaited_is_named() -> None:
    """It stands where the order should."""

    async def order() -> None: ...

    forgotten = order()
    error = refusal(lambda: validation.text("order", forgotten))
    forgotten.close()
    assert str(error) == "order must be a string, not coroutine: is an await missing?"


@pytest.mark.parametrize(
    ("given", "name", "why"),
    [
        ("a=b", "params", "must be a mapping, not str"),
        ({"a b": "x"}, "params", "must have parameter names as keys"),
        ({"sign": "x"}, "params['sign']", "is added by the session"),
        ({"card": 1.5}, "params['card']", "must be a string or an int, not float"),
        ({"card": LARGEST + 1}, "params['card']", f"must be from -{LARGEST} to {LARGEST}"),
        ({"card": ""}, "params['card']", "must not be empty"),
        ({"card": "x" * 4096, "name": "长" * 4000}, "name", TOO_LONG),
    ],
)
def test_the_message_of_a_rejected_argument_of_call(given: Any, name: str, why: str) -> None:
    """Parameters are named ``params['name']``."""
    error = refusal(lambda: validation.general_query(given))
    assert (str(error), error.parameter) == (f"{name} {why}", name)


@pytest.mark.parametrize(
    ("name", "safety", "parameter", "why"),
    [
        ("a b", "READ", "endpoint", "must be the name of an endpoint under /v2/, such as ConfirmCheckOut"),
        ("MakeQRCode", "READ", "endpoint", "is a mistake of the English document: the endpoint is called MakeQROrder"),
        ("X", "read", "safety", "must be Safety.READ or Safety.MONEY"),
        ("v3/refund", "READ", "safety", "must be Safety.MONEY: Refund moves money"),
    ],
)
def test_an_endpoint_that_must_not_be_called_is_rejected(name: str, safety: str, parameter: str, why: str) -> None:
    """The message contains what to write instead."""
    error = refusal(lambda: validation.general_endpoint(name, safety))
    assert (str(error), error.parameter) == (f"{parameter} {why}", parameter)


@pytest.mark.parametrize(
    ("work", "name", "why"),
    [
        (lambda: untyped(to_minor)(1.0, "AUD"), "amount", "amount must be text, a Decimal or an int, not float"),
        (lambda: to_minor("1e2", "AUD"), "amount", "amount must be a plain number such as 12.30"),
        (lambda: to_minor(Decimal("NaN"), "AUD"), "amount", "amount must be a plain number of at most 60 digits"),
        (lambda: to_minor("1.005", "AUD"), "amount", "amount has 3 decimals, AUD has 2"),
        (lambda: to_minor(Decimal("9" * 61), "JPY"), "amount", "amount must be a plain number of at most 60 digits"),
        (lambda: to_minor(Decimal("1E+60"), "JPY"), "amount", "amount must be a plain number of at most 60 digits"),
        (lambda: to_minor("1", "aud"), "currency", "currency must be three capital letters, such as AUD"),
        (lambda: untyped(from_minor)(1.0, "AUD"), "amount", "amount must be an int of minor units, not float"),
        (lambda: from_minor(10**60 + 1, "AUD"), "amount", "amount must be from -10**60 to 10**60"),
    ],
)
def test_a_wrong_amount_is_rejected(work: Callable[[], object], name: str, why: str) -> None:
    """By both helpers."""
    error = refusal(work)
    assert (str(error), error.parameter) == (why, name)


@pytest.mark.parametrize(
    ("value", "rules", "why"),
    [
        (True, {}, "must be a number of seconds, not bool"),
        (0, {"above": True}, "must be more than 0 seconds"),
        (-1e-9, {}, "must be at least 0 seconds"),
        (HUNDRED_YEARS + 1, {}, "must be a finite number of seconds, or None where that is allowed"),
        (-HUNDRED_YEARS - 1, {}, "must be a finite number of seconds, or None where that is allowed"),
        (-HUNDRED_YEARS, {}, "must be at least 0 seconds"),
        (float("nan"), {}, "must be a finite number of seconds, or None where that is allowed"),
    ],
)
def test_wrong_seconds_are_rejected(value: object, rules: dict[str, Any], why: str) -> None:
    """The message names the argument."""
    error = refusal(lambda: validation.seconds("timeout", value, **rules))
    assert (str(error), error.parameter) == (f"timeout {why}", "timeout")


@pytest.mark.parametrize(("value", "rules"), [(0, {}), (1e-9, {"above": True}), (HUNDRED_YEARS, {"above": True})])
def test_seconds_up_to_a_hundred_years_are_accepted(value: float, rules: dict[str, Any]) -> None:
    """As a float."""
    taken = validation.seconds("timeout", value, **rules)
    assert (taken, type(taken)) == (value, float)


def test_amounts_of_sixty_digits_are_converted() -> None:
    """In both directions. Zero has no sign."""
    assert to_minor(Decimal("9" * 60), "JPY") == int("9" * 60)
    assert to_minor(Decimal("1E+59"), "JPY") == 10**59
    assert from_minor(10**60, "JPY") == Decimal(10**60)
    assert from_minor(-(10**60), "JPY") == -Decimal(10**60)
    assert [str(from_minor(amount, "AUD")) for amount in (0, 5, -5, 120)] == ["0.00", "0.05", "-0.05", "1.20"]


# -- what may just be sent --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "given", "sent"),
    [
        (QUERY_ORDER, {"order_no": "x" * 4096}, f"order_no={'x' * 4096}"),
        (MAKE_QR_ORDER, {**QR, "amount": 1}, "amount=1"),
        (MAKE_QR_ORDER, {**QR, "amount": LARGEST}, f"amount={LARGEST}"),
        (MAKE_QR_ORDER, {**QR, "notify_url": "http://a.example:1/"}, "notify_url=http%3A%2F%2Fa.example%3A1%2F"),
        (MAKE_QR_ORDER, {**QR, "notify_url": "https://a.example:65535"}, "notify_url=https%3A%2F%2Fa.example%3A65535"),
        (MAKE_JSAPI_ORDER, {**JSAPI, "direct_pay": True}, "direct_pay=1"),
        (MAKE_ONLINE_ORDER, {**ONLINE, "platform": "POLI", "amount": 2}, "amount=2"),
    ],
)
def test_the_last_valid_value_is_sent(endpoint: Endpoint[Any], given: dict[str, Any], sent: str) -> None:
    """The limit itself is valid."""
    assert sent in validation.query(endpoint, given).split("&")


def test_a_query_of_32_kib_is_the_longest() -> None:
    """Counted in characters as sent. The longest value is named."""
    params = dict.fromkeys("abcdefg", "x" * 4096)
    query, _ = validation.general_query({**params, "h": "x" * 4073})
    assert len(query) == 32 * 1024
    error = refusal(lambda: validation.general_query({**params, "h": "x" * 4074}))
    assert (str(error), error.parameter) == (f"a {TOO_LONG}", "a")


@pytest.mark.parametrize("value", [LARGEST, -LARGEST, 0, "0"])
def test_a_general_call_sends_whole_numbers_of_64_bits(value: object) -> None:
    """With their sign."""
    assert validation.general_query({"card": value}) == (f"card={value}", False)


def test_a_general_call_follows_the_rules_of_a_known_endpoint() -> None:
    """However it is spelt. For an unknown endpoint only the merchant's own numbers count."""
    known, row = validation.general_endpoint("v3/refund", "MONEY"), ENDPOINTS["Refund"]
    assert (known.name, known.path, known.safety) == ("v3/refund", "/v2/v3/refund", Safety.MONEY)
    assert (known.echoes, known.contradictions) == (row.echoes, row.contradictions)
    assert (known.foreign_number, known.own_numbers) == (row.foreign_number, row.own_numbers)
    unknown = validation.general_endpoint("ConfirmCheckOut", "READ")
    assert unknown.echoes == ("out_order_no", "out_refund_no")
    assert (unknown.foreign_number, unknown.contradictions, unknown.parameters) == (None, frozenset(), ())
    assert not unknown.needs_return_code


@pytest.mark.parametrize(
    ("safety", "expected"),
    [("READ", Safety.READ), ("MONEY", Safety.MONEY), ("read", Safety.MONEY), (None, Safety.MONEY)],
)
def test_a_call_whose_endpoint_was_rejected_counts_as_money_unless_it_was_a_read(
    safety: object, expected: Safety
) -> None:
    """In its event and its error, which name it ``call``."""
    endpoint = validation.rejected_endpoint(safety)
    assert (endpoint.name, endpoint.safety) == ("call", expected)


def test_text_is_taken_as_plain_text() -> None:
    """It becomes a key, or a part of a message: a subclass is asked nothing. A secret stays one."""
    plain = validation.text("order", Masked("TR1"))
    assert (type(plain), plain) == (str, "TR1")
    secret = validation.text("order", Secret("TR1"))
    assert type(secret) is Secret


def test_a_payment_code_stays_a_secret_in_its_query() -> None:
    """The whole query is a secret, so that no frame and no log shows it."""
    scan = ENDPOINTS["MakeScanOrder"]
    query = validation.query(scan, {**ORDER, "qrcode": "134 567", "pos_no": "1"})
    assert type(query) is Secret
    assert "qrcode=134%20567" in query.split("&")
    (code,) = [parameter for parameter in scan.parameters if parameter.secret]
    assert type(validation._CHECKS[code.kind](code, "134 567")) is Secret
