"""Signature, nonces and credentials."""

from __future__ import annotations

import re
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, strategies as st

from omipay_async import ConfigurationError, InvalidRequest
from omipay_async.protocol.signing import (
    Credentials,
    NonceProvider,
    TaggedNonces,
    new_nonce,
    signature,
    was_issued,
)
from omipay_async.text import Secret
from tests.support.set_up import KEY, made
from tests.support.vectors import M_NUMBER, NONCE, SECRET_KEY, SIGN, TIMESTAMP

MERCHANT = Credentials(M_NUMBER, SECRET_KEY)


# -- the signature ----------------------------------------------------------------------------------------------------


def test_the_signature_is_the_one_that_both_documents_print() -> None:
    """CN 2.3 and EN 1.3 have the same example."""
    assert signature(M_NUMBER, str(TIMESTAMP), NONCE, SECRET_KEY) == SIGN


def test_the_signed_query_is_the_one_that_both_documents_print() -> None:
    """The four parameters in the documents' order; the key is not among them."""
    query, sign = MERCHANT.sign(TIMESTAMP, NONCE)
    assert query == f"m_number=123456&timestamp=1482812036067&nonce_str={NONCE}&sign={SIGN}"
    assert sign == SIGN
    assert SECRET_KEY not in query


def test_a_merchant_number_keeps_its_leading_zeros() -> None:
    """000034 is a string, and is percent-encoded."""
    assert Credentials("000034", "k").sign(1, NONCE)[0].startswith("m_number=000034&")
    assert Credentials("a&b=c", "k").sign(1, NONCE)[0].startswith("m_number=a%26b%3Dc&")


def test_a_previous_key_is_recognised_and_never_signs() -> None:
    """After a change of the key, notifications signed with the old one are still accepted."""
    changed = Credentials(M_NUMBER, "new key", (SECRET_KEY,))
    assert changed.verify(str(TIMESTAMP), NONCE, SIGN)
    assert SIGN not in changed.sign(TIMESTAMP, NONCE)[0]
    assert not Credentials(M_NUMBER, "new key").verify(str(TIMESTAMP), NONCE, SIGN)


@pytest.mark.parametrize(
    ("timestamp", "nonce", "sign"),
    [
        (str(TIMESTAMP), NONCE, SIGN.lower()),
        (str(TIMESTAMP), NONCE, SIGN[1:]),
        (str(TIMESTAMP), NONCE, SIGN + " "),
        (str(TIMESTAMP), NONCE, ""),
        (str(TIMESTAMP + 1), NONCE, SIGN),
        (str(TIMESTAMP), NONCE[::-1], SIGN),
        (str(TIMESTAMP), "随机", "签名"),
        (str(TIMESTAMP), "\ud800", "\udfff"),
    ],
)
def test_only_the_exact_signature_is_accepted(timestamp: str, nonce: str, sign: str) -> None:
    """A wrong or shortened one, or any text: the result is False, never an exception."""
    assert MERCHANT.verify(timestamp, nonce, sign) is False


@given(st.text(), st.text(), st.text(alphabet=st.characters()))
def test_no_text_is_too_strange_to_be_checked(timestamp: str, nonce: str, sign: str) -> None:
    """Strangers can send anything."""
    assert MERCHANT.verify(timestamp, nonce, sign) is (sign == signature(M_NUMBER, timestamp, nonce, SECRET_KEY))


@pytest.mark.parametrize(
    ("m_number", "secret_key", "previous", "named"),
    [
        ("", "k", (), "m_number"),
        ("  ", "k", (), "m_number"),
        (34, "k", (), "m_number"),
        (None, "k", (), "m_number"),
        ("000034\n", "k", (), "m_number"),
        ("1:2", "k", (), "m_number"),  # the keys of its order 3 would be those of order 2:3 of merchant 1
        ("000034", "", (), "secret_key"),
        ("000034", b"k", (), "secret_key"),
        ("000034", "hunter2\n", (), "secret_key"),
        ("000034", "k", ("",), "previous_secret_keys[0]"),
        ("000034", "k", ("hunter2", "hunter2\r"), "previous_secret_keys[1]"),
    ],
)
def test_credentials_that_cannot_work_are_refused_by_name(
    m_number: Any, secret_key: Any, previous: tuple[Any, ...], named: str
) -> None:
    """The message names the argument and shows no key."""
    with pytest.raises(ConfigurationError) as refusal:
        made(m_number=m_number, secret_key=secret_key, previous_secret_keys=previous)
    assert str(refusal.value).startswith(f"{named} ")
    assert "hunter2" not in str(refusal.value)


def test_one_previous_key_need_not_be_in_a_list() -> None:
    """A string is one key."""
    assert made(previous_secret_keys="old")._executor.credentials.keys == (KEY, "old")
    assert made(previous_secret_keys=["old", "older"])._executor.credentials.keys == (KEY, "old", "older")


