"""The outcome of each refusal: every error code of every endpoint."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from omipay_async import (
    APIError,
    AsyncOmipay,
    ConfigurationError,
    ErrorCode,
    GatewayError,
    InvalidReply,
    InvalidRequest,
    NotSent,
    OmipayError,
    Outcome,
    OutcomeUnknown,
    PaymentFailed,
    PollTimeout,
    RefundFailed,
    Safety,
    SessionClosed,
    TransportError,
)
from omipay_async.calls import outcomes
from omipay_async.codes import error_code
from omipay_async.protocol.context import RequestContext
from omipay_async.protocol.decoding import ERROR_CLASSES
from omipay_async.protocol.endpoints import ENDPOINTS, Endpoint
from omipay_async.transport.failures import Failed, Failure
from tests.support.canned_gateway import CALLS, MONEY, READS, Gateway, fail, open_session, read
from tests.support.untyped import untyped

UNLISTED = ("BRAND_NEW", "", None)
AMBIGUOUS_SCAN = {"ORDER_PAID", "ORDER_CLOSED"}


def expected(endpoint: str, code: str | None) -> Outcome | None:
    """API 3, written out by hand."""
    if endpoint in READS:
        return None
    listed = code in ErrorCode.__members__ or code == "SIGN_TIMEOUOT"
    if endpoint == "MakeScanOrder" and (code in AMBIGUOUS_SCAN or not listed):
        return Outcome.UNKNOWN
    if endpoint == "Refund" and (code == "USERPAYING" or not listed):  # it speaks of a payment: as good as unlisted
        return Outcome.UNKNOWN
    if code in {"SYSTEM_ERROR", "SIGN_TIMEOUT", "SIGN_TIMEOUOT"}:  # the reply of this test names a number
        return Outcome.UNKNOWN
    return Outcome.NOT_DONE


@pytest.mark.parametrize("name", [*ENDPOINTS])
@pytest.mark.parametrize("code", [*ErrorCode, "SIGN_TIMEOUOT", *UNLISTED])
async def test_the_outcome_of_every_refusal_of_every_endpoint(name: str, code: str | None) -> None:
    """The class follows the code, the outcome follows endpoint and code. Only reads repeat, and only SYSTEM_ERROR."""
    if (name, code) == ("MakeScanOrder", "USERPAYING"):
        return  # no refusal: see test_a_customer_typing_a_password_is_not_an_error
    gateway = Gateway(fail(code, order_no="TR1"))
    async with open_session(gateway) as omipay:
        with pytest.raises(OmipayError) as caught:
            await CALLS[name](omipay)
    error: BaseException | None = caught.value
    assert isinstance(error, OmipayError)
    assert error.outcome is expected(name, code)
    if code in {"SYSTEM_ERROR", "SIGN_TIMEOUT", "SIGN_TIMEOUOT"} and name in MONEY:
        assert isinstance(error, OutcomeUnknown)
        error = error.__cause__
    assert isinstance(error, APIError)
    assert type(error) is ERROR_CLASSES.get(error_code(code or ""), APIError)
    assert error.error_code == error_code(code or "")
    assert (error.endpoint, error.error_msg, error.order_no, error.node) == (name, "Nein.", "TR1", "AU")
    assert error.raw == fail(code, order_no="TR1")
    assert len(gateway.requests) == (3 if code == "SYSTEM_ERROR" and name in READS else 1)


@pytest.mark.parametrize("code", [*ErrorCode, *UNLISTED])
@pytest.mark.parametrize("safety", Safety)
async def test_most_codes_of_an_unknown_endpoint_leave_the_outcome_unknown(code: str | None, safety: Safety) -> None:
    """After ``call`` only PARAMETER_INVALID and authentication errors prove that no money moved."""
    async with open_session(Gateway(fail(code))) as omipay:
        with pytest.raises(OmipayError) as caught:
            await omipay.call("ConfirmCheckOut", {"token": "x"}, safety=safety)
    certain = code in {"PARAMETER_INVALID", "SIGN_ERROR", "SIGN_TIMEOUT", "MERCHANTNO_INVALID", "MERCHANTNO_DISABLE"}
    outcome = Outcome.NOT_DONE if certain else Outcome.UNKNOWN
    assert caught.value.outcome is (outcome if safety is Safety.MONEY else None)
    assert isinstance(caught.value, OutcomeUnknown) is (code == "SYSTEM_ERROR" and safety is Safety.MONEY)
    assert isinstance(caught.value, GatewayError) is (code == "SYSTEM_ERROR" and safety is Safety.READ)


def test_the_message_of_a_refusal_without_a_code() -> None:
    """It names the endpoint, and leaves out what is not text."""
    with pytest.raises(APIError, match=r"^MakeQROrder: FAIL without an error_code$"):
        read("MakeQROrder", {"return_code": "FAIL", "error_msg": {"not": "text"}, "order_no": 5})


@pytest.mark.parametrize(("code", "text"), [(40012, "40012"), (0, "0"), (True, ""), ([1], ""), (None, "")])
def test_a_code_that_is_a_number_is_kept_as_text(code: object, text: str) -> None:
    """No document lists one, but an operator who asks the gateway's staff needs it."""
    with pytest.raises(APIError) as caught:
        read("MakeScanOrder", {"return_code": "FAIL", "error_code": code})
    assert caught.value.error_code == text
    assert str(caught.value) == f"MakeScanOrder: {text or 'FAIL without an error_code'}"


