"""What a customer's browser sees: the pay pages that ``pay_url``, ``pc_pay_url`` and ``qrcode`` lead to.

The addresses of a QR order's page and of ``pc_pay_url`` must be signed and have a ``redirect_url`` (CN 3.2, 3.3). The
other pages lead the browser back to the address that their order has.
"""

from __future__ import annotations

from html import escape
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from omipay_async.codes import ErrorCode, Language, OrderStatus
from omipay_async.language import language_of_environment, sentence
from omipay_async.sandbox.access import read_form
from omipay_async.sandbox.auth import authenticate
from omipay_async.sandbox.errors import ErrorReply, invalid
from omipay_async.sandbox.handlers import page_url
from omipay_async.sandbox.validation import absolute, parse_query

from . import html
from .translations import translator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from omipay_async.sandbox.core import SandboxCore
    from omipay_async.sandbox.ledger import Order

    from .routing import RoutedRequest
    from .translations import Translate

_NEEDS_SIGNATURE: Final = MappingProxyType(
    {"qrpay": True, "pcpay": True, "jsapi": False, "online": False, "wallet": False}
)
"""Each pay page, below ``/pay/``. ``wallet`` is where an order's ``qrcode`` leads a phone."""

_BUTTONS: Final[Mapping[str, OrderStatus]] = MappingProxyType({"pay": OrderStatus.PAID, "decline": OrderStatus.FAILED})

_SCRIPT: Final = html.script("pay_page.js")


async def respond(sandbox: SandboxCore, routed: RoutedRequest) -> Response | None:
    """The pay page at this path; None if there is none."""
    name = routed.path.removeprefix("/pay/")
    if not routed.is_api or (name != "state" and name not in _NEEDS_SIGNATURE):
        return None
    fields = _fields(routed)
    order = sandbox.ledger.orders.get(fields.get("paycode", ""))
    language = _language(fields, order)
    if order is None:
        return html.problem(language, translator(language)("There is no such order."), status=404)
    if name == "state":
        return JSONResponse({"is_final": order.status.is_final, "is_paid": order.is_paid})
    try:
        target = _target(sandbox, routed, order, fields, signed=_NEEDS_SIGNATURE[name])
    except ErrorReply as error_reply:
        reason = translator(language)("{}: {}").format(error_reply.code, error_reply.explained(language))
        return html.problem(language, reason, status=400)
    if routed.request.method == "POST":
        return await _press(sandbox, routed, order)
    return _show(routed, order, target, language)


def _language(fields: Mapping[str, str], order: Order | None) -> str:
    """The visitor's own choice, else the order's, else that of ``OMIPAY_LANGUAGE``, else the gateway's default."""
    if "lang" in fields:
        return Language.CHS if fields["lang"] == "zh" else Language.EN
    asked = fields.get("language", "") if order is None else order.language
    return asked or language_of_environment() or Language.CHS


def _show(routed: RoutedRequest, order: Order, target: str, language: str) -> Response:
    if order.is_paid and target:
        return RedirectResponse(target, 303)
    translate = translator(language)
    return html.page(translate("Omipay sandbox"), _body(routed, order, language), language)


def _fields(routed: RoutedRequest) -> dict[str, str]:
    try:
        return parse_query(routed.request.scope["query_string"])
    except ErrorReply:
        return {}


def _target(
    sandbox: SandboxCore, routed: RoutedRequest, order: Order, fields: Mapping[str, str], *, signed: bool
) -> str:
    """Where the browser goes after payment; empty: nowhere. Raises :class:`ErrorReply` for a wrong signature."""
    if not signed:
        return absolute(order.return_to) if order.return_to else ""
    # A button may be pressed later than a page may be opened, and what it did has to be shown then.
    any_age = routed.request.method == "POST" or order.status.is_final
    merchant = authenticate(fields, sandbox.gateway.merchants, sandbox.clock.time_ms(), any_age=any_age)
    if merchant.m_number != order.m_number:
        raise ErrorReply(ErrorCode.PERMISSION_ERROR, sentence("the order is another merchant's"))
    if not fields.get("redirect_url", "").strip():
        raise invalid(sentence("redirect_url is missing"))
    return absolute(fields["redirect_url"])


async def _press(sandbox: SandboxCore, routed: RoutedRequest, order: Order) -> Response:
    """A button was pressed: do it, and let the browser open this page again, which leads on if the order is paid."""
    form = await read_form(routed.request)
    status = _BUTTONS.get(form.get("do", ""))
    if status is None:
        return PlainTextResponse("do is neither pay nor decline", 400)
    if not order.status.is_final:
        sandbox.ledger.move_order(order, status)
    return RedirectResponse(routed.request.url, 303)


def _body(routed: RoutedRequest, order: Order, language: str) -> str:
    translate = translator(language)
    state = page_url(routed.base_url, "state", order)
    return (
        f'<main class="card" data-state="{escape(state)}">'
        f"<h1>{html.text(order.order_name)}</h1>"
        f'<p class="amount" id="amount">{html.money(order.amount, order.currency)}</p>'
        f"{_middle(routed, order, translate)}<dl>"
        f"<dt>{translate('You pay')}</dt><dd>{html.money(order.pay_amount, order.pay_currency)}</dd>"
        f"<dt>{translate('Order')}</dt><dd>{escape(order.order_no)}</dd>"
        f"<dt>{translate('Shop order')}</dt><dd>{html.text(order.out_order_no)}</dd></dl>"
        f"<small>{translate('Omipay sandbox: no real money moves here.')}</small>"
        f"{html.languages(translate, lambda name: _in_language(routed, name), html.tag(language))}</main>"
    )


def _in_language(routed: RoutedRequest, name: str) -> str:
    """The address of this page in another language; the signature in it stays valid, since it covers no more."""
    return "?" + urlencode({**_fields(routed), "lang": name})


def _middle(routed: RoutedRequest, order: Order, translate: Translate) -> str:
    if order.is_paid:
        return f'<p id="paid" class="OK">{translate("This order is paid.")}</p>'
    if order.status.is_failed:
        return f'<p id="failed" class="FAIL">{translate("This order was not paid.")}</p>'
    code = html.qr(page_url(routed.base_url, "wallet", order))
    return (
        f'<p class="soft">{translate("Scan to pay")}</p>{code}'
        f'<form method="post"><button id="pay" name="do" value="pay">{translate("Pay")}</button>'
        f'<button id="decline" name="do" value="decline">{translate("Decline")}</button></form>{_SCRIPT}'
    )
