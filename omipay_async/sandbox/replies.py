"""Writes replies as exact JSON and, on request, with every oddity that real replies have shown. No I/O."""

from __future__ import annotations

import json
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Fields = dict[str, Any]


def encode(reply: Mapping[str, Any]) -> bytes:
    """A reply as JSON. Decimals are written with all their digits: ``5.01540000`` (CN 3.1)."""
    pairs = (f"{json.dumps(name)}: {_value(value)}" for name, value in reply.items())
    return ("{" + ", ".join(pairs) + "}").encode()


def _value(value: object) -> str:
    return str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)


def make_odd(endpoint: str, reply: Mapping[str, Any]) -> Fields:
    """The same reply as the documents' examples and the real gateway have been seen to write it."""
    odd = _any_reply(dict(reply))
    if odd["return_code"] == "SUCCESS":
        odd = _ODDITIES.get(endpoint, dict)(odd)
    return _numbers_as_text(odd)


def make_odd_notification(fields: Mapping[str, Any]) -> Fields:
    """A notification as EN's table has it: ``amount``, ``pay_currency``, ``cny_amount``, no ``return_code``."""
    odd = _renamed({"pay_currency": "CNY", **fields}, {"total_amount": "amount"})
    odd.pop("return_code")
    return _numbers_as_text(odd)


def _any_reply(reply: Fields) -> Fields:
    if reply.get("return_code") != "FAIL":
        return {"return_code": "SUCCESS", **reply, "error_msg": None, "msg": None, "success": True}
    if reply["error_code"] == "USERPAYING":
        # EN's flow text for scan orders speaks of the return_code.
        return {**reply, "return_code": "USERPAYING"}
    if reply["error_code"] == "SIGN_TIMEOUT":
        return {**reply, "error_code": "SIGN_TIMEOUOT"}
    return reply


def _query_order(reply: Fields) -> Fields:
    word = {"PAID": "PAYED", "SETTLED": "CLOSED"}.get(reply["result_code"], reply["result_code"])
    odd = _renamed({**reply, "result_code": word}, {"amount": "total_amount", "pay_amount": "cny_amount"})
    del odd["out_order_no"]
    if reply["pay_currency"] == "CNY":
        del odd["pay_currency"]
    odd["pay_time"] = odd["pay_time"] or None
    return odd


def _query_refund(reply: Fields) -> Fields:
    odd = {**reply, "result_code": reply["result_code"].upper(), "success_time": reply["success_time"] or None}
    del odd["out_refund_no"]
    return odd


def _numbers_as_text(fields: Fields) -> Fields:
    return {name: str(value) if type(value) is int else value for name, value in fields.items()}


def _renamed(reply: Fields, names: Mapping[str, str]) -> Fields:
    return {names.get(name, name): value for name, value in reply.items()}


_ODDITIES: Final[Mapping[str, Callable[[Fields], Fields]]] = MappingProxyType(
    {
        "GetExchangeRate": lambda reply: {**reply, "platform": None},
        "MakeAppletOrder": lambda reply: _renamed(reply, {"Package": "package"}),
        "Refund": lambda reply: _renamed(reply, {"refund_no": "refund_no "}),
        "QueryOrder": _query_order,
        "QueryRefund": _query_refund,
    }
)
