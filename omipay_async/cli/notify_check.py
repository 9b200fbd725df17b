"""What ``omipay doctor --notify`` posts to a notify_url, and what the answer means for the program behind it. Pure.

The notification has a valid signature, and is about an order that the gateway does not have. A program that asks the
gateway before it believes a notification rejects it. One that answers SUCCESS would ship goods to anybody who posts.
"""

from __future__ import annotations

import json
from typing import Any, Final

from omipay_async.language import sentence
from omipay_async.sandbox.auth import sign
from omipay_async.sandbox.times import wire_time

from .formatting import plain

ORDER_NO: Final = "TR0000000000000000000000"
OUT_ORDER_NO: Final = "omipay-doctor"

_NO_ROUTE: Final = sentence(
    "nothing answers at this path: compare it with the one of notification_route or notification_app"
)
_VERDICTS: Final[dict[int, tuple[bool, str, str]]] = {
    409: (
        True,
        sentence("your program asked the gateway, which has no such order, and rejected it: this is right"),
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
        sentence("the gateway cannot log in: accept its requests without a login"),
    ),
    403: (
        False,
        sentence("your program, or something in front of it, rejected the signature or the request"),
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
    """A notification of one cent with a valid signature, for an order that no gateway has (CN 3.9)."""
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
        advice = sentence("the gateway may not follow redirects: set the final address")
        return False, sentence("HTTP {}: a redirect", status), advice
    if status == 200:
        return _of_success(body)
    known = _VERDICTS.get(status)
    if known is None:
        text = plain(body.decode(errors="replace"), 80)
        return False, sentence("HTTP {}: {}", status, text), sentence("read your program's log")
    ok, meaning, next_step = known
    return ok, sentence("HTTP {}: {}", status, meaning), next_step


def _of_success(body: bytes) -> tuple[bool, str, str]:
    try:
        code = json.loads(body)["return_code"]
    except (ValueError, TypeError, KeyError, RecursionError):
        code = None
    if code == "SUCCESS":
        meaning = sentence(
            "it answered SUCCESS to a payment that never happened: anybody who posts to this address can get goods"
        )
        return False, meaning, sentence("use receive_notification, which asks the gateway first")
    meaning = sentence("HTTP 200 without SUCCESS: the gateway would deliver it again")
    return False, meaning, sentence("answer as receive_notification does")
