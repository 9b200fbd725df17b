"""What the gateway does when it is asked rightly: one function for each endpoint, from request to reply. No I/O.

A function returns the fields of a success, or raises :class:`Refusal`. What it does to the ledger is done when it
returns or raises: nothing here waits, so nothing can be half done.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from omipay_async.codes import Currency, ErrorCode, OrderStatus, Platform

from .clock import wire_time
from .errors import Refusal
from .ledger import Order, Refund
from .payment_codes import ANY_OTHER, CARDS, Card
from .rates import convert, is_below_a_cent, wire_rate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .gateway import Gateway
    from .validation import Asked

    Act = Callable[[Gateway, Asked], dict[str, Any]]


def get_exchange_rate(gateway: Gateway, asked: Asked) -> dict[str, Any]:
    """CN 3.1."""
    rate = gateway.terms.rate(asked.get("currency"), asked.get("base_currency"))
    if rate is None:
        raise Refusal(ErrorCode.CURRENCY_ERROR, "there is no rate for this pair")
    return {"rate": rate, "platform": asked.get("platform", Platform.WECHATPAY)}


def make_qr_order(gateway: Gateway, asked: Asked) -> dict[str, Any]:
    """CN 3.2."""
    if not asked.merchant.web_store:
        raise Refusal(ErrorCode.WEBSTORE_NOT_EXISTS, "the merchant has no web store")
    order = _new_order(gateway, asked)
    return {
        "order_no": order.order_no,
        "qrcode": page_url(asked, "wallet", order),
        "pay_url": page_url(asked, "qrpay", order),
    }


def make_jsapi_order(gateway: Gateway, asked: Asked) -> dict[str, Any]:
    """CN 3.3."""
    if not asked.merchant.wechat_store:
        raise Refusal(ErrorCode.WECHAT_STORE_NOT_EXISTS, "the merchant has no WeChat store")
    _check_till(asked)
    order = _new_order(gateway, asked, return_to=asked.get("redirect_url"))
    reply = {"order_no": order.order_no, "pay_url": page_url(asked, "jsapi", order)}
    if asked.get("show_pc_pay_url") == "1":
        reply["pc_pay_url"] = page_url(asked, "pcpay", order)
    return reply


def make_scan_order(gateway: Gateway, asked: Asked) -> dict[str, Any]:
    """CN 3.4. SUCCESS means paid.

    A repeated ``out_order_no`` finds the old order where the gateway is set to (``repeat_finds_order``); else the
    customer is charged again. No document says which, so a till must be right with either.
    """
    _check_till(asked)
    if gateway.repeat_finds_order:
        earlier = gateway.ledger.orders_of(asked.get("out_order_no"), asked.merchant.m_number)
        if earlier:
            raise _found(earlier[-1])
    card = CARDS.get(asked.get("qrcode"), ANY_OTHER)
    if card.status is None:
        raise Refusal(card.answer or ErrorCode.SYSTEM_ERROR)
    return _scan_answer(_new_order(gateway, asked, card=card), card)


def _scan_answer(order: Order, card: Card) -> dict[str, Any]:
    if card.answer is ErrorCode.USERPAYING:
        raise Refusal(card.answer, order_no=order.order_no)
    if card.answer is not None:
        raise Refusal(card.answer)
    return {"order_no": order.order_no, "out_order_no": order.out_order_no, "order_time": wire_time(order.paid_ms)}


def _found(order: Order) -> Refusal:
    detail = f"out_order_no was used before, by {order.order_no}"
    if order.status.is_paid:
        return Refusal(ErrorCode.ORDER_PAID, detail)
    if order.status.is_failed:
        return Refusal(ErrorCode.ORDER_CLOSED, detail)
    return Refusal(ErrorCode.USERPAYING, detail, order_no=order.order_no)


def make_online_order(gateway: Gateway, asked: Asked) -> dict[str, Any]:
    """CN 3.5."""
    order = _new_order(gateway, asked, platform=Platform.ALIPAYONLINE, return_to=asked.get("return_url"))
    return {"order_no": order.order_no, "pay_url": page_url(asked, "online", order)}


def make_app_order(gateway: Gateway, asked: Asked) -> dict[str, Any]:
    """CN 3.6. ``order_string`` is a string, or for WeChat a JSON value."""
    if asked.get("platform") == Platform.WECHATPAY and not asked.get("app_id"):
        raise Refusal(ErrorCode.PARAMETER_INVALID, "app_id is missing, which WECHATPAY needs")
    order = _new_order(gateway, asked)
    return {"order_no": order.order_no, "order_string": _order_string(gateway, asked, order)}


def _order_string(gateway: Gateway, asked: Asked, order: Order) -> object:
    if order.platform == Platform.POLI:
        return page_url(asked, "online", order)
    if order.platform == Platform.ALIPAYONLINE:
        return f"out_trade_no={order.order_no}&total_fee={order.amount}&sign={_token(order)}&sign_type=MD5"
    return {
        "appid": asked.get("app_id"),
        "partnerid": "1900000109",
        "prepayid": f"wx{_token(order)}",
        "package": "Sign=WXPay",
        "noncestr": gateway.nonce(),
        "timestamp": str(order.created_ms // 1000),
        "sign": _token(order).upper(),
    }


def make_applet_order(gateway: Gateway, asked: Asked) -> dict[str, Any]:
    """CN 3.7."""
    order = _new_order(gateway, asked)
    return {
        "order_no": order.order_no,
        "timeStamp": str(order.created_ms // 1000),
        "nonceStr": gateway.nonce(),
        "Package": f"prepay_id=wx{_token(order)}",
        "signType": "MD5",
        "paySign": _token(order).upper(),
    }


def query_order(gateway: Gateway, asked: Asked) -> dict[str, Any]:
    """CN 3.8. An unknown order has no code of its own, so it is PERMISSION_ERROR too."""
    order = gateway.ledger.orders.get(asked.get("order_no"))
    if order is None or order.m_number != asked.merchant.m_number:
        detail = "there is no such order" if order is None else "the order is another merchant's"
        raise Refusal(ErrorCode.PERMISSION_ERROR, detail)
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


def refund(gateway: Gateway, asked: Asked) -> dict[str, Any]:
    """CN 3.10. A repeated ``out_refund_no`` is a further refund: no document says otherwise."""
    order = gateway.ledger.orders.get(asked.get("order_no"))
    if order is None:
        raise Refusal(ErrorCode.ORDER_NO_ERROR, "there is no such order")
    if order.m_number != asked.merchant.m_number:
        raise Refusal(ErrorCode.PERMISSION_ERROR, "the order is another merchant's")
    if not order.is_paid:
        raise Refusal(ErrorCode.ORDER_NOT_PAID, f"the order is {order.status}")
    left = gateway.ledger.left_to_refund(order.order_no)
    if asked.amount > left:
        raise Refusal(ErrorCode.AMOUNT_OVER_LIMIT, f"{left} is left to refund")
    if is_below_a_cent(asked.amount, gateway.terms.known_rate(order.currency, Currency.AUD)):
        raise Refusal(ErrorCode.PARAMETER_INVALID, "amount comes to less than A$0.01")
    made = Refund(
        gateway.number("RF"),
        order.m_number,
        order.order_no,
        asked.get("out_refund_no"),
        order.currency,
        asked.amount,
        gateway.clock.time_ms(),
    )
    gateway.ledger.add_refund(made)
    return {
        "refund_no": made.refund_no,
        "currency": made.currency,
        "amount": made.amount,
        "refund_time": wire_time(made.created_ms),
    }


def query_refund(gateway: Gateway, asked: Asked) -> dict[str, Any]:
    """CN 3.11."""
    found = gateway.ledger.refunds.get(asked.get("refund_no"))
    if found is None:
        raise Refusal(ErrorCode.REFUND_NO_ERROR, "there is no such refund")
    if found.m_number != asked.merchant.m_number:
        raise Refusal(ErrorCode.PERMISSION_ERROR, "the refund is another merchant's")
    return {
        "result_code": found.status,
        "out_refund_no": found.out_refund_no,
        "currency": found.currency,
        "amount": found.amount,
        "refund_time": wire_time(found.created_ms),
        "success_time": wire_time(found.closed_ms),
    }


def get_user_info(gateway: Gateway, asked: Asked) -> dict[str, Any]:
    """EN 2.9: no ``return_code`` on success."""
    if not asked.merchant.owns_page(asked.get("redirect_uri")):
        raise Refusal(ErrorCode.PARAMETER_INVALID, "redirect_uri does not lie under the URL of the merchant's WESTORE")
    return dict(gateway.wechat_user)


ACTS: Final[Mapping[str, Act]] = {
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
"""Endpoint name to what it does."""


def page_url(asked: Asked, page: str, order: Order) -> str:
    """The address of one of an order's pages, on the host that the caller used."""
    return f"{asked.base_url}/pay/{page}?paycode={order.order_no}"


