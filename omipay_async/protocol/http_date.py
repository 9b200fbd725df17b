"""The times in a reply's ``Date`` and ``Retry-After`` headers, if they can be believed. No I/O.

HTTP writes times in three forms (RFC 9110, 5.6.7), always in UTC::

    Sun, 06 Nov 1994 08:49:37 GMT
    Sunday, 06-Nov-94 08:49:37 GMT
    Sun Nov  6 08:49:37 1994

Any other form, such as a time of another zone, or two times, is not read, since a ``Date`` decides whether a money call
that was refused for its time may be sent again.
"""

from __future__ import annotations

import email.utils
import re
from datetime import UTC, datetime
from typing import Final

HALF_A_SECOND_MS: Final = 500
"""To be added to a ``Date``, which is cut to whole seconds: half a second is missing on average."""
_YEAR_2000_MS: Final = 946_684_800_000
_FURTHEST_MS: Final = 30 * 86_400_000
_FORMS: Final = (  # re compiles it at its first use
    r"""(?xia)[a-z]{3},\ [0-9]{1,2}\ [a-z]{3}\ [0-9]{4}\ [0-9:]{8}\ (?:GMT|UTC)
    |[a-z]{6,9},\ [0-9]{2}-[a-z]{3}-[0-9]{2}\ [0-9:]{8}\ (?:GMT|UTC)
    |[a-z]{3}\ [a-z]{3}\ [\ 0-9][0-9]\ [0-9:]{8}\ [0-9]{4}"""
)
_LEAP_SECOND: Final = 60
"""HTTP has it, Python has not."""
_SECONDS: Final = re.compile(r"[0-9]+(?:\s*,\s*[0-9]+)*")
"""More than one if each of two servers asks to wait."""


def parse_http_date(text: str | None) -> int | None:
    """Milliseconds since the Unix epoch, or None if ``text`` is not a time in one of the three forms."""
    if text is None or re.fullmatch(_FORMS, text.strip()) is None:
        return None
    parts = email.utils.parsedate_tz(text)
    if parts is None:
        return None
    try:
        second = 59 if parts[5] == _LEAP_SECOND else parts[5]
        return round(datetime(*parts[:5], second, tzinfo=UTC).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def believable_date_ms(text: str | None, now_ms: int) -> int | None:
    """The time of a ``Date`` header, in milliseconds since the epoch; None if it must not be compared with our clock.

    A time before 2000, or more than 30 days from our own clock, is a fault of the header rather than of the clock.
    """
    date_ms = parse_http_date(text)
    if date_ms is None or date_ms < _YEAR_2000_MS or abs(date_ms - now_ms) > _FURTHEST_MS:
        return None
    return date_ms


def retry_after_s(text: str | None, now_ms: int) -> float | None:
    """How many seconds a ``Retry-After`` header asks to wait. It contains a number of seconds, or a time.

    If it came more than once, the longest wait counts.
    """
    if text is None:
        return None
    if seconds := _SECONDS.fullmatch(text.strip()):
        return max(map(float, seconds[0].split(",")))
    date_ms = parse_http_date(text)
    return None if date_ms is None else max(0.0, (date_ms - now_ms) / 1000)
