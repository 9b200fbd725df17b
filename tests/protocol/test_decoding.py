"""Replies as they really are: the oddities of the documents and of real replies are read, wrong fields are named."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any

import attrs
import pytest

from omipay_async import AppOrder, Currency, InvalidReply, Order, OrderStatus, PaymentDeclined, Platform
from omipay_async.protocol.conversion import ModelConverter
from omipay_async.protocol.decoding import decode
from omipay_async.protocol.endpoints import ENDPOINTS
from omipay_async.protocol.jsontext import json_text
from omipay_async.protocol.reply import Received
from tests.support.canned_gateway import CONVERTER, MONEY, context, fail, read, success

pytestmark = pytest.mark.usefixtures("no_garbage_collection")


def order(**fields: Any) -> Order:
    """The order of a QueryOrder reply with these fields changed."""
    result = read("QueryOrder", success("QueryOrder", **fields))
    assert isinstance(result, Order)
    return result


# -- oddities ----------------------------------------------------------------------------------------------------------


def test_stray_spaces_around_keys_are_removed() -> None:
    """``"refund_no "`` is in both documents. A key with and without spaces is the same key."""
    assert read("Refund", {"return_code": "SUCCESS", " refund_no ": "RF1", "amount\t": 7}).amount == 7
    receipt = read("Refund", {"return_code": "SUCCESS", "refund_no ": "B", "refund_no": "B"})
    assert (receipt.refund_no, receipt.raw) == ("B", {"return_code": "SUCCESS", "refund_no": "B"})


@pytest.mark.parametrize("absent", [None, "", "    "])
@pytest.mark.parametrize(
    "name", ["out_order_no", "pay_time", "order_time", "pay_amount", "pay_currency", "exchange_rate"]
)
def test_null_and_the_empty_string_are_absent(name: str, absent: Any) -> None:
    """Both were seen in real replies, and become None."""
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
        ({"amount": "   ", "total_amount": 100}, 100, None, None),
        ({"pay_amount": 561}, 100, 561, None),
    ],
)
def test_an_orders_amounts_have_the_names_of_either_document(
    fields: dict[str, Any], amount: int, pay_amount: int | None, pay_currency: str | None
) -> None:
    """CN's name counts first; ``cny_amount`` is in CNY unless ``pay_currency`` is another currency."""
    result = order(**fields)
    assert (result.amount, result.pay_amount, result.pay_currency) == (amount, pay_amount, pay_currency)


def test_what_was_paid_need_not_agree_with_the_rate() -> None:
    """The documents' own 100, 6.5 and 561 do not agree, so nothing is computed or compared."""
    assert order(amount=100, exchange_rate=650000000, pay_amount=561, pay_currency="CNY").pay_amount == 561


@pytest.mark.parametrize("word", ["READY ", " PAID"])
def test_a_status_may_have_spaces_around_it(word: str) -> None:
    """Like a key."""
    assert isinstance(order(result_code=word).status, OrderStatus)


def test_numbers_and_times_may_have_spaces_around_them() -> None:
    """A database may fill them up; a charge or a payment is not hidden by that."""
    plain = {"return_code": "SUCCESS", "result_code": "PAID", "currency": "AUD", "amount": "450", "pay_amount": "2106"}
    plain |= {"exchange_rate": "468000000", "pay_time": "20181206001001"}
    padded = {name: f" {value}   " for name, value in plain.items()}
    assert attrs.evolve(order(**padded), raw={}) == attrs.evolve(order(**plain), raw={})
    assert read("MakeScanOrder", success("MakeScanOrder", return_code="SUCCESS  ")).is_paid
    with pytest.raises(PaymentDeclined):
        read("MakeScanOrder", fail("NOT_ENOUGH ", return_code="FAIL   "))


@pytest.mark.parametrize("around", ["TR7  ", "TR7\r\n", "\tTR7", "\ufeffTR7\u200b"])
def test_what_is_around_a_number_of_the_gateways_is_left_out(around: str) -> None:
    """With it, nothing more could be asked about the order: a line break must not be sent."""
    scan = read("MakeScanOrder", fail("USERPAYING", order_no=around))
    assert (scan.order_no, scan.raw["order_no"]) == ("TR7", around)
    assert read("Refund", success("Refund", refund_no=around)).refund_no == "TR7"


def test_an_unknown_status_is_kept_and_waits() -> None:
    """It is neither an error of the client nor a reason to act."""
    result = order(result_code="FROZEN")
    assert (result.status, result.is_paid, result.is_failed, result.is_final) == ("FROZEN", False, False, False)
    refund = read("QueryRefund", success("QueryRefund", result_code="Frozen"))
    assert (refund.status, refund.is_refunded, refund.is_failed, refund.is_final) == ("Frozen", False, False, False)


