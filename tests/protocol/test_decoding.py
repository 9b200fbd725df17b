"""Replies as they really come: every oddity of the documents and of real replies is read, every wrong field named."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from omipay_async import Currency, InvalidReply, Order, OrderStatus, Platform, RefundStatus
from omipay_async.protocol.endpoints import ENDPOINTS
from omipay_async.protocol.jsontext import json_object
from tests.support.canned_gateway import MONEY, NUMBERS, read, success


def order(**fields: Any) -> Order:
    """The order of a QueryOrder reply with these fields changed."""
    result = read("QueryOrder", success("QueryOrder", **fields))
    assert isinstance(result, Order)
    return result


# -- oddities ----------------------------------------------------------------------------------------------------------


def test_stray_spaces_on_keys_are_taken_off() -> None:
    """``"refund_no "`` of both documents; where a key comes with and without, the one without counts."""
    assert read("Refund", {"return_code": "SUCCESS", " refund_no ": "RF1", "amount\t": 7}).amount == 7
    for numbers in ({"refund_no ": "A", "refund_no": "B"}, {"refund_no": "B", "refund_no ": "A"}):
        assert read("Refund", {"return_code": "SUCCESS", **numbers}).refund_no == "B"


@pytest.mark.parametrize("absent", [None, ""])
@pytest.mark.parametrize(
    "name", ["out_order_no", "pay_time", "order_time", "pay_amount", "pay_currency", "exchange_rate"]
)
def test_null_and_the_empty_string_are_absent(name: str, absent: Any) -> None:
    """Seen in real replies: what is not there is None."""
    assert getattr(order(**{name: absent}), name) is None


def test_integers_may_come_as_strings() -> None:
    """Seen in real replies; money is an int all the same."""
    result = order(amount="0100", pay_amount="561", pay_currency="CNY", exchange_rate="650000000")
    assert (result.amount, result.pay_amount, result.exchange_rate) == (100, 561, Decimal("6.5"))
    assert type(result.amount) is int


@pytest.mark.parametrize(
    ("fields", "amount", "pay_amount", "pay_currency"),
    [
        ({"amount": 100, "pay_amount": 561, "pay_currency": "CNY"}, 100, 561, "CNY"),
        ({"amount": None, "total_amount": 100, "cny_amount": 650}, 100, 650, "CNY"),
        ({"amount": 100, "total_amount": 7}, 100, None, None),
        ({"pay_amount": 561, "cny_amount": 7}, 100, 561, None),
        ({"cny_amount": 650, "pay_currency": "AUD"}, 100, 650, "AUD"),
        ({"pay_amount": "", "cny_amount": 650, "pay_currency": ""}, 100, 650, "CNY"),
        ({"pay_amount": 561}, 100, 561, None),
    ],
)
def test_an_orders_amounts_go_by_either_documents_names(
    fields: dict[str, Any], amount: int, pay_amount: int | None, pay_currency: str | None
) -> None:
    """CN's name counts first; ``cny_amount`` is CNY unless ``pay_currency`` says otherwise."""
    result = order(**fields)
    assert (result.amount, result.pay_amount, result.pay_currency) == (amount, pay_amount, pay_currency)


def test_what_was_paid_need_not_agree_with_the_rate() -> None:
    """The documents' own 100, 6.5 and 561 do not: nothing is derived or checked."""
    assert order(amount=100, exchange_rate=650000000, pay_amount=561, pay_currency="CNY").pay_amount == 561


@pytest.mark.parametrize("word", ["READY ", " PAID"])
def test_a_status_may_have_spaces_round_it(word: str) -> None:
    """As keys have."""
    assert isinstance(order(result_code=word).status, OrderStatus)


def test_an_unknown_status_is_kept_and_waits() -> None:
    """No error of the client, and nothing to act on."""
    result = order(result_code="FROZEN")
    assert (result.status, result.is_paid, result.is_failed, result.is_final) == ("FROZEN", False, False, False)
    refund = read("QueryRefund", success("QueryRefund", result_code="Frozen"))
    assert (refund.status, refund.is_refunded, refund.is_failed, refund.is_final) == ("Frozen", False, False, False)


def test_unknown_currencies_and_platforms_stay_strings() -> None:
    """Known ones become members."""
    assert order(currency="NZD").currency == "NZD"
    assert order(currency="CNY").currency is Currency.CNY
    assert read("GetExchangeRate", success("GetExchangeRate", platform="VISA")).platform == "VISA"
    assert read("GetExchangeRate", success("GetExchangeRate", platform="UPI")).platform is Platform.UPI


@pytest.mark.parametrize(
    ("sent", "rate"), [("5.01540000", "5.01540000"), ('"5.01540000"', "5.01540000"), ("5", "5"), ("1e-3", "0.001")]
)
def test_rates_never_pass_through_binary_floating_point(sent: str, rate: str) -> None:
    """Every digit that the gateway wrote is there, trailing zeros included."""
    body = f'{{"return_code":"SUCCESS","rate":{sent}}}'.encode()
    assert str(read("GetExchangeRate", body).rate) == rate


def test_a_json_value_of_an_app_order_arrives_as_its_text() -> None:
    """``order_string`` may be JSON: numbers as they were written, nothing escaped that need not be."""
    value = '{"appid":"wx1","n":1.50,"list":[1,null,true,"支付"],"e":{}}'
    body = f'{{"return_code":"SUCCESS","order_no":"TR1","order_string":{value}}}'.encode()
    assert read("MakeAPPOrder", body).order_string == value
    assert read("MakeAPPOrder", success("MakeAPPOrder", order_string="a=b")).order_string == "a=b"


