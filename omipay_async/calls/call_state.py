"""The state of one call: what it sends, how much time it has left, how far it has got. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from omipay_async.clock import Deadline
from omipay_async.codes import Safety

from .outcomes import of_end

if TYPE_CHECKING:
    from omipay_async.clock import Clock
    from omipay_async.errors import Outcome
    from omipay_async.journal import JournalEntry
    from omipay_async.protocol.context import RequestContext
    from omipay_async.transport.attempt import Attempt, Node
    from omipay_async.transport.cancellation import CancelScope
    from omipay_async.transport.pool import Priority


@attrs.define(eq=False, repr=False)
class CallState:
    """One call under way. Times are by the clock's ``monotonic``, in seconds."""

    request: RequestContext
    query: str = attrs.field(repr=False)
    priority: Priority
    timeout: float
    started: float
    started_ms: int
    """By the wall clock, in milliseconds since the epoch."""
    send_by: Deadline | None = None
    """A money call is not sent with less than half its time left: its reply could come too late."""
    attempts: int = 0
    attempt_started: float = 0.0
    attempt_waited_s: float = 0.0
    """How long the latest attempt has waited for its slot."""
    signed_again: bool = False
    """Whether the one repeat after a SIGN_TIMEOUT was made."""
    signed_ms: int = 0
    """The timestamp of the last signature."""
    waited_s: float = 0.0
    """How long all attempts together have waited for their slots."""
    node: Node | None = None
    scope: CancelScope | None = None
    """What the call waits in now; ``aclose()`` can end it."""
    attempt: Attempt | None = None
    """The latest request, until it is certain that another one may follow."""
    entry: JournalEntry | None = None
    """Its entry in the journal, once that is opened."""

    @classmethod
    def begin(cls, clock: Clock, request: RequestContext, query: str, priority: Priority, timeout: float) -> CallState:
        """The state of a call that begins now and may take ``timeout`` seconds in all."""
        send_by = Deadline.after(clock, timeout / 2) if request.endpoint.safety is Safety.MONEY else None
        return cls(request, query, priority, timeout, clock.monotonic(), clock.time_ms(), send_by)

    @property
    def deadline(self) -> float:
        """When the time of the whole call is over."""
        return self.started + self.timeout

    @property
    def moves_money(self) -> bool:
        """Whether repeating it could move money twice."""
        return self.send_by is not None

    @property
    def may_have_arrived(self) -> bool:
        """Whether the gateway may have received, and acted on, a request of this call."""
        return self.attempt is not None and self.attempt.may_have_arrived

    def outcome_of(self, error: BaseException) -> Outcome | None:
        """What is known about the money after the call has ended with ``error``."""
        return of_end(self.request.endpoint, error, may_have_arrived=self.may_have_arrived)

    def time_left(self, clock: Clock) -> float:
        """How many seconds are left in which a request may be sent."""
        return self.deadline - clock.monotonic() if self.send_by is None else self.send_by.seconds_left(clock)
