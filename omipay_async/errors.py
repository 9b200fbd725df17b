"""Every error of this package, ordered by what the caller should do next.

OmipayError
├─ ConfigurationError          correct the set-up
├─ InvalidRequest              correct the argument that it names; nothing was sent
├─ SessionClosed               open a session
├─ TransportError              a read got no answer: repeat it
│   └─ NotSent                 the gateway certainly never received the request
├─ InvalidReply                a read got a reply that cannot be used: repeat it
├─ OutcomeUnknown              a money call may or may not have been acted on: never repeat it
├─ APIError                    the gateway answered FAIL
│   ├─ AuthenticationError     key, clock or merchant number
│   ├─ ParameterError          the gateway refused a value
│   ├─ MerchantSetupError      something has to be registered with Omipay first
│   ├─ PaymentDeclined         the customer needs another code or another card
│   ├─ OrderStateError         the order is not in a state for this
│   ├─ LookupFailed            no such order or refund, or another merchant's
│   └─ GatewayError            SYSTEM_ERROR on a read: repeat it
├─ PaymentFailed               polling ended: the order will not be paid
├─ RefundFailed                polling ended: the refund will not be paid out
├─ PollTimeout                 polling stopped before anything final was seen
├─ BackendError                the shared backend could not be used
├─ JournalError                the journal could not be used
└─ NotificationError           a notification that must not be acted on
    ├─ MalformedNotification
    ├─ InvalidSignature
    ├─ StaleNotification
    ├─ ReflectedNotification
    ├─ ReplayedNotification
    └─ UnconfirmedNotification

``error.outcome`` is what is known about the money: ``Outcome.NOT_DONE`` only where the reply or the transport proves
that this call moved none, ``Outcome.UNKNOWN`` where it may have, None where the error is not about money.

No error contains an object of the HTTP library, the URL of a request, the key, a signature or a live nonce. The text of
each is one line of characters that can be seen. All can be pickled and copied.
"""

from __future__ import annotations

import contextlib
import copy
import enum
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from .text import escape_controls

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .codes import ErrorCode
    from .models import Order, Refund

E = TypeVar("E", bound="OmipayError")
_ADDED: Final = {"InvalidReply": {"order_no": None}, "PollTimeout": {"out_order_no": None}}
"""The fields that an error does not have if version 0.1 pickled it."""


class Outcome(enum.StrEnum):
    """What is known about the money after an error. A till charges again only on ``NOT_DONE``."""

    NOT_DONE = "NOT_DONE"
    """It is certain that this call moved no money."""
    UNKNOWN = "UNKNOWN"
    """Money may have moved. Do not repeat the call: :class:`OutcomeUnknown` and the README describe what to do."""


class OmipayError(Exception):
    """The base of every error that this package raises."""

    outcome: Outcome | None = None
    """What is known about the money; None if the error is not about money."""

    def __init__(self, message: str = "", *, outcome: Outcome | None = None) -> None:
        super().__init__(escape_controls(message))
        if outcome is not None:
            self.outcome = outcome

    def with_outcome(self, outcome: Outcome | None) -> Self:
        """A copy of this error with another ``outcome``. This error itself is not changed."""
        error = copy.copy(self)
        error.outcome = outcome
        return error

    def __copy__(self) -> Self:
        return _revive(type(self), self.args, self.__dict__, self.__cause__)

    def __reduce__(self) -> tuple[Callable[..., OmipayError], tuple[Any, ...]]:
        # Keyword-only fields and the cause do not survive BaseException's own __reduce__.
        return _revive, (type(self), self.args, self.__dict__, portable(self.__cause__))


def _revive(kind: type[E], args: tuple[Any, ...], fields: Mapping[str, Any], cause: BaseException | None) -> E:
    error = kind.__new__(kind, *args)
    error.__dict__.update(_ADDED.get(kind.__name__, {}), **fields)
    error.__cause__ = cause
    return error


def portable(error: BaseException | None) -> BaseException | None:
    """``error``, or another with its name and text if it would not survive pickling, such as one that holds a lock.

    Ours survive. They are not tried: that would try the cause twice, the cause of the cause four times, and so on.
    """
    if isinstance(error, OmipayError):
        return error
    import pickle  # only here, since few programs pickle or copy an error

    with contextlib.suppress(Exception):
        pickle.dumps(copy.deepcopy(error))
        return error
    return RuntimeError(f"{type(error).__name__}: {error}")


class ConfigurationError(OmipayError):
    """The session cannot work with its set-up. The message names the option or the environment variable."""


class InvalidRequest(OmipayError, ValueError):
    """An argument, ``parameter``, was rejected before anything was sent. The message says what is wrong with it."""

    outcome = Outcome.NOT_DONE

    def __init__(self, message: str, *, parameter: str = "", outcome: Outcome | None = None) -> None:
        super().__init__(message, outcome=outcome)
        self.parameter = parameter


