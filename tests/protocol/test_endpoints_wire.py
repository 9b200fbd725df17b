"""Each endpoint on the wire: the exact request, and its reply, over httpx's own sockets and over a mock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import httpx
import pytest
import respx

from omipay_async import Currency, Language, Platform, Region
from tests.support.canned_gateway import CALLS, ORDER, SIGNED, Gateway, as_sent, open_session, response, success
from tests.support.exchanges import EXCHANGES, NAMED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.exchanges import Exchange

# The least that each call may be given: what is not given is not on the wire.
LEAST = {
    "GetExchangeRate": ["currency=AUD", "base_currency=CNY"],
    "MakeQROrder": [*NAMED, "platform=ALIPAY"],
    "MakeJSAPIOrder": [*NAMED, "redirect_url=https%3A%2F%2Fshop.example%2Fback"],
    "MakeScanOrder": [*NAMED, "qrcode=134567890", "pos_no=till-1"],
    "MakeOnlineOrder": [*NAMED, "type=web"],
    "MakeAPPOrder": [*NAMED, "platform=ALIPAYONLINE"],
    "MakeAppletOrder": [*NAMED, "platform=WECHATPAY", "app_id=wx20u82a9", "customer_id=o98c8sq9xz0"],
    "QueryOrder": ["order_no=TR1"],
    "Refund": ["order_no=TR1", "out_refund_no=R-1", "amount=100"],
    "QueryRefund": ["refund_no=RF1"],
    "GetUserInfo": ["redirect_uri=https%3A%2F%2Fshop.example%2Flogin"],
}
TAKES_NOTIFY_URL = [name for name in LEAST if name.startswith("Make")]


@pytest.fixture
def wire() -> Iterator[respx.Router]:
    """httpx's own connections, replaced at the socket so that no byte leaves the machine."""
    with respx.mock(assert_all_called=False) as router:
        yield router


def check(request: httpx.Request, exchange: Exchange, host: str) -> None:
    """Assert that the request is exactly the documented one."""
    path, _, query = request.url.raw_path.decode("ascii").partition("?")
    assert request.method == exchange.method
    assert request.url.host == host
    assert path == f"/omipay/api{exchange.path}"
    assert sorted(query.split("&")) == sorted([*exchange.pairs, *SIGNED])
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Accept-Encoding"] == "identity"
    assert request.headers["Host"] == host
    assert "Authorization" not in request.headers
    assert "Cookie" not in request.headers
    assert request.headers.get("Content-Length", "0") == "0"
    assert request.content == b""


@pytest.mark.parametrize("name", EXCHANGES)
async def test_each_call_over_httpx_own_sockets(wire: respx.Router, name: str) -> None:
    """Method, path, query and headers as they reach the connection, and the model of the reply."""
    exchange = EXCHANGES[name]
    route = wire.route(host="www.omipay.com.au").mock(
        return_value=httpx.Response(200, json={"return_code": "SUCCESS", **exchange.reply})
    )
    async with open_session(None) as omipay:
        assert await exchange.call(omipay) == as_sent(exchange.model)
    assert route.call_count == 1
    check(route.calls.last.request, exchange, "www.omipay.com.au")


@pytest.mark.parametrize("name", EXCHANGES)
async def test_each_call_over_a_transport_of_the_users(name: str) -> None:
    """A mock, or any other transport, gets the same request."""
    exchange = EXCHANGES[name]
    gateway = Gateway({"return_code": "SUCCESS", **exchange.reply})
    async with open_session(gateway, region=Region.CN) as omipay:
        assert await exchange.call(omipay) == as_sent(exchange.model)
    assert len(gateway.requests) == 1
    check(gateway.requests[0], exchange, "www.omipay.com.cn")


@pytest.mark.parametrize("name", LEAST)
async def test_what_is_not_given_is_not_sent(name: str) -> None:
    """An option without a value is left out, and so is the default language."""
    gateway = Gateway(success(name))
    async with open_session(gateway) as omipay:
        await CALLS[name](omipay)
    assert gateway.pairs == sorted([*LEAST[name], *SIGNED])


@pytest.mark.parametrize("name", LEAST)
async def test_the_sessions_language_is_sent_where_the_documents_have_it(name: str) -> None:
    """Everywhere except GetUserInfo, whose table has no ``language``."""
    gateway = Gateway(success(name))
    async with open_session(gateway, language=Language.EN) as omipay:
        await CALLS[name](omipay)
    language = [] if name == "GetUserInfo" else ["language=EN"]
    assert gateway.pairs == sorted([*LEAST[name], *SIGNED, *language])


@pytest.mark.parametrize("name", LEAST)
async def test_the_sessions_notify_url_is_the_default_of_every_order(name: str) -> None:
    """Unless the call has another one. Other calls have no such parameter."""
    gateway = Gateway(success(name))
    async with open_session(gateway, notify_url="https://shop.example/n") as omipay:
        await CALLS[name](omipay)
    notify = ["notify_url=https%3A%2F%2Fshop.example%2Fn"] if name in TAKES_NOTIFY_URL else []
    assert gateway.pairs == sorted([*LEAST[name], *SIGNED, *notify])


