"""The statuses of orders and refunds, and the transitions between them, as two tables. No I/O.

In each row the ordinary next step comes first; a status without a next step is final.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar

from omipay_async.codes import OrderStatus as Order, RefundStatus as Refund

if TYPE_CHECKING:
    from collections.abc import Mapping

Status = TypeVar("Status", bound=str)

ORDER_LIFE: Final[Mapping[Order, tuple[Order, ...]]] = MappingProxyType(
    {
        Order.READY: (Order.PAYING, Order.PAID, Order.CANCELLED, Order.FAILED),
        Order.PAYING: (Order.PAID, Order.CANCELLED, Order.FAILED),
        Order.PAID: (Order.SETTLED,),
        Order.SETTLED: (),
        Order.CANCELLED: (),
        Order.FAILED: (),
    }
)

REFUND_LIFE: Final[Mapping[Refund, tuple[Refund, ...]]] = MappingProxyType(
    {
        Refund.Applied: (
            Refund.MerchantConfirmed,
            Refund.MerchantRejected,
            Refund.TimeoutClosed,
            Refund.CustomerCancelled,
        ),
        Refund.MerchantConfirmed: (
            Refund.OrganizationConfirmed,
            Refund.OrganizationFailed,
            Refund.TimeoutClosed,
            Refund.CustomerCancelled,
        ),
        Refund.OrganizationConfirmed: (Refund.OrganizationPayback, Refund.OrganizationFailed),
        Refund.OrganizationPayback: (Refund.Closed, Refund.OrganizationFailed),
        Refund.Closed: (),
        Refund.MerchantRejected: (),
        Refund.TimeoutClosed: (),
        Refund.OrganizationFailed: (),
        Refund.CustomerCancelled: (),
    }
)


class IllegalMove(ValueError):
    """An order or a refund cannot go to that status from its present one."""


def path(life: Mapping[Status, tuple[Status, ...]], start: Status, goal: Status | None = None) -> tuple[Status, ...]:
    """The statuses to go through from ``start`` to ``goal``, or the ordinary next one if no goal is given.

    It takes the ordinary next status until the goal is one step away. Raises :class:`IllegalMove` if there is no way.
    """
    way: list[Status] = []
    status = start
    while following := life[status]:
        status = goal if goal in following else following[0]
        way.append(status)
        if goal in {None, status}:
            return tuple(way)
    message = f"{start} is final" if goal is None else f"there is no way from {start} to {goal}"
    raise IllegalMove(message)
