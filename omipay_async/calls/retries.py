"""Decides whether a failed attempt is repeated, on which node, and after how long. Pure; the loop is in ``executor``.

============================================  ===================  ===================================
what happened to the attempt                  a read               a call that moves money
============================================  ===================  ===================================
NEVER_SENT: refused, unknown name, TLS        repeated             repeated: no byte has arrived
NO_TIME: no slot, or too little time left     NotSent              NotSent
NO_JOURNAL: it could not be written down      (not written down)   NotSent
NO_ANSWER: cut, silent, timed out             repeated             OutcomeUnknown
BAD_REPLY: 5xx, HTML, empty, cut off          repeated             OutcomeUnknown
SYSTEM_ERROR                                  repeated             OutcomeUnknown
SIGN_TIMEOUT that may be signed again         once, at once        once: refused before it was acted on
REFUSED: any other FAIL                       the APIError         the APIError
CLOSED: the session was closed                SessionClosed        SessionClosed, if it was not sent yet
============================================  ===================  ===================================

What was NEVER_SENT is first repeated on the other node, at once, if there is one that was not tried in this round. A
read that was asked to wait (``Retry-After`` with 429 or 503) waits that long, or ends at once if it has less time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

from omipay_async import options
from omipay_async.codes import ErrorCode, Safety
from omipay_async.protocol.context import NUMBERS
from omipay_async.protocol.fields import is_absent
from omipay_async.protocol.http_date import believable_date_ms, retry_after_s
from omipay_async.transport.failures import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from omipay_async.errors import APIError
    from omipay_async.protocol.reply import Received


REPEATED: Final[dict[Safety, frozenset[Failure]]] = {
    Safety.READ: frozenset({Failure.NEVER_SENT, Failure.NO_ANSWER, Failure.BAD_REPLY, Failure.SYSTEM_ERROR}),
    Safety.MONEY: frozenset({Failure.NEVER_SENT}),
}
"""What is repeated within ``RetryPolicy.attempts``. SIGN_TIMEOUT is not counted there: it is repeated once."""

_ASKED_TO_WAIT: Final = (429, 503)
_CLEARLY_OFF_MS: Final = 4 * 60 * 1000
"""The gateway rejects a timestamp that is five minutes off (PROTOCOL 1). A money call is not sent again after the
rejection of one that is less than four minutes off."""
_TIMES: Final = ("order_time", "pay_time", "refund_time")


def _attempts(value: int) -> int:
    return options.count("RetryPolicy.attempts", value)


def _base_delay(value: float) -> float:
    return options.seconds("RetryPolicy.base_delay", value)


def _max_delay(value: float) -> float:
    return options.seconds("RetryPolicy.max_delay", value)


def _try_timeout(value: float) -> float:
    return options.seconds("RetryPolicy.try_timeout", value, above=True)


@attrs.frozen
class RetryPolicy:
    """How reads, and money calls that were never sent, are repeated. All times are in seconds.

    ``attempts`` counts the first try; with 1 nothing is repeated, except once after a SIGN_TIMEOUT, and once on the
    ``fallback`` node. Before attempt ``n + 1`` the session waits a random time between 0 and ``base_delay * 2**(n-1)``,
    at most ``max_delay`` ("full jitter"); the ``fallback`` node is asked at once. ``try_timeout`` limits one try of a
    read.

    Raises:
        ConfigurationError: naming the field that is wrong.
    """

    attempts: int = attrs.field(default=3, converter=_attempts)
    base_delay: float = attrs.field(default=0.2, converter=_base_delay)
    max_delay: float = attrs.field(default=2.0, converter=_max_delay)
    try_timeout: float = attrs.field(default=10.0, converter=_try_timeout)


@attrs.frozen(eq=False, repr=False)
class Situation:
    """What the decision after a failed attempt depends on."""

    safety: Safety
    failure: Failure
    attempts: int
    """How many were made so far, without the one after a SIGN_TIMEOUT."""
    time_left: float
    """Seconds within which the next attempt must leave."""
    signed_again: bool
    """Whether the one repeat after a SIGN_TIMEOUT was made."""
    another_node: bool
    """Whether there is a node that was not tried in this round."""
    retry_after: float | None
    """Seconds that the reply to a read asked to wait."""


@attrs.frozen
class Repeat:
    """Try again, after ``delay`` seconds."""

    delay: float = 0.0
    on_another_node: bool = False


def decide(policy: RetryPolicy, now: Situation, random: Callable[[], float]) -> Repeat | None:
    """Whether to try again, or None to stop. ``random`` returns a number from 0 up to 1."""
    repeat = _wanted(policy, now, random)
    return repeat if repeat is not None and repeat.delay < now.time_left else None


def _wanted(policy: RetryPolicy, now: Situation, random: Callable[[], float]) -> Repeat | None:
    if now.failure is Failure.SIGN_TIMEOUT:
        return None if now.signed_again else Repeat()
    if now.failure is Failure.NEVER_SENT and now.another_node and now.attempts < max(policy.attempts, 2):
        return Repeat(on_another_node=True)
    if now.failure not in REPEATED[now.safety] or now.attempts >= policy.attempts:
        return None
    longest = min(policy.max_delay, policy.base_delay * 2.0 ** min(now.attempts - 1, 60))
    return Repeat(max(random() * longest, now.retry_after or 0.0))


def failure_of_refusal(safety: Safety, error: APIError, date_ms: int | None, signed_ms: int) -> Failure:
    """The row of the module's table for a FAIL.

    A SIGN_TIMEOUT may be signed again only if the reply's ``Date`` shows the time (``date_ms``, milliseconds since the
    epoch; None if it does not). A money call is sent again only where the reply proves the rejection: the timestamp
    that was sent (``signed_ms``) was four minutes off or more by that ``Date``, and the reply shows no order or refund.
    """
    if error.error_code == ErrorCode.SYSTEM_ERROR:
        return Failure.SYSTEM_ERROR
    if error.error_code != ErrorCode.SIGN_TIMEOUT:
        return Failure.REFUSED
    if safety is Safety.MONEY:
        if _shows_an_order(error.raw or {}):
            return Failure.BAD_REPLY
        if date_ms is None or abs(date_ms - signed_ms) < _CLEARLY_OFF_MS:
            return Failure.REFUSED
    return Failure.REFUSED if date_ms is None else Failure.SIGN_TIMEOUT


def _shows_an_order(raw: Mapping[str, Any]) -> bool:
    """Whether a reply names an order or a refund, or the time of one: then the gateway did more than refuse."""
    return any(not is_absent(raw.get(name)) for name in (*NUMBERS, *_TIMES))


def requested_wait_s(received: Received, gateway_ms: int) -> float | None:
    """How many seconds a reply asks to wait: its ``Retry-After``, where the status is 429 or 503.

    If that is a time, it counts from the reply's own ``Date``, since our clock may be off; without one that can be
    believed, from ``gateway_ms``, the gateway's clock as we know it.
    """
    if received.status not in _ASKED_TO_WAIT:
        return None
    return retry_after_s(received.retry_after, believable_date_ms(received.date, gateway_ms) or gateway_ms)
