"""Looks names up. While a name server is silent, the lookups of its names hold few threads, not all.

A lookup cannot be cancelled: when nobody waits for it any more, its thread is busy until the system's resolver gives
up, after half a minute perhaps. An event loop on a small machine has five threads for lookups. If those of one node's
name held all of them, the name of the other node could not be looked up. So in an event loop three lookups of a name
are under way at most. Whoever asks meanwhile waits for the latest of them.
"""

from __future__ import annotations

import asyncio
import socket
import weakref
from typing import Any, Final

import attrs

from omipay_async.clock import retrieve_exception

_MOST_AT_ONCE: Final = 3

Found = list[tuple[Any, ...]]


@attrs.define(eq=False)
class _Lookup:
    task: asyncio.Future[Found]
    waiting: int = 0
    """How many callers wait for it."""


_Lookups = dict[tuple[str, int], list[_Lookup]]
"""By host and port."""

# By event loop, because all sessions in it share its threads.
_under_way: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Lookups] = weakref.WeakKeyDictionary()


async def look_up(host: str, port: int) -> Found:
    """The addresses of ``host``, in the form of ``socket.getaddrinfo``.

    Raises:
        OSError: there is no such name, or it could not be looked up.
    """
    loop = asyncio.get_running_loop()
    lookups = _under_way.setdefault(loop, {}).setdefault((host, port), [])
    if len(lookups) < _MOST_AT_ONCE:
        started = _Lookup(asyncio.ensure_future(loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        started.task.add_done_callback(retrieve_exception)
        started.task.add_done_callback(lambda _: lookups.remove(started))
        lookups.append(started)
    latest = lookups[-1]
    latest.waiting += 1
    try:
        return await asyncio.shield(latest.task)
    finally:
        latest.waiting -= 1


async def leave_unused() -> None:
    """Cancel the tasks of lookups for which nobody waits: a closed session leaves none behind. Their threads go on."""
    by_name = _under_way.get(asyncio.get_running_loop(), {})
    unused = [one.task for lookups in by_name.values() for one in lookups if not one.waiting]
    for task in unused:
        task.cancel()
    if unused:
        await asyncio.wait(unused)