@pytest.mark.parametrize("key", ["Package", "package"])
def test_an_applet_orders_package_has_two_names(key: str) -> None:
    """CN's table and CN's code differ."""
    assert read("MakeAppletOrder", success("MakeAppletOrder", **{key: "prepay_id=1"})).package == "prepay_id=1"


def test_an_applet_orders_time_may_be_a_number() -> None:
    """WeChat's own documents have it as one; wx.requestPayment wants text."""
    assert read("MakeAppletOrder", success("MakeAppletOrder", timeStamp=1482796530)).time_stamp == "1482796530"


def test_a_bom_is_no_trouble() -> None:
    """UTF-8 with its mark is UTF-8."""
    assert read("MakeQROrder", b"\xef\xbb\xbf" + json.dumps(success("MakeQROrder")).encode()).order_no == "TR1"


def test_order_numbers_have_any_length() -> None:
    """Seen: 24 characters, documented: 32."""
    assert (
        read("MakeQROrder", success("MakeQROrder", order_no="TR1812060010011263009795")).order_no
        == "TR1812060010011263009795"
    )


@pytest.mark.parametrize(
    "where",
    [
        {"return_code": "FAIL", "error_code": "USERPAYING"},
        {"return_code": "FAIL", "error_code": "USERPAYING "},
        {"return_code": "USERPAYING"},
        {"return_code": "USERPAYING", "error_code": "USERPAYING"},
        {"return_code": "SUCCESS", "error_code": "USERPAYING"},
    ],
)
def test_a_customer_typing_a_password_is_no_error(where: dict[str, str]) -> None:
    """USERPAYING, as error_code or (EN) as return_code: an order in PAYING, which is not paid yet."""
    result = read("MakeScanOrder", {**where, "order_no": "TR1", "order_time": "20161227105530"})
    assert (result.order_no, result.status, result.order_time) == ("TR1", OrderStatus.PAYING, None)
    assert not result.is_paid
    assert not result.is_final


@pytest.mark.parametrize("name", ["order_no", "refund_no"])
def test_a_reply_about_another_number_is_no_reply(name: str) -> None:
    """A question about TR1 is not answered by TR2's state, whoever mixed them up."""
    endpoint = {"order_no": "QueryOrder", "refund_no": "QueryRefund"}[name]
    assert read(endpoint, success(endpoint, **{name: NUMBERS[name]}))
    with pytest.raises(InvalidReply, match=f"{name} is not the one asked for"):
        read(endpoint, success(endpoint, **{name: "another"}))


@pytest.mark.parametrize("missing", ["currency", "amount", "result_code"])
def test_an_order_always_has_its_amount_and_currency(missing: str) -> None:
    """Half a QueryOrder reply is none: nothing is shipped on it."""
    reply = success("QueryOrder")
    del reply[missing]
    with pytest.raises(InvalidReply, match="is missing"):
        read("QueryOrder", reply)


@pytest.mark.parametrize("name", MONEY)
def test_a_lesser_field_that_cannot_be_read_does_not_undo_a_payment(name: str) -> None:
    """The money call succeeded: what is odd about the rest stays in ``raw``."""
    number = ENDPOINTS[name].number
    assert number is not None
    lesser = ("order_time", "refund_time", "amount", "currency", "pay_url", "qrcode", "timeStamp", "paySign")
    odd = {key: [1.5] for key in lesser}
    result = read(name, success(name) | odd)
    assert getattr(result, number) == success(name)[number]
    assert result.raw["pay_url"] == [Decimal("1.5")]
    assert not any(getattr(result, field, None) for field in odd)


# -- wrong fields ------------------------------------------------------------------------------------------------------

WRONG_TYPES: dict[str, dict[str, Any]] = {
    "GetExchangeRate": {"rate": ["x", True, [], "1e5", "-1", -1, "٣", "1" * 31]},
    "QueryOrder": {
        "result_code": [1, [], {}, True],
        "out_order_no": [7, []],
        "currency": [36, {}],
        "amount": [1.5, True, "1.5", "x", -1, [], "٣", "1" * 31],
        "pay_amount": [1.5, "x"],
        "order_time": [
            "2016-12-27",
            "20161327105530",
            "20161227255530",
            20161227105530,
            "00000101000000",
            "２０１６１２２７１０５５３０",
        ],
        "exchange_rate": [6.5, "6.5", False],
    },
    "QueryRefund": {"result_code": [1], "amount": ["1.0"], "success_time": ["x"], "out_refund_no": [5]},
    "GetUserInfo": {"openid": [None, "", 5, ["x"]], "nickname": [5], "headimgurl": [{}]},
}


@pytest.mark.parametrize(("name", "field"), [(name, field) for name, fields in WRONG_TYPES.items() for field in fields])
def test_a_field_of_the_wrong_kind_is_named(name: str, field: str) -> None:
    """InvalidReply names the field, keeps the reply in ``raw``, and shows no value in its words."""
    for value in WRONG_TYPES[name][field]:
        with pytest.raises(InvalidReply) as failure:
            read(name, success(name, **{field: value}))
        wire_name = {"result_code": "status"}.get(field, field)
        assert f" {wire_name} " in str(failure.value) or value in (None, "")
        assert failure.value.raw is not None
        assert field in failure.value.raw


def test_of_a_key_that_comes_twice_the_last_one_counts() -> None:
    """JSON leaves it open; nothing breaks."""
    assert (
        read("QueryRefund", b'{"return_code":"SUCCESS","result_code":"Closed","result_code":"Applied"}').status
        is RefundStatus.Applied
    )


def test_json_object_says_what_is_wrong_and_shows_nothing() -> None:
    """The message is for logs."""
    for body in (b"\xff-canary", b"canary", b'["canary"]', b""):
        with pytest.raises(ValueError, match=r"^it is ") as failure:
            json_object(body)
        assert "canary" not in str(failure.value)
