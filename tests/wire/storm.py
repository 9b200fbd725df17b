"""A storm of money calls under every fault at once, and the one check of what the callers came to believe."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from omipay_async import OmipayError, Outcome

from . import behaviours
from .behaviours import HEALTHY, Behaviour, either_way
from .client import MONEY, Transport, named, open_session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from omipay_async import AsyncOmipay, Event

    from .server import Gateway, Request

DONE: Final = "DONE"
"""What a caller who got a reply believes; the others are ``Outcome``'s members."""

_GOOD: Final = [HEALTHY, behaviours.CLOSES_AFTER_REPLY, behaviours.CLOSES_UNANNOUNCED, behaviours.CONTINUE]
_ANSWERED_AT_ONCE: Final = [behaviours.SIGN_TIMEOUT, behaviours.SIGN_TIMEOUT_UNDATED]
_TROUBLE: Final = [
    *either_way([*behaviours.CUT, *behaviours.NO_REPLY, behaviours.SYSTEM_ERROR]),
    *_ANSWERED_AT_ONCE,
]


@dataclass
class Storm:
    """What the weather was, and what was believed after it."""

    seed: int
    beliefs: dict[str, list[str]] = field(default_factory=dict)
    """What the caller of each number was told, once per call."""
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.flaps = random.Random(self.seed)

    def behaviour(self, request: Request | None) -> Behaviour:
        """The gateway's script: half of all is well."""
        if request is None:
            return self.random.choice(behaviours.BEFORE_READING) if self.random.random() < 0.1 else HEALTHY
        lot = self.random.random()
        if lot < 0.5:
            return self.random.choice(_GOOD)
        return behaviours.SILENCE if lot < 0.504 else self.random.choice(_TROUBLE)

    async def one_call(self, omipay: AsyncOmipay, number: str) -> None:
        """Make one money call and note what its caller believes."""
        try:
            await self.random.choice(MONEY)(omipay, number)
            belief = DONE
        except OmipayError as error:
            belief = str(error.outcome)
        self.beliefs.setdefault(number, []).append(belief)

    async def flap(self, gateway: Gateway) -> None:
        """Refuse connections now and then, for a moment."""
        while True:
            await asyncio.sleep(self.flaps.uniform(0.002, 0.01))
            gateway.refuse()
            await asyncio.sleep(self.flaps.uniform(0.001, 0.004))
            await gateway.listen()

    async def rage(self, gateway: Gateway, transport: Transport, *, calls: int, at_once: int) -> None:
        """Make so many money calls, so many of them at a time."""
        gateway.script = self.behaviour
        numbers = iter([f"{self.seed}-{index}" for index in range(calls)])
        options = {"timeout": 0.6, "on_event": self.events.append}

        async def caller(omipay: AsyncOmipay) -> None:
            for number in numbers:
                await self.one_call(omipay, number)

        flapping = asyncio.create_task(self.flap(gateway))
        try:
            async with open_session(gateway, transport, **options) as omipay:
                await asyncio.gather(*(caller(omipay) for _ in range(at_once)))
        finally:
            flapping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await flapping


def complaints(beliefs: Mapping[str, list[str]], acts: Mapping[str, int]) -> list[str]:
    """Where what the callers believe does not fit what the gateway did: no number is acted on twice, nothing that
    the caller holds for not done is acted on, and nothing that he holds for done is not.
    """
    found = [f"{number} was acted on {count} times" for number, count in acts.items() if count > 1]
    found += [f"{number} was acted on and never asked for" for number in acts if number not in beliefs]
    for number, held in beliefs.items():
        acted = acts.get(number, 0)
        if len(held) != 1 or held[0] not in {DONE, Outcome.NOT_DONE, Outcome.UNKNOWN}:
            found.append(f"{number} ended as {held}")
        if held[0] == DONE and not acted:
            found.append(f"{number} is held for done and was not")
        if held[0] == Outcome.NOT_DONE and acted:
            found.append(f"{number} is held for not done and was")
    return found


def told(events: list[Event]) -> dict[str, list[str]]:
    """What the ``call`` events say of each number."""
    beliefs: dict[str, list[str]] = {}
    for event in named(events, "call"):
        number = event.out_order_no or event.out_refund_no or ""
        beliefs.setdefault(number, []).append(DONE if event.outcome is None else str(event.outcome))
    return beliefs
