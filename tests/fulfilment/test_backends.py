"""The table of states, the backend in memory, and what its options accept."""

from __future__ import annotations

from datetime import timedelta

import pytest

from omipay_async.errors import ConfigurationError
from omipay_async.fulfilment.backends import (
    TRANSITIONS,
    Backend,
    Claim,
    ClaimState,
    Listener,
    MemoryBackend,
    NoteKeeper,
    Step,
)
from omipay_async.testing import ManualClock
from tests.support.untyped import untyped

KEY = "123456:TR1"


async def brought_to(backend: Backend, state: ClaimState) -> None:
    """Bring ``KEY`` into ``state`` as the owner "me" sees it."""
    if state is ClaimState.FREE:
        return
    owner = "other" if state is ClaimState.OTHERS else "me"
    assert await backend.claim(KEY, owner) is Claim.MINE
    if state is ClaimState.DONE:
        assert await backend.finish(KEY, owner)


async def asked(backend: Backend, step: Step) -> Claim | bool | None:
    """Ask one question as the owner "me"."""
    answer: Claim | bool | None = await getattr(backend, step.lower())(KEY, "me")
    return answer


async def seen(backend: Backend) -> ClaimState:
    """The state of ``KEY`` as "me" sees it, found out by a third owner and by renewals, which change nothing else."""
    claim = await backend.claim(KEY, "third")
    if claim is Claim.DONE:
        return ClaimState.DONE
    if claim is Claim.MINE:
        return ClaimState.FREE
    return ClaimState.HELD if await backend.renew(KEY, "me") else ClaimState.OTHERS


def test_every_question_has_an_answer_in_every_state() -> None:
    """No state leaves a backend to guess."""
    assert set(TRANSITIONS) == {(state, step) for state in ClaimState for step in Step}


@pytest.mark.parametrize(("state", "step"), TRANSITIONS)
async def test_the_memory_backend_follows_the_table(state: ClaimState, step: Step) -> None:
    """Each row of the table holds: the answer, and the state after it."""
    backend = MemoryBackend(clock=ManualClock())
    await brought_to(backend, state)
    after, answer = TRANSITIONS[state, step]
    assert await asked(backend, step) is answer
    assert await seen(backend) is after


async def test_a_lease_lapses_and_the_next_owner_is_left_alone_by_the_former() -> None:
    """After a death another takes over, and the dead owner, back again, changes nothing."""
    clock = ManualClock()
    backend = MemoryBackend(lease=30, clock=clock)
    assert await backend.claim(KEY, "first") is Claim.MINE
    await clock.advance(29.9)
    assert await backend.claim(KEY, "second") is Claim.BUSY
    await clock.advance(0.1)
    assert await backend.claim(KEY, "second") is Claim.MINE
    assert not await backend.renew(KEY, "first")
    assert not await backend.finish(KEY, "first")
    await backend.release(KEY, "first")
    assert await backend.claim(KEY, "first") is Claim.BUSY


async def test_a_renewed_lease_lasts_from_the_renewal() -> None:
    """A handler that goes on renewing keeps the others out."""
    clock = ManualClock()
    backend = MemoryBackend(lease=30, clock=clock)
    await backend.claim(KEY, "me")
    await backend.claim("dead owner's", "me")
    await clock.advance(20)
    assert await backend.renew(KEY, "me")
    await clock.advance(10)
    assert await backend.claim("dead owner's", "you") is Claim.MINE
    await clock.advance(19)
    assert await backend.claim(KEY, "you") is Claim.BUSY
    await clock.advance(1)
    assert await backend.claim(KEY, "you") is Claim.MINE


async def test_memory_is_bounded_by_forgetting() -> None:
    """What is older than ``keep``, and the claims of the dead, take no memory."""
    clock = ManualClock()
    backend = MemoryBackend(lease=1, keep=timedelta(seconds=10), clock=clock)
    for number in range(100):
        await backend.claim(f"done {number}", "me")
        await backend.finish(f"done {number}", "me")
        await backend.claim(f"dead {number}", "me")
    assert repr(backend) == "<MemoryBackend: 100 held, 100 done>"
    await clock.advance(9)
    assert await backend.claim("done 0", "me") is Claim.DONE
    await clock.advance(1)
    assert await backend.claim("done 0", "me") is Claim.MINE
    assert repr(backend) == "<MemoryBackend: 1 held, 0 done>"


async def test_the_memory_backend_needs_no_clock_and_has_nobody_else_to_wake() -> None:
    """The default of a session: real time, one process."""
    backend = MemoryBackend()
    assert backend.lease == 30.0
    assert await backend.claim(KEY, "me") is Claim.MINE
    await backend.wake(KEY)
    assert isinstance(backend, Backend)
    assert not isinstance(backend, Listener)


async def test_a_note_is_remembered_for_ten_minutes_at_least_and_not_for_ever() -> None:
    """The last text counts, the notes of other keys are their own, and a claim under the same key is another thing."""
    clock = ManualClock()
    backend = MemoryBackend(clock=clock)
    assert isinstance(backend, NoteKeeper)
    await backend.claim(KEY, "me")
    assert await backend.noted(KEY) is None
    await backend.note(KEY, "first")
    await clock.advance(600)
    await backend.note("another", "text")
    await backend.note(KEY, "second")
    await clock.advance(600)
    assert await backend.noted(KEY) == "second"
    await clock.advance(3600)
    assert await backend.noted(KEY) is None
    await backend.note("old", "text")
    await clock.advance(600)
    await backend.note("young", "text")
    await clock.advance(600)
    assert (await backend.noted("old"), await backend.noted("young")) == (None, "text")
    await clock.advance(3600)
    await backend.note("third", "text")
    assert len(backend._notes) == 1
    assert await backend.claim(KEY, "you") is Claim.MINE


@pytest.mark.parametrize("option", ["lease", "keep"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), True, "30", None, timedelta(0)])
def test_durations_that_are_none_are_named(option: str, value: object) -> None:
    """A wrong lease or keep is refused when the backend is made, by name."""
    with pytest.raises(ConfigurationError, match=option):
        MemoryBackend(**{option: untyped(value)})
