"""Replies that are not quite JSON, or in another encoding: what is clear in them is read."""

from __future__ import annotations

import gzip
import json
import unicodedata
from typing import Any

import pytest

from omipay_async import APIError, InvalidReply, OrderStatus, PaymentDeclined
from omipay_async.protocol.jsontext import LONGEST_REPAIRED, repaired
from omipay_async.text import INVISIBLE
from tests.support.canned_gateway import READS, read, success

DECLINED = b'{"return_code":"FAIL","error_code":"NOT_ENOUGH","error_msg":"%b"}'


@pytest.mark.parametrize(
    ("message", "meant"),
    [
        (rb"can\'t", r"can\'t"),
        (rb"C:\temp\pay", "C:\temp\\pay"),
        (rb"50\% \u00 \u12g4 \xff", r"50\% \u00 \u12g4 \xff"),
        (rb"\\d \" \/ \u0041\\", '\\d " / A\\'),
        (b"a\\\nb\\\x00", "a\\\nb\\\x00"),
        (rb"\"\\\q\"", '"\\\\q"'),
    ],
)
def test_a_backslash_in_a_text_for_people_hides_no_refusal(message: bytes, meant: str) -> None:
    """A backslash that begins no escape is read as a backslash."""
    with pytest.raises(PaymentDeclined) as declined:
        read("MakeScanOrder", DECLINED % message)
    assert declined.value.error_msg == meant


@pytest.mark.parametrize(
    "written",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "nan",
        "-nan(ind)",
        "inf",
        "-INF",
        "1.#INF",
        "1.#QNAN",
        "+4.71",
        ".5",
        "4.",
        "04.71",
        "0x1F",
        "1e",
        "1_000",
    ],
)
def test_a_number_that_json_does_not_have_hides_no_payment(written: str) -> None:
    """In a field of less importance: that field is None. An amount that is written like this cannot be read."""
    body = json.dumps(success("QueryOrder") | {"exchange_rate": "?"}).replace('"?"', written).encode()
    order = read("QueryOrder", body)
    assert (order.status, order.exchange_rate) == (OrderStatus.PAID, None)
    with pytest.raises(InvalidReply, match="amount is not a whole number"):
        read(
            "QueryOrder",
            f'{{"return_code":"SUCCESS","result_code":"PAID","currency":"AUD","amount":{written}}}'.encode(),
        )


@pytest.mark.parametrize("escape", [r"\"", r"\\", r"\/", r"\b", r"\f", r"\n", r"\r", r"\t", r"\u00ab", r"\u00AB"])
def test_the_escapes_of_json_stay_as_they_are(escape: str) -> None:
    """Also beside something that is repaired."""
    assert repaired(f'{{"a":"{escape}","b":nan}}') == f'{{"a":"{escape}","b":NaN}}'


@pytest.mark.parametrize("number", ["0", "-0", "-1", "10", "4.710", "0.5", "1e5", "1E+05", "-2.5e-3"])
def test_the_numbers_of_json_stay_as_they_are(number: str) -> None:
    """Also beside something that is repaired."""
    assert repaired(f'{{"a":{number},"b":nan}}') == f'{{"a":{number},"b":NaN}}'


@pytest.mark.parametrize(
    ("word", "meant"), [("True", True), ("FALSE", False), ("NULL", None), ("None", None), ("undefined", None)]
)
def test_the_words_of_other_languages_are_those_of_json(word: str, meant: Any) -> None:
    """``False`` contradicts SUCCESS as ``false`` does; ``None`` says nothing."""
    reply = b'{"return_code":"SUCCESS","order_no":"TR1","success":%b}' % word.encode()
    if meant is False:
        with pytest.raises(InvalidReply, match="success: false"):
            read("MakeQROrder", reply)
    else:
        assert read("MakeQROrder", reply).raw["success"] is meant


@pytest.mark.parametrize(
    "between", ["\x00", "\ufeff", "\ufeff \ufeff", "\x0b", "\u00a0", "\u2028", "\u200b", "\x1a\x1a"]
)
def test_what_nobody_sees_between_the_values_has_no_meaning(between: str) -> None:
    """Several byte order marks, or zeros at the end."""
    reply = f'{between}{{{between}"return_code":"SUCCESS",{between}"order_no"{between}:"TR1"}}{between}'
    for even_or_odd in (reply, f"{reply} "):
        assert read("MakeQROrder", even_or_odd.encode()).order_no == "TR1"