def test_the_keys_of_credentials_are_secrets() -> None:
    """Printing one does not show it."""
    credentials = Credentials("1", "new", ("old",))
    assert [type(key) for key in credentials.keys] == [Secret, Secret]
    assert credentials.keys == ("new", "old")


def test_a_merchant_number_is_percent_encoded() -> None:
    """No character of it can add a parameter."""
    query, _ = Credentials("a/b c&d", "key").sign(1, "n")
    assert query.startswith("m_number=a%2Fb%20c%26d&timestamp=1&nonce_str=n&sign=")


def test_text_that_cannot_be_encoded_is_a_wrong_signature() -> None:
    """A lone surrogate in any of the three is not an error of ours."""
    credentials = Credentials("1", "key")
    for strange in ("\ud800", "\udfff" * 32):
        assert not credentials.verify(strange, "n", "s")
        assert not credentials.verify("1", strange, "s")
        assert not credentials.verify("1", "n", strange)
        assert not TaggedNonces(["key"]).issued(strange)


def test_credentials_print_no_key() -> None:
    """Their repr shows only the merchant."""
    assert repr(Credentials("123456", "hunter2", ("hunter1",))) == "Credentials(m_number='123456')"


# -- nonces -----------------------------------------------------------------------------------------------------------


def test_nonces_are_fresh_and_well_formed() -> None:
    """32 characters that the documents allow, never the same twice."""
    nonces = TaggedNonces(["key"])
    made = [nonces() for _ in range(500)]
    assert len(set(made)) == 500
    assert all(re.fullmatch("[a-zA-Z0-9]{10,32}", nonce) for nonce in made)
    assert isinstance(nonces, NonceProvider)


def test_any_process_with_the_key_recognises_its_nonces() -> None:
    """The tag needs no storage. A process with a new key still recognises it; other merchants do not."""
    nonce = TaggedNonces(["key"])()
    assert TaggedNonces(["key"]).issued(nonce)
    assert TaggedNonces(["new key", "key"]).issued(nonce)
    assert not TaggedNonces(["other"]).issued(nonce)


def test_one_key_is_not_taken_for_its_letters() -> None:
    """Anybody could make the tag of a letter."""
    assert TaggedNonces(["key"]).issued(TaggedNonces("key")())
    assert not TaggedNonces("key").issued(TaggedNonces(["k"])())


@given(st.text())
def test_a_strangers_nonce_is_never_taken_for_ours(nonce: str) -> None:
    """Whatever text it is: False, never an exception."""
    assert not TaggedNonces(["key"]).issued(nonce)


def test_a_nonce_of_another_version_is_recognised() -> None:
    """The tag is the same in every version, since an older process may have issued the nonce."""
    nonces = TaggedNonces(["0af61531c6c04ac4ac910d0cd59e6238"])
    assert nonces.issued("0123456789abcdef08d6fcf9079000c8")
    assert not nonces.issued("0123456789abcdef08d6fcf9079000c9")


def test_one_changed_character_is_not_our_nonce() -> None:
    """At any position."""
    nonces = TaggedNonces(["key"])
    nonce = nonces()
    assert not any(nonces.issued(nonce[:at] + "z" + nonce[at + 1 :]) for at in range(32))
    assert not nonces.issued(nonce + "0")


@pytest.mark.parametrize("nonce", ["a" * 10, "Z9" * 16, NONCE])
def test_a_providers_nonce_of_the_documents_form_is_used(nonce: str) -> None:
    """10 to 32 letters and digits."""
    assert new_nonce(lambda: nonce) == nonce


@pytest.mark.parametrize(
    "nonce", ["a" * 9, "a" * 33, "a" * 9 + "-", "a" * 9 + "é", "٣" * 12, "a" * 12 + "\n", None, 1234567890]
)
def test_a_providers_nonce_of_another_form_is_rejected(nonce: Any) -> None:
    """The error names ``nonces`` and does not show the value."""
    with pytest.raises(InvalidRequest, match=r"^nonces: ") as refusal:
        new_nonce(lambda: nonce)
    assert refusal.value.parameter == "nonces"
    assert str(nonce) not in str(refusal.value)


@pytest.mark.parametrize(
    ("ask", "what"),
    [
        (new_nonce, "nonces: the provider"),
        (lambda broken: was_issued(broken, NONCE), "nonces.issued"),
    ],
)
def test_what_a_provider_raises_is_the_cause_of_an_error_of_ours(ask: Any, what: str) -> None:
    """So a call says that nothing was sent, and a notification is answered. Errors of ours are left as they are."""
    failure = OSError("no entropy")
    with pytest.raises(InvalidRequest) as caught:
        ask(mock.Mock(side_effect=failure))
    assert (str(caught.value), caught.value.parameter) == (f"{what} raised OSError", "nonces")
    assert caught.value.__cause__ is failure
    with pytest.raises(ConfigurationError, match="no database"):
        ask(mock.Mock(side_effect=ConfigurationError("no database")))
