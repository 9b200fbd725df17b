"""What a user reads who asks about an order or a refund by a number that the gateway did not give it."""

from __future__ import annotations

import pytest

from omipay_async import LookupFailed
from tests.support.canned_gateway import decode, fail

ISSUED = {"QueryOrder": "order_no", "Refund": "order_no", "QueryRefund": "refund_no"}


@pytest.mark.parametrize("endpoint", ISSUED)
@pytest.mark.parametrize("code", ["PERMISSION_ERROR", "ORDER_NO_ERROR", "REFUND_NO_ERROR"])
def test_the_message_says_whose_number_is_meant(endpoint: str, code: str) -> None:
    """Most often it was your own ``out_order_no`` or ``out_refund_no``, which the gateway cannot look up."""
    refused = decode(endpoint, fail(code, error_msg="no"))
    assert isinstance(refused, LookupFailed)
    expected = f"{endpoint}: {code} (no); {ISSUED[endpoint]} must be the number that Omipay gave it, not your own"
    assert str(refused) == expected


@pytest.mark.parametrize(("endpoint", "code"), [("MakeQROrder", "PERMISSION_ERROR"), ("Refund", "ORDER_NOT_PAID")])
def test_another_refusal_says_nothing_about_numbers(endpoint: str, code: str) -> None:
    """A new order is not looked up, and an order that is not paid was found."""
    refused = decode(endpoint, fail(code, error_msg="no"))
    assert str(refused) == f"{endpoint}: {code} (no)"
