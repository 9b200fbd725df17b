"""Steps of ``backends.TRANSITIONS`` on any backend: bring an order into a state, make a request, look at the state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from omipay_async.fulfilment.backends import Claim, ClaimState

if TYPE_CHECKING:
    from omipay_async.fulfilment.backends import Backend, Step

KEY: Final = "123456:TR1"


async def brought_to(backend: Backend, state: ClaimState) -> None:
    """Bring ``KEY`` into ``state`` as the owner "me" sees it."""
    if state is ClaimState.FREE:
        return
    owner = "other" if state is ClaimState.OTHERS else "me"
    assert await backend.claim(KEY, owner) is Claim.MINE
    if state is ClaimState.DONE:
        assert await backend.finish(KEY, owner)


async def answer_to(backend: Backend, step: Step) -> Claim | bool | None:
    """Make one request as the owner "me"."""
    answer: Claim | bool | None = await getattr(backend, step.lower())(KEY, "me")
    return answer


async def seen(backend: Backend) -> ClaimState:
    """The state of ``KEY`` as "me" sees it, found out by the claim of a third owner and by a renewal."""
    claim = await backend.claim(KEY, "third")
    if claim is Claim.DONE:
        return ClaimState.DONE
    if claim is Claim.MINE:
        return ClaimState.FREE
    return ClaimState.HELD if await backend.renew(KEY, "me") else ClaimState.OTHERS
