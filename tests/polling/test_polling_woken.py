"""Polls that are woken by what this process or another one has confirmed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from omipay_async import BackendError, Order, PollTimeout
from tests.support.scripted_gateway import Gateway, Held, begin, notification, order, outcome
from tests.support.shared_backend import Channel, SharedBackend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from omipay_async import AsyncOmipay
    from omipay_async.testing import ManualClock


async def test_a_confirmed_notification_ends_the_wait(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay
) -> None:
    """Every poll of that order ends at once with the answer that confirmed it, and no other poll."""
    gateway.on("TR1", order("PAID", out_order_no="T1-000231"))
    gateway.on("TR2", order("PAYING"))
    polls = [await begin(clock, omipay.poll_until_paid("TR1")) for _ in range(2)]
    other = await begin(clock, omipay.poll_until_paid("TR2", timeout=60))
    await clock.advance(1)
    confirmed = await omipay.confirm_notification(notification(clock))
    assert [await outcome(poll) for poll in polls] == [confirmed, confirmed]
    assert gateway.times("TR1") == [1]
    await clock.advance(59)
    assert isinstance(await outcome(other), PollTimeout)


async def test_a_poll_of_an_order_that_was_confirmed_just_now_asks_at_once(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay
) -> None:
    """Nothing would wake it any more. A quarter of an hour later it waits, as do polls of other orders."""
    gateway.on("TR1", order("PAID"))
    gateway.on("TR2", order("PAID"))
    await omipay.confirm_notification(notification(clock))
    await clock.advance(2)
    assert (await outcome(await begin(clock, omipay.poll_until_paid("TR1")))).is_paid
    other = await begin(clock, omipay.poll_until_paid("TR2"))
    assert gateway.times("TR1") == [0, 2]
    await clock.advance(900)
    late = await begin(clock, omipay.poll_until_paid("TR1"))
    await clock.advance(5)
    assert (await outcome(late)).is_paid
    assert gateway.times("TR1") == [0, 2, 907]
    assert gateway.times("TR2") == [7]
    other.cancel()


async def test_a_notification_during_a_question_ends_it_too(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay
) -> None:
    """The poll does not wait for a question that hangs."""
    hanging = Held(order("PAYING"))
    gateway.on("TR1", hanging, order("PAID"))
    poll = await begin(clock, omipay.poll_until_paid("TR1", first_wait=0))
    await omipay.confirm_notification(notification(clock))
    assert (await outcome(poll)).is_paid
    assert hanging.cancelled == 1


async def test_nothing_is_asked_after_a_confirmation(clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay) -> None:
    """However long the callback takes that the poll is in."""
    gateway.on("TR1", order("PAYING"), order("PAID"))
    poll = await begin(clock, omipay.poll_until_paid("TR1", on_status=lambda _: clock.sleep(22)))
    await clock.advance(6)
    await omipay.confirm_notification(notification(clock))
    await clock.advance(60)
    assert (await outcome(poll)).is_paid
    assert gateway.times("TR1") == [5, 6]


async def test_fulfilling_an_order_ends_its_polls(clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay) -> None:
    """If the order is paid; an order that is not paid ends no poll."""

    async def handler(_: Order) -> None:
        """Fulfil nothing."""

    gateway.on("TR1", order("PAYING"), order("PAID"))
    poll = await begin(clock, omipay.poll_until_paid("TR1"))
    assert not (await omipay.fulfil("TR1", handler)).is_paid
    assert not poll.done()
    await omipay.fulfil("TR1", handler)
    assert (await outcome(poll)).is_paid


async def test_a_forged_notification_wakes_no_poll(clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay) -> None:
    """Only the gateway's answer counts."""
    gateway.on("TR1", order("PAYING"))
    poll = await begin(clock, omipay.poll_until_paid("TR1", timeout=60))

    async def handler(_: Order) -> None:
        raise AssertionError

    for body in (notification(clock, key="a forger's"), notification(clock)):
        assert (await omipay.receive_notification(body, handler)).status >= 400
    assert not poll.done()
    await clock.advance(60)
    assert isinstance(await outcome(poll), PollTimeout)


@pytest.fixture
async def processes(
    clock: ManualClock, gateway: Gateway, channel: Channel
) -> AsyncIterator[tuple[AsyncOmipay, AsyncOmipay]]:
    """The sessions of two processes, for which the backend is one."""
    async with (
        gateway.session(backend=SharedBackend(channel, clock)) as here,
        gateway.session(backend=SharedBackend(channel, clock)) as there,
    ):
        yield here, there


async def test_a_notification_in_another_process_ends_the_wait(
    clock: ManualClock, gateway: Gateway, channel: Channel, processes: tuple[AsyncOmipay, AsyncOmipay]
) -> None:
    """Through a shared backend: the poll asks the gateway at once, and no other poll does."""
    gateway.on("TR1", order("PAYING"), order("PAID"))
    here, there = processes
    poll = await begin(clock, here.poll_until_paid("TR1", first_wait=1, interval=50))
    other = await begin(clock, here.poll_until_paid("TR2"))
    await clock.advance(3)
    await there.confirm_notification(notification(clock))
    await clock.advance(0)
    assert (await outcome(poll)).is_paid
    assert gateway.times("TR1") == [1, 3, 3]
    assert gateway.times("TR2") == []
    assert len(channel.subscriptions) == 1
    other.cancel()