@pytest.mark.parametrize(
    "body",
    [
        b'{"return_code":"SUCCESS","order_no":"TR1","x":nan',
        b'{"return_code":"SUCCESS","order_no":"TR1\\',
        b'{"return_code":"SUCCESS","order_no":"TR1","error_msg":"C:\\"}',
        b'{"return_code":"SUCCESS","order_no":"TR1","error_msg":"say "no""}',
        b'{"return_code":SUCCESS,"order_no":"TR1"}',
        b'{"return_code":"SUCCESS","order_no":TR1}',
        b'{return_code:"SUCCESS","order_no":"TR1"}',
        b'{"return_code":"SUCCESS","order_no":"TR1"}{"return_code":"FAIL"}',
        b"{'return_code':'SUCCESS','order_no':'TR1'}",
        b'{"return_code":"SUCCESS","order_no":"TR1",,}',
        b"<html>nan</html>",
        b'{"return_code":"SUCCESS","order_no":"TR1","x":nan,"y":"' + b" " * LONGEST_REPAIRED + b'"}',
    ],
)
def test_what_is_not_clear_is_not_read(body: bytes) -> None:
    """A reply that was cut off, that contains another one, or whose punctuation is wrong."""
    with pytest.raises(InvalidReply, match="not JSON"):
        read("MakeQROrder", body)


def test_which_characters_nobody_sees() -> None:
    """Those of Unicode's categories of spaces, controls and formats, and none that is read."""
    assert {unicodedata.category(character) for character in INVISIBLE} <= {"Cc", "Cf", "Cn", "Zl", "Zp", "Zs"}
    assert not set("!~\xa1\xac\xae\u2010\u2027\u2030\u205e\u2070\u3001").intersection(INVISIBLE)
    assert set("\0 \x7f\xa0\u2000\u200f\u2028\u202f\u205f\u206f") < set(INVISIBLE)


def test_the_longest_text_that_is_repaired() -> None:
    """A longer one is returned as it is."""
    assert LONGEST_REPAIRED == 16_384
    text = "nan" + " " * (LONGEST_REPAIRED - 3)
    assert repaired(text) == "NaN "
    assert repaired(text + " ") == text + " "


def test_no_text_is_slow_to_repair() -> None:
    """Wherever its quotes and backslashes are, the time only grows with its length. Otherwise this would not end."""
    for text in (
        '"\\' * (LONGEST_REPAIRED // 2),
        '\\"' * (LONGEST_REPAIRED // 2),
        '"' * LONGEST_REPAIRED,
        "\\" * LONGEST_REPAIRED,
    ):
        assert len(repaired(text)) >= LONGEST_REPAIRED


ENCODINGS = ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("content_type", [None, "application/json; charset=utf-8", "text/html; charset=utf-16"])
def test_a_reply_in_a_wide_encoding_is_read(encoding: str, content_type: str | None) -> None:
    """Its bytes cannot be mistaken, whatever its label says."""
    for name in READS:
        assert read(name, json.dumps(success(name)).encode(encoding), content_type=content_type) is not None
    with pytest.raises(PaymentDeclined) as declined:
        read("MakeScanOrder", (DECLINED % "余额不足".encode()).decode().encode(encoding), content_type=content_type)
    assert declined.value.error_msg == "余额不足"
    around = "\ufeff \u200b{\u00a0" + json.dumps(success("Refund"))[1:] + " \x00\u2028"
    assert read("Refund", around.encode(encoding), content_type=content_type).refund_no
    half = (DECLINED % "余额".encode()).decode().replace("额", "\ud800").encode(encoding, "surrogatepass")
    with pytest.raises(PaymentDeclined) as declined:
        read("MakeScanOrder", half, content_type=content_type)
    assert declined.value.error_msg == "余\ufffd"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_reply_in_a_wide_encoding_that_was_cut_off_is_not(encoding: str) -> None:
    """Not even if it was cut off in the middle of a character."""
    whole = json.dumps(success("QueryOrder")).encode(encoding)
    for body in (whole[:-4], whole[:-1], b"\x00\x00\x00{"):
        with pytest.raises(InvalidReply):
            read("QueryOrder", body)


def test_declared_gbk_that_was_cut_off_in_a_character_is_still_gbk() -> None:
    """A message of limited length, of which only the end is damaged."""
    with pytest.raises(APIError) as refused:
        read("MakeScanOrder", DECLINED % "余额不足".encode("gbk")[:-1], content_type="application/json; charset=GBK")
    assert isinstance(refused.value, PaymentDeclined)
    assert refused.value.error_msg == "余额不\ufffd"


@pytest.mark.parametrize("encoding", [None, "", "UTF-8", "identity"])
def test_gzip_without_its_label_is_unpacked(encoding: str | None) -> None:
    """Its first bytes show that it is gzip."""
    packed = gzip.compress(json.dumps(success("Refund")).encode())
    assert read("Refund", packed, encoding=encoding).refund_no
    with pytest.raises(InvalidReply, match="damaged"):
        read("Refund", packed[:-1], encoding=encoding)
