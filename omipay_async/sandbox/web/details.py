"""One call, and the life of one order, each on a page of its own."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any

from omipay_async.sandbox.handlers import page_url
from omipay_async.sandbox.times import shown_time

from . import html, lists
from .snippets import as_python

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from omipay_async.sandbox.ledger import Call, Delivery, Ledger, Order

    from .lists import View


def call(ledger: Ledger, number: str, view: View) -> str | None:
    """The page of a call; None if there is none of this number."""
    found = next((each for each in ledger.calls if str(each.number) == number), None)
    if found is None:
        return None
    translate = view.translate
    remarks = "".join(f"<li>{escape(text)}</li>" for text in (*map(view.remark, found.remarks), *found.faults))
    wrong = html.section(translate("Remarks"), f"<ul>{remarks}</ul>") if remarks else ""
    answer = html.toned(lists.answer_to(found), good=not found.error_code, bad=lists.is_refused(found))
    order = lists.order_link(found.order_no or found.fields.get("order_no", ""), view)
    return (
        f"<h1>{escape(found.endpoint)}</h1><p>{shown_time(found.at_ms)} · {escape(found.method)} · "
        f"{answer} {order}</p>"
        f"{wrong}{_snippet(found, view)}{html.section(translate('Parameters'), _json(found.fields))}"
        f"{html.section(translate('Reply'), _json(found.reply))}"
    )


def _snippet(found: Call, view: View) -> str:
    title = view.translate("As Python")
    program = escape(as_python(found, view.base_url))
    return html.section(
        title,
        f'<pre id="python" tabindex="0" role="region" aria-label="{title}">{program}</pre>'
        f'<button type="button" id="copy" data-done="{view.translate("Copied")}">{view.translate("Copy")}</button>',
    )


def _json(fields: Mapping[str, Any]) -> str:
    text = json.dumps(dict(fields), indent=2, default=str, ensure_ascii=False)
    return f"<pre tabindex='0'>{escape(text)}</pre>"


def order(ledger: Ledger, order_no: str, view: View) -> str | None:
    """The page of an order; None if there is none of this number."""
    found = ledger.orders.get(order_no)
    if found is None:
        return None
    translate = view.translate
    refunds = [lists.refund_row(refund, view) for refund in ledger.refunds_of(order_no)]
    calls = [lists.call_row(each, view) for each in _calls_of(ledger, found)]
    deliveries = "".join(_delivery(each, view) for each in ledger.deliveries if each.order_no == order_no)
    empty = translate("None yet.")
    none = f"<p><small>{empty}</small></p>"
    return (
        f"<section class='life'><div><h1>{html.text(found.order_name)}</h1>{_facts(found, view)}</div>"
        f"{_way_to_pay(found, view)}</section>"
        + html.section(translate("Notifications"), f"{deliveries or none}{_test_buttons(found, view)}")
        + html.section(translate("Refunds"), html.table(map(translate, lists.REFUNDS.heads), refunds, empty))
        + html.section(translate("Calls"), html.table(map(translate, lists.CALLS.heads), calls, empty))
    )


def _calls_of(ledger: Ledger, found: Order) -> Iterator[Call]:
    """The calls that name an order or one of its refunds, oldest first."""
    refunds = {refund.refund_no for refund in ledger.refunds_of(found.order_no)}
    for each in ledger.calls:
        is_named = found.order_no in {each.order_no, each.fields.get("order_no")}
        if is_named or each.fields.get("refund_no") in refunds:
            yield each


def _facts(found: Order, view: View) -> str:
    translate = view.translate
    no_url = f'<span class="FAIL">{translate("No notify_url: no notification is sent.")}</span>'
    facts = {
        "Order": escape(found.order_no),
        "Shop order": html.text(found.out_order_no),
        "Amount": html.money(found.amount, found.currency),
        "Status": html.toned(found.status, good=found.is_paid, bad=found.status.is_failed),
        "Made": shown_time(found.created_ms),
        "Paid": "" if found.paid_ms is None else shown_time(found.paid_ms),
        "Notify URL": html.text(found.notify_url, 2000) or no_url,
        "Next": lists.order_row(found, view)[-1],
    }
    return (
        "<dl>"
        + "".join(f"<dt>{translate(name)}</dt><dd>{value}</dd>" for name, value in facts.items() if value)
        + "</dl>"
    )


def _way_to_pay(found: Order, view: View) -> str:
    if found.status.is_final:
        return ""
    url = page_url(view.base_url, "wallet", found)
    link = f'<a id="payment-page" href="{escape(url)}">{view.translate("Pay page")}</a>'
    return f"<div>{html.qr(url)}<p>{link}</p></div>"


def _delivery(delivery: Delivery, view: View) -> str:
    translate = view.translate
    answer = html.toned(view.remark(delivery.answer), good=delivery.accepted, bad=not delivery.accepted)
    attempt = translate("Try {}").format(delivery.number) if delivery.number else translate("Sent by a button")
    head = f"{html.moment(delivery.at_ms)} · {attempt} · {answer}"
    sent = f"<p class='soft'>{translate('What was sent')}</p>{_json(delivery.body)}"
    received = f"<pre tabindex='0'>{escape(delivery.answer_body)}</pre>" if delivery.answer_body else ""
    answered = f"<p class='soft'>{translate('What your program answered')}</p>{received}" if received else ""
    return f"<details><summary>{head}</summary>{sent}{answered}</details>"


def _test_buttons(found: Order, view: View) -> str:
    if not found.notify_url or not found.is_paid:
        return ""
    labels = {kind: view.translate(text) for kind, text in NOTIFY_BUTTONS.items()}
    return html.buttons("order_no", found.order_no, "notify", labels.items())


NOTIFY_BUTTONS = {"forge": "Send a forged one", "duplicate": "Send it again", "delay": "Send it again in 10 s"}
"""What can be sent to a shop, to see what it does."""
