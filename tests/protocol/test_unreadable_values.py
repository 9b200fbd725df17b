"""One value of a reply that cannot be read makes only its own field unreadable."""

from __future__ import annotations

import pickle

import pytest

from omipay_async import InvalidReply, OrderStatus, PaymentDeclined
from tests.support.canned_gateway import decode, read

pytestmark = pytest.mark.usefixtures("no_garbage_collection")


@pytest.mark.parametrize("written", [b"NaN", b"Infinity", b"-Infinity"])
def test_a_number_that_json_does_not_have_hides_no_refusal(written: bytes) -> None:
    """Nor a number that is too long for Python, both in one reply."""
    with pytest.raises(PaymentDeclined):
        read("MakeScanOrder", b'{"return_code":"FAIL","error_code":"NOT_ENOUGH","x":%b}' % written)
    huge = b'{"return_code":"SUCCESS","order_no":"TR1","x":' + b"9" * 10_000 + b',"y":%b}' % written
    assert read("MakeScanOrder", huge).is_paid


DAMAGED = ["余额不足".encode()[:-1], "余额".encode("gbk"), b"caf\xe9", b"\xff", b"a\\ud800\xff"]


@pytest.mark.parametrize("damaged", DAMAGED)
@pytest.mark.parametrize("content_type", [None, "application/json; charset=utf-8", "text/html; charset=latin-1"])
def test_text_for_people_that_cannot_be_decoded_hides_no_refusal(damaged: bytes, content_type: str | None) -> None:
    """A message that was cut off in the middle of a character, or that is in another encoding. The rest is clear."""
    body = b'{"return_code":"FAIL","error_code":"NOT_ENOUGH","error_msg":"%b"}' % damaged
    with pytest.raises(PaymentDeclined, match="\ufffd") as declined:
        read("MakeScanOrder", body, content_type=content_type)
    assert pickle.loads(pickle.dumps(declined.value)).raw == declined.value.raw
    paid = b'{"return_code":"SUCCESS","result_code":"PAID","currency":"AUD","amount":1,"pay_currency":"%b"}' % damaged
    order = read("QueryOrder", paid, content_type=content_type)
    assert (order.status, order.pay_currency) == (OrderStatus.PAID, None)
    assert "\ufffd" in order.raw["pay_currency"]


def test_a_nickname_that_cannot_be_decoded_hides_no_user() -> None:
    """It is shown to people: U+FFFD stands for what was cut off."""
    user = read("GetUserInfo", b'{"openid":"o9","nickname":"\xf0\x9f\x98 Ming"}')
    assert (user.openid, user.nickname, type(user.nickname)) == ("o9", "\ufffd\ufffd\ufffd Ming", str)
    with pytest.raises(InvalidReply, match="openid is not UTF-8"):
        read("GetUserInfo", b'{"openid":"\xf0","nickname":"Ming"}')


@pytest.mark.parametrize("damaged", DAMAGED)
def test_a_field_that_counts_must_be_decodable(damaged: bytes) -> None:
    """A number or a status with wrong bytes counts as missing, and is not the number that was sent."""
    for reply in (b'"order_no":"%b"', b'"order_no":"TR1","out_order_no":"%b"'):
        with pytest.raises(InvalidReply):
            read("MakeScanOrder", b'{"return_code":"SUCCESS",%b}' % (reply % damaged))
    with pytest.raises(InvalidReply, match="status is not UTF-8"):
        read("QueryOrder", b'{"return_code":"SUCCESS","result_code":"%b","currency":"AUD","amount":1}' % damaged)
    with pytest.raises(InvalidReply):
        read("MakeScanOrder", b'{"return_code":"SUCCESS%b","order_no":"TR1"}' % damaged)


@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
@pytest.mark.parametrize("name", ["out_order_no", "success", "order_no", "error_code", "x"])
def test_however_deeply_a_value_is_nested_the_call_ends_as_others_do(name: str, opens: str, closes: str) -> None:
    """Some versions of Python read JSON that is nested more deeply than they can print."""
    for depth in (*range(100, 1_000, 50), 20_000, 60_000, 100_000):
        body = f'{{"return_code":"SUCCESS","{name}":{opens * depth}1{closes * depth}}}'.encode()
        for endpoint in ("MakeScanOrder", "QueryOrder"):
            assert isinstance(decode(endpoint, body), InvalidReply), depth
