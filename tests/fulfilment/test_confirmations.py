"""Bodies that strangers send with a captured signature: how many questions they cost, and what they cannot delay."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest

from omipay_async import (
    InvalidReply,
    Order,
    OrderStatus,
    ReplayedNotification,
    TransportError,
)
from omipay_async.fulfilment import confirmations as confirmations_module, receiver as receiver_module
from omipay_async.fulfilment.confirmations import MOST_WAITING, Confirmations
from tests.support.scripted_gateway import Gateway, Held, Shop, begin, check_answer, notification, order, outcome

if TYPE_CHECKING:
    from omipay_async import AsyncOmipay
    from omipay_async.testing import ManualClock

PAID = order("PAID")


def paid(order_no: str) -> Order:
    return Order(order_no=order_no, status=OrderStatus.PAID, out_order_no="A-1", currency="AUD", amount=450)


class Questions:
    """The questions that the gateway was asked; each is answered after a second."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.orders: list[str] = []
        self.limits: list[float] = []
        self.under_way = 0
        self.cancelled = 0
        self.error: BaseException | None = None
        self.turns = 0
        """How many turns of the event loop an answer takes that has arrived."""

    async def __call__(self, order_no: str, seconds: float) -> Order:
        """Answer."""
        self.orders.append(order_no)
        self.limits.append(seconds)
        self.under_way += 1
        try:
            await self.clock.sleep(1)
            for _ in range(self.turns):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1
        if self.error is not None:
            raise self.error
        return paid(order_no)


@pytest.fixture
def questions(clock: ManualClock) -> Questions:
    return Questions(clock)


@pytest.fixture
def confirmations(questions: Questions, clock: ManualClock) -> Confirmations:
    return Confirmations(questions, clock, max_concurrent=2)


async def post(
    confirmations: Confirmations, order_no: str, nonce: str = "stolen", timeout: float = 10
) -> asyncio.Task[Order]:
    """Post a body, and return the task once it can do nothing more before time passes."""
    task = asyncio.create_task(confirmations.query(order_no, nonce, timeout))
    for _ in range(3):
        await asyncio.sleep(0)
    return task


# -- one question at a time -------------------------------------------------------------------------------------------


async def test_bodies_that_wait_share_a_question_that_is_newer_than_they_are(
    confirmations: Confirmations, questions: Questions, clock: ManualClock
) -> None:
    """A hundred bodies that arrive while a question is under way wait for the next one and share it."""
    first = await post(confirmations, "TR1")
    await clock.advance(0.5)
    others = [await post(confirmations, "TR1", f"nonce {number}") for number in range(100)]
    await clock.advance(0.5)
    assert (await first).order_no == "TR1"
    assert not any(task.done() for task in others)
    await clock.advance(1)
    assert all(task.done() for task in others)
    assert questions.orders == ["TR1", "TR1"]
    assert (confirmations._waiting, confirmations._queues, confirmations._under_way) == ({}, {}, {})


@pytest.mark.parametrize(("turns", "is_taken"), [(0, True), (150, True), (250, False)])
async def test_an_answer_that_has_arrived_when_time_is_over_is_taken(
    confirmations: Confirmations, questions: Questions, clock: ManualClock, turns: int, *, is_taken: bool
) -> None:
    """Something may have blocked the event loop, or stopped the process, until then."""
    questions.turns = turns
    body = await post(confirmations, "TR1", timeout=1)
    await clock.advance(1)
    await asyncio.wait([body])
    assert (body.exception() is None) is is_taken
    await asyncio.sleep(0)
    assert (questions.under_way, questions.cancelled) == (0, 0 if is_taken else 1)


async def test_one_signature_has_one_question_under_way_and_does_not_delay_a_genuine_body(
    confirmations: Confirmations, questions: Questions, clock: ManualClock
) -> None:
    """A thousand forged bodies are in one queue, and the queues take turns."""
    forged = [await post(confirmations, f"TR{number}") for number in range(MOST_WAITING)]
    assert questions.orders == ["TR0"]
    await clock.advance(0.5)
    genuine = await post(confirmations, "TR5", "genuine")
    await clock.advance(1)
    assert (await genuine).order_no == "TR5"
    assert questions.orders == ["TR0", "TR5", "TR1"]
    assert forged[5].done()  # it names the same order, and the question began after it came
    for task in forged:
        task.cancel()
    await asyncio.wait(forged)
    await clock.advance(1)
    assert questions.under_way == len(confirmations._waiting) == 0


async def test_signatures_take_turns(confirmations: Confirmations, questions: Questions, clock: ManualClock) -> None:
    """Two strangers with three bodies each do not delay a third sender, although only two questions run at a time."""
    tasks = [await post(confirmations, f"TR{n}", "one" if n < 3 else "two") for n in range(6)]
    tasks.append(await post(confirmations, "TR6", "genuine"))
    await clock.advance(2)
    assert questions.orders == ["TR0", "TR3", "TR1", "TR4", "TR6", "TR2"]
    await clock.advance(2)
    assert {task.result().order_no for task in tasks} == {f"TR{n}" for n in range(7)}


