"""What each refusal says of the money: every error code of every endpoint."""

from __future__ import annotations

import pytest

from omipay_async import APIError, ErrorCode, GatewayError, OmipayError, Outcome, OutcomeUnknown, Safety
from omipay_async.codes import error_code
from omipay_async.errors import ERROR_CLASSES
from omipay_async.protocol.endpoints import ENDPOINTS
from tests.support.canned_gateway import CALLS, MONEY, READS, Gateway, fail, open_session, read

UNLISTED = ("BRAND_NEW", "", None)
UNCLEAR_SCAN = {"ORDER_PAID", "ORDER_CLOSED"}


def expected(endpoint: str, code: str | None) -> Outcome | None:
    """API 3, read once more by hand."""
    if endpoint in READS:
        return None
    listed = code in ErrorCode.__members__ or code == "SIGN_TIMEOUOT"
    if endpoint == "MakeScanOrder" and (code in UNCLEAR_SCAN or not listed):
        return Outcome.UNKNOWN
    if endpoint == "Refund" and (code == "USERPAYING" or not listed):  # it speaks of a payment: as good as unlisted
        return Outcome.UNKNOWN
    if code in {"SYSTEM_ERROR", "SIGN_TIMEOUT", "SIGN_TIMEOUOT"}:  # the reply of this test names a number
        return Outcome.UNKNOWN
    return Outcome.NOT_DONE


@pytest.mark.parametrize("name", [*ENDPOINTS])
@pytest.mark.parametrize("code", [*ErrorCode, "SIGN_TIMEOUOT", *UNLISTED])
async def test_every_refusal_of_every_endpoint_says_what_became_of_the_money(name: str, code: str | None) -> None:
    """The class follows the code, the outcome the endpoint and the code; only reads repeat, and only SYSTEM_ERROR."""
    if (name, code) == ("MakeScanOrder", "USERPAYING"):
        return  # no refusal: see test_a_customer_typing_a_password_is_no_error
    gateway = Gateway(fail(code, order_no="TR1"))  # type: ignore[arg-type]  # None is what a gateway may send
    async with open_session(gateway) as omipay:
        with pytest.raises(OmipayError) as caught:
            await CALLS[name](omipay)
    error = caught.value
    assert error.outcome is expected(name, code)
    if code in {"SYSTEM_ERROR", "SIGN_TIMEOUT", "SIGN_TIMEOUOT"} and name in MONEY:
        assert isinstance(error, OutcomeUnknown)
        error = error.__cause__  # type: ignore[assignment]  # checked on the next line
    assert isinstance(error, APIError)
    assert type(error) is ERROR_CLASSES.get(error_code(code or ""), APIError)
    assert error.error_code == error_code(code or "")
    assert (error.endpoint, error.error_msg, error.order_no, error.node) == (name, "Nein.", "TR1", "AU")
    assert error.raw == fail(code, order_no="TR1")  # type: ignore[arg-type]  # as above
    assert len(gateway.requests) == (3 if code == "SYSTEM_ERROR" and name in READS else 1)


@pytest.mark.parametrize("code", [*ErrorCode, *UNLISTED])
@pytest.mark.parametrize("safety", Safety)
async def test_what_an_unknown_endpoint_means_by_its_codes_nobody_knows(code: str | None, safety: Safety) -> None:
    """Through ``call`` only PARAMETER_INVALID and what is wrong with the signature prove that no money moved."""
    async with open_session(Gateway(fail(code))) as omipay:  # type: ignore[arg-type]  # None is what a gateway may send
        with pytest.raises(OmipayError) as caught:
            await omipay.call("ConfirmCheckOut", {"token": "x"}, safety=safety)
    certain = code in {"PARAMETER_INVALID", "SIGN_ERROR", "SIGN_TIMEOUT", "MERCHANTNO_INVALID", "MERCHANTNO_DISABLE"}
    outcome = Outcome.NOT_DONE if certain else Outcome.UNKNOWN
    assert caught.value.outcome is (outcome if safety is Safety.MONEY else None)
    assert isinstance(caught.value, OutcomeUnknown) is (code == "SYSTEM_ERROR" and safety is Safety.MONEY)
    assert isinstance(caught.value, GatewayError) is (code == "SYSTEM_ERROR" and safety is Safety.READ)


def test_a_refusal_speaks_to_people_too() -> None:
    """Endpoint, code, and what the gateway said."""
    with pytest.raises(APIError, match=r"^MakeQROrder: AMOUNT_INVALID \(Zu viel\.\)$"):
        read("MakeQROrder", fail("AMOUNT_INVALID", error_msg="Zu viel."))
    with pytest.raises(APIError, match=r"^MakeQROrder: FAIL without an error_code$"):
        read("MakeQROrder", {"return_code": "FAIL", "error_msg": {"not": "text"}, "order_no": 5})
