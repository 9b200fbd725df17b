"""A call as a program for the client. No I/O."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from omipay_async.protocol.endpoints import ENDPOINTS, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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

_PROGRAM: Final = """\
import asyncio

from omipay_async import AsyncOmipay


async def main() -> None:
    async with AsyncOmipay.from_env({session}) as omipay:
        print(await omipay.{method}({arguments}))


asyncio.run(main())
"""


def as_python(call: Call, base_url: str) -> str:
    """A program that makes the call again, at the gateway of this address and nowhere else.

    It takes the merchant's number and key from the environment. A customer's secret was not kept: it asks for it.
    """
    session = {"base_url": base_url}
    if "language" in call.fields:
        session["language"] = call.fields["language"]
    arguments = list(_arguments(call))
    joined = ", ".join(arguments)
    if len(joined) > _WIDEST:
        joined = "\n" + "".join(f"            {each},\n" for each in arguments) + "        "
    return _PROGRAM.format(
        session=", ".join(f"{name}={value!r}" for name, value in session.items()),
        method=_METHODS[call.endpoint],
        arguments=joined,
    )


def _arguments(call: Call) -> Iterator[str]:
    positional = _POSITIONAL.get(call.endpoint, ())
    for parameter in ENDPOINTS[call.endpoint].parameters:
        if parameter.secret:
            value = f'input("{parameter.name}: ")'
        elif parameter.name not in call.fields:
            continue
        elif parameter.kind is Kind.FLAG:
            value = str(call.fields[parameter.name] == "1")
        elif parameter.kind is Kind.AMOUNT and call.fields[parameter.name].isdecimal():
            value = str(int(call.fields[parameter.name]))
        else:
            value = repr(call.fields[parameter.name])
        yield value if parameter.name in positional else f"{parameter.name}={value}"
