"""The arguments of a session as a type, for functions that pass them on: checkers and editors know them there, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    import os
    import ssl
    from collections.abc import Callable, Sequence
    from datetime import tzinfo

    import httpx

    from .calls.retries import RetryPolicy
    from .clock import Clock
    from .codes import Language, Region
    from .events import Event
    from .fulfilment.backends import Backend
    from .journal import Journal
    from .protocol.signing import NonceProvider


class SessionArguments(TypedDict, total=False):
    """Those of ``AsyncOmipay``, each of which may be left out."""

    m_number: str
    secret_key: str
    region: Region | str
    base_url: str | None
    fallback: Region | str | None
    language: Language | str | None
    notify_url: str | None
    timezone: str | tzinfo
    timeout: float
    max_in_flight: int
    retry: RetryPolicy
    nonces: NonceProvider | None
    clock: Clock | None
    backend: Backend | None
    journal: Journal | None
    previous_secret_keys: Sequence[str]
    on_event: Callable[[Event], None] | None
    transport: httpx.AsyncBaseTransport | None
    proxy: str | httpx.URL | httpx.Proxy | None
    verify: ssl.SSLContext | str | os.PathLike[str] | bool
