"""The asyncio SDK for Omipay: WeChat Pay, Alipay, UnionPay and POLi in Australia.

Names are loaded when they are first used: the pytest plugin must not load httpx, nor a newcomer wait for it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .calls.retries import RetryPolicy
    from .clock import Clock, SystemClock
    from .codes import Currency, ErrorCode, Language, OnlineType, OrderStatus, Platform, RefundStatus, Region, Safety
    from .errors import (
        APIError,
        AuthenticationError,
        BackendError,
        ConfigurationError,
        GatewayError,
        InvalidReply,
        InvalidRequest,
        InvalidSignature,
        JournalError,
        LookupFailed,
        MalformedNotification,
        MerchantSetupError,
        NotificationError,
        NotSent,
        OmipayError,
        OrderStateError,
        Outcome,
        OutcomeUnknown,
        ParameterError,
        PaymentDeclined,
        PaymentFailed,
        PollTimeout,
        ReflectedNotification,
        RefundFailed,
        ReplayedNotification,
        SessionClosed,
        StaleNotification,
        TransportError,
        UnconfirmedNotification,
    )
    from .events import Event
    from .fulfilment.backends import Backend, Claim, Listener, MemoryBackend, NoteKeeper
    from .journal import Journal, JournalEntry, JournalOutcome
    from .models import (
        AppletOrder,
        AppOrder,
        ExchangeRate,
        JSAPIOrder,
        Notification,
        OnlineOrder,
        Order,
        QROrder,
        Refund,
        RefundReceipt,
        ScanOrder,
        WeChatUser,
    )
    from .protocol.money import from_minor, to_minor
    from .protocol.notifications import NotificationReply
    from .protocol.signing import NonceProvider, TaggedNonces
    from .session import AsyncOmipay
else:  # for a type checker the imports above are all there is

    def __getattr__(name: str) -> object:
        home = _HOMES.get(name)
        if home is None:
            message = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(message)
        value = globals()[name] = getattr(import_module(f".{home}", __name__), name)
        return value


__version__ = "0.1.0"

__all__ = [
    "APIError",
    "AppOrder",
    "AppletOrder",
    "AsyncOmipay",
    "AuthenticationError",
    "Backend",
    "BackendError",
    "Claim",
    "Clock",
    "ConfigurationError",
    "Currency",
    "ErrorCode",
    "Event",
    "ExchangeRate",
    "GatewayError",
    "InvalidReply",
    "InvalidRequest",
    "InvalidSignature",
    "JSAPIOrder",
    "Journal",
    "JournalEntry",
    "JournalError",
    "JournalOutcome",
    "Language",
    "Listener",
    "LookupFailed",
    "MalformedNotification",
    "MemoryBackend",
    "MerchantSetupError",
    "NonceProvider",
    "NotSent",
    "NoteKeeper",
    "Notification",
    "NotificationError",
    "NotificationReply",
    "OmipayError",
    "OnlineOrder",
    "OnlineType",
    "Order",
    "OrderStateError",
    "OrderStatus",
    "Outcome",
    "OutcomeUnknown",
    "ParameterError",
    "PaymentDeclined",
    "PaymentFailed",
    "Platform",
    "PollTimeout",
    "QROrder",
    "ReflectedNotification",
    "Refund",
    "RefundFailed",
    "RefundReceipt",
    "RefundStatus",
    "Region",
    "ReplayedNotification",
    "RetryPolicy",
    "Safety",
    "ScanOrder",
    "SessionClosed",
    "StaleNotification",
    "SystemClock",
    "TaggedNonces",
    "TransportError",
    "UnconfirmedNotification",
    "WeChatUser",
    "__version__",
    "from_minor",
    "to_minor",
]

_HOMES = {
    "APIError": "errors",
    "AppOrder": "models",
    "AppletOrder": "models",
    "AsyncOmipay": "session",
    "AuthenticationError": "errors",
    "Backend": "fulfilment.backends",
    "BackendError": "errors",
    "Claim": "fulfilment.backends",
    "Clock": "clock",
    "ConfigurationError": "errors",
    "Currency": "codes",
    "ErrorCode": "codes",
    "Event": "events",
    "ExchangeRate": "models",
    "GatewayError": "errors",
    "InvalidReply": "errors",
    "InvalidRequest": "errors",
    "InvalidSignature": "errors",
    "JSAPIOrder": "models",
    "Journal": "journal",
    "JournalEntry": "journal",
    "JournalError": "errors",
    "JournalOutcome": "journal",
    "Language": "codes",
    "Listener": "fulfilment.backends",
    "LookupFailed": "errors",
    "MalformedNotification": "errors",
    "MemoryBackend": "fulfilment.backends",
    "MerchantSetupError": "errors",
    "NonceProvider": "protocol.signing",
    "NotSent": "errors",
    "NoteKeeper": "fulfilment.backends",
    "Notification": "models",
    "NotificationError": "errors",
    "NotificationReply": "protocol.notifications",
    "OmipayError": "errors",
    "OnlineOrder": "models",
    "OnlineType": "codes",
    "Order": "models",
    "OrderStateError": "errors",
    "OrderStatus": "codes",
    "Outcome": "errors",
    "OutcomeUnknown": "errors",
    "ParameterError": "errors",
    "PaymentDeclined": "errors",
    "PaymentFailed": "errors",
    "Platform": "codes",
    "PollTimeout": "errors",
    "QROrder": "models",
    "ReflectedNotification": "errors",
    "Refund": "models",
    "RefundFailed": "errors",
    "RefundReceipt": "models",
    "RefundStatus": "codes",
    "Region": "codes",
    "ReplayedNotification": "errors",
    "RetryPolicy": "calls.retries",
    "Safety": "codes",
    "ScanOrder": "models",
    "SessionClosed": "errors",
    "StaleNotification": "errors",
    "SystemClock": "clock",
    "TaggedNonces": "protocol.signing",
    "TransportError": "errors",
    "UnconfirmedNotification": "errors",
    "WeChatUser": "models",
    "from_minor": "protocol.money",
    "to_minor": "protocol.money",
}


def __dir__() -> list[str]:
    return __all__