class SessionClosed(OmipayError):
    """The session was closed before or during the call, which was not acted on. After a poll nobody knows whether the
    order was paid, and after ``fulfil`` and ``settle`` nobody knows whether its handler has run in another process:
    ``order_no`` or ``refund_no`` is what to ask about later.
    """

    def __init__(
        self,
        message: str = "this session is closed: open a new one",
        *,
        order_no: str | None = None,
        refund_no: str | None = None,
        outcome: Outcome | None = None,
    ) -> None:
        super().__init__(message, outcome=outcome)
        self.order_no = order_no
        self.refund_no = refund_no


class TransportError(OmipayError):
    """A read got no answer in time, or the connection failed. It may be repeated."""

    def __init__(self, message: str, *, endpoint: str = "", outcome: Outcome | None = None) -> None:
        super().__init__(message, outcome=outcome)
        self.endpoint = endpoint


class NotSent(TransportError):
    """The gateway certainly never received the request: no connection, no slot, no journal, or too little time left.

    A money call that ends with this error moved no money (``outcome`` is NOT_DONE) and may be made again under a new
    number. For a read, ``outcome`` is None. ``omipay doctor`` shows what is wrong on the way; see ``__cause__``, too.
    """


class InvalidReply(OmipayError):
    """A read got a reply that cannot be used: an error page, half a body, a wrong field. It may be repeated.

    ``status`` is the HTTP status, ``excerpt`` the beginning of the body without secrets, ``raw`` the JSON object if the
    body was one. ``order_no`` is set only in the cause of an :class:`OutcomeUnknown`, if the reply names the order.
    """

    def __init__(
        self,
        message: str,
        *,
        endpoint: str = "",
        status: int | None = None,
        excerpt: str = "",
        raw: Mapping[str, Any] | None = None,
        order_no: str | None = None,
        outcome: Outcome | None = None,
    ) -> None:
        super().__init__(message, outcome=outcome)
        self.endpoint = endpoint
        self.status = status
        self.excerpt = excerpt
        self.raw = raw
        self.order_no = order_no


