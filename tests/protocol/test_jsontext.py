"""Reading JSON: bytes in any encoding, numbers of any size, keys that come twice."""

from __future__ import annotations

from decimal import Decimal

import pytest

from omipay_async.protocol.jsontext import JSONObject, in_utf8, json_object


def test_the_error_of_json_object_shows_nothing_of_the_body() -> None:
    """The message may be logged."""
    for body, what in {
        b"\xff-canary": "not UTF-8",
        b"canary": "not JSON",
        b'{"canary": NaN}': "not JSON",
        b'["canary"]': "JSON, but not an object",
        b'{"canary":' * 100_000: "nested too deeply",
        b" \n": "empty",
    }.items():
        with pytest.raises(ValueError, match=r"^it is ") as failure:
            json_object(body)
        assert str(failure.value) == f"it is {what}"


def test_the_decoder_for_huge_integers_follows_the_same_rules() -> None:
    """Rates stay exact, repeated keys are found, and constants that are not JSON are rejected."""
    huge = b'{"x":' + b"9" * 10_000
    read = json_object(huge + b',"rate":5.0150,"a ":1,"a":2,"text":"a\nb"}')
    assert read == {"x": Decimal("9" * 10_000), "rate": Decimal("5.0150"), "a": 2, "text": "a\nb"}
    assert str(read["rate"]) == "5.0150"
    assert isinstance(read, JSONObject)
    assert (read.repeated, read.conflicts) == (("a",), ("a",))
    with pytest.raises(ValueError, match="not JSON"):
        json_object(huge + b',"rate":NaN}')


@pytest.mark.parametrize("escape", [r"\ud800", r"\uD800", r"\udFFF", r"\uDc00"])
def test_a_lone_surrogate_is_found_however_it_is_written(escape: str) -> None:
    """With small and with capital hex digits."""
    assert json_object(f'{{"a{escape}":"{escape}"}}'.encode()) == {"a\ufffd": "\ufffd"}


def test_a_body_in_declared_gbk_is_passed_on_in_utf8() -> None:
    """Whoever reads it later does not know the Content-Type. Everything else is passed on as it came."""
    assert in_utf8("余额".encode("gbk"), "application/json; charset=gbk") == "余额".encode()
    for unchanged in ("余额".encode(), "余额".encode("gbk"), b"\xff"):
        assert in_utf8(unchanged, "application/json") == unchanged
