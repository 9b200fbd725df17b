"""The gateway without a network: it gets a query string and returns a reply. No I/O, no event loop.

It checks first the signature, then the parameters, and then what the endpoint's handler checks (CN 2, 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from omipay_async.codes import ErrorCode, Language
from omipay_async.language import sentence

from . import validation
from .auth import authenticate, is_signed
from .errors import ErrorReply
from .faults import Fault
from .foreign import MASK
from .handlers import HANDLERS, used_before
from .ledger import Call
from .state import GatewayState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from omipay_async.language import Sentence
    from omipay_async.protocol.endpoints import Endpoint


_SECRETS = frozenset({"order_string", "openid", "paySign", "nonceStr"})


@attrs.frozen
class Request:
    """One request to an endpoint, as it was received, and what goes wrong with it."""

    endpoint: Endpoint[Any]
    query: bytes
    method: str
    base_url: str
    """Where the caller found the gateway, up to and including ``/omipay/api``."""
    faults: tuple[Fault, ...]
    """Those that apply to it. The gateway writes them down, and fails with SYSTEM_ERROR if that is one of them."""
    skew_ms: int
    """How far the gateway's clock is off for it."""


@attrs.define
class Gateway(GatewayState):
    """The gateway's rules: it checks a request, calls the endpoint's handler, and writes the call in the ledger."""

    def answer(self, request: Request) -> dict[str, Any]:
        """Return the reply to a request, and write the call down."""
        endpoint = request.endpoint
        fields: dict[str, str] = {}
        reply: dict[str, Any]
        remarks: list[Sentence] = []
        orders, refunds = len(self.ledger.orders), len(self.ledger.refunds)
        try:
            fields = validation.parse_query(request.query)
            reply = self._act(request, fields)
        except ErrorReply as refused:
            reply = _fail(refused, validation.language_of(endpoint, fields), fields.get("language"))
            remarks += [refused.detail] if refused.detail else []
        # A declined payment leaves a failed order, which the reply does not name.
        made = next(reversed(self.ledger.orders)) if len(self.ledger.orders) > orders else None
        acted = made is not None or len(self.ledger.refunds) > refunds
        remarks += [] if made is None else self._same_number(made)
        self._log(request, fields, reply, remarks, acted=acted, order_no=reply.get("order_no", made))
        return reply

    def _same_number(self, made: str) -> list[Sentence]:
        """The remark that an order was made under an ``out_order_no`` that another one has, if it was."""
        order = self.ledger.orders[made]
        *earlier, _ = self.ledger.orders_of(order.out_order_no, order.m_number)
        return [used_before(earlier[-1])] if earlier else []

    def _act(self, request: Request, fields: dict[str, str]) -> dict[str, Any]:
        endpoint = request.endpoint
        merchant = authenticate(fields, self.merchants, self.clock.time_ms() + request.skew_ms)
        validation.check(endpoint, fields)
        if Fault.SYSTEM_ERROR in request.faults:
            raise ErrorReply(ErrorCode.SYSTEM_ERROR, sentence("asked for by a fault; nothing was done"))
        known = validation.known(endpoint, fields)
        success = HANDLERS[endpoint.name](self, validation.ValidRequest(endpoint, merchant, known, request.base_url))
        return success if endpoint.name == "GetUserInfo" else {"return_code": "SUCCESS", **success}

    def _log(
        self,
        request: Request,
        fields: dict[str, str],
        reply: Mapping[str, Any],
        remarks: Iterable[Sentence],
        *,
        acted: bool,
        order_no: str | None = None,
    ) -> None:
        self.ledger.log(
            Call(
                at_ms=self.clock.time_ms(),
                endpoint=request.endpoint.name,
                method=request.method,
                fields=validation.loggable(request.endpoint, fields),
                error_code=reply.get("error_code"),
                remarks=(*remarks, *validation.unknown_parameters(request.endpoint, fields)),
                acted=acted,
                faults=request.faults,
                order_no=order_no,
                refund_no=reply.get("refund_no"),
                reply={name: MASK if name in _SECRETS else value for name, value in reply.items()},
                is_stranger=not is_signed(fields, self.merchants),
            )
        )

    def log_unseen(self, request: Request) -> None:
        """Write down a request that a fault stopped before it reached the gateway."""
        try:
            fields = validation.parse_query(request.query)
        except ErrorReply:
            fields = {}
        self._log(request, fields, reply={}, remarks=(), acted=False)


def _fail(error_reply: ErrorReply, language: str, asked: str | None) -> dict[str, Any]:
    # The real gateway's text is shorter; developers need to read what is wrong. Chinese is only the gateway's default,
    # so the detail is English unless the call asked for Chinese.
    text = error_reply.explained(language, detail_language=asked or Language.EN)
    return {"return_code": "FAIL", "error_code": error_reply.code, "error_msg": text, **error_reply.fields}
