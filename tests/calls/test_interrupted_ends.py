"""A KeyboardInterrupt, or a MemoryError, in the last lines of a call: its session is closed in spite of it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, Any

import pytest

from omipay_async.calls.executor import CallExecutor
from omipay_async.calls.journaling import CallJournal
from tests.support.fake_journal import FakeJournal, scan
from tests.support.scripted_gateway import Gateway, begin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from omipay_async.testing import ManualClock

TIMEOUT_S = 30.0


class InTheMiddle(BaseException):
    """Such as KeyboardInterrupt, which would end the tests."""


@contextlib.contextmanager
def interrupted(function: Callable[..., Any], line: int) -> Iterator[list[int]]:
    """Raise it once, before a line of ``function`` runs (the n-th that is reached). Yields the lines reached."""
    reached: list[int] = []

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code is not function.__code__:
            return None
        if event == "line":
            reached.append(frame.f_lineno)
            if len(reached) == line:
                raise InTheMiddle
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield reached
    finally:
        sys.settrace(before)


@pytest.mark.parametrize("line", range(1, 5))
@pytest.mark.parametrize("function", [CallExecutor._leave, CallJournal._start_closing])
async def test_closing_the_session_ends(
    clock: ManualClock, gateway: Gateway, journal: FakeJournal, function: Callable[..., Any], line: int
) -> None:
    """At the latest when the call would have ended: nothing waits for what nobody will ever do."""
    omipay = gateway.session(journal=journal, timeout=TIMEOUT_S)
    with interrupted(function, line) as reached, contextlib.suppress(InTheMiddle):
        await scan(omipay)
    assert reached
    async with asyncio.timeout(60):
        closing = await begin(clock, omipay.aclose())
        await clock.advance(TIMEOUT_S + 5)
        await closing
