"""Whether a failed attempt is repeated, where, and after how long: a pure decision. ``executor`` has the loop.

============================================  ===================  ===================================
what happened to the attempt                  a read               a call that moves money
============================================  ===================  ===================================
NEVER_SENT: refused, no name, TLS             repeated             repeated: no byte has arrived
NO_SLOT: no place or too little time left     NotSent              NotSent
NO_JOURNAL: it could not be written down      (is not)             NotSent
NO_ANSWER: cut, silent, timed out             repeated             OutcomeUnknown
BAD_REPLY: 5xx, HTML, empty, cut off          repeated             OutcomeUnknown
SYSTEM_ERROR                                  repeated             OutcomeUnknown
SIGN_TIMEOUT that may be signed again         once, at once        once: refused before it was acted on
REFUSED: any other FAIL                       the APIError         the APIError
CLOSED: the session was closed meanwhile      SessionClosed        SessionClosed, if it was not sent yet
============================================  ===================  ===================================

What was NEVER_SENT is first asked of the other node, at once, if there is one that was not tried in this round. A read
that was told to wait (``Retry-After`` of 429 and 503) waits as long, or ends at once if it has less time than that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

import attrs

from omipay_async.codes import ErrorCode, Safety
from omipay_async.errors import ConfigurationError
from omipay_async.protocol.durations import checked_seconds
from omipay_async.protocol.http_date import retry_after_s
from omipay_async.transport.failures import Failure

from .outcomes import names_a_number

if TYPE_CHECKING:
    from collections.abc import Callable

    from omipay_async.errors import APIError
    from omipay_async.protocol.reply import Received


REPEATED: Final[dict[Safety, frozenset[Failure]]] = {
    Safety.READ: frozenset({Failure.NEVER_SENT, Failure.NO_ANSWER, Failure.BAD_REPLY, Failure.SYSTEM_ERROR}),
    Safety.MONEY: frozenset({Failure.NEVER_SENT}),
}
"""What is repeated within ``RetryPolicy.attempts``. (SIGN_TIMEOUT is apart: once, whatever the policy.)"""

_ASKED_TO_WAIT: Final = (429, 503)
_CLEARLY_OFF_MS: Final = 4 * 60 * 1000
"""The gateway rejects a timestamp that is five minutes off (PROTOCOL 1). Below four, its rejection is not believed."""


def _refuse(name: str, what: str) -> NoReturn:
    message = f"RetryPolicy.{name} must be {what}"
    raise ConfigurationError(message)


def _count(_: object, attribute: attrs.Attribute[int], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        _refuse(attribute.name, "an int of at least 1")


def _seconds(_: object, attribute: attrs.Attribute[float], value: object) -> None:
    _check_seconds(attribute, value, above=False)


def _some_seconds(_: object, attribute: attrs.Attribute[float], value: object) -> None:
    _check_seconds(attribute, value, above=True)


def _check_seconds(attribute: attrs.Attribute[float], value: object, *, above: bool) -> None:
    def reject(why: str) -> NoReturn:
        message = f"RetryPolicy.{attribute.name} {why}"
        raise ConfigurationError(message)

    checked_seconds(value, reject, above=above)


@attrs.frozen
class RetryPolicy:
    """How reads, and money calls that never left, are repeated. All times are in seconds.

    ``attempts`` counts the first try; 1 repeats nothing but the one repeat that a SIGN_TIMEOUT asks for. Before repeat
    ``n`` a random time between 0 and ``base_delay * 2**(n-1)``, ``max_delay`` at most, is waited ("full jitter").
    ``try_timeout`` bounds one try of a read.

    Raises:
        ConfigurationError: naming the field that is wrong.
    """

    attempts: int = attrs.field(default=3, validator=_count)
    base_delay: float = attrs.field(default=0.2, validator=_seconds)
    max_delay: float = attrs.field(default=2.0, validator=_seconds)
    try_timeout: float = attrs.field(default=10.0, validator=_some_seconds)


@attrs.frozen
class Situation:
    """What a decision rests on, after a failed attempt."""

    safety: Safety
    failure: Failure
    attempts: int
    """How many were made so far, the one after a SIGN_TIMEOUT aside."""
    time_left: float
    """Seconds within which the next attempt must leave."""
    signed_again: bool = False
    """Whether the one repeat after a SIGN_TIMEOUT was made."""
    another_node: bool = False
    """Whether there is a node that was not asked in this round."""
    retry_after: float | None = None
    """Seconds that a read was told to wait."""


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
    """What a FAIL other than SYSTEM_ERROR is to the table above.

    A SIGN_TIMEOUT may be signed again only if the reply's ``Date`` says what time it is (``date_ms``, milliseconds
    since the epoch; None if it does not). A money call is sent again only where the reply proves the rejection: its
    ``Date`` shows the timestamp that was sent (``signed_ms``) to have been four minutes off or more, and no number of
    an order or refund is named.
    """
    if error.error_code != ErrorCode.SIGN_TIMEOUT:
        return Failure.REFUSED
    if safety is Safety.MONEY:
        if names_a_number(error.raw or {}):
            return Failure.BAD_REPLY
        if date_ms is None or abs(date_ms - signed_ms) < _CLEARLY_OFF_MS:
            return Failure.REFUSED
    return Failure.REFUSED if date_ms is None else Failure.SIGN_TIMEOUT


def told_to_wait(received: Received, now_ms: int) -> float | None:
    """The seconds of a ``Retry-After`` that came with a status which may have one."""
    return retry_after_s(received.retry_after, now_ms) if received.status in _ASKED_TO_WAIT else None
