"""The sandbox can answer with every error code that the table of endpoints lists."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from omipay_async.codes import ErrorCode
from omipay_async.protocol.endpoints import COMMON_ERROR_CODES, ENDPOINTS
from omipay_async.sandbox import Fault, PaymentCode, Sandbox
from omipay_async.sandbox.rates import RATES

from .raw import RawClient

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Provoke = Callable[[Sandbox, RawClient, str], Awaitable[dict[str, Any]]]


def asking(**fields: Any) -> Provoke:
    """Provoked by these fields alone; ``order_no`` and ``refund_no`` are of real ones unless given."""

    async def provoke(sandbox: Sandbox, raw: RawClient, name: str) -> dict[str, Any]:
        return await raw.ask(name, **{**await numbers(raw, name), **fields})

    return provoke


def registered(**fields: Any) -> Provoke:
    """Provoked by what the merchant has not registered."""

    async def provoke(sandbox: Sandbox, raw: RawClient, name: str) -> dict[str, Any]:
        more = await numbers(raw, name)
        for field, value in fields.items():
            setattr(sandbox.merchant, field, value)
        return await raw.ask(name, **more)

    return provoke


async def numbers(raw: RawClient, name: str) -> dict[str, str]:
    if name in {"QueryOrder", "Refund"}:
        return {"order_no": await raw.scanned()}
    if name == "QueryRefund":
        return {"refund_no": (await raw.ask("Refund", order_no=await raw.scanned()))["refund_no"]}
    return {}


async def broken(sandbox: Sandbox, raw: RawClient, name: str) -> dict[str, Any]:
    more = await numbers(raw, name)
    sandbox.faults.add(Fault.SYSTEM_ERROR, endpoint=name, times=1)
    return await raw.ask(name, **more)


async def late(sandbox: Sandbox, raw: RawClient, name: str) -> dict[str, Any]:
    return await raw.ask(name, **{**await numbers(raw, name), **raw.signature(shift_ms=-300_000)})


async def wrong_key(sandbox: Sandbox, raw: RawClient, name: str) -> dict[str, Any]:
    return await raw.ask(name, **{**await numbers(raw, name), **raw.signature(key="wrong")})


async def of_another(sandbox: Sandbox, raw: RawClient, name: str) -> dict[str, Any]:
    more = await numbers(raw, name)
    sandbox.add_merchant("654321", "another-toy-key")
    other = RawClient(sandbox, raw.clock, m_number="654321", secret_key="another-toy-key")
    async with other.http:
        return await other.ask(name, **more)


async def unpaid(sandbox: Sandbox, raw: RawClient, name: str) -> dict[str, Any]:
    return await raw.ask(name, order_no=(await raw.ask("MakeQROrder"))["order_no"])


async def again(sandbox: Sandbox, raw: RawClient, name: str) -> dict[str, Any]:
    await raw.ask(name, out_order_no="T-1")
    return await raw.ask(name, out_order_no="T-1")


PROVOKED: dict[str, Provoke] = {
    "PARAMETER_INVALID": asking(language="FR", redirect_uri=None),
    "SIGN_TIMEOUT": late,
    "SIGN_ERROR": wrong_key,
    "MERCHANTNO_INVALID": asking(m_number="999999"),
    "MERCHANTNO_DISABLE": registered(disabled=True),
    "BRANCH_INVALID": asking(o_number="unregistered"),
    "SYSTEM_ERROR": broken,
    "CURRENCY_ERROR": asking(base_currency="XXX"),
    "AMOUNT_INVALID": asking(amount="999999999999"),
    "WEBSTORE_NOT_EXISTS": registered(web_store=False),
    "WECHAT_STORE_NOT_EXISTS": registered(wechat_store=False),
    "POS_NOT_REGISTERED": asking(pos_no="unregistered"),
    "USERPAYING": asking(qrcode=PaymentCode.NEVER_PAYS),
    "ORDER_PAID": again,
    "ORDER_CLOSED": asking(qrcode=PaymentCode.ORDER_CLOSED),
    "NOT_ENOUGH": asking(qrcode=PaymentCode.NOT_ENOUGH),
    "CARD_NOT_SUPPORT": asking(qrcode=PaymentCode.CARD_NOT_SUPPORT),
    "QRCODE_EXPIRED": asking(qrcode=PaymentCode.QRCODE_EXPIRED),
    "QRCODE_ERROR": asking(qrcode=PaymentCode.QRCODE_ERROR),
    "PERMISSION_ERROR": of_another,
    "ORDER_NO_ERROR": asking(order_no="TR0"),
    "REFUND_NO_ERROR": asking(refund_no="RF0"),
    "ORDER_NOT_PAID": unpaid,
    "AMOUNT_OVER_LIMIT": asking(amount="101"),
}


def listed() -> list[tuple[str, str]]:
    """Every endpoint with every code that the documents list for it; BRANCH_INVALID only if it has ``o_number``."""
    return [
        (endpoint.name, str(code))
        for endpoint in ENDPOINTS.values()
        for code in sorted(endpoint.error_codes | COMMON_ERROR_CODES)
        if code != "BRANCH_INVALID" or any(parameter.name == "o_number" for parameter in endpoint.parameters)
    ]


@pytest.mark.parametrize(("name", "code"), listed())
async def test_every_code_can_be_provoked(sandbox: Sandbox, raw: RawClient, name: str, code: str) -> None:
    """A program can be tested with every code that a document lists; the ledger has the code, too."""
    reply = await PROVOKED[code](sandbox, raw, name)
    assert (reply["return_code"], reply["error_code"]) == ("FAIL", code)
    assert reply["error_msg"]
    assert sandbox.ledger.calls[-1].error_code == code


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("MakeQROrder", {"order_name": None}),
        ("MakeQROrder", {"order_name": ""}),
        ("MakeQROrder", {"order_name": "line\nbreak"}),
        ("MakeQROrder", {"amount": "0"}),
        ("MakeQROrder", {"amount": "1.5"}),
        ("MakeQROrder", {"amount": "-1"}),
        ("MakeQROrder", {"currency": "USD"}),
        ("MakeQROrder", {"platform": "POLI"}),
        ("MakeJSAPIOrder", {"direct_pay": "yes"}),
        ("MakeJSAPIOrder", {"show_pc_pay_url": "0"}),
        ("MakeJSAPIOrder", {"pos_no": "unregistered"}),
        ("MakeOnlineOrder", {"type": "pc"}),
        ("MakeOnlineOrder", {"platform": "POLI", "amount": "1"}),
        ("MakeOnlineOrder", {"amount": "999999999999"}),
        ("MakeAPPOrder", {"platform": "POLI", "amount": "1"}),
        ("MakeAPPOrder", {"platform": "WECHATPAY"}),
        ("MakeAppletOrder", {"platform": "ALIPAY"}),
        ("MakeAppletOrder", {"customer_id": None}),
        ("GetExchangeRate", {"platform": "VISA"}),
        ("GetExchangeRate", {"language": "FR"}),
    ],
)
async def test_parameters_that_are_refused(sandbox: Sandbox, raw: RawClient, name: str, fields: dict[str, Any]) -> None:
    """A wrong parameter is named in the reply and in the ledger, and nothing is made."""
    reply = await raw.ask(name, **fields)
    assert reply["error_code"] == "PARAMETER_INVALID"
    named = "app_id" if fields == {"platform": "WECHATPAY"} else list(fields)[-1]
    said = {"pos_no": "till"}.get(named, named)
    assert said in reply["error_msg"]
    assert said in sandbox.ledger.calls[-1].remarks[0]
    assert not sandbox.ledger.orders


async def test_misspelt_currency(raw: RawClient) -> None:
    """A currency that is not an ISO code is CURRENCY_ERROR when a rate is asked for."""
    assert (await raw.ask("GetExchangeRate", currency="aud"))["error_code"] == "CURRENCY_ERROR"


async def test_whoever_asks_by_a_number_of_the_merchant_is_told_the_number_of_the_order(raw: RawClient) -> None:
    """No endpoint takes an ``out_order_no`` for an order: both name the order that bears it."""
    made = await raw.ask("MakeQROrder", out_order_no="SHOP-1")
    for reply in (
        await raw.ask("QueryOrder", order_no="SHOP-1"),
        await raw.ask("Refund", order_no="SHOP-1", out_refund_no="R-1", amount=1),
    ):
        assert reply["error_msg"].endswith(f"this is the out_order_no of {made['order_no']}")


async def test_refund_below_a_cent(raw: RawClient) -> None:
    """A refund that comes to less than A$0.01 is refused (CN 3.10)."""
    number = await raw.scanned(currency="CNY", amount="100")
    assert (await raw.ask("Refund", order_no=number, amount="5"))["error_code"] == "PARAMETER_INVALID"
    assert (await raw.ask("Refund", order_no=number, amount="6"))["return_code"] == "SUCCESS"
    assert (await raw.ask("Refund", order_no=await raw.scanned(), amount="1"))["return_code"] == "SUCCESS"


async def test_a_refund_is_converted_at_the_rate_of_its_order(raw: RawClient, sandbox: Sandbox) -> None:
    """CN 3.10: "at the rate when the order was made", whatever the rate of the day is."""
    number = await raw.scanned(currency="CNY", amount="100")
    sandbox.gateway.terms.rates = {**RATES, "CNY": Decimal(100)}
    assert (await raw.ask("Refund", order_no=number, amount="6"))["return_code"] == "SUCCESS"
    later = await raw.scanned(currency="CNY", amount="100")
    assert (await raw.ask("Refund", order_no=later, amount="6"))["error_code"] == "PARAMETER_INVALID"


async def test_a_very_large_amount_is_a_number_too(raw: RawClient) -> None:
    """It is above the platform's largest payment, or above what is left to refund."""
    assert (await raw.ask("MakeQROrder", amount="1000000000000"))["error_code"] == "AMOUNT_INVALID"
    number = await raw.scanned()
    assert (await raw.ask("Refund", order_no=number, amount="1" + "0" * 17))["error_code"] == "AMOUNT_OVER_LIMIT"


