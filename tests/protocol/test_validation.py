"""What may be sent: every error names the parameter, and nothing is sent."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given, strategies as st

from omipay_async import InvalidRequest, Outcome, Safety
from omipay_async.protocol import validation
from omipay_async.protocol.endpoints import ENDPOINTS, QUERY_ORDER, Kind
from omipay_async.text import bare
from tests.support.canned_gateway import ORDER, Gateway, open_session, success
from tests.support.masked import Masked

SCAN = {**ORDER, "qrcode": "134567890", "pos_no": "till-1"}
QR = {**ORDER, "platform": "UPI"}
JSAPI = {**ORDER, "redirect_url": "https://shop.example/back"}
ONLINE = {**ORDER, "type": "wap"}
APP = {**ORDER, "platform": "ALIPAYONLINE"}
APPLET = {**ORDER, "app_id": "wx1", "customer_id": "o98"}
REFUND = {"order_no": "TR1", "out_refund_no": "R-1", "amount": 1}

NOT_TEXT: tuple[Any, ...] = (
    "",
    "   ",
    7,
    b"x",
    True,
    ["x"],
    "a\x00b",
    "a\nb",
    "a\x1fb",
    "a\x7fb",
    "a\x85b",
    "a\u2028b",
    "a\u2029b",
    "a\ud800b",
    "\udfff",
    "长" * 4097,
)
NOT_AMOUNTS: tuple[Any, ...] = (0, -1, 1.0, 1.5, "100", True, False, 2**63, 10**5000)
NOT_CURRENCIES: tuple[Any, ...] = ("aud", "AU", "AUDX", "A1D", "澳大利", "", 36, "AUD ", "AUD\n")
NOT_URLS: tuple[Any, ...] = (
    "baidu.com",
    "//shop.example/x",
    "/x",
    "ftp://shop.example/x",
    "javascript:alert(1)",
    "http://",
    "https:///x",
    "http://:80/x",
    "http://shop.example:99999/",
    "http://evil.example\\@shop.example/",
    "http://shop.example:0/",
    "http://[::1/x",
    "http://shop.example/a b",
    "http://shop.example/\u3000",
    "http://shop.example/\n",
    80,
)
NOT_SECONDS: tuple[Any, ...] = (0, -1, float("nan"), float("inf"), 1e12, 10**400, "5", True, timedelta(seconds=5))

TEXTS = {
    "make_qr_order": (QR, ("order_name", "out_order_no", "o_number")),
    "make_jsapi_order": (JSAPI, ("order_name", "out_order_no", "o_number", "pos_no")),
    "make_scan_order": (SCAN, ("order_name", "out_order_no", "qrcode", "pos_no")),
    "make_online_order": (ONLINE, ("order_name", "out_order_no", "o_number")),
    "make_app_order": (APP, ("order_name", "out_order_no", "o_number", "app_id")),
    "make_applet_order": (APPLET, ("order_name", "out_order_no", "o_number", "app_id", "customer_id")),
    "refund": (REFUND, ("order_no", "out_refund_no")),
    "query_order": ({"order_no": "TR1"}, ("order_no",)),
    "query_refund": ({"refund_no": "RF1"}, ("refund_no",)),
}
URLS = {
    "make_qr_order": (QR, ("notify_url",)),
    "make_jsapi_order": (JSAPI, ("notify_url", "redirect_url")),
    "make_scan_order": (SCAN, ("notify_url",)),
    "make_online_order": (ONLINE, ("notify_url", "return_url")),
    "make_app_order": (APP, ("notify_url",)),
    "make_applet_order": (APPLET, ("notify_url",)),
    "get_user_info": ({"redirect_uri": "https://x.example"}, ("redirect_uri",)),
}
CHOICES = {
    "make_qr_order": (QR, "platform", ("POLI", "ALIPAYONLINE", "wechatpay", "")),
    "make_online_order": (ONLINE, "platform", ("WECHATPAY", "UPI", "ALIPAY")),
    "make_app_order": (APP, "platform", ("ALIPAY", "UPI", "Poli")),
    "make_applet_order": (APPLET, "platform", ("ALIPAY", "POLI")),
    "get_exchange_rate": ({"currency": "AUD", "base_currency": "CNY"}, "platform", ("VISA",)),
}
ORDERS = {name: given for name, (given, _) in TEXTS.items() if name.startswith("make_")}


async def refused(method: str, given: dict[str, Any], parameter: str) -> InvalidRequest:
    """The error of a call, which must name ``parameter`` and must have sent nothing."""
    gateway = Gateway(success("MakeQROrder"))
    async with open_session(gateway) as omipay:
        with pytest.raises(InvalidRequest) as refusal:
            await getattr(omipay, method)(**given)
    assert refusal.value.parameter == parameter
    assert str(refusal.value).startswith(f"{parameter} ")
    assert not gateway.requests
    return refusal.value


@pytest.mark.parametrize(("method", "name"), [(m, name) for m, (_, names) in TEXTS.items() for name in names])
async def test_names_and_numbers_are_text_that_can_be_sent(method: str, name: str) -> None:
    """Not empty, and without control characters and lone surrogates. A secret is not shown."""
    for value in NOT_TEXT:
        refusal = await refused(method, {**TEXTS[method][0], name: value}, name)
        if isinstance(value, str) and value.strip():
            assert value not in str(refusal)


@pytest.mark.parametrize("method", [*ORDERS, "refund"])
async def test_amounts_are_ints_of_minor_units(method: str) -> None:
    """At least 1. A float, a bool and a string are rejected, whatever their value."""
    for value in NOT_AMOUNTS:
        await refused(method, {**ORDERS.get(method, REFUND), "amount": value}, "amount")


@pytest.mark.parametrize("method", ORDERS)
async def test_currencies_are_three_capital_letters(method: str) -> None:
    """Of orders, and both of an exchange rate."""
    for value in NOT_CURRENCIES:
        await refused(method, {**ORDERS[method], "currency": value}, "currency")
        await refused("get_exchange_rate", {"currency": value, "base_currency": "CNY"}, "currency")
        await refused("get_exchange_rate", {"currency": "AUD", "base_currency": value}, "base_currency")


@pytest.mark.parametrize(("method", "name"), [(m, name) for m, (_, names) in URLS.items() for name in names])
async def test_urls_are_absolute(method: str, name: str) -> None:
    """http or https with a host. The documents' own ``baidu.com`` is rejected."""
    for value in NOT_URLS:
        await refused(method, {**URLS[method][0], name: value}, name)


