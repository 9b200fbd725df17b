"""A program as a user would write it, never run: mypy holds every type that its author would see to what stands here.

A line that mypy must refuse bears an ignore, and an ignore that is not needed is an error (``warn_unused_ignores``).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypedDict, assert_type

import httpx

from omipay_async import (
    APIError,
    AppletOrder,
    AppOrder,
    AsyncOmipay,
    Backend,
    Claim,
    Clock,
    Currency,
    ErrorCode,
    Event,
    ExchangeRate,
    InvalidReply,
    JSAPIOrder,
    Language,
    MemoryBackend,
    Notification,
    NotificationReply,
    OmipayError,
    OnlineOrder,
    OnlineType,
    Order,
    OrderStatus,
    Outcome,
    OutcomeUnknown,
    PaymentFailed,
    Platform,
    PollTimeout,
    QROrder,
    Refund,
    RefundReceipt,
    RefundStatus,
    Region,
    RetryPolicy,
    Safety,
    ScanOrder,
    SystemClock,
    WeChatUser,
    from_minor,
    to_minor,
)
from omipay_async.asgi import get_omipay, omipay_getter
from omipay_async.testing import ManualClock

if TYPE_CHECKING:
    from omipay_async.sandbox import Sandbox


async def each_endpoint(omipay: AsyncOmipay) -> None:
    """What each method returns; members and plain strings are both taken."""
    assert_type(await omipay.get_exchange_rate("AUD", Currency.CNY, platform="ALIPAY", timeout=3), ExchangeRate)
    qr = await omipay.make_qr_order(
        order_name="Tea", amount=450, currency="AUD", out_order_no="A-1", platform=Platform.UPI, o_number="01"
    )
    assert_type(qr, QROrder)
    jsapi = await omipay.make_jsapi_order(
        order_name="Tea",
        amount=450,
        currency=Currency.AUD,
        out_order_no="A-1",
        redirect_url="https://shop.example/",
        show_pc_pay_url=True,
    )
    assert_type(jsapi, JSAPIOrder)
    scan = await omipay.make_scan_order(
        order_name="Tea", amount=450, currency="AUD", out_order_no="A-1", qrcode="134", pos_no="till-1"
    )
    assert_type(scan, ScanOrder)
    online = await omipay.make_online_order(
        order_name="Tea", amount=450, currency="AUD", out_order_no="A-1", type=OnlineType.WEB, platform="POLI"
    )
    assert_type(online, OnlineOrder)
    app = await omipay.make_app_order(
        order_name="Tea", amount=450, currency="AUD", out_order_no="A-1", platform="WECHATPAY", app_id="wx1"
    )
    assert_type(app, AppOrder)
    applet = await omipay.make_applet_order(
        order_name="Tea", amount=450, currency="AUD", out_order_no="A-1", app_id="wx1", customer_id="o1"
    )
    assert_type(applet, AppletOrder)
    assert_type(await omipay.query_order("TR1"), Order)
    assert_type(await omipay.refund(order_no="TR1", out_refund_no="R-1", amount=100), RefundReceipt)
    assert_type(await omipay.query_refund("RF1"), Refund)
    assert_type(await omipay.get_user_info("https://shop.example/in"), WeChatUser)
    assert_type(
        await omipay.call("ConfirmCheckOut", {"token": "x", "n": 1, "no": None}, safety=Safety.MONEY), dict[str, Any]
    )
    assert_type(await omipay.poll_until_paid(scan, on_status=print), Order)
    assert_type(await omipay.poll_until_paid("TR1", first_wait=0, timeout=None), Order)
    assert_type(await omipay.poll_until_refunded("RF1", timeout=None), Refund)
    assert_type(omipay.pay_page_url(qr, redirect_url="https://shop.example/"), str)
    assert_type(omipay.wechat_login_url("https://shop.example/in"), str)
    assert_type(omipay.parse_wechat_login("openid=x"), WeChatUser)


async def mistakes(omipay: AsyncOmipay) -> None:
    """What a type checker finds before a customer does."""
    await omipay.query_order(5)  # type: ignore[arg-type]  # a number is text
    await omipay.refund("TR1", "R-1", 100)  # type: ignore[call-arg]  # named, so that numbers are not mixed up
    await omipay.refund(order_no="TR1", out_refund_no="R-1", amount=1.5)  # type: ignore[arg-type]  # money is an int
    await omipay.refund(order_no="TR1", out_refund_no="R-1", amount=Decimal(1))  # type: ignore[arg-type]  # likewise
    await omipay.poll_until_refunded("RF1")  # type: ignore[call-arg]  # refunds take days: how long?
    await omipay.call("X", {"amount": 1.5})  # type: ignore[dict-item]  # text and ints
    omipay.pay_page_url(OnlineOrder("TR1"), redirect_url="https://x.example")  # type: ignore[arg-type]  # no such page
    (await omipay.query_order("TR1")).amount = 5  # type: ignore[misc]  # frozen
    (await omipay.query_order("TR1")).total_amount  # type: ignore[attr-defined]  # noqa: B018 - no such field


async def each_field(omipay: AsyncOmipay, notification: Notification) -> None:
    """What the fields of the replies are."""
    order = await omipay.query_order("TR1")
    assert_type(order.order_no, str)
    assert_type(order.status, OrderStatus | str)
    assert_type(order.out_order_no, str | None)
    assert_type(order.currency, Currency | str)
    assert_type(order.amount, int)
    assert_type(order.pay_amount, int | None)
    assert_type(order.pay_time, datetime | None)
    assert_type(order.exchange_rate, Decimal | None)
    assert_type(order.is_paid, bool)
    assert_type(order.is_failed, bool)
    assert_type(order.is_final, bool)
    assert_type(order.raw, dict[str, Any])
    refund = await omipay.query_refund("RF1")
    assert_type(refund.status, RefundStatus | str)
    assert_type(refund.is_refunded, bool)
    assert_type(refund.success_time, datetime | None)
    rate = await omipay.get_exchange_rate("AUD", "CNY")
    assert_type(rate.rate, Decimal)
    assert_type(notification.amount, int | None)
    assert_type(notification.timestamp, int)
    assert_type(AppletOrder("TR1").request_payment, dict[str, str | None])
    assert_type(OrderStatus.PAID.is_paid, bool)
    assert_type(RefundStatus.MerchantConfirmed.is_final, bool)
    assert_type(to_minor("12.30", "AUD"), int)
    assert_type(from_minor(1230, Currency.AUD), Decimal)


async def a_till(omipay: AsyncOmipay) -> Order | None:
    """How errors are told apart."""
    try:
        scan = await omipay.make_scan_order(
            order_name="Tea", amount=450, currency="AUD", out_order_no="A-1", qrcode="134", pos_no="till-1"
        )
        return await omipay.poll_until_paid(scan)
    except PaymentFailed as error:
        assert_type(error.order, Order)
    except PollTimeout as error:
        assert_type(error.order, Order | None)
        assert_type(error.last_error, OmipayError | None)
    except OutcomeUnknown as error:
        assert_type(error.out_order_no, str | None)
        assert_type(error.raw, Mapping[str, Any] | None)
    except APIError as error:
        assert_type(error.error_code, ErrorCode | str)
    except InvalidReply as error:
        assert_type(error.status, int | None)
        assert_type(error.excerpt, str)
    except OmipayError as error:
        assert_type(error.outcome, Outcome | None)
    return None


async def notifications(omipay: AsyncOmipay, body: bytes) -> None:
    """What a notify_url is made of."""

    async def handler(order: Order) -> str:
        return order.order_no

    reply = await omipay.receive_notification(body, handler)
    assert_type(reply, NotificationReply)
    assert_type(reply.status, int)
    assert_type(reply.body, bytes)
    assert_type(reply.headers, Mapping[str, str])
    assert_type(reply.order, Order | None)
    assert_type(reply.ran, bool)
    assert_type(omipay.parse_notification(body, max_age=None), Notification)
    assert_type(omipay.parse_notification({"order_no": "TR1"}), Notification)
    assert_type(await omipay.confirm_notification(body.decode()), Order)
    assert_type(await omipay.fulfil("TR1", handler), Order)


class OwnClock:
    """A clock of the user's, by its three methods."""

    def time_ms(self) -> int:
        """Milliseconds since the epoch."""
        return 0

    def monotonic(self) -> float:
        """Seconds."""
        return 0.0

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class OwnBackend:
    """The five methods are enough. Its claims hold for 30 seconds, since it has no ``lease``."""

    async def claim(self, key: str, owner: str) -> Claim:
        """Take the key."""
        return Claim.MINE

    async def renew(self, key: str, owner: str) -> bool:
        """Keep it."""
        return True

    async def finish(self, key: str, owner: str) -> bool:
        """Record the success."""
        return True

    async def release(self, key: str, owner: str) -> None:
        """Free the key."""

    async def wake(self, key: str) -> None:
        """Tell the polls."""


