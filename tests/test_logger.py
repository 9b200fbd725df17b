"""The package's logger: what the filters and handlers of a program raise changes no call."""

from __future__ import annotations

import io
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from omipay_async import OutcomeUnknown
from omipay_async.log import logger

from .support.canned_gateway import CALLS, Gateway, open_session, success

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .support.canned_gateway import Answer


class Raising(logging.Filter):
    """It asks for the web request that a record belongs to, and there is none."""

    error: BaseException = LookupError("no request")

    def filter(self, record: logging.LogRecord) -> bool:
        """Raises."""
        raise self.error


@pytest.fixture
def raising() -> Iterator[Raising]:
    """On a handler of the program."""
    handler = logging.StreamHandler(io.StringIO())
    raising = Raising()
    handler.addFilter(raising)
    logging.getLogger("omipay_async").addHandler(handler)
    yield raising
    logging.getLogger("omipay_async").removeHandler(handler)


async def call(name: str, *answers: Answer) -> object:
    """What a call returns that gets these answers, of which the first is unusable and is logged."""
    async with open_session(Gateway(b"", *answers)) as omipay:
        return await CALLS[name](omipay)


@pytest.mark.usefixtures("raising")
async def test_what_a_filter_raises_changes_no_call(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is printed, as logging prints what a formatter raises, unless the program has switched that off."""
    with pytest.raises(OutcomeUnknown):
        await call("MakeScanOrder")
    assert "LookupError: no request" in capfd.readouterr().err
    assert await call("QueryOrder", success("QueryOrder"))
    capfd.readouterr()
    monkeypatch.setattr(logging, "raiseExceptions", False)
    with pytest.raises(OutcomeUnknown):
        await call("Refund")
    assert not capfd.readouterr().err


async def test_an_interrupt_is_not_silenced(raising: Raising) -> None:
    """Ctrl-C may come while something is logged."""
    raising.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        await call("MakeScanOrder")


@pytest.mark.usefixtures("raising")
def test_nothing_is_raised_where_standard_error_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a daemon."""
    with Path(os.devnull).open("w") as closed:
        monkeypatch.setattr(sys, "stderr", closed)
    logger.warning("nobody sees this")


async def test_a_record_shows_where_it_was_made(caplog: pytest.LogCaptureFixture) -> None:
    """It names the function that logs, and not the one that all log through."""
    with pytest.raises(OutcomeUnknown):
        await call("Refund")
    logger.warning("here")
    assert [record.funcName for record in caplog.records] == ["log_call", "test_a_record_shows_where_it_was_made"]
