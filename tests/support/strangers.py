"""Bodies of strangers must be rejected: a gateway with one paid and one unpaid order, and the checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from .scripted_gateway import Gateway, order

if TYPE_CHECKING:
    from omipay_async import AsyncOmipay, NotificationError, Order
    from omipay_async.testing import ManualClock

NONCE = "313644f42ecd4758b5e23b80e86efdc4"


def two_orders(clock: ManualClock) -> Gateway:
    """TR1 is paid, TR2 is not."""
    gateway = Gateway(clock)
    gateway.on("TR1", order("PAID", out_order_no="T1-000231"))
    gateway.on("TR2", order("READY", out_order_no="T1-000232"))
    return gateway


async def never(order: Order) -> None:
    """A handler that fails the test if it runs."""
    message = f"{order.order_no} was fulfilled"
    raise AssertionError(message)


async def refused(omipay: AsyncOmipay, body: Any, kind: type[NotificationError], status: int) -> None:
    """Assert that every method that takes a body rejects ``body`` for the right reason, without a handler."""
    with pytest.raises(kind) as caught:
        await omipay.confirm_notification(body)
    assert type(caught.value) is kind
    reply = await omipay.receive_notification(body, never)
    assert (reply.status, reply.body, reply.ran) == (status, b'{"return_code": "FAIL"}', False)
    assert type(reply.error) is kind
