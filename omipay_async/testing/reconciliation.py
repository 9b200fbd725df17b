"""Whether a program's records of its money agree with the sandbox's ledger."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from omipay_async.errors import InvalidRequest

if TYPE_CHECKING:
    from omipay_async.sandbox import Sandbox
    from omipay_async.sandbox.ledger import Ledger


def assert_reconciled(
    sandbox: Sandbox,
    *,
    paid: Iterable[str],
    unknown: Iterable[str] = (),
    refunded: Iterable[str] | None = None,
    unknown_refunds: Iterable[str] | None = None,
) -> None:
    """Fail the test unless your program's records of its money agree with those of the gateway.

    ``paid`` are the ``out_order_no`` that your program has recorded as paid, ``unknown`` those that it has recorded as
    unknown (``OutcomeUnknown``, ``PollTimeout``). ``refunded`` and ``unknown_refunds`` are the same for refunds, by
    ``out_refund_no``: a refund that was accepted and has not failed counts. If both are left out, refunds are not
    compared.

    The test fails too if money moved twice, or if an unknown outcome was swallowed: the gateway has an order as paid,
    and your program has no record of it.

    Merchants are not told apart: if the sandbox has several, let no two of them use the same number.

    Raises:
        AssertionError: they do not agree; it names the numbers.
        InvalidRequest: one number was given where several may stand, in a list for example, or something that is not a
            number.
    """
    ledger = sandbox.ledger
    differences = {
        "charged twice": set(ledger.charged_twice()),
        "refunded twice": set(ledger.refunded_twice()),
        **_of_orders(ledger, _numbers("paid", paid), _numbers("unknown", unknown)),
    }
    if refunded is not None or unknown_refunds is not None:
        differences |= _of_refunds(
            ledger, _numbers("refunded", refunded or ()), _numbers("unknown_refunds", unknown_refunds or ())
        )
    found = [f"{what}: {', '.join(sorted(numbers))}" for what, numbers in differences.items() if numbers]
    if found:
        raise AssertionError("; ".join(found))


def _numbers(name: str, given: Iterable[object]) -> set[str]:
    if isinstance(given, str) or not isinstance(given, Iterable):  # a string's letters would be taken for numbers
        message = f"{name} must be several numbers, in a list for example, not {type(given).__name__}"
        raise InvalidRequest(message, parameter=name)
    numbers = set()
    for number in given:
        if not isinstance(number, str):
            message = f"{name} must contain your own numbers, which are strings, not {type(number).__name__}"
            raise InvalidRequest(message, parameter=name)
        numbers.add(number)
    return numbers


def _of_orders(ledger: Ledger, paid: set[str], unknown: set[str]) -> dict[str, set[str]]:
    charged = {order.out_order_no for order in ledger.orders.values() if order.is_paid}
    return {
        "paid at the gateway, but not recorded by your program": charged - paid - unknown,
        "recorded as paid by your program, but not paid at the gateway": paid - charged,
    }


def _of_refunds(ledger: Ledger, refunded: set[str], unknown: set[str]) -> dict[str, set[str]]:
    standing = {refund.out_refund_no for refund in ledger.refunds.values() if not refund.status.is_failed}
    return {
        "refunded at the gateway, but not recorded by your program": standing - refunded - unknown,
        "recorded as refunded by your program, but not refunded at the gateway": refunded - standing,
    }
