"""The life of a session: who may use it, and in which event loop."""

from __future__ import annotations

import asyncio

import pytest

from omipay_async import ConfigurationError, SessionClosed
from omipay_async.calls.lifecycle import Lifecycle, LifeState, Usage


@pytest.fixture
def left() -> list[str]:
    return []


@pytest.fixture
def life(left: list[str]) -> Lifecycle:
    return Lifecycle(lambda: left.append("left"))


async def use(life: Lifecycle) -> None:
    """Something that takes no time."""
    with life.in_use():
        pass


def test_a_life_goes_from_new_over_open_to_closed(life: Lifecycle) -> None:
    """The first use opens it; after the end nothing can be begun, with or without an event loop."""
    assert life.state is LifeState.NEW
    asyncio.run(use(life))
    assert (life.state, life.closed) == (LifeState.OPEN, False)
    life.close()
    assert life.closed
    with pytest.raises(SessionClosed):
        life.ensure_open()
    with pytest.raises(SessionClosed):
        asyncio.run(use(life))


def test_another_loop_takes_over_when_nothing_is_under_way(life: Lifecycle, left: list[str]) -> None:
    """The connections of the loop before are given up then, once for each change."""
    for _ in range(3):
        asyncio.run(use(life))
    assert left == ["left", "left"]


def test_what_is_under_way_keeps_other_loops_out(life: Lifecycle, left: list[str]) -> None:
    """A clear error; the loop that has it goes on."""
    with asyncio.Runner() as first, asyncio.Runner() as second:
        usage = first.run(enter(life))
        with pytest.raises(ConfigurationError, match="another event loop"):
            second.run(use(life))
        first.run(use(life))
        usage.__exit__(None, None, None)
        second.run(use(life))
    assert left == ["left"]


def test_a_loop_that_was_closed_holds_nothing(life: Lifecycle, left: list[str]) -> None:
    """What was under way there is gone, and its late end does not disturb the count of the loop after it."""
    usage = asyncio.run(enter(life))
    asyncio.run(use(life))
    with asyncio.Runner() as runner:
        in_use = runner.run(enter(life))
        usage.__exit__(None, None, None)
        assert (in_use.count, usage.count) == (1, 0)
    assert left == ["left", "left"]


async def enter(life: Lifecycle) -> Usage:
    """Begin something that does not end."""
    usage = life.in_use()
    usage.__enter__()
    return usage


def test_a_move_that_is_refused_changes_nothing() -> None:
    """A transport of the user's belongs to its loop: the session stays usable there."""

    def stay() -> None:
        raise ConfigurationError("transport")

    life = Lifecycle(stay)
    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(use(life))
        with pytest.raises(ConfigurationError, match="transport"):
            second.run(use(life))
        first.run(use(life))


async def test_it_knows_its_own_loop(life: Lifecycle) -> None:
    """Whoever waits for what is under way must wait where it is under way."""
    assert not life.is_here()
    await use(life)
    assert life.is_here()
    assert not await asyncio.to_thread(lambda: asyncio.run(is_here(life)))


async def is_here(life: Lifecycle) -> bool:
    """Asked in another loop."""
    return life.is_here()
