"""Faults on demand: which calls and which notifications go wrong, and how. No I/O; its randomness has a seed.

The most important property of a fault is whether the gateway did what the call asked for.
"""

from __future__ import annotations

import enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import attrs

from omipay_async.language import Description
from omipay_async.protocol.endpoints import ENDPOINTS

from . import arguments

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping


class Fault(enum.StrEnum):
    """What can be made to go wrong, with ``sandbox.faults.add``. ``description`` says what each does."""

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
        """What it does, in a sentence or two of English."""
        return FAULTS[self].description.english

    @property
    def seconds(self) -> float | None:
        """How many seconds it takes by default; None for a fault that does not depend on time."""
        return FAULTS[self].seconds


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

        ``endpoint`` is the gateway's name, such as ``"MakeScanOrder"``; for a fault of notifications it is the one that
        made the order, and each delivery counts. ``probability`` is from 0 to 1: below 1 the fault applies to some of
        the calls only. ``seconds`` is for the faults whose description names seconds; None is the fault's own default.
        The rule that is returned counts its ``hits``; ``remove`` takes it. If several rules for one fault apply to a
        call, only the newest does, and the others are kept for later calls.

        Raises ValueError for an unknown fault or endpoint, and for numbers that are out of these limits.
        """
        if endpoint is not None and endpoint not in ENDPOINTS:
            raise ValueError(f"endpoint: there is no {endpoint}; it is one of {', '.join(ENDPOINTS)}")
        fault = Fault(fault)
        if times is not None:
            arguments.count("times", times)
        arguments.number("probability", probability, most=1.0)
        lasts = (fault.seconds or 0.0) if seconds is None else arguments.number("seconds", seconds)
        rule = Rule(fault, endpoint, times, probability, lasts)
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
        active: dict[Fault, Rule] = {}
        for rule in reversed(self.rules):  # of several rules for one fault, the newest that applies
            is_concerned = rule.fault.is_of_notifications is of_notifications and rule.fault not in active
            if is_concerned and rule.applies(endpoint, self._random):
                active[rule.fault] = rule
        return active


@attrs.frozen
class FaultFacts:
    """The properties of a fault."""

    description: Description
    acted: bool = True
    """Whether the gateway does what the call asks for."""
    seconds: float | None = None
    """How many seconds it takes by default; None for a fault that does not depend on time."""


FAULTS: Final[Mapping[Fault, FaultFacts]] = MappingProxyType(
    {
        Fault.DROP_REQUEST: FaultFacts(
            Description(
                "The connection ends without a reply. The gateway did not act.",
                "连接中断，没有返回结果；网关未执行操作。",
            ),
            acted=False,
        ),
        Fault.DROP_REPLY: FaultFacts(
            Description(
                "The connection ends without a reply. The gateway acted.", "连接中断，没有返回结果；网关已执行操作。"
            )
        ),
        Fault.DELAY: FaultFacts(
            Description("The gateway waits for some seconds before it acts.", "网关等待数秒后才执行操作。"), seconds=5.0
        ),
        Fault.DELAY_REPLY: FaultFacts(
            Description(
                "The gateway acts, and waits for some seconds before it replies.",
                "网关执行操作后，等待数秒才返回结果。",
            ),
            seconds=5.0,
        ),
        Fault.SYSTEM_ERROR: FaultFacts(
            Description("The reply is SYSTEM_ERROR. The gateway did not act.", "返回 SYSTEM_ERROR；网关未执行操作。"),
            acted=False,
        ),
        Fault.SYSTEM_ERROR_ACTED: FaultFacts(
            Description(
                "The reply is SYSTEM_ERROR, although the gateway acted.", "返回 SYSTEM_ERROR，但网关已执行操作。"
            )
        ),
        Fault.BAD_GATEWAY: FaultFacts(
            Description(
                "A proxy replies with its 502 page. The gateway did not act.", "代理返回 502 页面；网关未执行操作。"
            ),
            acted=False,
        ),
        Fault.BAD_GATEWAY_ACTED: FaultFacts(
            Description(
                "A proxy replies with its 502 page, although the gateway acted.",
                "代理返回 502 页面，但网关已执行操作。",
            )
        ),
        Fault.GARBAGE: FaultFacts(
            Description("The gateway acts, and the reply is not JSON.", "网关已执行操作，但返回内容不是 JSON。")
        ),
        Fault.CUT_OFF: FaultFacts(
            Description(
                "The gateway acts, and only half of the reply arrives.", "网关已执行操作，但返回内容只到达一半。"
            )
        ),
        Fault.EMPTY: FaultFacts(
            Description("The gateway acts, and the reply has no body.", "网关已执行操作，但返回内容为空。")
        ),
        Fault.CONTRADICTION: FaultFacts(
            Description(
                'The gateway acts, and the reply contradicts itself: "success" says the opposite of "return_code".',
                "网关已执行操作，但返回内容自相矛盾：success 与 return_code 相反。",
            )
        ),
        Fault.DUPLICATE_KEYS: FaultFacts(
            Description(
                'The gateway acts, and the reply has "return_code" twice, once with SUCCESS and once with FAIL.',
                "网关已执行操作，但 return_code 出现两次，分别为 SUCCESS 和 FAIL。",
            )
        ),
        Fault.SWAPPED_REPLIES: FaultFacts(
            Description(
                "The gateway acts on two calls of one endpoint, and each gets the reply of the other. A call gets its "
                "own reply if no second one comes within some seconds.",
                "网关已执行同一接口的两次调用，但两次调用收到彼此的返回结果；数秒内没有另一次调用时，收到自己的结果。",
            ),
            seconds=5.0,
        ),
        Fault.SURPLUS_REPLY: FaultFacts(
            Description(
                "After its reply the gateway sends a second one over the same connection: a SIGN_TIMEOUT that nobody "
                "asked for. This needs a served sandbox; in memory nothing happens.",
                "返回结果之后，同一连接上又收到一个多余的 SIGN_TIMEOUT；仅在沙箱监听端口时有效，在内存中不起作用。",
            )
        ),
        Fault.SKEWED_CLOCK: FaultFacts(
            Description(
                "For this call the gateway's clock, and with it the Date header, is some seconds ahead.",
                "网关时钟（包括 Date 头）在本次调用中快数秒。",
            ),
            seconds=600.0,
        ),
        Fault.NOTIFICATION_DROP: FaultFacts(
            Description(
                "One delivery of a notification gets lost. It counts as one of the three.",
                "一次通知丢失，计入三次之内。",
            )
        ),
        Fault.NOTIFICATION_DUPLICATE: FaultFacts(
            Description("A notification is delivered twice, word for word.", "同一通知原样发送两次。")
        ),
        Fault.NOTIFICATION_REORDER: FaultFacts(
            Description(
                "A notification comes some seconds late, after those of later orders.",
                "通知延迟数秒，晚于之后订单的通知。",
            ),
            seconds=10.0,
        ),
        Fault.NOTIFICATION_FORGE: FaultFacts(
            Description(
                "Before the true notification comes one that was signed with another key.",
                "真实通知之前，先收到一个用其他密钥签名的通知。",
            )
        ),
        Fault.NOTIFICATION_TAMPER: FaultFacts(
            Description(
                "Before the true notification comes one with a good signature and ten times the amount: the signature "
                "does not cover the body.",
                "真实通知之前，先收到一个签名正确但金额为十倍的通知：签名不包含通知内容。",
            )
        ),
    }
)
"""The properties of each fault."""

NOT_ACTED: Final = frozenset(fault for fault, facts in FAULTS.items() if not facts.acted)
"""The faults after which the gateway has certainly done nothing."""
