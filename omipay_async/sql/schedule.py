"""When a sweep asks about an order: ten seconds after it was made, and then whenever its age has doubled. No I/O.

An order that is never paid is asked about some twenty times in its first year.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

FIRST: Final = timedelta(seconds=10)
_LONGEST_PAUSE: Final = timedelta(seconds=60)


def next_question(age: timedelta) -> timedelta:
    """The age at which an order is asked about next, if it was asked about at ``age``."""
    return max(FIRST, 2 * age)


def next_attempt(age: timedelta) -> timedelta:
    """The same after a question without an answer or a handler that failed: within a minute, whatever the age is."""
    return age + min(max(FIRST, age), _LONGEST_PAUSE)
