"""Swaps the replies of two callers of one endpoint, as a load balancer does that mixes up its connections."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import attrs

from omipay_async.clock import wait

if TYPE_CHECKING:
    from omipay_async.clock import Clock

    Reply = dict[str, Any]


@attrs.define
class ReplySwaps:
    """The replies that wait to be swapped, at most one for each endpoint."""

    _clock: Clock
    _waiting: dict[str, tuple[Reply, asyncio.Future[Reply]]] = attrs.field(factory=dict, init=False)

    async def swap(self, endpoint: str, reply: Reply, seconds: float) -> Reply:
        """Return the reply of another caller, who gets this one; or this one if no other comes within ``seconds``."""
        waiting = self._waiting.pop(endpoint, None)
        if waiting is not None:
            other, partner = waiting
            partner.set_result(reply)
            return other
        partner = asyncio.get_running_loop().create_future()
        self._waiting[endpoint] = (reply, partner)
        try:
            await wait(self._clock, (partner,), seconds)
            return partner.result() if partner.done() else reply
        finally:
            if self._waiting.get(endpoint, (None, None))[1] is partner:
                del self._waiting[endpoint]
