"""A model of a shop that gets deliveries of every kind: the handler of each paid order succeeds once, no other runs."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import httpx
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from omipay_async import NotificationError, Order
from omipay_async.testing import ManualClock
from tests.support.scripted_gateway import Gateway, Request, notification, order

if TYPE_CHECKING:
    from collections.abc import Coroutine

ORDERS = [f"TR{number}" for number in range(3)]
WAYS_TO_LIE = ["forged", "amount", "number", "reflected", "garbled"]


class Shop(RuleBasedStateMachine):
    """Customers pay or leave, the gateway fails, and bodies come early, late, twice, together and from strangers."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = ManualClock()
        self.status = dict.fromkeys([*ORDERS, "TR99"], "READY")
        self.unreachable = False
        self.handler_fails = False
        self.running: Counter[str] = Counter()
        self.successes: Counter[str] = Counter()
        self.deliveries: list[asyncio.Task[Any]] = []
        self.violations: list[str] = []

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a step in the shop's loop."""
        return self.runner.run(work)

    @initialize()
    def open(self) -> None:
        """Open the shop."""

        async def build() -> None:
            self.gateway = Gateway(self.clock)
            self.gateway.on("QueryOrder", self.answer)
            self.omipay = self.gateway.session()
            self.gate = asyncio.Event()
            self.gate.set()

        self.do(build())

    def answer(self, request: Request) -> Any:
        """QueryOrder, as the gateway has it now."""
        return httpx.ConnectError("refused") if self.unreachable else order(self.status[request.number])

    async def handle(self, order: Order) -> None:
        """Fulfil an order, when the gate is open."""
        number = order.order_no
        # Noted and not asserted, because the session answers an exception of the handler with FAIL.
        if self.status[number] != "PAID":
            self.violations.append(f"{number} is fulfilled unpaid")
        if self.running[number]:
            self.violations.append(f"the handler of {number} runs twice at the same time")
        self.running[number] += 1
        try:
            await self.gate.wait()
            if self.handler_fails:
                raise ZeroDivisionError
            self.successes[number] += 1
        finally:
            self.running[number] -= 1

    def begin(self, number: str, body: Any) -> None:
        """Post ``body`` without waiting for its answer."""

        async def deliver() -> None:
            reply = await self.omipay.receive_notification(body, self.handle)
            if reply.status == 200:
                assert self.successes[number], "SUCCESS was answered too early"

        self.start(deliver())

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Let ``work`` run until it can do nothing more before time passes."""

        async def go() -> None:
            self.deliveries.append(asyncio.create_task(work))
            await self.clock.advance(0)

        self.do(go())

    # -- what may happen ----------------------------------------------------------------------------------------------

    @rule(number=st.sampled_from(ORDERS), status=st.sampled_from(["PAYING", "PAID", "PAID", "CANCELLED"]))
    def customer(self, number: str, status: str) -> None:
        """A customer pays, or does not; a paid order stays paid."""
        if self.status[number] != "PAID":
            self.status[number] = status

    @rule(number=st.sampled_from(ORDERS), copies=st.integers(1, 3), age_s=st.sampled_from([0, 60, 400]))
    def deliver(self, number: str, copies: int, age_s: int) -> None:
        """The gateway's own notification arrives: early or late, once or several at the same time."""
        body = notification(self.clock, number, timestamp=self.clock.time_ms() - age_s * 1000)
        for _ in range(copies):
            self.begin(number, body)

    @rule(number=st.sampled_from(ORDERS), lie=st.sampled_from(WAYS_TO_LIE))
    def attack(self, number: str, lie: str) -> None:
        """A stranger posts a body, which is never answered SUCCESS."""
        lies: dict[str, dict[str, Any]] = {
            "forged": {"key": "a guess"},
            "amount": {"total_amount": 45_000},
            "number": {"order_no": "TR99"},
            "reflected": {"nonce_str": self.omipay._executor.nonces()},
            "garbled": {"sign": None},
        }
        body = notification(self.clock, **{"order_no": number, **lies[lie]})

        async def lying() -> None:
            reply = await self.omipay.receive_notification(body, self.handle)
            assert reply.status >= 400
            assert isinstance(reply.error, NotificationError) or self.unreachable
            assert not reply.ran

        self.start(lying())

    @rule(number=st.sampled_from(ORDERS))
    def sweep(self, number: str) -> None:
        """The shop asks about an order."""

        async def fulfil() -> None:
            try:
                found = await self.omipay.fulfil(number, self.handle)
            except (Exception, asyncio.CancelledError):  # noqa: BLE001 - the handler or the gateway failed, as told
                return
            assert not found.is_paid or self.successes[number]

        self.start(fulfil())

    @rule(fails=st.booleans())
    def database(self, fails: bool) -> None:
        """The shop's own database fails, or works again."""
        self.handler_fails = fails

    @rule(unreachable=st.booleans())
    def network(self, unreachable: bool) -> None:
        """The gateway cannot be reached, or can be reached again."""
        self.unreachable = unreachable

    @rule(opens=st.booleans())
    def gate_moves(self, opens: bool) -> None:
        """Handlers have to wait, or go on."""

        async def move() -> None:
            (self.gate.set if opens else self.gate.clear)()
            await self.clock.advance(0)

        self.do(move())

    @precondition(lambda self: any(not task.done() for task in self.deliveries))
    @rule(choice=st.randoms(use_true_random=False))
    def hang_up(self, choice: Any) -> None:
        """A delivery or a sweep is cancelled."""
        task = choice.choice([task for task in self.deliveries if not task.done()])

        async def cancel() -> None:
            task.cancel()
            await self.clock.advance(0)

        self.do(cancel())

    @rule(seconds=st.sampled_from([0.05, 1, 10, 60]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.do(self.pass_time(seconds))

    async def pass_time(self, seconds: float) -> None:
        """Advance the shop's clock."""
        await self.clock.advance(seconds)

    # -- what always holds --------------------------------------------------------------------------------------------

    @invariant()
    def at_most_once(self) -> None:
        """No order is fulfilled twice or unpaid, and no delivery ends in an exception."""
        assert not self.violations
        assert all(count == 1 for count in self.successes.values())
        assert all(self.status[number] == "PAID" for number in self.successes)
        for task in self.deliveries:
            if task.done() and not task.cancelled():
                task.result()

    def teardown(self) -> None:
        """When everything works again and each order is notified once more, every paid order is fulfilled."""
        if hasattr(self, "omipay"):
            self.do(self.end())
        self.runner.close()

    async def end(self) -> None:
        """Deliver the last notification of each order, then close the shop."""
        self.unreachable = self.handler_fails = False
        self.gate.set()
        await self.clock.advance(60)
        for number in ORDERS:
            last = self.omipay.receive_notification(notification(self.clock, number), self.handle)
            paid = self.status[number] == "PAID"
            assert (await last).status == (200 if paid else 409)
            assert self.successes[number] == paid
        await self.omipay.aclose()
        await asyncio.gather(*self.deliveries, return_exceptions=True)


Shop.TestCase.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
TestShop = Shop.TestCase
