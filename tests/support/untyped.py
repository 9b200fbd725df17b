"""What type checkers refuse, and tests do on purpose."""

from __future__ import annotations

from typing import Any


def untyped(value: object) -> Any:
    """``value`` as it is: for arguments that are wrong on purpose, and attributes that only a test sets."""
    return value
