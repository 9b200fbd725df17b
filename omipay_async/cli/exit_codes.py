"""The exit code of an error, and its line on standard error with what to do next. Pure.

An unknown outcome is checked before everything else: its exit code must never be that of a refusal.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Final

import attrs

from omipay_async.errors import (
    APIError,
    ConfigurationError,
    GatewayError,
    InvalidRequest,
    NotificationError,
    OmipayError,
    Outcome,
    OutcomeUnknown,
    PaymentFailed,
    PollTimeout,
    RefundFailed,
)
from omipay_async.language import Sentence, sentence

from .formatting import plain

if TYPE_CHECKING:
    from omipay_async.events import Event
    from omipay_async.models import Order, Refund


class Exit(enum.IntEnum):
    """The exit codes."""

    DONE = 0
    REFUSED = 1
    """Refused by the gateway, failed or declined."""
    BAD_INPUT = 2
    """Bad input or configuration; nothing was sent."""
    UNKNOWN = 3
    """Nobody knows whether money moved."""
    NO_ANSWER = 4
    """No usable answer."""
    INTERRUPTED = 130
    """Ctrl-C."""


@attrs.frozen
class MoneyMove:
    """A command that moves money, and the advice to print when its result is not known."""

    unknown: Sentence
    """The advice after a call if nobody knows whether it was acted on."""
    order_exists: Sentence
    """The advice after a call that was acted on, if the wait for the payment was cut off. ``{}``: its number."""


QR: Final = MoneyMove(
    sentence("nobody has its code, so nobody can pay it: make a new order under a new OUT_ORDER_NO"),
    sentence("order {} exists and may still be paid: omipay query {} --wait"),
)
SCAN: Final = MoneyMove(
    sentence("do not scan again for this sale: only a notification or Omipay's back office shows whether it was paid"),
    sentence("do not scan again for this sale, order {} may be paid: omipay query {} --wait"),
)
REFUND: Final = MoneyMove(
    sentence(
        "look it up in Omipay's back office; a person may repeat a full refund after some minutes, never a partial one"
    ),
    sentence("the refund of order {} was accepted"),
)
MOVES: Final = {"qr": QR, "scan": SCAN, "refund": REFUND}
"""The commands that move money, by their names."""

_CODES: Final = (
    ((ConfigurationError, InvalidRequest), Exit.BAD_INPUT),
    ((OutcomeUnknown,), Exit.UNKNOWN),
    ((GatewayError,), Exit.NO_ANSWER),  # SYSTEM_ERROR on a read is not a refusal
    ((APIError, PaymentFailed, RefundFailed, NotificationError), Exit.REFUSED),
    ((OmipayError,), Exit.NO_ANSWER),
)


def code_of(error: OmipayError, move: MoneyMove | None) -> Exit:
    """The exit code for ``error``. ``move`` is None for a command that does not move money."""
    if isinstance(error, PollTimeout) or (move is not None and error.outcome is Outcome.UNKNOWN):
        return Exit.UNKNOWN
    return next(code for kinds, code in _CODES if isinstance(error, kinds))


def line_of(error: OmipayError, move: MoneyMove | None, order_no: str | None) -> str:
    """One line with the error and what to do next. ``order_no`` is the order that this command has made."""
    message = message_of(error)
    if isinstance(error, PollTimeout) and error.last_error is not None and _last_state(error) is None:
        message = sentence("{} (the last error: {})", message, message_of(error.last_error))
    next_step = _next_step(error, move, order_no)
    return sentence("{}; {}", message, next_step) if next_step else message


def _next_step(error: OmipayError, move: MoneyMove | None, order_no: str | None) -> str:
    if move is not None and error.outcome is Outcome.UNKNOWN:
        return move.order_exists.filled(order_no, order_no) if order_no else move.unknown
    if isinstance(error, PollTimeout):
        query = "query" if error.order_no else "refund-status"
        return f"omipay {query} {error.order_no or error.refund_no} --wait"
    return ""


def message_of(error: OmipayError) -> str:
    """The message of an error: a ``Sentence``, which can be translated, if the command line raised the error."""
    own = error.args[0] if error.args else ""
    return own if isinstance(own, Sentence) else plain(str(error) or type(error).__name__)


def document_of(error: OmipayError, code: Exit, order_no: str | None = None) -> dict[str, Any]:
    """The error as a JSON document. ``order_no`` is the order that this command has made."""
    names = ("error_code", "order_no", "out_order_no", "refund_no", "out_refund_no")
    state = _last_state(error)
    known = {name: value for name in names if (value := getattr(error, name, None) or getattr(state, name, None))}
    if state is not None:
        known["status"] = state.status
    if order_no is not None:
        known.setdefault("order_no", order_no)
    if isinstance(error, PollTimeout) and error.last_error is not None:
        known["last_error"] = plain(error.last_error)
    return {
        "error": type(error).__name__,
        "message": plain(error),
        "outcome": error.outcome,
        "exit_code": int(code),
        **known,
    }


def _last_state(error: OmipayError) -> Order | Refund | None:
    return getattr(error, "order", None) or getattr(error, "refund", None)


def known_of(call: Event | None, *, has_begun: bool) -> Outcome:
    """What is known about the money if a command ended early. The arguments are as for ``interruption``.

    It is UNKNOWN also after a call that succeeded: the order may be paid later.
    """
    was_refused = call is not None and call.error is not None and call.outcome is Outcome.NOT_DONE
    return Outcome.NOT_DONE if was_refused or not has_begun else Outcome.UNKNOWN


def interruption(move: MoneyMove | None, call: Event | None, *, has_begun: bool) -> Sentence:
    """The line after Ctrl-C. ``call`` is the event of the money call; None if there is none, although it has begun."""
    if move is None:
        return sentence("interrupted")
    if not has_begun:
        return sentence("interrupted before anything was sent: no money moved")
    if known_of(call, has_begun=has_begun) is Outcome.NOT_DONE:
        return sentence("interrupted before the gateway acted: no money moved")
    if call is not None and call.error is None:
        return sentence("interrupted: {}", move.order_exists.filled(call.order_no, call.order_no))
    return sentence("interrupted during the call, and nobody knows whether the gateway acted: {}", move.unknown)