# -- the table itself -------------------------------------------------------------------------------------------------

UNSENT = [
    ConfigurationError("x"),
    InvalidRequest("x"),
    NotSent("x"),
    SessionClosed(),
]
OPEN = [TransportError("x"), InvalidReply("x"), OutcomeUnknown("x"), PollTimeout("x"), OmipayError("x")]


@pytest.mark.parametrize("error", [*UNSENT, *OPEN], ids=lambda error: type(error).__name__)
def test_the_outcome_of_every_error_of_every_call(error: OmipayError) -> None:
    """None for reads. NOT_DONE only where nothing was sent: an error that nobody has thought of is UNKNOWN."""
    of_money = Outcome.NOT_DONE if error in UNSENT else Outcome.UNKNOWN
    for name, endpoint in ENDPOINTS.items():
        assert outcomes.of_call(RequestContext(endpoint), error) is (None if name in READS else of_money), name


@pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=lambda endpoint: endpoint.name)
@pytest.mark.parametrize("general", [False, True])
def test_error_event_and_entry_of_one_call_agree(endpoint: Endpoint[Any], general: bool) -> None:
    """All of them use the same table."""
    request = RequestContext(endpoint, general=general)
    for code in (*ErrorCode, "BRAND_NEW", ""):
        error = ERROR_CLASSES.get(code, APIError)("x", error_code=code)
        failed = Failed(Failure.SYSTEM_ERROR if code == "SYSTEM_ERROR" else Failure.REFUSED, error)
        expected = outcomes.of_code(endpoint, code, general=general)
        assert outcomes.of_call(request, error) is expected, code
        assert outcomes.final_error(request, failed).outcome is expected, code


@pytest.mark.parametrize("failure", Failure)
@pytest.mark.parametrize("safety", Safety)
def test_a_money_call_whose_outcome_is_not_known_raises_outcome_unknown(failure: Failure, safety: Safety) -> None:
    """The error of the attempt becomes the cause. A read raises that error itself."""
    endpoint = ENDPOINTS["Refund" if safety is Safety.MONEY else "QueryOrder"]
    request = RequestContext(endpoint, {"order_no": "TR1"})
    error = TransportError("cut")
    ended = outcomes.final_error(request, Failed(failure, error))
    unknown = safety is Safety.MONEY and failure in {Failure.NO_ANSWER, Failure.BAD_REPLY, Failure.SYSTEM_ERROR}
    assert isinstance(ended, OutcomeUnknown) is unknown
    assert ended.__cause__ is (error if unknown else None)
    assert "TR1" in str(ended)


@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.parametrize("name", ENDPOINTS)
def test_the_outcome_of_a_cancellation(name: str, sent: bool) -> None:
    """None for a read. For a money call it depends on whether it may have been received."""
    expected = (Outcome.UNKNOWN if sent else Outcome.NOT_DONE) if name in MONEY else None
    assert outcomes.of_end(ENDPOINTS[name], asyncio.CancelledError(), may_have_arrived=sent) is expected


@pytest.mark.parametrize("error", [*UNSENT, *OPEN, asyncio.CancelledError(), KeyError()], ids=repr)
def test_the_outcome_of_an_error_of_a_poll_is_unknown(error: BaseException) -> None:
    """The order may be paid all the same, unless the gateway has reported that it will not be."""
    assert outcomes.of_poll(error) is Outcome.UNKNOWN


def test_only_confirmed_failures_of_a_poll_are_certain() -> None:
    """PaymentFailed and RefundFailed."""
    assert outcomes.of_poll(PaymentFailed("x", order=untyped(None))) is Outcome.NOT_DONE
    assert outcomes.of_poll(RefundFailed("x", refund=untyped(None))) is Outcome.NOT_DONE