async def test_amount_below_the_smallest(raw: RawClient, sandbox: Sandbox) -> None:
    """An amount below the least that the platform takes is AMOUNT_INVALID too."""
    sandbox.gateway.terms.smallest = 10
    refused = await raw.ask("MakeQROrder", amount="1", language="EN")
    assert refused["error_code"] == "AMOUNT_INVALID"
    assert "amount comes to 5 CNY in minor units" in refused["error_msg"]


async def test_registered_stores_and_tills(raw: RawClient, sandbox: Sandbox) -> None:
    """If the merchant's stores and tills are set, only those are known."""
    sandbox.merchant.stores = {"01"}
    sandbox.merchant.tills = {"till-1"}
    assert (await raw.ask("MakeQROrder", o_number="1"))["error_code"] == "BRANCH_INVALID"
    assert (await raw.ask("MakeQROrder", o_number="01"))["return_code"] == "SUCCESS"
    assert (await raw.ask("MakeScanOrder", pos_no="till-2"))["error_code"] == "POS_NOT_REGISTERED"
    assert (await raw.ask("MakeScanOrder", pos_no="till-1"))["return_code"] == "SUCCESS"


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("https://shop.test/wechat", None),
        ("https://shop.test/wechat/login", None),
        ("https://shop.test/wechat?next=1", None),
        ("https://shop.test/wechatter", "PARAMETER_INVALID"),
        ("https://evil.test/wechat", "PARAMETER_INVALID"),
    ],
)
async def test_login_goes_to_the_store(raw: RawClient, sandbox: Sandbox, uri: str, code: str | None) -> None:
    """``redirect_uri`` must lie under the URL of the merchant's WeChat store (EN 2.9)."""
    sandbox.merchant.westore_url = "https://shop.test/wechat"
    assert (await raw.ask("GetUserInfo", redirect_uri=uri)).get("error_code") == code


