"""The endpoints: for each one a function from a valid request to the reply. No I/O.

A function returns the fields of a success, or raises :class:`ErrorReply`. It never waits, so its changes to the ledger
are complete when it returns or raises.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from omipay_async.codes import Currency, ErrorCode, OrderStatus, Platform
from omipay_async.language import Sentence, sentence

from .errors import ErrorReply, invalid
from .foreign import printable
from .ledger import Order, Refund
from .payment_codes import ANY_OTHER, PAYMENT_CODES, CodeBehaviour
from .rates import convert, is_below_a_cent, wire_rate
from .times import wire_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .state import GatewayState
    from .validation import ValidRequest

    Handler = Callable[[GatewayState, ValidRequest], dict[str, Any]]

_ANOTHER_MERCHANTS: Final = sentence("the order is another merchant's")


def get_exchange_rate(gateway: GatewayState, request: ValidRequest) -> dict[str, Any]:
    """CN 3.1."""
    rate = gateway.terms.rate(request.get("currency"), request.get("base_currency"))
    if rate is None:
        raise ErrorReply(ErrorCode.CURRENCY_ERROR, sentence("there is no rate for this pair"))
    return {"rate": rate, "platform": request.get("platform", Platform.WECHATPAY)}


def make_qr_order(gateway: GatewayState, request: ValidRequest) -> dict[str, Any]:
    """CN 3.2."""
    if not request.merchant.web_store:
        raise ErrorReply(ErrorCode.WEBSTORE_NOT_EXISTS, sentence("the merchant has no web store"))
    order = _new_order(gateway, request)
    return {
        "order_no": order.order_no,
        "qrcode": page_url(request.base_url, "wallet", order),
        "pay_url": page_url(request.base_url, "qrpay", order),
    }


def make_jsapi_order(gateway: GatewayState, request: ValidRequest) -> dict[str, Any]:
    """CN 3.3."""
    if not request.merchant.wechat_store:
        raise ErrorReply(ErrorCode.WECHAT_STORE_NOT_EXISTS, sentence("the merchant has no WeChat store"))
    _check_till(request)
    order = _new_order(gateway, request, return_to=request.get("redirect_url"))
    reply = {"order_no": order.order_no, "pay_url": page_url(request.base_url, "jsapi", order)}
    if request.get("show_pc_pay_url") == "1":
        reply["pc_pay_url"] = page_url(request.base_url, "pcpay", order)
    return reply


def make_scan_order(gateway: GatewayState, request: ValidRequest) -> dict[str, Any]:
    """CN 3.4. SUCCESS means paid.

    A repeated ``out_order_no`` finds the old order if the gateway is set to that (``repeat_finds_order``); otherwise
    the customer is charged again. The documents do not say which is right, so a till must work with both.
    """
    _check_till(request)
    if gateway.repeat_finds_order:
        earlier = gateway.ledger.orders_of(request.get("out_order_no"), request.merchant.m_number)
        if earlier:
            raise _earlier_order(earlier[-1])
    behaviour = PAYMENT_CODES.get(request.get("qrcode"), ANY_OTHER)
    if behaviour.status is None:
        raise ErrorReply(behaviour.answer or ErrorCode.SYSTEM_ERROR)
    return _scan_answer(_new_order(gateway, request, behaviour=behaviour), behaviour)


def _scan_answer(order: Order, behaviour: CodeBehaviour) -> dict[str, Any]:
    if behaviour.answer is ErrorCode.USERPAYING:
        raise ErrorReply(behaviour.answer, order_no=order.order_no)
    if behaviour.answer is not None:
        raise ErrorReply(behaviour.answer)
    return {"order_no": order.order_no, "out_order_no": order.out_order_no, "order_time": wire_time(order.paid_ms)}


def used_before(order: Order) -> Sentence:
    """The remark that ``order`` has this ``out_order_no`` already. For each kind of order CN asks for a unique one."""
    return sentence("out_order_no was used before, by {}", order.order_no)


def _earlier_order(order: Order) -> ErrorReply:
    detail = used_before(order)
    if order.status.is_paid:
        return ErrorReply(ErrorCode.ORDER_PAID, detail)
    if order.status.is_failed:
        return ErrorReply(ErrorCode.ORDER_CLOSED, detail)
    return ErrorReply(ErrorCode.USERPAYING, detail, order_no=order.order_no)


def make_online_order(gateway: GatewayState, request: ValidRequest) -> dict[str, Any]:
    """CN 3.5."""
    order = _new_order(gateway, request, platform=Platform.ALIPAYONLINE, return_to=request.get("return_url"))
    return {"order_no": order.order_no, "pay_url": page_url(request.base_url, "online", order)}


def make_app_order(gateway: GatewayState, request: ValidRequest) -> dict[str, Any]:
    """CN 3.6. ``order_string`` is a string, or for WeChat a JSON value."""
    if request.get("platform") == Platform.WECHATPAY and not request.get("app_id"):
        raise invalid(sentence("app_id is missing, which WECHATPAY needs"))
    order = _new_order(gateway, request)
    return {"order_no": order.order_no, "order_string": _order_string(gateway, request, order)}


def _order_string(gateway: GatewayState, request: ValidRequest, order: Order) -> object:
    if order.platform == Platform.POLI:
        return page_url(request.base_url, "online", order)
    if order.platform == Platform.ALIPAYONLINE:
        return f"out_trade_no={order.order_no}&total_fee={order.amount}&sign={_token(order)}&sign_type=MD5"
    return {
        "appid": request.get("app_id"),
        "partnerid": "1900000109",
        "prepayid": f"wx{_token(order)}",
        "package": "Sign=WXPay",
        "noncestr": gateway.nonce(),
        "timestamp": str(order.created_ms // 1000),
        "sign": _token(order).upper(),
    }


def make_applet_order(gateway: GatewayState, request: ValidRequest) -> dict[str, Any]:
    """CN 3.7."""
    order = _new_order(gateway, request)
    return {
        "order_no": order.order_no,
        "timeStamp": str(order.created_ms // 1000),
        "nonceStr": gateway.nonce(),
        "Package": f"prepay_id=wx{_token(order)}",
        "signType": "MD5",
        "paySign": _token(order).upper(),
    }


def _no_order(gateway: GatewayState, request: ValidRequest) -> Sentence:
    """Why no order was found. A beginner's mistake is to ask by the merchant's own number."""
    made = gateway.ledger.orders_of(request.get("order_no"), request.merchant.m_number)
    if made:
        return sentence("there is no such order: this is the out_order_no of {}", made[-1].order_no)
    return sentence("there is no such order")


def query_order(gateway: GatewayState, request: ValidRequest) -> dict[str, Any]:
    """CN 3.8. There is no code for an unknown order, so it is PERMISSION_ERROR too."""
    order = gateway.ledger.orders.get(request.get("order_no"))
    if order is None or order.m_number != request.merchant.m_number:
        detail = _no_order(gateway, request) if order is None else _ANOTHER_MERCHANTS
        raise ErrorReply(ErrorCode.PERMISSION_ERROR, detail)
    gateway.ledger.count_query(order)
    return {
        "result_code": order.status,
        "out_order_no": order.out_order_no,
        "currency": order.currency,
        "amount": order.amount,
        "pay_currency": order.pay_currency,
        "pay_amount": order.pay_amount,
        "order_time": wire_time(order.created_ms),
        "pay_time": wire_time(order.paid_ms),
        "exchange_rate": wire_rate(order.rate),
    }


def refund(gateway: GatewayState, request: ValidRequest) -> dict[str, Any]:
    """CN 3.10. A repeated ``out_refund_no`` is another refund: no document says otherwise."""
    order = gateway.ledger.orders.get(request.get("order_no"))
    if order is None:
        raise ErrorReply(ErrorCode.ORDER_NO_ERROR, _no_order(gateway, request))
    if order.m_number != request.merchant.m_number:
        raise ErrorReply(ErrorCode.PERMISSION_ERROR, _ANOTHER_MERCHANTS)
    if not order.is_paid:
        raise ErrorReply(ErrorCode.ORDER_NOT_PAID, sentence("the order is {}", order.status))
    left = gateway.ledger.left_to_refund(order.order_no)
    if request.amount > left:
        raise ErrorReply(ErrorCode.AMOUNT_OVER_LIMIT, sentence("{} is left to refund", left))
    if is_below_a_cent(request.amount, order.aud_rate):
        raise invalid(sentence("amount comes to less than A$0.01"))
    made = Refund(
        refund_no=gateway.number("RF"),
        m_number=order.m_number,
        order_no=order.order_no,
        out_refund_no=request.get("out_refund_no"),
        currency=order.currency,
        amount=request.amount,
        created_ms=gateway.clock.time_ms(),
    )
    gateway.ledger.add_refund(made)
    return {
        "refund_no": made.refund_no,
        "currency": made.currency,
        "amount": made.amount,
        "refund_time": wire_time(made.created_ms),
    }


def query_refund(gateway: GatewayState, request: ValidRequest) -> dict[str, Any]:
    """CN 3.11."""
    found = gateway.ledger.refunds.get(request.get("refund_no"))
    if found is None:
        raise ErrorReply(ErrorCode.REFUND_NO_ERROR, sentence("there is no such refund"))
    if found.m_number != request.merchant.m_number:
        raise ErrorReply(ErrorCode.PERMISSION_ERROR, sentence("the refund is another merchant's"))
    return {
        "result_code": found.status,
        "out_refund_no": found.out_refund_no,
        "currency": found.currency,
        "amount": found.amount,
        "refund_time": wire_time(found.created_ms),
        "success_time": wire_time(found.closed_ms),
    }


def get_user_info(gateway: GatewayState, request: ValidRequest) -> dict[str, Any]:
    """EN 2.9: no ``return_code`` on success."""
    if not request.merchant.owns_page(request.get("redirect_uri")):
        raise invalid(sentence("redirect_uri does not lie under the URL of the merchant's WESTORE"))
    return dict(gateway.wechat_user)


HANDLERS: Final[Mapping[str, Handler]] = {
    "GetExchangeRate": get_exchange_rate,
    "MakeQROrder": make_qr_order,
    "MakeJSAPIOrder": make_jsapi_order,
    "MakeScanOrder": make_scan_order,
    "MakeOnlineOrder": make_online_order,
    "MakeAPPOrder": make_app_order,
    "MakeAppletOrder": make_applet_order,
    "QueryOrder": query_order,
    "Refund": refund,
    "QueryRefund": query_refund,
    "GetUserInfo": get_user_info,
}
"""The function of each endpoint."""


def page_url(base_url: str, page: str, order: Order) -> str:
    """The address of one of an order's pages; ``base_url`` has the host that the caller used."""
    return f"{base_url}/pay/{page}?paycode={order.order_no}"