def each_option() -> AsyncOmipay:
    """Every option of a session, with what may be given for it."""
    clocks: list[Clock] = [OwnClock(), SystemClock(), ManualClock(auto=True)]
    backends: list[Backend] = [OwnBackend(), MemoryBackend(lease=60)]

    def hook(event: Event) -> None:
        assert_type(event.outcome, Outcome | None)
        assert_type(event.error_code, ErrorCode | str | None)

    return AsyncOmipay(
        "000034",
        "key",
        region=Region.CN,
        fallback="AU",
        language=Language.EN,
        timezone=timezone(timedelta(hours=10)),
        timeout=5,
        retry=RetryPolicy(attempts=2),
        nonces=lambda: "0123456789",
        clock=clocks[0],
        backend=backends[0],
        previous_secret_keys=["old"],
        on_event=hook,
        transport=httpx.MockTransport(lambda request: httpx.Response(200)),
        verify=True,
    )


class HTTPScope(TypedDict):
    """The scope of a request, as the types of Litestar and Quart describe it."""

    type: str
    state: dict[str, Any]


def finds(scope: HTTPScope) -> None:
    """The session that ``session_app`` keeps, whatever a framework's type for the scope is."""
    assert_type(get_omipay(scope), AsyncOmipay)
    assert_type(omipay_getter("sydney")(scope), AsyncOmipay)


async def lives(sandbox: Sandbox) -> None:
    """Whose session it is, whichever way it was made."""
    async with each_option() as omipay:
        assert_type(omipay, AsyncOmipay)
        assert_type(omipay.http, httpx.AsyncClient)
    assert_type(AsyncOmipay.from_env(timeout=5), AsyncOmipay)
    assert_type(sandbox.session(language="EN"), AsyncOmipay)
    await omipay.aclose()
