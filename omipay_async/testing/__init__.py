"""For tests of programs that use this package: a clock that tests move, a comparison of records, and a pytest plugin.

``clock`` has ``ManualClock``, ``reconciliation`` has ``assert_reconciled``, and ``fixtures`` is the plugin, which is
installed with the package. It gives every test suite three plain fixtures: ``omipay_sandbox``, a gateway in memory;
``omipay``, a session that is connected to it; ``omipay_clock``, the clock of both. They work in tests of pytest-asyncio
and anyio and in sync tests. The plugin itself imports neither the session nor httpx: a fixture imports what it needs
when a test uses it.
"""

from __future__ import annotations

import contextlib

from .clock import ManualClock
from .reconciliation import assert_reconciled

with contextlib.suppress(ModuleNotFoundError):  # the clock can be used without pytest
    from .fixtures import omipay, omipay_clock, omipay_sandbox

__all__ = ["ManualClock", "assert_reconciled", "omipay", "omipay_clock", "omipay_sandbox"]
