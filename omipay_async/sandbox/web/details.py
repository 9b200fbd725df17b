"""One call, and the life of one order, each on a page of its own."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any

from omipay_async.sandbox.clock import shown_time

from . import html, lists
from .snippets import as_python

if TYPE_CHECKING:
    from collections.abc import Mapping

    from omipay_async.sandbox.core import SandboxCore
    from omipay_async.sandbox.ledger import Call, Delivery, Order

    from .lists import View


def call(sandbox: SandboxCore, number: str, view: View) -> str | None:
    """The page of a call; None if there is none of this number."""
    found = next((each for each in sandbox.ledger.calls if str(each.number) == number), None)
    if found is None:
        return None
    translate = view.translate
    remarks = "".join(f"<li>{escape(text)}</li>" for text in (*found.remarks, *found.faults))
    wrong = f"<h2>{translate('Remarks')}</h2><ul>{remarks}</ul>" if remarks else ""
    order = lists.order_link(found.order_no or found.fields.get("order_no", ""), view)
    return (
        f"<h1>{escape(found.endpoint)}</h1><p>{shown_time(found.at_ms)} · {escape(found.method)} · "
        f'<span class="{"FAIL" if found.error_code else ""}">{escape(found.error_code or "SUCCESS")}</span> {order}</p>'
        f"{wrong}<h2>{translate('Parameters')}</h2>{_json(found.fields)}"
        f"<h2>{translate('Reply')}</h2>{_json(found.reply)}{_snippet(found, view)}"
    )


def _snippet(found: Call, view: View) -> str:
    code = as_python(found)
    if not code:
        return ""
    return (
        f"<h2>{view.translate('As Python')}</h2><pre id='python' tabindex='0'>{escape(code)}</pre>"
        f"<button type='button' id='copy'>{view.translate('Copy')}</button>"
    )


def _json(fields: Mapping[str, Any]) -> str:
    return f"<pre tabindex='0'>{escape(json.dumps(dict(fields), indent=2, default=str))}</pre>"


def order(sandbox: SandboxCore, order_no: str, base_url: str, view: View) -> str | None:
    """The page of an order; None if there is none of this number."""
    found = sandbox.ledger.orders.get(order_no)
    if found is None:
        return None
    translate = view.translate
    ledger = sandbox.ledger
    refunds = [lists.refund_row(refund, view) for refund in ledger.refunds_of(order_no)]
    calls = [lists.call_row(each, view) for each in lists.calls_of(sandbox, found)]
    deliveries = "".join(_delivery(each) for each in ledger.deliveries if each.order_no == order_no)
    none = f"<p><small>{translate('None yet.')}</small></p>"
    return (
        f"<h1>{escape(found.order_name)}</h1>{_facts(found, view)}{_way_to_pay(found, base_url, view)}"
        f"<h2>{translate('Notifications')}</h2>{deliveries or none}{_test_buttons(found, view)}"
        f"<h2>{translate('Refunds')}</h2>"
        f"{html.table(map(translate, lists.REFUND_HEADS), refunds, translate('None yet.'))}"
        f"<h2>{translate('Calls')}</h2>{html.table(map(translate, lists.CALL_HEADS), calls, translate('None yet.'))}"
    )


def _facts(found: Order, view: View) -> str:
    translate = view.translate
    untold = f'<span class="FAIL">{translate("No notify_url: nobody is told.")}</span>'
    facts = {
        "Order": escape(found.order_no),
        "Shop order": escape(found.out_order_no),
        "Amount": html.money(found.amount, found.currency),
        "Status": escape(found.status),
        "Made": shown_time(found.created_ms),
        "Paid": "" if found.paid_ms is None else shown_time(found.paid_ms),
        "Address": escape(found.notify_url) or untold,
        "Next": lists.order_row(found, view)[-1],
    }
    return "<dl>" + "".join(f"<dt>{translate(name)}</dt><dd>{value}</dd>" for name, value in facts.items()) + "</dl>"


def _way_to_pay(found: Order, base_url: str, view: View) -> str:
    if found.status.is_final or found.is_paid:
        return ""
    url = f"{base_url}/pay/wallet?paycode={found.order_no}"
    link = f'<a id="payment-page" href="{escape(url)}">{view.translate("Pay page")}</a>'
    return f"<p>{link}</p>{html.qr(url)}"


def _delivery(delivery: Delivery) -> str:
    tone = "" if delivery.accepted else "FAIL"
    answer = f"<span class='{tone}'>{escape(delivery.answer)}</span>"
    head = f"{shown_time(delivery.at_ms)} · {delivery.number or '–'} · {answer}"
    received = f"<pre tabindex='0'>{escape(delivery.answer_body)}</pre>"
    return f"<details><summary>{head}</summary>{_json(delivery.body)}{received}</details>"


def _test_buttons(found: Order, view: View) -> str:
    if not found.notify_url or not found.is_paid:
        return ""
    labels = {kind: view.translate(text) for kind, text in NOTIFY_BUTTONS.items()}
    return html.buttons("order_no", found.order_no, "notify", labels.items())


NOTIFY_BUTTONS = {"forge": "Forge one", "duplicate": "Send it again", "delay": "Send it again in 10 s"}
"""What can be sent to a shop, to see what it does."""
