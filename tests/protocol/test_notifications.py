"""Notifications: how they are parsed, and how they are compared with the gateway's answer."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import attrs
import httpx
import pytest

from omipay_async import (
    InvalidReply,
    InvalidRequest,
    MalformedNotification,
    Notification,
    Order,
    OrderStatus,
    SessionClosed,
    StaleNotification,
    TransportError,
    UnconfirmedNotification,
)
from omipay_async.protocol import notifications
from tests.support.scripted_gateway import (
    Gateway,
    Held,
    Request,
    Shop,
    begin,
    check_answer,
    fail,
    notification,
    order,
    outcome,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from omipay_async import AsyncOmipay
    from omipay_async.testing import ManualClock


class Endless(float):
    """A number that says that it is not less than any other."""

    def __lt__(self, _: float) -> bool:
        """Asked first by whoever compares a plain float with it."""
        return False


SYDNEY = ZoneInfo("Australia/Sydney")
PAID = order("PAID", out_order_no="T1-000231")


@pytest.fixture
async def omipay(gateway: Gateway) -> AsyncIterator[AsyncOmipay]:
    async with gateway.session() as omipay:
        yield omipay


# -- reading ----------------------------------------------------------------------------------------------------------


async def test_the_chinese_documents_body(clock: ManualClock, omipay: AsyncOmipay) -> None:
    """CN 3.9: every field, times in Sydney's zone, an exact rate, and the body in ``raw``."""
    body = notification(clock)
    read = omipay.parse_notification(body)
    assert read == Notification(
        order_no="TR1",
        out_order_no="T1-000231",
        currency="AUD",
        amount=450,
        order_time=datetime(2018, 10, 25, 12, tzinfo=SYDNEY),
        pay_time=datetime(2018, 10, 25, 12, 1, 2, tzinfo=SYDNEY),
        exchange_rate=Decimal("6.5"),
        pay_currency=None,
        cny_amount=2925,
        timestamp=clock.time_ms(),
    )
    assert read.raw == body


async def test_the_english_documents_body(clock: ManualClock, omipay: AsyncOmipay) -> None:
    """EN 2.6: ``amount`` instead of ``total_amount``, a ``pay_currency``, no ``return_code``."""
    body = notification(clock, total_amount=None, amount=450, pay_currency="CNY", return_code=None)
    read = omipay.parse_notification(body)
    assert (read.amount, read.pay_currency, read.cny_amount) == (450, "CNY", 2925)


async def test_every_form_of_a_body(clock: ManualClock, omipay: AsyncOmipay) -> None:
    """Raw bytes, text and a parsed object, as web frameworks provide them."""
    body = notification(clock, timestamp=str(clock.time_ms()), total_amount="450")
    text = json.dumps(body, ensure_ascii=False)
    encoded = text.encode()
    forms: list[Any] = [body, MappingProxyType(body), text, encoded, bytearray(encoded), b"\xef\xbb\xbf" + encoded]
    assert {omipay.parse_notification(form) for form in forms} == {omipay.parse_notification(body)}


@pytest.mark.parametrize("written", ["450.0", "4.5e2", "450"])
async def test_a_mapping_is_read_as_its_text_is(clock: ManualClock, omipay: AsyncOmipay, written: str) -> None:
    """A framework's reader of JSON makes floats of some whole numbers."""
    fields = notification(clock) | {"total_amount": json.loads(written), "exchange_rate": 6.5e8}
    read = omipay.parse_notification(fields)
    assert (read.amount, type(read.amount), read.exchange_rate) == (450, int, Decimal("6.5"))


@pytest.mark.parametrize("amount", [450.5, float("nan"), float("inf"), -450.0, 1e300, 5e-324])
async def test_a_float_that_is_not_a_whole_number_is_malformed(
    clock: ManualClock, omipay: AsyncOmipay, amount: float
) -> None:
    """No amount is rounded."""
    with pytest.raises(MalformedNotification, match="amount"):
        omipay.parse_notification(notification(clock) | {"total_amount": amount})


