"""``assert_reconciled`` fails a test if a program's records of its money differ from the gateway's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from omipay_async import InvalidRequest
from omipay_async.sandbox import PaymentCode
from omipay_async.testing import assert_reconciled

if TYPE_CHECKING:
    from omipay_async import AsyncOmipay
    from omipay_async.sandbox import Sandbox


@pytest.fixture
async def sold(omipay: AsyncOmipay) -> str:
    """A paid order, "S-1", with a refund, "R-1"; "S-2" was declined."""
    common: dict[str, Any] = {"order_name": "A", "amount": 100, "currency": "AUD", "pos_no": "till-1"}
    order = await omipay.make_scan_order(**common, out_order_no="S-1", qrcode=PaymentCode.PAID)
    await omipay.refund(order_no=order.order_no, out_refund_no="R-1", amount=40)
    return order.order_no


@pytest.mark.parametrize(
    ("beliefs", "said"),
    [
        ({"paid": ["S-1"]}, ""),
        ({"paid": [], "unknown": ["S-1"]}, ""),
        ({"paid": []}, "paid at the gateway, but not recorded by your program: S-1"),
        ({"paid": ["S-1", "S-2"]}, "not paid at the gateway: S-2"),
        ({"paid": ["S-1"], "refunded": ["R-1"]}, ""),
        ({"paid": ["S-1"], "unknown_refunds": ["R-1"]}, ""),
        ({"paid": ["S-1"], "refunded": []}, "refunded at the gateway, but not recorded by your program: R-1"),
        ({"paid": ["S-1"], "unknown_refunds": []}, "but not recorded by your program: R-1"),
        ({"paid": ["S-1"], "refunded": ["R-1", "R-2"]}, "not refunded at the gateway: R-2"),
    ],
)
async def test_the_programs_records_are_compared_with_the_ledger(
    omipay_sandbox: Sandbox, sold: str, beliefs: dict[str, Any], said: str
) -> None:
    """Each number that only one side has is named. Refunds are compared if the test gives any."""
    if not said:
        assert_reconciled(omipay_sandbox, **beliefs)
        return
    with pytest.raises(AssertionError, match=said):
        assert_reconciled(omipay_sandbox, **beliefs)


async def test_a_refund_that_failed_does_not_count(omipay_sandbox: Sandbox, sold: str) -> None:
    """The money was not paid out, so the program must not record it as refunded."""
    (refund_no,) = omipay_sandbox.ledger.refunds
    await omipay_sandbox.advance_refund(refund_no, "MerchantRejected")
    assert_reconciled(omipay_sandbox, paid=["S-1"], refunded=[])
    with pytest.raises(AssertionError, match="not refunded at the gateway: R-1"):
        assert_reconciled(omipay_sandbox, paid=["S-1"], refunded=["R-1"])


async def test_the_same_refund_twice(omipay: AsyncOmipay, omipay_sandbox: Sandbox, sold: str) -> None:
    """Money that was refunded twice fails the test, whatever the program has recorded."""
    await omipay.refund(order_no=sold, out_refund_no="R-1", amount=40)
    with pytest.raises(AssertionError, match="refunded twice: R-1"):
        assert_reconciled(omipay_sandbox, paid=["S-1"], refunded=["R-1"])


async def test_the_fixture_s_session_is_notified(omipay: AsyncOmipay, omipay_sandbox: Sandbox) -> None:
    """The app may be set after the session was made: its orders notify ``/omipay/notify`` of that app."""
    paths: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        paths.append(scope["path"])
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"return_code": "SUCCESS"}'})

    omipay_sandbox.app = app
    order = await omipay.make_qr_order(order_name="A", amount=1, currency="AUD", out_order_no="T", platform="ALIPAY")
    await omipay_sandbox.customer.pays(order)
    await omipay_sandbox.settle()
    assert paths == ["/omipay/notify"]


@pytest.mark.parametrize("name", ["paid", "unknown", "refunded", "unknown_refunds"])
def test_one_number_is_not_taken_for_several(omipay_sandbox: Sandbox, name: str) -> None:
    """The letters of a string are not compared with the ledger, and an order is no list."""
    for given in ("T1", object()):
        numbers: dict[str, Any] = {"paid": [], name: given}
        with pytest.raises(InvalidRequest, match=f"^{name} must be several numbers, .* not {type(given).__name__}$"):
            assert_reconciled(omipay_sandbox, **numbers)


@pytest.mark.parametrize("name", ["paid", "unknown", "refunded", "unknown_refunds"])
def test_an_order_is_not_taken_for_its_number(omipay_sandbox: Sandbox, name: str) -> None:
    """It is equal to no number of the ledger."""
    numbers: dict[str, Any] = {"paid": [], name: ["T1", object()]}
    with pytest.raises(InvalidRequest, match=f"^{name} must contain your own numbers, .* not object$"):
        assert_reconciled(omipay_sandbox, **numbers)
