"""Whether a program believes of its money what the sandbox's ledger says."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from omipay_async.sandbox import Sandbox


def assert_reconciled(sandbox: Sandbox, *, paid: Iterable[str], unknown: Iterable[str] = ()) -> None:
    """Fail the test unless what your program believes of its money is what the gateway believes.

    ``paid`` are the ``out_order_no`` that your program holds for paid, ``unknown`` those of which it knows that nobody
    knows (``OutcomeUnknown``, ``PollTimeout``). Money that moved twice fails, and so does an unknown outcome that was
    swallowed: an order that the gateway holds for paid and your program holds for nothing.
    """
    paid, unknown = set(paid), set(unknown)
    ledger = sandbox.ledger
    charged = {order.out_order_no for order in ledger.orders.values() if order.is_paid}
    troubles = {
        "charged twice": set(ledger.charged_twice()),
        "refunded twice": set(ledger.refunded_twice()),
        "paid at the gateway, but your program does not know": charged - paid - unknown,
        "held for paid by your program, but not paid at the gateway": paid - charged,
    }
    found = [f"{what}: {', '.join(sorted(numbers))}" for what, numbers in troubles.items() if numbers]
    if found:
        raise AssertionError("; ".join(found))
