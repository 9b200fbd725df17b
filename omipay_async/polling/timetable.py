"""A timetable of many items: a heap in which an item that was removed leaves an empty entry. No I/O.

This is the queue that the documentation of ``heapq`` describes. An empty entry stays until its time has come, or until
most entries are empty: then all of them are dropped at once.
"""

from __future__ import annotations

import heapq
import itertools
import math
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

T = TypeVar("T", bound="Hashable")

_ITEM: Final = 2
"""The place of the item in an entry of the heap."""
_FEW: Final = 64
"""How many empty entries are not worth the work of dropping all of them, and how many are dropped at each look."""


class Timetable(Generic[T]):
    """Items, each at one time in seconds."""

    __slots__ = ("_entries", "_heap", "_numbers")

    def __init__(self) -> None:
        self._heap: list[list[Any]] = []
        """Entries: a time, a number that tells those of the same time apart, and an item, or None if it was removed."""
        self._entries: dict[T, list[Any]] = {}
        """The entries that are not empty, by their items."""
        self._numbers = itertools.count()

    def put(self, item: T, time: float) -> None:
        """Put ``item`` at ``time``, wherever it is now. At infinity it is removed."""
        entry = self._entries.get(item)
        if entry is not None and entry[0] == time:
            return
        self.remove(item)
        if time < math.inf:
            entry = self._entries[item] = [time, next(self._numbers), item]
            heapq.heappush(self._heap, entry)

    def remove(self, item: T) -> None:
        """Remove ``item``, if it is here."""
        entry = self._entries.pop(item, None)
        if entry is None:
            return
        entry[_ITEM] = None
        if len(self._heap) > 2 * len(self._entries) + _FEW:
            self._heap = list(self._entries.values())
            heapq.heapify(self._heap)

    def first(self, until: float) -> tuple[float, T] | None:
        """The earliest item and its time, if that is not after ``until``; of several at one time, the first added."""
        while self._heap and self._heap[0][0] <= until:
            time, _, item = self._heap[0]
            if item is not None:
                return time, item
            heapq.heappop(self._heap)
        return None

    def next_time(self) -> float:
        """When to look again: no item is earlier. After many were removed, perhaps none is there then."""
        for _ in range(_FEW):
            if not self._heap or self._heap[0][_ITEM] is not None:
                break
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else math.inf
