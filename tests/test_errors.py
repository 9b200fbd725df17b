"""The error tree: its shape, the fields of each error, and that every error can be pickled and copied."""

from __future__ import annotations

import builtins
import copy
import inspect
import pickle
import re
from pathlib import Path
from typing import Any

import pytest

import omipay_async
from omipay_async import errors
from omipay_async.codes import ErrorCode, OrderStatus, RefundStatus
from omipay_async.errors import APIError, OmipayError, Outcome
from omipay_async.models import Order, Refund
from omipay_async.protocol.decoding import ERROR_CLASSES

ROOT = Path(__file__).parents[1]
ORDER = Order(order_no="TR1", status=OrderStatus.FAILED, out_order_no="A-1", currency="AUD", amount=100, raw={"x": 1})
REFUND = Refund(refund_no="RF1", status=RefundStatus.TimeoutClosed, raw={"y": [2]})
REPLY: dict[str, Any] = {"return_code": "FAIL", "error_code": "SYSTEM_ERROR"}
API = {
    "endpoint": "Refund",
    "error_code": ErrorCode.SYSTEM_ERROR,
    "error_msg": "服务器错误",
    "order_no": "TR1",
    "raw": REPLY,
    "node": "AU",
    "outcome": Outcome.UNKNOWN,
}

# One row for each class: its parent, what its outcome is unless it is told, and every field that it may be given.
TREE: dict[str, tuple[str, Outcome | None, dict[str, Any]]] = {
    "OmipayError": ("Exception", None, {"outcome": Outcome.UNKNOWN}),
    "ConfigurationError": ("OmipayError", None, {}),
    "InvalidRequest": ("OmipayError", Outcome.NOT_DONE, {"parameter": "amount"}),
    "SessionClosed": ("OmipayError", None, {"order_no": "TR1", "refund_no": "RF1"}),
    "TransportError": ("OmipayError", None, {"endpoint": "QueryOrder"}),
    "NotSent": ("TransportError", None, {"endpoint": "QueryOrder", "outcome": Outcome.NOT_DONE}),
    "InvalidReply": (
        "OmipayError",
        None,
        {"endpoint": "QueryOrder", "status": 502, "excerpt": "<html>", "raw": {"rate": []}},
    ),
    "OutcomeUnknown": (
        "OmipayError",
        Outcome.UNKNOWN,
        {"endpoint": "Refund", "order_no": "TR1", "out_order_no": "A-1", "out_refund_no": "R-1", "raw": REPLY},
    ),
    "APIError": ("OmipayError", None, API),
    "AuthenticationError": ("APIError", None, API),
    "ParameterError": ("APIError", None, API),
    "MerchantSetupError": ("APIError", None, API),
    "PaymentDeclined": ("APIError", None, API),
    "OrderStateError": ("APIError", None, API),
    "LookupFailed": ("APIError", None, API),
    "GatewayError": ("APIError", None, API),
    "PaymentFailed": ("OmipayError", Outcome.NOT_DONE, {"order": ORDER}),
    "RefundFailed": ("OmipayError", Outcome.NOT_DONE, {"refund": REFUND}),
    "PollTimeout": (
        "OmipayError",
        Outcome.UNKNOWN,
        {"order_no": "TR1", "refund_no": "RF1", "order": ORDER, "refund": REFUND},
    ),
    "BackendError": ("OmipayError", None, {}),
    "JournalError": ("OmipayError", None, {}),
    "NotificationError": ("OmipayError", None, {}),
    "MalformedNotification": ("NotificationError", None, {}),
    "InvalidSignature": ("NotificationError", None, {}),
    "StaleNotification": ("NotificationError", None, {}),
    "ReflectedNotification": ("NotificationError", None, {}),
    "ReplayedNotification": ("NotificationError", None, {}),
    "UnconfirmedNotification": ("NotificationError", None, {"order": ORDER}),
}
REQUIRED: dict[str, dict[str, Any]] = {"PaymentFailed": {"order": ORDER}, "RefundFailed": {"refund": REFUND}}
CODES = {
    "AuthenticationError": {"SIGN_ERROR", "SIGN_TIMEOUT", "MERCHANTNO_INVALID", "MERCHANTNO_DISABLE"},
    "ParameterError": {"PARAMETER_INVALID", "BRANCH_INVALID", "CURRENCY_ERROR", "AMOUNT_INVALID"},
    "MerchantSetupError": {"WEBSTORE_NOT_EXISTS", "WECHAT_STORE_NOT_EXISTS", "POS_NOT_REGISTERED"},
    "PaymentDeclined": {"NOT_ENOUGH", "CARD_NOT_SUPPORT", "QRCODE_EXPIRED", "QRCODE_ERROR"},
    "OrderStateError": {"ORDER_PAID", "ORDER_CLOSED", "ORDER_NOT_PAID", "AMOUNT_OVER_LIMIT"},
    "LookupFailed": {"PERMISSION_ERROR", "ORDER_NO_ERROR", "REFUND_NO_ERROR"},
    "GatewayError": {"SYSTEM_ERROR"},
}


