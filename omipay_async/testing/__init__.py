"""For tests of programs that use this package: a clock that only moves when told, and a pytest plugin.

Installed with the package, the plugin gives every test suite three plain fixtures: ``omipay_sandbox``, a gateway in
memory; ``omipay``, a session wired to it; ``omipay_clock``, the time of both. They work in tests of pytest-asyncio, of
anyio and in sync ones. Merely being installed it loads neither the session nor httpx: fixtures import what they need
when they are asked for.
"""

from __future__ import annotations

import contextlib

from .clock import ManualClock
from .reconciliation import assert_reconciled

with contextlib.suppress(ModuleNotFoundError):  # the clock is of use without pytest too
    from .fixtures import omipay, omipay_clock, omipay_sandbox

__all__ = ["ManualClock", "assert_reconciled", "omipay", "omipay_clock", "omipay_sandbox"]
