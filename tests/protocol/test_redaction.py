"""Foreign text is shown on one line, bounded, without secrets, and without control characters."""

from __future__ import annotations

import json
import re
import time

import pytest
from hypothesis import given, strategies as st

from omipay_async.protocol.redaction import excerpt
from omipay_async.text import escape_controls, printable

SECRET = "s3cret/+"

# C0, DEL, C1, separators of lines and paragraphs, embeddings, overrides and isolates, and what cannot be written.
CONTROLS = [
    *(chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))),
    *"\u061c\u200b\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\ud800\udfff",
]


@pytest.mark.parametrize("character", CONTROLS, ids=lambda character: f"U+{ord(character):04X}")
def test_control_characters_are_escaped(character: str) -> None:
    """In a message, in an excerpt and in JSON text, which stays equivalent."""
    for shown in (printable(f"a{character}b"), excerpt(f"a{character}b")):
        assert character not in shown
        assert shown.startswith("a\\")
        assert shown.endswith("b")
    document = json.dumps({"said": f"a{character}b"}, ensure_ascii=False)
    assert character not in escape_controls(document)
    assert json.loads(escape_controls(document)) == {"said": f"a{character}b"}


@pytest.mark.parametrize(
    "text", ["余额不足", "Flat white, A$4.50", "👩\u200d🍳", "naïve", "C:\\temp", "\u3000全角\xa0"]
)
def test_text_that_people_write_is_shown_as_it_is(text: str) -> None:
    """Only control characters are escaped."""
    assert printable(text) == excerpt(text) == text


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_no_encoding_hides_a_secret_from_us(encoding: str) -> None:
    """A page in UTF-16 that repeats our query is read before it is shown."""
    page = f"<html>?a=订单&sign=ABC&b=2 {SECRET}".encode(encoding)
    assert excerpt(page, [SECRET]) == "<html>?a=订单&sign=[removed]&b=2 [removed]"
    assert printable(bytearray(page)).startswith("<html>?a=订单&sign=ABC")
    assert excerpt(b"\xff\xfe<\x00h\x00\xff", []) == "<h\ufffd"


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"<html>\n502\x00</html>", r"<html>\n502\u0000</html>"),
        (b"x" * 500, "x" * 200 + "..."),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b'{"sign": "ABC", "rate": 1}', '{"sign": [removed], "rate": 1}'),
        (b"?a=1&sign=ABC&nonce_str=n0&b=2", "?a=1&sign=[removed]&nonce_str=[removed]&b=2"),
        (
            b'{"openid":"o9","order_string":{"a":1},"paySign":"F',
            '{"openid":[removed],"order_string":[removed],"paySign":[removed]',
        ),
        (rb'{"echo":"{\"sign\":\"ABC\",\"a\":1}"}', r'{"echo":"{\"sign\":[removed]\",\"a\":1}"}'),
        (b"back=%2Fpay%3Fb%3D1%26sign%3DABC%26a%3D2", "back=%2Fpay%3Fb%3D1%26sign%3D[removed]"),
        (b"%7B%22sign%22%3A%22ABC%22%7D", "%7B%22sign%22%3A[removed]%22%7D"),
        (b"sign='ABC' design=flat", "sign=[removed] design=flat"),
        (b"the key is s3cret/+, or s3cret%2F%2B", "the key is [removed], or [removed]"),
        (rb"in JSON s3cret\/+, in a form S3CRET%2f%2b", "in JSON [removed], in a form [removed]"),
    ],
)
def test_an_excerpt_is_one_short_line_without_secrets(body: bytes, shown: str) -> None:
    """It shows a person which page it was. Text and bytes are treated alike."""
    assert excerpt(body, [SECRET]) == shown
    assert excerpt(body.decode(errors="replace"), [SECRET]) == shown


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ("İ KEY-ß-ΣΑΣ.", "İ [removed]."),
        ("key-ß-σασ key-SS-σασ", "[removed] key-SS-σασ"),
        ("a key-ß-σας", "a key-ß-σας"),
    ],
)
def test_a_secret_is_found_whatever_its_case(body: str, shown: str) -> None:
    """Also beside a character whose lower-case form is longer than itself."""
    assert excerpt(body, ["Key-ß-ΣασΣ"[:9]]) == shown


def test_secrets_that_overlap_are_removed_whole() -> None:
    """Otherwise a part of the second one would remain."""
    assert excerpt("x abcdefgh x", ["abcdef", "defgh"]) == "x [removed] x"
    assert excerpt("x abcdabcd x", ["abcd"]) == "x [removed][removed] x"


