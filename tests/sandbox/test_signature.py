"""Authentication: the signature, its five minutes, and what the ledger says about a wrong one."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from omipay_async.sandbox import Fault, Sandbox
from omipay_async.sandbox.auth import sign

from .raw import M_NUMBER, SECRET_KEY, RawClient, md5

if TYPE_CHECKING:
    from omipay_async.testing import ManualClock


def test_the_vector_of_the_documents_is_signed_as_they_say() -> None:
    """The vector of both documents."""
    key = "0af61531c6c04ac4ac910d0cd59e6238"
    assert sign("123456", 1482812036067, "313644f42ecd4758b5e23b80e86efdc4", key) == "8516A3B52F9C8897F52239B19CD8A499"


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize(("off_ms", "code"), [(299_999, None), (300_000, "SIGN_TIMEOUT"), (900_000, "SIGN_TIMEOUT")])
async def test_a_signature_is_good_for_less_than_five_minutes(
    raw: RawClient, side: int, off_ms: int, code: str | None
) -> None:
    """Less than five minutes from the gateway's clock passes, in either direction; exactly five minutes does not."""
    assert (await raw.ask("GetExchangeRate", **raw.signature(shift_ms=side * off_ms))).get("error_code") == code


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"m_number": None}, "PARAMETER_INVALID"),
        ({"timestamp": None}, "PARAMETER_INVALID"),
        ({"nonce_str": None}, "PARAMETER_INVALID"),
        ({"sign": None}, "PARAMETER_INVALID"),
        ({"timestamp": "now"}, "PARAMETER_INVALID"),
        ({"nonce_str": "short"}, "PARAMETER_INVALID"),
        ({"nonce_str": "x" * 33}, "PARAMETER_INVALID"),
        ({"nonce_str": "with-a-dash"}, "PARAMETER_INVALID"),
        ({"m_number": "654321", "timestamp": "1", "sign": "x"}, "MERCHANTNO_INVALID"),
        ({"timestamp": "1", "sign": "x"}, "SIGN_TIMEOUT"),
        ({"sign": "x", "currency": None}, "SIGN_ERROR"),
        ({"currency": None}, "PARAMETER_INVALID"),
    ],
)
async def test_order_of_the_checks(raw: RawClient, fields: dict[str, Any], code: str) -> None:
    """Form, merchant, time, signature, and only then the parameters."""
    assert (await raw.ask("GetExchangeRate", **fields))["error_code"] == code


async def test_only_the_merchant_learns_that_it_is_disabled(raw: RawClient, sandbox: Sandbox) -> None:
    """A caller without the right key gets SIGN_ERROR."""
    sandbox.merchant.disabled = True
    assert (await raw.ask("GetExchangeRate", sign="x" * 32))["error_code"] == "SIGN_ERROR"
    assert (await raw.ask("GetExchangeRate"))["error_code"] == "MERCHANTNO_DISABLE"


NONCE = "NonceNonce12"


