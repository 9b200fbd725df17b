"""The validator of seconds, for arguments, options and policies. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from omipay_async.text import plain_number

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_TIME_S: Final = 100 * 366 * 86_400.0


def checked_seconds(
    value: object,
    reject: Callable[[str], NoReturn],
    *,
    above: bool = False,
    longest: float = LONGEST_TIME_S,
) -> float:
    """``value`` if it is a finite number of seconds of at least (or ``above``) 0.

    If it is not, ``reject`` is called with the reason: arguments, options and policies each raise their own error.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        reject(f"must be a number of seconds, not {type(value).__name__}")
    value = plain_number(value)
    if not abs(value) <= longest:  # true for NaN too
        reject("must be a finite number of seconds, or None where that is allowed")
    if value < 0 or (above and value == 0):
        reject(f"must be {'more than' if above else 'at least'} 0 seconds")
    return float(value)
