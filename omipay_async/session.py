"""``AsyncOmipay``: the session, its life, and what users call. ``composition`` puts its components together."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NoReturn, Self, Unpack

from .api import EndpointMethods
from .calls.retries import RetryPolicy
from .codes import Region, Safety
from .errors import ConfigurationError, Outcome
from .fulfilment.handlers import checked_handler
from .fulfilment.methods import NotificationMethods
from .polling.methods import PollMethods
from .protocol import pages, validation
from .protocol.signing import checked_credentials
from .text import Secret, hidden, hidden_key, hidden_keys, hidden_proxy, hidden_values

if TYPE_CHECKING:
    import os
    import ssl
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import tzinfo
    from types import TracebackType

    import httpx

    from .clock import Clock
    from .codes import Language
    from .config import SessionArguments
    from .events import Event
    from .fulfilment.backends import Backend
    from .fulfilment.handlers import Handler
    from .journal import Journal
    from .models import Order, WeChatUser
    from .new_orders import JSAPIOrder, QROrder
    from .protocol.expectation import HasOrderNo
    from .protocol.signing import NonceProvider


class AsyncOmipay(EndpointMethods, PollMethods, NotificationMethods):
    """A session with the Omipay gateway, for the life of a process and for many tasks at once.

        async with AsyncOmipay("123456", "secret", region=Region.AU) as omipay:
            order = await omipay.query_order(order_no)

    Amounts are ints of the currency's minor unit (450 is A$4.50: see ``to_minor``). Times are aware ``datetime``s. The
    ``timeout`` of a method is how many seconds this one call may take in all.

    Every method that sends a request raises the following, besides what its own text names:

    - ``InvalidRequest``: an argument is wrong; the message names it. Nothing was sent.
    - ``SessionClosed``: the session was closed before or during the call.
    - ``ConfigurationError``: the time zone or the certificates cannot be read, or the session is in use in another
      event loop. Nothing was sent.
    - ``APIError`` (``AuthenticationError``, ``ParameterError``, ...): the gateway answered FAIL.
    - ``TransportError``, ``InvalidReply`` or ``GatewayError``: a read got no usable answer, also after the repeats that
      ``retry`` allows.
    - ``NotSent``: it is certain that a money call (``make_...``, ``refund``) was not sent.
    - ``OutcomeUnknown``: nobody knows whether the gateway acted on a money call.

    The methods that send no request raise the first three, too. A money call whose task is cancelled ends with
    ``CancelledError``: its ``call`` event, the log and the journal tell whether the money may have moved.

    Args:
        m_number: The merchant's number, a string with its leading zeros.
        secret_key: The merchant's API key. It is never sent, logged or shown.
        region: Which node to use, AU or CN.
        base_url: Another address instead of the region's, up to and including ``/omipay/api``; https, unless it is a
            loopback address or a ``transport`` is given.
        fallback: The other node (a ``Region`` or a base URL), used only when the first certainly never received the
            request. A node that could not be reached is tried last for 30 seconds.
        language: EN or CHS, of the gateway's messages and pages; without it they are Chinese.
        notify_url: Where notifications of orders are sent, unless a call has another one.
        timezone: The zone of the gateway's times, a name or a ``tzinfo``; a name is looked up at first use.
        timeout: Seconds for a whole call: the wait for a slot, connecting (a third of it and 5 seconds at most), the
            reply, every repeat. A money call is not sent with less than half of it left.
        max_in_flight: How many requests are under way at most, from 1 to 100,000; the rest wait in order.
        retry: How reads are repeated, and money calls that were never sent.
        nonces: A callable that returns a fresh nonce of 10 to 32 letters and digits.
        clock: Where every wait and every timestamp comes from.
        backend: Where fulfilled orders are recorded. By default in this process; several processes need
            ``omipay_async.redis.RedisBackend`` or ``omipay_async.sql.Books``.
        journal: Where money calls are written down before they are sent; ``omipay_async.sql.Books`` is one.
        previous_secret_keys: Accepted in notifications, never used to sign: for the day a key is changed.
        on_event: A function (not an ``async`` one) that is called with each ``Event``; for metrics, tracing, audit.
        transport: Any ``httpx.AsyncBaseTransport``; the session closes it. ``proxy`` and ``verify`` do not apply to it.
        proxy: The URL of a proxy, for every address. Without it, and without ``transport``, HTTPS_PROXY and NO_PROXY
            apply to all but loopback addresses.
        verify: As for httpx: an ``ssl.SSLContext``, a path to CA certificates (``str`` or ``os.PathLike``), or True.

    Raises:
        ConfigurationError: naming the argument that is wrong.
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
        retry: RetryPolicy = RetryPolicy(),
        nonces: NonceProvider | None = None,
        clock: Clock | None = None,
        backend: Backend | None = None,
        journal: Journal | None = None,
        previous_secret_keys: Sequence[str] = (),
        on_event: Callable[[Event], None] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        proxy: str | httpx.URL | httpx.Proxy | None = None,
        verify: ssl.SSLContext | str | os.PathLike[str] | bool = True,
    ) -> None:
        # A traceback could show this frame.
        secret_key, previous_secret_keys = hidden_key(secret_key), hidden_keys(previous_secret_keys)
        proxy = hidden_proxy(proxy)
        from .composition import checked_options, compose  # they load what only sessions need

        options = checked_options(
            checked_credentials(m_number, secret_key, previous_secret_keys),
            region=region,
            base_url=base_url,
            fallback=fallback,
            language=language,
            notify_url=notify_url,
            timezone=timezone,
            timeout=timeout,
            max_in_flight=max_in_flight,
            retry=retry,
            nonces=nonces,
            clock=clock,
            backend=backend,
            journal=journal,
            on_event=on_event,
            transport=transport,
            proxy=proxy,
            verify=verify,
        )
        components = compose(options)
        self._client = components.client
        self._executor = components.executor
        self._gateway = components.gateway
        self._wake_ups = components.wake_ups
        self._poller = components.poller
        self._polling = components.polling
        self._receiver = components.receiver
        self._life = components.life

    @classmethod
    def from_env(cls, **overrides: Unpack[SessionArguments]) -> Self:
        """A session set up by OMIPAY_M_NUMBER, OMIPAY_SECRET_KEY and, where set, OMIPAY_REGION, OMIPAY_BASE_URL,
        OMIPAY_LANGUAGE and OMIPAY_NOTIFY_URL. ``overrides`` are arguments of the class and count first.

        Raises:
            ConfigurationError: naming the variable that is missing or wrong.
        """
        from . import config  # it loads what the first session loads

        overrides = config.hidden_arguments(overrides)
        given = config.from_environment(overrides)
        try:
            return cls(**given)
        except ConfigurationError as error:
            message = config.blamed_on_environment(error, given.keys() - overrides.keys())
            if message is None:
                raise
        raise ConfigurationError(message)

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else "open"
        if not hasattr(self, "_executor"):  # it could not be made
            return f"<{type(self).__name__} {state}>"
        return f"<{type(self).__name__} m_number={self.m_number!r} node={self.node} {state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a session cannot be pickled or copied: make another one, in each process its own")

    # -- life -------------------------------------------------------------------------------------------------------

    @property
    def m_number(self) -> str:
        """The number of the merchant whose session this is."""
        return self._executor.credentials.m_number

    @property
    def node(self) -> str:
        """The name of the node that is asked first, as errors and events show it: ``AU``, ``CN`` or a host."""
        return self._executor.nodes.primary.name

    @property
    def is_closed(self) -> bool:
        """Whether ``aclose`` was called."""
        return not hasattr(self, "_life") or self._life.closed  # one that could not be made need not be closed

    @property
    def http(self) -> httpx.AsyncClient:
        """The ``httpx.AsyncClient`` that the session owns. Used directly it does not sign, and takes no slot."""
        return self._client.http

    async def __aenter__(self) -> Self:
        self._life.ensure_usable()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the session; more than once is harmless.

        Money calls that were sent may finish, each within its own ``timeout``, and so may running notification
        handlers; after the session's ``timeout`` this does not wait for them any longer, but cancels none. Waiting
        calls and reads end with ``SessionClosed``: nothing happened. Polls, and handlers that wait until another
        process releases an order, end with a ``SessionClosed`` that carries the number to ask about later.

        Raises:
            ConfigurationError: something is under way in another event loop, or no loop of asyncio is running here.
                Nothing was closed: close it there.
        """
        self._life.close()
        self._executor.close()
        self._poller.close()
        self._receiver.close()
        try:
            await self._wake_ups.aclose()
            await self._poller.wait_closed()
            await self._receiver.drain(self._gateway.timeout)
            await self._executor.wait_closed()
        finally:
            await self._client.aclose()

    def __del__(self, warn: Callable[..., None] = warnings.warn) -> None:
        try:
            open_session = None if self.is_closed else repr(self)
        except (AttributeError, TypeError):
            return  # the program has ended, and Python has cleared the modules that this needs
        if open_session is not None:
            warn(f"unclosed {open_session}: use `async with` or `await aclose()`", ResourceWarning, 2, self)

    # -- calls ------------------------------------------------------------------------------------------------------

    async def call(
        self,
        endpoint: str,
        params: Mapping[str, str | int | None],
        *,
        safety: Safety | str = Safety.MONEY,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """Call an endpoint under ``/v2/`` that this library does not know, such as ``ConfirmCheckOut``.

        The request is signed, the reply is checked for FAIL and returned as received, but without spaces around its
        keys. ``params`` are sent as given, except those that are None, with the session's language unless they have
        one. What the gateway may have acted on is repeated only with ``Safety.READ``. After a money call every FAIL but
        PARAMETER_INVALID and ``AuthenticationError`` has ``outcome`` UNKNOWN, since nobody knows what the codes of an
        undocumented endpoint mean.

        Raises:
            InvalidRequest: the name, a parameter or ``safety`` is wrong. A known endpoint that moves money cannot be
                called as ``Safety.READ``.
            OutcomeUnknown: do not repeat it: a person looks it up in the back office.
        """
        params = hidden_values(params)  # a traceback could show this frame, and some may be payment codes
        return await self._gateway.call_general(endpoint, params, safety, timeout=timeout)

    async def settle(
        self,
        order: str | HasOrderNo,
        handler: Handler,
        *,
        first_wait: float = 5.0,
        interval: float = 5.0,
        timeout: float | None = 120.0,
        on_status: Callable[[Order], Awaitable[object] | object] | None = None,
    ) -> Order:
        """Poll until an order is paid, then run ``await handler(order)`` under the once-guard: a worker in one line.

        ``order`` and the options are those of ``poll_until_paid``; ``handler`` is as for ``receive_notification``: one
        transaction, and blocking code in ``asyncio.to_thread``. Returns the paid order once the handler has succeeded,
        now or before, here or elsewhere.

        Raises:
            PaymentFailed, PollTimeout: and what else ``poll_until_paid`` raises; the handler did not run.
            BackendError: whether the handler may run is not known, or its success could not be recorded.
            JournalError: the confirmation could not be written down; the handler did not run.
            SessionClosed: the session was closed before the handler could begin; ``order_no`` is what to ask about.
            Exception: what the handler raised; the next call runs it again.
        """
        with validation.with_outcome(Outcome.UNKNOWN):
            checked_handler(handler, "order")
        paid = await self.poll_until_paid(
            order, first_wait=first_wait, interval=interval, timeout=timeout, on_status=on_status
        )
        await self._receiver.fulfil_paid(paid, handler)
        return paid

    # -- pages: no network ------------------------------------------------------------------------------------------

    def pay_page_url(self, order_or_url: QROrder | JSAPIOrder | str, *, redirect_url: str) -> str:
        """The signed URL of an order's pay page: send the customer's browser there **now**. CN 3.2, 3.3.

        The page is the ``pay_url`` of a ``QROrder``, the ``pc_pay_url`` of a ``JSAPIOrder``, or one of these that you
        have stored. After payment the browser goes to ``redirect_url``; arriving there proves nothing. Whoever sees the
        URL may use its signature for five minutes, so make one for each visit and do not log it.

        Raises:
            InvalidRequest: for an order that does not have such a page, and for a page that is neither https nor on
                the host of this session's node: others could read the signature.
        """
        self._life.ensure_open()
        nodes = [node.base_url for node in self._executor.nodes.in_order()]
        with validation.with_outcome(None):  # the order may be paid all the same
            return pages.pay_page(order_or_url, nodes, self._signed_query, redirect_url)

    def wechat_login_url(self, redirect_uri: str) -> str:
        """The URL at which a customer logs in with WeChat's browser; it returns to ``redirect_uri``. EN 2.9.

        ``redirect_uri`` must lie under the URL of the merchant's WESTORE. The URL is signed: see ``pay_page_url``. The
        document shows this endpoint on the node AU only.
        """
        self._life.ensure_open()
        base_url = self._executor.nodes.in_order()[0].base_url
        with validation.with_outcome(None):
            return pages.login_page(base_url, self._signed_query, redirect_uri)

    def parse_wechat_login(self, url_or_query: str) -> WeChatUser:
        """Who logged in, from the URL that the browser returned to, or its query string. EN 2.9.

        The fields came through the browser and are not signed, so they do not prove who the user is. They are judged
        like a reply: a key that stands in the URL twice with two values, or an ``openid`` beside an error, is not
        believed. So the ``redirect_uri`` that you gave must not repeat a key.

        Raises:
            APIError: the fields report a failure.
            InvalidReply: they do not name a user, or contradict each other.
        """
        url_or_query = hidden(url_or_query)  # a traceback could show this frame, and it contains an openid
        self._life.ensure_open()
        with validation.with_outcome(None):
            return pages.parse_wechat_login(url_or_query, self._executor.converter())

    def _signed_query(self) -> Secret:
        query, *_ = self._executor.sign()
        return query