class OutcomeUnknown(OmipayError):
    """A money call may or may not have been acted on. It was not repeated and must not be.

    ``endpoint``, ``out_order_no``, ``out_refund_no`` and ``order_no`` identify the call, ``raw`` is the gateway's reply
    if there was one, and ``__cause__`` is why nobody knows. What to do:

    - A scan order: never charge again for this sale. ``wait_for_notification(out_order_no)`` or the back office
      (Omipay's merchant portal) shows whether it was paid.
    - Any other order: nobody has its page or code, so nobody can pay it. Make one under a new ``out_order_no``.
    - A full refund: a person may repeat it after some minutes. AMOUNT_OVER_LIMIT then shows that the first one was
      accepted. A partial refund: a person looks it up in the back office.
    """

    outcome = Outcome.UNKNOWN

    def __init__(
        self,
        message: str,
        *,
        endpoint: str = "",
        order_no: str | None = None,
        out_order_no: str | None = None,
        out_refund_no: str | None = None,
        raw: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.endpoint = endpoint
        self.order_no = order_no
        self.out_order_no = out_order_no
        self.out_refund_no = out_refund_no
        self.raw = raw


class APIError(OmipayError):
    """The gateway answered ``return_code`` FAIL. A code that no document lists raises a plain APIError.

    ``error_code`` is an :class:`ErrorCode`, or the string as received if no document lists it. ``error_msg`` is for
    people only, in the session's language. ``order_no`` is set if the reply contains it, ``raw`` is the whole reply,
    ``node`` the node that answered. The call moved no money if ``outcome`` is NOT_DONE; it is UNKNOWN after a poll,
    since a refused question does not show whether the order was paid.
    """

    def __init__(
        self,
        message: str,
        *,
        endpoint: str = "",
        error_code: ErrorCode | str = "",
        error_msg: str | None = None,
        order_no: str | None = None,
        raw: Mapping[str, Any] | None = None,
        node: str | None = None,
        outcome: Outcome | None = None,
    ) -> None:
        super().__init__(message, outcome=outcome)
        self.endpoint = endpoint
        self.error_code = error_code
        self.error_msg = error_msg
        self.order_no = order_no
        self.raw = raw
        self.node = node


class AuthenticationError(APIError):
    """The gateway does not accept the merchant number, the key or the time. See ``outcome``.

    SIGN_ERROR, SIGN_TIMEOUT, MERCHANTNO_INVALID or MERCHANTNO_DISABLE (CN 2.4, 3.1). ``omipay doctor`` shows which one.
    """


class ParameterError(APIError):
    """The gateway rejected a parameter: a store, a currency, an amount, or one that is missing. See ``outcome``.

    PARAMETER_INVALID, BRANCH_INVALID, CURRENCY_ERROR or AMOUNT_INVALID (CN 2.4, 3.1 to 3.4). Correct the parameter,
    and make a new call under a new number.
    """


class MerchantSetupError(APIError):
    """A web store, a WeChat store or a till has to be registered with Omipay first. See ``outcome``.

    WEBSTORE_NOT_EXISTS, WECHAT_STORE_NOT_EXISTS or POS_NOT_REGISTERED (CN 3.2 to 3.4). Omipay's support registers them.
    """


class PaymentDeclined(APIError):
    """The customer's balance, card or payment code was not accepted. See ``outcome``.

    NOT_ENOUGH, CARD_NOT_SUPPORT, QRCODE_EXPIRED or QRCODE_ERROR (CN 3.4). Ask for a new code or another card, and
    charge it under a new ``out_order_no``.
    """


class OrderStateError(APIError):
    """The order is paid, closed, not paid, or has too little left to refund. See ``outcome``.

    ORDER_PAID or ORDER_CLOSED of a scan order (CN 3.4) is about an earlier order with its ``out_order_no``: do not
    charge again for this sale. ORDER_NOT_PAID or AMOUNT_OVER_LIMIT of a refund (CN 3.10): this call moved no money.
    """


class LookupFailed(APIError):
    """The order or refund does not exist, or it is another merchant's. See ``outcome``.

    PERMISSION_ERROR, ORDER_NO_ERROR or REFUND_NO_ERROR (CN 3.8, 3.10, 3.11). Check the number, which is Omipay's and
    not your own, and that the session is the one of the merchant who made the order.
    """


class GatewayError(APIError):
    """SYSTEM_ERROR (CN 2.4) on a read, which may be repeated. A money call raises :class:`OutcomeUnknown` from this."""


class PaymentFailed(OmipayError):
    """Polling ended in CANCELLED or FAILED: this order will not be paid. ``order`` is the gateway's record of it.

    You may charge for the sale again, under a new ``out_order_no``.
    """

    outcome = Outcome.NOT_DONE

    def __init__(self, message: str, *, order: Order, outcome: Outcome | None = None) -> None:
        super().__init__(message, outcome=outcome)
        self.order = order


class RefundFailed(OmipayError):
    """Polling ended in a failed status: this refund (``refund``) will not be paid out. A new one needs a new number."""

    outcome = Outcome.NOT_DONE

    def __init__(self, message: str, *, refund: Refund, outcome: Outcome | None = None) -> None:
        super().__init__(message, outcome=outcome)
        self.refund = refund


class PollTimeout(OmipayError):
    """Polling stopped before a final status. It is not a refusal: the customer may still pay.

    Do not charge again for this sale. Call ``query_order`` later, or let ``Books.run`` ask (of a refund:
    ``query_refund``). ``order_no`` or ``refund_no`` is what to ask about (``wait_for_notification``: ``out_order_no``),
    ``order`` or ``refund`` is the last state seen (None if there was none), ``last_error`` the last temporary error. It
    is not a ``TimeoutError``, since that is an ``OSError``, after which generic code may repeat a call.
    """

    outcome = Outcome.UNKNOWN

    def __init__(
        self,
        message: str,
        *,
        order_no: str | None = None,
        refund_no: str | None = None,
        order: Order | None = None,
        refund: Refund | None = None,
        last_error: OmipayError | None = None,
        out_order_no: str | None = None,
    ) -> None:
        super().__init__(message)
        self.order_no = order_no
        self.refund_no = refund_no
        self.order = order
        self.refund = refund
        self.last_error = last_error
        self.out_order_no = out_order_no


class BackendError(OmipayError):
    """The shared backend could not be used: the handler did not run, or its success is not recorded. Try again."""


class JournalError(OmipayError):
    """The journal could not be used. Try again once its database answers.

    A money call was not sent (``NotSent`` has this as its cause), no handler ran, or a method of ``Books`` failed.
    """


class NotificationError(OmipayError):
    """A notification that must not be acted on; ``omipay verify FILE`` explains a saved body.

    ``receive_notification`` does not raise it, but answers 4xx, with the error in ``reply.error``.
    """


class MalformedNotification(NotificationError):
    """The body is not a notification: it is not JSON, or a field is missing or of the wrong kind."""


class InvalidSignature(NotificationError):
    """The body was not signed with ``secret_key`` or one of ``previous_secret_keys``: compare it with the portal's."""


class StaleNotification(NotificationError):
    """The body was signed more than ``max_age`` seconds ago, or as far in the future. Repeats may come late."""


class ReflectedNotification(NotificationError):
    """The body has a nonce that this merchant issued: somebody sends back one of our own signatures."""


class ReplayedNotification(NotificationError):
    """The nonce was confirmed for another order before: somebody uses a captured signature again."""


class UnconfirmedNotification(NotificationError):
    """The gateway does not confirm the body. ``order`` is the gateway's record, None if it has none of this order."""

    def __init__(self, message: str, *, order: Order | None = None, outcome: Outcome | None = None) -> None:
        super().__init__(message, outcome=outcome)
        self.order = order
