"""Whether a reply belongs to this call and does not contradict itself: only then is it believed. No I/O.

A reply of which either is in doubt may be another call's, late or swapped on the way, or the work of two programs
that disagree. Acting on it as a success ships goods that nobody paid for; acting on it as a refusal charges twice.
So it is neither: of a money call the outcome is unknown, of a read there was no usable reply.

====================================  ==============================================================================
a reply                               is not believed when
====================================  ==============================================================================
of any kind                           a key stands in it twice with two values
                                      it names one of the endpoint's ``echoes`` otherwise than it was sent
                                      it names a refund where an order was asked for, or the other way round
that says SUCCESS (or nothing,        ``error_code`` is a documented one (but USERPAYING of a scan order)
where that is allowed)                ``success`` is false
                                      ``result_code`` is one of the endpoint's ``contradictions``
that says FAIL                        ``success`` is true
                                      ``result_code`` says that the order is paid (of calls that move money)
====================================  ==============================================================================

``echoes``, ``foreign_numbers`` and ``contradictions`` are columns of the table of endpoints. A word that no document
has contradicts nothing, and neither do amount and currency in the reply to an order or a refund: no document says which
ones these would be. A refusal that names nothing, or an ``order_no`` alone where none was sent, cannot be told from
this call's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from omipay_async.codes import ORDER_PHASES, ErrorCode, Phase, Safety, error_code

from .context import NUMBERS
from .endpoints import MAKE_SCAN_ORDER
from .jsontext import JSONObject

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .context import RequestContext

PAYING_WORDS: Final = frozenset({"PAYING", "USERPAYING"})
"""What says, beside SUCCESS of a scan order, that the customer is still paying."""
_PAID_WORDS: Final = frozenset({"payed", *(s.casefold() for s, phase in ORDER_PHASES.items() if phase is Phase.DONE)})


def why_not_believed(context: RequestContext, raw: Mapping[str, Any]) -> str | None:
    """What is wrong with the reply as a whole, in words for a message; None if nothing is."""
    if isinstance(raw, JSONObject) and raw.conflicts:
        return "a key stands in it twice with two values"
    for name in context.endpoint.echoes:
        if _names_another(context, raw, name):
            return f"{name} is not the one that was sent"
    if (foreign := _foreign_number(context, raw)) is not None:
        return f"{foreign} is not a number of this kind of call"
    if word_of(raw, "return_code") == "FAIL":
        return _why_not_a_refusal(context, raw)
    return _why_not_a_success(context, raw)


def order_no_of(context: RequestContext, raw: Mapping[str, Any]) -> str | None:
    """The number that the reply gives this money call's order, whatever else is wrong with the reply.

    A reply that names another's number belongs to another call, and so does the order in it.
    """
    if context.endpoint.safety is Safety.READ:
        return None
    names = (*context.endpoint.echoes, "order_no")
    if isinstance(raw, JSONObject) and not set(names).isdisjoint(raw.conflicts):
        return None
    if any(_names_another(context, raw, name) for name in context.endpoint.echoes):
        return None
    if _foreign_number(context, raw) is not None:
        return None
    order_no = raw.get("order_no")
    return order_no if isinstance(order_no, str) and order_no else None


def _foreign_number(context: RequestContext, raw: Mapping[str, Any]) -> str | None:
    """The number of a refund in an order's reply that names no number of an order, and the other way round."""
    endpoint = context.endpoint
    named = [name for name in NUMBERS if raw.get(name) not in (None, "")]
    foreign = next((name for name in named if name in endpoint.foreign_numbers), None)
    if foreign is None or any(name in endpoint.own_numbers for name in named):
        return None
    return foreign


def _names_another(context: RequestContext, raw: Mapping[str, Any], name: str) -> bool:
    said, sent = raw.get(name), context.numbers.get(name)
    return sent is not None and said is not None and said != "" and str(said).strip() != sent.strip()


def _why_not_a_success(context: RequestContext, raw: Mapping[str, Any]) -> str | None:
    code = error_code(word_of(raw, "error_code").upper())
    is_scan_order = context.endpoint is MAKE_SCAN_ORDER
    if isinstance(code, ErrorCode) and not (is_scan_order and code is ErrorCode.USERPAYING):
        return f"it holds the error code {code} and no FAIL"
    if _says(raw, "false"):
        return "it says success: false and no FAIL"
    if word_of(raw, "result_code").casefold() in context.endpoint.contradictions:
        return "its result_code contradicts a success"
    return None


def _why_not_a_refusal(context: RequestContext, raw: Mapping[str, Any]) -> str | None:
    if _says(raw, "true"):
        return "it says FAIL and success: true"
    moves_money = context.endpoint.safety is Safety.MONEY
    if moves_money and word_of(raw, "result_code").casefold() in _PAID_WORDS:
        return "it says FAIL, and its result_code that the order is paid"
    return None


def _says(raw: Mapping[str, Any], truth: str) -> bool:
    return str(raw.get("success")).strip().casefold() == truth


def word_of(raw: Mapping[str, Any], name: str) -> str:
    """The field's text without the spaces around it; empty if it is missing."""
    word = raw.get(name)
    return word.strip() if isinstance(word, str) else ""