async def test_a_body_of_signed_fields_only(clock: ManualClock, omipay: AsyncOmipay) -> None:
    """A field that is missing or empty is None, and stray spaces around keys are removed."""
    fields = dict.fromkeys(["currency", "total_amount", "order_time", "pay_time", "exchange_rate", "cny_amount"], "")
    body = notification(clock, out_order_no=None, return_code=None, **fields)
    body["order_no "] = body.pop("order_no")
    read = omipay.parse_notification(json.dumps({**body, "pay_time": None}))
    assert (read.order_no, read.out_order_no, read.amount, read.pay_time) == ("TR1", None, None, None)


@pytest.mark.parametrize(("age", "accepted"), [(300, True), (300.001, False), (-300, True), (-300.001, False)])
async def test_age_counts_in_both_directions(
    clock: ManualClock, omipay: AsyncOmipay, *, age: float, accepted: bool
) -> None:
    """Five minutes are accepted. More are stale, also in the future."""
    body = notification(clock, timestamp=clock.time_ms() - round(age * 1000))
    if accepted:
        assert omipay.parse_notification(body).order_no == "TR1"
    else:
        when = "300 s ago" if age > 0 else "300 s in the future"
        said = f"^the notification was signed {when}; at most 300 s are accepted$"
        with pytest.raises(StaleNotification, match=said):
            omipay.parse_notification(body)
    assert omipay.parse_notification(body, max_age=None).order_no == "TR1"
    with pytest.raises(StaleNotification):
        omipay.parse_notification(body, max_age=299)
    with pytest.raises(StaleNotification, match="at most 299 s"):
        omipay.parse_notification(body, max_age=Endless(299))


async def test_age_is_measured_by_the_gateways_clock(clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay) -> None:
    """A machine that is an hour slow accepts notifications after it has learnt this from a SIGN_TIMEOUT."""
    clock.shift(3600)
    fresh = notification(clock)
    clock.shift(-3600)
    with pytest.raises(StaleNotification, match="future"):
        omipay.parse_notification(fresh)
    date = {"Date": "Tue, 14 Nov 2023 23:13:20 GMT"}
    gateway.on("QueryOrder", httpx.Response(200, json=fail("SIGN_TIMEOUT"), headers=date), PAID)
    await omipay.query_order("TR1")
    assert omipay.parse_notification(fresh).order_no == "TR1"


@pytest.mark.parametrize("max_age", [-1, "300", True, float("nan")])
async def test_a_bad_max_age_is_named(clock: ManualClock, omipay: AsyncOmipay, max_age: Any) -> None:
    """It is a mistake of the caller, not of the sender."""
    with pytest.raises(InvalidRequest, match="max_age"):
        omipay.parse_notification(notification(clock), max_age=max_age)


async def test_no_repr_shows_the_signature(clock: ManualClock, omipay: AsyncOmipay) -> None:
    """It can be used for five minutes, for anything."""
    body = notification(clock)
    for shown in (
        omipay.parse_notification(body),
        notifications.SealedBody(body),
        notifications.SealedBody(body).read(),
    ):
        assert body["sign"] not in repr(shown)
        assert body["nonce_str"] not in repr(shown)


# -- confirming -------------------------------------------------------------------------------------------------------


async def test_the_gateways_answer_counts(clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay) -> None:
    """The order is QueryOrder's, without any value of the body. Repeats may come days late."""
    gateway.on("TR1", PAID)
    body = notification(clock)
    await clock.advance(86_400)
    confirmed = await omipay.confirm_notification(json.dumps(body).encode())
    assert (confirmed.order_no, confirmed.status, confirmed.amount) == ("TR1", OrderStatus.PAID, 450)
    assert (confirmed.pay_time, confirmed.pay_amount, confirmed.exchange_rate) == (None, None, None)
    assert confirmed.raw == PAID


