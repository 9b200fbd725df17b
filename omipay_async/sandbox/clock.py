"""The sandbox's time: the clock that it needs, and how the gateway writes times.

It shares no code with the client, which reads these times, so the two check each other.
"""

from __future__ import annotations

import asyncio
import functools
import time
from datetime import datetime
from email.utils import formatdate
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

TIME_ZONE: Final = "Australia/Sydney"
"""CN 2.2(3) says "Australian eastern time EST": read as Sydney's wall clock."""


class Clock(Protocol):
    """A source of time with a ``sleep`` that fits it."""

    def time_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return ``seconds`` later."""
        ...


class WallClock:
    """The machine's own time."""

    def time_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return ``seconds`` later."""
        await asyncio.sleep(seconds)


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
