"""A reply of another call, or one that contradicts itself, is neither a success nor a refusal."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from omipay_async import APIError, InvalidReply, OrderStatus, OutcomeUnknown, Safety
from omipay_async.protocol.context import RequestContext
from omipay_async.protocol.decoding import decode as decode_reply
from omipay_async.protocol.endpoints import ENDPOINTS
from omipay_async.protocol.reply import Received
from tests.support.canned_gateway import (
    CALLS,
    CONVERTER,
    MONEY,
    READS,
    Gateway,
    decode,
    fail,
    open_session,
    read,
    success,
)

ORDERS: Final = [name for name in MONEY if name != "Refund"]

# API 2, once more by hand: what each reply may name, and must then name as it was sent.
ECHOES: Final = {
    **dict.fromkeys(ORDERS, ("out_order_no",)),
    "Refund": ("order_no", "out_refund_no"),
    "QueryOrder": ("order_no",),
    "QueryRefund": ("refund_no",),
    "GetExchangeRate": (),
    "GetUserInfo": (),
}
NAMED: Final = [(name, field) for name, fields in ECHOES.items() for field in fields]
FAILED_WORDS: Final = ["FAIL", "FAILED", "CANCELLED"]
REFUSED_REFUNDS: Final = ["MerchantRejected", "TimeoutClosed", "OrganizationFailed", "CustomerCancelled"]
ACCEPTED_REFUNDS: Final = ["Applied", "MerchantConfirmed", "OrganizationConfirmed", "OrganizationPayback", "Closed"]
CONTRADICTIONS: Final[dict[str, list[str]]] = {
    **dict.fromkeys(ORDERS, FAILED_WORDS),
    "MakeScanOrder": [*FAILED_WORDS, "READY"],
    "Refund": [*FAILED_WORDS, *REFUSED_REFUNDS],
}


def not_believed(name: str, reply: dict[str, Any] | bytes) -> str:
    """Assert that the reply is not usable, and return what is wrong with it."""
    error = decode(name, reply)
    assert isinstance(error, InvalidReply)
    assert error.raw
    return str(error)


def test_which_numbers_each_reply_must_repeat() -> None:
    """Every endpoint has a row in the table."""
    assert {name: endpoint.echoes for name, endpoint in ENDPOINTS.items()} == ECHOES


@pytest.mark.parametrize(("name", "field"), NAMED)
@pytest.mark.parametrize("other", ["another", "TR2", 7, ["TR1"], {"a": 1}, True])
def test_a_reply_with_another_number_is_not_believed(name: str, field: str, other: Any) -> None:
    """Neither a success nor a refusal: a load balancer may mix up both."""
    for reply in (success(name, **{field: other}), fail("AMOUNT_INVALID", **{field: other})):
        assert f"{field} is not the one that was sent" in not_believed(name, reply)


@pytest.mark.parametrize(("name", "field"), NAMED)
@pytest.mark.parametrize("absent", [None, "", "          "])
def test_a_reply_without_a_number_is_believed(name: str, field: str, absent: Any) -> None:
    """Most of the documents' examples contain none, and a database may fill an empty field up with spaces."""
    assert read(name, success(name, **{field: absent})) is not None


# A reply of the other kind, as another endpoint would give it.
OF_A_REFUND: Final[list[dict[str, Any]]] = [
    {"out_refund_no": "R-9"},
    {"refund_no": "RF9", "out_refund_no": "R-9"},
    {"order_no": "TR9", "out_refund_no": "R-9"},
]
OF_AN_ORDER: Final[list[dict[str, Any]]] = [{"out_order_no": "SEORD9"}]
MIXED_UP: Final = [
    *((name, fields) for name in ORDERS for fields in OF_A_REFUND),
    *(("QueryOrder", fields) for fields in OF_A_REFUND[:2]),
    *((name, fields) for name in ("Refund", "QueryRefund") for fields in OF_AN_ORDER),
]


@pytest.mark.parametrize(("name", "fields"), MIXED_UP)
def test_a_reply_to_another_kind_of_call_is_not_believed(name: str, fields: dict[str, Any]) -> None:
    """A refund's reply is not believed by an order's call, nor the other way round."""
    for reply in (
        {"return_code": "SUCCESS", "result_code": "CLOSED", "currency": "AUD", "amount": 100, **fields},
        fail("AMOUNT_INVALID", **fields),
    ):
        assert "is not a number of this kind of call" in not_believed(name, reply)


@pytest.mark.parametrize("absent", [None, ""])
def test_an_empty_number_of_another_kind_does_not_count(absent: Any) -> None:
    """Some replies have every field of every endpoint."""
    assert read("MakeQROrder", success("MakeQROrder", out_refund_no=absent)).order_no == "TR1"
    assert read("Refund", success("Refund", out_order_no=absent)).refund_no == "RF1"


