"""What ``omipay doctor --notify`` posts to a notify_url, and what the answer says about the program behind it. Pure.

The notification is rightly signed, and about an order that the gateway does not know. A program that asks the gateway
before it believes a notification refuses it; one that answers SUCCESS would ship goods to whoever posts to it.
"""

from __future__ import annotations

import json
from typing import Any, Final

from omipay_async.sandbox.auth import sign
from omipay_async.sandbox.clock import wire_time

from .formatting import plain

ORDER_NO: Final = "TR0000000000000000000000"
OUT_ORDER_NO: Final = "omipay-doctor"

_NO_ROUTE: Final = "nothing answers at this path: compare it with the one of notification_route or notification_app"
_VERDICTS: Final[dict[int, tuple[bool, str, str]]] = {
    409: (True, "your program asked the gateway, which does not know this order, and refused: as it should be", ""),
    400: (False, "your program could not read the body", "pass on the body's bytes as they came"),
    401: (False, "a login stands before the notify_url", "the gateway has no password: let it in"),
    403: (
        False,
        "your program did not accept the signature, or something before it refused",
        "compare OMIPAY_SECRET_KEY here and there, and whether a CSRF check stands before the path",
    ),
    404: (False, "not found", _NO_ROUTE),
    405: (False, "POST is not allowed there", _NO_ROUTE),
    500: (False, "your program failed", "read its log: the traceback is there"),
    503: (
        False,
        "your program could not ask the gateway, its backend or its journal",
        "read its log; the gateway would deliver the notification again",
    ),
}


def signed_body(m_number: str, secret_key: str, nonce: str, now_ms: int) -> bytes:
    """A rightly signed notification of one cent, for an order that no gateway knows (CN 3.9)."""
    fields: dict[str, Any] = {
        "return_code": "SUCCESS",
        "nonce_str": nonce,
        "timestamp": now_ms,
        "sign": sign(m_number, now_ms, nonce, secret_key),
        "order_no": ORDER_NO,
        "out_order_no": OUT_ORDER_NO,
        "currency": "AUD",
        "total_amount": 1,
        "order_time": wire_time(now_ms),
        "pay_time": wire_time(now_ms),
        "exchange_rate": 500_000_000,
        "cny_amount": 5,
    }
    return json.dumps(fields).encode()


def verdict(status: int, body: bytes) -> tuple[bool, str, str]:
    """Whether the answer is a good one, what it means, and what to do."""
    if 300 <= status < 400:
        return False, f"HTTP {status}: it leads elsewhere", "the gateway follows no redirect: give the final address"
    if status == 200:
        return _of_success(body)
    known = _VERDICTS.get(status)
    if known is None:
        return False, f"HTTP {status}: {plain(body.decode(errors='replace'), 80)}", "read your program's log"
    ok, meaning, advice = known
    return ok, f"HTTP {status}: {meaning}", advice


def _of_success(body: bytes) -> tuple[bool, str, str]:
    try:
        code = json.loads(body)["return_code"]
    except (ValueError, TypeError, KeyError, RecursionError):
        code = None
    if code == "SUCCESS":
        meaning = "it answered SUCCESS to a payment that never happened: whoever posts there gets goods"
        return False, meaning, "use receive_notification, which asks the gateway first"
    return False, "HTTP 200 without SUCCESS: the gateway would deliver it again", "answer as receive_notification does"
