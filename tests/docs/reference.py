"""Writes ``omipay_async/docs/reference.md`` from the code: ``python -m tests.docs.reference``.

What a name does is said once, in its docstring. A test compares the page with what this would write.
"""

from __future__ import annotations

import enum
import functools
import importlib
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

import omipay_async
from omipay_async import AsyncOmipay
from omipay_async.fulfilment.backends import TRANSITIONS, ClaimState
from omipay_async.sandbox import Fault, PaymentCode
from tests.support.markdown import DOCS
from tests.support.public_api import annotations_of

from .docstrings import attribute_docs, markdown, own_methods, properties, signature, table
from .vocabulary import enum_text, failures, members, replies, words

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE: Final = DOCS / "reference.md"

METHODS: Final = {
    "Orders and refunds": (
        "get_exchange_rate",
        "make_qr_order",
        "make_jsapi_order",
        "make_scan_order",
        "make_online_order",
        "make_app_order",
        "make_applet_order",
        "query_order",
        "refund",
        "query_refund",
        "get_user_info",
        "call",
    ),
    "Waiting": ("poll_until_paid", "poll_until_refunded", "settle", "wait_for_notification"),
    "Notifications": ("parse_notification", "confirm_notification", "receive_notification", "fulfil"),
    "Pages": ("pay_page_url", "wechat_login_url", "parse_wechat_login"),
    "Life": ("from_env", "aclose"),
}
SHARED: Final = {
    "order_no": "Omipay's number of the order: queries and refunds need it.",
    "out_order_no": "Your own number of the order.",
    "refund_no": "Omipay's number of the refund: queries need it.",
    "out_refund_no": "Your own number of the refund.",
    "m_number": "The merchant's number.",
    "status": "See [Statuses](#statuses).",
    "currency": "The currency of the order.",
    "pay_currency": "The currency that the customer pays in.",
    "exchange_rate": "What one unit of the order's currency is in the customer's.",
    "order_time": "When the order was made.",
    "pay_time": "When it was paid.",
    "refund_time": "When the refund was asked for.",
    "platform": "What the customer pays with.",
    "rate": "What one unit of the first currency is in the second.",
    "pay_url": "The page on which the customer pays.",
    "order_string": "For the platform's SDK in your app; secret, not in the `repr`.",
    "raw": "The gateway's reply as received; it may hold secrets, so it is not in the `repr`.",
    "headers": "The headers of the answer.",
    "cny_amount": "What the body claims in CNY, in fen.",
    "openid": "The customer's id at WeChat for this merchant.",
    "nickname": "As the customer chose it.",
    "headimgurl": "The URL of the customer's picture.",
    **dict.fromkeys(("time_stamp", "nonce_str", "package", "sign_type", "pay_sign"), "For `wx.requestPayment`."),
}
"""What fields that many results have mean, where a class says nothing more exact."""
MODULES: Final = {
    "Books": ("omipay_async.sql", ("Books", "SweepReport", "WaitingOrder")),
    "Redis": ("omipay_async.redis", ("RedisBackend",)),
    "FastAPI": ("omipay_async.fastapi", ("lifespan", "notification_route", "omipay_dep")),
    "aiohttp": ("omipay_async.aiohttp", ("session_context", "notification_handler")),
    "ASGI": ("omipay_async.asgi", ("session_app", "notification_app", "omipay_getter")),
}
"""What the extras bring: the module, and its classes and functions."""
TESTING: Final = {
    "Sandbox": ("omipay_async.sandbox", ("Sandbox", "Customer", "Faults", "Ledger")),
    "Tests": ("omipay_async.testing", ("ManualClock", "assert_reconciled")),
}
"""What tests use."""
MADE_BY_OTHERS: Final = {"Customer", "Faults", "Ledger"}
"""What a program is given, as ``sandbox.customer``, ``sandbox.faults`` and ``sandbox.ledger``, and does not make."""
METHODS_OF: Final = {
    "Sandbox": (
        "session",
        "serve",
        "settle",
        "notification",
        "sign_notification",
        "move_order",
        "advance_refund",
        "add_merchant",
        "aclose",
    ),
    "Customer": ("scans", "pays", "declines", "cancels"),
    "Faults": ("add", "remove", "clear"),
    "Ledger": (
        "orders_of",
        "refunds_of",
        "acted",
        "received",
        "paid_total",
        "refunded_total",
        "left_to_refund",
        "charged_twice",
        "refunded_twice",
        "refused",
    ),
    "ManualClock": ("advance", "shift", "held"),
    "Books": ("create_tables", "transactional", "run", "sweep", "unresolved", "resolve", "waiting", "prune", "aclose"),
    "RedisBackend": ("aclose",),
}
"""The methods of those classes that a program calls itself; the library calls the others."""
OTHERS: Final = (
    "RetryPolicy",
    "Clock",
    "SystemClock",
    "NonceProvider",
    "TaggedNonces",
    "Backend",
    "Claim",
    "Listener",
    "NoteKeeper",
    "MemoryBackend",
    "Journal",
    "to_minor",
    "from_minor",
)
RESULTS: Final = (
    "ExchangeRate",
    "QROrder",
    "JSAPIOrder",
    "ScanOrder",
    "OnlineOrder",
    "AppOrder",
    "AppletOrder",
    "Order",
    "RefundReceipt",
    "Refund",
    "WeChatUser",
    "Notification",
    "NotificationReply",
    "JournalEntry",
)