def test_the_error_of_a_read_has_no_order_no() -> None:
    """The caller has that number already."""
    error = decode("QueryOrder", success("QueryOrder", order_no="TR1", success=False))
    assert isinstance(error, InvalidReply)
    assert error.order_no is None


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("MakeScanOrder", {"out_order_no": "SEORD000001", "out_refund_no": "R-9"}),
        ("MakeScanOrder", {"order_no": "TR9", "refund_no": "RF9"}),
        ("QueryOrder", {"out_order_no": "SEORD9", "out_refund_no": "R-9"}),
        ("QueryOrder", {"order_no": "TR1", "refund_no": "RF9"}),
        ("Refund", {"order_no": "TR1", "out_order_no": "SEORD9"}),
        ("Refund", {"refund_no": "RF1", "out_order_no": "SEORD9"}),
        ("QueryRefund", {"out_refund_no": "R-9", "out_order_no": "SEORD9"}),
    ],
)
def test_a_reply_may_contain_both_kinds_of_numbers(name: str, fields: dict[str, Any]) -> None:
    """No document has such a reply, and it does not prove that it answers another call."""
    assert read(name, success(name, **fields)) is not None


def test_the_order_in_a_reply_to_another_kind_of_call_is_not_used() -> None:
    """The order in a refund's reply is not the order of this call."""
    error = decode("MakeScanOrder", success("MakeScanOrder", order_no="TR9", out_refund_no="R-9"))
    assert isinstance(error, InvalidReply)
    assert error.order_no is None


@pytest.mark.parametrize(("sent", "said"), [("12", 12), ("12", "12 "), ("0012", "0012")])
def test_numbers_are_compared_as_text(sent: str, said: Any) -> None:
    """A JSON number is compared by its digits, and leading zeros count."""
    assert not isinstance(asked_for(sent, said), InvalidReply)
    assert isinstance(asked_for("012", 12), InvalidReply)


def asked_for(sent: str, said: Any) -> Any:
    """The result of a QR order whose reply has ``said`` as its number."""
    context = RequestContext(ENDPOINTS["MakeQROrder"], {"out_order_no": sent})
    body = json.dumps(success("MakeQROrder", out_order_no=said)).encode()
    return decode_reply(context, Received(200, body), CONVERTER)


@pytest.mark.parametrize("name", ENDPOINTS)
@pytest.mark.parametrize(
    "twice",
    [
        '"return_code":"FAIL","return_code":"SUCCESS"',
        '"return_code":"SUCCESS","return_code":"FAIL"',
        '"return_code ":"FAIL","return_code":"SUCCESS"',
        '"return_code":"SUCCESS","x":1,"x":true',
        '"return_code":"SUCCESS","amount":1,"amount":2',
    ],
)
def test_a_reply_with_a_repeated_key_and_two_values_is_not_believed(name: str, twice: str) -> None:
    """Whichever value came last."""
    fields = json.dumps({key: value for key, value in success(name).items() if key != "return_code"})[1:]
    assert "twice" in not_believed(name, f"{{{twice},{fields}".encode())


def test_a_repeated_key_with_one_value_is_read() -> None:
    """It does not contradict itself."""
    body = b'{"return_code":"SUCCESS","return_code":"SUCCESS","order_no":"TR1","x":{"a":1,"a":2}}'
    assert read("MakeQROrder", body).order_no == "TR1"


@pytest.mark.parametrize("name", ENDPOINTS)
@pytest.mark.parametrize(
    "code", ["NOT_ENOUGH", "SIGN_TIMEOUT", "SIGN_TIMEOUOT", " SYSTEM_ERROR", "not_enough", "USERPAYING"]
)
def test_success_with_a_documented_error_code_is_not_believed(name: str, code: str) -> None:
    """Only USERPAYING of a scan order has a meaning beside SUCCESS."""
    reply = success(name, error_code=code)
    if (name, code) == ("MakeScanOrder", "USERPAYING"):
        assert read(name, reply).status is OrderStatus.PAYING
    else:
        assert "error code" in not_believed(name, reply)


@pytest.mark.parametrize("name", ENDPOINTS)
@pytest.mark.parametrize("word", [None, "", "0", "OK", "SUCCESS", 0, ["NOT_ENOUGH"]])
def test_words_that_no_document_has_are_ignored(name: str, word: Any) -> None:
    """As an error_code beside SUCCESS, as a result_code of an order, and as ``success``."""
    assert read(name, success(name, error_code=word))
    assert read(name, success(name, success=word))
    if name in MONEY:
        assert read(name, success(name, result_code=word))


