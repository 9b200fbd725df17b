"""A wrong argument of a method that asks about an order: it does not tell a till that it may charge again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from omipay_async.errors import InvalidRequest, Outcome
from tests.support.scripted_gateway import order
from tests.support.untyped import untyped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from omipay_async import AsyncOmipay, Order
    from tests.support.scripted_gateway import Gateway

    Call = Callable[[AsyncOmipay], Awaitable[object]]


async def ship(order: Order) -> None: ...


def not_async(order: Order) -> object: ...


def says_nothing(order: Order) -> None: ...


CALLS: dict[str, tuple[Call, Outcome | None]] = {
    "settle, a handler that is not callable": (lambda omipay: omipay.settle("TR1", untyped(3)), Outcome.UNKNOWN),
    "settle, an order": (lambda omipay: omipay.settle(untyped(None), ship), Outcome.UNKNOWN),
    "settle, a handler that is not async": (
        lambda omipay: omipay.settle("TR1", untyped(not_async), first_wait=0),
        None,
    ),
    "settle, a handler that says so": (lambda omipay: omipay.settle("TR1", untyped(says_nothing)), Outcome.UNKNOWN),
    "fulfil, a handler that is not callable": (lambda omipay: omipay.fulfil("TR1", untyped(3)), None),
    "fulfil, a handler that is not async": (lambda omipay: omipay.fulfil("TR1", untyped(not_async)), None),
    "wait, a number": (lambda omipay: omipay.wait_for_notification(""), Outcome.UNKNOWN),
    "wait, a timeout": (lambda omipay: omipay.wait_for_notification("T1", timeout=0), Outcome.UNKNOWN),
    "confirm, a timeout": (lambda omipay: omipay.confirm_notification(b"", timeout=0), None),
    "receive, a handler": (lambda omipay: omipay.receive_notification(b"", untyped(None)), None),
    "receive, a timeout": (lambda omipay: omipay.receive_notification(b"", ship, timeout=-1), None),
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_wrong_argument_does_not_say_that_no_money_moved(
    omipay: AsyncOmipay, gateway: Gateway, name: str
) -> None:
    """The order that the call asks about may be paid, and a till charges again on NOT_DONE."""
    gateway.on("QueryOrder", order("PAID"))
    call, outcome = CALLS[name]
    with pytest.raises(InvalidRequest) as caught:
        await call(omipay)
    assert caught.value.outcome is outcome


async def test_an_error_of_the_handler_itself_is_not_changed(omipay: AsyncOmipay, gateway: Gateway) -> None:
    """Its ``outcome`` is about the call that the handler made."""
    gateway.on("QueryOrder", order("PAID"))

    async def refunding(order: Order) -> None:
        await omipay.refund(order_no=order.order_no, out_refund_no="R1", amount=0)

    with pytest.raises(InvalidRequest, match="amount") as caught:
        await omipay.fulfil("TR1", refunding)
    assert caught.value.outcome is Outcome.NOT_DONE
