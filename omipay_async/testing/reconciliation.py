"""Whether a program believes of its money what the sandbox's ledger says."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

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
    """Fail the test unless what your program believes of its money is what the gateway believes.

    ``paid`` are the ``out_order_no`` that your program holds for paid, ``unknown`` those of which it knows that nobody
    knows (``OutcomeUnknown``, ``PollTimeout``). ``refunded`` and ``unknown_refunds`` are the same for refunds, by
    ``out_refund_no``: a refund that was accepted and has not failed counts. If both are left out, refunds are not
    compared.

    Money that moved twice fails, and so does an unknown outcome that was swallowed: an order that the gateway holds for
    paid and your program holds for nothing. Raises AssertionError, which names the numbers.
    """
    ledger = sandbox.ledger
    differences = {
        "charged twice": set(ledger.charged_twice()),
        "refunded twice": set(ledger.refunded_twice()),
        **_of_orders(ledger, set(paid), set(unknown)),
    }
    if refunded is not None or unknown_refunds is not None:
        differences |= _of_refunds(ledger, set(refunded or ()), set(unknown_refunds or ()))
    found = [f"{what}: {', '.join(sorted(numbers))}" for what, numbers in differences.items() if numbers]
    if found:
        raise AssertionError("; ".join(found))


def _of_orders(ledger: Ledger, paid: set[str], unknown: set[str]) -> dict[str, set[str]]:
    charged = {order.out_order_no for order in ledger.orders.values() if order.is_paid}
    return {
        "paid at the gateway, but your program does not know": charged - paid - unknown,
        "held for paid by your program, but not paid at the gateway": paid - charged,
    }


def _of_refunds(ledger: Ledger, refunded: set[str], unknown: set[str]) -> dict[str, set[str]]:
    standing = {refund.out_refund_no for refund in ledger.refunds.values() if not refund.status.is_failed}
    return {
        "refunded at the gateway, but your program does not know": standing - refunded - unknown,
        "held for refunded by your program, but not refunded at the gateway": refunded - standing,
    }