@pytest.mark.parametrize("name", ENDPOINTS)
@pytest.mark.parametrize("no", [False, "false", "False"])
def test_success_false_contradicts_success(name: str, no: Any) -> None:
    """It agrees with FAIL."""
    assert "success: false" in not_believed(name, success(name, success=no))
    assert isinstance(decode(name, fail("SIGN_ERROR", success=no)), APIError)


@pytest.mark.parametrize("name", ENDPOINTS)
@pytest.mark.parametrize("yes", [True, "true"])
def test_success_true_contradicts_a_refusal(name: str, yes: Any) -> None:
    """Also USERPAYING. It agrees with SUCCESS."""
    for code in ("NOT_ENOUGH", "USERPAYING", "BRAND_NEW", None):
        assert "success: true" in not_believed(name, fail(code, success=yes, order_no="TR1"))
    assert read(name, success(name, success=yes))


@pytest.mark.parametrize(("name", "word"), [(n, word) for n, words in CONTRADICTIONS.items() for word in words])
def test_success_with_a_word_for_not_paid_or_failed_is_not_believed(name: str, word: str) -> None:
    """``{"return_code": "SUCCESS", "result_code": "FAILED"}`` is neither a payment nor a refusal."""
    for spelling in (word, word.lower(), f" {word}"):
        assert "result_code" in not_believed(name, success(name, result_code=spelling))


@pytest.mark.parametrize("name", [name for name in ORDERS if name != "MakeScanOrder"])
@pytest.mark.parametrize("word", ["READY", "PAYING", "PAID"])
def test_an_order_that_was_made_is_not_paid_yet(name: str, word: str) -> None:
    """Its status agrees with SUCCESS, which means that the order was made."""
    assert read(name, success(name, result_code=word)).order_no == "TR1"


@pytest.mark.parametrize("field", ["error_code", "result_code"])
@pytest.mark.parametrize("word", ["PAYING", "USERPAYING", "PAYING ", "Paying", "userPaying"])
def test_paying_beside_success_of_a_scan_order_is_paying(field: str, word: str) -> None:
    """This is the safer reading, since a poll then finds out."""
    order = read("MakeScanOrder", success("MakeScanOrder", **{field: word}))
    assert (order.status, order.is_paid, order.order_time) == (OrderStatus.PAYING, False, None)


@pytest.mark.parametrize("verdict", [None, "", "ERROR"])
def test_userpaying_needs_a_return_code_beside_it(verdict: str | None) -> None:
    """SUCCESS, FAIL, or USERPAYING itself (EN 2.4)."""
    reply = success("MakeScanOrder", return_code=verdict, error_code="USERPAYING")
    assert isinstance(decode("MakeScanOrder", reply), InvalidReply)


@pytest.mark.parametrize("word", ["PAID", "PAYED", "SETTLED"])
@pytest.mark.parametrize("name", MONEY)
def test_a_refusal_with_a_word_for_paid_is_not_believed(name: str, word: str) -> None:
    """So that nobody charges the customer again."""
    assert "paid" in not_believed(name, fail("NOT_ENOUGH", result_code=word))


@pytest.mark.parametrize("code", ["NOT_ENOUGH", "SIGN_TIMEOUT", "QRCODE_EXPIRED"])
@pytest.mark.parametrize("word", ["PAYING", "USERPAYING", "paying", "SUCCESS"])
@pytest.mark.parametrize("name", MONEY)
def test_a_refusal_with_a_word_for_paying_or_success_is_not_believed(name: str, word: str, code: str) -> None:
    """The customer may be paying: the order is neither refused nor to be sent again."""
    assert "the customer is paying" in not_believed(name, fail(code, result_code=word))


@pytest.mark.parametrize("code", ["AMOUNT_OVER_LIMIT", "SIGN_TIMEOUT", "BRAND_NEW"])
@pytest.mark.parametrize("word", [*ACCEPTED_REFUNDS, "applied", "CLOSED"])
def test_a_refused_refund_with_a_word_for_accepted_is_not_believed(word: str, code: str) -> None:
    """So that nobody pays back twice. What means that it has failed agrees with FAIL, and orders have other words."""
    assert "the refund was accepted" in not_believed("Refund", fail(code, result_code=word))
    assert isinstance(decode("Refund", fail(code, result_code=REFUSED_REFUNDS[0])), APIError)
    assert isinstance(decode("MakeQROrder", fail(code, result_code=word)), APIError)


@pytest.mark.parametrize("word", ["PAYING", "USERPAYING", "SUCCESS"])
def test_userpaying_agrees_with_a_word_for_paying_or_success(word: str) -> None:
    """The order was made, and the poll that follows shows what became of it."""
    scan = read("MakeScanOrder", fail("USERPAYING", order_no="TR1", result_code=word))
    assert (scan.order_no, scan.status) == ("TR1", "PAYING")


