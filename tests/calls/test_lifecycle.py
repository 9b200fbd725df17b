"""The life of a session: who may use it, and in which event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from omipay_async import ConfigurationError, SessionClosed
from omipay_async.calls.lifecycle import Lifecycle, Usage
from omipay_async.testing import ManualClock
from tests.support.scripted_gateway import Gateway, Held, make_refund, order, settle
from tests.support.untyped import untyped

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from omipay_async import AsyncOmipay


@pytest.fixture
def left() -> list[str]:
    return []


@pytest.fixture
def life(left: list[str]) -> Lifecycle:
    return Lifecycle(lambda: left.append("left"))


async def use(life: Lifecycle) -> None:
    """An operation that takes no time."""
    with life.in_use():
        pass


def test_nothing_begins_in_a_session_that_is_closed(life: Lifecycle) -> None:
    """With or without an event loop."""
    asyncio.run(use(life))
    assert not life.closed
    asyncio.run(close(life))
    assert life.closed
    with pytest.raises(SessionClosed):
        life.ensure_open()
    with pytest.raises(SessionClosed):
        asyncio.run(use(life))


def test_another_loop_takes_over_when_nothing_is_under_way(life: Lifecycle, left: list[str]) -> None:
    """The connections of the previous loop are given up, once for each change."""
    for _ in range(3):
        asyncio.run(use(life))
    assert left == ["left", "left"]


def test_a_session_in_use_cannot_be_used_in_another_loop(life: Lifecycle, left: list[str]) -> None:
    """The error is clear, and the session can still be used in its own loop."""
    with asyncio.Runner() as first, asyncio.Runner() as second:
        usage = first.run(enter(life))
        with pytest.raises(ConfigurationError, match="another event loop"):
            second.run(use(life))
        first.run(use(life))
        usage.__exit__(None, None, None)
        second.run(use(life))
    assert left == ["left"]


def test_operations_of_a_closed_loop_do_not_count(life: Lifecycle, left: list[str]) -> None:
    """They have ended with the loop, and leaving them later does not change the count of the next loop."""
    usage = asyncio.run(enter(life))
    asyncio.run(use(life))
    with asyncio.Runner() as runner:
        in_use = runner.run(enter(life))
        usage.__exit__(None, None, None)
        assert (in_use.count, usage.count) == (1, 0)
    assert left == ["left", "left"]


def test_a_session_in_use_cannot_be_closed_in_another_loop(life: Lifecycle) -> None:
    """Only its own loop can end, or wait for, what is under way. Once that has ended, any can."""
    with asyncio.Runner() as first, asyncio.Runner() as second:
        usage = first.run(enter(life))
        with pytest.raises(ConfigurationError, match="another event loop"):
            second.run(close(life))
        assert not life.closed
        first.run(close(life))
        usage.__exit__(None, None, None)
        second.run(close(life))
    assert life.closed


async def close(life: Lifecycle) -> None:
    """Close it in the event loop that runs this."""
    life.close()


async def enter(life: Lifecycle) -> Usage:
    """Begin an operation that does not end."""
    usage = life.in_use()
    usage.__enter__()
    return usage


def test_a_move_that_is_refused_changes_nothing() -> None:
    """A transport of the user's belongs to its loop, in which the session can still be used."""

    def stay() -> None:
        raise ConfigurationError("transport")

    life = Lifecycle(stay)
    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(use(life))
        with pytest.raises(ConfigurationError, match="transport"):
            second.run(use(life))
        first.run(use(life))


async def never(_: object) -> None:
    """A handler that must not run."""
    pytest.fail("the handler runs")


BEGUN: dict[str, Callable[[AsyncOmipay], Coroutine[Any, Any, Any]]] = {
    "a read": lambda omipay: omipay.query_order("TR1"),
    "a charge": make_refund,
    "a poll that waits": lambda omipay: omipay.poll_until_paid("TR1"),
    "a poll that asks": lambda omipay: omipay.poll_until_paid("TR1", first_wait=0),
    "a wait for a notification": lambda omipay: omipay.wait_for_notification("A-1"),
    "a fulfilment": lambda omipay: omipay.fulfil("TR1", never),
}


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("any_loop", [False, True])
@pytest.mark.parametrize("name", BEGUN)
def test_a_session_can_be_closed_after_its_event_loop_was_closed(name: str, any_loop: bool, used: bool) -> None:
    """With things under way, which have ended with it; also if it was used in another event loop meanwhile."""
    gateway = Gateway(ManualClock())
    untyped(gateway).any_loop = any_loop
    for held in ("TR1", "Refund"):
        gateway.on(held, Held({}))
    gateway.on("TR2", order("PAID"))
    omipay = gateway.session()
    loop = asyncio.new_event_loop()
    begun = BEGUN[name](omipay)
    first = loop.create_task(begun)
    loop.run_until_complete(settle())
    for task in {first, *asyncio.all_tasks(loop)}:
        untyped(task)._log_destroy_pending = False
    loop.close()
    if used and any_loop:
        assert asyncio.run(omipay.query_order("TR2")).is_paid
    for _ in range(2):
        asyncio.run(asyncio.wait_for(omipay.aclose(), 60))
    assert omipay.is_closed
    begun.close()