@pytest.mark.parametrize("most", [2, MOST_WAITING])
async def test_when_too_many_bodies_wait_the_last_of_the_longest_queue_is_refused(
    confirmations: Confirmations, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """A stranger's additional body is refused at once; a genuine body takes the place of one of the stranger's."""
    monkeypatch.setattr(confirmations_module, "MOST_WAITING", most)
    forged = [await post(confirmations, f"TR{number}") for number in range(most + 1)]
    assert len(confirmations._waiting) == most
    one_too_many = await post(confirmations, "TR9999")
    assert one_too_many.done()
    with pytest.raises(TransportError, match="too many"):
        await one_too_many
    genuine = await post(confirmations, "TR-G", "genuine")
    assert len(confirmations._waiting) == most - 1  # the genuine one is asked about at once
    with pytest.raises(TransportError, match="too many"):
        await forged[-1]
    await clock.advance(1)
    assert (await genuine).order_no == "TR-G"
    for task in forged:
        task.cancel()
    await asyncio.gather(*forged, return_exceptions=True)


async def test_many_signatures_share_the_limit(
    confirmations: Confirmations, monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> None:
    """If no signature has more than one body, the body that arrives last is refused."""
    monkeypatch.setattr(confirmations_module, "MOST_WAITING", 3)
    tasks = [await post(confirmations, f"TR{number}", f"nonce {number}") for number in range(6)]
    assert [task.done() for task in tasks] == [False] * 5 + [True]
    with pytest.raises(TransportError, match="too many"):
        await tasks[-1]
    await clock.advance(3)
    assert {(await task).order_no for task in tasks[:5]} == {f"TR{number}" for number in range(5)}


async def test_a_body_waits_no_longer_than_its_timeout(
    confirmations: Confirmations, questions: Questions, clock: ManualClock
) -> None:
    """That holds whether its question has begun or not; a question that no body waits for any more is cancelled."""
    tasks = [await post(confirmations, order_no, f"nonce {order_no}", 0.5) for order_no in ("TR1", "TR2", "TR3")]
    await clock.advance(0.5)
    for task in tasks:
        with pytest.raises(TransportError, match="in time") as caught:
            await task
        assert caught.value.endpoint == "QueryOrder"
    await clock.advance(0)
    assert (questions.cancelled, questions.under_way, len(confirmations._waiting)) == (2, 0, 0)
    assert questions.limits == [0.5, 0.5]


async def test_a_question_goes_on_as_long_as_one_body_waits_for_it(
    confirmations: Confirmations, questions: Questions, clock: ManualClock
) -> None:
    """A caller that is cancelled does not cancel the question of others."""
    blocker = await post(confirmations, "TR1", timeout=10)
    leaving = await post(confirmations, "TR1", "one", 1.5)
    staying = await post(confirmations, "TR1", "two", 10)
    await clock.advance(1.25)
    leaving.cancel()
    await clock.advance(0.75)
    assert (await blocker, await staying) == (paid("TR1"), paid("TR1"))
    assert questions.cancelled == 0


async def test_each_body_gets_an_error_of_its_own(
    confirmations: Confirmations, questions: Questions, clock: ManualClock
) -> None:
    """An error that is raised in many tasks would collect their tracebacks."""
    questions.error = InvalidReply("502", status=502)
    tasks = [await post(confirmations, "TR1") for _ in range(2)]
    later = [await post(confirmations, "TR1") for _ in range(2)]
    await clock.advance(2)
    errors = await asyncio.gather(*tasks, *later, return_exceptions=True)
    assert [type(error) for error in errors] == [InvalidReply] * 4
    assert len({id(error) for error in errors}) == 4
    questions.error = ZeroDivisionError()
    task = await post(confirmations, "TR1")
    await clock.advance(1)
    with pytest.raises(ZeroDivisionError):
        await task


async def test_a_question_that_the_transport_cancels_is_an_error_and_cancels_no_caller(
    confirmations: Confirmations, questions: Questions, clock: ManualClock
) -> None:
    """A transport may raise CancelledError at its own time limit: the callers get a TransportError."""
    questions.error = asyncio.CancelledError()
    task = await post(confirmations, "TR1")
    await clock.advance(1)
    with pytest.raises(TransportError, match="question was cancelled") as caught:
        await task
    assert caught.value.endpoint == "QueryOrder"
    questions.error = None
    task = await post(confirmations, "TR1")
    await clock.advance(1)
    assert await task == paid("TR1")


async def test_asyncio_does_not_warn_of_an_error_that_nobody_waits_for_any_more(
    confirmations: Confirmations, questions: Questions, clock: ManualClock, complaints: list[dict[str, Any]]
) -> None:
    """The sender hangs up at the moment at which the question fails."""
    questions.error = InvalidReply("502", status=502)
    task = await post(confirmations, "TR1")
    question = confirmations._under_way["TR1"].task
    assert question is not None
    tasks = [task]
    question.add_done_callback(lambda _: tasks.pop().cancel())
    await clock.advance(1)
    assert task.cancelled()
    del task, question
    gc.collect()
    await clock.advance(0)
    assert complaints == []


async def test_what_was_under_way_in_an_event_loop_that_ended_is_forgotten(
    confirmations: Confirmations, questions: Questions, clock: ManualClock
) -> None:
    """In the next event loop the order is asked about at once."""
    old = await post(confirmations, "TR1")
    confirmations.leave_loop()
    new = await post(confirmations, "TR1")
    await clock.advance(1)
    assert await new == paid("TR1")
    old.cancel()
    await asyncio.wait([old])


# -- whole notifications ----------------------------------------------------------------------------------------------


async def test_a_signature_that_was_confirmed_for_one_order_is_refused_for_any_other(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay
) -> None:
    """The gateway is not asked then; for its own order, however that is spelt, it is still asked."""
    gateway.on("QueryOrder", PAID)
    shop = Shop()
    captured = notification(clock, "TR1")
    check_answer(await omipay.receive_notification(captured, shop.handle), 200)
    questions = len(gateway.requests)
    reply = await omipay.receive_notification({**captured, "order_no": "TR2"}, shop.handle)
    check_answer(reply, 403)
    assert isinstance(reply.error, ReplayedNotification)
    with pytest.raises(ReplayedNotification):
        await omipay.confirm_notification({**captured, "order_no": "TR2"})
    assert len(gateway.requests) == questions
    for spelling in ("TR1", "tr1"):
        check_answer(await omipay.receive_notification({**captured, "order_no": spelling}, shop.handle), 200)
    assert shop.fulfilled == ["TR1"]


async def test_bodies_that_wait_with_a_signature_are_refused_once_it_is_confirmed_for_another_order(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay
) -> None:
    """The gateway is not asked about those that wait, and an answer to one whose question had begun does not count."""
    held = Held(PAID)
    gateway.on("TR1", held)
    gateway.on("QueryOrder", PAID)
    captured = notification(clock, "TR1")
    genuine = await begin(clock, omipay.confirm_notification(captured))
    forged = [await begin(clock, omipay.confirm_notification({**captured, "order_no": f"TR{n}"})) for n in (2, 3)]
    held.release.set()
    assert (await outcome(genuine)).is_paid
    for task in forged:
        assert isinstance(await outcome(task), ReplayedNotification)
    assert "TR3" not in {request.number for request in gateway.requests}


async def test_bodies_that_wait_with_a_signature_for_its_own_order_are_confirmed(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay
) -> None:
    """A repeat of the delivery that was confirmed meanwhile is not taken for a forgery, however its number is spelt."""
    gateway.on("QueryOrder", gateway.after(1, PAID))
    captured = notification(clock, "TR1")
    spellings = ("TR1", "TR1", "tr1")
    tasks = [await begin(clock, omipay.confirm_notification({**captured, "order_no": one})) for one in spellings]
    await clock.advance(3)
    assert [(await outcome(task)).order_no for task in tasks] == ["TR1", "TR1", "tr1"]


async def test_only_so_many_confirmed_signatures_are_remembered(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest is forgotten first."""
    monkeypatch.setattr(receiver_module, "_MOST_SIGNATURES", 2)
    gateway.on("QueryOrder", PAID)
    bodies = [notification(clock, f"TR{number}") for number in range(3)]
    for body in bodies:
        await omipay.confirm_notification(body)
    for body in bodies[1:]:
        with pytest.raises(ReplayedNotification):
            await omipay.confirm_notification({**body, "order_no": "TR9"})
    assert (await omipay.confirm_notification({**bodies[0], "order_no": "TR9"})).is_paid


async def test_confirmations_hold_a_quarter_of_the_slots(clock: ManualClock, gateway: Gateway) -> None:
    """With a gateway that hangs, a hundred bodies have five questions, and the merchant's own read is sent at once."""
    gateway.on("QueryOrder", Held(PAID))
    gateway.on("TR-mine", PAID)
    async with gateway.session() as omipay:
        tasks: list[asyncio.Task[Any]] = [
            await begin(clock, omipay.receive_notification(notification(clock, f"TR{number}"), Shop().handle))
            for number in range(100)
        ]
        assert gateway.under_way == 5
        assert (await omipay.query_order("TR-mine")).is_paid
        await clock.advance(10)
        for task in tasks:
            check_answer(await outcome(task), 503)


@pytest.mark.parametrize("order_no", ["TR1 ", "", "TR:1", "T" * 65, "TR\u00e91"])
async def test_a_body_whose_order_no_is_not_an_order_number_is_malformed(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, order_no: str
) -> None:
    """The gateway is not asked."""
    check_answer(await omipay.receive_notification(notification(clock, order_no), Shop().handle), 400)
    assert gateway.requests == []
