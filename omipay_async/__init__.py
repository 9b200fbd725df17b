"""The asyncio SDK for Omipay: WeChat Pay, Alipay, UnionPay and POLi in Australia.

Names are imported at their first use, so that importing the package is quick, and the pytest plugin loads no httpx.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ._version import __version__ as __version__

if TYPE_CHECKING:
    from .calls.retries import RetryPolicy as RetryPolicy
    from .clock import Clock as Clock
    from .clock import SystemClock as SystemClock
    from .codes import (
        Currency as Currency,
    )
    from .codes import (
        ErrorCode as ErrorCode,
    )
    from .codes import (
        Language as Language,
    )
    from .codes import (
        OnlineType as OnlineType,
    )
    from .codes import (
        OrderStatus as OrderStatus,
    )
    from .codes import (
        Platform as Platform,
    )
    from .codes import (
        RefundStatus as RefundStatus,
    )
    from .codes import (
        Region as Region,
    )
    from .codes import (
        Safety as Safety,
    )
    from .errors import (
        APIError as APIError,
    )
    from .errors import (
        AuthenticationError as AuthenticationError,
    )
    from .errors import (
        BackendError as BackendError,
    )
    from .errors import (
        ConfigurationError as ConfigurationError,
    )
    from .errors import (
        GatewayError as GatewayError,
    )
    from .errors import (
        InvalidReply as InvalidReply,
    )
    from .errors import (
        InvalidRequest as InvalidRequest,
    )
    from .errors import (
        InvalidSignature as InvalidSignature,
    )
    from .errors import (
        JournalError as JournalError,
    )
    from .errors import (
        LookupFailed as LookupFailed,
    )
    from .errors import (
        MalformedNotification as MalformedNotification,
    )
    from .errors import (
        MerchantSetupError as MerchantSetupError,
    )
    from .errors import (
        NotificationError as NotificationError,
    )
    from .errors import (
        NotSent as NotSent,
    )
    from .errors import (
        OmipayError as OmipayError,
    )
    from .errors import (
        OrderStateError as OrderStateError,
    )
    from .errors import (
        Outcome as Outcome,
    )
    from .errors import (
        OutcomeUnknown as OutcomeUnknown,
    )
    from .errors import (
        ParameterError as ParameterError,
    )
    from .errors import (
        PaymentDeclined as PaymentDeclined,
    )
    from .errors import (
        PaymentFailed as PaymentFailed,
    )
    from .errors import (
        PollTimeout as PollTimeout,
    )
    from .errors import (
        ReflectedNotification as ReflectedNotification,
    )
    from .errors import (
        RefundFailed as RefundFailed,
    )
    from .errors import (
        ReplayedNotification as ReplayedNotification,
    )
    from .errors import (
        SessionClosed as SessionClosed,
    )
    from .errors import (
        StaleNotification as StaleNotification,
    )
    from .errors import (
        TransportError as TransportError,
    )
    from .errors import (
        UnconfirmedNotification as UnconfirmedNotification,
    )
    from .events import Event as Event
    from .fulfilment.backends import (
        Backend as Backend,
    )
    from .fulfilment.backends import (
        Claim as Claim,
    )
    from .fulfilment.backends import (
        Listener as Listener,
    )
    from .fulfilment.backends import (
        MemoryBackend as MemoryBackend,
    )
    from .fulfilment.backends import (
        NoteKeeper as NoteKeeper,
    )
    from .journal import Journal as Journal
    from .journal import JournalEntry as JournalEntry
    from .journal import JournalOutcome as JournalOutcome
    from .models import (
        ExchangeRate as ExchangeRate,
    )
    from .models import (
        Notification as Notification,
    )
    from .models import (
        Order as Order,
    )
    from .models import (
        Refund as Refund,
    )
    from .models import (
        RefundReceipt as RefundReceipt,
    )
    from .models import (
        ScanOrder as ScanOrder,
    )
    from .models import (
        WeChatUser as WeChatUser,
    )
    from .new_orders import (
        AppletOrder as AppletOrder,
    )
    from .new_orders import (
        AppOrder as AppOrder,
    )
    from .new_orders import (
        JSAPIOrder as JSAPIOrder,
    )
    from .new_orders import (
        OnlineOrder as OnlineOrder,
    )
    from .new_orders import (
        QROrder as QROrder,
    )
    from .protocol.money import from_minor as from_minor
    from .protocol.money import to_minor as to_minor
    from .protocol.notifications import NotificationReply as NotificationReply
    from .protocol.signing import NonceProvider as NonceProvider
    from .protocol.signing import TaggedNonces as TaggedNonces
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
    "fulfilment.backends": "Backend Claim Listener MemoryBackend NoteKeeper",
    "journal": "Journal JournalEntry JournalOutcome",
    "models": "ExchangeRate Notification Order Refund RefundReceipt ScanOrder WeChatUser",
    "new_orders": "AppletOrder AppOrder JSAPIOrder OnlineOrder QROrder",
    "protocol.money": "from_minor to_minor",
    "protocol.notifications": "NotificationReply",
    "protocol.signing": "NonceProvider TaggedNonces",
    "session": "AsyncOmipay",
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names.split()}

__all__ = sorted([*_HOMES, "__version__"])  # noqa: PLE0605 - derived, so that there is no third list


def __dir__() -> list[str]:
    return __all__
