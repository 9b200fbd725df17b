"""When a sweep asks about an order: ten seconds after it was made, and then whenever its age has doubled. Pure.

An order that nobody pays is asked about some twenty times in its first year, one that is paid at once within seconds.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

FIRST: Final = timedelta(seconds=10)
_LONGEST_PAUSE: Final = timedelta(seconds=60)


def next_question(age: timedelta) -> timedelta:
    """At which age the order is asked about next, if it was asked about at ``age``."""
    return max(FIRST, 2 * age)


def next_attempt(age: timedelta) -> timedelta:
    """The same after an attempt without an answer, or a handler that failed: soon, whatever the order's age is."""
    return age + min(max(FIRST, age), _LONGEST_PAUSE)
