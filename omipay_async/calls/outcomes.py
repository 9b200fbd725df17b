"""What an error says of the money. Every path asks here: calls, their events and journal entries, polls. Pure.

==================================================  =========================================================
what ends a call that moves money                   ``outcome``
==================================================  =========================================================
the arguments or the set-up are refused             NOT_DONE: nothing was sent
``NotSent``, ``SessionClosed``                      NOT_DONE: the gateway never received it
no answer, an unusable reply, SYSTEM_ERROR          UNKNOWN: ``OutcomeUnknown``, caused by that
a FAIL whose code the endpoint's row calls unclear  UNKNOWN: ORDER_PAID and ORDER_CLOSED of a scan order
a FAIL with a code that no document lists           UNKNOWN for scan orders and refunds, else NOT_DONE
any FAIL of an endpoint that is not documented      UNKNOWN, but PARAMETER_INVALID and ``AuthenticationError``
SIGN_TIMEOUT that names a number                    UNKNOWN: ``OutcomeUnknown``, it contradicts itself
any other FAIL                                      NOT_DONE: refused
a cancellation                                      UNKNOWN once it may have been received, else NOT_DONE
==================================================  =========================================================

No error of a read says anything of money. Whatever ends a poll leaves it open whether the order is paid, except
``PaymentFailed`` and ``RefundFailed``. No error is changed after it was raised: one that needs another outcome than it
was made with is made again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from omipay_async.codes import ErrorCode, Safety
from omipay_async.errors import (
    ERROR_CLASSES,
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
from omipay_async.protocol.redaction import excerpt
from omipay_async.transport.failures import Failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from omipay_async.protocol.context import RequestContext
    from omipay_async.protocol.endpoints import Endpoint
    from omipay_async.transport.attempt import Failed

E = TypeVar("E", bound=OmipayError)

AMBIGUOUS: Final = frozenset({Failure.NO_ANSWER, Failure.BAD_REPLY, Failure.SYSTEM_ERROR})
"""What leaves it open whether a money call was acted on."""
_BEFORE_SENDING: Final = (ConfigurationError, InvalidRequest, NotSent, SessionClosed)
_DECIDED: Final = (PaymentFailed, RefundFailed)
_NUMBERS: Final = ("out_order_no", "out_refund_no", "order_no", "refund_no")


def of_code(endpoint: Endpoint[Any], code: ErrorCode | str, *, general: bool = False) -> Outcome | None:
    """What a FAIL with ``code`` says; ``general``: of an endpoint that no document describes."""
    if endpoint.safety is Safety.READ:
        return None
    if general:
        certain = code == ErrorCode.PARAMETER_INVALID or ERROR_CLASSES.get(code) is AuthenticationError
    elif code in endpoint.unclear_codes or code == ErrorCode.SYSTEM_ERROR:
        certain = False
    else:
        certain = isinstance(code, ErrorCode) or not endpoint.unlisted_is_unclear
    return Outcome.NOT_DONE if certain else Outcome.UNKNOWN


def of_call(request: RequestContext, error: OmipayError) -> Outcome | None:
    """What an error says that leaves a call."""
    if request.endpoint.safety is Safety.READ:
        return None
    if isinstance(error, APIError):
        return of_code(request.endpoint, error.error_code, general=request.general)
    return Outcome.NOT_DONE if isinstance(error, _BEFORE_SENDING) else Outcome.UNKNOWN


def of_failed(request: RequestContext, failed: Failed) -> Outcome | None:
    """What a failed attempt says, if the call ends with it."""
    if request.endpoint.safety is Safety.MONEY and failed.failure in AMBIGUOUS:
        return Outcome.UNKNOWN
    return of_call(request, failed.error)


def of_interruption(endpoint: Endpoint[Any], *, may_have_arrived: bool) -> Outcome | None:
    """What a cancellation of a call says, or an exception that is not ours."""
    if endpoint.safety is Safety.READ:
        return None
    return Outcome.UNKNOWN if may_have_arrived else Outcome.NOT_DONE


def of_poll(error: BaseException) -> Outcome:
    """What an error says that leaves a poll: the order may be paid all the same, unless the gateway said otherwise."""
    return Outcome.NOT_DONE if isinstance(error, _DECIDED) else Outcome.UNKNOWN


def restated(error: E, outcome: Outcome | None, *, message: str | None = None) -> E:
    """``error`` with this ``outcome`` (and ``message``): itself if it says so already, else one made anew."""
    if error.outcome is outcome and message in (None, str(error)):
        return error
    made = error.with_outcome(outcome)
    if message is not None:
        made.args = (message, *made.args[1:])
    return made.with_traceback(error.__traceback__)


def verdict(request: RequestContext, failed: Failed) -> OmipayError:
    """The error that a call ends with: with its outcome, and with the numbers of the call in its text."""
    error = failed.error
    if request.endpoint.safety is Safety.MONEY and failed.failure in AMBIGUOUS:
        return _unknown(request, error)
    return stated(request, error)


def stated(request: RequestContext, error: E) -> E:
    """``error`` as it leaves the call: with its outcome, and with the numbers of the call in its text."""
    return restated(error, of_call(request, error), message=with_numbers(str(error), request.numbers))


def _unknown(request: RequestContext, error: OmipayError) -> OutcomeUnknown:
    message = f"{request.endpoint.name}: nobody knows whether it was acted on; do not repeat it ({error})"
    unknown = OutcomeUnknown(
        with_numbers(message, request.numbers),
        endpoint=request.endpoint.name,
        order_no=request.numbers.get("order_no") or getattr(error, "order_no", None),
        out_order_no=request.numbers.get("out_order_no"),
        out_refund_no=request.numbers.get("out_refund_no"),
        raw=getattr(error, "raw", None),
    )
    unknown.__cause__ = error
    return unknown


def names_a_number(raw: Mapping[str, Any]) -> bool:
    """Whether a reply names an order or a refund: then the gateway got further than its refusal says."""
    return any(raw.get(name) not in (None, "") for name in _NUMBERS)


def with_numbers(message: str, numbers: Mapping[str, str]) -> str:
    """``message`` with those numbers that it does not name yet."""
    named = (f"{name} {excerpt(numbers[name].encode(errors='replace'))}" for name in _NUMBERS if name in numbers)
    missing = [number for number in named if number not in message]
    return f"{message} ({', '.join(missing)})" if missing else message
