"""The customers, who scan, pay, decline or leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs, urlsplit

from omipay_async.codes import OrderStatus

if TYPE_CHECKING:
    from .ledger import Ledger, Order


class HasOrderNo(Protocol):
    """Any order object of the client."""

    @property
    def order_no(self) -> Any:
        """The gateway's number of the order."""
        ...


class Customer:
    """What customers do, as coroutines. An order is named by its number or by any object that has an ``order_no``.

    Each raises KeyError for an unknown order, and :class:`IllegalMove` for what the order's status does not allow.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def scans(self, code: str) -> str:
        """Scan the QR code of an order: its ``qrcode``, or its ``pay_url``.

        An order that is READY becomes PAYING; any other stays as it is. Returns its ``order_no``.
        """
        number = parse_qs(urlsplit(code).query).get("paycode", [code])[0]
        order = self._ledger.find_order(number)
        if order.status is OrderStatus.READY:
            self._ledger.move_order(order, OrderStatus.PAYING)
        return order.order_no

    async def pays(self, order: str | HasOrderNo) -> None:
        """Pay. The order becomes PAID, and its notification is sent if it has a ``notify_url``."""
        self._ledger.move_order(self._find(order), OrderStatus.PAID)

    async def declines(self, order: str | HasOrderNo) -> None:
        """Decline to pay, or fail to. The order becomes FAILED."""
        self._ledger.move_order(self._find(order), OrderStatus.FAILED)

    async def cancels(self, order: str | HasOrderNo) -> None:
        """Leave without paying. The order becomes CANCELLED."""
        self._ledger.move_order(self._find(order), OrderStatus.CANCELLED)

    def _find(self, order: str | HasOrderNo) -> Order:
        return self._ledger.find_order(order if isinstance(order, str) else str(order.order_no))