@pytest.mark.parametrize("method", CHOICES)
async def test_a_platform_is_one_that_the_endpoint_has(method: str) -> None:
    """Each endpoint has its own list, which the error contains."""
    given, name, words = CHOICES[method]
    for word in words:
        refusal = await refused(method, {**given, name: word}, name)
        assert not word or "WECHATPAY" in str(refusal) or "ALIPAYONLINE" in str(refusal)


async def test_an_online_order_is_for_web_or_wap() -> None:
    """``type`` is one of the two words of the documents."""
    for word in ("WEB", "desktop", ""):
        await refused("make_online_order", {**ONLINE, "type": word}, "type")


@pytest.mark.parametrize(("method", "given"), [("make_online_order", ONLINE), ("make_app_order", APP)])
async def test_poli_does_not_accept_a_single_cent(method: str, given: dict[str, Any]) -> None:
    """CN 3.5: a POLi payment must be more than 1. Other platforms accept 1."""
    await refused(method, {**given, "platform": "POLI", "amount": 1}, "amount")
    gateway = Gateway(success("MakeOnlineOrder"))
    async with open_session(gateway) as omipay:
        await getattr(omipay, method)(**{**given, "platform": "POLI", "amount": 2})
        await getattr(omipay, method)(**{**given, "amount": 1})
    assert len(gateway.requests) == 2


async def test_a_wechat_app_order_needs_its_app_id() -> None:
    """CN 3.6: it is required only for WeChat."""
    await refused("make_app_order", {**APP, "platform": "WECHATPAY"}, "app_id")


async def test_flags_are_true_or_false() -> None:
    """``direct_pay`` and ``show_pc_pay_url`` take a bool, not the wire's 1."""
    for name in ("direct_pay", "show_pc_pay_url"):
        for value in (1, "1", "yes"):
            await refused("make_jsapi_order", {**JSAPI, name: value}, name)