def test_unknown_currencies_and_platforms_stay_strings() -> None:
    """Known ones become members of the enums."""
    assert order(currency="NZD").currency == "NZD"
    assert order(currency="CNY").currency is Currency.CNY
    assert read("GetExchangeRate", success("GetExchangeRate", platform="VISA")).platform == "VISA"
    assert read("GetExchangeRate", success("GetExchangeRate", platform="UPI")).platform is Platform.UPI


@pytest.mark.parametrize(
    ("sent", "rate"), [("5.01540000", "5.01540000"), ('"5.01540000"', "5.01540000"), ("5", "5"), ("1e-3", "0.001")]
)
def test_rates_never_pass_through_binary_floating_point(sent: str, rate: str) -> None:
    """Every digit is kept, with trailing zeros."""
    body = f'{{"return_code":"SUCCESS","rate":{sent}}}'.encode()
    assert str(read("GetExchangeRate", body).rate) == rate


def test_a_json_value_of_an_app_order_arrives_as_its_text() -> None:
    """``order_string`` may be JSON: its numbers are kept as written, and no character is escaped needlessly."""
    value = '{"appid":"wx1","n":1.50,"list":[1,null,true,"支付"],"e":{},"支付":"\\n"}'
    body = f'{{"return_code":"SUCCESS","order_no":"TR1","order_string":{value}}}'.encode()
    assert read("MakeAPPOrder", body).order_string == value
    assert read("MakeAPPOrder", success("MakeAPPOrder", order_string="a=b")).order_string == "a=b"


@pytest.mark.parametrize("key", ["Package", "package"])
def test_an_applet_orders_package_has_two_names(key: str) -> None:
    """CN's table and CN's code differ."""
    assert read("MakeAppletOrder", success("MakeAppletOrder", **{key: "prepay_id=1"})).package == "prepay_id=1"


def test_an_applet_orders_time_may_be_a_number() -> None:
    """As in WeChat's own documents. wx.requestPayment needs text."""
    assert read("MakeAppletOrder", success("MakeAppletOrder", timeStamp=1482796530)).time_stamp == "1482796530"
    assert read("MakeAppletOrder", success("MakeAppletOrder", timeStamp=[1482796530])).time_stamp is None


def test_a_bom_is_accepted() -> None:
    """UTF-8 with a byte order mark is UTF-8."""
    assert read("MakeQROrder", b"\xef\xbb\xbf" + json.dumps(success("MakeQROrder")).encode()).order_no == "TR1"


def test_order_numbers_have_any_length() -> None:
    """24 characters were seen, and 32 are documented."""
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
def test_a_customer_typing_a_password_is_not_an_error(where: dict[str, str]) -> None:
    """USERPAYING, as error_code or (EN) as return_code, is an order with status PAYING."""
    result = read("MakeScanOrder", {**where, "order_no": "TR1", "order_time": "20161227105530"})
    assert (result.order_no, result.status, result.order_time) == ("TR1", OrderStatus.PAYING, None)
    assert not result.is_paid
    assert not result.is_final


@pytest.mark.parametrize("missing", ["currency", "amount", "result_code"])
def test_an_order_always_has_its_amount_and_currency(missing: str) -> None:
    """A QueryOrder reply without them cannot be used, so nothing is shipped after it."""
    reply = success("QueryOrder")
    del reply[missing]
    with pytest.raises(InvalidReply, match="is missing"):
        read("QueryOrder", reply)


@pytest.mark.parametrize("name", MONEY)
def test_another_field_that_cannot_be_read_does_not_hide_a_payment(name: str) -> None:
    """The money call has succeeded; the field becomes None and stays in ``raw``."""
    (number,) = ENDPOINTS[name].essential
    lesser = ("order_time", "refund_time", "amount", "currency", "pay_url", "qrcode", "timeStamp", "paySign")
    odd = {key: [1.5] for key in lesser}
    result = read(name, success(name) | odd)
    assert getattr(result, number) == success(name)[number]
    assert result.raw["pay_url"] == [Decimal("1.5")]
    assert not any(getattr(result, field, None) for field in set(odd) - set(ENDPOINTS[name].as_sent))


# -- wrong fields ------------------------------------------------------------------------------------------------------

WRONG_TYPES: dict[str, dict[str, Any]] = {
    "GetExchangeRate": {"rate": ["x", True, [], "1e5", "-1", -1, "٣", "1" * 31]},
    "QueryOrder": {
        "result_code": [1, [], {}, True],
        "currency": [36, {}],
        "amount": [1.5, True, "1.5", "450.0", "x", -1, [], "٣", "1" * 31, 10**30],
    },
    "QueryRefund": {"result_code": [1]},
    "GetUserInfo": {"openid": [None, "", 5, ["x"]], "nickname": [5], "headimgurl": [{}]},
}


