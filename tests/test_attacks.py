"""What strangers post to a notify_url. The signature does not cover the body, and anybody can reach the URL."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from omipay_async import (
    InvalidSignature,
    QROrder,
    ReflectedNotification,
    ReplayedNotification,
    StaleNotification,
    TaggedNonces,
    UnconfirmedNotification,
)

from .support.scripted_gateway import SECRET_KEY, Gateway, notification, order
from .support.strangers import never, refused, two_orders

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from omipay_async import AsyncOmipay, Order
    from omipay_async.testing import ManualClock

OLD_KEY = "the key before this one"


@pytest.fixture
def gateway(clock: ManualClock) -> Gateway:
    return two_orders(clock)


@pytest.fixture
async def omipay(gateway: Gateway) -> AsyncIterator[AsyncOmipay]:
    async with gateway.session(previous_secret_keys=[OLD_KEY]) as omipay:
        yield omipay


# -- signatures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"key": "a guess"},
        {"key": ""},
        {"sign": "0" * 32},
        {"sign": "é" * 32},
        {"sign": "\udc80" * 32},
        {"sign": "8516A3B52F9C8897F52239B19CD8A499"},
        {"m_number": "000035", "key": "another merchant's"},
        {"m_number": "000035"},
        {"m_number": "34"},
    ],
    ids=str,
)
async def test_a_forged_notification_is_rejected(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, changes: dict[str, Any]
) -> None:
    """No key, another's key, another merchant's signature, any characters: rejected, and nothing is asked."""
    body = notification(clock, **changes)
    with pytest.raises(InvalidSignature):
        omipay.parse_notification(body)
    await refused(omipay, body, InvalidSignature, 403)
    await refused(omipay, json.dumps(body), InvalidSignature, 403)
    assert gateway.requests == []


@pytest.mark.parametrize(
    "other", [{"nonce_str": "313644f42ecd4758b5e23b80e86efdc5"}, {"timestamp": 1}, {"nonce_str": "é" * 12}]
)
async def test_a_sign_taken_from_another_body(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, other: dict[str, Any]
) -> None:
    """A signature is valid only for its own nonce and time."""
    body = notification(clock) | other
    await refused(omipay, body, InvalidSignature, 403)
    assert gateway.requests == []


async def test_a_lower_case_sign_is_not_ours(clock: ManualClock, omipay: AsyncOmipay) -> None:
    """The documents' signatures are in upper case."""
    body = notification(clock)
    await refused(omipay, body | {"sign": body["sign"].lower()}, InvalidSignature, 403)


async def test_a_previous_key_is_still_accepted(clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay) -> None:
    """Only by the session that has it in ``previous_secret_keys``."""
    body = notification(clock, key=OLD_KEY)
    assert (await omipay.confirm_notification(body)).is_paid
    async with gateway.session() as forgetful:
        await refused(forgetful, body, InvalidSignature, 403)


# -- true signatures, false bodies ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lie",
    [
        {"order_no": "TR2"},
        {"order_no": "TR3"},
        {"total_amount": 1},
        {"total_amount": 45_000},
        {"total_amount": "451"},
        {"total_amount": None, "amount": 1},
        {"currency": "CNY"},
        {"out_order_no": "T1-000999"},
    ],
    ids=str,
)
async def test_an_altered_notification_is_not_confirmed(
    clock: ManualClock, omipay: AsyncOmipay, lie: dict[str, Any]
) -> None:
    """A valid signature with another order or amount: the gateway does not confirm it."""
    body = notification(clock, **lie)
    assert omipay.parse_notification(body).order_no == lie.get("order_no", "TR1")
    await refused(omipay, body, UnconfirmedNotification, 409)


async def test_nothing_of_the_body_reaches_the_handler(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay
) -> None:
    """The handler gets only the gateway's answer, also where that leaves a field out."""
    gateway.on("TR1", order("PAID"))
    seen: list[Order] = []

    async def handler(order: Order) -> None:
        seen.append(order)

    lies: dict[str, Any] = {
        "out_order_no": "T1-000999",
        "pay_time": "20990101000000",
        "cny_amount": 1,
        "exchange_rate": 1,
    }
    reply = await omipay.receive_notification(notification(clock, **lies), handler)
    assert reply.ran
    assert seen[0].out_order_no is None
    assert (seen[0].pay_time, seen[0].pay_amount, seen[0].exchange_rate) == (None, None, None)


@pytest.mark.parametrize("age_s", [301, 86_400, -301, -86_400 * 3650])
async def test_a_stale_notification_is_rejected_by_parsing_alone(
    clock: ManualClock, omipay: AsyncOmipay, age_s: int
) -> None:
    """``parse_notification`` rejects an old body or one from the future. A real repeat may be confirmed late."""
    body = notification(clock, timestamp=clock.time_ms() - age_s * 1000)
    with pytest.raises(StaleNotification):
        omipay.parse_notification(body)
    assert (await omipay.confirm_notification(body)).is_paid


