"""The life of a session: opened, closed, moved to another loop, and what its first call finds out."""

from __future__ import annotations

import asyncio
import copy
import pickle
import ssl
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from omipay_async import (
    AsyncOmipay,
    ConfigurationError,
    InvalidRequest,
    MemoryBackend,
    Order,
    OrderStatus,
    Outcome,
    QROrder,
    SessionClosed,
    SystemClock,
)
from omipay_async.testing import ManualClock
from omipay_async.transport.tls import ssl_context

from .support.fake_journal import FakeJournal
from .support.scripted_gateway import BASE_URL, M_NUMBER, SECRET_KEY, Gateway, Held, begin, notification, order, outcome
from .support.untyped import untyped

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator


@pytest.fixture
def gateway(clock: ManualClock) -> Gateway:
    gateway = Gateway(clock)
    gateway.on("QueryOrder", order("PAID"))
    return gateway


# -- life -------------------------------------------------------------------------------------------------------------


async def handler(_: object) -> None:
    """Fulfil nothing."""


PAID = Order("TR1", OrderStatus.PAID, None, "AUD", 450)
CALLS: dict[str, Callable[[AsyncOmipay], Coroutine[Any, Any, object]]] = {
    "query_order": lambda omipay: omipay.query_order("TR1"),
    "refund": lambda omipay: omipay.refund(order_no="TR1", out_refund_no="R-1", amount=1),
    "call": lambda omipay: omipay.call("ConfirmCheckOut", {}),
    "poll_until_paid": lambda omipay: omipay.poll_until_paid("TR1"),
    "poll_until_refunded": lambda omipay: omipay.poll_until_refunded("RF1", timeout=None),
    "fulfil": lambda omipay: omipay.fulfil("TR1", handler),
    "aenter": lambda omipay: omipay.__aenter__(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
async def test_a_closed_session_raises_session_closed(gateway: Gateway, call: Callable[[AsyncOmipay], Any]) -> None:
    """Whatever is called, and nothing is sent."""
    async with gateway.session() as omipay:
        await omipay.query_order("TR1")
    with pytest.raises(SessionClosed):
        await call(omipay)
    assert len(gateway.requests) == 1


@pytest.mark.parametrize(
    ("call", "number", "order_no", "refund_no", "unknown"),
    [
        (lambda omipay: omipay.query_order("TR1"), "TR1", "TR1", None, False),
        (lambda omipay: omipay.query_refund("RF1"), "RF1", None, "RF1", False),
        (lambda omipay: omipay.fulfil("TR1", handler), "TR1", "TR1", None, False),
        (lambda omipay: omipay.poll_until_paid("TR1"), "TR1", "TR1", None, True),
        (lambda omipay: omipay.poll_until_refunded("RF1", timeout=None), "RF1", None, "RF1", True),
        (lambda omipay: omipay.settle("TR1", handler), "TR1", "TR1", None, True),
        (lambda omipay: omipay._receiver.fulfil_paid(PAID, handler), "TR1", "TR1", None, True),
        (lambda omipay: omipay.wait_for_notification("T-1"), "T-1", None, None, True),
    ],
)
async def test_a_closed_session_names_what_to_ask_about_later(
    gateway: Gateway, call: Callable[[AsyncOmipay], Any], number: str, *, order_no: Any, refund_no: Any, unknown: bool
) -> None:
    """In the text and in its fields, whether it was closed before or meanwhile. After a poll nobody knows."""
    omipay = gateway.session()
    await omipay.aclose()
    with pytest.raises(SessionClosed, match=number) as caught:
        await call(omipay)
    assert (caught.value.order_no, caught.value.refund_no) == (order_no, refund_no)
    assert caught.value.outcome is (Outcome.UNKNOWN if unknown else None)


async def test_pages_of_a_closed_session(gateway: Gateway) -> None:
    """A closed session signs nothing."""
    omipay = gateway.session()
    await omipay.aclose()
    with pytest.raises(SessionClosed):
        omipay.pay_page_url(QROrder("TR1", pay_url="https://pay.example/"), redirect_url="https://shop.example/")
    with pytest.raises(SessionClosed):
        omipay.wechat_login_url("https://shop.example/")


async def test_closing_is_idempotent(gateway: Gateway) -> None:
    """Closed once, twice, several times at once, or in ``async with``. The transport is closed."""
    async with gateway.session() as omipay:
        await omipay.query_order("TR1")
        assert not omipay.is_closed
        await asyncio.gather(omipay.aclose(), omipay.aclose())
        await omipay.aclose()
        assert gateway.closed >= 1
        assert omipay.is_closed
    assert omipay.http.is_closed


async def test_an_exception_in_the_body_closes_and_is_raised(gateway: Gateway) -> None:
    """``async with`` hides no exception."""
    with pytest.raises(ZeroDivisionError):
        async with gateway.session() as omipay:
            raise ZeroDivisionError
    assert "closed" in repr(omipay)


async def test_a_cancelled_closing_can_be_repeated(clock: ManualClock, gateway: Gateway) -> None:
    """If ``aclose`` is cancelled during a money call, the session takes no more calls."""
    held = Held({"return_code": "SUCCESS", "refund_no": "RF1"})
    gateway.on("Refund", held)
    omipay = gateway.session()
    money = await begin(clock, omipay.refund(order_no="TR1", out_refund_no="R-1", amount=1))
    closing = await begin(clock, omipay.aclose())
    assert not closing.done()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    with pytest.raises(SessionClosed):
        await omipay.query_order("TR1")
    held.release.set()
    assert (await outcome(money)).refund_no == "RF1"
    await omipay.aclose()


def test_made_without_a_loop_and_used_in_two(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module-level session can be used in one ``asyncio.run`` after another: calls, polls, handlers."""
    send = gateway.handle_async_request
    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", lambda _, request: send(request))
    clock = ManualClock(auto=True)
    omipay = AsyncOmipay(M_NUMBER, SECRET_KEY, base_url="http://127.0.0.1:9/omipay/api", clock=clock, timeout=5)

    async def use() -> None:
        assert (await omipay.query_order("TR1")).is_paid
        assert (await omipay.poll_until_paid("TR1")).is_paid
        assert (await omipay.fulfil("TR1", handler)).is_paid
        poll = asyncio.create_task(omipay.poll_until_paid("TR2", timeout=None))
        await asyncio.sleep(0)
        poll.cancel()

    asyncio.run(use())
    asyncio.run(use())
    asyncio.run(omipay.aclose())


def test_a_transport_of_ones_own_stays_with_its_loop(gateway: Gateway) -> None:
    """We cannot make its connections again, so a second loop gets an error."""
    omipay = gateway.session()

    async def use() -> None:
        await omipay.query_order("TR1")

    asyncio.run(use())
    with pytest.raises(ConfigurationError, match="event loop"):
        asyncio.run(use())
    asyncio.run(omipay.aclose())


@pytest.fixture
def other_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Another event loop of this thread, closed afterwards."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.mark.parametrize("under_way", ["query_order", "poll_until_paid", "fulfil"])
def test_two_loops_at_once(gateway: Gateway, other_loop: asyncio.AbstractEventLoop, under_way: str) -> None:
    """During a call, a poll or a handler in one loop, another loop gets an error and does not hang."""
    omipay = gateway.session()
    gateway.on("TR1", Held(order("PAID")) if under_way == "query_order" else order("PAID"))

    async def hang(_: object) -> None:
        await asyncio.Event().wait()

    async def use() -> asyncio.Task[Any]:
        work: Coroutine[Any, Any, object] = CALLS[under_way](omipay)
        if under_way == "fulfil":
            work.close()
            work = omipay.fulfil("TR1", hang)
        task = asyncio.create_task(work)
        await asyncio.sleep(0.001)
        return task

    async def end(task: asyncio.Task[Any]) -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (await omipay.query_order("TR2")).is_paid
        await omipay.aclose()

    task = other_loop.run_until_complete(use())
    for call in ("query_order", "poll_until_paid"):
        with pytest.raises(ConfigurationError, match="event loop"):
            asyncio.run(CALLS[call](omipay))
    other_loop.run_until_complete(end(task))


# -- what it shows ----------------------------------------------------------------------------------------------------


async def test_repr_shows_no_secret(gateway: Gateway) -> None:
    """It contains merchant, node and state."""
    omipay = gateway.session(previous_secret_keys=["the old key"])
    assert repr(omipay) == "<AsyncOmipay m_number='000034' node=gateway.test open>"
    await omipay.aclose()
    assert repr(omipay) == "<AsyncOmipay m_number='000034' node=gateway.test closed>"
    for part in (
        omipay._executor,
        omipay._executor.credentials,
        omipay._client,
        omipay._executor.nonces,
    ):
        assert SECRET_KEY not in repr(part)
        assert "the old key" not in repr(part)
    broken = AsyncOmipay.__new__(AsyncOmipay)
    assert "AsyncOmipay" in repr(broken)


def test_sessions_share_the_tls_context() -> None:
    """One for each value of ``verify`` in a process, since making one takes milliseconds. A given one is used."""
    assert ssl_context(True) is ssl_context(True)
    own = ssl.create_default_context()
    assert ssl_context(own) is own


async def test_the_client_of_the_session_signs_nothing(gateway: Gateway) -> None:
    """``omipay.http`` is a plain client that uses the same transport."""
    async with gateway.session(max_in_flight=1) as omipay:
        assert isinstance(omipay.http, httpx.AsyncClient)
        await omipay.http.get(f"{BASE_URL}/v2/QueryOrder", params={"order_no": "TR1"})
    assert gateway.requests[0].params == {"order_no": "TR1"}


# -- what is found out at the first call -------------------------------------------------------------------------------


@pytest.mark.parametrize("verify", ["/no/such/certificates.pem", 7, None])
async def test_certificates_that_cannot_be_read(verify: Any) -> None:
    """A ConfigurationError that names ``verify``, at the latest at the first call."""
    with pytest.raises(ConfigurationError, match="verify"):
        async with AsyncOmipay(M_NUMBER, SECRET_KEY, base_url="https://127.0.0.1:9", verify=verify) as omipay:
            await omipay.query_order("TR1")


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("Australia/Sydney", datetime(2018, 10, 25, 12, tzinfo=ZoneInfo("Australia/Sydney"))),
        ("UTC", datetime(2018, 10, 25, 12, tzinfo=UTC)),
        (timezone(timedelta(hours=10)), datetime(2018, 10, 25, 2, tzinfo=UTC)),
    ],
)
async def test_times_are_of_the_sessions_zone(gateway: Gateway, zone: Any, expected: datetime) -> None:
    """A name or a ``tzinfo``."""
    gateway.on("TR1", order("PAID", pay_time="20181025120000"))
    async with gateway.session(timezone=zone) as omipay:
        assert (await omipay.query_order("TR1")).pay_time == expected


@pytest.mark.parametrize("name", ["Atlantis/Poseidonis", "", "Australia", "../../etc/passwd"])
async def test_a_zone_that_this_machine_does_not_have(gateway: Gateway, name: str) -> None:
    """An error at first use, before anything is sent, with what to install. The session can be made and closed."""
    async with gateway.session(timezone=name) as omipay:
        for call in (CALLS["query_order"], CALLS["refund"]):
            with pytest.raises(ConfigurationError, match="tzdata"):
                await call(omipay)
        with pytest.raises(ConfigurationError, match="tzdata"):
            omipay.parse_wechat_login("openid=o1")
        assert (await omipay.receive_notification(notification(gateway.clock), handler)).status == 503
    assert gateway.requests == []


@pytest.mark.parametrize("nonce", ["short", "a" * 33, "with space 12", "umlautäöü123", 1234567890, None])
async def test_what_is_not_a_nonce_is_never_sent(gateway: Gateway, nonce: Any) -> None:
    """A provider of one's own must follow the documents' rule. The error does not show its value."""
    async with gateway.session(nonces=lambda: nonce) as omipay:
        for call in (CALLS["query_order"], CALLS["refund"]):
            with pytest.raises(InvalidRequest, match="nonces") as caught:
                await call(omipay)
            assert str(nonce) not in str(caught.value)
    assert gateway.requests == []


@pytest.mark.parametrize("option", [{"clock": SystemClock}, {"backend": MemoryBackend}, {"journal": FakeJournal}])
def test_a_class_in_the_place_of_an_object(option: dict[str, Any]) -> None:
    """Two brackets were forgotten: no call would be sent, and no handler would run."""
    ((name, kind),) = option.items()
    with pytest.raises(ConfigurationError, match=rf"{name} must be an object, not a class: write {kind.__name__}\(\)"):
        untyped(AsyncOmipay)("123456", "secret", **option)


async def test_a_class_may_be_a_clock(gateway: Gateway) -> None:
    """If its methods need no object."""

    class StoppedClock:
        time_ms = staticmethod(lambda: 0)
        monotonic = staticmethod(lambda: 0.0)
        sleep = staticmethod(asyncio.sleep)

    async with gateway.session(clock=untyped(StoppedClock)) as omipay:
        assert (await omipay.query_order("TR1")).is_paid


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy])
async def test_a_session_cannot_be_pickled_or_copied(gateway: Gateway, way: Callable[[object], object]) -> None:
    """The error says what to do."""
    async with gateway.session() as omipay:
        with pytest.raises(TypeError, match="in each process its own"):
            way({"session": omipay} if way is copy.deepcopy else omipay)


@pytest.mark.parametrize(
    ("name", "instead"),
    [("journal", "Books(url)"), ("backend", "RedisBackend(url) or Books(url)"), ("clock", "SystemClock()")],
)
def test_a_url_in_place_of_an_object_is_rejected(name: str, instead: str) -> None:
    """The error says what is made of it."""
    with pytest.raises(ConfigurationError) as caught:
        AsyncOmipay(M_NUMBER, SECRET_KEY, **untyped({name: "redis://localhost"}))
    assert str(caught.value) == f"{name} must be an object, such as {instead}, not a string"
