"""Delivers notifications of paid orders to merchants, up to three times to each order's ``notify_url`` (CN 3.9).

They go over HTTP, or to an ASGI app in memory. All pauses use the sandbox's clock.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs

from omipay_async.language import sentence

from .faults import Fault, Faults
from .foreign import MASK, printable
from .ledger import Delivery, Order
from .notifications import notification, signed, why_refused
from .replies import encode, make_odd_notification
from .validation import absolute

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    import httpx
    from starlette.types import ASGIApp, Receive, Scope, Send

    from .state import GatewayState


T = TypeVar("T")

TRIES: Final = 3
_TEST_DELAY_S: Final = 10.0
_LONGEST_ANSWER: Final = 64 * 1024
_HEADERS: Final = {"Content-Type": "application/json"}

APP_NOTIFY_URL: Final = "http://app.sandbox.test/omipay/notify"
"""The ``notify_url`` of the sandbox's own ``app``. If there is no app, nothing is sent to it."""

logger = logging.getLogger("omipay_async.sandbox")


@attrs.define(eq=False)
class _Notice:
    """A notification that is to be delivered, and how far its delivery has come."""

    order: Order
    number: int = 1
    """The next try."""
    signature: dict[str, Any] = attrs.field(factory=dict)


@attrs.define(eq=False)
class Notifier:
    """Delivers notifications in the background."""

    gateway: GatewayState
    faults: Faults
    app: ASGIApp | None
    """Receives the notifications instead of HTTP."""
    delay: float
    interval: float
    same_signature: bool
    """Whether repeats have the nonce and timestamp of the first delivery. The documents do not say."""
    oddities: bool
    timeout: float = 10.0
    """How long an answer may take, in seconds of the machine's clock, as a receiver's work does."""
    _waiting: deque[_Notice] = attrs.field(factory=deque, init=False)
    """The notifications whose delivery has not begun, or was cut off by the end of its event loop."""
    _deliveries: set[asyncio.Task[None]] = attrs.field(factory=set, init=False)
    """What ``settle`` waits for."""
    _others: set[asyncio.Task[Any]] = attrs.field(factory=set, init=False)
    """What it does not wait for: watches of delayed outcomes, and posts, which may outlast their delivery."""

    def added(self, order: Order) -> None:
        """Log a warning if an order that was made has no ``notify_url``."""
        if not order.notify_url:
            logger.warning(
                "order %s (%s) has no notify_url: the gateway will tell nobody when it is paid. Set OMIPAY_NOTIFY_URL, "
                "or notify_url= of the session or of the call",
                order.order_no,
                printable(order.out_order_no, 64),
            )

    def paid(self, order: Order) -> None:
        """Notify the merchant that an order became paid, if the order has a ``notify_url``."""
        if self._has_receiver(order):
            self._waiting.append(_Notice(order))
            self.start()

    def delayed(self, order: Order) -> None:
        """Look at an order again when its delayed outcome is due."""
        if self._has_receiver(order):
            _spawn(self._watch(order), self._others)

    def send_test(self, order: Order, kind: str) -> None:
        """Send one more notification of a paid order, to see what its receiver does.

        ``kind`` is ``forge`` (signed with another key), ``duplicate`` (a further, true one) or ``delay`` (the same,
        10 seconds from now). Raises ValueError for any other word, and for an order that is not paid or has no
        notify_url.
        """
        if kind not in {"forge", "duplicate", "delay"} or not order.is_paid or not self._has_receiver(order):
            message = "notify must be forge, duplicate or delay, and the order must be paid and have a notify_url"
            raise ValueError(message)
        _spawn(self._send_test(order, kind), self._deliveries)

    async def _send_test(self, order: Order, kind: str) -> None:
        if kind == "delay":
            await self.gateway.clock.sleep(_TEST_DELAY_S)
        body = self._forged(order) if kind == "forge" else self.body(order, {})
        await self._post(order, 0, body)

    def _has_receiver(self, order: Order) -> bool:
        return bool(order.notify_url) and (self.app is not None or order.notify_url != APP_NOTIFY_URL)

    def start(self) -> None:
        """Begin to deliver what waits. Without an event loop (in a test that reads the ledger) it goes on waiting."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        while self._waiting:
            notice = self._waiting.popleft()
            delivery = _spawn(self._deliver(notice), self._deliveries)
            delivery.add_done_callback(functools.partial(self._put_back, notice))

    def _put_back(self, notice: _Notice, delivery: asyncio.Task[None]) -> None:
        """Keep what was not delivered when its event loop ended, as after ``asyncio.run``: the next one delivers it."""
        if delivery.cancelled():
            self._waiting.append(notice)

    async def settle(self) -> None:
        """Wait until every notification that was begun is delivered, or has failed three times."""
        self.start()
        while running := _of_this_loop(self._deliveries):
            await asyncio.wait(running)

    async def aclose(self) -> None:
        """End every delivery and every watch."""
        tasks: set[asyncio.Task[Any]] = _of_this_loop({*self._deliveries, *self._others})
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._waiting.clear()

    async def _watch(self, order: Order) -> None:
        seconds = order.delayed.seconds if order.delayed else None
        await self.gateway.clock.sleep(seconds or 0.0)
        self.gateway.ledger.apply_due()
        self.start()

    async def _deliver(self, notice: _Notice) -> None:
        while notice.number <= TRIES and not await self._next_try(notice):
            notice.number += 1

    async def _next_try(self, notice: _Notice) -> bool:
        await self.gateway.clock.sleep(self.delay if notice.number == 1 else self.interval)
        body = self.body(notice.order, notice.signature)
        if self.same_signature:
            notice.signature = {"nonce_str": body["nonce_str"], "timestamp": body["timestamp"]}
        return await self._try(notice.order, notice.number, body)

    def body(self, order: Order, changes: Mapping[str, Any], *, secret_key: str | None = None) -> dict[str, Any]:
        """The signed fields of an order's notification, some of them changed."""
        fields = notification(order)
        odd = make_odd_notification(fields) if self.oddities else fields
        return signed(self.gateway, order.m_number, {**odd, **changes}, secret_key=secret_key)

    def _forged(self, order: Order) -> dict[str, Any]:
        return self.body(order, {}, secret_key="a forger's key")

    async def _try(self, order: Order, number: int, body: dict[str, Any]) -> bool:
        active_faults = self.faults.of_delivery(order.endpoint)
        if late := active_faults.get(Fault.NOTIFICATION_REORDER):
            await self.gateway.clock.sleep(late.seconds)
        if Fault.NOTIFICATION_DROP in active_faults:
            self._record(order, number, body, sentence("lost on its way, by a fault"))
            return False
        if Fault.NOTIFICATION_FORGE in active_faults:
            await self._post(order, number, self._forged(order))
        if Fault.NOTIFICATION_TAMPER in active_faults:
            amount = "amount" if self.oddities else "total_amount"
            await self._post(order, number, self.body(order, {amount: order.amount * 10}))
        accepted = await self._post(order, number, body)
        if Fault.NOTIFICATION_DUPLICATE in active_faults:
            await self._post(order, number, body)
        return accepted

    async def _post(self, order: Order, number: int, body: dict[str, Any]) -> bool:
        posting = _spawn(self._posted(order.notify_url, body), self._others)
        await asyncio.wait((posting,), timeout=self.timeout)
        if posting.done():
            refused, said = posting.result()
        else:
            refused, said = sentence("no answer within {:g} s", self.timeout), ""
            if self.app is None:  # an app in memory goes on, as one on a server does when its client has gone
                posting.cancel()
                await asyncio.wait((posting,))
        self._record(order, number, body, refused, said)
        return not refused

    def _record(self, order: Order, number: int, body: Mapping[str, Any], refused: str, answer_body: str = "") -> None:
        """Write a try down; ``refused`` says why it has failed, and is empty if it was accepted."""
        shown = {name: MASK if name in {"sign", "nonce_str"} else value for name, value in body.items()}
        self.gateway.ledger.delivered(
            Delivery(
                at_ms=self.gateway.clock.time_ms(),
                order_no=order.order_no,
                url=order.notify_url,
                number=number,
                accepted=not refused,
                answer=refused or "SUCCESS",
                body=shown,
                answer_body=answer_body,
            )
        )

    async def _posted(self, url: str, body: dict[str, Any]) -> tuple[str, str]:
        """Post a notification. Returns why its answer is not SUCCESS, or an empty string, and the answer's text."""
        try:
            async with (
                self._client(url) as client,
                client.stream("POST", absolute(url), content=encode(body), headers=_HEADERS) as reply,
            ):
                answer = await _beginning(reply)
        except Exception as error:  # noqa: BLE001 - the URL and the app are the merchant's: whatever they cause, this try failed
            return printable(f"{type(error).__name__}: {error}"), ""
        refused = why_refused(reply.status_code, reply.headers.get("content-type", ""), answer)
        return refused, printable(answer.decode(errors="replace"), 2000)

    def _client(self, url: str) -> httpx.AsyncClient:
        import httpx

        if self.app is not None:
            # An exception of the app is logged and answered 500, as a server would do.
            transport = httpx.ASGITransport(app=_logging_errors(self.app, url), raise_app_exceptions=False)
            return httpx.AsyncClient(transport=transport)
        # Developers' machines use self-signed certificates, and nothing here is secret. _post limits the time.
        return httpx.AsyncClient(verify=False, timeout=httpx.Timeout(None), trust_env=False)


async def _beginning(response: httpx.Response) -> bytes:
    """The beginning of an answer, which is longer than any real receiver's."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > _LONGEST_ANSWER:
            break
    return bytes(body[:_LONGEST_ANSWER])


def _logging_errors(app: ASGIApp, url: str) -> ASGIApp:
    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except Exception:
            logger.exception("the app that receives notifications at %s failed", printable(url))
            raise

    return call


def _spawn(work: Coroutine[Any, Any, T], tasks: set[asyncio.Task[T]]) -> asyncio.Task[T]:
    task = asyncio.get_running_loop().create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return task


def _of_this_loop(tasks: set[asyncio.Task[T]]) -> set[asyncio.Task[T]]:
    # Tasks of another event loop, such as that of an earlier test, may never end.
    loop = asyncio.get_running_loop()
    return {task for task in tasks if task.get_loop() is loop}