@pytest.mark.parametrize(("name", "field"), [(name, field) for name, fields in WRONG_TYPES.items() for field in fields])
def test_a_field_of_the_wrong_kind_is_named(name: str, field: str) -> None:
    """InvalidReply names the field and has the reply in ``raw``, but its message shows no value."""
    for value in WRONG_TYPES[name][field]:
        with pytest.raises(InvalidReply) as failure:
            read(name, success(name, **{field: value}))
        wire_name = {"result_code": "status"}.get(field, field)
        assert f" {wire_name} " in str(failure.value) or value in (None, "")
        assert failure.value.raw is not None
        assert field in failure.value.raw


LESSER: dict[str, dict[str, Any]] = {
    "QueryOrder": {
        "out_order_no": [[], {}, True, 7.5, "  "],
        "pay_currency": [36],
        "pay_amount": [1.5, "x", {}],
        "order_time": [
            "2016-12-27",
            "20161327105530",
            "20161227255530",
            20161227105530,
            "２０１６１２２７１０５５３０",
        ],
        "pay_time": [None, "", "00010101000000", "19700101000000", "19991231235959", "20161227", []],
        "exchange_rate": [6.5, "6.5", "4.71", False],
    },
    "QueryRefund": {"amount": ["1.0"], "success_time": ["x"], "out_refund_no": [[5]], "currency": [[]]},
}


@pytest.mark.parametrize(("name", "field"), [(name, field) for name, fields in LESSER.items() for field in fields])
def test_another_field_never_hides_a_status(name: str, field: str) -> None:
    """Paid is paid. The field becomes None and stays in ``raw``."""
    for value in LESSER[name][field]:
        model = read(name, success(name, **{field: value}))
        assert getattr(model, field) is None
        assert model.status == success(name)["result_code"]
        assert model.raw[field] == (Decimal(str(value)) if isinstance(value, float) else value)


@pytest.mark.parametrize(("name", "field"), [("QueryOrder", "out_order_no"), ("QueryRefund", "out_refund_no")])
def test_the_merchants_number_may_be_a_json_number(name: str, field: str) -> None:
    """It was sent as text, and is text again: a shop finds its sale by it. No number has more than 64 digits."""
    for number in (231, 10**64 - 1):
        assert getattr(read(name, success(name, **{field: number})), field) == str(number)
    assert getattr(read(name, success(name, **{field: 10**64})), field) is None


@pytest.mark.parametrize("word", ["aud", "Aud", " AUD "])
def test_a_currency_counts_however_it_is_spelt(word: str) -> None:
    """It is compared with the one that was sent; ``raw`` keeps the word."""
    order = read("QueryOrder", success("QueryOrder", currency=word))
    assert order.currency is Currency.AUD
    assert order.raw["currency"] == word


@pytest.mark.parametrize(
    ("written", "whole"), [("450.0", 450), ("4.5e2", 450), ("450.000", 450), ("0.0", 0), ("1e2", 100)]
)
def test_a_number_with_a_zero_fraction_is_an_integer(written: str, whole: int) -> None:
    """Some programs write 450 as a float. Another fraction is rejected."""
    body = f'{{"return_code":"SUCCESS","result_code":"PAID","currency":"AUD","amount":{written}}}'
    assert read("QueryOrder", body.encode()).amount == whole


@pytest.mark.parametrize("written", ["1e999999999", "1e-999999999", "-1e999999999", "1e99999999999999999999", "450.5"])
def test_numbers_of_absurd_size_are_refused_at_once(written: str) -> None:
    """As an amount and as a rate. In another field they do no harm."""
    body = '{"return_code":"SUCCESS","result_code":"PAID","currency":"AUD","amount":%s,"pay_amount":%s,"rate":%s}'
    with pytest.raises(InvalidReply, match="amount is not a whole number"):
        read("QueryOrder", (body % (written, 1, 1)).encode())
    assert read("QueryOrder", (body % (1, written, written)).encode()).pay_amount is None
    if written != "450.5":
        with pytest.raises(InvalidReply, match="rate is not a decimal number"):
            read("GetExchangeRate", f'{{"return_code":"SUCCESS","rate":{written}}}'.encode())


def test_an_integer_of_ten_thousand_digits_does_no_harm_in_an_unused_field() -> None:
    """Python's int does not read such a number."""
    body = b'{"return_code":"SUCCESS","order_no":"TR1","x":' + b"9" * 10_000 + b"}"
    assert read("MakeQROrder", body).order_no == "TR1"


# -- text --------------------------------------------------------------------------------------------------------------