def session() -> Iterator[str]:
    """The constructor and the methods."""
    yield "## The session"
    yield ""
    yield "```python"
    yield re.sub(r" -> None$", "", signature("AsyncOmipay", AsyncOmipay.__init__))
    yield "```"
    yield ""
    yield markdown(inspect.getdoc(AsyncOmipay) or "")
    yield ""
    for title, names in METHODS.items():
        yield f"### {title}"
        yield ""
        for name in names:
            function = getattr(AsyncOmipay, name)
            kind = "async " if inspect.iscoroutinefunction(function) else ""
            yield f"#### {name}"
            yield ""
            yield "```python"
            yield f"{kind}{signature(name, function)}"
            yield "```"
            yield ""
            yield markdown(inspect.getdoc(function) or "")
            yield ""
    yield "### Attributes of a session"
    yield ""
    yield from table(("name", "meaning"), ((f"`{name}`", text) for name, text in properties(AsyncOmipay).items()))


def results() -> Iterator[str]:
    """The models, with their fields."""
    yield "## Results"
    yield ""
    yield "Each is a frozen attrs class. `.raw` holds the reply as received, but without spaces around its keys, and"
    yield "each documented key in the case of the documents. Amounts are integers of the minor unit."
    yield '`attrs.asdict(order, filter=attrs.filters.exclude("raw"))` makes a dictionary of one, and'
    yield "`json.dumps(..., default=str)` writes that."
    yield ""
    for name in RESULTS:
        kind = getattr(omipay_async, name)
        yield f"### {name}"
        yield ""
        yield markdown(inspect.getdoc(kind) or "")
        yield ""
        yield from fields(kind)


def fields(kind: type[Any]) -> Iterator[str]:
    """A table of what an attrs class holds."""
    docs = attribute_docs(kind)
    types = annotations_of(kind)
    rows = [
        (f"`{field.name}`", f"`{types.get(field.name, '')}`", docs.get(field.name) or SHARED.get(field.name, ""))
        for field in attrs.fields(kind)
        if not field.name.startswith("_")
    ]
    rows += [(f"`{prop}`", "", text) for prop, text in properties(kind).items()]
    rows += [(f"`{signature(name, method)}`", "", text) for name, method, text in own_methods(kind)]
    yield from table(("field", "type", "meaning"), rows)


def options() -> Iterator[str]:
    """The smaller public classes."""
    yield "## Events"
    yield ""
    yield markdown(inspect.getdoc(omipay_async.Event) or "")
    yield ""
    docs = attribute_docs(omipay_async.Event)
    yield from table(
        ("field", "meaning"),
        ((f"`{field.name}`", docs.get(field.name, "")) for field in attrs.fields(omipay_async.Event)),
    )
    yield "## Other classes and functions"
    yield ""
    for name in OTHERS:
        yield f"### {name}"
        yield ""
        yield from explained(name, getattr(omipay_async, name))


