"""Checks who is calling: the signature and its age, and what was wrong with it, for the log (CN 2.1, 2.3). No I/O.

It is written from the documents alone; the client signs with its own code.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Final

from omipay_async.codes import ErrorCode
from omipay_async.language import sentence

from .errors import ErrorReply, invalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from omipay_async.language import Sentence

    from .merchants import Merchant

WINDOW_MS: Final = 5 * 60 * 1000
"""CN 2.1: the time between the timestamp and the gateway's clock must be less than five minutes."""

FIELDS: Final = ("m_number", "timestamp", "nonce_str", "sign")

_NONCE: Final = re.compile(r"[a-zA-Z0-9]{10,32}")
_TIMESTAMP: Final = re.compile(r"[0-9]{1,16}")
_AHEAD: Final = sentence("timestamp is {:.1f} s ahead of the gateway's clock")
_BEHIND: Final = sentence("timestamp is {:.1f} s behind the gateway's clock")


def sign(m_number: str, timestamp: object, nonce_str: str, secret_key: str) -> str:
    """Upper-case MD5 of ``m_number&timestamp&nonce_str&secret_key`` (CN 2.3)."""
    return _md5(f"{m_number}&{timestamp}&{nonce_str}&{secret_key}")


def authenticate(
    fields: Mapping[str, str], merchants: Mapping[str, Merchant], now_ms: int, *, any_age: bool = False
) -> Merchant:
    """Return the merchant who signed. Raises :class:`ErrorReply` for the first check that fails.

    With ``any_age`` the age of the signature does not matter (for a button on a page that was opened in time).
    """
    for name in FIELDS:
        if not fields.get(name):
            raise invalid(sentence("{} is missing", name))
    if not _TIMESTAMP.fullmatch(fields["timestamp"]):
        raise invalid(sentence("timestamp is not a whole number of milliseconds"))
    if not _NONCE.fullmatch(fields["nonce_str"]):
        raise invalid(sentence("nonce_str is not 10 to 32 characters of a-z, A-Z, 0-9"))
    merchant = merchants.get(fields["m_number"])
    if merchant is None:
        raise ErrorReply(ErrorCode.MERCHANTNO_INVALID, _why_unknown(fields["m_number"], merchants))
    if not any_age:
        _check_age(int(fields["timestamp"]), now_ms)
    if not _has_signed(merchant, fields):
        raise ErrorReply(ErrorCode.SIGN_ERROR, explain(fields, merchant, merchants))
    if merchant.disabled:
        raise ErrorReply(ErrorCode.MERCHANTNO_DISABLE, sentence("this merchant is disabled"))
    return merchant


def is_signed(fields: Mapping[str, str], merchants: Mapping[str, Merchant]) -> bool:
    """Whether one of the merchants signed this, at any time."""
    merchant = merchants.get(fields.get("m_number", ""))
    return merchant is not None and _has_signed(merchant, fields)


def _has_signed(merchant: Merchant, fields: Mapping[str, str]) -> bool:
    timestamp, nonce, given = (fields.get(name, "") for name in ("timestamp", "nonce_str", "sign"))
    expected = sign(merchant.m_number, timestamp, nonce, merchant.secret_key)
    return hmac.compare_digest(given.encode(), expected.encode())


def explain(fields: Mapping[str, str], merchant: Merchant, merchants: Mapping[str, Merchant]) -> Sentence:
    """Say which part of the signed string differs, if it is one of the usual mistakes. The key is never shown."""
    given = fields["sign"]
    for slip, origin in _slips(fields, merchant, merchants):
        if _md5(origin) == given.upper():
            return slip
    if not re.fullmatch("[0-9A-Fa-f]{32}", given):
        return sentence("sign is not 32 hexadecimal digits")
    return sentence("the key differs, or m_number, timestamp or nonce_str is not the one that was signed")


def _slips(
    fields: Mapping[str, str], merchant: Merchant, merchants: Mapping[str, Merchant]
) -> Iterator[tuple[Sentence, str]]:
    number, timestamp, nonce, key = fields["m_number"], fields["timestamp"], fields["nonce_str"], merchant.secret_key

    def origin(number: str = number, timestamp: str = timestamp, nonce: str = nonce, key: str = key) -> str:
        return f"{number}&{timestamp}&{nonce}&{key}"

    yield sentence("sign must be in upper case"), origin()
    yield sentence("m_number: it was signed without its leading zeros"), origin(number=number.lstrip("0"))
    yield sentence("timestamp: it was signed in seconds"), origin(timestamp=timestamp[:-3])
    yield sentence("nonce_str: it was signed in lower case"), origin(nonce=nonce.lower())
    yield sentence("nonce_str: it was signed in upper case"), origin(nonce=nonce.upper())
    yield sentence("key: it was signed with an empty one"), origin(key="")
    yield sentence("key: it was signed in upper case"), origin(key=key.upper())
    yield sentence("key: it was signed in lower case"), origin(key=key.lower())
    for space in (" ", "\n", "\r\n", "\t"):
        yield sentence("key: it was signed with white space after it"), origin(key=key + space)
    for other in merchants.values():
        if other is not merchant:
            yield sentence("key: it was signed with that of {}", other.m_number), origin(key=other.secret_key)
    yield sentence("form: the parts were joined without &"), f"{number}{timestamp}{nonce}{key}"
    yield sentence("form: nonce_str came before timestamp"), f"{number}&{nonce}&{timestamp}&{key}"
    yield (
        sentence("form: the parts were written with their names"),
        f"m_number={number}&timestamp={timestamp}&nonce_str={nonce}&secret_key={key}",
    )


def _check_age(timestamp_ms: int, now_ms: int) -> None:
    ahead_ms = timestamp_ms - now_ms
    if abs(ahead_ms) < WINDOW_MS:
        return
    if abs(timestamp_ms * 1000 - now_ms) < WINDOW_MS:
        raise ErrorReply(ErrorCode.SIGN_TIMEOUT, sentence("timestamp is in seconds, not in milliseconds"))
    side = _AHEAD if ahead_ms > 0 else _BEHIND
    raise ErrorReply(ErrorCode.SIGN_TIMEOUT, side.filled(abs(ahead_ms) / 1000))


def _why_unknown(number: str, merchants: Mapping[str, Merchant]) -> Sentence:
    if number.strip().lstrip("0") in {known.strip().lstrip("0") for known in merchants}:
        return sentence("m_number differs from a known one by its leading zeros or by white space")
    return sentence("there is no such m_number")


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest().upper()
