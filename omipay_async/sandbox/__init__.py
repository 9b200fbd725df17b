"""The gateway that Omipay does not offer: an ASGI app with every endpoint, for programs and their tests.

It is written from the gateway's documents alone. It shares the clock, the codes and the table of endpoints with the
client, but not validation, signing or decoding: if both had the same mistake, no test would find it.

- The gateway: ``gateway`` takes a query string and returns a reply. ``auth`` checks the signature, ``validation`` the
  parameters, and ``handlers`` has a function for each endpoint. These use the ``state``: the ``ledger`` of everything
  that happened, ``merchants``, and ``rates``. ``lifecycle`` is what an order or a refund may become, ``payment_codes``
  what a scanned code does. ``errors`` are the refusals, and ``replies`` are written as JSON.
- Around it: ``customer`` pays or declines, ``notifier`` delivers the ``notifications`` of payments, and ``faults`` are
  what can go wrong; ``swaps`` is how one of them is done.
- For users: ``sandbox`` is the object that they hold, and ``core`` what it consists of. ``web`` is the ASGI ``app`` and
  its pages, and ``live`` keeps those up to date. ``server`` serves it on a socket, where ``access`` decides who may use
  it, and ``transport`` in memory; ``asgi`` has what these share.
- ``times`` writes times as the gateway does. ``arguments`` checks what programs give it, ``foreign`` makes text safe to
  show, and ``chinese`` translates.
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
