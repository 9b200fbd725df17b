"""A call as Python for the client. No I/O."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from omipay_async.protocol.endpoints import ENDPOINTS, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from omipay_async.sandbox.ledger import Call

_METHODS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "GetExchangeRate": "get_exchange_rate",
        "MakeQROrder": "make_qr_order",
        "MakeJSAPIOrder": "make_jsapi_order",
        "MakeScanOrder": "make_scan_order",
        "MakeOnlineOrder": "make_online_order",
        "MakeAPPOrder": "make_app_order",
        "MakeAppletOrder": "make_applet_order",
        "QueryOrder": "query_order",
        "Refund": "refund",
        "QueryRefund": "query_refund",
        "GetUserInfo": "get_user_info",
    }
)
_WIDEST: Final = 72
_POSITIONAL: Final = {
    "GetExchangeRate": ("currency", "base_currency"),
    "QueryOrder": ("order_no",),
    "QueryRefund": ("refund_no",),
    "GetUserInfo": ("redirect_uri",),
}


def as_python(call: Call) -> str:
    """The call as code for an ``AsyncOmipay`` named ``omipay``; a secret that was not kept is an ellipsis."""
    endpoint = ENDPOINTS[call.endpoint]
    positional = _POSITIONAL.get(call.endpoint, ())
    arguments = []
    for parameter in endpoint.parameters:
        if parameter.secret:
            value = "..."
        elif parameter.name not in call.fields:
            continue
        elif parameter.kind is Kind.FLAG:
            value = str(call.fields[parameter.name] == "1")
        elif parameter.kind is Kind.AMOUNT and call.fields[parameter.name].isdecimal():
            value = str(int(call.fields[parameter.name]))
        else:
            value = ascii(call.fields[parameter.name])
        arguments.append(value if parameter.name in positional else f"{parameter.name}={value}")
    method = f"await omipay.{_METHODS[call.endpoint]}"
    line = f"{method}({', '.join(arguments)})"
    return line if len(line) <= _WIDEST else f"{method}(\n" + "".join(f"    {each},\n" for each in arguments) + ")"
