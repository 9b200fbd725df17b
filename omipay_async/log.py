"""The package's logger, and what a record says of a call, an order or a refund. No record has the URL of a request."""

from __future__ import annotations

import contextlib
import logging
import traceback
from typing import TYPE_CHECKING, Any, Final

from .text import printable

if TYPE_CHECKING:
    from .errors import Outcome
    from .models import Order


class _Logger(logging.LoggerAdapter[logging.Logger]):
    """The package's logger. What a filter or a handler of the user raises is printed, and goes no further.

    Logging itself prints what a handler's formatter raises. But a filter that asks for the current web request, where
    there is none, would raise instead of an ``OutcomeUnknown``, or end a task that works in the background.
    """

    def log(self, level: int, msg: object, *args: object, **more: Any) -> None:
        """Log ``msg``. Each of the other methods calls this one."""
        try:
            self.logger.log(level, msg, *args, stacklevel=2, **more)
        except BaseException as error:
            if not isinstance(error, Exception):
                raise
            if logging.raiseExceptions:
                with contextlib.suppress(OSError, ValueError):  # of a standard error that is closed
                    traceback.print_exception(error)


logger: Final = _Logger(logging.getLogger("omipay_async"))
logger.logger.addHandler(logging.NullHandler())


def shown_number(number: str | None) -> str | None:
    """``number`` as it may be shown, since the gateway may put any characters into it, and into its copy of yours."""
    return None if number is None else printable(number)


def log_fields(
    *,
    endpoint: str | None = None,
    order_no: str | None = None,
    out_order_no: str | None = None,
    out_refund_no: str | None = None,
    outcome: Outcome | None = None,
) -> dict[str, str | None]:
    """The ``extra`` of a log record about a call, an order or a refund: each such record has all five attributes."""
    return {
        "omipay_endpoint": endpoint,
        "omipay_order_no": shown_number(order_no),
        "omipay_out_order_no": shown_number(out_order_no),
        "omipay_out_refund_no": shown_number(out_refund_no),
        "omipay_outcome": outcome,
    }


def order_fields(order: Order) -> dict[str, str | None]:
    """The ``extra`` of a log record about an order that the gateway has confirmed."""
    return log_fields(order_no=order.order_no, out_order_no=order.out_order_no)
