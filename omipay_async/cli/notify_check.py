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
from .translations import sentence

ORDER_NO: Final = "TR0000000000000000000000"
OUT_ORDER_NO: Final = "omipay-doctor"

_NO_ROUTE: Final = sentence(
    "nothing answers at this path: compare it with the one of notification_route or notification_app"
)
_VERDICTS: Final[dict[int, tuple[bool, str, str]]] = {
    409: (
        True,
        sentence("your program asked the gateway, which does not know this order, and refused: this is right"),
        "",
    ),
    400: (
        False,
        sentence("your program could not read the body"),
        sentence("pass on the body's bytes as they came"),
    ),
    401: (
        False,
        sentence("the notify_url asks for a login"),
        sentence("the gateway has no password: let it in without one"),
    ),
    403: (
        False,
        sentence("your program did not accept the signature, or something before it refused"),
        sentence("compare OMIPAY_SECRET_KEY here and there, and look for a CSRF check in front of the path"),
    ),
    404: (False, sentence("not found"), _NO_ROUTE),
    405: (False, sentence("POST is not allowed there"), _NO_ROUTE),
    500: (False, sentence("your program failed"), sentence("read its log: the traceback is there")),
    503: (
        False,
        sentence("your program could not ask the gateway, its backend or its journal"),
        sentence("read its log; the gateway would deliver the notification again"),
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
        advice = sentence("the gateway does not follow redirects: set the final address")
        return False, sentence("HTTP {}: a redirect", status), advice
    if status == 200:
        return _of_success(body)
    known = _VERDICTS.get(status)
    if known is None:
        said = plain(body.decode(errors="replace"), 80)
        return False, sentence("HTTP {}: {}", status, said), sentence("read your program's log")
    ok, meaning, next_step = known
    return ok, sentence("HTTP {}: {}", status, meaning), next_step


def _of_success(body: bytes) -> tuple[bool, str, str]:
    try:
        code = json.loads(body)["return_code"]
    except (ValueError, TypeError, KeyError, RecursionError):
        code = None
    if code == "SUCCESS":
        meaning = sentence(
            "it answered SUCCESS to a payment that never happened: whoever posts to this address gets goods"
        )
        return False, meaning, sentence("use receive_notification, which asks the gateway first")
    meaning = sentence("HTTP 200 without SUCCESS: the gateway would deliver it again")
    return False, meaning, sentence("answer as receive_notification does")
