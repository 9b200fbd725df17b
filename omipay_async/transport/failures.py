"""What became of an attempt that brought no usable reply."""

from __future__ import annotations

import enum


class Failure(enum.Enum):
    """What became of one try."""

    NEVER_SENT = "never sent"
    NO_SLOT = "no slot"
    NO_JOURNAL = "no journal"
    NO_ANSWER = "no answer"
    BAD_REPLY = "bad reply"
    SYSTEM_ERROR = "system error"
    SIGN_TIMEOUT = "sign timeout"
    REFUSED = "refused"
    CLOSED = "closed"
