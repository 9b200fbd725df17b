"""What an error means for the money: for calls, for their events and journal entries, and for polls. Pure.

==================================================  =============================================================
what ends a call that moves money                   ``outcome``
==================================================  =============================================================
the arguments or the set-up are rejected            NOT_DONE: nothing was sent
``NotSent``, ``SessionClosed``                      NOT_DONE: the gateway never received it
no answer, an unusable reply, SYSTEM_ERROR          UNKNOWN: ``OutcomeUnknown``, caused by that
any other exception, once it was sent               UNKNOWN: ``OutcomeUnknown``, caused by that
a FAIL with one of the endpoint's ambiguous_codes   UNKNOWN: ORDER_PAID, ORDER_CLOSED (scan), USERPAYING (refund)
a FAIL with a code that no document lists           UNKNOWN for scan orders and refunds, else NOT_DONE
any FAIL of an endpoint that is not documented      UNKNOWN, except PARAMETER_INVALID and authentication
SIGN_TIMEOUT that shows an order or a refund        UNKNOWN: ``OutcomeUnknown``, it contradicts itself
any other FAIL                                      NOT_DONE: refused
a cancellation                                      UNKNOWN once it may have been received, else NOT_DONE
==================================================  =============================================================

An error of a read has no outcome. An error of a poll is UNKNOWN, since the order may still be paid, except
``PaymentFailed`` and ``RefundFailed``. An error is never changed after it was raised: where another outcome is needed,
a new error is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from omipay_async.codes import ErrorCode, Safety
from omipay_async.errors import (
    APIError,
    AuthenticationError,
    ConfigurationError,
    InvalidRequest,
    NotSent,
    OmipayError,
    Outcome,
    OutcomeUnknown,
    PaymentFailed,
    RefundFailed,
    SessionClosed,
)
from omipay_async.protocol.context import NUMBERS
from omipay_async.protocol.decoding import ERROR_CLASSES
from omipay_async.protocol.redaction import excerpt
from omipay_async.transport.failures import Failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from omipay_async.protocol.context import RequestContext
    from omipay_async.protocol.endpoints import Endpoint
    from omipay_async.transport.failures import Failed

E = TypeVar("E", bound=OmipayError)

AMBIGUOUS: Final = frozenset({Failure.NO_ANSWER, Failure.BAD_REPLY, Failure.SYSTEM_ERROR})
"""The failures after which nobody knows whether a money call was acted on."""
_BEFORE_SENDING: Final = (ConfigurationError, InvalidRequest, NotSent, SessionClosed)
_DECIDED: Final = (PaymentFailed, RefundFailed)


def of_code(endpoint: Endpoint[Any], code: ErrorCode | str, *, general: bool) -> Outcome | None:
    """The outcome of a FAIL with ``code``. ``general``: the endpoint is one that no document describes."""
    if endpoint.safety is Safety.READ:
        return None
    if general:
        certain = code == ErrorCode.PARAMETER_INVALID or ERROR_CLASSES.get(code) is AuthenticationError
    elif code in endpoint.ambiguous_codes or code == ErrorCode.SYSTEM_ERROR:
        certain = False
    else:
        certain = isinstance(code, ErrorCode) or not endpoint.unlisted_is_ambiguous
    return Outcome.NOT_DONE if certain else Outcome.UNKNOWN


def of_call(request: RequestContext, error: OmipayError) -> Outcome | None:
    """The outcome of an error that ends a call."""
    if request.endpoint.safety is Safety.READ:
        return None
    if isinstance(error, APIError):
        return of_code(request.endpoint, error.error_code, general=request.general)
    return Outcome.NOT_DONE if isinstance(error, _BEFORE_SENDING) else Outcome.UNKNOWN


def of_end(endpoint: Endpoint[Any], error: BaseException, *, may_have_arrived: bool) -> Outcome | None:
    """The outcome of what ended a call: an error that was made for its caller, a cancellation, any other exception."""
    if isinstance(error, OmipayError):
        return error.outcome
    if endpoint.safety is Safety.READ:
        return None
    return Outcome.UNKNOWN if may_have_arrived else Outcome.NOT_DONE


def of_poll(error: BaseException) -> Outcome:
    """The outcome of an error that ends a poll."""
    return Outcome.NOT_DONE if isinstance(error, _DECIDED) else Outcome.UNKNOWN


def restated(error: E, outcome: Outcome | None, *, message: str | None = None) -> E:
    """``error`` itself if it has this ``outcome`` (and ``message``) already, else a new error that has them."""
    if error.outcome is outcome and message in (None, str(error)):
        return error
    made = error.with_outcome(outcome)
    if message is not None:
        made.args = (message, *made.args[1:])
    return made.with_traceback(error.__traceback__)


def final_error(request: RequestContext, failed: Failed) -> OmipayError:
    """The error that a call ends with after a failed attempt."""
    if request.endpoint.safety is Safety.MONEY and failed.failure in AMBIGUOUS:
        return unknown(request, failed.error)
    return for_caller(request, failed.error)


def for_caller(request: RequestContext, error: E) -> E:
    """``error`` as the caller gets it: with its outcome, and with the numbers of the call in its text."""
    made = restated(error, of_call(request, error), message=with_numbers(str(error), request.numbers))
    if isinstance(made, SessionClosed):
        made.order_no, made.refund_no = request.numbers.get("order_no"), request.numbers.get("refund_no")
    return made


def unknown(request: RequestContext, error: Exception) -> OutcomeUnknown:
    """The error of a money call that was sent and ended with ``error``: nobody knows whether it was acted on."""
    # The text of an exception that is not ours may contain anything.
    why = str(error) if isinstance(error, OmipayError) else type(error).__name__
    message = f"{request.endpoint.name}: nobody knows whether it was acted on; do not repeat it ({why})"
    made = OutcomeUnknown(
        with_numbers(message, request.numbers),
        endpoint=request.endpoint.name,
        order_no=request.numbers.get("order_no") or getattr(error, "order_no", None),
        out_order_no=request.numbers.get("out_order_no"),
        out_refund_no=request.numbers.get("out_refund_no"),
        raw=getattr(error, "raw", None),
    )
    made.__cause__ = error
    return made


def with_numbers(message: str, numbers: Mapping[str, str]) -> str:
    """``message`` followed by those numbers that it does not contain yet."""
    named = (f"{name} {excerpt(numbers[name].encode(errors='replace'))}" for name in NUMBERS if name in numbers)
    missing = [number for number in named if number not in message]
    return f"{message} ({', '.join(missing)})" if missing else message
