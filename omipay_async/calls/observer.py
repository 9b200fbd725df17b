"""Reports calls: as events to the hook, and as records to the log. Neither contains a URL.

Every record about a call has the numbers of the order or refund in its text and, with the endpoint, as ``extra``:
``omipay_endpoint``, ``omipay_order_no``, ``omipay_out_order_no``, ``omipay_out_refund_no``, ``omipay_outcome``.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from omipay_async.codes import ErrorCode, OrderStatus
from omipay_async.errors import Outcome, OutcomeUnknown
from omipay_async.events import Event
from omipay_async.log import log_fields, logger

from .outcomes import final_error, with_numbers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from omipay_async.clock import Clock
    from omipay_async.events import Events
    from omipay_async.protocol.context import RequestContext
    from omipay_async.transport.failures import Failed, Failure

    from .call_state import CallState


class CallObserver:
    """Reports the calls of a session."""

    __slots__ = ("_clock", "_events")

    def __init__(self, events: Events, clock: Clock) -> None:
        self._events = events
        self._clock = clock

    def attempt_ended(self, call: CallState, failed: Failed | None) -> None:
        """Report that an attempt got a reply (``failed`` is None) or failed."""
        if not self._events.enabled and not logger.isEnabledFor(logging.DEBUG):
            return
        error = None if failed is None else failed.error
        outcome = None if failed is None else final_error(call.request, failed).outcome
        event = self._event(call, "attempt", call.attempt_started, error, outcome)
        text = f"attempt {event.attempt} on {event.node} took {event.duration_s:.3f} s: {event.error or 'answered'}"
        log_call(logging.DEBUG, call.request, text, outcome=outcome)
        self._events.emit(event)

    def repeating(self, call: CallState, failure: Failure, delay: float) -> None:
        """Report that a failed attempt is repeated after ``delay`` seconds."""
        what = failure.name.lower().replace("_", " ")
        text = f"attempt {call.attempts} failed ({what}), repeating in {delay:.3f} s"
        log_call(logging.WARNING, call.request, text)

    def node_changed(self, call: CallState, unreachable: str, following: str) -> None:
        """Report that one node could not be reached, and that the following one is tried."""
        log_call(logging.WARNING, call.request, f"{unreachable} cannot be reached, asking {following}")
        self._events.emit(Event("node", endpoint=call.request.endpoint.name, node=following))

    def clock_learnt(self, node: str | None, offset_s: float) -> None:
        """Report that the gateway's clock is ``offset_s`` seconds ahead of this machine's."""
        logger.warning("this machine's clock is off: signing with an offset of %.1f s from now on", offset_s)
        self._events.emit(Event("clock", node=node, offset_s=offset_s))

    def call_ended(self, call: CallState, error: BaseException | None, result: Any = None) -> None:
        """Report that a call ended, whatever ended it. It is called exactly once for each call."""
        outcome = None if error is None else call.outcome_of(error)
        if isinstance(error, OutcomeUnknown):
            log_call(logging.ERROR, call.request, str(error), outcome=outcome)
        elif outcome is Outcome.UNKNOWN and not isinstance(error, Exception):
            # Nobody gets an error that has the numbers: a framework may have cancelled what a browser no longer awaits.
            what = f"ended by {type(error).__name__} after it was sent"
            text = f"{what}: nobody knows whether it was acted on; do not repeat it"
            log_call(logging.ERROR, call.request, text, outcome=outcome)
        if not self._events.enabled:
            return
        self._events.emit(self._event(call, "call", call.started, error, outcome, result=result))

    def _event(
        self,
        call: CallState,
        name: str,
        began: float,
        error: BaseException | None,
        outcome: Outcome | None,
        *,
        result: Any = None,
    ) -> Event:
        numbers = call.request.numbers
        is_paying = call.moves_money and getattr(result, "status", None) is OrderStatus.PAYING
        return Event(
            name,
            endpoint=call.request.endpoint.name,
            safety=call.request.endpoint.safety,
            attempt=call.attempts,
            duration_s=self._clock.monotonic() - began,
            waited_s=call.attempt_waited_s if name == "attempt" else call.waited_s,
            node=call.node.name if call.node is not None else None,
            error=None if error is None else type(error).__name__,
            outcome=outcome,
            error_code=ErrorCode.USERPAYING if is_paying else getattr(error, "error_code", None),
            order_no=field_of(result, "order_no") or getattr(error, "order_no", None) or numbers.get("order_no"),
            out_order_no=numbers.get("out_order_no"),
            out_refund_no=numbers.get("out_refund_no"),
        )


def field_of(result: Mapping[str, Any] | object, name: str) -> str | None:
    """A text of what a call ended with: of a model, of an error, or of the mapping that a general call returns."""
    value = result.get(name) if isinstance(result, dict) else getattr(result, name, None)
    return value if isinstance(value, str) and value else None


def log_call(level: int, request: RequestContext, text: str, *, outcome: Outcome | None = None, **more: Any) -> None:
    """Log ``text`` about a call, with its numbers."""
    numbers = request.numbers
    extra = log_fields(
        endpoint=request.endpoint.name,
        order_no=numbers.get("order_no"),
        out_order_no=numbers.get("out_order_no"),
        out_refund_no=numbers.get("out_refund_no"),
        outcome=outcome,
    )
    name = request.endpoint.name
    shown = text if text.startswith(f"{name}:") else f"{name}: {text}"
    logger.log(level, "%s", with_numbers(shown, numbers), extra=extra, **more)
