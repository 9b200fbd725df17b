"""What the developer sees: orders and refunds live, with a button for each next step, and what was wrong with calls.

Its buttons need no login, so only its own pages may press them.
"""

from __future__ import annotations

import asyncio
from html import escape
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse

from omipay_async.codes import Language
from omipay_async.language import language_of_environment
from omipay_async.protocol.endpoints import ENDPOINTS
from omipay_async.sandbox.access import read_form
from omipay_async.sandbox.faults import FAULTS, Fault
from omipay_async.sandbox.lifecycle import IllegalMove
from omipay_async.sandbox.payment_codes import ANY_OTHER, PAYMENT_CODES, PaymentCode

from . import details, html, lists

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from omipay_async.sandbox.core import SandboxCore
    from omipay_async.sandbox.faults import Rule

    from .routing import RoutedRequest

_HINT: Final = "Nothing has happened yet. Let your program use the gateway's address above: its calls appear here."
_LOOK_EVERY_S: Final = 0.1
_STREAM_LASTS_S: Final = 10.0
"""A browser opens the next one by itself: so no server waits long for a page that is open when it stops."""

_SCRIPT: Final = html.script("dashboard.js")


async def respond(sandbox: SandboxCore, routed: RoutedRequest) -> Response | None:
    """The dashboard, if this is its path; None if not."""
    if routed.path == "/events":
        return _events(sandbox)
    if routed.path not in {"", "/"}:
        return None
    if routed.request.method == "POST":
        return await _handle_button(sandbox, routed)
    return _show(sandbox, routed)


def _show(sandbox: SandboxCore, routed: RoutedRequest) -> Response:
    asked = routed.request.query_params
    page = asked.get("page", "")
    number = int(page) if page.isascii() and page.isdecimal() and len(page) < 7 else 0
    view = lists.View(routed.base_url, _language(routed), asked.get("q", "")[:100], number)
    if "call" in asked:
        content = details.call(sandbox.ledger, asked["call"], view)
    elif "order" in asked:
        content = details.order(sandbox.ledger, asked["order"], view)
    else:
        return _page(sandbox, routed, view, _overview(sandbox, view))
    back = f'<p><a href="{view.link()}">← {view.translate("Overview")}</a></p>'
    if content is None:
        reason = view.translate("There is no such order or call.")
        return html.problem(view.language, reason, status=404, links=back)
    return _page(sandbox, routed, view, f'<main>{back}<div id="live">{content}</div></main>')


def _language(routed: RoutedRequest) -> Language:
    """The visitor's own choice, else what ``OMIPAY_LANGUAGE`` says, else what the browser prefers."""
    asked = routed.request.query_params.get("lang")
    if not asked and (preferred := language_of_environment()):
        return preferred
    wanted = asked or routed.request.headers.get("accept-language", "")
    return Language.CHS if wanted.lower().startswith("zh") else Language.EN


def _page(sandbox: SandboxCore, routed: RoutedRequest, view: lists.View, body: str) -> Response:
    translate = view.translate
    shown = {name: value for name, value in routed.request.query_params.items() if name != "lang"}
    title = "p" if {"order", "call"} & shown.keys() else "h1"  # a detail has a h1 of its own
    framed = (
        f"<header><{title} class='brand'><a href='{view.link()}'>{translate('Omipay sandbox')}</a></{title}>"
        f"<span>{translate('Merchant')} {escape(sandbox.merchant.m_number)}</span>"
        f"<span>{translate('Gateway')} <code>{escape(routed.base_url)}</code></span>"
        f"{html.languages(translate, lambda name: '?' + urlencode({**shown, 'lang': name}), view.tag)}</header>"
        f"<p><small>{translate('No real money moves here. Times are those of Sydney.')}</small></p>"
        f"{body}{_SCRIPT}"
    )
    return html.page(translate("Omipay sandbox"), framed, view.language)


# -- buttons --------------------------------------------------------------------------------------------------------


async def _handle_button(sandbox: SandboxCore, routed: RoutedRequest) -> Response:
    form = await read_form(routed.request)
    try:
        await _act(sandbox, form)
    except IllegalMove:
        pass  # the button was pressed too late, which is not an error: the page is shown again
    except (KeyError, ValueError):
        return PlainTextResponse("there is no such order, refund, status or fault", 400)
    return RedirectResponse(routed.request.url, 303)


async def _act(sandbox: SandboxCore, form: Mapping[str, str]) -> None:
    if "notify" in form:
        sandbox.notifier.send_test(sandbox.ledger.orders[form["order_no"]], form["notify"])
    elif "order_no" in form:
        await sandbox.move_order(form["order_no"], form["to"])
    elif "refund_no" in form:
        await sandbox.advance_refund(form["refund_no"], form["to"])
    elif "fault" in form:
        sandbox.faults.add(Fault(form["fault"]), endpoint=form.get("endpoint"), times=1)
    elif not form:  # the button that clears them sends no field
        sandbox.faults.clear()
    else:
        raise ValueError("no button sends these fields")


