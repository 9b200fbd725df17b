"""Whether a failed try is repeated, and after how long: a pure decision, tabled. The loop is in ``sending``.

============================================  ===================  ===================================
what happened to the try                      a read               a call that moves money
============================================  ===================  ===================================
NEVER_SENT: refused, no name, TLS             repeated             repeated: no byte has arrived
NO_SLOT: no place or too little time left     NotSent              NotSent
NO_ANSWER: cut, silent, timed out             repeated             OutcomeUnknown
BAD_REPLY: 5xx, HTML, empty, cut off          repeated             OutcomeUnknown
SYSTEM_ERROR                                  repeated             OutcomeUnknown
SIGN_TIMEOUT, the reply has a ``Date``        once, signed anew    once: refused before it was acted on
REFUSED: any other FAIL                       the APIError         the APIError
CLOSED: the session was closed meanwhile      SessionClosed        SessionClosed, if it was not sent yet
============================================  ===================  ===================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

import attrs

from omipay_async.codes import Safety
from omipay_async.errors import ConfigurationError
from omipay_async.transport.failures import Failure

if TYPE_CHECKING:
    from collections.abc import Callable


REPEATED: Final[dict[Safety, frozenset[Failure]]] = {
    Safety.READ: frozenset({Failure.NEVER_SENT, Failure.NO_ANSWER, Failure.BAD_REPLY, Failure.SYSTEM_ERROR}),
    Safety.MONEY: frozenset({Failure.NEVER_SENT}),
}
"""What is repeated within ``RetryPolicy.attempts``. (SIGN_TIMEOUT is apart: once, whatever the policy.)"""

AMBIGUOUS: Final = frozenset({Failure.NO_ANSWER, Failure.BAD_REPLY, Failure.SYSTEM_ERROR})
"""What leaves it open whether a money call was acted on."""


_LONGEST_S: Final = 100 * 366 * 86_400.0


def _refuse(name: str, what: str) -> NoReturn:
    message = f"RetryPolicy.{name} must be {what}"
    raise ConfigurationError(message)


def _count(_: object, attribute: attrs.Attribute[int], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        _refuse(attribute.name, "an int of at least 1")


def _seconds(_: object, attribute: attrs.Attribute[float], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LONGEST_S:
        _refuse(attribute.name, "a finite number of seconds, not negative")


def _some_seconds(_: object, attribute: attrs.Attribute[float], value: object) -> None:
    _seconds(_, attribute, value)
    if value == 0:
        _refuse(attribute.name, "more than 0 seconds")


@attrs.frozen
class RetryPolicy:
    """How reads, and money calls that never left, are repeated. All times are in seconds.

    ``attempts`` counts the first try; 1 repeats nothing but the one repeat that a SIGN_TIMEOUT asks for. Before repeat
    ``n`` a random time between 0 and ``base_delay * 2**(n-1)``, ``max_delay`` at most, is waited ("full jitter").
    ``try_timeout`` bounds one try of a read.
    """

    attempts: int = attrs.field(default=3, validator=_count)
    base_delay: float = attrs.field(default=0.2, validator=_seconds)
    max_delay: float = attrs.field(default=2.0, validator=_seconds)
    try_timeout: float = attrs.field(default=10.0, validator=_some_seconds)


def decide(
    policy: RetryPolicy,
    safety: Safety,
    failure: Failure,
    *,
    attempt: int,
    resigned: bool,
    random: Callable[[], float],
) -> float | None:
    """The seconds after which to try again, or None to stop.

    ``attempt`` is the number of tries so far, one for SIGN_TIMEOUT aside; ``resigned`` whether that one was used.
    ``random`` returns a number from 0 up to 1.
    """
    if failure is Failure.SIGN_TIMEOUT:
        return None if resigned else 0.0
    if failure not in REPEATED[safety] or attempt >= policy.attempts:
        return None
    longest = min(policy.max_delay, policy.base_delay * 2.0 ** min(attempt - 1, 60))
    return random() * longest
