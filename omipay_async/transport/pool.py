"""At most so many requests under way; the rest wait in order, outside of httpx's connection pool. No I/O.

httpx's own pool cannot do this: it searches all its waiters on each step, and tasks cancelled while they wait leave it
unusable. Here a slot *is* a connection: whoever holds it has it alone.
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
    POLL = 2


class ConnectionPool(Generic[T]):
    """Lends out ``slots``, the last one used first; money calls before reads, reads before polls.

    Polls leave two slots to the others (but may have one if there are no more), so that hung polls hold up no till.
    """

    def __init__(self, slots: list[T]) -> None:
        self._free = slots
        self._size = len(slots)
        self.for_polls = max(1, self._size - 2)
        self._polls = 0
        self._waiting: dict[Priority, collections.deque[asyncio.Future[T]]] = {p: collections.deque() for p in Priority}

    @property
    def under_way(self) -> int:
        """How many slots are lent out."""
        return self._size - len(self._free)

    @property
    def idle(self) -> list[T]:
        """The slots that nobody has."""
        return self._free

    def take(self, priority: Priority) -> T | None:
        """A slot if one may be had at once."""
        if not self._free or (priority is Priority.POLL and not self._may_poll()):
            return None
        return self._lend(priority)

    async def wait(self, priority: Priority) -> T:
        """A slot as soon as it is this one's turn. Cancelled, it gives up its place."""
        place: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting[priority].append(place)
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.give_back(place.result(), priority)
            raise

    def give_back(self, slot: T, priority: Priority) -> None:
        """Return a slot; it goes to the next in line."""
        self._free.append(slot)
        if priority is Priority.POLL:
            self._polls -= 1
        for turn, line in self._waiting.items():
            while line and self._free:
                if line[0].done():
                    line.popleft()
                elif turn is Priority.POLL and not self._may_poll():
                    break
                else:
                    line.popleft().set_result(self._lend(turn))

    def _may_poll(self) -> bool:
        return self._polls < self.for_polls

    def _lend(self, priority: Priority) -> T:
        if priority is Priority.POLL:
            self._polls += 1
        return self._free.pop()