def test_no_error_is_changed_after_it_was_raised() -> None:
    """For another outcome a new error is made with the same fields; the first one is not changed."""
    raised = InvalidRequest("amount must be an int", parameter="amount")
    cause = raised.__cause__ = ValueError("x")
    again = outcomes.restated(raised, None, message="other")
    assert (raised.outcome, str(raised)) == (Outcome.NOT_DONE, "amount must be an int")
    assert again.outcome is None
    assert again.__cause__ is cause
    assert (str(again), again.parameter) == ("other", "amount")
    for message in (None, "amount must be an int"):
        assert outcomes.restated(raised, Outcome.NOT_DONE, message=message) is raised
        assert outcomes.restated(raised, Outcome.UNKNOWN, message=message) is not raised
    assert str(outcomes.restated(raised, Outcome.NOT_DONE, message="other")) == "other"
    assert str(outcomes.restated(raised, Outcome.UNKNOWN)) == "amount must be an int"


def test_a_new_error_keeps_the_traceback() -> None:
    """It shows the line at which the first one was raised, and keeps the other arguments."""
    error = InvalidRequest("first", parameter="amount")
    error.args = ("first", "second")
    with pytest.raises(InvalidRequest) as caught:
        raise error
    again = outcomes.restated(caught.value, None, message="other")
    assert again.__traceback__ is caught.value.__traceback__ is not None
    assert again.args == ("other", "second")


NUMBERS = {"refund_no": "RF1", "order_no": "TR1", "out_refund_no": "R-1", "out_order_no": "A-1"}


def test_an_unknown_outcome_identifies_its_call() -> None:
    """By every number that was sent, as fields and in the text, and with its cause."""
    request = RequestContext(ENDPOINTS["Refund"], NUMBERS)
    unknown = outcomes.final_error(request, Failed(Failure.NO_ANSWER, TransportError("cut off")))
    assert isinstance(unknown, OutcomeUnknown)
    assert str(unknown) == (
        "Refund: nobody knows whether it was acted on; do not repeat it (cut off) "
        "(out_order_no A-1, out_refund_no R-1, order_no TR1, refund_no RF1)"
    )
    assert (unknown.endpoint, unknown.raw) == ("Refund", None)
    assert (unknown.order_no, unknown.out_order_no, unknown.out_refund_no) == ("TR1", "A-1", "R-1")


@pytest.mark.parametrize(("numbers", "expected"), [({}, "TR9"), ({"order_no": "TR1"}, "TR1")])
def test_an_unknown_outcome_has_the_order_that_was_sent_or_else_the_replys(
    numbers: dict[str, str], expected: str
) -> None:
    """And it has the gateway's reply."""
    said = {"return_code": "FAIL", "error_code": "SYSTEM_ERROR"}
    error = GatewayError("no", error_code=ErrorCode.SYSTEM_ERROR, order_no="TR9", raw=said)
    request = RequestContext(ENDPOINTS["Refund"], numbers)
    unknown = outcomes.final_error(request, Failed(Failure.SYSTEM_ERROR, error))
    assert isinstance(unknown, OutcomeUnknown)
    assert (unknown.order_no, unknown.raw) == (expected, said)


def test_a_message_is_given_the_numbers_that_it_lacks() -> None:
    """It does not repeat those that it contains already, and a lone surrogate does no harm."""
    assert outcomes.with_numbers("out_order_no A-1 is odd", NUMBERS) == (
        "out_order_no A-1 is odd (out_refund_no R-1, order_no TR1, refund_no RF1)"
    )
    assert outcomes.with_numbers("x", {}) == "x"
    assert outcomes.with_numbers("x", {"order_no": "TR\ud800"}) == "x (order_no TR?)"


@pytest.mark.parametrize("name", ["query_order", "poll_until_paid"])
async def test_an_error_shared_by_two_callers_has_the_right_outcome_for_each(name: str) -> None:
    """An InvalidRequest that was kept is not changed by a later call."""
    async with open_session(Gateway({})) as omipay:
        with pytest.raises(InvalidRequest) as first:
            await CALLS["MakeScanOrder"](untyped(WithoutAmount(omipay)))
        with pytest.raises(InvalidRequest) as second:
            await getattr(omipay, name)("")
    assert first.value.outcome is Outcome.NOT_DONE
    assert second.value.outcome is (None if name == "query_order" else Outcome.UNKNOWN)


class WithoutAmount:
    """A session that rejects the amount of every order."""

    def __init__(self, omipay: AsyncOmipay) -> None:
        self._omipay = omipay

    async def make_scan_order(self, **arguments: Any) -> Any:
        """Reject the amount."""
        return await self._omipay.make_scan_order(**(arguments | {"amount": 0}))