def test_no_secret_is_kept_in_a_cache_of_the_interpreter() -> None:
    """Patterns would stay in the cache of ``re`` and displace the program's own."""
    cache = vars(re)["_cache"]
    before = set(cache)
    excerpt("nothing of it", ["canary"])
    assert set(cache) == before


def test_an_excerpt_stays_small_whatever_is_secret() -> None:
    """Even if secrets occur in the mark that replaces them."""
    assert len(excerpt(b"remove the d" * 200, list("removed[]"))) <= 203


def test_a_secret_that_the_bound_cuts_in_two_is_not_shown() -> None:
    """The search includes the text that follows."""
    for start in range(150, 210):
        assert "s3c" not in excerpt("x" * start + SECRET + "x" * 5000, [SECRET])
    removed = "".join(f"sign={SECRET}&" for _ in range(400))
    assert "s3c" not in excerpt(removed, [SECRET])


LONG_SECRET = "".join(f"{number:04}" for number in range(64))
"""256 characters, which do not repeat."""


def test_a_secret_that_ends_after_what_is_searched_is_not_shown() -> None:
    """Sixteen times the limit is searched, and secrets that begin there are removed whole."""
    assert excerpt(LONG_SECRET * 20, [LONG_SECRET], limit=97) == "[removed]" * 7
    for begun in range(16):
        shown = excerpt("x" * begun + LONG_SECRET * 20, [LONG_SECRET], limit=97)
        assert shown == "x" * begun + "[removed]" * 7
    assert excerpt(LONG_SECRET * 6 + "x" * 14 + "z" * 999, [LONG_SECRET], limit=97) == "[removed]" * 6 + "x" * 14 + "zz"
    assert (
        excerpt(LONG_SECRET * 6 + "x" * 16 + "canary", [LONG_SECRET, "canary"], limit=97) == "[removed]" * 6 + "x" * 16
    )
    assert excerpt("z" * 999, limit=3) == "zzz..."


@pytest.mark.parametrize("form", ["a b/cd", "a%20b%2Fcd", "a+b%2Fcd", r"a b\/cd", "A%20B%2fCD"])
def test_a_secret_is_found_however_it_is_encoded(form: str) -> None:
    """As it is, in a path, in a form and in JSON, also beside other alphabets."""
    assert excerpt(f"x {form} y", ["a b/cd"]) == "x [removed] y"
    assert excerpt(f"é {form} y", ["a b/cd"]) == "é [removed] y"


def test_a_secret_that_cannot_be_encoded_is_not_searched_for() -> None:
    """It could not have been sent."""
    assert excerpt("Tea", ["a\ud800bcd"]) == "Tea"


def test_the_escapes_that_people_know_are_short() -> None:
    """Line breaks and tabs."""
    assert printable("\n\r\t\x00") == r"\n\r\t\u0000"


@pytest.mark.parametrize(("secret", "shown"), [("abc", "my abc"), ("abcd", "my [removed]")])
def test_a_secret_has_four_characters_at_least(secret: str, shown: str) -> None:
    """A shorter one would be found in ordinary words."""
    assert excerpt(f"my {secret}", [secret]) == shown


def test_other_values_are_shown_by_their_text() -> None:
    """Numbers, None and bytes."""
    assert printable(502) == "502"
    assert printable(b"a\nb") == r"a\nb"
    assert printable("abcdef", limit=3) == "abc..."
    assert printable("abc", limit=3) == "abc"


@pytest.mark.parametrize(
    "evil",
    [
        "sign" + " " * 200_000,
        "sign " * 40_000,
        'sign="' + "\\" * 200_000,
        "\\" * 200_000 + "sign",
        "sign:{" * 30_000,
        "%22" * 70_000,
        "sign=%22" * 25_000,
        "sign\\" * 40_000,
        "\x1b" * 200_000,
    ],
    ids=lambda evil: evil[:8],
)
def test_the_work_is_linear_in_what_is_searched(evil: str) -> None:
    """Even an excerpt of 200,000 characters takes only milliseconds."""
    began = time.process_time()
    assert len(excerpt(evil, [SECRET], limit=200_000 // 16)) <= 200_000
    assert time.process_time() - began < 1.0


@given(st.text("ab=\"' \n\x1b\u2028\ud800"), st.text("XYZ/+&\u202e", min_size=4, max_size=40))
def test_an_excerpt_is_safe_whatever_the_text_and_the_secret(text: str, secret: str) -> None:
    """It contains neither the secret nor a control character, and its length is limited."""
    shown = excerpt(f"{text}{secret}{text}{secret}", [secret])
    assert len(shown) <= 203
    assert escape_controls(shown) == shown
    assert secret not in shown
    assert escape_controls(secret) not in shown