@pytest.mark.parametrize(
    ("body", "reply"),
    [
        ({}, order("SETTLED")),
        ({"out_order_no": None, "currency": None, "total_amount": None}, PAID),
        ({"currency": "AUD", "total_amount": None, "amount": "450"}, PAID),
    ],
)
async def test_what_is_missing_on_either_side_is_not_compared(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, body: dict[str, Any], reply: dict[str, Any]
) -> None:
    """Both documents' examples leave fields out."""
    gateway.on("TR1", reply)
    assert (await omipay.confirm_notification(notification(clock, **body))).is_paid


@pytest.mark.parametrize("claimed", [231, "231"])
@pytest.mark.parametrize("true", [231, "231"])
async def test_numbers_are_compared_as_text(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, claimed: Any, true: Any
) -> None:
    """A sender may write digits as a JSON number: no paid order is lost for that."""
    gateway.on("TR1", order("PAID", out_order_no=true))
    assert (await omipay.confirm_notification(notification(clock, out_order_no=claimed))).out_order_no == "231"


@pytest.mark.parametrize("true", [[], {"a": 1}, True, 7.5])
async def test_a_number_that_cannot_be_read_confirms_nothing(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, true: Any
) -> None:
    """It may be another sale's."""
    gateway.on("TR1", order("PAID", out_order_no=true))
    with pytest.raises(UnconfirmedNotification, match="out_order_no is not that of order TR1"):
        await omipay.confirm_notification(notification(clock))


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (order("PAYING"), "PAYING"),
        (order("READY"), "READY"),
        (order("CANCELLED"), "CANCELLED"),
        (order("REVERSED"), "REVERSED"),
        (fail("PERMISSION_ERROR"), None),
        (fail("ORDER_NO_ERROR"), None),
    ],
)
async def test_a_body_that_the_gateway_does_not_confirm(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, reply: dict[str, Any], status: str | None
) -> None:
    """The order is not paid or not known; the error has the gateway's record of it."""
    gateway.on("TR1", reply)
    with pytest.raises(UnconfirmedNotification) as caught:
        await omipay.confirm_notification(notification(clock))
    assert (caught.value.order.status if caught.value.order else None) == status
    if status is not None:
        assert str(caught.value) == f"the gateway reports that order TR1 is {status}, not paid"


@pytest.mark.parametrize("name", ["out_order_no", "currency", "amount"])
async def test_a_body_that_differs_from_the_gateways_answer_is_unconfirmed(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, name: str
) -> None:
    """The error names the field, and has the gateway's record of the order."""
    others: dict[str, Any] = {"out_order_no": "T9", "currency": "CNY", "amount": 451}
    gateway.on("TR1", {**PAID, name: others[name]})
    with pytest.raises(
        UnconfirmedNotification, match=f"^the notification's {name} is not that of order TR1$"
    ) as caught:
        await omipay.confirm_notification(notification(clock))
    assert caught.value.order is not None
    assert caught.value.order.is_paid


async def test_a_gateway_that_cannot_be_asked_is_a_transport_error(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay
) -> None:
    """No answer proves nothing about a notification. ``timeout`` limits the wait."""
    gateway.on("TR1", httpx.ConnectError("refused"), httpx.Response(502), Held(PAID))
    with pytest.raises(TransportError):
        await omipay.confirm_notification(notification(clock))
    with pytest.raises(InvalidReply):
        await omipay.confirm_notification(notification(clock))
    confirming = await begin(clock, omipay.confirm_notification(notification(clock), timeout=3))
    await clock.advance(3)
    assert isinstance(await outcome(confirming), TransportError)


async def test_a_second_node_without_the_order_does_not_reject_a_body(clock: ManualClock, gateway: Gateway) -> None:
    """It may not have the order yet: the gateway is asked to deliver again."""

    def by_host(request: Request) -> Any:
        return httpx.ConnectError("refused") if request.host == "gateway.test" else fail("PERMISSION_ERROR")

    gateway.on("TR1", by_host)
    async with gateway.session(fallback="http://second.test/omipay/api") as omipay:
        with pytest.raises(TransportError):
            await omipay.confirm_notification(notification(clock))
        reply = await omipay.receive_notification(notification(clock), Shop().handle)
        check_answer(reply, 503)


