"""The gateway's clock as this process knows it, by which requests are signed. No I/O."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from omipay_async.clock import Clock

_DATE_RESOLUTION_MS: Final = 2_000


@attrs.define(eq=False, repr=False)
class GatewayTime:
    """Our own clock, corrected by the ``Date`` of SIGN_TIMEOUT replies.

    ``Date`` headers have a resolution of one second, so the error that remains is about a second and the time that the
    reply took. That does not matter, since the gateway allows five minutes (CN 2.1).
    """

    clock: Clock
    offset_ms: int = 0

    def time_ms(self) -> int:
        """The time now by the gateway's clock, in milliseconds since the epoch."""
        # The gateway takes whole milliseconds only (CN 2.3), and time.time() * 1000 has a fraction.
        return math.floor(self.clock.time_ms()) + self.offset_ms

    def learn(self, gateway_ms: int) -> bool:
        """Correct the offset, since the gateway's clock shows ``gateway_ms`` now. Returns whether that changed it.

        An offset that is less than the header's resolution becomes 0, so that a machine whose clock was corrected
        signs with its own time again.
        """
        offset = gateway_ms - math.floor(self.clock.time_ms())
        offset = 0 if abs(offset) <= _DATE_RESOLUTION_MS else offset
        changed = abs(offset - self.offset_ms) > _DATE_RESOLUTION_MS
        self.offset_ms = offset
        return changed
