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


async def scan(omipay: AsyncOmipay, number: str, code: PaymentCode) -> str:
    """Charge, and return the number of the order."""
    order = await omipay.make_scan_order(
        order_name="A", amount=100, currency="AUD", out_order_no=number, qrcode=code, pos_no="till-1"
    )
    return order.order_no


@pytest.fixture
async def sold(omipay: AsyncOmipay) -> str:
    """The number of a paid order, "S-1", with a refund, "R-1". There is also "S-2", which nobody pays."""
    order_no = await scan(omipay, "S-1", PaymentCode.PAID)
    await omipay.refund(order_no=order_no, out_refund_no="R-1", amount=40)
    await scan(omipay, "S-2", PaymentCode.NEVER_PAYS)
    return order_no


@pytest.mark.parametrize(
    ("beliefs", "said"),
    [
        ({"paid": ["S-1"]}, ""),
        ({"paid": iter([]), "unknown": iter(["S-1", "S-2"])}, ""),
        ({"paid": []}, "paid at the gateway, but not recorded by your program: S-1"),
        ({"paid": ["S-3", "S-1", "S-2"]}, "recorded as paid by your program, but not paid at the gateway: S-2, S-3"),
        ({"paid": ["S-1"], "refunded": ["R-1"]}, ""),
        ({"paid": ["S-1"], "unknown_refunds": ["R-1"]}, ""),
        ({"paid": ["S-1"], "refunded": []}, "refunded at the gateway, but not recorded by your program: R-1"),
        ({"paid": ["S-1"], "unknown_refunds": []}, "refunded at the gateway, but not recorded by your program: R-1"),
        (
            {"paid": ["S-1"], "refunded": ["R-1", "R-2"]},
            "recorded as refunded by your program, but not refunded at the gateway: R-2",
        ),
    ],
)
async def test_the_programs_records_are_compared_with_the_ledger(
    omipay_sandbox: Sandbox, sold: str, beliefs: dict[str, Any], said: str
) -> None:
    """Each number that only one side has is named, and nothing else. Refunds are compared if the test gives any."""
    if not said:
        assert_reconciled(omipay_sandbox, **beliefs)
        return
    with pytest.raises(AssertionError, match=f"^{said}$"):
        assert_reconciled(omipay_sandbox, **beliefs)


async def test_a_refund_that_failed_does_not_count(omipay_sandbox: Sandbox, sold: str) -> None:
    """The money was not paid out, so the program must not record it as refunded."""
    (refund_no,) = omipay_sandbox.ledger.refunds
    await omipay_sandbox.advance_refund(refund_no, "MerchantRejected")
    assert_reconciled(omipay_sandbox, paid=["S-1"], refunded=[])
    with pytest.raises(AssertionError, match="not refunded at the gateway: R-1"):
        assert_reconciled(omipay_sandbox, paid=["S-1"], refunded=["R-1"])


async def test_money_that_moved_twice_is_never_reconciled(
    omipay: AsyncOmipay, omipay_sandbox: Sandbox, sold: str
) -> None:
    """A sale charged twice and a refund paid twice are both named, whatever the program has recorded."""
    await omipay.refund(order_no=sold, out_refund_no="R-1", amount=40)
    omipay_sandbox.gateway.repeat_finds_order = False
    await scan(omipay, "S-1", PaymentCode.PAID)
    with pytest.raises(AssertionError, match=r"^charged twice: S-1; refunded twice: R-1$"):
        assert_reconciled(omipay_sandbox, paid=["S-1"], unknown=["S-1"], refunded=["R-1"])


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