def made(name: str) -> OmipayError:
    """An error with every field set, and a cause."""
    _, _, fields = TREE[name]
    error: OmipayError = getattr(errors, name)("what happened", **fields)
    error.__cause__ = ConnectionResetError(104, "cut")
    return error


def test_the_tree_has_these_classes_and_no_others() -> None:
    """One class for each row of the contract's tree."""
    classes = {name for name, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, OmipayError)}
    assert classes == set(TREE)
    assert all(name in dir(omipay_async) for name in TREE)


@pytest.mark.parametrize("path", ["omipay_async/errors.py", "omipay_async/docs/reference.md", "README.md"])
def test_every_drawing_of_the_tree_shows_it(path: str) -> None:
    """Each class under its parent, none left out. A text without a drawing names no error that there is not."""
    text = (ROOT / path).read_text(encoding="utf-8")
    drawn: dict[str, str] = {}
    parents = {-1: "OmipayError"}
    for branches, name in re.findall(r"^((?:│   |    )*)[├└]─ (\w+)", text, re.MULTILINE):
        depth = len(branches) // 4
        parents[depth] = name
        drawn[name] = parents[depth - 1]
    assert drawn == {name: row[0] for name, row in TREE.items() if name != "OmipayError"} or (
        not drawn and path == "README.md"
    )
    named = set(re.findall(r"except (?:omipay_async\.)?([A-Z]\w+)", text))
    assert named <= {*TREE, *dir(builtins)}


@pytest.mark.parametrize("name", TREE)
def test_each_class_has_the_parent_of_the_tree(name: str) -> None:
    """``except`` on a parent catches exactly its children, and each class has a docstring."""
    kind = getattr(errors, name)
    assert kind.__bases__[0].__name__ == TREE[name][0]
    assert kind.__doc__
    assert not issubclass(kind, OSError)
    assert issubclass(kind, ValueError) is (name == "InvalidRequest")


@pytest.mark.parametrize("name", TREE)
def test_the_default_outcome_of_each_class(name: str) -> None:
    """NOT_DONE or UNKNOWN only where the class alone proves it; a call may set another."""
    error = getattr(errors, name)("what happened", **REQUIRED.get(name, {}))
    assert error.outcome is TREE[name][1]


@pytest.mark.parametrize("name", TREE)
def test_the_text_and_the_fields_of_each_error(name: str) -> None:
    """``str`` is the message, and every field can be read."""
    error = made(name)
    assert str(error) == "what happened"
    assert {field: getattr(error, field) for field in TREE[name][2]} == TREE[name][2]