def _new_order(
    gateway: GatewayState,
    request: ValidRequest,
    *,
    behaviour: CodeBehaviour | None = None,
    platform: str = "",
    return_to: str = "",
) -> Order:
    """Make the order. Raises :class:`ErrorReply` for a wrong store or amount."""
    store = request.get("o_number")
    if store and not request.merchant.has_store(store):
        raise ErrorReply(ErrorCode.BRANCH_INVALID, sentence("there is no store {}", printable(store, 64)))
    platform = request.get("platform", platform)
    pay_currency = Currency.AUD if platform == Platform.POLI else Currency.CNY
    rate = gateway.terms.known_rate(request.get("currency"), pay_currency)
    order = Order(
        order_no=gateway.number("TR"),
        m_number=request.merchant.m_number,
        endpoint=request.endpoint.name,
        out_order_no=request.get("out_order_no"),
        order_name=request.get("order_name"),
        currency=request.get("currency"),
        amount=request.amount,
        platform=platform,
        pay_currency=pay_currency,
        pay_amount=convert(request.amount, rate),
        rate=rate,
        aud_rate=gateway.terms.known_rate(request.get("currency"), Currency.AUD),
        created_ms=gateway.clock.time_ms(),
        created_s=gateway.clock.monotonic(),
        language=request.get("language"),
        notify_url=request.get("notify_url").strip(),
        return_to=return_to.strip(),
        status=(behaviour and behaviour.status) or OrderStatus.READY,
        delayed=behaviour.delayed if behaviour else None,
    )
    _check_limits(gateway, request, order)
    gateway.ledger.add_order(order)
    return order


def _check_limits(gateway: GatewayState, request: ValidRequest, order: Order) -> None:
    if gateway.terms.smallest <= order.pay_amount <= gateway.terms.largest:
        return
    amount = f"{order.pay_amount} {order.pay_currency}"
    detail = sentence("amount comes to {} in minor units, outside the platform's limits", amount)
    # The tables of online, app and applet orders have no code for this.
    raise ErrorReply(_listed(request, ErrorCode.AMOUNT_INVALID), detail)


def _check_till(request: ValidRequest) -> None:
    till = request.get("pos_no")
    if till and not request.merchant.has_till(till):
        # The table of JSAPI orders has no code for this.
        code = _listed(request, ErrorCode.POS_NOT_REGISTERED)
        raise ErrorReply(code, sentence("there is no till {}", printable(till, 64)))


def _listed(request: ValidRequest, code: ErrorCode) -> ErrorCode:
    """``code``, or PARAMETER_INVALID if the endpoint's table does not list it."""
    return code if code in request.endpoint.error_codes else ErrorCode.PARAMETER_INVALID


def _token(order: Order) -> str:
    return hashlib.sha256(order.order_no.encode()).hexdigest()[:32]
