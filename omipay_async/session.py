"""``AsyncOmipay``: the session. It composes the other modules; how each does its work is written there."""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Callable, Mapping
from datetime import tzinfo
from typing import TYPE_CHECKING, Any, Final, Self

from . import __version__, config
from .api import EndpointMethods
from .calls.executor import CallExecutor
from .calls.nodes import Nodes
from .calls.retries import RetryPolicy
from .clock import Clock, GatewayTime, SystemClock
from .codes import Language, Region, Safety
from .errors import ConfigurationError, InvalidRequest, SessionClosed
from .events import Event, Events
from .fulfilment.backends import Backend, MemoryBackend
from .fulfilment.guard import OnceGuard
from .fulfilment.receiver import ReceivingMethods
from .polling.service import WaitingMethods
from .protocol import endpoints, pages, validation
from .protocol.decoding import RequestContext
from .protocol.signing import NonceProvider, TaggedNonces, checked_credentials, checked_nonce
from .transport.client import HTTPClient
from .transport.pool import Priority

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

    import httpx

    from .models import JSAPIOrder, QROrder, WeChatUser
    from .protocol.endpoints import Endpoint

_NUMBERS: Final = ("order_no", "out_order_no", "refund_no", "out_refund_no")


class AsyncOmipay(EndpointMethods, WaitingMethods, ReceivingMethods):
    """A session with the Omipay gateway, for the life of a process and for many tasks at once.

    Args:
        m_number: The merchant's number, a string with its leading zeros.
        secret_key: The merchant's API key. It is never sent, logged or shown.
        region: Which node to ask, AU or CN.
        base_url: Another address instead of the region's, up to and including ``/omipay/api``; https, unless it is a
            loopback address or a ``transport`` is given.
        fallback: The other node (a ``Region`` or a base URL), asked only when the first certainly never received the
            request. A node that could not be reached rests for 30 seconds, then it is asked first again.
        language: EN or CHS, of the gateway's messages and pages.
        notify_url: Where orders are notified to unless a call says otherwise.
        timezone: The zone of the gateway's times, a name or a ``tzinfo``.
        timeout: Seconds for a whole call: the wait for a slot, connecting, the reply, every repeat.
        max_in_flight: How many requests are under way at most; the rest wait in order.
        retry: How reads are repeated, and money calls that never left.
        nonces: A callable that returns a fresh nonce of 10 to 32 letters and digits.
        clock: Where every wait and every timestamp comes from.
        backend: Where fulfilled orders are remembered; ``omipay_async.redis.RedisBackend`` for many processes.
        previous_secret_keys: Accepted in notifications, never used to sign: for the day a key is changed.
        on_event: Called with each ``Event``; for metrics, tracing, audit.
        transport: Any ``httpx.AsyncBaseTransport``; the session closes it.
        proxy: The URL of a proxy. Without it, and without ``transport``, HTTPS_PROXY and NO_PROXY are honoured.
        verify: As for httpx: an ``ssl.SSLContext``, a path to CA certificates, or True.

    Raises:
        ConfigurationError: naming the argument that will not do.
    """

    def __init__(
        self,
        m_number: str,
        secret_key: str,
        *,
        region: Region | str = Region.AU,
        base_url: str | None = None,
        fallback: Region | str | None = None,
        language: Language | str | None = None,
        notify_url: str | None = None,
        timezone: str | tzinfo = "Australia/Sydney",
        timeout: float = 30.0,
        max_in_flight: int = 20,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        nonces: NonceProvider | None = None,
        clock: Clock | None = None,
        backend: Backend | None = None,
        previous_secret_keys: tuple[str, ...] | list[str] = (),
        on_event: Callable[[Event], None] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        proxy: str | httpx.URL | httpx.Proxy | None = None,
        verify: ssl.SSLContext | str | bool = True,
    ) -> None:
        self._closed = True  # until everything below went well
        credentials = checked_credentials(m_number, secret_key, previous_secret_keys)
        clock = config.having(clock or SystemClock(), "clock", "time_ms", "monotonic", "sleep")
        nodes = config.nodes(region, base_url, fallback, plain_http=transport is not None)
        config.verification(verify, nodes)
        self._m_number = credentials.m_number
        self._language = None if language is None else config.member(Language, "language", language)
        self._notify_url = config.url("notify_url", notify_url)
        self._timeout = config.seconds("timeout", timeout)
        self._timezone: str | tzinfo = config.instance(timezone, "timezone", str, tzinfo)
        self._events = Events(config.function(on_event, "on_event"))
        self._wire = HTTPClient(
            size=config.count("max_in_flight", max_in_flight),
            user_agent=f"omipay-async/{__version__}",
            transport=transport,
            proxy=proxy,
            verify=verify,
        )
        self._caller = CallExecutor(
            wire=self._wire,
            nodes=Nodes(nodes, clock),
            credentials=credentials,
            nonces=config.function(nonces, "nonces") or TaggedNonces(credentials.keys),
            gateway_time=GatewayTime(clock),
            policy=config.instance(retry, "retry", RetryPolicy),
            events=self._events,
            zone=self._zone,
            random=random.random,
        )
        backend = MemoryBackend(clock=clock) if backend is None else backend
        self._backend = config.having(backend, "backend", "claim", "renew", "finish", "release", "wake")
        self._guard = OnceGuard(self._backend, clock, self._m_number)
        self._orders, self._refunds = self._boards()
        self._listening = None
        self._closed = False

    @classmethod
    def from_env(cls, **overrides: Any) -> Self:
        """A session set up by OMIPAY_M_NUMBER, OMIPAY_SECRET_KEY and, where set, OMIPAY_REGION, OMIPAY_BASE_URL,
        OMIPAY_LANGUAGE and OMIPAY_NOTIFY_URL. ``overrides`` are arguments of the class and count first.

        Raises:
            ConfigurationError: naming the variable that is missing or wrong.
        """
        given = dict(overrides)
        for name in ("m_number", "secret_key", "region", "base_url", "language", "notify_url"):
            variable = f"OMIPAY_{name.upper()}"
            value = os.environ.get(variable, "").strip()
            if value and name not in given:
                given[name] = value
            if name in ("m_number", "secret_key") and name not in given:
                message = f"{variable} is not set"
                raise ConfigurationError(message)
        try:
            return cls(**given)
        except ConfigurationError as error:
            parameter = str(error).split(" ", 1)[0].strip(":")
            if parameter in overrides or parameter not in given:
                raise
            message = f"OMIPAY_{parameter.upper()}: {error}"
        raise ConfigurationError(message)

    def __repr__(self) -> str:
        node = self._caller.nodes.primary.name if hasattr(self, "_caller") else "?"
        state = "closed" if self._closed else "open"
        return f"<{type(self).__name__} m_number={getattr(self, '_m_number', '?')!r} node={node} {state}>"

    # -- life -------------------------------------------------------------------------------------------------------

    @property
    def http(self) -> httpx.AsyncClient:
        """The ``httpx.AsyncClient`` that the session owns. Used directly it signs nothing and takes no slot."""
        return self._wire.http

    async def __aenter__(self) -> Self:
        self._caller.enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the session; more than once is harmless.

        Money calls that were sent, and running notification handlers, are let end (``timeout`` bounds both). Waiting
        calls and reads end with ``SessionClosed``: nothing happened. Polls end with a ``SessionClosed`` that carries
        the number to ask about later.
        """
        self._closed = True
        self._caller.close()
        self._wire.close()
        self._orders.close()
        self._refunds.close()
        try:
            await self._stop_listening()
            await self._guard.drain(self._timeout)
            await self._caller.ended()
        finally:
            await self._wire.aclose()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            warnings.warn(f"unclosed {self!r}: use `async with` or `await aclose()`", ResourceWarning, 2, self)

    # -- calls ------------------------------------------------------------------------------------------------------

    async def _call(self, endpoint: Endpoint, timeout: float | None, values: Mapping[str, Any]) -> Any:
        if self._notify_url is not None and values.get("notify_url", "") is None:
            values = {**values, "notify_url": self._notify_url}
        asked = RequestContext(endpoint, _numbers(values), self._secrets(endpoint, values))
        try:
            query = validation.query(endpoint, values)
            limit = self._limit(timeout)
        except InvalidRequest as error:
            self._caller.refused(asked, error)
            raise
        query = self._with_language(endpoint, query)
        priority = Priority.READ if endpoint.safety is Safety.READ else Priority.MONEY
        return await self._caller.call(asked, query, priority, limit)

    async def _general_call(
        self, endpoint: str, params: Mapping[str, Any], safety: Safety | str, timeout: float | None
    ) -> dict[str, Any]:
        asked = RequestContext(validation.unknown_endpoint(safety), general=True)
        try:
            general = asked.endpoint = validation.general_endpoint(endpoint, safety)
            query, has_language = validation.general_query(params)
            limit = self._limit(timeout)
        except InvalidRequest as error:
            self._caller.refused(asked, error)
            raise
        asked.numbers = _numbers(params)
        asked.secrets = [
            *self._caller.credentials.keys,
            *(value for value in params.values() if isinstance(value, str)),
        ]
        if not has_language:
            query = self._with_language(general, query)
        priority = Priority.READ if general.safety is Safety.READ else Priority.MONEY
        reply: dict[str, Any] = await self._caller.call(asked, query, priority, limit)
        return reply

    def _with_language(self, endpoint: Endpoint, query: str) -> str:
        if self._language is None or not endpoint.takes_language:
            return query
        return f"{query}&language={self._language}" if query else f"language={self._language}"

    def _secrets(self, endpoint: Endpoint, values: Mapping[str, Any]) -> list[str]:
        secret = [values.get(parameter.name) for parameter in endpoint.parameters if parameter.secret]
        return [*self._caller.credentials.keys, *(value for value in secret if isinstance(value, str) and value)]

    def _limit(self, timeout: float | None) -> float:
        return self._timeout if timeout is None else validation.seconds("timeout", timeout, above=True)

    def _zone(self) -> tzinfo:
        if isinstance(self._timezone, str):
            self._timezone = config.zone(self._timezone)
        return self._timezone

    # -- pages: no network ------------------------------------------------------------------------------------------

    def pay_page_url(self, order_or_url: QROrder | JSAPIOrder | str, *, redirect_url: str) -> str:
        """The signed URL of an order's pay page: send the customer's browser there **now**. CN 3.2, 3.3.

        Of a ``QROrder`` it is ``pay_url``, of a ``JSAPIOrder`` ``pc_pay_url``. After payment the browser goes to
        ``redirect_url``; arriving there proves nothing. The URL holds a signature that whoever sees it may use for five
        minutes: make one for each visit, log none.

        Raises:
            InvalidRequest: for an order that has no such page.
        """
        self._check_open()
        return pages.signed_page(pages.pay_page(order_or_url), self._signed_query, redirect_url)

    def wechat_login_url(self, redirect_uri: str) -> str:
        """Where to send the customer's WeChat browser to log in; it comes back to ``redirect_uri``. EN 2.9.

        ``redirect_uri`` must lie under the URL of the merchant's WESTORE. The URL is signed: see ``pay_page_url``.
        """
        self._check_open()
        query = validation.query(endpoints.GET_USER_INFO, {"redirect_uri": redirect_uri})
        base_url = self._caller.nodes.in_order()[0].base_url
        return f"{base_url}{endpoints.GET_USER_INFO.path}?{query}&{self._signed_query()}"

    def parse_wechat_login(self, url_or_query: str) -> WeChatUser:
        """Who logged in, from the URL that the browser came back to. EN 2.9.

        The fields came through the browser and are not signed: they name a user, they prove nothing.

        Raises:
            APIError: the fields tell of a failure.
            InvalidReply: they tell of nobody.
        """
        self._check_open()
        return pages.parse_wechat_login(url_or_query, self._zone())

    def _signed_query(self) -> str:
        query, _ = self._caller.credentials.query(
            self._caller.gateway_time.time_ms(), checked_nonce(self._caller.nonces())
        )
        return query

    def _check_open(self) -> None:
        if self._closed:
            raise SessionClosed


def _numbers(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: value for name in _NUMBERS if isinstance(value := values.get(name), str)}
