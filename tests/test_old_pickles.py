"""What version 0.1 pickled is read: jobs that were queued before the upgrade, results and orders in a cache."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest

from omipay_async import (
    AppletOrder,
    AppOrder,
    Currency,
    InvalidReply,
    JSAPIOrder,
    OnlineOrder,
    OrderStatus,
    PollTimeout,
    QROrder,
    RefundReceipt,
    ScanOrder,
    models,
)
from tests.support.untyped import untyped

if TYPE_CHECKING:
    from omipay_async.errors import OmipayError

RAW = {"return_code": "SUCCESS"}
# What the models of 0.1 consisted of, raw included; its state was a dictionary.
ORDERS: list[tuple[Any, dict[str, Any]]] = [
    (QROrder, {"order_no": "TR1", "qrcode": "https://pay.example/1", "pay_url": None, "raw": RAW}),
    (JSAPIOrder, {"order_no": "TR1", "pay_url": "https://pay.example/1", "pc_pay_url": None, "raw": RAW}),
    (OnlineOrder, {"order_no": "TR1", "pay_url": "https://pay.example/1", "raw": RAW}),
    (AppOrder, {"order_no": "TR1", "order_string": "{}", "raw": RAW}),
    (
        AppletOrder,
        {
            **dict.fromkeys(("time_stamp", "nonce_str", "package", "sign_type", "pay_sign")),
            "order_no": "TR1",
            "raw": RAW,
        },
    ),
    (
        ScanOrder,
        {"order_no": "TR1", "out_order_no": "S-1", "status": OrderStatus.PAYING, "order_time": None, "raw": RAW},
    ),
    (RefundReceipt, {"refund_no": "RF1", "currency": Currency.AUD, "amount": 100, "refund_time": None, "raw": RAW}),
]


def pickled_by_0_1(name: str, state: dict[str, Any]) -> bytes:
    """The pickle (protocol 2) of a model: the class by its module of then, an empty object, its state."""
    return b"\x80\x02comipay_async.models\n" + name.encode() + b"\n)\x81" + pickle.dumps(state, 2)[2:-1] + b"b."


@pytest.mark.parametrize(("kind", "state"), ORDERS, ids=lambda value: getattr(value, "__name__", ""))
def test_an_order_of_0_1_is_read_and_the_fields_that_it_lacks_are_none(kind: Any, state: dict[str, Any]) -> None:
    """A worker that finds a job of before the upgrade in its queue goes on polling that order."""
    restored = pickle.loads(pickled_by_0_1(kind.__name__, state))
    assert restored == kind(**state)
    assert restored.raw == RAW
    assert pickle.loads(pickle.dumps(restored)) == restored


@pytest.mark.parametrize(
    ("error", "added"),
    [(PollTimeout("too late", order_no="TR1"), "out_order_no"), (InvalidReply("HTML", status=502), "order_no")],
)
def test_an_error_of_0_1_is_read_and_the_field_that_it_lacks_is_none(error: OmipayError, added: str) -> None:
    """As the result of a task. Its other fields are what they were."""
    fields = dict(vars(error))
    del vars(error)[added]
    restored = pickle.loads(pickle.dumps(error))
    assert type(restored) is type(error)
    assert (vars(restored), str(restored)) == (fields, str(error))


def test_no_other_name_is_found_among_the_models() -> None:
    """Only those that have moved are looked for."""
    with pytest.raises(AttributeError, match=r"module .omipay_async\.models. has no attribute 'Nothing'"):
        _ = untyped(models).Nothing
