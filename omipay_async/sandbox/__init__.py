"""The gateway that Omipay does not offer: an ASGI app with every endpoint, for programs and their tests.

It is written from the gateway's documents alone. It shares the codes and the table of endpoints with the client, but
not validation, signing or decoding: if both had the same mistake, no test would find it.
"""

try:
    import segno
    import starlette.responses
except ImportError as error:
    message = f'omipay_async.sandbox needs Starlette and segno: pip install "omipay-async[sandbox]" ({error})'
    raise ImportError(message) from error
else:  # imported for the message
    del segno, starlette

from .customer import Customer
from .faults import NOT_ACTED, Fault, Faults, Rule
from .ledger import Call, Delivery, Ledger, Order, Refund
from .lifecycle import ORDER_LIFE, REFUND_LIFE, IllegalMove
from .merchants import TOY_M_NUMBER, TOY_SECRET_KEY, UNREGISTERED, Merchant
from .notifier import APP_NOTIFY_URL
from .payment_codes import PAYMENT_CODES, CodeBehaviour, DelayedOutcome, PaymentCode
from .sandbox import Sandbox

__all__ = [
    "APP_NOTIFY_URL",
    "NOT_ACTED",
    "ORDER_LIFE",
    "PAYMENT_CODES",
    "REFUND_LIFE",
    "TOY_M_NUMBER",
    "TOY_SECRET_KEY",
    "UNREGISTERED",
    "Call",
    "CodeBehaviour",
    "Customer",
    "DelayedOutcome",
    "Delivery",
    "Fault",
    "Faults",
    "IllegalMove",
    "Ledger",
    "Merchant",
    "Order",
    "PaymentCode",
    "Refund",
    "Rule",
    "Sandbox",
]
