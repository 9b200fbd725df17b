"""Whether a reply may be believed: it must belong to this call and must not contradict itself. No I/O.

A reply that does not may be another call's, late or mixed up on the way, or the work of two programs that disagree.
Taken as a success it could ship goods that nobody has paid for; taken as a refusal it could lead to a second charge.
So it is neither: the outcome of a money call is then unknown, and a read has no usable reply.

====================================  ==============================================================================
a reply                               is not believed when
====================================  ==============================================================================
of any kind                           it contains a key twice with two values
                                      it has another value of one of the endpoint's ``echoes`` than was sent
                                      it names a refund where an order was asked for, or the other way round
with SUCCESS (or without              ``error_code`` is a documented one (except USERPAYING of a scan order)
return_code, where that is allowed)   ``success`` is false
                                      ``result_code`` is one of the endpoint's ``contradictions``
with FAIL                             ``success`` is true
                                      ``result_code`` means success, or that the order is paid or is being paid
                                      (only of money calls; not USERPAYING of a scan order: not a refusal)
                                      ``result_code`` means that the refund was accepted (only of Refund)
====================================  ==============================================================================

``echoes``, ``foreign_number`` and ``contradictions`` are columns of the table of endpoints. A word that is in no
document contradicts nothing. Amount and currency in the reply to an order or a refund are not compared, since no
document says which ones they would be. A refusal that contains no number, or only an ``order_no`` where none was sent,
cannot be distinguished from this call's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from omipay_async.codes import ORDER_PHASES, REFUND_PHASES, ErrorCode, Phase, Safety, error_code
from omipay_async.text import bare

from .endpoints import MAKE_SCAN_ORDER, REFUND
from .fields import is_absent, issued_number, word_of
from .jsontext import conflicting_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .context import RequestContext

_PAYING_WORDS: Final = frozenset({"PAYING", "USERPAYING"})
# EN's example writes PAYED. Its CLOSED for SETTLED is left out: beside FAIL it fits an order that was closed unpaid.
_PAID_WORDS: Final = frozenset({"payed", *(s.casefold() for s, phase in ORDER_PHASES.items() if phase is Phase.DONE)})
_ACCEPTED_WORDS: Final = frozenset(s.casefold() for s, phase in REFUND_PHASES.items() if phase is not Phase.FAILED)
_UNREFUSED_WORDS: Final = _PAYING_WORDS | {"SUCCESS"}


def why_not_believed(context: RequestContext, raw: Mapping[str, Any]) -> str | None:
    """Why the reply is not believed, as text for a message; None if it is believed."""
    if conflicting_keys(raw):
        return "it contains a key twice with two values"
    if (why := _why_not_ours(context, raw)) is not None:
        return why
    if word_of(raw, "return_code") == "FAIL":
        return _why_not_a_refusal(context, raw)
    return _why_not_a_success(context, raw)


def order_no_of(context: RequestContext, raw: Mapping[str, Any]) -> str | None:
    """The number of this money call's order, if the reply contains it, whatever else is wrong with the reply.

    If the reply names another number than was sent, its order belongs to another call.
    """
    if context.endpoint.safety is Safety.READ:
        return None
    numbers = {*context.endpoint.echoes, "order_no"}
    if not numbers.isdisjoint(conflicting_keys(raw)) or _why_not_ours(context, raw) is not None:
        return None
    return issued_number(raw.get("order_no"))


def _why_not_ours(context: RequestContext, raw: Mapping[str, Any]) -> str | None:
    """How the numbers of a reply show that it answers another call, as text for a message; None if they do not."""
    endpoint = context.endpoint
    for name in endpoint.echoes:
        received, sent = raw.get(name), context.numbers.get(name)
        if sent is not None and not is_absent(received) and bare(_scalar_text(received)) != bare(sent):
            return f"{name} is not the one that was sent"
    foreign = endpoint.foreign_number
    if foreign is None or is_absent(raw.get(foreign)):
        return None
    is_ours = any(not is_absent(raw.get(name)) for name in endpoint.own_numbers)
    return None if is_ours else f"{foreign} is not a number of this kind of call"


def _scalar_text(value: object) -> str:
    """A value as text; empty for an array or an object, which may be nested more deeply than Python can print."""
    return "" if isinstance(value, list | dict) else str(value)


def _why_not_a_success(context: RequestContext, raw: Mapping[str, Any]) -> str | None:
    code = error_code(word_of(raw, "error_code").upper())
    is_scan_order = context.endpoint is MAKE_SCAN_ORDER
    if isinstance(code, ErrorCode) and not (is_scan_order and code is ErrorCode.USERPAYING):
        return f"it has the error code {code}, but not FAIL"
    if _success(raw) == "false":
        return "it has success: false, but not FAIL"
    if word_of(raw, "result_code").casefold() in context.endpoint.contradictions:
        return "its result_code contradicts a success"
    return None


def _why_not_a_refusal(context: RequestContext, raw: Mapping[str, Any]) -> str | None:
    if _success(raw) == "true":
        return "it has FAIL and success: true"
    moves_money = context.endpoint.safety is Safety.MONEY
    word = word_of(raw, "result_code")
    if moves_money and word.casefold() in _PAID_WORDS:
        return "it has FAIL, but its result_code means that the order is paid"
    if moves_money and word.upper() in _UNREFUSED_WORDS and not is_paying(context, raw):
        return "it has FAIL, but its result_code means success, or that the customer is paying"
    if context.endpoint is REFUND and word.casefold() in _ACCEPTED_WORDS:
        return "it has FAIL, but its result_code means that the refund was accepted"
    return None


def is_paying(context: RequestContext, raw: Mapping[str, Any]) -> bool:
    """Whether a reply to a scan order says that the customer is still paying."""
    if context.endpoint is not MAKE_SCAN_ORDER:
        return False
    # EN 2.4's flow text has USERPAYING as the return_code. With SUCCESS beside it, it is the safer of two readings.
    verdict, code = word_of(raw, "return_code"), word_of(raw, "error_code")
    if verdict == "SUCCESS":
        return bool(_PAYING_WORDS & {code.upper(), word_of(raw, "result_code").upper()})
    return verdict == ErrorCode.USERPAYING or (verdict == "FAIL" and code == ErrorCode.USERPAYING)


def _success(raw: Mapping[str, Any]) -> str:
    return _scalar_text(raw.get("success")).strip().casefold()