@pytest.mark.parametrize("name", MONEY)
async def test_the_outcome_of_a_money_call_is_then_unknown(name: str) -> None:
    """After a success and after a refusal. ``raw`` is the reply, and nothing is repeated."""
    echo = ECHOES[name][-1]
    for reply in (
        success(name, **{echo: "other"}),
        success(name, success=False),
        fail("SIGN_TIMEOUT", **{echo: "other"}),
        fail("NOT_ENOUGH", success=True),
    ):
        gateway = Gateway(reply)
        async with open_session(gateway) as omipay:
            with pytest.raises(OutcomeUnknown) as unknown:
                await CALLS[name](omipay)
        assert unknown.value.raw == reply
        assert len(gateway.requests) == 1
        number = "out_refund_no R-1" if name == "Refund" else "out_order_no SEORD000001"
        assert number in str(unknown.value)


@pytest.mark.parametrize("name", READS)
async def test_a_read_is_then_repeated(name: str) -> None:
    """As after any other reply that cannot be used."""
    gateway = Gateway(success(name, success=False), success(name))
    async with open_session(gateway) as omipay:
        assert await CALLS[name](omipay)
    assert len(gateway.requests) == 2


@pytest.mark.parametrize("safety", Safety)
async def test_the_replies_of_call_follow_the_same_rules(safety: Safety) -> None:
    """The merchant's own numbers must be repeated as sent, and no reply may contradict itself."""
    expected = InvalidReply if safety is Safety.READ else OutcomeUnknown
    params = {"out_order_no": "A-1", "order_no": "TR1"}
    for reply in (
        {"return_code": "SUCCESS", "out_order_no": "A-2"},
        {"return_code": "SUCCESS", "error_code": "SIGN_ERROR"},
        {"return_code": "SUCCESS", "success": False},
        {"error_code": "SYSTEM_ERROR"},
        {"return_code": "SUCCESS", "error_code": "USERPAYING"},
        {"return_code": "FAIL", "success": True},
    ):
        async with open_session(Gateway(reply)) as omipay:
            with pytest.raises(expected):
                await omipay.call("ConfirmCheckOut", params, safety=safety)
    good = {"return_code": "SUCCESS", "out_order_no": "A-1", "order_no": "TR2", "result_code": "FAILED"}
    async with open_session(Gateway(good)) as omipay:
        assert await omipay.call("ConfirmCheckOut", params, safety=safety) == good


async def test_call_of_a_known_endpoint_uses_its_row_however_it_is_spelt() -> None:
    """``refund`` and ``other/Refund`` are both Refund."""
    for name in ("Refund", "refund", "other/REFUND"):
        async with open_session(Gateway(success("Refund", order_no="TR2"))) as omipay:
            with pytest.raises(OutcomeUnknown, match="order_no is not the one that was sent"):
                await omipay.call(name, {"order_no": "TR1"})


async def test_call_of_a_known_endpoint_does_not_believe_a_success_that_failed() -> None:
    """``result_code`` FAILED contradicts SUCCESS of a charge, but not of an undocumented endpoint."""
    async with open_session(Gateway(success("MakeScanOrder", result_code="FAILED"))) as omipay:
        with pytest.raises(OutcomeUnknown):
            await omipay.call("vip/MakeScanOrder", {"out_order_no": "SEORD000001"})
        assert await omipay.call("ConfirmCheckOut", {})


def order_no_of(reply: dict[str, Any] | bytes) -> str | None:
    """The order number that is taken from an unusable reply to a scan order."""
    error = decode("MakeScanOrder", reply)
    assert isinstance(error, InvalidReply)
    return error.order_no


def test_the_order_no_is_taken_only_from_this_calls_reply() -> None:
    """Also from one that contradicts itself, but not from one that answers another call or contains two numbers."""
    assert order_no_of(success("MakeScanOrder", order_no="TR7", success=False)) == "TR7"
    assert order_no_of({"order_no": "TR7"}) == "TR7"
    for nothing in ("", 7, None, ["TR7"]):
        assert order_no_of({"order_no": nothing}) is None
    assert order_no_of(success("MakeScanOrder", order_no="TR7", out_order_no="other")) is None
    assert order_no_of(b'{"return_code":"SUCCESS","order_no":"TR7","order_no":"TR8"}') is None
    twice = b'{"return_code":"SUCCESS","order_no":"TR7","out_order_no":"other","out_order_no":"SEORD000001"}'
    assert order_no_of(twice) is None
    assert order_no_of(b'{"return_code":"FAIL","return_code":"SUCCESS","order_no":"TR7"}') == "TR7"
