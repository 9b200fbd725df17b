"""What a customer's browser sees: the pay pages that ``pay_url``, ``pc_pay_url`` and ``qrcode`` lead to.

The page of a QR order and ``pc_pay_url`` want to be signed, and to be told a ``redirect_url`` (CN 3.2, 3.3); the others
take the browser back to where the order says.
"""

from __future__ import annotations

from html import escape
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from omipay_async.codes import ErrorCode, Language, OrderStatus
from omipay_async.sandbox.auth import WINDOW_MS, authenticate
from omipay_async.sandbox.errors import Refusal, message
from omipay_async.sandbox.notifier import absolute
from omipay_async.sandbox.validation import parse_query

from . import html
from .translations import speaker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from omipay_async.sandbox.ledger import Order
    from omipay_async.sandbox.sandbox import Sandbox

    from .app import Visit
    from .translations import Say

_NEEDS_SIGNATURE: Final = MappingProxyType(
    {"qrpay": True, "pcpay": True, "jsapi": False, "online": False, "wallet": False}
)
"""Each pay page, below ``/pay/``. ``wallet`` is where an order's ``qrcode`` leads a phone."""

_BUTTONS: Final[Mapping[str, OrderStatus]] = MappingProxyType({"pay": OrderStatus.PAID, "decline": OrderStatus.FAILED})

# Somebody may have paid or declined on a phone: the page of a final order leads on, or says what became of it.
_SCRIPT: Final = """<script>
const page = document.querySelector("main");
const timer = setInterval(async () => {
  const state = await (await fetch(page.dataset.state)).json();
  if (!state.is_final) return;
  clearInterval(timer);  // or a shop that takes longer than this to answer is asked anew each time
  location.reload();
}, 2000);
</script>"""


async def respond(sandbox: Sandbox, where: Visit) -> Response | None:
    """The pay page at this path; None if there is none."""
    name = where.path.removeprefix("/pay/")
    if not where.is_api or (name != "state" and name not in _NEEDS_SIGNATURE):
        return None
    fields = _fields(where)
    order = sandbox.ledger.orders.get(fields.get("paycode", ""))
    if order is None:
        language = fields.get("language", Language.CHS)
        return html.problem(language, speaker(language)("There is no such order."), status=404)
    if name == "state":
        return JSONResponse({"is_final": order.status.is_final, "is_paid": order.is_paid})
    try:
        target = _target(sandbox, where, order, fields, signed=_NEEDS_SIGNATURE[name])
    except Refusal as refusal:
        reason = f"{refusal.code}: {message(refusal.code, order.language)} ({refusal.detail})"
        return html.problem(order.language, reason, status=400)
    return await _press(sandbox, where, order) if where.request.method == "POST" else _show(where, order, target)


def _show(where: Visit, order: Order, target: str) -> Response:
    if order.is_paid and target:
        return RedirectResponse(target, 303)
    say = speaker(order.language)
    return html.page(say("Omipay sandbox"), _body(where, order, say), order.language)


def _fields(where: Visit) -> dict[str, str]:
    try:
        return parse_query(where.request.scope["query_string"])
    except Refusal:
        return {}


def _target(sandbox: Sandbox, where: Visit, order: Order, fields: Mapping[str, str], *, signed: bool) -> str:
    """Where the browser goes after payment; empty: nowhere. Raises :class:`Refusal` for what is not rightly signed."""
    if not signed:
        return absolute(order.return_to) if order.return_to else ""
    # A button may be pressed later than a page may be opened, and what it did has to be shown then.
    window_ms = None if where.request.method == "POST" or order.status.is_final else WINDOW_MS
    merchants = sandbox.gateway.merchants
    merchant = authenticate(fields, merchants, sandbox.clock.time_ms(), window_ms=window_ms)
    if merchant.m_number != order.m_number:
        raise Refusal(ErrorCode.PERMISSION_ERROR, "the order is another merchant's")
    if not fields.get("redirect_url", "").strip():
        raise Refusal(ErrorCode.PARAMETER_INVALID, "redirect_url is missing")
    return absolute(fields["redirect_url"])


async def _press(sandbox: Sandbox, where: Visit, order: Order) -> Response:
    """A button was pressed: do it, and let the browser open this page anew, which leads on if the order is paid."""
    if html.is_from_elsewhere(where.request):
        return PlainTextResponse("this button was pressed from another site", 403)
    pressed = parse_qs((await where.request.body()).decode(errors="replace")).get("do", [""])[0]
    status = _BUTTONS.get(pressed)
    if status is None:
        return PlainTextResponse("do is neither pay nor decline", 400)
    if not order.status.is_final:
        sandbox.ledger.move_order(order, status)
    return RedirectResponse(where.request.url, 303)


def _body(where: Visit, order: Order, say: Say) -> str:
    state = f"{where.base_url}/pay/state?paycode={order.order_no}"
    return (
        f'<main class="card" data-state="{escape(state)}">'
        f"<h1>{escape(order.order_name)}</h1>"
        f'<p class="amount" id="amount">{html.money(order.amount, order.currency)}</p>'
        f"{_middle(where, order, say)}<dl>"
        f"<dt>{say('You pay')}</dt><dd>{html.money(order.pay_amount, order.pay_currency)}</dd>"
        f"<dt>{say('Order')}</dt><dd>{escape(order.order_no)}</dd>"
        f"<dt>{say('Shop order')}</dt><dd>{escape(order.out_order_no)}</dd></dl>"
        f"<small>{say('Omipay sandbox')}: {say('No real money moves here.')}</small></main>"
    )


def _middle(where: Visit, order: Order, say: Say) -> str:
    if order.is_paid:
        return f'<p id="paid">{say("This order is paid.")}</p>'
    if order.status.is_failed:
        return f'<p id="failed" class="FAIL">{say("This order was not paid.")}</p>'
    code = html.qr(f"{where.base_url}/pay/wallet?paycode={order.order_no}")
    return (
        f"<p>{say('Scan to pay')}</p>{code}"
        f'<form method="post"><button id="pay" name="do" value="pay">{say("Pay")}</button>'
        f'<button id="decline" name="do" value="decline">{say("Decline")}</button></form>{_SCRIPT}'
    )
