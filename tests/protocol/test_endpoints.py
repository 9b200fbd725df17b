"""The table of endpoints, written out by hand: the kind of each parameter, and when a reply may be believed."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pytest

from omipay_async import ErrorCode, Safety
from omipay_async.protocol.endpoints import ENDPOINTS, Endpoint, Kind, Parameter

KINDS = {
    Kind.CURRENCY: {"currency", "base_currency"},
    Kind.AMOUNT: {"amount"},
    Kind.URL: {"notify_url", "redirect_url", "return_url", "redirect_uri"},
    Kind.FLAG: {"direct_pay", "show_pc_pay_url"},
    Kind.TEXT: {
        *("order_name", "out_order_no", "platform", "o_number", "pos_no", "qrcode", "type", "app_id", "customer_id"),
        *("order_no", "out_refund_no", "refund_no"),
    },
}
SECRETS = {"qrcode", "customer_id"}
CHOICES = {
    ("GetExchangeRate", "platform"): {"WECHATPAY", "ALIPAY", "ALIPAYONLINE", "POLI", "UPI"},
    ("MakeQROrder", "platform"): {"WECHATPAY", "ALIPAY", "UPI"},
    ("MakeOnlineOrder", "type"): {"web", "wap"},
    ("MakeOnlineOrder", "platform"): {"ALIPAYONLINE", "POLI"},
    ("MakeAPPOrder", "platform"): {"ALIPAYONLINE", "WECHATPAY", "POLI"},
    ("MakeAppletOrder", "platform"): {"WECHATPAY"},
}
ORDERS = [name for name in ENDPOINTS if name.startswith("Make")]
ESSENTIAL = {
    **dict.fromkeys(ORDERS, frozenset({"order_no"})),
    "GetExchangeRate": {"rate", "platform"},
    "QueryOrder": {"order_no", "status", "currency", "amount"},
    "Refund": {"refund_no"},
    "QueryRefund": {"refund_no", "status"},
    "GetUserInfo": {"openid", "nickname", "headimgurl"},
}
AS_SENT = {
    **dict.fromkeys(ORDERS, ("out_order_no", "currency", "amount")),
    "GetExchangeRate": (),
    "QueryOrder": ("order_no",),
    "Refund": ("order_no", "out_refund_no"),
    "QueryRefund": ("refund_no",),
    "GetUserInfo": (),
}
FOREIGN = {
    **dict.fromkeys([*ORDERS, "QueryOrder"], "out_refund_no"),
    **dict.fromkeys(["Refund", "QueryRefund"], "out_order_no"),
}
OWN = {
    **dict.fromkeys(ORDERS, ("out_order_no",)),
    "QueryOrder": ("order_no", "out_order_no"),
    "Refund": ("order_no", "out_refund_no", "refund_no"),
    "QueryRefund": ("out_refund_no", "refund_no"),
}
FAILED = frozenset({"fail", "failed", "cancelled"})
REFUSED = {"merchantrejected", "timeoutclosed", "organizationfailed", "customercancelled"}
CONTRADICTIONS = {**dict.fromkeys(ORDERS, FAILED), "MakeScanOrder": FAILED | {"ready"}, "Refund": FAILED | REFUSED}


@pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=lambda endpoint: endpoint.name)
def test_what_each_parameter_must_be(endpoint: Endpoint[object]) -> None:
    """Its kind, the values that it may have, and whether it stays out of logs."""
    for parameter in endpoint.parameters:
        assert parameter.name in KINDS[parameter.kind]
        assert set(parameter.choices) == CHOICES.get((endpoint.name, parameter.name), set())
        assert parameter.secret is (parameter.name in SECRETS)
        assert type(parameter.required) is bool


@pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=lambda endpoint: endpoint.name)
def test_what_may_be_believed_of_each_reply(endpoint: Endpoint[object]) -> None:
    """Which fields must be readable, which contain what was sent, and what contradicts a success."""
    name = endpoint.name
    assert (endpoint.essential, endpoint.as_sent) == (ESSENTIAL[name], AS_SENT[name])
    assert (endpoint.foreign_number, endpoint.own_numbers) == (FOREIGN.get(name), OWN.get(name, ()))
    assert endpoint.contradictions == CONTRADICTIONS.get(name, set())
    assert endpoint.takes_language is (name != "GetUserInfo")
    assert endpoint.needs_return_code is (name != "GetUserInfo")
    assert endpoint.path == ("/auth/GetUserInfo" if name == "GetUserInfo" else f"/v2/{name}")
    assert endpoint.method == ("POST" if name in {*ORDERS, "Refund"} else "GET")


@pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=lambda endpoint: endpoint.name)
def test_the_outcome_of_refusals_and_the_smallest_amounts(endpoint: Endpoint[object]) -> None:
    """After which codes money may have moved, and the smallest amount of each platform."""
    unclear = {"MakeScanOrder": {"ORDER_PAID", "ORDER_CLOSED"}, "Refund": {"USERPAYING"}}.get(endpoint.name, set())
    assert endpoint.ambiguous_codes == unclear
    assert endpoint.unlisted_is_ambiguous is (endpoint.name in {"MakeScanOrder", "Refund"})
    least = {"POLI": 2} if endpoint.name in {"MakeOnlineOrder", "MakeAPPOrder"} else {}
    assert endpoint.minimum_amounts == least
    assert isinstance(endpoint.minimum_amounts, Mapping)
    assert all(type(code) is ErrorCode for code in endpoint.error_codes)


def test_a_row_needs_only_what_differs_from_the_defaults() -> None:
    """The other columns of an endpoint or a parameter have defaults."""
    assert Parameter("x") == Parameter("x", Kind.TEXT, required=True, choices=(), secret=False)
    row: Endpoint[dict[str, object]] = Endpoint("X", Safety.READ, (), reply=dict)
    assert row == Endpoint(
        "X",
        Safety.READ,
        (),
        reply=dict,
        essential=frozenset(),
        echoes=(),
        as_sent=(),
        contradictions=frozenset(),
        foreign_number=None,
        own_numbers=(),
        error_codes=frozenset(),
        path="/v2/X",
        takes_language=True,
        needs_return_code=True,
        ambiguous_codes=frozenset(),
        unlisted_is_ambiguous=False,
        minimum_amounts=MappingProxyType({}),
    )
