"""The table of transitions, the backend in memory, and its options."""

from __future__ import annotations

from datetime import timedelta

import pytest

from omipay_async.errors import ConfigurationError
from omipay_async.fulfilment.backends import TRANSITIONS, Backend, Claim, ClaimState, Listener, NoteKeeper, Step
from omipay_async.fulfilment.memory import MemoryBackend
from omipay_async.testing import ManualClock
from tests.support.transitions import KEY, answer_to, brought_to, seen
from tests.support.untyped import untyped


def test_every_request_has_an_answer_in_every_state() -> None:
    """The table has a row for each state and each request."""
    assert set(TRANSITIONS) == {(state, step) for state in ClaimState for step in Step}


@pytest.mark.parametrize(("state", "step"), TRANSITIONS)
async def test_the_memory_backend_follows_the_table(state: ClaimState, step: Step) -> None:
    """The answer and the state after it are those of the table's row."""
    backend = MemoryBackend(clock=ManualClock())
    await brought_to(backend, state)
    after, answer = TRANSITIONS[state, step]
    assert await answer_to(backend, step) is answer
    assert await seen(backend) is after


async def test_a_former_owner_changes_nothing_once_another_has_the_order() -> None:
    """When a lease has ended another owner may claim, and late requests of the first one are refused."""
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


async def test_a_lease_counts_from_its_last_renewal() -> None:
    """As long as an owner goes on renewing, no other owner gets the order."""
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


async def test_expired_claims_and_records_take_no_memory() -> None:
    """A record is forgotten after ``keep``, and a claim when its lease has ended."""
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


async def test_the_memory_backend_works_without_options() -> None:
    """It is the default of a session: it uses the real clock, and serves the sessions of one process."""
    backend = MemoryBackend()
    assert backend.lease == 30.0
    assert await backend.claim(KEY, "me") is Claim.MINE
    await backend.wake(KEY)
    assert isinstance(backend, Backend)
    assert isinstance(backend, Listener)


async def test_a_note_is_remembered_for_ten_minutes_at_least_and_then_forgotten() -> None:
    """The last text of each key counts, and notes are kept apart from claims under the same key."""
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
def test_a_wrong_duration_is_refused_and_named(option: str, value: object) -> None:
    """The error comes when the backend is made, and names ``lease`` or ``keep``."""
    with pytest.raises(ConfigurationError, match=option):
        MemoryBackend(**{option: untyped(value)})
