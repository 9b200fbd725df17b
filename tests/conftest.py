"""What all tests share: hypothesis asserts no times, and finds the same examples on each run of CI.

Where Python 3.11 would keep what comes after some awaits from coverage, it is made to show it.
"""

from __future__ import annotations

import asyncio
import os
import sys

import pytest
from hypothesis import settings

settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


@pytest.hookimpl(trylast=True)
def pytest_sessionstart() -> None:
    """After pytest-cov, which begins to trace the processes of pytest-xdist only here."""
    if sys.version_info < (3, 12) and sys.gettrace() is not None:
        from .tracing import ResumingPolicy

        asyncio.set_event_loop_policy(ResumingPolicy())