def hashed(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest().upper()


SLIPS = [
    ("upper case", lambda now: md5(M_NUMBER, now, NONCE, SECRET_KEY).lower()),
    ("seconds", lambda now: md5(M_NUMBER, now[:-3], NONCE, SECRET_KEY)),
    ("nonce_str: it was signed in lower", lambda now: md5(M_NUMBER, now, NONCE.lower(), SECRET_KEY)),
    ("nonce_str: it was signed in upper", lambda now: md5(M_NUMBER, now, NONCE.upper(), SECRET_KEY)),
    ("key: it was signed with an empty one", lambda now: md5(M_NUMBER, now, NONCE, "")),
    ("key: it was signed in upper", lambda now: md5(M_NUMBER, now, NONCE, SECRET_KEY.upper())),
    ("key: it was signed with white space", lambda now: md5(M_NUMBER, now, NONCE, SECRET_KEY + "\n")),
    ("key: it was signed with that of 000034", lambda now: md5(M_NUMBER, now, NONCE, "another-toy-key")),
    ("without &", lambda now: hashed(f"{M_NUMBER}{now}{NONCE}{SECRET_KEY}")),
    (
        "with their names",
        lambda now: hashed(f"m_number={M_NUMBER}&timestamp={now}&nonce_str={NONCE}&secret_key={SECRET_KEY}"),
    ),
    ("nonce_str came before timestamp", lambda now: md5(M_NUMBER, NONCE, now, SECRET_KEY)),
    ("not 32 hexadecimal digits", lambda now: "516A3B52F9C8897F52239B19CD8A499"),
    ("the key differs", lambda now: md5(M_NUMBER, now, NONCE, "wrong")),
]


@pytest.mark.parametrize(("said", "slip"), SLIPS, ids=[said for said, _ in SLIPS])
async def test_explains_a_wrong_signature(
    raw: RawClient, sandbox: Sandbox, clock: ManualClock, said: str, slip: Any
) -> None:
    """The ledger names the part that differs, and never the key."""
    sandbox.add_merchant("000034", "another-toy-key")
    sign = slip(str(clock.time_ms()))
    await raw.ask("GetExchangeRate", nonce_str=NONCE, sign=sign)
    call = sandbox.ledger.calls[-1]
    assert call.error_code == "SIGN_ERROR"
    assert said in call.remarks[0]
    assert SECRET_KEY not in repr(sandbox.ledger.calls)
    assert "sign" not in call.fields
    assert "nonce_str" not in call.fields


async def test_leading_zeros_belong_to_a_merchants_number(clock: ManualClock) -> None:
    """Without its leading zeros a merchant's number is another one, and the ledger says so."""
    sandbox = Sandbox("000034", SECRET_KEY, clock=clock)
    raw = RawClient(sandbox, clock, m_number="000034")
    async with raw.http:
        assert (await raw.ask("GetExchangeRate"))["return_code"] == "SUCCESS"
        signature = raw.signature()
        sign = md5("34", signature["timestamp"], signature["nonce_str"], SECRET_KEY)
        await raw.ask("GetExchangeRate", **{**signature, "sign": sign})
        await raw.ask("GetExchangeRate", m_number="34")
        await raw.ask("GetExchangeRate", m_number="35")
    assert [call.remarks for call in sandbox.ledger.refused()] == [
        ("m_number: it was signed without its leading zeros",),
        ("m_number differs from a known one by its leading zeros or by white space",),
        ("there is no such m_number",),
    ]


async def test_explains_a_wrong_time(raw: RawClient, sandbox: Sandbox, clock: ManualClock) -> None:
    """The ledger says how far a timestamp is off, and in which direction, or that it is in seconds."""
    await raw.ask("GetExchangeRate", **raw.signature(shift_ms=300_500))
    await raw.ask("GetExchangeRate", **raw.signature(shift_ms=-600_000))
    await raw.ask("GetExchangeRate", timestamp=str(clock.time_ms() // 1000))
    assert [call.remarks[0] for call in sandbox.ledger.calls] == [
        "timestamp is 300.5 s ahead of the gateway's clock",
        "timestamp is 600.0 s behind the gateway's clock",
        "timestamp is in seconds, not in milliseconds",
    ]


async def test_replies_tell_the_gateways_time(raw: RawClient, sandbox: Sandbox) -> None:
    """Replies carry the gateway's own time, so that a client with a wrong clock can learn it."""
    response = await raw.send("GetExchangeRate")
    assert response.headers["date"] == "Mon, 26 Dec 2016 23:55:30 GMT"
    sandbox.faults.add(Fault.SKEWED_CLOCK, seconds=3600)
    response = await raw.send("GetExchangeRate")
    assert response.json()["error_code"] == "SIGN_TIMEOUT"
    assert response.headers["date"] == "Tue, 27 Dec 2016 00:55:30 GMT"
    assert (await raw.ask("GetExchangeRate", **raw.signature(shift_ms=3_600_000)))["return_code"] == "SUCCESS"


async def test_secrets_are_not_shown(sandbox: Sandbox, raw: RawClient) -> None:
    """No ``repr`` of the sandbox or its parts shows the key or a customer's payment code."""
    await raw.scanned(qrcode="134567890123456789")
    shown = repr([sandbox, sandbox.merchant, sandbox.ledger, sandbox.ledger.calls, sandbox.faults])
    assert SECRET_KEY not in shown
    assert "134567890123456789" not in shown
