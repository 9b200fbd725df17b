"""The state that the gateway's rules use: clock, ledger, merchants, rates, and fresh numbers. No I/O."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import attrs

from .rates import Terms
from .times import wire_time

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Mapping

    from omipay_async.clock import Clock

    from .ledger import Ledger
    from .merchants import Merchant

_NONCE_ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


@attrs.define
class GatewayState:
    """The state of one gateway. The handlers read and change it; :class:`.gateway.Gateway` calls the handlers."""

    clock: Clock
    ledger: Ledger
    merchants: dict[str, Merchant]
    random: random.Random
    terms: Terms = attrs.field(factory=Terms)
    repeat_finds_order: bool = True
    wechat_user: Mapping[str, str] = attrs.field(
        factory=lambda: {
            "openid": "o6_bmjrPTlm6_2sgVt7hMZOPfL2M",
            "nickname": "沙箱 Sandbox",
            "headimgurl": "http://sandbox.test/head.png",
        }
    )
    _counter: Iterator[int] = attrs.field(factory=itertools.count, init=False)

    def nonce(self) -> str:
        """A fresh nonce."""
        return "".join(self.random.choices(_NONCE_ALPHABET, k=32))

    def number(self, prefix: str) -> str:
        """A fresh number for an order or a refund: 24 characters, as real ones have."""
        day = wire_time(self.clock.time_ms())[2:]
        return f"{prefix}{day}{next(self._counter):05d}{self.random.randrange(10**5):05d}"
