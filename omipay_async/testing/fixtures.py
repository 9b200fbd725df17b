"""The fixtures of the pytest plugin ``omipay_async.testing``. They import the sandbox when a test uses them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from .clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from omipay_async.sandbox import Sandbox
    from omipay_async.session import AsyncOmipay


@pytest.fixture
def omipay_clock() -> ManualClock:
    """The clock of ``omipay_sandbox`` and ``omipay``: it jumps over every wait once nothing else can run."""
    return ManualClock(auto=True)


@pytest.fixture
def omipay_sandbox(omipay_clock: ManualClock) -> Iterator[Sandbox]:
    """A gateway in memory, with the same numbers in each run.

    Set ``omipay_sandbox.app`` to your ASGI app, and the gateway posts notifications to its ``/omipay/notify``.
    """
    from omipay_async.sandbox import Sandbox

    sandbox = Sandbox(clock=omipay_clock, seed=0)
    yield sandbox
    _finish(sandbox.aclose())


@pytest.fixture
def omipay(omipay_sandbox: Sandbox) -> Iterator[AsyncOmipay]:
    """A session for ``omipay_sandbox``. Its ``notify_url`` leads to ``/omipay/notify`` of ``omipay_sandbox.app``.

    Pass it to the app under test. In FastAPI, where endpoints take an ``OmipayDep``, let
    ``app.dependency_overrides[get_omipay]`` be an ``async def`` function that returns it (FastAPI runs any other in a
    thread, which ``omipay_clock`` cannot see), and do not run the app's lifespan. Elsewhere, give your program's
    factory a parameter for the session.
    """
    from omipay_async.sandbox import APP_NOTIFY_URL

    session = omipay_sandbox.session(notify_url=APP_NOTIFY_URL)
    yield session
    _finish(session.aclose())


def _finish(closing: Coroutine[Any, Any, None]) -> None:
    # The test's own event loop may be closed by now, and asyncio.run() would unset the current loop of the suite.
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(closing)
    finally:
        loop.close()