async def test_a_closed_session_reads_nothing(clock: ManualClock, gateway: Gateway) -> None:
    """It raises SessionClosed."""
    omipay = gateway.session()
    await omipay.aclose()
    with pytest.raises(SessionClosed):
        omipay.parse_notification(notification(clock))
    with pytest.raises(SessionClosed):
        await omipay.confirm_notification(notification(clock))


@pytest.mark.parametrize("order_no", ["TR 1", "TR1 ", "TR\u0661", "a" * 65, "TR/1", "TR1\n", "TR:1", "中"])
def test_an_order_number_that_no_gateway_issues_is_malformed(order_no: str) -> None:
    """It becomes a key of the once-guard: 1 to 64 of A-Z, a-z, 0-9, _ and -."""
    with pytest.raises(ValueError, match="order_no is not 1 to 64"):
        notifications._check_order_no(order_no)
    for good in ("T", "a-B_9", "0" * 64):
        notifications._check_order_no(good)


def test_an_order_of_another_number_confirms_nothing() -> None:
    """If the gateway answers with another order, the notification is not confirmed."""
    paid = Order(order_no="TR2", status="PAID", out_order_no=None, currency="AUD", amount=100)
    said = Notification("TR1", None, None, None, None, None, None, None, None, timestamp=0)
    with pytest.raises(
        UnconfirmedNotification, match=r"^the notification's order_no is not that of order TR2$"
    ) as caught:
        notifications.compare(said, paid)
    assert caught.value.order is paid


async def test_an_age_below_a_second_is_too_old_too(clock: ManualClock, omipay: AsyncOmipay) -> None:
    """In the past and in the future."""
    body = notification(clock)
    clock.shift(0.9)
    with pytest.raises(StaleNotification, match=r"^the notification was signed 1 s ago; at most 0.5 s are accepted$"):
        omipay.parse_notification(body, max_age=0.5)


def test_the_fields_of_a_notification_reply() -> None:
    """SUCCESS has no error. FAIL has the reason, and shows that the handler did not run."""
    order = Order(order_no="TR1", status="PAID", out_order_no=None, currency="AUD", amount=100)
    error = MalformedNotification("no")
    success, failure = notifications.success(order, ran=False), notifications.failure(503, error)
    assert attrs.astuple(success, recurse=False) == (
        200,
        b'{"return_code": "SUCCESS"}',
        {"Content-Type": "application/json"},
        order,
        False,
        None,
    )
    assert notifications.success(order, ran=True).ran is True
    assert attrs.astuple(failure, recurse=False) == (
        503,
        b'{"return_code": "FAIL"}',
        {"Content-Type": "application/json"},
        None,
        False,
        error,
    )


def test_a_rejected_body_is_logged_without_its_content(caplog: pytest.LogCaptureFixture) -> None:
    """With the class of the error and its message."""
    notifications.log_refusal(MalformedNotification("the notification has no sign"))
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("omipay_async", "WARNING")
    assert record.getMessage() == "a notification was refused: MalformedNotification: the notification has no sign"


@pytest.mark.parametrize("how", ["pickle", "copy", "deepcopy"])
def test_replies_survive_process_pools_and_task_queues(how: str) -> None:
    """A reply can be pickled and copied, whatever a handler raised."""

    class Local(Exception):
        """No other process can import it."""

    order = Order(order_no="TR1", status="PAID", out_order_no="A-1", currency="AUD", amount=100)
    for reply in (
        notifications.success(order, ran=True),
        notifications.failure(400, MalformedNotification("no"), order),
        notifications.failure(500, Local("no stock"), order),
    ):
        twin = pickle.loads(pickle.dumps(reply)) if how == "pickle" else getattr(copy, how)(reply)
        assert (twin.status, twin.body, twin.headers, twin.order, twin.ran) == (
            reply.status,
            reply.body,
            reply.headers,
            order,
            reply.ran,
        )
        assert type(twin.error) in {type(reply.error), RuntimeError}
        assert str(twin.error).endswith(str(reply.error))
