"""Checks of options: of a session, a retry policy, a backend, an adapter. No I/O.

What is wrong is a :class:`ConfigurationError` that names the option. (``validation`` checks the arguments of calls.)
"""

from __future__ import annotations

import functools
import math
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NoReturn

from omipay_async.errors import ConfigurationError
from omipay_async.text import plain_number, plain_value

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_TIME_S: Final = 100 * 366 * 86_400.0
LONGEST_DURATION_S: Final = timedelta.max.total_seconds()


def reject(option: str, what: str) -> NoReturn:
    """Raise a :class:`ConfigurationError` about ``option``; ``what`` is wrong with it."""
    message = f"{option} {what}"
    raise ConfigurationError(message)


def count(option: str, value: object, *, most: float = math.inf) -> int:
    """``value`` if it is an int from 1 to ``most``."""
    number = plain_value(value)
    if type(number) is not int or number < 1:
        reject(option, "must be an int of at least 1")
    if number > most:
        reject(option, f"must be at most {most}")
    return number


def seconds(option: str, value: object, *, above: bool = False, longest: float = _LONGEST_TIME_S) -> float:
    """``value`` if it is a finite number of seconds of at least (or ``above``) 0."""
    return checked_seconds(value, functools.partial(reject, option), above=above, longest=longest)


def duration(option: str, value: object) -> float:
    """A duration above 0, given as seconds or a ``timedelta``, in seconds."""
    given = value.total_seconds() if isinstance(value, timedelta) else value
    return seconds(option, given, above=True, longest=LONGEST_DURATION_S)


def checked_seconds(
    value: object,
    reject: Callable[[str], NoReturn],
    *,
    above: bool,
    longest: float = _LONGEST_TIME_S,
) -> float:
    """As :func:`seconds`, for arguments too: ``reject`` is called with the reason, and raises the error."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        reject(f"must be a number of seconds, not {type(value).__name__}")
    value = plain_number(value)
    if not abs(value) <= longest:  # true for NaN too
        reject("must be a finite number of seconds, or None where that is allowed")
    if value < 0 or (above and value == 0):
        reject(f"must be {'more than' if above else 'at least'} 0 seconds")
    return float(value)
