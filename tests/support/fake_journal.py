"""Journals that tests control, and the charge that is written into them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from omipay_async import AsyncOmipay, JournalEntry, Order

PAID = {"return_code": "SUCCESS", "order_no": "TR1"}
PAYMENT_CODE = "134567890123456789"


class FakeJournal:
    """Keeps every entry, and behaves at each step as the test has set it."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, JournalEntry]] = []
        self.at: dict[str, Any] = {}

    @property
    def names(self) -> list[str]:
        """The steps that were made."""
        return [name for name, _ in self.steps]

    @property
    def last(self) -> JournalEntry:
        """The last entry."""
        return self.steps[-1][1]

    async def opening(self, entry: JournalEntry) -> None:
        """Open an entry."""
        await self._step("opening", entry)

    async def closing(self, entry: JournalEntry) -> None:
        """Close an entry."""
        await self._step("closing", entry)

    async def confirmed(self, m_number: str, order: Order) -> None:
        """It is not called by these tests."""
        raise AssertionError

    async def _step(self, name: str, entry: JournalEntry) -> None:
        self.steps.append((name, entry))
        what = self.at.get(name)
        if isinstance(what, BaseException):
            raise what
        if what is not None:
            await what()


class Stalled:
    """A journal that does not answer until the test releases it."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()
        self.cancelled = 0
        self._stubborn = stubborn

    async def __call__(self) -> None:
        """Wait."""
        self.reached.set()
        while not self.go_on.is_set():
            try:
                await self.go_on.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                if not self._stubborn:
                    raise


def scan(omipay: AsyncOmipay, **options: Any) -> Coroutine[Any, Any, Any]:
    """A charge."""
    return omipay.make_scan_order(
        order_name="x", amount=450, currency="AUD", out_order_no="A-1", qrcode=PAYMENT_CODE, pos_no="1", **options
    )