async def test_invalid_query_strings(raw: RawClient, sandbox: Sandbox) -> None:
    """The same parameter with two values, and bytes that are not UTF-8, are refused."""
    for query in ("amount=1&amount=2", "order_name=%ff"):
        response = await raw.http.post(f"/omipay/api/v2/MakeQROrder?{query}")
        assert response.json()["error_code"] == "PARAMETER_INVALID"
    assert [call.remarks[0] for call in sandbox.ledger.calls] == [
        "amount comes twice, with different values",
        "the query string is not UTF-8",
    ]


async def test_unknown_parameters_are_remarked_on(raw: RawClient, sandbox: Sandbox) -> None:
    """A parameter that the endpoint does not have is not an error, but the log names it: it may be a mistake."""
    assert (await raw.ask("MakeQROrder", notifyurl="x", language="EN"))["return_code"] == "SUCCESS"
    assert sandbox.ledger.calls[-1].remarks == ("unknown parameter notifyurl",)
    refused = await raw.ask("GetUserInfo", redirect_uri=None, language="EN")
    assert refused["error_msg"].startswith("参数"), "it takes no language"
    assert sandbox.ledger.calls[-1].remarks[-1] == "unknown parameter language"


def test_every_code_has_its_sentence() -> None:
    """Each code of the documents is provoked in this file."""
    assert set(PROVOKED) == set(ErrorCode)
