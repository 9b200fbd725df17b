"""A scripted gateway that knows a paid order and accepts charges and refunds, and a journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.fake_journal import PAID, FakeJournal
from tests.support.scripted_gateway import REFUNDED, Gateway, order

if TYPE_CHECKING:
    from omipay_async.testing import ManualClock


@pytest.fixture
def gateway(clock: ManualClock) -> Gateway:
    gateway = Gateway(clock)
    gateway.on("MakeScanOrder", PAID)
    gateway.on("QueryOrder", order("PAID"))
    gateway.on("Refund", REFUNDED)
    return gateway


@pytest.fixture
def journal() -> FakeJournal:
    return FakeJournal()