@pytest.mark.parametrize("how", ["pickle", "copy", "deepcopy"])
@pytest.mark.parametrize("name", TREE)
def test_errors_survive_process_pools_and_task_queues(name: str, how: str) -> None:
    """A pickled or copied error keeps its class, text, fields, outcome, notes and cause."""
    error = made(name)
    error.add_note("at till 3")
    twin: OmipayError = pickle.loads(pickle.dumps(error)) if how == "pickle" else getattr(copy, how)(error)
    assert type(twin) is type(error)
    assert twin is not error
    assert (str(twin), twin.args, twin.outcome) == (str(error), error.args, error.outcome)
    assert {field: getattr(twin, field) for field in TREE[name][2]} == TREE[name][2]
    assert twin.__notes__ == ["at till 3"]
    assert isinstance(twin.__cause__, ConnectionResetError)
    assert twin.__cause__.args == (104, "cut")


class Needy(Exception):
    """As httpx.HTTPStatusError: it can be pickled, but not read again."""

    def __init__(self, message: str, *, request: object) -> None:
        super().__init__(message)
        self.request = request


def test_an_error_survives_although_its_cause_does_not() -> None:
    """A journal, a backend or a nonce provider may raise anything. A name and a text take its place."""

    class Local(Exception):
        """No other process can import it."""

    for cause in (Local("no disk"), Needy("no disk", request=None)):
        error = errors.JournalError("not written")
        error.__cause__ = cause
        assert copy.copy(error).__cause__ is cause
        for twin in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
            assert (type(twin), str(twin)) == (errors.JournalError, "not written")
            assert str(twin.__cause__) == f"{type(cause).__name__}: no disk"


def test_a_chain_of_our_own_errors_survives_too() -> None:
    """OutcomeUnknown is pickled with its cause."""
    error = errors.OutcomeUnknown("nobody knows", endpoint="Refund")
    error.__cause__ = made("GatewayError")
    twin = pickle.loads(pickle.dumps(error))
    assert isinstance(twin.__cause__, errors.GatewayError)
    assert twin.__cause__.error_code is ErrorCode.SYSTEM_ERROR


def test_a_long_chain_of_our_own_errors_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """If each error were tried before it is pickled, each would take three times as long as its cause."""
    error: BaseException = ConnectionResetError(104, "cut")
    for number in range(8):
        outer = errors.TransportError(str(number))
        outer.__cause__, error = error, outer
    tried: list[object] = []
    monkeypatch.setattr("omipay_async.errors.copy.deepcopy", tried.append)
    twin = pickle.loads(pickle.dumps(error))
    assert [type(cause) for cause in tried] == [ConnectionResetError]
    for number in reversed(range(8)):
        assert str(twin) == str(number)
        twin = twin.__cause__
    assert isinstance(twin, ConnectionResetError)


def test_a_poll_that_timed_out_keeps_the_last_error() -> None:
    """``last_error`` is pickled too."""
    error = errors.PollTimeout("too long", order_no="TR1", last_error=errors.TransportError("no answer"))
    twin = pickle.loads(pickle.dumps(error))
    assert isinstance(twin.last_error, errors.TransportError)
    assert str(twin.last_error) == "no answer"


def test_every_documented_code_has_its_class() -> None:
    """The table is the contract's and has every code except USERPAYING, which is not an error."""
    by_class: dict[str, set[str]] = {}
    for code, kind in ERROR_CLASSES.items():
        by_class.setdefault(kind.__name__, set()).add(code)
    assert by_class == CODES
    assert set(ERROR_CLASSES) == set(ErrorCode) - {ErrorCode.USERPAYING}
    assert all(issubclass(kind, APIError) for kind in ERROR_CLASSES.values())


def test_outcomes_are_strings() -> None:
    """They can be written into a database column."""
    assert [str(outcome) for outcome in Outcome] == ["NOT_DONE", "UNKNOWN"]


def test_session_closed_has_a_default_message() -> None:
    """It can be raised without a message."""
    assert str(errors.SessionClosed()) == "this session is closed: open a new one"
