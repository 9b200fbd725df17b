"""Asks backends and journals, which users may write, within a time limit, and translates what they raise."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final, TypeVar

from .clock import retrieve_exception, wait
from .errors import BackendError, OmipayError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .clock import Clock

T = TypeVar("T")

_LATE_S: Final = 0.05
"""How late a timer of an event loop that is only busy may be."""


async def ask(
    clock: Clock,
    method: Callable[[], Awaitable[T]],
    seconds: float,
    *,
    who: str = "the backend",
    failed: Callable[[str], OmipayError] = BackendError,
) -> T:
    """Call a method, and return its answer.

    If the event loop or the process stood still at the end of ``seconds``, the answer may have come, but could not be
    read yet. So it gets that time again, ``seconds`` at most.

    Raises:
        OmipayError: what it raised; what ``failed`` makes of a text, if it raised something else, or did not answer
            within ``seconds``.
    """
    asking = asyncio.create_task(answer_of(method, who, failed))
    asking.add_done_callback(retrieve_exception)
    due = clock.monotonic() + seconds
    try:
        await wait(clock, (asking,), seconds)
        if not asking.done() and (late := clock.monotonic() - due) > _LATE_S:
            await wait(clock, (asking,), min(late, seconds))
    finally:
        asking.cancel()
    if (failure := failure_of(asking, who, failed)) is not None:
        raise failure
    return asking.result()


def failure_of(asking: asyncio.Task[Any], who: str, failed: Callable[[str], OmipayError]) -> OmipayError | None:
    """Why a method has not answered in its time; None if it has.

    This is the ``OmipayError`` that it has raised, or what ``failed`` makes of a text.
    """
    if not asking.done():
        return failed(f"{who} did not answer in time")
    if asking.cancelled():
        return failed(f"{who} cancelled the request")
    error = asking.exception()
    if error is None or isinstance(error, OmipayError):
        return error
    failure = failed(f"{who} raised {type(error).__name__}")  # without its text, which may contain a password
    failure.__cause__ = error
    return failure


async def answer_of(method: Callable[[], Awaitable[T]], who: str, failed: Callable[[str], Exception]) -> T:
    """Call a method, and return its answer. It is called in here, since it may fail before there is anything to await.

    Raises:
        Exception: what the method raised; or what ``failed`` makes of a text, if the method is not async, or has
            forgotten to await what it calls.
    """
    called = method()
    if not inspect.isawaitable(called):
        message = f"{who} returned {type(called).__name__}, which cannot be awaited: its methods must be async"
        raise failed(message)
    answer = await called
    if undone := left_undone(answer):
        message = f"{who} returned {undone}, which nobody has awaited: is an await missing?"
        raise failed(message)
    return answer


def left_undone(result: object) -> str | None:
    """The type of a ``result`` that somebody has forgotten to await; None if it is anything else.

    ``async def handler(order): return save(order)`` has not saved anything if ``save`` is async. The same is true of
    ``asyncio.to_thread`` with an async function. The requests of aiohttp are coroutines of a class of their own.
    Anything else that can be awaited, such as a task, may be running already.
    """
    if not inspect.iscoroutine(result):
        return type(result).__name__ if isinstance(result, Coroutine) else None
    if inspect.getcoroutinestate(result) != inspect.CORO_CREATED:
        return None
    result.close()  # otherwise Python warns about it, too
    return "a coroutine"
