"""What the developer sees: orders and refunds live, with a button for each next step, and what was wrong with calls.

Its buttons need no login, so nobody's page but its own may press them.
"""

from __future__ import annotations

from html import escape
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from starlette.responses import PlainTextResponse, RedirectResponse, Response

from omipay_async.codes import Language, OrderStatus
from omipay_async.protocol.endpoints import ENDPOINTS
from omipay_async.sandbox.access import read_body
from omipay_async.sandbox.clock import wire_time
from omipay_async.sandbox.faults import Fault
from omipay_async.sandbox.lifecycle import ORDER_LIFE, REFUND_LIFE, IllegalMove
from omipay_async.sandbox.payment_codes import PaymentCode

from . import html
from .translations import translator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from omipay_async.sandbox.core import SandboxCore
    from omipay_async.sandbox.ledger import Call, Delivery, Order, Refund

    from .routing import RoutedRequest
    from .translations import Translate

_SHOWN: Final = 50
"""How many of each kind are shown, newest first."""

_ACTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        OrderStatus.PAYING: "Scan",
        OrderStatus.PAID: "Pay",
        OrderStatus.CANCELLED: "Cancel",
        OrderStatus.FAILED: "Decline",
        OrderStatus.SETTLED: "Settle",
    }
)
"""What has to be done for an order to come to a status."""

# Fetches the page anew and puts its live part in place, unless a button is being pressed, or was while it was fetched.
_SCRIPT: Final = """<script>
setInterval(async () => {
  const live = document.querySelector("#live");
  const isBusy = () => live.contains(document.activeElement) || live.matches(":active");
  if (isBusy()) return;
  const text = await (await fetch(location.href)).text();
  if (!isBusy()) live.replaceWith(new DOMParser().parseFromString(text, "text/html").querySelector("#live"));
}, 2000);
</script>"""


async def respond(sandbox: SandboxCore, routed: RoutedRequest) -> Response | None:
    """The dashboard, if this is its path; None if not."""
    if routed.path not in {"", "/"}:
        return None
    if routed.request.method == "POST":
        return await _press(sandbox, routed)
    language = _language(routed)
    translate = translator(language)
    return html.page(translate("Omipay sandbox"), _body(sandbox, routed, translate), language)


def _language(routed: RoutedRequest) -> Language:
    wanted = routed.request.query_params.get("lang") or routed.request.headers.get("accept-language", "")
    return Language.CHS if wanted.lower().startswith("zh") else Language.EN


async def _press(sandbox: SandboxCore, routed: RoutedRequest) -> Response:
    if html.is_from_elsewhere(routed.request):
        return PlainTextResponse("this button was pressed from another site", 403)
    form = {
        name: values[0] for name, values in parse_qs((await read_body(routed.request)).decode(errors="replace")).items()
    }
    try:
        await _do(sandbox, form)
    except (KeyError, ValueError) as error:
        # A number, a status or a fault that is none. What was only too late is no error: the page is shown anew.
        if not isinstance(error, IllegalMove):
            return PlainTextResponse("there is no such order, refund, status or fault", 400)
    return RedirectResponse(routed.request.url, 303)


async def _do(sandbox: SandboxCore, form: Mapping[str, str]) -> None:
    if "order_no" in form:
        await sandbox.move_order(form["order_no"], form["to"])
    elif "refund_no" in form:
        await sandbox.advance_refund(form["refund_no"], form["to"])
    elif "fault" in form:
        sandbox.faults.add(Fault(form["fault"]), endpoint=form.get("endpoint"), times=1)
    else:
        sandbox.faults.clear()


# -- the page -------------------------------------------------------------------------------------------------------


def _body(sandbox: SandboxCore, routed: RoutedRequest, translate: Translate) -> str:
    ledger = sandbox.ledger
    totals = " · ".join(
        f"{translate('paid')} {html.money(ledger.paid_total(currency), currency)}, "
        f"{translate('refunded')} {html.money(ledger.refunded_total(currency), currency)}"
        for currency in ("AUD", "CNY")
    )
    live = (
        f"<p>{totals}</p>"
        + _section(
            translate,
            "Orders",
            ("Order", "Shop order", "Goods", "Amount", "Status", "Next"),
            _orders(sandbox, translate),
        )
        + _section(translate, "Refunds", ("Refund", "Order", "Amount", "Status", "Next"), _refunds(sandbox))
        + _section(
            translate, "Calls", ("Time", "Endpoint", "Answer", "Remarks"), map(_call, ledger.calls[: -_SHOWN - 1 : -1])
        )
        + _section(
            translate,
            "Notifications",
            ("Time", "Order", "Address", "Try", "Answer"),
            map(_delivery, ledger.deliveries[: -_SHOWN - 1 : -1]),
        )
    )
    rest = _faults(sandbox, translate) + _codes(translate)
    return f'{_header(sandbox, routed, translate)}<main><div id="live">{live}</div>{rest}</main>{_SCRIPT}'


