"""Replies with each oddity that the documents' examples or the real gateway have shown, on request."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from omipay_async.sandbox import PaymentCode, Sandbox

if TYPE_CHECKING:
    from .raw import RawClient


@pytest.fixture
def odd(sandbox: Sandbox) -> Sandbox:
    sandbox.oddities = sandbox.notifier.oddities = True
    return sandbox


@pytest.mark.usefixtures("odd")
async def test_orders_have_odd_types_names_and_fields(raw: RawClient, sandbox: Sandbox) -> None:
    """Integers as strings, the names and words of EN, missing fields, and keys that are in no document."""
    number = await raw.scanned()
    reply = await raw.ask("QueryOrder", order_no=number)
    assert reply == {
        "return_code": "SUCCESS",
        "result_code": "PAYED",
        "currency": "AUD",
        "total_amount": "100",
        "cny_amount": "502",
        "order_time": "20161227105530",
        "pay_time": "20161227105530",
        "exchange_rate": "501540000",
        "error_msg": None,
        "msg": None,
        "success": True,
    }
    await sandbox.move_order(number, "SETTLED")
    assert (await raw.ask("QueryOrder", order_no=number))["result_code"] == "CLOSED"


@pytest.mark.usefixtures("odd")
async def test_order_in_dollars(raw: RawClient) -> None:
    """``cny_amount`` of an order that is paid in dollars says so: only then is it in that currency."""
    number = (await raw.ask("MakeOnlineOrder", platform="POLI"))["order_no"]
    reply = await raw.ask("QueryOrder", order_no=number)
    assert (reply["result_code"], reply["pay_currency"], reply["cny_amount"]) == ("READY", "AUD", "100")
    assert reply["pay_time"] is None


@pytest.mark.usefixtures("odd")
async def test_refunds_have_odd_keys_and_statuses(raw: RawClient, sandbox: Sandbox) -> None:
    """A key with a space behind it, and CLOSED for Closed."""
    refund = (await raw.ask("Refund", order_no=await raw.scanned()))["refund_no "]
    assert (await raw.ask("QueryRefund", refund_no=refund))["success_time"] is None
    await sandbox.advance_refund(refund, "Closed")
    reply = await raw.ask("QueryRefund", refund_no=refund)
    assert (reply["result_code"], reply["amount"], "out_refund_no" in reply) == ("CLOSED", "30", False)


@pytest.mark.usefixtures("odd")
async def test_words_of_failure(raw: RawClient) -> None:
    """They are SIGN_TIMEOUOT, and USERPAYING as the return_code; other failures do not change."""
    assert (await raw.ask("QueryOrder", order_no="x", **raw.signature(shift_ms=-300_000)))[
        "error_code"
    ] == "SIGN_TIMEOUOT"
    reply = await raw.ask("MakeScanOrder", qrcode=PaymentCode.NEVER_PAYS)
    assert (reply["return_code"], bool(reply["order_no"])) == ("USERPAYING", True)
    assert (await raw.ask("QueryOrder", order_no="x"))["error_code"] == "PERMISSION_ERROR"


@pytest.mark.usefixtures("odd")
async def test_other_endpoints_have_odd_fields(raw: RawClient) -> None:
    """They have ``package`` for ``Package`` and null for absent values, and a login has additional fields."""
    assert (await raw.ask("MakeAppletOrder"))["package"].startswith("prepay_id=")
    response = await raw.send("GetExchangeRate", currency="AUD", base_currency="CNY")
    assert b'"rate": 5.01540000, "platform": null' in response.content
    assert (await raw.ask("GetUserInfo"))["return_code"] == "SUCCESS"


@pytest.mark.usefixtures("odd")
async def test_notifications_have_the_english_form(raw: RawClient, sandbox: Sandbox) -> None:
    """EN's form of a notification: amount, pay_currency and cny_amount, no return_code."""
    body = json.loads(sandbox.notification(await raw.scanned()))
    assert (body["amount"], body["pay_currency"], body["cny_amount"]) == ("100", "CNY", "502")
    assert not {"return_code", "total_amount"} & set(body)
