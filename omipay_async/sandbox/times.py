"""How the gateway writes times. The client reads them with its own code, so the two check each other. No I/O."""

from __future__ import annotations

import functools
from datetime import datetime
from email.utils import formatdate
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

TIME_ZONE: Final = "Australia/Sydney"
"""CN 2.2(3) says "Australian eastern time EST": read as Sydney's wall clock."""


def wire_time(time_ms: int | None) -> str:
    """``yyyyMMddHHmmss`` on Sydney's wall clock; the empty string for what has not happened yet (CN 3.8).

    Raises RuntimeError on a machine without a time zone database.
    """
    return "" if time_ms is None else datetime.fromtimestamp(time_ms / 1000, _zone()).strftime("%Y%m%d%H%M%S")


def shown_time(time_ms: int) -> str:
    """A moment for people, on Sydney's wall clock, with the zone: ``2016-12-27 10:55:30 AEDT``."""
    return datetime.fromtimestamp(time_ms / 1000, _zone()).strftime("%Y-%m-%d %H:%M:%S %Z")


def http_date(time_ms: int) -> str:
    """The value of a ``Date`` header."""
    return formatdate(time_ms // 1000, usegmt=True)


def check_time_zone() -> None:
    """Raise RuntimeError on a machine without a time zone database, on which no order could be made."""
    _zone()


@functools.cache
def _zone() -> ZoneInfo:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(TIME_ZONE)
    except ZoneInfoNotFoundError as error:
        message = f"the sandbox needs the time zone {TIME_ZONE}, which this machine does not have: pip install tzdata"
        raise RuntimeError(message) from error