def _header(sandbox: SandboxCore, routed: RoutedRequest, translate: Translate) -> str:
    return (
        f"<header><h1>{translate('Omipay sandbox')}</h1>"
        f"<span>{translate('Merchant')} {escape(sandbox.merchant.m_number)}</span>"
        f"<span>{translate('Gateway')} <code>{escape(routed.base_url)}</code></span>"
        f'<span><a href="?lang=en">EN</a> <a href="?lang=zh">中文</a></span></header>'
        f"<small>{translate('No real money moves here.')}</small>"
    )


def _section(translate: Translate, title: str, heads: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    return f"<h2>{translate(title)}</h2>{html.table(map(translate, heads), rows, translate('None yet.'))}"


def _orders(sandbox: SandboxCore, translate: Translate) -> Iterator[tuple[str, ...]]:
    for order in list(sandbox.ledger.orders.values())[: -_SHOWN - 1 : -1]:
        yield _order(order, translate)


def _order(order: Order, translate: Translate) -> tuple[str, ...]:
    return (
        escape(order.order_no),
        escape(order.out_order_no),
        escape(order.order_name),
        html.money(order.amount, order.currency),
        escape(order.status),
        _buttons("order_no", order.order_no, {step: translate(_ACTIONS[step]) for step in ORDER_LIFE[order.status]}),
    )


def _refunds(sandbox: SandboxCore) -> Iterator[tuple[str, ...]]:
    for refund in list(sandbox.ledger.refunds.values())[: -_SHOWN - 1 : -1]:
        yield _refund(refund)


def _refund(refund: Refund) -> tuple[str, ...]:
    return (
        escape(refund.refund_no),
        escape(refund.order_no),
        html.money(refund.amount, refund.currency),
        escape(refund.status),
        _buttons("refund_no", refund.refund_no, {step: step for step in REFUND_LIFE[refund.status]}),
    )


def _buttons(name: str, number: str, labels: Mapping[str, str]) -> str:
    buttons = "".join(f'<button name="to" value="{step}">{label}</button>' for step, label in labels.items())
    hidden = f'<input type="hidden" name="{name}" value="{escape(number)}">'
    return f'<form method="post">{hidden}{buttons}</form>' if buttons else ""


def _time(time_ms: int) -> str:
    digits = wire_time(time_ms)
    return f"{digits[8:10]}:{digits[10:12]}:{digits[12:]}"


def _call(call: Call) -> tuple[str, ...]:
    answer = call.error_code or ("" if call.faults and not call.acted else "SUCCESS")
    remarks = [*call.remarks, *call.faults]
    tone = "FAIL" if call.error_code else ""
    return (
        _time(call.at_ms),
        escape(call.endpoint),
        f'<span class="{tone}">{escape(answer)}</span>',
        escape("; ".join(remarks)),
    )


def _delivery(delivery: Delivery) -> tuple[str, ...]:
    return (
        _time(delivery.at_ms),
        escape(delivery.order_no),
        escape(delivery.url),
        str(delivery.number),
        escape(delivery.answer),
    )


def _faults(sandbox: SandboxCore, translate: Translate) -> str:
    faults = "".join(f"<option>{fault}</option>" for fault in Fault)
    endpoints = "".join(f"<option>{name}</option>" for name in ENDPOINTS)
    pending = "".join(
        f"<li>{rule.fault} {escape(rule.endpoint or translate('Any endpoint'))}: {rule.hits}/{rule.times or '∞'}</li>"
        for rule in sandbox.faults.rules
    )
    return (
        f"<h2>{translate('Faults')}</h2><ul>{pending}</ul><form method='post'>"
        f"<label>{translate('Let the next call fail')} "
        f'<select name="fault">{faults}</select></label> <select name="endpoint">'
        f'<option value="">{translate("Any endpoint")}'
        f'</option>{endpoints}</select> <button id="fault">{translate("Add")}</button></form>'
        f"<form method='post'><button id='clear'>{translate('Clear')}</button></form>"
    )


def _codes(translate: Translate) -> str:
    rows = ((f"<code>{code}</code>", escape(code.name)) for code in PaymentCode)
    table = html.table(("qrcode", "PaymentCode"), rows, "")
    return f"<h2>{translate('Payment codes')}</h2>{table}<small>{translate('Any other code is paid at once.')}</small>"
