"""The ways in which an attempt fails. ``calls.retries`` has the table of what follows from each."""

from __future__ import annotations

import enum


class Failure(enum.Enum):
    """How one attempt failed."""

    NEVER_SENT = enum.auto()
    NO_SLOT = enum.auto()
    NO_JOURNAL = enum.auto()
    NO_ANSWER = enum.auto()
    BAD_REPLY = enum.auto()
    SYSTEM_ERROR = enum.auto()
    SIGN_TIMEOUT = enum.auto()
    REFUSED = enum.auto()
    CLOSED = enum.auto()
