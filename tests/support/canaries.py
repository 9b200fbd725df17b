"""A session with known secrets, every call of it, and a gateway that echoes the signed URL."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import parse_qs, urlsplit

import httpx

from omipay_async import AsyncOmipay, RetryPolicy
from omipay_async.protocol.signing import signature

from . import canned_gateway
from .canned_gateway import ORDER

if TYPE_CHECKING:
    from collections.abc import Callable

    from .canned_gateway import Call


KEY: Final = "canary-key-0af61531c6c04ac4"
OLD_KEY: Final = "canary-old-key-ac910d0cd59e"
CODE: Final = "134canary+code/567"
OPENID: Final = "ocanary98c8sq9xz0"
PAY_SIGN: Final = "CANARYPAYSIGN0123"
APP_STRING: Final = "canary_app_id=1&biz=2"
SECRETS: Final = (KEY, OLD_KEY, CODE, OPENID, PAY_SIGN, APP_STRING, "134canary%2Bcode%2F567", "canary_app_id")

CALLS: Final[dict[str, Call]] = {
    **canned_gateway.CALLS,
    "MakeScanOrder": lambda omipay: omipay.make_scan_order(**ORDER, qrcode=CODE, pos_no="till-1"),
    "MakeAppletOrder": lambda omipay: omipay.make_applet_order(**ORDER, app_id="wx2", customer_id=OPENID),
    "ConfirmCheckOut": lambda omipay: omipay.call("ConfirmCheckOut", {"token": CODE, "customer": OPENID}),
}
GOOD: Final[dict[str, Any]] = {
    "return_code": "SUCCESS",
    "order_no": "TR1",
    "refund_no": "RF1",
    "rate": "1.5",
    "result_code": "PAID",
    "currency": "AUD",
    "amount": 100,
    "openid": OPENID,
    "qrcode": CODE,
    "order_string": APP_STRING,
    "paySign": PAY_SIGN,
    "nonceStr": PAY_SIGN,
}


def json_body(fields: dict[str, Any]) -> bytes:
    """JSON as the gateway writes it."""
    return json.dumps(fields).encode()


# What the gateway answers, given the target of the request: status and body; status 0 is no answer.
ANSWERS: Final[dict[str, Callable[[str], tuple[int, bytes]]]] = {
    "a success": lambda target: (200, json_body(GOOD | {"echo": target})),
    "a customer who pays": lambda target: (
        200,
        json_body({"return_code": "USERPAYING", "order_no": "TR1", "x": target}),
    ),
    "a refusal": lambda target: (
        200,
        json_body({"return_code": "FAIL", "error_code": "AMOUNT_INVALID", "error_msg": f"no: {target}"}),
    ),
    "a system error": lambda target: (
        500,
        json_body({"return_code": "FAIL", "error_code": "SYSTEM_ERROR", "error_msg": f"at {target}"}),
    ),
    "an unlisted code": lambda target: (
        200,
        json_body({"return_code": "FAIL", "error_code": "NEW", "error_msg": {"at": target}}),
    ),
    "an error page": lambda target: (502, f"<html><a href='{target}'>{target}</a>".encode()),
    "a field of the wrong kind": lambda target: (
        200,
        json_body({key: [target] for key in GOOD} | {"return_code": "SUCCESS"}),
    ),
    "half a reply": lambda target: (200, json_body(GOOD | {"echo": target})[:-40]),
    "no reply": lambda target: (0, b""),
}


class Echo:
    """A gateway on a real socket that repeats the request in headers and body."""

    def __init__(self) -> None:
        self.answer: Callable[[str], tuple[int, bytes]] = ANSWERS["a success"]
        self.targets: list[str] = []
        self.look: Callable[[], object] = lambda: None
        self.reason: Callable[[str], str] = lambda target: "OK"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.base_url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/omipay/api"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        target = head.split(b" ")[1].decode()
        self.targets.append(target)
        self.look()
        status, body = self.answer(target)
        if status:
            echo = f"Location: {target}\r\nX-Original-Url: {target}\r\nSet-Cookie: sign={target.rpartition('=')[2]}"
            length = f"Content-Length: {len(body)}\r\nContent-Type: application/json\r\nConnection: close"
            writer.write(f"HTTP/1.1 {status} {self.reason(target)}\r\n{echo}\r\n{length}\r\n\r\n".encode() + body)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    @property
    def live(self) -> set[str]:
        """Every signature and nonce that went out."""
        queries = [parse_qs(urlsplit(target).query) for target in self.targets]
        return {query[name][0] for query in queries for name in ("sign", "nonce_str")}


def session(transport: httpx.AsyncBaseTransport | None, base_url: str, **options: Any) -> AsyncOmipay:
    """A session with the known secrets."""
    retry = RetryPolicy(attempts=2, base_delay=0.0)
    given = {"retry": retry, "transport": transport, "base_url": base_url, "previous_secret_keys": [OLD_KEY]}
    return AsyncOmipay("123456", KEY, **(given | options))


def search(haystack: list[str], needles: set[str]) -> None:
    """Fail if a secret is found; the message says where."""
    for text in haystack:
        found = [needle for needle in needles if needle in text]
        assert not found, f"{found} in {text[:2000]}"


class Telling(httpx.AsyncBaseTransport):
    """A user's transport whose exceptions contain the URL, as many do."""

    def __init__(self, kind: type[Exception]) -> None:
        self.kind = kind
        self.targets: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Log as a careful user would not, and fail."""
        self.targets.append(request.url.raw_path.decode())
        cause = OSError(f"at {request.url}")
        raise self.kind(f"cannot ask {request.url} ({request.url.raw_path!r}) for {CODE} {OPENID} {KEY}") from cause


def signed_body(**fields: Any) -> bytes:
    """A notification that the gateway could have sent."""
    now, nonce = time.time_ns() // 1_000_000, "canarynonce00000"
    sign = signature("123456", str(now), nonce, KEY)
    return json_body({"order_no": "TR1", "nonce_str": nonce, "timestamp": now, "sign": sign, **fields})
