"""A timetable of many items, in which adding and removing one takes the same time however many there are. No I/O.

Items that are far ahead lie unsorted in buckets of an eighth of a second. Most of them are removed before their time
comes, and a bucket keeps nothing of them. When the time of a bucket has come, its items are moved to a heap. An item
that is removed later than that leaves its entry in the heap until its time, at most an eighth of a second.
"""

from __future__ import annotations

import heapq
import itertools
import math
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

T = TypeVar("T", bound="Hashable")

_WIDTH: Final = 0.125  # a power of two: then no time is rounded into another bucket than its own
_FEW: Final = 64
"""A heap with fewer surplus entries than this is not tidied up."""


class Timetable(Generic[T]):
    """Items, each at one finite time in seconds. An item is in a timetable at most once."""

    __slots__ = ("_buckets", "_heap", "_in_heap", "_numbers", "_opened", "_order")

    def __init__(self) -> None:
        self._buckets: dict[int, dict[T, float]] = {}
        self._numbers: list[int] = []
        """A heap of the buckets' numbers. It may contain numbers of buckets that do not exist any more."""
        self._opened = -math.inf
        """The number of the last bucket whose time has come."""
        self._heap: list[tuple[float, int, T]] = []
        self._in_heap: dict[T, int] = {}
        """The items of the heap that were not removed, with the number of their entry."""
        self._order = itertools.count()

    def add(self, item: T, time: float) -> None:
        """Put ``item`` at ``time``."""
        number = int(time // _WIDTH)
        if number <= self._opened:
            self._push(item, time)
        elif (bucket := self._buckets.get(number)) is not None:
            bucket[item] = time
        else:
            self._buckets[number] = {item: time}
            heapq.heappush(self._numbers, number)

    def remove(self, item: T, time: float) -> None:
        """Remove ``item``, which is at ``time``."""
        number = int(time // _WIDTH)
        bucket = self._buckets.get(number)
        if bucket is None:
            del self._in_heap[item]
            self._tidy_heap()
            return
        del bucket[item]
        if not bucket:
            del self._buckets[number]
            if len(self._numbers) > 2 * len(self._buckets) + _FEW:
                self._numbers = sorted(self._buckets)

    def _tidy_heap(self) -> None:
        if not self._in_heap:
            self._heap.clear()
        elif len(self._heap) > 2 * len(self._in_heap) + _FEW:
            self._heap = [entry for entry in self._heap if self._in_heap.get(entry[2]) == entry[1]]
            heapq.heapify(self._heap)

    def first(self, until: float) -> tuple[float, T] | None:
        """The earliest item and its time, if that is not after ``until``; of several at one time, the first added."""
        self._open(until)
        self._drop_removed()
        if not self._heap or self._heap[0][0] > until:
            return None
        time, _, item = self._heap[0]
        return time, item

    def next_time(self) -> float:
        """When to look again: ``first`` finds nothing before that, and perhaps nothing then."""
        while self._numbers and self._numbers[0] not in self._buckets:
            heapq.heappop(self._numbers)
        if self._heap:
            return self._heap[0][0]  # every bucket that is left begins after the last one that was opened
        return self._numbers[0] * _WIDTH if self._numbers else math.inf

    def _open(self, until: float) -> None:
        last = until // _WIDTH
        while self._numbers and self._numbers[0] <= last:
            bucket = self._buckets.pop(heapq.heappop(self._numbers), {})
            for item, time in bucket.items():
                self._push(item, time)
        self._opened = max(self._opened, last)

    def _push(self, item: T, time: float) -> None:
        number = next(self._order)
        self._in_heap[item] = number
        heapq.heappush(self._heap, (time, number, item))

    def _drop_removed(self) -> None:
        while self._heap and self._in_heap.get(self._heap[0][2]) != self._heap[0][1]:
            heapq.heappop(self._heap)
