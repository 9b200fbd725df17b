"""Limits how many requests are under way; the others wait in order, outside of httpx's connection pool. No I/O.

httpx's own pool cannot do this: it searches all its waiters on each step, and tasks that are cancelled while they wait
leave it unusable. Here each slot has its own connection, which nobody else uses while the slot is lent.

How many slots each kind of request may hold, and which goes first when one becomes free:

==============  ==========  ===========================================================================
priority        goes        holds at most
==============  ==========  ===========================================================================
WRITTEN_DOWN    first       all slots; a money call that lent its slot while a slow journal wrote it down
MONEY           second      all slots
READ            third       all slots
CONFIRMATION    fourth      a quarter (at least 1), since strangers can cause confirmations
POLL            last        all but two (at least 1), since polls that hang must not block a till
==============  ==========  ===========================================================================

Confirmations and polls together leave one of three or more slots, so that a till is not blocked if both hang.
"""

from __future__ import annotations

import asyncio
import collections
import enum
from typing import TYPE_CHECKING, Final

import attrs

from omipay_async.clock import Deadline

if TYPE_CHECKING:
    from omipay_async.clock import Clock

    from .connection import Connection

_KEEPALIVE_S: Final = 30.0


class Priority(enum.IntEnum):
    """Which kind of request goes first when a slot becomes free: the smallest one."""

    WRITTEN_DOWN = enum.auto()
    MONEY = enum.auto()
    READ = enum.auto()
    CONFIRMATION = enum.auto()
    POLL = enum.auto()


@attrs.define(eq=False, repr=False)
class Slot:
    """The right to have one request under way, with the connection that was kept for the next read."""

    connection: Connection | None = None
    _base_url: str = ""
    """The node that the connection leads to."""
    _kept_until: Deadline | None = None

    def close(self) -> None:
        """Close the connection that was kept, if there is one."""
        if self.connection is not None:
            self.connection.abort()
            self.connection = None

    def keep_connection(self, connection: Connection, base_url: str, clock: Clock) -> None:
        """Keep ``connection``, which leads to ``base_url``, for the next read, for half a minute at most."""
        self.connection, self._base_url = connection, base_url
        self._kept_until = Deadline.after(clock, _KEEPALIVE_S)

    def take_connection(self, base_url: str, clock: Clock) -> Connection | None:
        """Take the connection that was kept, if it leads to ``base_url`` and is not too old.

        A machine that slept for long has lost its connections, although the monotonic clock may have stood still.
        """
        connection, self.connection = self.connection, None
        if connection is None or self._kept_until is None:
            return None
        if self._base_url != base_url or self._kept_until.is_over(clock):
            connection.abort()
            return None
        return connection


@attrs.define(eq=False)
class Loan:
    """The slot of a money call while a journal writes the call down. If that is slow, reads and polls get the slot.

    The call goes on counting as one that holds a slot, so that at most as many calls as there are slots wait for the
    journal. If more of them waited, it would have no time to write down how others have ended.
    """

    _pool: ConnectionPool
    _priority: Priority
    slot: Slot | None
    """None once it is lent."""

    def begin(self) -> None:
        """Lend the slot to others."""
        if self.slot is not None:
            slot, self.slot = self.slot, None
            self._pool.lend_on(slot)

    def end(self) -> None:
        """Count the call no more, and give back its slot if it is not lent."""
        self._pool.release(self.slot, self._priority)


class ConnectionPool:
    """Lends ``size`` slots, the most recently used one first, in the order of the module's table."""

    def __init__(self, size: int) -> None:
        self._free = [Slot() for _ in range(size)]
        self.limits: dict[Priority, int] = {
            Priority.WRITTEN_DOWN: size,
            Priority.MONEY: size,
            Priority.READ: size,
            Priority.CONFIRMATION: max(1, size // 4),
            Priority.POLL: max(1, size - 2),
        }
        """How many slots each priority may hold."""
        self._limit_together = max(2, size - 1)
        """How many slots confirmations and polls may hold together."""
        self._lent = dict.fromkeys(Priority, 0)
        self._waiting: dict[Priority, collections.OrderedDict[asyncio.Future[Slot], None]] = {
            priority: collections.OrderedDict() for priority in Priority
        }

    def acquire_nowait(self, priority: Priority) -> Slot | None:
        """Borrow a slot if one is available at once; else None."""
        return self._lend(priority) if self._may_lend(priority) else None

    async def acquire(self, priority: Priority) -> Slot:
        """Wait for a slot and borrow it. A caller that is cancelled leaves the line and keeps no slot."""
        turn: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()
        line = self._waiting[priority]
        line[turn] = None
        try:
            return await turn
        except asyncio.CancelledError:
            line.pop(turn, None)
            if not turn.cancelled():  # it got a slot at the same moment
                self.release(turn.result(), priority)
            raise

    def release(self, slot: Slot | None, priority: Priority) -> None:
        """Give a slot back, or only the right to one (None) that was lent on. It goes to the next in line."""
        if slot is not None:
            self._free.append(slot)
        self._lent[priority] -= 1
        self._serve_lines()

    def lend_on(self, slot: Slot) -> None:
        """Lend a slot on to the next in line; whoever had it still counts as if it held it."""
        self._free.append(slot)
        self._serve_lines()

    def _serve_lines(self) -> None:
        for following, line in self._waiting.items():
            while line and self._may_lend(following):
                turn, _ = line.popitem(last=False)
                if not turn.done():  # else its caller was cancelled, but has not run yet
                    turn.set_result(self._lend(following))

    def _may_lend(self, priority: Priority) -> bool:
        lent = self._lent
        if not self._free or lent[priority] >= self.limits[priority]:
            return False
        in_background = lent[Priority.CONFIRMATION] + lent[Priority.POLL]
        return priority <= Priority.READ or in_background < self._limit_together

    def _lend(self, priority: Priority) -> Slot:
        self._lent[priority] += 1
        return self._free.pop()