# -- events ---------------------------------------------------------------------------------------------------------


def _events(sandbox: SandboxCore) -> Response:
    if sandbox.live.is_full:
        return PlainTextResponse("too many pages are open", 503, {"Retry-After": "10"})
    return StreamingResponse(_changes(sandbox), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def _changes(sandbox: SandboxCore) -> AsyncIterator[str]:
    """An event for each change of the ledger, until the server stops or the time is up."""
    with sandbox.live.opened() as closing:
        yield "retry: 300\ndata: opened\n\n"
        seen = sandbox.ledger.revision
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + _STREAM_LASTS_S
        while not closing.is_set() and loop.time() < ends_at:
            await asyncio.sleep(_LOOK_EVERY_S)
            if sandbox.ledger.revision != seen:
                seen = sandbox.ledger.revision
                yield "data: changed\n\n"


# -- the overview ---------------------------------------------------------------------------------------------------


def _overview(sandbox: SandboxCore, view: lists.View) -> str:
    translate, ledger = view.translate, sandbox.ledger
    totals = " · ".join(
        f"{translate('paid')} {html.money(paid, currency)} · "
        f"{translate('refunded')} {html.money(ledger.refunded_total(currency), currency)}"
        for currency in ("AUD", "CNY")
        if (paid := ledger.paid_total(currency)) or currency == "AUD"
    )
    not_notified = sum(not order.notify_url for order in ledger.orders.values())
    cause = translate("Orders without notify_url, so no notification is sent")
    warning = f'<p class="FAIL">{translate("{}: {}").format(cause, not_notified)}</p>'
    search = (
        f'<form role="search"><input type="hidden" name="lang" value="{view.tag}"><label>{translate("Search")} '
        f'<input type="search" name="q" value="{escape(view.search)}"></label> '
        f"<button>{translate('Search')}</button></form>"
    )
    hint = "" if ledger.calls else f'<p id="hint">{translate(_HINT)}</p>'
    live = (
        f'<div id="live" aria-live="polite">{hint}<p class="soft">{totals}</p>{warning if not_notified else ""}'
        f"{lists.tables(ledger, view)}{_pending(sandbox, view)}</div>"
    )
    titles = [*(table.title for table in lists.TABLES), "Faults", "Payment codes"]
    parts = html.parts(translate("Parts of this page"), [(html.anchor(title), translate(title)) for title in titles])
    return f"<main>{search}{parts}{live}{_faults(view)}{_codes(view)}</main>"


def _pending(sandbox: SandboxCore, view: lists.View) -> str:
    translate = view.translate
    rules = "".join(f"<li>{_rule(rule, view)}</li>" for rule in sandbox.faults.rules)
    return html.section(translate("Faults that are set"), f"<ul>{rules}</ul>") if rules else ""


def _rule(rule: Rule, view: lists.View) -> str:
    translate = view.translate
    calls = rule.endpoint or translate("Any endpoint")
    applied = translate("{}: applied {}").format(calls, f"{rule.hits}/{rule.times or '∞'}")
    explained = escape(FAULTS[rule.fault].description.in_language(view.language))
    return f"{rule.fault} {escape(applied)} <small>{explained}</small>"


def _faults(view: lists.View) -> str:
    translate = view.translate
    faults = "".join(f"<option>{fault}</option>" for fault in Fault)
    endpoints = "".join(f"<option>{name}</option>" for name in ENDPOINTS)
    rows = [
        (f"<code>{fault}</code>", escape(facts.description.in_language(view.language)))
        for fault, facts in FAULTS.items()
    ]
    table = html.table((translate("Fault"), translate("What it does")), rows, "")
    return html.section(
        translate("Faults"),
        f"<form method='post'><label>{translate('Let the next call fail')} "
        f"<select name='fault'>{faults}</select></label> "
        f"<label>{translate('Endpoint')} <select name='endpoint'>"
        f"<option value=''>{translate('Any endpoint')}</option>{endpoints}</select></label> "
        f"<button id='fault'>{translate('Add')}</button></form>"
        f"<form method='post'><button id='clear'>{translate('Clear all')}</button></form>"
        f"<details><summary>{translate('What each fault does')}</summary>{table}</details>",
        html.anchor("Faults"),
    )


def _codes(view: lists.View) -> str:
    translate = view.translate
    rows = [
        (
            f"<code>{code}</code>",
            escape(PaymentCode(code).name),
            escape(behaviour.description.in_language(view.language)),
        )
        for code, behaviour in PAYMENT_CODES.items()
    ]
    table = html.table(("qrcode", "PaymentCode", translate("What it does")), rows, "")
    content = f"<details><summary>{translate('What each code does')}</summary>{table}</details>"
    other = escape(ANY_OTHER.description.in_language(view.language))
    return html.section(translate("Payment codes"), f"{content}<small>{other}</small>", html.anchor("Payment codes"))
