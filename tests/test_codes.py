"""The enums: named and valued as in the documents, and what each status means."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from omipay_async import codes
from omipay_async.codes import (
    Currency,
    ErrorCode,
    Language,
    OnlineType,
    OrderStatus,
    Platform,
    RefundStatus,
    Region,
    Safety,
)
from omipay_async.protocol.endpoints import COMMON_ERROR_CODES, ENDPOINTS

ORDER_STATUSES = {
    "READY": "waiting",
    "PAYING": "waiting",
    "PAID": "paid",
    "SETTLED": "paid",
    "CANCELLED": "failed",
    "FAILED": "failed",
}
REFUND_STATUSES = {
    "Applied": "waiting",
    "MerchantConfirmed": "waiting",
    "OrganizationConfirmed": "waiting",
    "OrganizationPayback": "waiting",
    "Closed": "refunded",
    "MerchantRejected": "failed",
    "TimeoutClosed": "failed",
    "OrganizationFailed": "failed",
    "CustomerCancelled": "failed",
}


def test_every_word_of_the_documents_is_a_member() -> None:
    """Names and values are those on the wire, so that plain strings work too."""
    assert [str(p) for p in Platform] == ["WECHATPAY", "ALIPAY", "UPI", "ALIPAYONLINE", "POLI"]
    assert [str(c) for c in Currency] == ["AUD", "CNY"]
    assert [str(w) for w in Language] == ["EN", "CHS"]
    assert [str(r) for r in Region] == ["AU", "CN"]
    assert {t.name: t.value for t in OnlineType} == {"WEB": "web", "WAP": "wap"}
    assert [str(s) for s in Safety] == ["READ", "MONEY"]
    assert [s.name for s in RefundStatus] == list(REFUND_STATUSES)
    assert [s.value for s in RefundStatus] == list(REFUND_STATUSES)
    assert all(member.name == member.value for member in (*OrderStatus, *ErrorCode, *Platform))


def test_the_two_nodes_are_the_documents_addresses() -> None:
    """AU and CN lead to the hosts that both documents print."""
    assert Region.AU.base_url == "https://www.omipay.com.au/omipay/api"
    assert Region.CN.base_url == "https://www.omipay.com.cn/omipay/api"


def test_every_error_code_belongs_to_an_endpoint() -> None:
    """The enum contains exactly the codes that the endpoints list."""
    listed = COMMON_ERROR_CODES.union(*(endpoint.error_codes for endpoint in ENDPOINTS.values()))
    assert listed == set(ErrorCode)


@pytest.mark.parametrize(("word", "meaning"), ORDER_STATUSES.items())
def test_which_order_statuses_are_paid_or_failed(word: str, meaning: str) -> None:
    """Paid or settled is paid; cancelled or failed has failed; all others wait."""
    status = OrderStatus(word)
    assert (status.is_paid, status.is_failed, status.is_final) == (
        meaning == "paid",
        meaning == "failed",
        meaning != "waiting",
    )


@pytest.mark.parametrize(("word", "meaning"), REFUND_STATUSES.items())
def test_which_refund_statuses_are_refunded_or_failed(word: str, meaning: str) -> None:
    """Only Closed is refunded. OrganizationPayback is not final."""
    status = RefundStatus(word)
    assert (status.is_refunded, status.is_failed, status.is_final) == (
        meaning == "refunded",
        meaning == "failed",
        meaning != "waiting",
    )


@pytest.mark.parametrize(
    ("word", "member"),
    [*((str(s), s) for s in OrderStatus), ("PAYED", OrderStatus.PAID), ("CLOSED", OrderStatus.SETTLED)],
)
def test_order_statuses_are_read_in_either_documents_spelling(word: str, member: OrderStatus) -> None:
    """EN's PAYED is PAID, its CLOSED is SETTLED; a program that kept the word gets the member by it."""
    assert OrderStatus(word) is member
    assert codes.order_status(word) is member


@pytest.mark.parametrize("member", RefundStatus)
def test_refund_statuses_are_read_without_regard_to_case(member: RefundStatus) -> None:
    """The refund examples have CLOSED where the table has Closed."""
    assert RefundStatus(member.upper()) is RefundStatus(member.lower()) is member
    assert {codes.refund_status(word) for word in (member.value, member.upper(), member.lower())} == {member}


def test_a_misspelt_code_is_the_code_that_was_meant() -> None:
    """SIGN_TIMEOUOT, in all failure examples except one, is SIGN_TIMEOUT."""
    assert codes.error_code("SIGN_TIMEOUOT") is ErrorCode("SIGN_TIMEOUOT") is ErrorCode.SIGN_TIMEOUT


@pytest.mark.parametrize("enum", [OrderStatus, RefundStatus, ErrorCode])
@pytest.mark.parametrize("value", ["REFUNDED", "", None, 5])
def test_what_no_document_lists_is_no_member(enum: Any, value: object) -> None:
    """The enums raise ValueError, as enums do."""
    with pytest.raises(ValueError, match="is not a valid"):
        enum(value)
    assert all(codes.error_code(str(code)) is code for code in ErrorCode)


@given(st.text())
def test_a_word_that_no_document_lists_stays_as_it_came(word: str) -> None:
    """A new status or code of the gateway breaks no client."""
    assert codes.order_status(word) == word or word in {"PAYED", "CLOSED"}
    assert str(codes.refund_status(word)).casefold() == word.casefold()
    assert codes.error_code(word) == word or word == "SIGN_TIMEOUOT"
