"""The gateway without its wires: a query string goes in, a reply comes out. No I/O, no loop.

The order of the checks: signature, parameters, then what the endpoint itself has to say (CN 2, 3).
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import attrs

from omipay_async.codes import ErrorCode

from . import validation
from .auth import authenticate
from .clock import wire_time
from .errors import Refusal, message
from .handlers import ACTS
from .ledger import Call, Ledger
from .rates import Terms

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Mapping

    from omipay_async.protocol.endpoints import Endpoint

    from .clock import Clock
    from .merchants import Merchant

_NONCE_ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


@attrs.frozen
class Request:
    """One request to an endpoint, off the wire."""

    endpoint: Endpoint[Any]
    query: bytes
    method: str = "POST"
    base_url: str = ""
    """Where the caller found the gateway, up to and including ``/omipay/api``."""


@attrs.define
class Gateway:
    """The rules of the gateway over one ledger."""

    clock: Clock
    ledger: Ledger
    merchants: dict[str, Merchant]
    random: random.Random
    terms: Terms = attrs.field(factory=Terms)
    repeat_finds_order: bool = True
    wechat_user: Mapping[str, str] = attrs.field(
        factory=lambda: {
            "openid": "o6_bmjrPTlm6_2sgVt7hMZOPfL2M",
            "nickname": "沙箱 Sandbox",
            "headimgurl": "http://sandbox.test/head.png",
        }
    )
    _counter: Iterator[int] = attrs.field(factory=itertools.count, init=False)

    def answer(
        self, request: Request, *, skew_ms: int = 0, broken: bool = False, faults: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """The reply to a request, which is then in the log.

        ``skew_ms`` is how far the gateway's clock is off for this call, ``broken`` lets it fail with SYSTEM_ERROR
        before it acts, and ``faults`` are named in the log.
        """
        endpoint = request.endpoint
        fields: dict[str, str] = {}
        reply: dict[str, Any]
        refusal = None
        before = self._made()
        try:
            fields = validation.parse_query(request.query)
            reply = self._act(request, fields, skew_ms=skew_ms, broken=broken)
        except Refusal as refused:
            refusal = refused
            reply = _fail(refused, validation.language_of(endpoint, fields))
        self._log(request, fields, reply, refusal, faults, acted=self._made() > before)
        return reply

    def _made(self) -> int:
        return len(self.ledger.orders) + len(self.ledger.refunds)

    def _act(self, request: Request, fields: dict[str, str], *, skew_ms: int, broken: bool) -> dict[str, Any]:
        endpoint = request.endpoint
        merchant = authenticate(fields, self.merchants, self.clock.time_ms() + skew_ms)
        validation.check(endpoint, fields)
        if broken:
            raise Refusal(ErrorCode.SYSTEM_ERROR, "asked for by a fault; nothing was done")
        language = validation.language_of(endpoint, fields)
        success = ACTS[endpoint.name](self, validation.Asked(endpoint, merchant, fields, language, request.base_url))
        return success if endpoint.name == "GetUserInfo" else {"return_code": "SUCCESS", **success}

    def _log(
        self,
        request: Request,
        fields: dict[str, str],
        reply: dict[str, Any],
        refusal: Refusal | None,
        faults: tuple[str, ...],
        *,
        acted: bool,
    ) -> None:
        remarks = [refusal.detail] if refusal and refusal.detail else []
        remarks += validation.remarks(request.endpoint, fields)
        self.ledger.log(
            Call(
                self.clock.time_ms(),
                request.endpoint.name,
                request.method,
                validation.loggable(request.endpoint, fields),
                refusal.code if refusal else None,
                tuple(remarks),
                acted=acted,
                faults=faults,
                order_no=reply.get("order_no"),
                refund_no=reply.get("refund_no"),
            )
        )

    def never_acted(self, request: Request, faults: tuple[str, ...]) -> None:
        """A request that a fault stopped before the gateway saw it is in the log all the same."""
        try:
            fields = validation.parse_query(request.query)
        except Refusal:
            fields = {}
        self._log(request, fields, {}, None, faults, acted=False)

    def nonce(self) -> str:
        """A fresh nonce of the gateway's own."""
        return "".join(self.random.choices(_NONCE_ALPHABET, k=32))

    def number(self, prefix: str) -> str:
        """A fresh number for an order or a refund: 24 characters, as real ones have."""
        day = wire_time(self.clock.time_ms())[2:]
        return f"{prefix}{day}{next(self._counter):05d}{self.random.randrange(10**5):05d}"


def _fail(refusal: Refusal, language: str) -> dict[str, Any]:
    # The real gateway's sentence is shorter; here whoever develops against it wants to read what to mend.
    text = ": ".join(filter(None, [message(refusal.code, language), refusal.detail]))
    return {"return_code": "FAIL", "error_code": refusal.code, "error_msg": text, **refusal.fields}
