"""Tools that capture errors or move clocks, beside a session. (Those that mock or trace HTTP: tests/transport.)"""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import sentry_sdk
import time_machine
from freezegun import freeze_time
from rich.console import Console
from rich.traceback import Traceback
from sentry_sdk.utils import event_from_exception

from omipay_async import OmipayError
from omipay_async.testing import ManualClock

from .support.canaries import ANSWERS, CALLS, CODE, KEY, OLD_KEY, OPENID, Echo, search, session
from .support.canned_gateway import Gateway, open_session, success

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).parent


def captured(sentry: sentry_sdk.Client, error: Exception) -> list[str]:
    """What Sentry keeps of an error: its texts, and each frame that is not of a test, with its local variables."""
    event, _ = event_from_exception(error, client_options=sentry.options)
    texts = []
    for value in event["exception"]["values"]:
        texts.append(f"{value['type']} {value['value']}")
        frames = value.get("stacktrace", {"frames": []})["frames"]
        texts += [
            f"{frame['abs_path']} {frame['function']} {frame['vars']}"
            for frame in frames
            if TESTS not in Path(frame["abs_path"]).parents
        ]
    return texts


@pytest.mark.parametrize("given", [False, True], ids=["own", "httpx"])
@pytest.mark.parametrize("answer", [name for name in ANSWERS if name != "a success"])
async def test_sentry_sees_no_secret(echo: Echo, answer: str, given: bool) -> None:
    """With local variables, of every frame of an error and of what caused it, whatever the gateway echoes."""
    echo.answer = ANSWERS[answer]
    sentry = sentry_sdk.Client(include_local_variables=True, default_integrations=False)
    texts: list[str] = []
    async with session(httpx.AsyncHTTPTransport() if given else None, echo.base_url) as omipay:
        for call in CALLS.values():
            try:
                await call(omipay)
            except OmipayError as error:
                texts += captured(sentry, error)
    assert any("executor.py" in text and "'priority'" in text for text in texts)
    search(texts, {KEY, OLD_KEY, CODE, OPENID, *echo.live})


async def test_rich_sees_no_payment_code(echo: Echo) -> None:
    """With local variables, of which it shows the beginning if they are long."""
    echo.answer = ANSWERS["no reply"]
    console = Console(file=io.StringIO(), width=1000, record=True)
    async with session(None, echo.base_url) as omipay:
        with pytest.raises(OmipayError) as caught:
            await CALLS["MakeScanOrder"](omipay)
    frames = Traceback.from_exception(
        caught.type, caught.value, caught.tb, width=1000, show_locals=True, locals_max_string=130
    )
    console.print(frames)
    search([console.export_text()], {"134canary", KEY, OLD_KEY, *echo.live})


# -- clocks -----------------------------------------------------------------------------------------------------------

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def timestamps(gateway: Gateway) -> Iterator[float]:
    """What the requests were signed with, in seconds after the moment."""
    for request in gateway.requests:
        yield int(request.url.params["timestamp"]) / 1000 - MOMENT.timestamp()


async def test_time_machine_moves_the_timestamps() -> None:
    """Requests are signed with the time that it travels to, and waits go on by the true one."""
    gateway = Gateway(success("QueryOrder", order_no="TR1"))
    with time_machine.travel(MOMENT, tick=False) as traveller:
        async with open_session(gateway, clock=None) as omipay:
            await omipay.query_order("TR1")
            traveller.shift(3600)
            assert (await omipay.poll_until_paid("TR1", first_wait=0.01)).is_paid
    assert list(timestamps(gateway)) == [0, 3600]


async def test_a_manual_clock_goes_on_where_freezegun_stops_all_others() -> None:
    """A poll of minutes ends at once; without it, a poll would never end."""
    gateway = Gateway(success("QueryOrder", order_no="TR1"))
    clock = ManualClock(int(MOMENT.timestamp()) * 1000, auto=True)
    with freeze_time("2000-01-01"):
        async with open_session(gateway, clock=clock) as omipay:
            assert (await omipay.poll_until_paid("TR1", first_wait=240, timeout=300)).is_paid
    assert list(timestamps(gateway)) == [240]
