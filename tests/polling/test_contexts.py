"""Questions are shared and begun by timers. Hooks and logs see all the same which web request they are asked for."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from typing import TYPE_CHECKING

from tests.support.scripted_gateway import Gateway, fail, order

if TYPE_CHECKING:
    import pytest

    from omipay_async import AsyncOmipay, Event
    from omipay_async.testing import ManualClock

web_request: contextvars.ContextVar[str] = contextvars.ContextVar("web_request", default="none")


async def poll(omipay: AsyncOmipay, number: str, first_wait: float) -> None:
    """One web request, which polls an order and is named after it."""
    web_request.set(f"for {number}")
    await omipay.poll_until_paid(number, first_wait=first_wait)


async def test_a_question_is_asked_in_the_context_of_the_first_poll(
    clock: ManualClock, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    """Whichever poll set the timer, or ended as this one was due."""
    seen: set[tuple[str, str | None]] = set()
    logged: set[tuple[str, str | None]] = set()

    def note(event: Event) -> None:
        if event.name in ("attempt", "call"):
            seen.add((web_request.get(), event.order_no))

    class Noting(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            logged.add((web_request.get(), getattr(record, "omipay_order_no", None)))
            return True

    caplog.set_level(logging.WARNING, "omipay_async")
    caplog.handler.addFilter(noting := Noting())
    numbers = ["TR1", "TR2", "TR3"]
    for number in numbers:
        gateway.on(number, order("PAYING"), fail("SYSTEM_ERROR"), order("PAID"))
    async with gateway.session(on_event=note) as omipay, asyncio.TaskGroup() as requests:
        for number, first_wait in zip(numbers, [5, 5, 3], strict=True):
            requests.create_task(poll(omipay, number, first_wait))
        await clock.advance(60)
    caplog.handler.removeFilter(noting)
    assert seen == {(f"for {number}", number) for number in numbers}
    assert logged == seen