def _new_order(
    gateway: Gateway, asked: Asked, *, card: Card | None = None, platform: str = "", return_to: str = ""
) -> Order:
    """Make the order, or refuse it for its store or its amount."""
    store = asked.get("o_number")
    if store and not asked.merchant.has_store(store):
        raise Refusal(ErrorCode.BRANCH_INVALID, f"there is no store {store}")
    platform = asked.get("platform", platform)
    pay_currency = Currency.AUD if platform == Platform.POLI else Currency.CNY
    rate = gateway.terms.known_rate(asked.get("currency"), pay_currency)
    order = Order(
        gateway.number("TR"),
        asked.merchant.m_number,
        asked.endpoint.name,
        asked.get("out_order_no"),
        asked.get("order_name"),
        asked.get("currency"),
        asked.amount,
        platform,
        pay_currency,
        convert(asked.amount, rate),
        rate,
        gateway.clock.time_ms(),
        gateway.clock.monotonic(),
        language=asked.language,
        notify_url=asked.get("notify_url").strip(),
        return_to=return_to.strip(),
        status=(card and card.status) or OrderStatus.READY,
        plan=card.plan if card else None,
    )
    _check_limits(gateway, asked, order)
    gateway.ledger.add_order(order)
    return order


def _check_limits(gateway: Gateway, asked: Asked, order: Order) -> None:
    if gateway.terms.smallest <= order.pay_amount <= gateway.terms.largest:
        return
    # Online, app and applet orders list no code of their own for this.
    listed = ErrorCode.AMOUNT_INVALID in asked.endpoint.error_codes
    code = ErrorCode.AMOUNT_INVALID if listed else ErrorCode.PARAMETER_INVALID
    raise Refusal(code, f"amount comes to {order.pay_amount}, outside what the platform takes in one payment")


def _check_till(asked: Asked) -> None:
    till = asked.get("pos_no")
    if till and not asked.merchant.has_till(till):
        # JSAPI orders list no code of their own for this.
        listed = ErrorCode.POS_NOT_REGISTERED in asked.endpoint.error_codes
        code = ErrorCode.POS_NOT_REGISTERED if listed else ErrorCode.PARAMETER_INVALID
        raise Refusal(code, f"there is no till {till}")


def _token(order: Order) -> str:
    return hashlib.sha256(order.order_no.encode()).hexdigest()[:32]
