"""Hides a value's type, for tests that do something wrong on purpose."""

from __future__ import annotations

from typing import Any


def untyped(value: object) -> Any:
    """``value`` without its type: for wrong arguments, and for attributes that only a test sets."""
    return value
