"""A client of the gateway that is written from its documents alone and uses nothing of the package."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any
from urllib.parse import quote

import httpx

M_NUMBER = "123456"
SECRET_KEY = "toy-key-of-the-sandbox"
HOST = "http://gateway.test"

ORDER = {"order_name": "测试商品", "currency": "AUD", "amount": "100"}

#: The required parameters of each endpoint, except the numbers of orders and refunds.
WANTED: dict[str, dict[str, str]] = {
    "GetExchangeRate": {"currency": "AUD", "base_currency": "CNY"},
    "MakeQROrder": {**ORDER, "platform": "ALIPAY"},
    "MakeJSAPIOrder": {**ORDER, "redirect_url": "https://shop.test/thanks"},
    "MakeScanOrder": {**ORDER, "qrcode": "123abc123", "pos_no": "posno_123"},
    "MakeOnlineOrder": {**ORDER, "type": "wap"},
    "MakeAPPOrder": {**ORDER, "platform": "ALIPAYONLINE"},
    "MakeAppletOrder": {**ORDER, "platform": "WECHATPAY", "app_id": "wx20oq811f9q", "customer_id": "o89hJw3wUb"},
    "QueryOrder": {},
    "Refund": {"amount": "30"},
    "QueryRefund": {},
    "GetUserInfo": {"redirect_uri": "https://shop.test/login"},
}


def md5(m_number: str, timestamp: object, nonce: str, key: str) -> str:
    """The signature as CN 2.3 has it."""
    return hashlib.md5(f"{m_number}&{timestamp}&{nonce}&{key}".encode()).hexdigest().upper()


class RawClient:
    """Sends signed and unsigned calls to a gateway."""

    def __init__(self, app: Any, clock: Any, *, m_number: str = M_NUMBER, secret_key: str = SECRET_KEY) -> None:
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=HOST)
        self.clock = clock
        self.m_number = m_number
        self.secret_key = secret_key
        self._numbers = itertools.count(1)

    def signature(self, *, key: str | None = None, shift_ms: int = 0) -> dict[str, str]:
        """The four parameters that sign a call."""
        timestamp = str(self.clock.time_ms() + shift_ms)
        nonce = f"nonce{next(self._numbers):09d}"
        sign = md5(self.m_number, timestamp, nonce, self.secret_key if key is None else key)
        return {"m_number": self.m_number, "timestamp": timestamp, "nonce_str": nonce, "sign": sign}

    async def send(self, name: str, method: str = "POST", **fields: Any) -> httpx.Response:
        """The answer to a signed call; a field that is None is left out."""
        merged = {**self.signature(), **fields}
        query = "&".join(f"{key}={quote(str(value))}" for key, value in merged.items() if value is not None)
        path = "/auth/GetUserInfo" if name == "GetUserInfo" else f"/v2/{name}"
        return await self.http.request(method, f"/omipay/api{path}?{query}")

    async def ask(self, name: str, **fields: Any) -> dict[str, Any]:
        """The reply to a signed call with the parameters that the endpoint needs, and ``fields``."""
        wanted = dict(WANTED[name])
        if "order_name" in wanted:
            wanted["out_order_no"] = f"SEORD{next(self._numbers):06d}"
        if name == "Refund":
            wanted["out_refund_no"] = f"REF{next(self._numbers):06d}"
        response = await self.send(name, **{**wanted, **fields})
        assert response.status_code == 200
        reply: dict[str, Any] = response.json()
        return reply

    async def scanned(self, **fields: Any) -> str:
        """The number of a paid order."""
        reply = await self.ask("MakeScanOrder", **fields)
        return str(reply["order_no"])


async def press(raw: RawClient, url: str, do: str, **headers: str) -> Any:
    """Press a button of a page."""
    return await raw.http.post(url, data={"do": do}, headers=headers)
