"""Looks names up. While a name server is silent, the lookups of its names hold few threads, not all.

Where the first of a machine's name servers is down, each lookup takes as long as the resolver waits for it: five
seconds on Linux, as long as connecting may take. So what a slow lookup has found is kept for the repeats of a call,
which would look the name up in vain again.

A lookup cannot be cancelled: when nobody waits for it any more, its thread is busy until the system's resolver gives
up, after half a minute perhaps. An event loop on a small machine has five threads for lookups. If those of one node's
name held all of them, the name of the other node could not be looked up. So in an event loop three lookups of a name
are under way at most. Whoever asks meanwhile gets the first addresses that one of them finds, or the error of the
latest.
"""

from __future__ import annotations

import asyncio
import socket
import weakref
from typing import Any, Final

import attrs

from omipay_async.clock import retrieve_exception

_MOST_AT_ONCE: Final = 3
_SLOW_S: Final = 1.0
_KEPT_S: Final = 10.0
"""For how long the result of a slow lookup is kept."""

Found = list[tuple[Any, ...]]


@attrs.define(eq=False)
class _Lookup:
    task: asyncio.Future[Found]
    waiting: int = 0
    """How many callers wait for it."""


@attrs.define(eq=False)
class _Name:
    """A host and a port."""

    under_way: list[_Lookup] = attrs.field(factory=list)
    found: Found = attrs.field(factory=list)
    """What a slow lookup has found."""
    kept_until: float = 0.0
    """By the event loop's clock."""

    def ended(self, lookup: _Lookup, began: float, now: float) -> None:
        """Note the end of a lookup, and keep its result if it was slow."""
        self.under_way.remove(lookup)
        task = lookup.task
        if now - began > _SLOW_S and not task.cancelled() and task.exception() is None:
            self.found, self.kept_until = task.result(), now + _KEPT_S


# By event loop, because all sessions in it share its threads.
_names: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, int], _Name]] = weakref.WeakKeyDictionary()


async def look_up(host: str, port: int) -> Found:
    """The addresses of ``host``, in the form of ``socket.getaddrinfo``.

    Raises:
        OSError: there is no such name, or it could not be looked up.
    """
    loop = asyncio.get_running_loop()
    name = _names.setdefault(loop, {}).setdefault((host, port), _Name())
    began = loop.time()
    if began < name.kept_until:
        return name.found
    if len(name.under_way) < _MOST_AT_ONCE:
        started = _Lookup(asyncio.ensure_future(loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        started.task.add_done_callback(retrieve_exception)
        started.task.add_done_callback(lambda _: name.ended(started, began, loop.time()))
        name.under_way.append(started)
    lookups = tuple(name.under_way)
    for lookup in lookups:
        lookup.waiting += 1
    try:
        return await _first_found([lookup.task for lookup in lookups])
    finally:
        for lookup in lookups:
            lookup.waiting -= 1


async def _first_found(tasks: list[asyncio.Future[Found]]) -> Found:
    """What the first of them finds, or the error of the last one in the list."""
    pending = set(tasks)
    while not tasks[-1].done():
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if not task.cancelled() and task.exception() is None:
                return task.result()
    return tasks[-1].result()


async def leave_unused() -> None:
    """Cancel the tasks of lookups for which nobody waits: a closed session leaves none behind. Their threads go on."""
    names = _names.get(asyncio.get_running_loop(), {})
    unused = [lookup.task for name in names.values() for lookup in name.under_way if not lookup.waiting]
    for task in unused:
        task.cancel()
    if unused:
        await asyncio.wait(unused)
