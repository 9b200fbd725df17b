"""The asyncio SDK for Omipay: WeChat Pay, Alipay, UnionPay and POLi in Australia.

    async with AsyncOmipay.from_env() as omipay:
        order = await omipay.query_order(order_no)

``AsyncOmipay`` is the place to begin. The guides, with whole programs, are in the folder ``docs`` of this package.

Names are imported at their first use, so that importing the package is quick, and the pytest plugin loads no httpx.

For readers of the source: ``session`` is the class that users hold, with the endpoints as methods of ``api``.
``config`` checks its options, and ``composition`` makes its components, which are in the folders; each folder begins
with a map of its modules. ``calls`` is one call from its first attempt to its verdict (its map shows the whole way of
one), ``transport`` is one attempt on the wire, and ``protocol`` is what may be sent and what an answer means.
``polling`` waits until an order is paid, and ``fulfilment`` is what follows. They share the words of ``errors``,
``codes``, ``models``, ``new_orders``, ``events`` and ``journal``. All use ``clock`` for times and waits, ``answers`` to
ask backends and journals, ``options`` to check what anything is set up with, ``text`` for secrets and for what
strangers write, ``log`` and ``language``; ``qr`` draws codes. Programs import ``sql``, ``redis``, ``asgi``,
``fastapi``, ``aiohttp``, ``testing`` and ``sandbox`` by name, and ``cli`` is the command line.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ._version import __version__ as __version__

if TYPE_CHECKING:
    from .calls.retries import RetryPolicy as RetryPolicy
    from .clock import Clock as Clock, SystemClock as SystemClock
    from .codes import (
        Currency as Currency,
        ErrorCode as ErrorCode,
        Language as Language,
        OnlineType as OnlineType,
        OrderStatus as OrderStatus,
        Platform as Platform,
        RefundStatus as RefundStatus,
        Region as Region,
        Safety as Safety,
    )
    from .errors import (
        APIError as APIError,
        AuthenticationError as AuthenticationError,
        BackendError as BackendError,
        ConfigurationError as ConfigurationError,
        GatewayError as GatewayError,
        InvalidReply as InvalidReply,
        InvalidRequest as InvalidRequest,
        InvalidSignature as InvalidSignature,
        JournalError as JournalError,
        LookupFailed as LookupFailed,
        MalformedNotification as MalformedNotification,
        MerchantSetupError as MerchantSetupError,
        NotificationError as NotificationError,
        NotSent as NotSent,
        OmipayError as OmipayError,
        OrderStateError as OrderStateError,
        Outcome as Outcome,
        OutcomeUnknown as OutcomeUnknown,
        ParameterError as ParameterError,
        PaymentDeclined as PaymentDeclined,
        PaymentFailed as PaymentFailed,
        PollTimeout as PollTimeout,
        ReflectedNotification as ReflectedNotification,
        RefundFailed as RefundFailed,
        ReplayedNotification as ReplayedNotification,
        SessionClosed as SessionClosed,
        StaleNotification as StaleNotification,
        TransportError as TransportError,
        UnconfirmedNotification as UnconfirmedNotification,
    )
    from .events import Event as Event
    from .fulfilment.backends import (
        Backend as Backend,
        Claim as Claim,
        Listener as Listener,
        NoteKeeper as NoteKeeper,
    )
    from .fulfilment.memory import MemoryBackend as MemoryBackend
    from .journal import Journal as Journal, JournalEntry as JournalEntry, JournalOutcome as JournalOutcome
    from .models import (
        ExchangeRate as ExchangeRate,
        Notification as Notification,
        Order as Order,
        Refund as Refund,
        RefundReceipt as RefundReceipt,
        ScanOrder as ScanOrder,
        WeChatUser as WeChatUser,
    )
    from .new_orders import (
        AppletOrder as AppletOrder,
        AppOrder as AppOrder,
        JSAPIOrder as JSAPIOrder,
        OnlineOrder as OnlineOrder,
        QROrder as QROrder,
    )
    from .protocol.money import from_minor as from_minor, to_minor as to_minor
    from .protocol.notifications import NotificationReply as NotificationReply
    from .protocol.signing import NonceProvider as NonceProvider, TaggedNonces as TaggedNonces
    from .session import AsyncOmipay as AsyncOmipay
else:  # type checkers must find only the imports above

    def __getattr__(name: str) -> object:
        home = _HOMES.get(name)
        if home is None:
            message = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(message)
        value = globals()[name] = getattr(import_module(f".{home}", __name__), name)
        return value


# The public names, by the module that defines them. Type checkers read the imports above; a test compares the two.
_NAMES = {
    "calls.retries": "RetryPolicy",
    "clock": "Clock SystemClock",
    "codes": "Currency ErrorCode Language OnlineType OrderStatus Platform RefundStatus Region Safety",
    "errors": (
        "APIError AuthenticationError BackendError ConfigurationError GatewayError InvalidReply "
        "InvalidRequest InvalidSignature JournalError LookupFailed MalformedNotification MerchantSetupError "
        "NotificationError NotSent OmipayError OrderStateError Outcome OutcomeUnknown ParameterError "
        "PaymentDeclined PaymentFailed PollTimeout ReflectedNotification RefundFailed ReplayedNotification "
        "SessionClosed StaleNotification TransportError UnconfirmedNotification"
    ),
    "events": "Event",
    "fulfilment.backends": "Backend Claim Listener NoteKeeper",
    "fulfilment.memory": "MemoryBackend",
    "journal": "Journal JournalEntry JournalOutcome",
    "models": "ExchangeRate Notification Order Refund RefundReceipt ScanOrder WeChatUser",
    "new_orders": "AppletOrder AppOrder JSAPIOrder OnlineOrder QROrder",
    "protocol.money": "from_minor to_minor",
    "protocol.notifications": "NotificationReply",
    "protocol.signing": "NonceProvider TaggedNonces",
    "session": "AsyncOmipay",
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names.split()}

_PUBLIC = sorted([*_HOMES, "__version__"])

if not TYPE_CHECKING:  # type checkers cannot read a list that is computed: a star import would give them no name
    __all__ = _PUBLIC  # noqa: PLE0605 - derived, so that there is no third list


def __dir__() -> list[str]:
    return _PUBLIC
