"""The dashboard's tables: orders, refunds, calls and notifications, with search, 50 rows a page, newest first."""

from __future__ import annotations

from html import escape
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

import attrs

from omipay_async.codes import ErrorCode, Language, OrderStatus
from omipay_async.language import translated
from omipay_async.sandbox.chinese import REMARKS
from omipay_async.sandbox.lifecycle import ORDER_LIFE, REFUND_LIFE

from . import html
from .translations import translator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from omipay_async.sandbox.ledger import Call, Delivery, Ledger, Order, Refund

    from .translations import Translate

PAGE_SIZE: Final = 50

_ACTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        OrderStatus.PAYING: "Scan",
        OrderStatus.PAID: "Pay",
        OrderStatus.CANCELLED: "Cancel",
        OrderStatus.FAILED: "Decline",
        OrderStatus.SETTLED: "Settle",
    }
)
"""What brings an order to a status."""


@attrs.frozen
class View:
    """Which part of the dashboard a visitor looks at, in which language, and where the visitor's gateway is."""

    base_url: str
    language: Language
    search: str = ""
    page: int = 0

    @property
    def translate(self) -> Translate:
        """Translates an English sentence of the pages to the language of this one."""
        return translator(self.language)

    def remark(self, text: str) -> str:
        """A remark on a call or on a notification in the language of this page; what others said is not changed."""
        return translated(text, REMARKS) if self.language is Language.CHS else text

    @property
    def tag(self) -> str:
        """The language's name in addresses."""
        return html.tag(self.language)

    def link(self, **parameters: object) -> str:
        """The address of a part of the dashboard, in the same language."""
        return escape("?" + urlencode({"lang": self.tag, **parameters}))


def order_row(order: Order, view: View) -> tuple[str, ...]:
    """The cells of an order."""
    labels = {step: view.translate(_ACTIONS[step]) for step in ORDER_LIFE[order.status]}
    return (
        order_link(order.order_no, view),
        html.text(order.out_order_no),
        html.text(order.order_name),
        html.money(order.amount, order.currency),
        html.toned(order.status, good=order.is_paid, bad=order.status.is_failed),
        html.buttons("order_no", order.order_no, "to", labels.items()),
    )


def refund_row(refund: Refund, view: View) -> tuple[str, ...]:
    """The cells of a refund."""
    return (
        escape(refund.refund_no),
        order_link(refund.order_no, view),
        html.money(refund.amount, refund.currency),
        escape(refund.status),
        html.buttons("refund_no", refund.refund_no, "to", [(step, step) for step in REFUND_LIFE[refund.status]]),
    )


def call_row(call: Call, view: View) -> tuple[str, ...]:
    """The cells of a call."""
    remarks = view.translate("; ").join([*map(view.remark, call.remarks), *call.faults])
    return (
        html.moment(call.at_ms),
        f'<a href="{view.link(call=call.number)}">{escape(call.endpoint)}</a>',
        order_link(call.order_no or call.fields.get("order_no", ""), view)
        or html.text(call.fields.get("out_order_no", "")),
        html.toned(answer_to(call), good=False, bad=is_refused(call)),
        html.text(remarks, 300),
    )


def answer_to(call: Call) -> str:
    """What the gateway answered in a word; empty if a fault stopped the request."""
    return call.error_code or ("SUCCESS" if call.reply else "")


def is_refused(call: Call) -> bool:
    """Whether its answer is an error. USERPAYING is not."""
    return call.error_code not in {None, ErrorCode.USERPAYING}


def delivery_row(delivery: Delivery, view: View) -> tuple[str, ...]:
    """The cells of a delivery."""
    return (
        html.moment(delivery.at_ms),
        order_link(delivery.order_no, view),
        html.text(delivery.url),
        str(delivery.number or "–"),
        html.toned(view.remark(delivery.answer), good=False, bad=not delivery.accepted),
    )


def order_link(order_no: str, view: View) -> str:
    """A link to what is known of an order."""
    return f'<a href="{view.link(order=order_no)}">{html.text(order_no, 64)}</a>' if order_no else ""


@attrs.frozen
class Table:
    """One of the lists: ``row`` makes the cells of an entry of the ledger, below the ``heads`` of the columns."""

    title: str
    heads: tuple[str, ...]
    row: Callable[[Any, View], tuple[str, ...]]
    entries: Callable[[Ledger], Iterable[Any]]
    """The entries, newest first."""
    searched: tuple[str, ...]
    """The attributes of an entry in which a search looks."""

    def rows(self, ledger: Ledger, view: View) -> list[tuple[str, ...]]:
        """One page of what matches the search."""
        wanted = view.search.casefold()
        matching = (
            entry
            for entry in self.entries(ledger)
            if not wanted or any(wanted in str(getattr(entry, name)).casefold() for name in self.searched)
        )
        return [self.row(entry, view) for entry in islice(matching, view.page * PAGE_SIZE, (view.page + 1) * PAGE_SIZE)]


REFUNDS: Final = Table(
    "Refunds",
    ("Refund", "Order", "Amount", "Status", "Next"),
    refund_row,
    lambda ledger: reversed(ledger.refunds.values()),
    ("refund_no", "order_no", "out_refund_no"),
)
CALLS: Final = Table(
    "Calls",
    ("Time", "Endpoint", "Order", "Answer", "Remarks"),
    call_row,
    lambda ledger: reversed(ledger.calls),
    ("endpoint", "order_no", "fields", "error_code"),
)
TABLES: Final = (
    Table(
        "Orders",
        ("Order", "Shop order", "Goods", "Amount", "Status", "Next"),
        order_row,
        lambda ledger: reversed(ledger.orders.values()),
        ("order_no", "out_order_no", "order_name", "status"),
    ),
    REFUNDS,
    CALLS,
    Table(
        "Notifications",
        ("Time", "Order", "Notify URL", "Try", "Answer"),
        delivery_row,
        lambda ledger: reversed(ledger.deliveries),
        ("body", "url", "answer"),
    ),
)
"""What the overview lists, from top to bottom."""


def tables(ledger: Ledger, view: View) -> str:
    """All four tables."""
    rows = [table.rows(ledger, view) for table in TABLES]
    sections = "".join(_section(view, table, each) for table, each in zip(TABLES, rows, strict=True))
    return sections + _pages(view, max(map(len, rows)) == PAGE_SIZE)


def _section(view: View, table: Table, rows: list[tuple[str, ...]]) -> str:
    translate = view.translate
    empty = translate("None found." if view.search else "None on this page." if view.page else "None yet.")
    content = html.table(map(translate, table.heads), rows, empty)
    return html.section(translate(table.title), content, html.anchor(table.title))


def _pages(view: View, has_more: bool) -> str:
    found = {"q": view.search} if view.search else {}
    newer = f'<a href="{view.link(**found, page=view.page - 1)}">{view.translate("Newer")}</a>' if view.page else ""
    older = f'<a href="{view.link(**found, page=view.page + 1)}">{view.translate("Older")}</a>' if has_more else ""
    return f'<nav class="pages" aria-label="{view.translate("Pages")}">{newer} {older}</nav>' if newer or older else ""