async def test_a_replayed_notification_runs_nothing_again(clock: ManualClock, omipay: AsyncOmipay) -> None:
    """A notification that is posted again runs nothing again, and cannot be used for another order."""
    runs: list[str] = []

    async def handler(order: Order) -> None:
        runs.append(order.order_no)

    body = notification(clock)
    for _ in range(3):
        assert (await omipay.receive_notification(body, handler)).status == 200
    await refused(omipay, body | {"order_no": "TR2"}, ReplayedNotification, 403)
    assert runs == ["TR1"]


# -- our own signatures, sent back ------------------------------------------------------------------------------------


def quadruple(url: str) -> dict[str, str]:
    """The signature in a URL that was given to a browser."""
    query = dict(parse_qsl(urlsplit(url).query))
    return {name: query[name] for name in ("nonce_str", "timestamp", "sign")}


@pytest.mark.parametrize("page", ["pay page", "WeChat login"])
async def test_a_signature_taken_from_our_own_page(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay, page: str
) -> None:
    """A customer who posts it back as a notification is rejected in any process."""
    if page == "pay page":
        order = QROrder("TR1", pay_url="https://www.omipay.com.cn/pay?paycode=TR1")
        url = omipay.pay_page_url(order, redirect_url="https://shop.example/thanks")
    else:
        url = omipay.wechat_login_url("https://shop.example/login")
    body = notification(clock) | quadruple(url)
    with pytest.raises(ReflectedNotification):
        omipay.parse_notification(body)
    await refused(omipay, body, ReflectedNotification, 403)
    async with gateway.session() as elsewhere, gateway.session(nonces=TaggedNonces([SECRET_KEY])) as given:
        await refused(elsewhere, body, ReflectedNotification, 403)
        await refused(given, body, ReflectedNotification, 403)
    assert gateway.requests == []


async def test_a_signature_taken_from_a_request_of_ours(
    clock: ManualClock, gateway: Gateway, omipay: AsyncOmipay
) -> None:
    """Nobody who sees a request (in a proxy, in a log) can make a notification from it."""
    await omipay.query_order("TR1")
    sent = {name: gateway.requests[0].params[name] for name in ("nonce_str", "timestamp", "sign")}
    await refused(omipay, notification(clock) | sent, ReflectedNotification, 403)


async def test_nonces_under_the_previous_key_are_recognised(clock: ManualClock, gateway: Gateway) -> None:
    """Also after the key was changed."""
    async with gateway.session(previous_secret_keys=[OLD_KEY]) as omipay:
        body = notification(clock, nonce_str=TaggedNonces([OLD_KEY])(), key=OLD_KEY)
        await refused(omipay, body, ReflectedNotification, 403)


class Counted:
    """A nonce provider that stores what it issued."""

    def __init__(self) -> None:
        self.nonces: set[str] = set()

    def __call__(self) -> str:
        """The next nonce."""
        nonce = f"nonce{len(self.nonces):010}"
        self.nonces.add(nonce)
        return nonce

    def issued(self, nonce: str) -> bool:
        """Whether it returned this nonce."""
        return nonce in self.nonces


async def test_nonces_of_ones_own(clock: ManualClock, gateway: Gateway) -> None:
    """A provider with ``issued`` detects its own nonces. Without it, the gateway's answer still counts."""
    async with gateway.session(nonces=Counted()) as with_memory:
        url = with_memory.wechat_login_url("https://shop.example/login")
        await refused(with_memory, notification(clock) | quadruple(url), ReflectedNotification, 403)
        assert (await with_memory.confirm_notification(notification(clock))).is_paid
    counted = Counted()
    async with gateway.session(nonces=counted.__call__) as without:
        url = without.wechat_login_url("https://shop.example/login")
        body = notification(clock) | quadruple(url)
        assert (await without.confirm_notification(body)).is_paid
        await refused(without, body | {"order_no": "TR2"}, ReplayedNotification, 403)


async def test_no_error_shows_a_secret(clock: ManualClock, omipay: AsyncOmipay) -> None:
    """Neither the key, nor a signature, nor a live nonce."""
    url = omipay.wechat_login_url("https://shop.example/login")
    bodies = [notification(clock, key="x"), notification(clock, total_amount="x"), notification(clock) | quadruple(url)]
    for body in bodies:
        reply = await omipay.receive_notification(body, never)
        for secret in (SECRET_KEY, body["sign"], body["nonce_str"]):
            assert secret not in f"{reply!r} {reply.error!r} {omipay!r}"
