"""What users are told of handlers that block the event loop."""

from __future__ import annotations

from pathlib import Path

import pytest

import omipay_async
from omipay_async import AsyncOmipay

METHODS = [AsyncOmipay.receive_notification, AsyncOmipay.fulfil, AsyncOmipay.settle]
GUIDE = Path(omipay_async.__file__).parent / "docs" / "notifications.md"


@pytest.mark.parametrize("method", METHODS, ids=lambda method: str(method.__name__))
def test_each_method_that_runs_a_handler_says_where_blocking_code_belongs(method: object) -> None:
    """Its help names ``asyncio.to_thread``: a handler that blocks longer than its lease may run twice."""
    assert "blocking code in ``asyncio.to_thread``" in " ".join(str(method.__doc__).split())


def test_the_guide_says_it_in_one_sentence_and_names_the_warning() -> None:
    """Where handlers are explained."""
    text = " ".join(GUIDE.read_text(encoding="utf-8").split())
    assert "run blocking code in `asyncio.to_thread`" in text
    assert "lease is logged as a WARNING" in text
