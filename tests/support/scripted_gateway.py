"""A gateway in memory that answers as a test has scripted it, and a session for it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final

import attrs
import httpx

from omipay_async import AsyncOmipay, Clock, Event, NotificationReply, Order, RetryPolicy
from omipay_async.protocol.signing import signature
from omipay_async.testing import ManualClock

M_NUMBER: Final = "000034"
SECRET_KEY: Final = "0af61531c6c04ac4ac910d0cd59e6238"
BASE_URL: Final = "http://gateway.test/omipay/api"
ONCE: Final = RetryPolicy(attempts=1)
"""No repeats: each question of a poll is one request, and each failure is one failure."""

AT_ONCE: Final = RetryPolicy(base_delay=0)
"""The usual three attempts, without waits between them."""
REFUSED: Final = httpx.ConnectError("refused")
REFUNDED: Final = {"return_code": "SUCCESS", "refund_no": "RF1"}

Answer = dict[str, Any] | httpx.Response | Exception | Callable[["Request"], Any]
"""A JSON object, a whole response, an exception of the transport, or a function (async too) that returns one."""


@attrs.frozen
class Request:
    """A request that the gateway received."""

    at: float
    """By the clock's ``monotonic``."""
    endpoint: str
    params: Mapping[str, str]
    host: str
    method: str

    @property
    def number(self) -> str:
        """The order or refund that is asked about."""
        return self.params.get("order_no") or self.params.get("refund_no") or ""


class Gateway(httpx.AsyncBaseTransport):
    """Answers by number, or else by endpoint, from its script; the last answer is repeated."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.requests: list[Request] = []
        self.connect_timeouts: list[float] = []
        self.under_way = 0
        self.most_under_way = 0
        self.closed = 0
        self._scripts: dict[str, list[Answer]] = {}

    def on(self, name: str, *answers: Answer) -> None:
        """Let ``name``, an endpoint or a number, be answered like this from now on."""
        self._scripts[name] = list(answers)

    def times(self, name: str) -> list[float]:
        """When an endpoint, or a number, was asked about."""
        return [request.at for request in self.requests if name in {request.endpoint, request.number}]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The next answer of the script."""
        endpoint = request.url.path.rpartition("/")[2]
        target = request.extensions.get("target")  # on our own transports the query is not in the URL
        params = dict(request.url.params if target is None else httpx.URL(target.decode()).params)
        received = Request(self.clock.monotonic(), endpoint, params, request.url.host, request.method)
        self.requests.append(received)
        if "timeout" in request.extensions:
            self.connect_timeouts.append(request.extensions["timeout"]["connect"])
        of_number = self._scripts.get(received.number) if request.method == "GET" else None
        script = of_number or self._scripts.get(endpoint) or [fail("PERMISSION_ERROR")]
        answer: Any = script.pop(0) if len(script) > 1 else script[0]
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            while callable(answer) or inspect.isawaitable(answer):
                answer = await answer if inspect.isawaitable(answer) else answer(received)
        finally:
            self.under_way -= 1
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)

    async def aclose(self) -> None:
        """Count how often it was closed."""
        self.closed += 1

    def session(self, **options: Any) -> AsyncOmipay:
        """A session with this gateway, on its clock; nothing is repeated unless ``retry`` says so."""
        wired: dict[str, Any] = {"base_url": BASE_URL, "transport": self, "clock": self.clock, "retry": ONCE}
        return AsyncOmipay(M_NUMBER, SECRET_KEY, **{**wired, **options})

    def after(self, seconds: float, answer: Answer) -> Callable[[Request], Awaitable[Answer]]:
        """``answer`` after so many seconds."""

        async def later(_: Request) -> Answer:
            await self.clock.sleep(seconds)
            return answer

        return later


class Held:
    """An answer that is given when the test releases it: ``gateway.on("QueryOrder", held)``."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.reached = asyncio.Event()
        self.release = asyncio.Event()
        self.cancelled = 0

    async def __call__(self, _: Request) -> Answer:
        """The answer, once ``release`` is set."""
        self.reached.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self._answer


def order(status: str, **fields: Any) -> dict[str, Any]:
    """A QueryOrder reply."""
    return {"return_code": "SUCCESS", "result_code": status, "currency": "AUD", "amount": 450, **fields}


def refund(status: str, **fields: Any) -> dict[str, Any]:
    """A QueryRefund reply."""
    return order(status, **fields)


def fail(code: str | None, **fields: Any) -> dict[str, Any]:
    """A FAIL."""
    return {"return_code": "FAIL", "error_code": code, "error_msg": "no", **fields}


def notification(
    clock: Clock, order_no: str = "TR1", *, key: str = SECRET_KEY, m_number: str = M_NUMBER, **changes: Any
) -> dict[str, Any]:
    """A notification with the fields of CN 3.9, correctly signed now, with some fields changed (None: left out).

    Each order's notification has another nonce, as with the gateway.
    """
    nonce = changes.pop("nonce_str", f"313644f42ecd4758b5e23b80{order_no}")
    timestamp = changes.pop("timestamp", clock.time_ms())
    fields = {
        "return_code": "SUCCESS",
        "nonce_str": nonce,
        "timestamp": timestamp,
        "sign": signature(m_number, str(timestamp), str(nonce), key),
        "order_no": order_no,
        "out_order_no": "T1-000231",
        "currency": "AUD",
        "total_amount": 450,
        "order_time": "20181025120000",
        "pay_time": "20181025120102",
        "exchange_rate": 650000000,
        "cny_amount": 2925,
        **changes,
    }
    return {name: value for name, value in fields.items() if value is not None}


def make_refund(omipay: AsyncOmipay, **options: Any) -> Coroutine[Any, Any, Any]:
    """A money call."""
    return omipay.refund(order_no="TR1", out_refund_no="R-1", amount=1, **options)


def named(events: list[Event], name: str) -> list[Event]:
    """The events of one name."""
    return [event for event in events if event.name == name]


async def settle() -> None:
    """Run everything that can run before time passes."""
    await ManualClock().advance(0)


async def begin(clock: ManualClock, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Begin a task, and return it when it can do nothing more before time passes."""
    task = asyncio.create_task(work)
    await settle()
    await clock.advance(0)  # what is due at once
    return task


async def outcome(task: asyncio.Task[Any]) -> Any:
    """The result or the exception of a task, which must be done by now."""
    await settle()
    assert task.done(), "it is still waiting"
    return task.exception() or task.result()


class Shop:
    """A handler that counts its orders, and that raises or waits if the test has set it."""

    def __init__(self) -> None:
        self.fulfilled: list[str] = []
        self.failing: list[Exception] = []
        self.go = asyncio.Event()
        self.go.set()
        self.running = 0

    async def handle(self, order: Order) -> None:
        """Fulfil one order."""
        self.running += 1
        try:
            await self.go.wait()
            if self.failing:
                raise self.failing.pop()
            self.fulfilled.append(order.order_no)
        finally:
            self.running -= 1


def check_answer(reply: NotificationReply, status: int) -> None:
    """Assert that the answer is the documented JSON, to the byte, with its type."""
    assert reply.status == status
    assert reply.body == b'{"return_code": "%b"}' % (b"SUCCESS" if status == 200 else b"FAIL")
    assert dict(reply.headers) == {"Content-Type": "application/json"}
