"""Faults on demand: which calls and which notifications go wrong, and how. No I/O; seeded randomness only.

What matters about a fault is whether the gateway did what it was asked for.
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
    """What can be made to go wrong. ``description`` says what each does."""

    DROP_REQUEST = "DROP_REQUEST"
    DROP_REPLY = "DROP_REPLY"
    DELAY = "DELAY"
    DELAY_REPLY = "DELAY_REPLY"
    SYSTEM_ERROR = "SYSTEM_ERROR"
    SYSTEM_ERROR_ACTED = "SYSTEM_ERROR_ACTED"
    BAD_GATEWAY = "BAD_GATEWAY"
    BAD_GATEWAY_ACTED = "BAD_GATEWAY_ACTED"
    GARBAGE = "GARBAGE"
    CUT_OFF = "CUT_OFF"
    EMPTY = "EMPTY"
    CONTRADICTION = "CONTRADICTION"
    DUPLICATE_KEYS = "DUPLICATE_KEYS"
    SWAPPED_REPLIES = "SWAPPED_REPLIES"
    SURPLUS_REPLY = "SURPLUS_REPLY"
    SKEWED_CLOCK = "SKEWED_CLOCK"
    NOTIFICATION_DROP = "NOTIFICATION_DROP"
    NOTIFICATION_DUPLICATE = "NOTIFICATION_DUPLICATE"
    NOTIFICATION_REORDER = "NOTIFICATION_REORDER"
    NOTIFICATION_FORGE = "NOTIFICATION_FORGE"
    NOTIFICATION_TAMPER = "NOTIFICATION_TAMPER"

    @property
    def is_of_notifications(self) -> bool:
        """Whether it changes notifications, not calls."""
        return self.startswith("NOTIFICATION_")

    @property
    def description(self) -> str:
        """What it does, in a sentence or two."""
        return DESCRIPTIONS[self]


@attrs.define
class Rule:
    """A fault, the calls that it applies to, and how often. ``hits`` counts how often it has been applied."""

    fault: Fault
    endpoint: str | None = None
    times: int | None = None
    probability: float = 1.0
    seconds: float = 0.0
    hits: int = attrs.field(default=0, init=False)

    def applies(self, endpoint: str | None, chance: random.Random) -> bool:
        """Whether it applies to this call, which is counted then."""
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
        """Apply ``fault`` to calls of ``endpoint`` (None: of every endpoint), ``times`` times (None: until removed).

        With a ``probability`` below 1 it applies to some of the calls only. ``seconds`` is for the faults whose
        description names them. The rule that is returned counts its ``hits``. Raises ValueError for an unknown fault
        or endpoint.
        """
        if endpoint is not None and endpoint not in ENDPOINTS:
            raise ValueError(f"endpoint: there is no {endpoint}")
        fault = Fault(fault)
        rule = Rule(fault, endpoint, times, probability, SECONDS.get(fault, 0.0) if seconds is None else seconds)
        self.rules.append(rule)
        return rule

    def remove(self, rule: Rule) -> None:
        """Stop applying one rule."""
        self.rules = [other for other in self.rules if other is not rule]

    def clear(self) -> None:
        """Stop applying every rule."""
        self.rules.clear()

    def of_call(self, endpoint: str) -> dict[Fault, Rule]:
        """The faults that apply to this call of ``endpoint``."""
        return self._active(endpoint, of_notifications=False)

    def of_delivery(self, endpoint: str) -> dict[Fault, Rule]:
        """The faults that apply to this delivery of a notification for an order that ``endpoint`` made."""
        return self._active(endpoint, of_notifications=True)

    def _active(self, endpoint: str, *, of_notifications: bool) -> dict[Fault, Rule]:
        concerned = [rule for rule in self.rules if rule.fault.is_of_notifications is of_notifications]
        return {rule.fault: rule for rule in concerned if rule.applies(endpoint, self._random)}


DESCRIPTIONS: Final[Mapping[Fault, str]] = MappingProxyType(
    {
        Fault.DROP_REQUEST: "The connection ends without a reply. The gateway did not act.",
        Fault.DROP_REPLY: "The connection ends without a reply. The gateway acted.",
        Fault.DELAY: "The gateway waits for some seconds before it acts.",
        Fault.DELAY_REPLY: "The gateway acts, and waits for some seconds before it replies.",
        Fault.SYSTEM_ERROR: "The reply is SYSTEM_ERROR. The gateway did not act.",
        Fault.SYSTEM_ERROR_ACTED: "The reply is SYSTEM_ERROR, although the gateway acted.",
        Fault.BAD_GATEWAY: "A proxy replies with its 502 page. The gateway did not act.",
        Fault.BAD_GATEWAY_ACTED: "A proxy replies with its 502 page, although the gateway acted.",
        Fault.GARBAGE: "The gateway acts, and the reply is not JSON.",
        Fault.CUT_OFF: "The gateway acts, and only half of the reply arrives.",
        Fault.EMPTY: "The gateway acts, and the reply has no body.",
        Fault.CONTRADICTION: 'The gateway acts, and the reply contradicts itself: "success" says the opposite of '
        '"return_code".',
        Fault.DUPLICATE_KEYS: 'The gateway acts, and "return_code" stands in the reply twice, with SUCCESS and with '
        "FAIL.",
        Fault.SWAPPED_REPLIES: "The gateway acts on two calls of one endpoint, and each gets the reply of the other. "
        "A call that is alone for some seconds gets its own.",
        Fault.SURPLUS_REPLY: "After its reply the gateway sends a second one over the same connection: a SIGN_TIMEOUT "
        "that nobody asked for. Only a served sandbox has connections; in memory nothing happens.",
        Fault.SKEWED_CLOCK: "The clock of the gateway, its Date header included, is some seconds ahead for this call.",
        Fault.NOTIFICATION_DROP: "A delivery of a notification gets lost. It counts as one of the three.",
        Fault.NOTIFICATION_DUPLICATE: "A notification is delivered twice, word for word.",
        Fault.NOTIFICATION_REORDER: "A notification comes some seconds late, after those of later orders.",
        Fault.NOTIFICATION_FORGE: "Before the true notification comes one that was signed with another key.",
        Fault.NOTIFICATION_TAMPER: "Before the true notification comes one with a good signature and ten times the "
        "amount: the signature does not cover the body.",
    }
)

SECONDS: Final[Mapping[Fault, float]] = MappingProxyType(
    {
        Fault.DELAY: 5.0,
        Fault.DELAY_REPLY: 5.0,
        Fault.SWAPPED_REPLIES: 5.0,
        Fault.SKEWED_CLOCK: 600.0,
        Fault.NOTIFICATION_REORDER: 10.0,
    }
)
"""The faults that take ``seconds``, and how many where none are given."""

NOT_ACTED: Final = frozenset({Fault.DROP_REQUEST, Fault.SYSTEM_ERROR, Fault.BAD_GATEWAY})
"""After these the gateway has certainly done nothing."""