@pytest.mark.parametrize("value", NOT_SECONDS)
async def test_a_timeout_is_more_than_zero_seconds(value: Any) -> None:
    """That of a call, like that of a session."""
    await refused("query_order", {"order_no": "TR1", "timeout": value}, "timeout")
    await refused("call", {"endpoint": "X", "params": {}, "timeout": value}, "timeout")


@pytest.mark.parametrize("name", ["order_name", "amount", "currency", "out_order_no", "platform"])
async def test_none_counts_as_missing(name: str) -> None:
    """For a required parameter."""
    refusal = await refused("make_qr_order", {**QR, name: None}, name)
    assert "must be given" in str(refusal)


async def test_a_rejected_argument_proves_that_no_money_moved() -> None:
    """NOT_DONE for a money call; None for a read."""
    assert (await refused("make_scan_order", {**SCAN, "amount": 0}, "amount")).outcome is Outcome.NOT_DONE
    assert (await refused("query_order", {"order_no": ""}, "order_no")).outcome is None


async def test_a_nonce_provider_that_breaks_the_rules_sends_nothing() -> None:
    """A user's nonce is checked when the request is signed. The error names ``nonces``."""
    gateway = Gateway(success("QueryOrder"))
    async with open_session(gateway, nonces=lambda: "short") as omipay:
        with pytest.raises(InvalidRequest) as money:
            await omipay.make_scan_order(**SCAN)
        with pytest.raises(InvalidRequest) as read:
            await omipay.query_order("TR1")
    assert money.value.parameter == read.value.parameter == "nonces"
    assert money.value.outcome is Outcome.NOT_DONE
    assert read.value.outcome is None
    assert not gateway.requests


# -- call -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["", "/X", "X/", "../Refund", "a b", "X?y=1", "X#y", "ü", "1X", "v2//X", "X%2FY", "X\n", None, 5, "http://x"],
)
async def test_a_general_call_names_an_endpoint_under_v2(name: Any) -> None:
    """A path that leads elsewhere is rejected."""
    await refused("call", {"endpoint": name, "params": {}}, "endpoint")


@pytest.mark.parametrize("name", ["MakeQRCode", "MakeQRCodeOrder", "makeqrcode", "MAKEQRCODEORDER", "v2/MakeQRCode"])
async def test_the_english_documents_slips_are_not_sent(name: str) -> None:
    """The error contains the right name of the endpoint."""
    assert "MakeQROrder" in str(await refused("call", {"endpoint": name, "params": {}}, "endpoint"))


@pytest.mark.parametrize("name", ["m_number", "timestamp", "nonce_str", "sign", "SIGN", "Nonce_Str", "secret_key"])
async def test_a_general_call_leaves_the_signature_to_the_session(name: str) -> None:
    """The four parameters of the signature, and the key that is never sent, are rejected in every spelling."""
    await refused("call", {"endpoint": "X", "params": {name: "1"}}, f"params[{name!r}]")


@pytest.mark.parametrize("value", [1.5, True, False, b"x", ["x"], {"a": 1}, "", " ", "a\nb", "\ud800", 2**63, -(2**63)])
async def test_a_general_call_takes_text_and_ints(value: Any) -> None:
    """Any other value is rejected by the name of its parameter."""
    await refused("call", {"endpoint": "X", "params": {"card": value}}, "params['card']")


@pytest.mark.parametrize(
    "params", [None, "a=b", [("a", "b")], {"": "x"}, {5: "x"}, {"a b": "x"}, {"a&b": "x"}, {"ключ": "x"}]
)
async def test_a_general_call_takes_a_mapping_of_names(params: Any) -> None:
    """A name that would add another parameter to the query is rejected."""
    await refused("call", {"endpoint": "X", "params": params}, "params")


async def test_what_does_not_fit_into_a_url_is_rejected() -> None:
    """Each value alone is valid. The longest one is named."""
    params = {"a": "长" * 2000, "b": "长" * 4000, "c": "x" * 4096}
    await refused("call", {"endpoint": "X", "params": params}, "b")
    await refused("make_qr_order", {**QR, "order_name": "长" * 4096, "out_order_no": "x" * 4096}, "order_name")


