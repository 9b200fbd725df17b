"""The people at the other side of the gateway: customers who pay or do not."""

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
        """Opens an order: scans its ``qrcode``, or the QR code of its ``pay_url``. It is PAYING then; its number."""
        number = parse_qs(urlsplit(code).query).get("paycode", [code])[0]
        order = self._ledger.orders[number]
        if order.status is OrderStatus.READY:
            self._ledger.move_order(order, OrderStatus.PAYING)
        return order.order_no

    async def pays(self, order: str | HasOrderNo) -> None:
        """Pays. The notification goes out if the order asked for one."""
        self._ledger.move_order(self._find(order), OrderStatus.PAID)

    async def declines(self, order: str | HasOrderNo) -> None:
        """Cannot pay, or does not want to: the order is FAILED."""
        self._ledger.move_order(self._find(order), OrderStatus.FAILED)

    async def cancels(self, order: str | HasOrderNo) -> None:
        """Leaves: the order is CANCELLED."""
        self._ledger.move_order(self._find(order), OrderStatus.CANCELLED)

    def _find(self, order: str | HasOrderNo) -> Order:
        return self._ledger.orders[order if isinstance(order, str) else str(order.order_no)]
