"""What a notification says, how it is signed, and which answer ends its deliveries (CN 3.9). No I/O."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from omipay_async.codes import Currency
from omipay_async.language import sentence

from .auth import sign
from .foreign import printable
from .rates import wire_rate
from .times import wire_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .ledger import Order
    from .state import GatewayState


def notification(order: Order) -> dict[str, Any]:
    """The fields of CN 3.9's table for a paid order, without the signature.

    ``cny_amount`` is in CNY fen unless EN's ``pay_currency`` is there too.
    """
    other = {} if order.pay_currency == Currency.CNY else {"pay_currency": order.pay_currency}
    return {
        "return_code": "SUCCESS",
        "order_no": order.order_no,
        "out_order_no": order.out_order_no,
        "currency": order.currency,
        "total_amount": order.amount,
        "order_time": wire_time(order.created_ms),
        "pay_time": wire_time(order.paid_ms),
        "exchange_rate": wire_rate(order.rate),
        "cny_amount": order.pay_amount,
        **other,
    }


def signed(
    gateway: GatewayState, m_number: str, fields: Mapping[str, Any], *, secret_key: str | None = None
) -> dict[str, Any]:
    """The fields with ``nonce_str``, ``timestamp`` and ``sign``, unless they are among them already.

    The key is the merchant's unless ``secret_key`` is given.
    """
    nonce = fields.get("nonce_str", gateway.nonce())
    timestamp = fields.get("timestamp", gateway.clock.time_ms())
    key = gateway.merchants[m_number].secret_key if secret_key is None else secret_key
    signature = {"nonce_str": nonce, "timestamp": timestamp, "sign": sign(m_number, timestamp, nonce, key)}
    return {**signature, **fields}


def why_refused(status: int, content_type: str, body: bytes) -> str:
    """Why an answer is not the SUCCESS that ends the deliveries (CN 3.9); empty if it is."""
    if status != 200:
        return f"HTTP {status}"
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return sentence("the answer is not JSON")
    if not isinstance(answer, dict) or answer.get("return_code") != "SUCCESS":
        return sentence("return_code is not SUCCESS")
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json":
        return ""
    if not kind:
        return sentence("SUCCESS, but without a Content-Type: application/json is wanted")
    return sentence("SUCCESS, but as {}: application/json is wanted", printable(kind, 60))
