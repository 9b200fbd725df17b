"""Checks the arguments that tests and programs give to the sandbox. No I/O.

A fault that can never apply, because of a typing error, would make a test that cannot fail. Each function returns the
value, or raises a ValueError that names the argument.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp


def number(name: str, value: object, *, most: float = math.inf) -> float:
    """``value`` if it is a finite number from 0 to ``most``."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= min(most, sys.float_info.max):
        return value
    limit = "" if most == math.inf else f" and at most {most:g}"
    raise ValueError(f"{name} must be a number of at least 0{limit}")


def count(name: str, value: object) -> int:
    """``value`` if it is a whole number of at least 0."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError(f"{name} must be a whole number of at least 0")


def text(name: str, value: object) -> str:
    """The content of ``value``, if it is a string that is not empty. It is not shown: it may be a key."""
    if isinstance(value, str) and value:
        return str.__str__(value)  # a masked secret, or a member of an enum, prints as something else
    raise ValueError(f"{name} must be a string that is not empty")


def app(value: ASGIApp | None) -> ASGIApp | None:
    """``value`` if it can be called, as an ASGI app is, or if it is None."""
    if value is None or callable(value):
        return value
    raise ValueError("app must be an ASGI app")