@pytest.mark.parametrize("name", [name for name, e in ENDPOINTS.items() if e.safety is Safety.MONEY])
async def test_money_is_never_called_as_a_read(name: str) -> None:
    """A read may be repeated, so a known endpoint that moves money must not be called as one."""
    await refused("call", {"endpoint": name, "params": {}, "safety": Safety.READ}, "safety")


@pytest.mark.parametrize("safety", ["read", "", None, True, "IDEMPOTENT"])
async def test_safety_is_read_or_money(safety: Any) -> None:
    """A misspelt safety is rejected."""
    await refused("call", {"endpoint": "X", "params": {}, "safety": safety}, "safety")


# -- the query string -------------------------------------------------------------------------------------------------

_SENDABLE = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=50).filter(bare)


@given(_SENDABLE)
def test_every_text_that_may_be_sent_arrives_as_it_was(text: str) -> None:
    """Percent-encoded UTF-8, with a space as %20: the gateway decodes what was given."""
    name, _, value = validation.query(QUERY_ORDER, {"order_no": text}).partition("=")
    assert name == "order_no"
    assert value.isascii()
    assert not set(value) & set(" +&=?#/")
    assert unquote_to_bytes(value).decode() == text


@given(
    st.dictionaries(st.from_regex("[a-z_]{1,12}", fullmatch=True), st.one_of(_SENDABLE, st.integers(-9, 9), st.none()))
)
def test_every_general_parameter_arrives_as_it_was(params: dict[str, Any]) -> None:
    """In order, once each, without None."""
    for reserved in ("sign", "timestamp", "m_number", "nonce_str", "secret_key"):
        params.pop(reserved, None)
    query, has_language = validation.general_query(params)
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    sent = {name: unquote_to_bytes(value).decode() for name, _, value in pairs}
    assert sent == {name: str(value) for name, value in params.items() if value is not None}
    assert len(pairs) == len(sent)
    assert has_language is (params.get("language") is not None)


@given(st.sampled_from(sorted(ENDPOINTS)), st.data())
def test_whatever_is_given_is_sent_whole_or_rejected_by_name(endpoint_name: str, data: st.DataObject) -> None:
    """Any input gives InvalidRequest or a query that can be sent."""
    endpoint = ENDPOINTS[endpoint_name]
    anything = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.just("POLI"))
    values = {parameter.name: data.draw(anything) for parameter in endpoint.parameters}
    query, named = "", ""
    try:
        query = validation.query(endpoint, values)
    except InvalidRequest as refusal:
        named = refusal.parameter
    assert named in {"", *values}
    assert bool(query) is not bool(named)
    assert query.isascii()
    assert not set(query) & set(" #?\n")


def test_every_kind_of_parameter_has_a_check() -> None:
    """Every kind of the table of endpoints."""
    assert set(validation._CHECKS) == set(Kind)


@pytest.mark.parametrize("name", ENDPOINTS)
def test_subclasses_of_str_count_by_their_content(name: str) -> None:
    """For every text parameter of every endpoint, and for ``call``."""
    plain: dict[str, Any] = {}
    for parameter in ENDPOINTS[name].parameters:
        values = {Kind.CURRENCY: "AUD", Kind.URL: "https://shop.example/a", Kind.AMOUNT: 100, Kind.FLAG: True}
        plain[parameter.name] = values.get(parameter.kind, parameter.choices[0] if parameter.choices else "T-1")
    shown = {key: Masked(value) if isinstance(value, str) else value for key, value in plain.items()}
    assert validation.query(ENDPOINTS[name], shown) == validation.query(ENDPOINTS[name], plain)
    general = {key: value for key, value in plain.items() if value is not True}
    assert validation.general_query({Masked(k): shown[k] for k in general}) == validation.general_query(general)


@pytest.mark.parametrize("name", ["refund", "REFUND", "makescanorder", "any/Path/Refund", "v3/makeQRorder"])
def test_a_known_money_endpoint_is_not_called_as_a_read_however_it_is_spelt(name: str) -> None:
    """It could be repeated, and a gateway that ignores case would act on each request."""
    with pytest.raises(InvalidRequest, match="moves money") as refusal:
        validation.general_endpoint(name, "READ")
    assert refusal.value.parameter == "safety"
    assert validation.general_endpoint(name, Masked("MONEY")).safety is Safety.MONEY
    assert validation.general_endpoint("queryorder", "READ").name == "queryorder"
