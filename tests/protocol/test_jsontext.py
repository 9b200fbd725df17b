"""Reading JSON: bytes in any encoding, numbers of any size, keys that come twice."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from omipay_async.protocol.jsontext import JSONObject, in_utf8, json_object


def test_the_error_of_json_object_shows_nothing_of_the_body() -> None:
    """The message may be logged."""
    for body, what in {
        b"\xff-canary": "not JSON",
        b"canary": "not JSON",
        b'["canary"]': "JSON, but not an object",
        b'{"canary":' * 100_000: "nested too deeply",
        b" \n": "empty",
    }.items():
        with pytest.raises(ValueError, match=r"^it is ") as failure:
            json_object(body)
        assert str(failure.value) == f"it is {what}"


@pytest.mark.parametrize("length", [1, 100_000])
def test_a_byte_order_mark_is_no_part_of_the_text(length: int) -> None:
    """However long the text is: only short ones are repaired."""
    assert json_object(b'\xef\xbb\xbf{"a":"' + length * b"x" + b'"}') == {"a": length * "x"}


def test_the_decoder_for_huge_integers_follows_the_same_rules() -> None:
    """Rates stay exact, and repeated keys are found."""
    huge = b'{"x":' + b"9" * 10_000
    read = json_object(huge + b',"rate":5.0150,"a ":1,"a":2,"text":"a\nb"}')
    assert read == {"x": Decimal("9" * 10_000), "rate": Decimal("5.0150"), "a": 2, "text": "a\nb"}
    assert str(read["rate"]) == "5.0150"
    assert isinstance(read, JSONObject)
    assert (read.repeated, read.conflicts) == (("a",), ("a",))


@pytest.mark.parametrize("escape", [r"\ud800", r"\uD800", r"\udFFF", r"\uDc00"])
def test_a_lone_surrogate_is_found_however_it_is_written(escape: str) -> None:
    """With small and with capital hex digits."""
    assert json_object(f'{{"a{escape}":"{escape}"}}'.encode()) == {"a\ufffd": "\ufffd"}


def test_a_body_in_declared_gbk_is_passed_on_in_utf8() -> None:
    """Whoever reads it later does not know the Content-Type. Everything else is passed on as it came."""
    assert in_utf8("余额".encode("gbk"), "application/json; charset=gbk") == "余额".encode()
    assert in_utf8(b"\xb2\xe2\xff\xb2", "text/json; charset=gbk") == "测".encode() + b"\xff\xb2"
    assert in_utf8("余额".encode(), "text/json; charset=gbk") == "余额".encode()
    for unchanged in ("余额".encode(), "余额".encode("gbk"), b"\xff"):
        assert in_utf8(unchanged, "application/json") == unchanged
        assert in_utf8(unchanged, None) == unchanged


STRAY = [
    " ",
    "\t",
    "\n",
    "\x00",
    "\x1f",
    "\x7f",
    "\x85",
    "\xa0",
    "\u200b",
    "\u2028",
    "\u2060",
    "\u3000",
    "\ufeff",
    " \ufeff\x00",
]


@pytest.mark.parametrize("stray", STRAY)
def test_what_stands_around_a_key_is_no_part_of_it(stray: str) -> None:
    """Spaces and invisible characters do not count, so that a key which is repeated is always found."""
    for key in (f"{stray}a b", f"a b{stray}", f"{stray}a b{stray}"):
        assert json_object(json.dumps({key: 1}).encode()) == {"a b": 1}
        twice = json_object(json.dumps({key: "SUCCESS", "a b": "FAIL"}, ensure_ascii=False).encode())
        assert isinstance(twice, JSONObject)
        assert twice.conflicts == ("a b",)
    assert json_object(json.dumps({f"a{stray}b": 1}).encode()) == {f"a{stray}b": 1}


@pytest.mark.parametrize("key", ["", "a", "é", "订单", "a\u0301", "👩\u200d🍳", "_", "\\"])
def test_other_keys_stay_as_they_are(key: str) -> None:
    """Whatever their characters are."""
    assert json_object(json.dumps({key: 1, "b": 2}).encode()) == {key: 1, "b": 2}