def test_control_characters_in_text_are_accepted() -> None:
    """A raw newline in ``error_msg`` does not make a refusal unreadable."""
    body = b'{"return_code":"FAIL","error_code":"NOT_ENOUGH","error_msg":"a\nb\x00c\x1b[31m"}'
    with pytest.raises(PaymentDeclined) as declined:
        read("MakeScanOrder", body)
    assert declined.value.error_msg == "a\nb\x00c\x1b[31m"
    assert str(declined.value).endswith(r"(a\nb\u0000c\u001b[31m)")


@pytest.mark.parametrize(
    "body",
    [b'{"return_code":"SUCCESS","order_no":"a\\ud800b"}', b'{"return_code":"SUCCESS","order_no":"a\xed\xa0\x80b"}'],
)
def test_lone_surrogates_become_replacement_characters(body: bytes) -> None:
    """They cannot be encoded. A pair of surrogates is one character."""
    assert read("MakeQROrder", body).order_no == "a\ufffdb"
    whole = b'{"return_code":"SUCCESS","order_no":"TR1","x":["\\ud83d\\ude00",{"\\uDC00":"\\udbff"}]}'
    assert read("MakeQROrder", whole).raw["x"] == ["\U0001f600", {"\ufffd": "\ufffd"}]


@pytest.mark.parametrize(
    "declared",
    [
        *("GBK", "x-gbk", "csGBK", '"gbk"', "GB18030", "GB18030-2022", "gb2312", "GB_2312-80", "MS936", "windows-936"),
        *("EUC-CN", "utf-8; charset=gbk"),
    ],
)
def test_gbk_is_read_where_it_is_declared(declared: str) -> None:
    """And only if the bytes are not UTF-8, and are GBK."""
    content_type = f"application/json; charset={declared}"
    body = json.dumps(fail("NOT_ENOUGH", error_msg="余额不足"), ensure_ascii=False)
    for encoding in ("gbk", "utf-8"):
        with pytest.raises(PaymentDeclined, match="余额不足"):
            read("MakeScanOrder", body.encode(encoding), content_type=content_type)
    for other in (None, "application/json", "application/json; charset=latin-1"):
        with pytest.raises(PaymentDeclined, match="\ufffd\ufffd"):
            read("MakeScanOrder", body.encode("gbk"), content_type=other)
    with pytest.raises(InvalidReply, match="neither SUCCESS nor FAIL"):
        read("MakeScanOrder", b'{"\xff":1}', content_type=content_type)


@pytest.mark.parametrize("encoding", ["UTF-8", "utf8", "identity", "", "application/json", "gzip"])
def test_a_wrong_content_encoding_does_not_matter(encoding: str) -> None:
    """``Content-Encoding: UTF-8`` on plain JSON is a mistake that must not hide a charge."""
    assert read("MakeScanOrder", success("MakeScanOrder"), encoding=encoding).is_paid


def test_json_that_is_nested_too_deeply_to_be_written_becomes_none() -> None:
    """It can be parsed but not written as text, and the field is not essential."""
    value = '{"a":' * 100 + "1" + "}" * 100
    body = f'{{"return_code":"SUCCESS","order_no":"TR1","order_string":{value}}}'.encode()
    assert read("MakeAPPOrder", body).order_string == value
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    for unwritable, why in ((deep, "nested too deeply"), ([Decimal("Infinity")], "too large")):
        with pytest.raises(ValueError, match=why):
            json_text(unwritable)
        raw = {"order_no": "TR1", "order_string": unwritable}
        assert CONVERTER.structure(AppOrder, raw, {"order_no"}).order_string is None


# -- times -------------------------------------------------------------------------------------------------------------


class Localized(tzinfo):
    """A zone like those of pytz, which is right only in the results of ``localize``."""

    def utcoffset(self, _: datetime | None) -> timedelta:
        """The local mean time of the 19th century."""
        return timedelta(hours=10, minutes=5)

    def dst(self, _: datetime | None) -> timedelta:
        """As above."""
        return timedelta()

    def tzname(self, _: datetime | None) -> str:
        """As above."""
        return "LMT"

    def localize(self, time: datetime, is_dst: bool = False) -> datetime:
        """An hour that comes twice is summer's first, then winter's. (pytz raises an error for None.)"""
        assert is_dst is not None
        return time.replace(tzinfo=timezone(timedelta(hours=11 if is_dst else 10)))


def test_zones_that_must_be_localised_give_right_times() -> None:
    """As pytz's zones do. An hour that comes twice is the first one."""
    reply = json.dumps(success("QueryOrder", pay_time="20240407023000")).encode()
    order = decode(context("QueryOrder"), Received(200, reply), ModelConverter(Localized()))
    assert isinstance(order, Order)
    assert order.pay_time == datetime(2024, 4, 6, 15, 30, tzinfo=UTC)
    assert read("QueryOrder", reply).pay_time.timestamp() == order.pay_time.timestamp()
