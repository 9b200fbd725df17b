"""A gateway with canned answers that keeps every request, and one good call of each endpoint."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import attrs
import httpx

from omipay_async import (
    AppletOrder,
    AppOrder,
    AsyncOmipay,
    Currency,
    JSAPIOrder,
    OnlineOrder,
    QROrder,
    RefundReceipt,
    Safety,
    ScanOrder,
)
from omipay_async.protocol.context import RequestContext
from omipay_async.protocol.conversion import ModelConverter
from omipay_async.protocol.decoding import decode as decode_reply
from omipay_async.protocol.endpoints import ENDPOINTS
from omipay_async.protocol.reply import Received
from omipay_async.testing import ManualClock

from . import vectors

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    Answer = httpx.Response | Exception | bytes | str | Mapping[str, Any]
    Call = Callable[[AsyncOmipay], Coroutine[Any, Any, Any]]


class Gateway(httpx.MockTransport):
    """Gives one answer after the other, and the last one again and again."""

    def __init__(self, *answers: Answer) -> None:
        super().__init__(self._answer)
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else response(answer)

    @property
    def pairs(self) -> list[str]:
        """The parameters of the last request: ``name=value`` as on the wire, sorted."""
        return sorted(self.requests[-1].url.query.decode("ascii").split("&"))


def response(body: bytes | str | Mapping[str, Any], status: int = 200, **headers: str) -> httpx.Response:
    """A reply; a mapping as JSON."""
    content = body if isinstance(body, bytes | str) else json.dumps(body, ensure_ascii=False)
    return httpx.Response(status, content=content, headers=headers)


def open_session(transport: httpx.AsyncBaseTransport | None, **options: Any) -> AsyncOmipay:
    """A session with the merchant, time and nonce of the documents, on a clock that advances by itself."""
    given: dict[str, Any] = {
        "m_number": vectors.M_NUMBER,
        "secret_key": vectors.SECRET_KEY,
        "clock": ManualClock(vectors.TIMESTAMP, auto=True),
        "nonces": lambda: vectors.NONCE,
        "transport": transport,
    }
    return AsyncOmipay(**(given | options))


SIGNED: Final = (
    f"m_number={vectors.M_NUMBER}",
    f"timestamp={vectors.TIMESTAMP}",
    f"nonce_str={vectors.NONCE}",
    f"sign={vectors.SIGN}",
)
"""What authorises each of that session's requests."""

ORDER: Final[dict[str, Any]] = {
    "order_name": "测试 商品",
    "amount": 100,
    "currency": "AUD",
    "out_order_no": "SEORD000001",
}

CALLS: Final[dict[str, Call]] = {
    "GetExchangeRate": lambda omipay: omipay.get_exchange_rate("AUD", "CNY"),
    "MakeQROrder": lambda omipay: omipay.make_qr_order(**ORDER, platform="ALIPAY"),
    "MakeJSAPIOrder": lambda omipay: omipay.make_jsapi_order(**ORDER, redirect_url="https://shop.example/back"),
    "MakeScanOrder": lambda omipay: omipay.make_scan_order(**ORDER, qrcode="134567890", pos_no="till-1"),
    "MakeOnlineOrder": lambda omipay: omipay.make_online_order(**ORDER, type="web"),
    "MakeAPPOrder": lambda omipay: omipay.make_app_order(**ORDER, platform="ALIPAYONLINE"),
    "MakeAppletOrder": lambda omipay: omipay.make_applet_order(**ORDER, app_id="wx20u82a9", customer_id="o98c8sq9xz0"),
    "QueryOrder": lambda omipay: omipay.query_order("TR1"),
    "Refund": lambda omipay: omipay.refund(order_no="TR1", out_refund_no="R-1", amount=100),
    "QueryRefund": lambda omipay: omipay.query_refund("RF1"),
    "GetUserInfo": lambda omipay: omipay.get_user_info("https://shop.example/login"),
}
"""One call of each endpoint."""

SUCCESS: Final[dict[str, dict[str, Any]]] = {
    "GetExchangeRate": {"rate": "5.01540000"},
    "MakeQROrder": {"order_no": "TR1"},
    "MakeJSAPIOrder": {"order_no": "TR1"},
    "MakeScanOrder": {"order_no": "TR1"},
    "MakeOnlineOrder": {"order_no": "TR1"},
    "MakeAPPOrder": {"order_no": "TR1"},
    "MakeAppletOrder": {"order_no": "TR1"},
    "QueryOrder": {"result_code": "PAID", "currency": "AUD", "amount": 100},
    "Refund": {"refund_no": "RF1"},
    "QueryRefund": {"result_code": "Applied"},
    "GetUserInfo": {"openid": "o98c8sq9xz0"},
}
"""The required fields of each endpoint's reply, except ``return_code``."""


def success(endpoint: str, **fields: Any) -> dict[str, Any]:
    """A success of ``endpoint``, with these fields changed."""
    return {"return_code": "SUCCESS", **SUCCESS[endpoint], **fields}


def fail(code: str | None, **fields: Any) -> dict[str, Any]:
    """A FAIL with ``code``."""
    return {"return_code": "FAIL", "error_code": code, "error_msg": "Nein.", **fields}


# -- replies without a session ----------------------------------------------------------------------------------------

SYDNEY: Final = ZoneInfo("Australia/Sydney")
READS: Final = [name for name, endpoint in ENDPOINTS.items() if endpoint.safety is Safety.READ]
MONEY: Final = [name for name, endpoint in ENDPOINTS.items() if endpoint.safety is Safety.MONEY]
CONVERTER: Final = ModelConverter(SYDNEY)
NUMBERS: Final = {"order_no": "TR1", "refund_no": "RF1", "out_order_no": "SEORD000001", "out_refund_no": "R-1"}
"""The numbers of the orders and refunds that calls are about."""


def read(endpoint: str, reply: bytes | Mapping[str, Any], status: int = 200, **received: Any) -> Any:
    """The client's model of such a reply."""
    decoded = decode(endpoint, reply, status, **received)
    if isinstance(decoded, Exception):
        raise decoded
    return decoded


def decode(endpoint: str, reply: bytes | Mapping[str, Any], status: int = 200, **received: Any) -> Any:
    """Like :func:`read`, but an error is returned."""
    body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
    return decode_reply(context(endpoint), Received(status, body, **received), CONVERTER)


def context(endpoint: str) -> RequestContext:
    """The context of a call with the numbers of ``NUMBERS`` that the endpoint has."""
    names = {parameter.name for parameter in ENDPOINTS[endpoint].parameters}
    numbers = {name: number for name, number in NUMBERS.items() if name in names}
    return RequestContext(ENDPOINTS[endpoint], numbers, ["canary-secret"], amount=100, currency="AUD")


def as_sent(model: Any) -> Any:
    """``model`` with the values that the good call of its endpoint sends."""
    if isinstance(model, RefundReceipt):
        return attrs.evolve(model, order_no="TR1", out_refund_no="R-1")
    if isinstance(model, QROrder | JSAPIOrder | ScanOrder | OnlineOrder | AppOrder | AppletOrder):
        return attrs.evolve(model, out_order_no="SEORD000001", currency=Currency.AUD, amount=100)
    return model
