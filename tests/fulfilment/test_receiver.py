"""``receive_notification`` and ``fulfil``: confirm, run the handler once, and answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from unittest import mock

import httpx
import pytest

from omipay_async import (
    BackendError,
    InvalidReply,
    InvalidRequest,
    NotificationReply,
    Order,
    OrderStatus,
    SessionClosed,
)
from tests.support.scripted_gateway import (
    Gateway,
    Held,
    Shop,
    begin,
    check_answer,
    fail,
    named,
    notification,
    order,
    outcome,
)

if TYPE_CHECKING:
    from omipay_async import AsyncOmipay, Event
    from omipay_async.testing import ManualClock

PAID = order("PAID", out_order_no="T1-000231")


@pytest.fixture
def shop() -> Shop:
    return Shop()


# -- receiving --------------------------------------------------------------------------------------------------------


async def test_a_notification_is_confirmed_handled_once_and_answered(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, shop: Shop, events: list[Event]
) -> None:
    """Repeats of it, seconds or a day later, are answered SUCCESS without another run of the handler."""
    gateway.on("TR1", PAID)
    reply = await omipay.receive_notification(json.dumps(notification(clock)).encode(), shop.handle)
    check_answer(reply, 200)
    assert (reply.ran, reply.error) == (True, None)
    assert reply.order is not None
    assert reply.order.order_no == "TR1"
    for wait in (0, 60, 400, 86_400):
        await clock.advance(wait)
        for nonce in ("313644f42ecd4758b5e23b80e86efdc4", "anothernonce1234567890"):
            again = await omipay.receive_notification(notification(clock, nonce_str=nonce), shop.handle)
            check_answer(again, 200)
            assert (again.ran, again.error, again.order) == (False, None, reply.order)
    assert shop.fulfilled == ["TR1"]
    first = named(events, "notification")[0]
    assert (first.order_no, first.out_order_no, first.error) == ("TR1", "T1-000231", None)


async def test_a_nonce_that_cannot_be_encoded_does_no_harm(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, shop: Shop
) -> None:
    """A mapping may contain any text, and its signature is the proof."""
    gateway.on("TR1", PAID)
    reply = await omipay.receive_notification(notification(clock, nonce_str="\ud800" * 20), shop.handle)
    check_answer(reply, 200)
    assert shop.fulfilled == ["TR1"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ZeroDivisionError("the shop's database"), 500),
        (BackendError("another order of the shop could not be claimed"), 503),
        (SessionClosed("the session of the shop's other merchant"), 503),
    ],
)
async def test_a_handler_that_raises_is_run_again(
    clock: ManualClock,
    gateway: Gateway,
    omipay: AsyncOmipay,
    shop: Shop,
    caplog: pytest.LogCaptureFixture,
    *,
    error: Exception,
    status: int,
) -> None:
    """The gateway is answered FAIL, the traceback is logged, and the next delivery runs the handler again."""
    gateway.on("TR1", PAID)
    shop.failing = [error]
    reply = await omipay.receive_notification(notification(clock), shop.handle)
    check_answer(reply, status)
    assert reply.error is error
    assert (reply.ran, reply.order is not None) == (False, True)
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.name == "omipay_async"
    assert "TR1" in record.getMessage()
    assert (str(error) in record.getMessage()) == (status == 503)
    check_answer(await omipay.receive_notification(notification(clock), shop.handle), 200)
    assert shop.fulfilled == ["TR1"]


async def test_duplicates_that_arrive_together_run_one_handler(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, shop: Shop
) -> None:
    """No delivery is answered SUCCESS before the handler has ended, and all of them are afterwards."""
    gateway.on("TR1", PAID)
    shop.go.clear()
    deliveries = [await begin(clock, omipay.receive_notification(notification(clock), shop.handle)) for _ in range(3)]
    await clock.advance(5)
    assert not any(delivery.done() for delivery in deliveries)
    shop.go.set()
    replies = [await outcome(delivery) for delivery in deliveries]
    for reply in replies:
        check_answer(reply, 200)
    assert [reply.ran for reply in replies] == [True, False, False]
    assert shop.fulfilled == ["TR1"]


async def test_a_duplicate_is_answered_fail_while_the_handler_runs_on(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, shop: Shop
) -> None:
    """``timeout`` limits the wait of the duplicate, and not the handler."""
    gateway.on("TR1", PAID)
    shop.go.clear()
    first = await begin(clock, omipay.receive_notification(notification(clock), shop.handle, timeout=2))
    second = await begin(clock, omipay.receive_notification(notification(clock), shop.handle, timeout=2))
    await clock.advance(2)
    reply = await outcome(second)
    check_answer(reply, 503)
    assert "still running" in str(reply.error)
    await clock.advance(3600)
    shop.go.set()
    check_answer(await outcome(first), 200)


async def test_a_poll_a_sweep_and_a_notification_that_arrive_together_run_one_handler(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, shop: Shop
) -> None:
    """``poll_until_paid`` with ``fulfil``, ``fulfil`` alone and ``receive_notification`` share the once-guard."""
    gateway.on("TR1", PAID)

    async def checkout() -> Order:
        paid = await omipay.poll_until_paid("TR1", first_wait=1)
        return await omipay.fulfil(paid.order_no, shop.handle)

    async def delivery() -> NotificationReply:
        await clock.sleep(1)
        return await omipay.receive_notification(notification(clock), shop.handle)

    async def sweep() -> Order:
        await clock.sleep(1)
        return await omipay.fulfil("TR1", shop.handle)

    tasks = [await begin(clock, work) for work in (checkout(), delivery(), sweep(), checkout())]
    await clock.advance(1)
    orders = [await outcome(task) for task in tasks]
    check_answer(orders.pop(1), 200)
    assert all(order.is_paid for order in orders)
    assert shop.fulfilled == ["TR1"]


async def test_an_answer_about_another_sale_fulfils_no_order_object(
    gateway: Gateway, omipay: AsyncOmipay, shop: Shop
) -> None:
    """As for polls, an order object says what was sold, and a number alone does not."""
    sale = Order("TR1", OrderStatus.READY, "T1-000232", "AUD", 450)
    gateway.on("TR1", PAID, PAID | {"out_order_no": sale.out_order_no})
    with pytest.raises(InvalidReply) as caught:
        await omipay.fulfil(sale, shop.handle)
    assert "TR1: the answer is about another sale, its out_order_no is T1-000231" in str(caught.value)
    assert (caught.value.endpoint, shop.fulfilled) == ("QueryOrder", [])
    assert (await omipay.fulfil(sale, shop.handle)).is_paid
    assert shop.fulfilled == ["TR1"]


async def test_an_unpaid_order_is_not_fulfilled(gateway: Gateway, omipay: AsyncOmipay, shop: Shop) -> None:
    """``fulfil`` returns it as it is. What a handler raises is raised, and the next call runs the handler again."""
    gateway.on("TR1", order("PAYING"), PAID)
    assert (await omipay.fulfil("TR1", shop.handle)).status is OrderStatus.PAYING
    assert shop.fulfilled == []
    shop.failing = [ZeroDivisionError()]
    with pytest.raises(ZeroDivisionError):
        await omipay.fulfil("TR1", shop.handle)
    assert (await omipay.fulfil("TR1", shop.handle)).is_paid
    assert shop.fulfilled == ["TR1"]


@pytest.mark.parametrize(
    "failure", [httpx.ConnectError("refused"), httpx.Response(502), fail("SYSTEM_ERROR"), fail("SIGN_ERROR")]
)
async def test_a_notification_that_the_gateway_does_not_answer_for_is_to_be_delivered_again(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, shop: Shop, failure: Any
) -> None:
    """The answer is 503 and FAIL, and no handler runs; the next delivery finds that the gateway works again."""
    gateway.on("TR1", failure, PAID)
    reply = await omipay.receive_notification(notification(clock), shop.handle)
    check_answer(reply, 503)
    assert (reply.order, reply.ran) == (None, False)
    assert shop.fulfilled == []
    check_answer(await omipay.receive_notification(notification(clock), shop.handle), 200)


@pytest.mark.parametrize("fails", ["nonces", "issued"])
async def test_a_provider_of_nonces_that_fails_does_not_leave_a_notification_without_an_answer(
    clock: ManualClock, gateway: Gateway, shop: Shop, fails: str
) -> None:
    """The answer is 503 and FAIL: whether it was reflected, or whether the order is paid, is not known."""
    nonces = mock.Mock(return_value="0123456789", issued=mock.Mock(return_value=False))
    (nonces if fails == "nonces" else nonces.issued).side_effect = OSError("no entropy")
    async with gateway.session(nonces=nonces) as omipay:
        reply = await omipay.receive_notification(notification(clock), shop.handle)
    check_answer(reply, 503)
    assert isinstance(reply.error, InvalidRequest)
    assert shop.fulfilled == []


async def test_timeout_limits_the_confirmation(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, shop: Shop
) -> None:
    """With a gateway that hangs the answer is FAIL after ten seconds."""
    gateway.on("TR1", Held(PAID))
    delivery = await begin(clock, omipay.receive_notification(notification(clock), shop.handle))
    await clock.advance(9.999)
    assert not delivery.done()
    await clock.advance(0.001)
    check_answer(await outcome(delivery), 503)


async def test_the_timeout_of_a_confirmation_is_not_that_of_other_calls(
    clock: ManualClock, gateway: Gateway, shop: Shop
) -> None:
    """A till that allows two seconds for a call still waits for a slow confirmation."""
    gateway.on("TR1", gateway.after(5, PAID))
    async with gateway.session(timeout=2) as omipay:
        delivery = await begin(clock, omipay.receive_notification(notification(clock), shop.handle))
        await clock.advance(5)
        check_answer(await outcome(delivery), 200)


async def test_a_handler_may_use_the_session(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, shop: Shop
) -> None:
    """It may ask and refund, also with a session that has one slot only."""
    gateway.on("TR1", PAID)
    gateway.on("Refund", {"return_code": "SUCCESS", "refund_no": "RF1"})
    refunds: list[str] = []

    async def handler(order: Order) -> None:
        await omipay.query_order(order.order_no)
        refunds.append((await omipay.refund(order_no="TR1", out_refund_no="R-1", amount=1)).refund_no)

    check_answer(await omipay.receive_notification(notification(clock), handler), 200)
    async with gateway.session(max_in_flight=1) as narrow:
        check_answer(await narrow.receive_notification(notification(clock), handler), 200)
    assert refunds == ["RF1", "RF1"]


@pytest.mark.parametrize("handler", [print, lambda _: None])
async def test_a_handler_that_turns_out_not_to_be_async(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, handler: Any
) -> None:
    """The error names the argument, the answer is FAIL, and no success is recorded."""
    gateway.on("TR1", PAID)
    for _ in range(2):
        reply = await omipay.receive_notification(notification(clock), handler)
        check_answer(reply, 500)
        assert isinstance(reply.error, InvalidRequest)
        with pytest.raises(InvalidRequest, match="handler"):
            await omipay.fulfil("TR1", handler)


@pytest.mark.parametrize("handler", [None, "ship"])
async def test_wrong_arguments_are_raised_and_not_answered(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, handler: Any
) -> None:
    """A handler that cannot be called, and a timeout of 0, are mistakes in the program; the gateway is not asked."""
    with pytest.raises(InvalidRequest, match="handler"):
        await omipay.receive_notification(notification(clock), handler)
    with pytest.raises(InvalidRequest, match="handler"):
        await omipay.fulfil("TR1", handler)
    with pytest.raises(InvalidRequest, match="timeout"):
        await omipay.receive_notification(notification(clock), Shop().handle, timeout=0)
    assert gateway.requests == []


# -- the session's end ------------------------------------------------------------------------------------------------


async def test_closing_waits_for_a_handler_that_runs(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, shop: Shop
) -> None:
    """The handler ends, its success is recorded, and the gateway is answered SUCCESS."""
    gateway.on("TR1", PAID)
    shop.go.clear()
    delivery = await begin(clock, omipay.receive_notification(notification(clock), shop.handle))
    closing = await begin(clock, omipay.aclose())
    assert not closing.done()
    shop.go.set()
    assert await outcome(closing) is None
    check_answer(await outcome(delivery), 200)
    assert shop.fulfilled == ["TR1"]


async def test_closing_waits_no_longer_than_the_timeout(clock: ManualClock, gateway: Gateway, shop: Shop) -> None:
    """A handler that hangs does not keep the process from ending."""
    gateway.on("TR1", PAID)
    shop.go.clear()
    omipay = gateway.session(timeout=8)
    delivery = await begin(clock, omipay.receive_notification(notification(clock), shop.handle))
    closing = await begin(clock, omipay.aclose())
    await clock.advance(7.999)
    assert not closing.done()
    await clock.advance(0.001)
    assert await outcome(closing) is None
    assert shop.running == 1
    shop.go.set()
    check_answer(await outcome(delivery), 200)


async def test_a_closed_session_answers_that_the_notification_is_to_be_delivered_again(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, shop: Shop
) -> None:
    """The answer is 503, whether the session was closed before the delivery or while the gateway was asked."""
    gateway.on("TR1", Held(PAID))
    delivery = await begin(clock, omipay.receive_notification(notification(clock), shop.handle))
    await omipay.aclose()
    for reply in (await outcome(delivery), await omipay.receive_notification(notification(clock), shop.handle)):
        check_answer(reply, 503)
        assert isinstance(reply.error, SessionClosed)
    with pytest.raises(SessionClosed):
        await omipay.fulfil("TR1", shop.handle)
    assert shop.fulfilled == []


async def test_a_handler_may_close_the_session(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, shop: Shop
) -> None:
    """``aclose`` does not wait for the handler that calls it."""
    gateway.on("TR1", PAID)

    async def last(_: Order) -> None:
        await omipay.aclose()

    check_answer(await omipay.receive_notification(notification(clock), last), 200)
