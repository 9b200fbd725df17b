"""A storm of money calls under every fault at once, and the one check of what the callers came to believe.

By hand, for longer: ``python -m tests.transport.storm --calls 20000 [--transport own] [--tls] [--seed 1]``.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import ssl
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import trustme

from omipay_async import OmipayError, Outcome, Safety
from tests.support.scripted_gateway import named

from . import behaviours
from .behaviours import HEALTHY, Behaviour, either_way
from .client import MONEY, Transport, open_session
from .server import Gateway

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from omipay_async import AsyncOmipay, Event

    from .server import Request

DONE: Final = "DONE"
"""What a caller who got a reply believes; the others are ``Outcome``'s members."""

_UNANSWERED: Final = "-unanswered"
_GOOD: Final = [HEALTHY, behaviours.CLOSES_AFTER_REPLY, behaviours.CLOSES_UNANNOUNCED, behaviours.CONTINUE]
_ANSWERED_AT_ONCE: Final = [behaviours.SIGN_TIMEOUT, behaviours.SIGN_TIMEOUT_UNDATED]
_NO_ANSWER_IN_TIME: Final = [behaviours.SILENCE, *either_way([behaviours.LATE])]
_SWAPPED: Final = either_way(behaviours.SWAPPED)
_TROUBLE: Final = [
    *either_way([*behaviours.CUT, *behaviours.NO_REPLY, behaviours.SYSTEM_ERROR, *behaviours.CONTRADICTORY]),
    *_ANSWERED_AT_ONCE,
]


@dataclass
class Storm:
    """The settings of the storm, and what the callers believed after it."""

    seed: int
    beliefs: dict[str, list[str]] = field(default_factory=dict)
    """What the caller of each number was told, once per call."""
    events: list[Event] = field(default_factory=list)
    over: bool = False

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.flaps = random.Random(self.seed)

    def behaviour(self, request: Request | None) -> Behaviour:
        """The gateway's script: half of the requests are treated well, and some are never answered."""
        if request is None:
            return self.random.choice(behaviours.BEFORE_READING) if self.random.random() < 0.1 else HEALTHY
        if _UNANSWERED in request.number:
            return self.random.choice(_NO_ANSWER_IN_TIME)
        weather = self.random.random()
        if weather < 0.15:
            return self.random.choice(behaviours.SURPLUS)
        if weather < 0.25:
            return self.random.choice(_SWAPPED)
        return self.random.choice(_GOOD if weather < 0.55 else _TROUBLE)

    def numbers(self, count: int) -> Iterator[str]:
        """Numbers for so many calls; a few of them get no answer."""
        for index in range(count):
            yield f"{self.seed}-{index}{_UNANSWERED if index % 60 == 30 else ''}"

    async def call(self, omipay: AsyncOmipay, number: str) -> object:
        """Make one money call. A call that gets no answer has a short time limit, all others a long one."""
        return await self.random.choice(MONEY)(omipay, number, _timeout_s(number))

    async def one_call(self, omipay: AsyncOmipay, number: str) -> None:
        """Make one money call and note what its caller believes."""
        try:
            belief = _believed(await self.call(omipay, number), number)
        except OmipayError as error:
            belief = str(error.outcome)
        self.beliefs.setdefault(number, []).append(belief)

    async def one_question(self, omipay: AsyncOmipay, number: str) -> None:
        """Query an order. The answer must be about that order."""
        try:
            order = await omipay.query_order(number, timeout=_timeout_s(number))
        except OmipayError:
            return
        if order.order_no != number:
            self.beliefs.setdefault(number, []).append(f"{order.order_no}'s")

    async def flap(self, gateway: Gateway) -> None:
        """Refuse connections now and then, for a moment."""
        while not self.over:
            await asyncio.sleep(self.flaps.uniform(0.002, 0.01) * (30 if gateway.tls else 1))  # a handshake takes long
            gateway.refuse()
            await asyncio.sleep(self.flaps.uniform(0.001, 0.004))
            await gateway.listen()

    async def rage(
        self, gateway: Gateway, transport: Transport, *, calls: int, at_once: int, verify: ssl.SSLContext | bool = True
    ) -> None:
        """Make so many money calls, so many of them at a time, and a query after every third."""
        gateway.script = self.behaviour
        gateway.swap_s = 1.0 if at_once > 1 else 0.01  # where somebody else calls too, a partner comes soon
        numbers = self.numbers(calls)

        async def caller(omipay: AsyncOmipay) -> None:
            for number in numbers:
                await self.one_call(omipay, number)
                if self.random.random() < 0.3:
                    await self.one_question(omipay, f"{number}-asked")

        flapping = asyncio.create_task(self.flap(gateway))
        try:
            async with open_session(gateway, transport, on_event=self.events.append, verify=verify) as omipay:
                await asyncio.gather(*(caller(omipay) for _ in range(at_once)))
        finally:
            self.over = True
            await flapping


def _timeout_s(number: str) -> float | None:
    return 0.3 if _UNANSWERED in number else None


def _believed(result: object, number: str) -> str:
    """The number that the caller takes the result for: this gateway names each order and refund after it."""
    named_by_gateway = getattr(result, "refund_no", None) or getattr(result, "order_no", None)
    return DONE if named_by_gateway == f"OM-{number}" else f"{named_by_gateway}'s"


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
    """What the ``call`` events say of each number that moves money."""
    beliefs: dict[str, list[str]] = {}
    for event in named(events, "call"):
        if event.safety is not Safety.MONEY:
            continue
        number = event.out_order_no or event.out_refund_no or ""
        beliefs.setdefault(number, []).append(DONE if event.outcome is None else str(event.outcome))
    return beliefs


async def _by_hand(options: argparse.Namespace) -> list[str]:
    authority, server, client = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    storm = Storm(options.seed)
    async with Gateway(tls=server if options.tls else None) as gateway:
        await storm.rage(gateway, options.transport, calls=options.calls, at_once=options.at_once, verify=client)
        orders = {number: count for number, count in gateway.acts.items() if not number.endswith("-asked")}
        return complaints(storm.beliefs, orders)


def main() -> None:
    """Run the storm with the arguments of the command line, and print the complaints."""
    parser = argparse.ArgumentParser(prog="python -m tests.transport.storm")
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--at-once", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--transport", type=Transport, choices=list(Transport), default=Transport.OWN)
    parser.add_argument("--tls", action="store_true")
    found = asyncio.run(_by_hand(parser.parse_args()))
    sys.exit("\n".join(found) or 0)


if __name__ == "__main__":
    main()
