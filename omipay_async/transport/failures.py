"""The ways in which an attempt fails. ``calls.retries`` has the table of what follows from each. No I/O."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import attrs

from omipay_async.errors import NotSent, SessionClosed

if TYPE_CHECKING:
    from omipay_async.errors import OmipayError


class Failure(enum.Enum):
    """How one attempt failed."""

    NEVER_SENT = enum.auto()
    """It is certain that no byte of the request reached the gateway."""
    NO_TIME = enum.auto()
    """No slot came free in time, or too little of a money call's time was left to send it."""
    NO_JOURNAL = enum.auto()
    """The journal did not write the money call down, so it was not sent."""
    NO_ANSWER = enum.auto()
    """The request may have reached the gateway, and no reply arrived."""
    BAD_REPLY = enum.auto()
    """The reply cannot be used, or is not believed."""
    SYSTEM_ERROR = enum.auto()
    """The gateway itself failed."""
    SIGN_TIMEOUT = enum.auto()
    """The gateway rejected the timestamp, and the request may be signed again."""
    REFUSED = enum.auto()
    """The gateway answered FAIL with any other code."""
    CLOSED = enum.auto()
    """The session was closed."""


@attrs.frozen(eq=False, repr=False)
class Failed:
    """A failed attempt, and the error to raise if it was the last one."""

    failure: Failure
    error: OmipayError
    retry_after: float | None = None
    """Seconds that the reply asked to wait."""


def not_sent(failure: Failure, endpoint: str, why: str) -> Failed:
    """The failure of a request that certainly did not reach the gateway, not even in part."""
    return Failed(failure, NotSent(f"{endpoint}: not sent, {why}", endpoint=endpoint))


def too_late(endpoint: str) -> Failed:
    """The failure of a money call that was not sent because too little of its time was left."""
    return not_sent(Failure.NO_TIME, endpoint, "less than half of its time was left")


def session_closed() -> Failed:
    """The failure of an attempt that was ended by ``aclose()``: a read, or a request that was not sent yet."""
    return Failed(Failure.CLOSED, SessionClosed())
