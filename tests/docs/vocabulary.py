"""The statuses, enums, errors and codes of the reference, and the replies that are not believed."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import omipay_async
from omipay_async import ErrorCode, OmipayError, OrderStatus, Outcome, RefundStatus, Safety, errors
from omipay_async.protocol import decoding
from omipay_async.protocol.endpoints import ENDPOINTS

from .docstrings import attribute_docs, first_paragraph, markdown, table

if TYPE_CHECKING:
    import enum
    from collections.abc import Iterable, Iterator

    from omipay_async.sandbox import Fault, PaymentCode


def words() -> Iterator[str]:
    """Statuses, error codes and the other enums."""
    yield "## Statuses"
    yield ""
    yield "A status that no document lists stays a string, and counts as waiting."
    yield ""
    for kind in (OrderStatus, RefundStatus):
        docs = attribute_docs(kind)
        yield f"### {kind.__name__}"
        yield ""
        yield from table(
            ("status", "counts as", "meaning"),
            ((f"`{member.name}`", phase(member), markdown(docs.get(member.name, ""))) for member in kind),
        )
    yield "## Other enums"
    yield ""
    kinds = [getattr(omipay_async, name) for name in ("Region", "Language", "Currency", "Platform")]
    yield from table(
        ("enum", "members", "meaning"),
        (
            (
                f"`{kind.__name__}`",
                code_list(member.name for member in kind),
                first_paragraph(inspect.getdoc(kind) or ""),
            )
            for kind in kinds
        ),
    )
    for name in ("OnlineType", "Safety", "Outcome", "JournalOutcome"):
        yield f"### {name}"
        yield ""
        yield from enum_text(getattr(omipay_async, name))


def enum_text(kind: type[enum.Enum]) -> Iterator[str]:
    """What an enum is, and what each of its members means."""
    yield markdown(inspect.getdoc(kind) or "")
    yield ""
    docs = attribute_docs(kind)
    yield from table(
        ("member", "meaning"), ((f"`{member.name}`", markdown(docs.get(member.name, ""))) for member in kind)
    )


def phase(status: OrderStatus | RefundStatus) -> str:
    """What a status counts as."""
    done = status.is_paid if isinstance(status, OrderStatus) else status.is_refunded
    if done:
        return "**paid**" if isinstance(status, OrderStatus) else "**refunded**"
    return "failed" if status.is_failed else "waiting"


def failures() -> Iterator[str]:
    """The error classes, and the class and the outcome of each error code."""
    yield "## Errors"
    yield ""
    yield "```text"
    yield (inspect.getdoc(errors) or "").split("\n\n")[1]
    yield "```"
    yield ""
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, OmipayError)]
    for kind in sorted(kinds, key=lambda kind: inspect.getsourcelines(kind)[1]):
        yield f"### {kind.__name__}"
        yield ""
        yield markdown(inspect.getdoc(kind) or "")
        yield ""
        if kind is OmipayError:  # the others inherit what it has
            docs = attribute_docs(kind)
            yield from table(("attribute", "meaning"), ((f"`.{name}`", text) for name, text in docs.items()))
    yield "## Error codes"
    yield ""
    yield "The outcome is that of a scan order. An error of a read has none, since it says nothing about money."
    yield ""
    docs = attribute_docs(ErrorCode)
    yield from table(
        ("code", "class", "`.outcome` on a scan order", "meaning"),
        ((f"`{code.name}`", error_class(code), scan_outcome(code), docs.get(code.name, "")) for code in ErrorCode),
    )


def replies() -> Iterator[str]:
    """What each endpoint's reply is held against: the table that the code itself reads."""
    yield "## Replies that are not believed"
    yield ""
    yield "A money call with such a reply ends in `OutcomeUnknown`, a read is repeated and then ends in `InvalidReply`."
    yield "A reply answers another call if one of the numbers in the third column is not the one that was sent, or if"
    yield "it has the number in the fourth column and none of its own kind. It contradicts itself if it has a key twice"
    yield "with two values. SUCCESS is contradicted by `success: false`, by an `error_code` that a document lists"
    yield "(other than USERPAYING of a scan order), and by the words in the last column. FAIL is contradicted by"
    yield "`success: true`. FAIL of a money call is also contradicted by a `result_code` that means success, paid or"
    yield "paying, and FAIL of a refund by one that means that the refund was accepted."
    yield ""
    yield from table(
        (
            "endpoint",
            "money",
            "must be as it was sent",
            "belongs to another kind of call",
            "`result_code` that contradicts",
        ),
        (
            (
                f"`{endpoint.name}`",
                "yes" if endpoint.safety is Safety.MONEY else "",
                code_list(endpoint.echoes),
                code_list(filter(None, [endpoint.foreign_number])),
                code_list(sorted(endpoint.contradictions)),
            )
            for endpoint in ENDPOINTS.values()
        ),
    )


def code_list(words: Iterable[str]) -> str:
    """Words of the wire, in one cell."""
    return ", ".join(f"`{word}`" for word in words)


def error_class(code: ErrorCode) -> str:
    """The class of the error that a code becomes."""
    if code is ErrorCode.USERPAYING:
        return "(no error: `PAYING`)"
    name = f"`{decoding.ERROR_CLASSES.get(code, errors.APIError).__name__}`"
    return f"{name} of a read, else `OutcomeUnknown`" if code is ErrorCode.SYSTEM_ERROR else name


def scan_outcome(code: ErrorCode) -> str:
    """What a scan order's FAIL with this code says of the money: the table of the contract."""
    if code is ErrorCode.USERPAYING:
        return ""
    unknown = {ErrorCode.ORDER_PAID, ErrorCode.ORDER_CLOSED, ErrorCode.SYSTEM_ERROR}
    return (Outcome.UNKNOWN if code in unknown else Outcome.NOT_DONE).value


def members(title: str, kind: type[Fault | PaymentCode], head: tuple[str, str, str]) -> Iterator[str]:
    """An enum of the sandbox."""
    yield f"## {title}"
    yield ""
    yield markdown(inspect.getdoc(kind) or "")
    yield ""
    yield from table(head, ((f"`{member.name}`", f"`{member.value}`", member.description) for member in kind))
