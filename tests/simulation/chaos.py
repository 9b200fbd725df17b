"""What goes wrong, and when. All of it is drawn here, from the seed."""

from __future__ import annotations

import asyncio
import enum
import sqlite3
from typing import TYPE_CHECKING, Final

import attrs

from omipay_async.sandbox import Fault

if TYPE_CHECKING:
    import random


class NetworkFault(enum.Enum):
    """What happens to a request or to its reply on the network."""

    NONE = "nothing"
    REFUSED = "the connection is refused"
    LOST_REQUEST = "the request is lost"
    LOST_REPLY = "the reply is lost"
    SLOW_REQUEST = "the request arrives late"
    SLOW_REPLY = "the reply arrives late"
    NO_END = "no reply and no end of the connection"
    BAD_GATEWAY = "a proxy's 502, not acted on"
    BAD_GATEWAY_ACTED = "a proxy's 502, acted on"
    SYSTEM_ERROR = "SYSTEM_ERROR, not acted on"
    SYSTEM_ERROR_ACTED = "SYSTEM_ERROR, acted on"
    GARBAGE = "a cut-off reply"
    TWO_MINDS = "return_code twice, SUCCESS and FAIL"
    CONTRADICTION = "success is the opposite of return_code"
    SWAPPED = "the replies of two calls are swapped"


_NETWORK_FAULTS: Final = [
    *(fault for fault in NetworkFault if fault is not NetworkFault.NONE),
    NetworkFault.SWAPPED,
]


@attrs.frozen
class FaultRates:
    """The probabilities of a world's faults. A seed draws them; some are 0, so that other faults are seen."""

    network_faults: float
    store_failures: float
    crashes: float
    cancellations: float
    closings: float
    skew_s: float
    jumps: bool
    notifications_lost: float
    handler_fails: float

    @classmethod
    def drawn(cls, chance: random.Random) -> FaultRates:
        """Draw the probabilities of a world."""
        return cls(
            network_faults=chance.choice([0.0, 0.1, 0.25, 0.5]),
            store_failures=chance.choice([0.0, 0.0, 0.01, 0.04]),
            crashes=chance.choice([0.0, 0.5, 1.0]),
            cancellations=chance.choice([0.0, 0.3, 1.0]),
            closings=chance.choice([0.0, 0.3]),
            skew_s=chance.choice([0.0, 0.0, -600.0, 290.0, 3600.0]),
            jumps=chance.random() < 0.3,
            notifications_lost=chance.choice([0.0, 0.2, 0.6]),
            handler_fails=chance.choice([0.0, 0.15]),
        )


class Chaos:
    """Draws the faults of one world, until it is stopped."""

    def __init__(self, chance: random.Random, rates: FaultRates) -> None:
        self.chance = chance
        self.rates = rates
        self.is_on = True

    def happens(self, probability: float) -> bool:
        """Draw whether something happens that has this probability while there are faults."""
        return self.is_on and self.chance.random() < probability

    def network_fault(self) -> NetworkFault:
        """What happens to the next request."""
        return self.chance.choice(_NETWORK_FAULTS) if self.happens(self.rates.network_faults) else NetworkFault.NONE

    def latency(self) -> float:
        """How many seconds a request or a reply takes."""
        return self.chance.choice([0.0, 0.01, 0.02, 0.05, 0.3])

    def late(self) -> float:
        """How many seconds a late one takes: less or more than the time of a call."""
        return self.chance.choice([1.0, 4.0, 9.99, 10.5, 25.0])

    def crash_step(self) -> int | None:
        """The step at which a process that starts now is killed; None if it is not."""
        return self.chance.randint(1, self.chance.choice([20, 60, 250])) if self.happens(self.rates.crashes) else None

    async def at_the_store(self) -> None:
        """Let a statement take some time, fail, or stall."""
        await asyncio.sleep(0.001)
        if not self.happens(self.rates.store_failures):
            return
        if self.chance.random() < 0.5:
            message = "disk I/O error"
            raise sqlite3.OperationalError(message)
        await asyncio.sleep(self.chance.choice([0.5, 3.0, 6.0]))

    def notification_faults(self) -> dict[Fault, float]:
        """The faults of notifications, with their probabilities."""
        lost = self.rates.notifications_lost
        return {
            Fault.NOTIFICATION_DROP: lost,
            Fault.NOTIFICATION_DUPLICATE: lost / 2,
            Fault.NOTIFICATION_REORDER: lost / 2,
            Fault.NOTIFICATION_FORGE: 0.1,
            Fault.NOTIFICATION_TAMPER: 0.1,
        }