@pytest.mark.parametrize("name", TAKES_NOTIFY_URL)
async def test_a_calls_own_notify_url_counts_first(name: str) -> None:
    """Only one ``notify_url`` is sent."""
    gateway = Gateway({"return_code": "SUCCESS", **EXCHANGES[name].reply})
    async with open_session(gateway, notify_url="https://shop.example/n") as omipay:
        await EXCHANGES[name].call(omipay)
    assert gateway.pairs == sorted([*EXCHANGES[name].pairs, *SIGNED])


async def test_a_general_calls_own_language_counts_first() -> None:
    """The session's language is added only if the parameters have none, in any spelling: a gateway may ignore case."""
    gateway = Gateway({})
    async with open_session(gateway, language="EN") as omipay:
        for name in ("language", "Language"):
            await omipay.call("X", {name: "CHS"})
            assert f"{name}=CHS" in gateway.pairs
            assert "language=EN" not in gateway.pairs
        await omipay.call("X", {"language": None})
        assert "language=EN" in gateway.pairs
        await omipay.call("X", {})
        assert "language=EN" in gateway.pairs


async def test_a_general_call_accepts_an_object_without_return_code() -> None:
    """The reply of an undocumented endpoint is returned unchanged."""
    async with open_session(Gateway({"anything": 1})) as omipay:
        assert await omipay.call("X", {}) == {"anything": 1}


@pytest.mark.parametrize("platform", ["WECHATPAY", "ALIPAY", "UPI"])
async def test_plain_strings_work_like_members(platform: str) -> None:
    """``"UPI"`` and ``Platform.UPI`` are sent alike."""
    gateway = Gateway(success("MakeQROrder"))
    async with open_session(gateway) as omipay:
        await omipay.make_qr_order(**ORDER, platform=platform)
        as_text = gateway.pairs
        await omipay.make_qr_order(**{**ORDER, "currency": Currency.AUD}, platform=Platform(platform))
    assert gateway.pairs == as_text


async def test_each_request_has_its_own_nonce() -> None:
    """By default, two calls never share a signature."""
    gateway = Gateway(success("QueryOrder"))
    async with open_session(gateway, nonces=None) as omipay:
        for _ in range(20):
            await omipay.query_order("TR1")
    nonces = {request.url.params["nonce_str"] for request in gateway.requests}
    signs = {request.url.params["sign"] for request in gateway.requests}
    assert len(nonces) == len(signs) == 20


async def test_a_base_url_replaces_the_host_and_its_path(wire: respx.Router) -> None:
    """Up to and including ``/omipay/api``, with or without a slash at its end; port and prefix are kept."""
    route = wire.route(host="127.0.0.1", port=8080).mock(return_value=response(success("QueryOrder")))
    for base_url in ("http://127.0.0.1:8080/mirror/omipay/api", "http://127.0.0.1:8080/mirror/omipay/api/"):
        async with open_session(None, base_url=base_url) as omipay:
            await omipay.query_order("TR1")
        assert route.calls.last.request.url.path == "/mirror/omipay/api/v2/QueryOrder"


async def test_the_sessions_own_client_signs_nothing(wire: respx.Router) -> None:
    """``omipay.http`` sends any request without a signature, and is closed with the session."""
    route = wire.get("https://www.omipay.com.au/status").mock(return_value=httpx.Response(204))
    async with open_session(None) as omipay:
        assert (await omipay.http.get("https://www.omipay.com.au/status")).status_code == 204
        assert route.calls.last.request.url.query == b""
    assert omipay.http.is_closed


# -- what replies are -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in EXCHANGES if not name.startswith("call")])
async def test_replies_are_frozen_values(name: str) -> None:
    """No attribute can be changed or added. ``raw`` is the whole reply, and not part of repr and equality."""
    exchange = EXCHANGES[name]
    reply = {"return_code": "SUCCESS", **exchange.reply, "error_msg": None, "success": True, "unheard_of": [1]}
    async with open_session(Gateway(reply)) as omipay:
        model = await exchange.call(omipay)
    assert model == as_sent(exchange.model)
    assert hash(model) == hash(as_sent(exchange.model))
    assert model.raw["unheard_of"] == [1]
    assert "unheard_of" not in repr(model)
    assert not hasattr(model, "__dict__")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        model.raw = {}


async def test_an_applet_orders_request_payment_has_wechats_names() -> None:
    """It is the argument of wx.requestPayment, with ``package`` in lower case."""
    exchange = EXCHANGES["MakeAppletOrder"]
    assert exchange.model.request_payment == {
        "timeStamp": "1482796530",
        "nonceStr": "n0",
        "package": "prepay_id=1",
        "signType": "MD5",
        "paySign": "F00",
    }
