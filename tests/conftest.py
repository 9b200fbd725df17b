"""The fixtures that all tests share, such as a manual clock and a list of events, and the settings of hypothesis.

Hypothesis asserts no times, and finds the same examples on each run of CI.
"""

from __future__ import annotations

import gc
import os
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import find, settings, strategies as st

from omipay_async.testing import ManualClock

from .support.canaries import Echo
from .support.raw_http import Handler, Session
from .support.scripted_gateway import Gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from omipay_async import Event

settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


def pytest_collection_finish() -> None:
    """Keep thousands of tests and all modules, which stay to the end, out of each later search for garbage."""
    find(st.none(), lambda _: True)  # Hypothesis asks once who else has its random numbers, and must find that
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def ctrl_c() -> Iterator[None]:
    """Let Ctrl-C interrupt, as in a terminal: a shell lets its background programs ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still until a test moves it."""
    return ManualClock()


@pytest.fixture
def events() -> list[Event]:
    """A list of events, for ``on_event=events.append``."""
    return []


@pytest.fixture
def gateway(clock: ManualClock) -> Gateway:
    """A gateway in memory that answers as a test has scripted it."""
    return Gateway(clock)


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    """A running gateway that repeats every secret that it receives."""
    async with Echo() as echo:
        yield echo


@pytest.fixture
def session() -> Session:
    """A double of the session behind a web adapter."""
    return Session()


@pytest.fixture
def handler() -> Handler:
    """The handler that a web adapter runs for each order."""
    return Handler()
