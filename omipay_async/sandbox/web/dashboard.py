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
from omipay_async.sandbox.clock import wire_time
from omipay_async.sandbox.faults import Fault
from omipay_async.sandbox.lifecycle import ORDER_LIFE, REFUND_LIFE, IllegalMove
from omipay_async.sandbox.payment_codes import PaymentCode

from . import html
from .translations import speaker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from omipay_async.sandbox.ledger import Call, Delivery, Order, Refund
    from omipay_async.sandbox.sandbox import Sandbox

    from .app import Visit
    from .translations import Say

_SHOWN: Final = 50
"""How many of each kind are shown, newest first."""

_DEEDS: Final[Mapping[str, str]] = MappingProxyType(
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


async def respond(sandbox: Sandbox, where: Visit) -> Response | None:
    """The dashboard, if this is its path; None if not."""
    if where.path not in {"", "/"}:
        return None
    if where.request.method == "POST":
        return await _press(sandbox, where)
    language = _language(where)
    say = speaker(language)
    return html.page(say("Omipay sandbox"), _body(sandbox, where, say), language)


def _language(where: Visit) -> Language:
    wanted = where.request.query_params.get("lang") or where.request.headers.get("accept-language", "")
    return Language.CHS if wanted.lower().startswith("zh") else Language.EN


async def _press(sandbox: Sandbox, where: Visit) -> Response:
    if html.is_from_elsewhere(where.request):
        return PlainTextResponse("this button was pressed from another site", 403)
    form = {name: values[0] for name, values in parse_qs((await where.request.body()).decode(errors="replace")).items()}
    try:
        await _do(sandbox, form)
    except (KeyError, ValueError) as error:
        # A number, a status or a fault that is none. What was only too late is no error: the page is shown anew.
        if not isinstance(error, IllegalMove):
            return PlainTextResponse("there is no such order, refund, status or fault", 400)
    return RedirectResponse(where.request.url, 303)


async def _do(sandbox: Sandbox, form: Mapping[str, str]) -> None:
    if "order_no" in form:
        await sandbox.move_order(form["order_no"], form["to"])
    elif "refund_no" in form:
        await sandbox.advance_refund(form["refund_no"], form["to"])
    elif "fault" in form:
        sandbox.faults.add(Fault(form["fault"]), endpoint=form.get("endpoint"), times=1)
    else:
        sandbox.faults.clear()


# -- the page -------------------------------------------------------------------------------------------------------


def _body(sandbox: Sandbox, where: Visit, say: Say) -> str:
    ledger = sandbox.ledger
    totals = " · ".join(
        f"{say('paid')} {html.money(ledger.paid_total(currency), currency)}, "
        f"{say('refunded')} {html.money(ledger.refunded_total(currency), currency)}"
        for currency in ("AUD", "CNY")
    )
    live = (
        f"<p>{totals}</p>"
        + _section(say, "Orders", ("Order", "Shop order", "Goods", "Amount", "Status", "Next"), _orders(sandbox, say))
        + _section(say, "Refunds", ("Refund", "Order", "Amount", "Status", "Next"), _refunds(sandbox))
        + _section(
            say, "Calls", ("Time", "Endpoint", "Answer", "Remarks"), map(_call, ledger.calls[: -_SHOWN - 1 : -1])
        )
        + _section(
            say,
            "Notifications",
            ("Time", "Order", "Address", "Try", "Answer"),
            map(_delivery, ledger.deliveries[: -_SHOWN - 1 : -1]),
        )
    )
    rest = _faults(sandbox, say) + _codes(say)
    return f'{_header(sandbox, where, say)}<main><div id="live">{live}</div>{rest}</main>{_SCRIPT}'


def _header(sandbox: Sandbox, where: Visit, say: Say) -> str:
    return (
        f"<header><h1>{say('Omipay sandbox')}</h1><span>{say('Merchant')} {escape(sandbox.merchant.m_number)}</span>"
        f"<span>{say('Gateway')} <code>{escape(where.base_url)}</code></span>"
        f'<span><a href="?lang=en">EN</a> <a href="?lang=zh">中文</a></span></header>'
        f"<small>{say('No real money moves here.')}</small>"
    )


def _section(say: Say, title: str, heads: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    return f"<h2>{say(title)}</h2>{html.table(map(say, heads), rows, say('None yet.'))}"


def _orders(sandbox: Sandbox, say: Say) -> Iterator[tuple[str, ...]]:
    for order in list(sandbox.ledger.orders.values())[: -_SHOWN - 1 : -1]:
        yield _order(order, say)


def _order(order: Order, say: Say) -> tuple[str, ...]:
    return (
        escape(order.order_no),
        escape(order.out_order_no),
        escape(order.order_name),
        html.money(order.amount, order.currency),
        escape(order.status),
        _buttons("order_no", order.order_no, {step: say(_DEEDS[step]) for step in ORDER_LIFE[order.status]}),
    )


def _refunds(sandbox: Sandbox) -> Iterator[tuple[str, ...]]:
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


def _faults(sandbox: Sandbox, say: Say) -> str:
    faults = "".join(f"<option>{fault}</option>" for fault in Fault)
    endpoints = "".join(f"<option>{name}</option>" for name in ENDPOINTS)
    pending = "".join(
        f"<li>{rule.fault} {escape(rule.endpoint or say('Any endpoint'))}: {rule.hits}/{rule.times or '∞'}</li>"
        for rule in sandbox.faults.rules
    )
    return (
        f"<h2>{say('Faults')}</h2><ul>{pending}</ul><form method='post'><label>{say('Let the next call fail')} "
        f'<select name="fault">{faults}</select></label> <select name="endpoint"><option value="">{say("Any endpoint")}'
        f'</option>{endpoints}</select> <button id="fault">{say("Add")}</button></form>'
        f"<form method='post'><button id='clear'>{say('Clear')}</button></form>"
    )


def _codes(say: Say) -> str:
    rows = ((f"<code>{code}</code>", escape(code.name)) for code in PaymentCode)
    table = html.table(("qrcode", "PaymentCode"), rows, "")
    return f"<h2>{say('Payment codes')}</h2>{table}<small>{say('Any other code is paid at once.')}</small>"