async def test_a_poll_that_begins_after_a_notification_in_another_process_asks_at_once(
    clock: ManualClock, gateway: Gateway, processes: tuple[AsyncOmipay, AsyncOmipay]
) -> None:
    """As between two requests of a browser that waits for its order: the session listens since its first poll."""
    gateway.on("TR1", order("PAYING"), order("PAID"))
    here, there = processes
    poll = await begin(clock, here.poll_until_paid("TR1", first_wait=0))
    poll.cancel()
    await clock.advance(1)
    await there.confirm_notification(notification(clock))
    await clock.advance(1)
    assert (await outcome(await begin(clock, here.poll_until_paid("TR1")))).is_paid
    assert gateway.times("TR1") == [0, 1, 2]


async def test_a_wake_during_a_question_asks_once_more(
    clock: ManualClock, gateway: Gateway, backend: SharedBackend
) -> None:
    """The question under way may have been answered before the payment, so its answer is not final."""
    held = Held(order("PAYING"))
    gateway.on("TR1", held, order("PAID"))
    async with gateway.session(backend=backend) as omipay:
        poll = await begin(clock, omipay.poll_until_paid("TR1", first_wait=1, interval=50))
        await clock.advance(1)
        await backend.wake("000034:TR1")
        held.release.set()
        await clock.advance(0)
        assert (await outcome(poll)).is_paid
        assert gateway.times("TR1") == [1, 1]


async def test_nothing_changes_after_a_final_status(
    clock: ManualClock, gateway: Gateway, backend: SharedBackend
) -> None:
    """While ``on_status`` runs with PAID, late answers and wakes change nothing, and nothing is asked."""
    late = Held(order("PAYING"))
    gateway.on("TR1", late, order("PAID"))
    seen: list[str] = []

    async def show(now: Order) -> None:
        seen.append(now.status)
        await clock.sleep(20)

    async with gateway.session(backend=backend) as omipay:
        poll = await begin(clock, omipay.poll_until_paid("TR1", first_wait=0, on_status=show))
        await omipay.confirm_notification(notification(clock))
        late.release.set()
        await clock.advance(1)
        await backend.wake("000034:TR1")
        await clock.advance(19)
        assert (await outcome(poll)).is_paid
    assert seen == ["PAID"]
    assert gateway.times("TR1") == [0, 0]


async def test_other_merchants_wakes_are_not_ours(clock: ManualClock, gateway: Gateway, backend: SharedBackend) -> None:
    """Merchants may share a backend, so the number of an order alone does not wake a poll."""
    gateway.on("TR1", order("PAID"))
    async with gateway.session(backend=backend) as omipay:
        poll = await begin(clock, omipay.poll_until_paid("TR1"))
        await backend.wake("000035:TR1")
        await backend.wake("000034:TR2")
        await clock.advance(4)
        assert not poll.done()
        await clock.advance(1)
        assert (await outcome(poll)).is_paid


async def test_a_wake_after_the_last_question_asks_again(
    clock: ManualClock, gateway: Gateway, backend: SharedBackend
) -> None:
    """A payment in another process counts even when no question was due any more."""
    gateway.on("TR1", order("PAYING"), order("PAID"))
    async with gateway.session(backend=backend) as omipay:
        poll = await begin(clock, omipay.poll_until_paid("TR1", timeout=5))
        await clock.advance(4.9)
        assert len(gateway.times("TR1")) == 1
        await backend.wake("000034:TR1")
        await clock.advance(0)
        assert (await outcome(poll)).is_paid


async def test_without_wake_ups_polls_go_on_by_interval(
    clock: ManualClock, gateway: Gateway, backend: SharedBackend, caplog: pytest.LogCaptureFixture
) -> None:
    """A shared backend that cannot be reached is logged, and polls ask after their intervals."""
    gateway.on("TR1", order("PAYING"), order("PAID"))
    backend.failures = [BackendError("no subscription")] * 10
    async with gateway.session(backend=backend) as omipay:
        with caplog.at_level(logging.WARNING, "omipay_async"):
            poll = await begin(clock, omipay.poll_until_paid("TR1"))
            await clock.advance(10)
        assert (await outcome(poll)).is_paid
    assert [record.getMessage() for record in caplog.records if "wake-ups" in record.getMessage()]


async def test_closing_ends_the_listening(clock: ManualClock, gateway: Gateway, channel: Channel) -> None:
    """After ``aclose`` the session does not listen to the shared backend any more."""
    gateway.on("TR1", order("PAID"))
    omipay = gateway.session(backend=SharedBackend(channel, clock))
    await begin(clock, omipay.poll_until_paid("TR1", first_wait=0))
    assert len(channel.listeners) == 1
    await omipay.aclose()
    assert channel.listeners == []
