"""Trouble on demand: which calls and which notifications shall go wrong, and how. No I/O; seeded randomness only.

What matters of a fault is on which side of the act it lies: whether the gateway did what it was asked for.
"""

from __future__ import annotations

import enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import attrs

from omipay_async.protocol.endpoints import ENDPOINTS

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping


class Fault(enum.StrEnum):
    """What can be made to go wrong."""

    DROP_REQUEST = "DROP_REQUEST"
    """The connection ends without an answer; the gateway did **not** act."""
    DROP_REPLY = "DROP_REPLY"
    """The connection ends without an answer; the gateway **acted**."""
    DELAY = "DELAY"
    """The gateway takes ``seconds`` before it acts."""
    DELAY_REPLY = "DELAY_REPLY"
    """The gateway acts, and takes ``seconds`` before it answers."""
    SYSTEM_ERROR = "SYSTEM_ERROR"
    """SYSTEM_ERROR, without having acted."""
    SYSTEM_ERROR_ACTED = "SYSTEM_ERROR_ACTED"
    """SYSTEM_ERROR, after having acted."""
    BAD_GATEWAY = "BAD_GATEWAY"
    """A proxy's 502 page; the gateway did not act."""
    BAD_GATEWAY_ACTED = "BAD_GATEWAY_ACTED"
    """A proxy's 502 page; the gateway acted."""
    GARBAGE = "GARBAGE"
    """The gateway acts, and the answer is no JSON."""
    CUT_OFF = "CUT_OFF"
    """The gateway acts, and only half of the answer comes."""
    EMPTY = "EMPTY"
    """The gateway acts, and the answer has no body."""
    SKEWED_CLOCK = "SKEWED_CLOCK"
    """The gateway's clock is ``seconds`` ahead for this call, its ``Date`` header too.

    Without ``times`` it stays wrong, as a real clock does.
    """
    NOTIFICATION_DROP = "NOTIFICATION_DROP"
    """A delivery is lost on its way, and counts as one of the three."""
    NOTIFICATION_DUPLICATE = "NOTIFICATION_DUPLICATE"
    """A delivery comes twice, word for word."""
    NOTIFICATION_REORDER = "NOTIFICATION_REORDER"
    """The first delivery comes ``seconds`` late, after those of later orders."""
    NOTIFICATION_FORGE = "NOTIFICATION_FORGE"
    """Before the true one comes a notification that is signed with another key."""
    NOTIFICATION_TAMPER = "NOTIFICATION_TAMPER"
    """Before the true one comes a notification with a good signature, and ten times the amount: it binds nothing."""

    @property
    def is_of_notifications(self) -> bool:
        """Whether it befalls notifications, not calls."""
        return self.startswith("NOTIFICATION_")


@attrs.define
class Rule:
    """A fault, whom it befalls and how often. ``hits`` counts how often it has."""

    fault: Fault
    endpoint: str | None = None
    times: int | None = None
    probability: float = 1.0
    seconds: float = 0.0
    hits: int = attrs.field(default=0, init=False)

    def strikes(self, endpoint: str | None, chance: random.Random) -> bool:
        """Whether it befalls this call; it is counted."""
        if self.endpoint not in {None, endpoint} or (self.times is not None and self.hits >= self.times):
            return False
        if self.probability < 1.0 and chance.random() >= self.probability:
            return False
        self.hits += 1
        return True


@attrs.define
class Faults:
    """The faults that are set. The same seed makes the same calls go wrong."""

    _random: random.Random = attrs.field(repr=False)
    rules: list[Rule] = attrs.field(factory=list, init=False)

    def add(
        self,
        fault: Fault | str,
        *,
        endpoint: str | None = None,
        times: int | None = None,
        probability: float = 1.0,
        seconds: float | None = None,
    ) -> Rule:
        """Let ``fault`` befall calls of ``endpoint`` (None: of all).

        It does so until it has done it ``times`` times (None: for ever).
        ``probability`` lets it strike some of them only. ``seconds`` is for the faults that name it. The rule that is
        returned counts its ``hits``. Raises ValueError for a fault or an endpoint that there is not.
        """
        if endpoint is not None and endpoint not in ENDPOINTS:
            raise ValueError(f"endpoint: there is no {endpoint}")
        fault = Fault(fault)
        rule = Rule(fault, endpoint, times, probability, SECONDS.get(fault, 0.0) if seconds is None else seconds)
        self.rules.append(rule)
        return rule

    def remove(self, rule: Rule) -> None:
        """Let one rule strike no more."""
        self.rules = [other for other in self.rules if other is not rule]

    def clear(self) -> None:
        """Let nothing go wrong any more."""
        self.rules.clear()

    def of_call(self, endpoint: str) -> dict[Fault, Rule]:
        """What befalls this call of ``endpoint``."""
        return self._striking(endpoint, of_notifications=False)

    def of_delivery(self, endpoint: str) -> dict[Fault, Rule]:
        """What befalls this delivery of a notification for an order that ``endpoint`` made."""
        return self._striking(endpoint, of_notifications=True)

    def _striking(self, endpoint: str, *, of_notifications: bool) -> dict[Fault, Rule]:
        concerned = [rule for rule in self.rules if rule.fault.is_of_notifications is of_notifications]
        return {rule.fault: rule for rule in concerned if rule.strikes(endpoint, self._random)}


SECONDS: Final[Mapping[Fault, float]] = MappingProxyType(
    {Fault.DELAY: 5.0, Fault.DELAY_REPLY: 5.0, Fault.SKEWED_CLOCK: 600.0, Fault.NOTIFICATION_REORDER: 10.0}
)
"""The faults that take ``seconds``, and how many where none are given."""

NOT_ACTED: Final = frozenset({Fault.DROP_REQUEST, Fault.SYSTEM_ERROR, Fault.BAD_GATEWAY})
"""After these the gateway has certainly done nothing."""
