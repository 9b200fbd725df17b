"""One validator of seconds, for arguments, options and policies. No I/O."""

from __future__ import annotations

from typing import Final

LONGEST_TIME_S: Final = 100 * 366 * 86_400.0


def what_is_wrong_with_seconds(
    value: object, *, least: float = 0.0, above: bool = False, longest: float = LONGEST_TIME_S
) -> str | None:
    """Why ``value`` is not a finite number of seconds of at least (or ``above``) ``least``; None if it is.

    The one place that knows: arguments, options and policies each raise the error of their own kind.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"must be a number of seconds, not {type(value).__name__}"
    if not -longest <= value <= longest:  # nor is NaN between them
        return "must be a finite number of seconds, or None where that is allowed"
    if value < least or (above and value == least):
        return f"must be {'more than' if above else 'at least'} {least:g} seconds"
    return None
