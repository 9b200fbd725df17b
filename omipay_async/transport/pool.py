"""At most so many requests under way; the rest wait in order, outside of httpx's connection pool. No I/O.

httpx's own pool cannot do this: it searches all its waiters on each step, and tasks that are cancelled while they wait
leave it unusable. Here a slot *is* a connection: whoever holds it has it alone.

Who may hold how many slots, and who goes first when one comes free:

==============  ==========  ===========================================================================
priority        goes        holds at most
==============  ==========  ===========================================================================
MONEY           first       all slots
READ            second      all slots
CONFIRMATION    third       a quarter (at least 1): strangers cause confirmations of notifications
POLL            last        all but two (at least 1): polls that hang must not hold up a till
==============  ==========  ===========================================================================
"""

from __future__ import annotations

import asyncio
import collections
import enum
from typing import Generic, TypeVar

T = TypeVar("T")


class Priority(enum.IntEnum):
    """Who goes first when a slot comes free."""

    MONEY = 0
    READ = 1
    CONFIRMATION = 2
    POLL = 3


class ConnectionPool(Generic[T]):
    """Lends out ``slots``, the one that was used last first. The module's table says who gets one."""

    def __init__(self, slots: list[T]) -> None:
        size = len(slots)
        self._free = slots
        self._size = size
        self.limits: dict[Priority, int] = {
            Priority.MONEY: size,
            Priority.READ: size,
            Priority.CONFIRMATION: max(1, size // 4),
            Priority.POLL: max(1, size - 2),
        }
        """How many slots each priority holds at most."""
        self._lent = dict.fromkeys(Priority, 0)
        self._waiting: dict[Priority, collections.OrderedDict[asyncio.Future[T], None]] = {
            priority: collections.OrderedDict() for priority in Priority
        }

    @property
    def under_way(self) -> int:
        """How many slots are lent out."""
        return self._size - len(self._free)

    @property
    def idle(self) -> list[T]:
        """The slots that nobody has."""
        return self._free

    @property
    def waiting(self) -> int:
        """How many wait for a slot."""
        return sum(len(line) for line in self._waiting.values())

    def acquire_nowait(self, priority: Priority) -> T | None:
        """A slot if one may be had at once."""
        if not self._free or self._lent[priority] >= self.limits[priority]:
            return None
        return self._lend(priority)

    async def acquire(self, priority: Priority) -> T:
        """A slot as soon as it is this one's turn. Whoever is cancelled leaves the line, and nothing behind."""
        turn: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        line = self._waiting[priority]
        line[turn] = None
        try:
            return await turn
        except asyncio.CancelledError:
            line.pop(turn, None)
            if not turn.cancelled():  # it was given a slot in the same moment
                self.release(turn.result(), priority)
            raise

    def release(self, slot: T, priority: Priority) -> None:
        """Return a slot; it goes to the next in line."""
        self._free.append(slot)
        self._lent[priority] -= 1
        for following, line in self._waiting.items():
            while line and self._free and self._lent[following] < self.limits[following]:
                turn, _ = line.popitem(last=False)
                if not turn.done():  # else it was cancelled, and has yet to notice
                    turn.set_result(self._lend(following))

    def _lend(self, priority: Priority) -> T:
        self._lent[priority] += 1
        return self._free.pop()
