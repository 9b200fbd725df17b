"""Keys that a reply writes in another case than the documents: what they say counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest

from omipay_async import APIError, InvalidReply, MalformedNotification, Outcome, OutcomeUnknown, PaymentDeclined, Safety
from tests.support import scripted_gateway
from tests.support.canned_gateway import CALLS, MONEY, READS, Gateway, decode, fail, open_session, read, success

if TYPE_CHECKING:
    from collections.abc import Callable

    from omipay_async.testing import ManualClock

FIELDS = {
    "out_order_no": "SEORD000001",
    "order_time": "20181206001001",
    "order_string": {"a": 1},
    "timeStamp": "1482812036",
    "paySign": "PS",
    "total_amount": 7,
    "pay_url": "https://www.omipay.com.au/x",
}


def plain(name: str) -> dict[str, Any]:
    """A reply whose keys are those of the documents."""
    return success(name, **({} if name in READS or name == "Refund" else FIELDS))


@pytest.mark.parametrize("spelling", [str.upper, str.title, str.swapcase])
@pytest.mark.parametrize("name", [*READS, *MONEY])
def test_a_success_is_read_whatever_the_case_of_its_keys(name: str, spelling: Callable[[str], str]) -> None:
    """Of every endpoint, so that no money is lost sight of; ``raw`` has the keys of the documents."""
    expected = read(name, plain(name))
    spelt = read(name, {spelling(key): value for key, value in plain(name).items()})
    assert attrs.evolve(spelt, raw=expected.raw) == expected


@pytest.mark.parametrize("name", [*READS, *MONEY])
def test_a_reply_with_the_documents_own_keys_is_kept_as_it_is(name: str) -> None:
    """A program that reads ``raw`` finds each field under its documented name."""
    reply = plain(name)
    assert read(name, reply).raw == reply


def test_the_documents_own_spellings_stay_as_they_are() -> None:
    """``Package`` is CN's. A key that is in no document stays, too."""
    applet = read("MakeAppletOrder", success("MakeAppletOrder", Package="prepay_id=1", MSG="fine"))
    assert (applet.package, applet.raw["Package"], applet.raw["MSG"]) == ("prepay_id=1", "prepay_id=1", "fine")
    assert read("MakeAppletOrder", success("MakeAppletOrder", PACKAGE="prepay_id=2")).package == "prepay_id=2"


def test_beside_the_documented_key_another_one_means_something_else() -> None:
    """As an amount for people does beside the amount."""
    order = read("QueryOrder", success("QueryOrder", Amount="A$1.00", Success=None))
    assert (order.amount, order.raw["Amount"]) == (100, "A$1.00")


@pytest.mark.parametrize("foreign", ["A$1.00", 1])
def test_beside_a_fields_other_name_too(foreign: object) -> None:
    """Both documents have an amount, as ``amount`` or ``total_amount``. CN's ``package`` is ``Package``."""
    reply = success("QueryOrder", Amount=foreign)
    reply["total_amount"] = reply.pop("amount")
    assert read("QueryOrder", reply).amount == 100
    applet = success("MakeAppletOrder", PACKAGE=foreign)
    applet["Package"] = applet.pop("package", "prepay_id=1")
    assert read("MakeAppletOrder", applet).package == applet["Package"]


@pytest.mark.parametrize(
    "second", [b'"Return_Code":"FAIL"', b'"Result_Code":"FAIL"', b'"ORDER_NO":"A","Order_No":"B"', b'"Success":"false"']
)
def test_what_contradicts_a_charge_may_be_in_another_case(second: bytes) -> None:
    """A second verdict, two numbers, a success that is denied: nobody knows."""
    number = b"" if b"ORDER_NO" in second else b',"order_no":"TR1"'
    error = decode("MakeScanOrder", b'{"return_code":"SUCCESS",' + second + number + b"}")
    assert isinstance(error, InvalidReply)
    assert error.order_no == (None if b"ORDER_NO" in second else "TR1")


def test_what_was_repeated_before_is_still_known() -> None:
    """Also where a key is renamed meanwhile."""
    error = decode("MakeScanOrder", b'{"RETURN_CODE":"SUCCESS","order_no":"A","order_no":"B"}')
    assert isinstance(error, InvalidReply)
    assert (error.order_no, error.raw is None) == (None, False)
    error = decode("MakeScanOrder", b'{"return_code":"SUCCESS","Order_No":"A","Order_No":"B"}')
    assert isinstance(error, InvalidReply)
    assert error.order_no is None


def test_a_refusal_is_read_whatever_the_case_of_its_keys() -> None:
    """It names the reason, and the order."""
    with pytest.raises(PaymentDeclined) as failure:
        read("MakeScanOrder", {key.upper(): value for key, value in fail("NOT_ENOUGH", order_no="TR1").items()})
    assert (failure.value.order_no, failure.value.error_msg) == ("TR1", "Nein.")


async def test_a_general_call_judges_by_the_documented_keys_and_returns_the_reply_unchanged() -> None:
    """Its reply needs no ``return_code``, so that a FAIL in another case would pass for a success."""
    refused: dict[str, Any] = {"Return_Code": "FAIL", "Error_Code": "NOT_ENOUGH"}
    done: dict[str, Any] = {"Return_Code": "SUCCESS", "Order_No": "TR1"}
    other: dict[str, Any] = {"Out_Order_No": "another"}
    async with open_session(Gateway(refused, done, other)) as omipay:
        with pytest.raises(APIError) as failure:
            await omipay.call("ConfirmCheckOut", {})
        assert failure.value.outcome is Outcome.UNKNOWN
        assert await omipay.call("ConfirmCheckOut", {}, safety=Safety.READ) == done
        with pytest.raises(OutcomeUnknown):
            await omipay.call("ConfirmCheckOut", {"out_order_no": "SEORD000001"})


async def test_a_login_that_failed_is_not_a_user() -> None:
    """As JSON, and on a redirect's query string."""
    async with open_session(Gateway({"Return_Code": "FAIL", "Error_Code": "SIGN_ERROR", "openid": "o"})) as omipay:
        with pytest.raises(APIError):
            await CALLS["GetUserInfo"](omipay)
        with pytest.raises(APIError):
            omipay.parse_wechat_login("https://shop.example/login?RETURN_CODE=FAIL&openid=o")
        assert omipay.parse_wechat_login("OpenID=o98c8sq9xz0").openid == "o98c8sq9xz0"


async def test_a_notification_is_read_whatever_the_case_of_its_keys(clock: ManualClock) -> None:
    """Its signature is found and checked. An order's number beside another one counts as before."""
    body = scripted_gateway.notification(clock)
    async with scripted_gateway.Gateway(clock).session() as omipay:
        plain = omipay.parse_notification(body)
        spelt = omipay.parse_notification({key.upper(): value for key, value in body.items()})
        assert attrs.evolve(spelt, raw=plain.raw) == plain
        assert omipay.parse_notification({**body, "ORDER_NO": "TR2"}).order_no == plain.order_no
        assert omipay.parse_notification({**body, "Amount": "A$1.00"}).amount == plain.amount
        body["ORDER_NO"] = body["Order_No"] = body.pop("order_no")
        with pytest.raises(MalformedNotification, match="it contains a key twice"):
            omipay.parse_notification(body)