def explained(name: str, value: Any) -> Iterator[str]:
    """A function, an enum, a class that a program makes, or a protocol: with the methods that it asks for."""
    if isinstance(value, type) and issubclass(value, enum.Enum):
        yield from enum_text(value)
        return
    if not getattr(value, "_is_protocol", False):
        yield from callable_text(name, value)
        return
    yield markdown(inspect.getdoc(value) or "")
    yield ""
    docs = attribute_docs(value)
    if docs:
        yield from table(("attribute", "meaning"), ((f"`{key}`", text) for key, text in docs.items()))
    for method, function in vars(value).items():
        if inspect.isfunction(function) and not method.startswith("_"):
            yield f"#### {name}.{method}"
            yield ""
            yield from callable_text(method, function)
    if name == "Backend":
        yield from transitions()


def transitions() -> Iterator[str]:
    """What a backend answers: the table that the code itself reads."""
    yield "#### TRANSITIONS"
    yield ""
    yield "What a backend answers to a request, by the state of the key as the owner that makes the request sees it:"
    yield ""
    docs = attribute_docs(ClaimState)
    yield from table(("state", "meaning"), ((f"`{state.name}`", docs[state.name]) for state in ClaimState))
    yield from table(
        ("state", "request", "answer", "state afterwards"),
        (
            (f"`{before.name}`", f"`{step}`", f"`{answer}`", f"`{after.name}`")
            for (before, step), (after, answer) in TRANSITIONS.items()
        ),
    )


def extras() -> Iterator[str]:
    """The classes and functions of the modules that need an extra, and of those for tests."""
    for title, (module, names) in (MODULES | TESTING).items():
        yield f"## {title}"
        yield ""
        for name in names:
            value = getattr(importlib.import_module(module), name)
            yield f"### {module}.{name}"
            yield ""
            if name in MADE_BY_OTHERS:
                yield markdown(inspect.getdoc(value) or "")
                yield ""
            else:
                yield from callable_text(name, value)
            if attrs.has(value) and name not in MADE_BY_OTHERS:
                yield from fields(value)
            for method in METHODS_OF.get(name, ()):
                yield f"#### {name}.{method}"
                yield ""
                yield from callable_text(method, getattr(value, method))


def callable_text(name: str, value: Any) -> Iterator[str]:
    """How a class, a function or a method is called, and what its docstring says."""
    kind = "async " if inspect.iscoroutinefunction(value) else ""
    shown = signature(name, vars(value).get("__init__", value) if isinstance(value, type) else value)
    yield "```python"
    # A default that is an object is shown by its name: its text is not how a program writes it.
    yield kind + re.sub(r" -> None$", "", re.sub(r"=<AppKey\([^>]*>", "=OMIPAY", shown))
    yield "```"
    yield ""
    yield markdown(inspect.getdoc(value) or "")
    yield ""


@functools.cache
def page() -> str:
    """The whole page."""
    lines = [
        "# Reference",
        "",
        "Every public name, written from the code. CN and EN are the sections of Omipay's two documents.",
        "",
        "- [The session](#the-session)",
        "- [Results](#results)",
        "- [Statuses](#statuses)",
        "- [Other enums](#other-enums)",
        "- [Errors](#errors)",
        "- [Error codes](#error-codes)",
        "- [Replies that are not believed](#replies-that-are-not-believed)",
        "- [Events](#events)",
        "- [Other classes and functions](#other-classes-and-functions)",
        *(f"- [{title}](#{title.lower().replace(' ', '-')})" for title in MODULES | TESTING),
        "- [Payment codes of the sandbox](#payment-codes-of-the-sandbox)",
        "- [Faults of the sandbox](#faults-of-the-sandbox)",
        "",
        *session(),
        *results(),
        *words(),
        *failures(),
        *replies(),
        *options(),
        *extras(),
        *members("Payment codes of the sandbox", PaymentCode, ("name", "code", "what happens")),
        *members("Faults of the sandbox", Fault, ("name", "value", "what happens")),
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


if __name__ == "__main__":
    Path(PAGE).write_text(page(), encoding="utf-8")
